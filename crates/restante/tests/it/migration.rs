//! From Dovecot and Courier to Restante and back, with the real servers and real mail programs:
//! nobody downloads anything twice.

pub(crate) mod door;
pub(crate) mod foreign;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use self::door::{Behind, Door};
use self::foreign::Foreign;
use crate::client::REMEMBERING;
use crate::corpus::Letter;
use crate::server::{Server, Site, USER};
use crate::wire::{Wire, status};

fn letters() -> Vec<Letter> {
    ["one", "two", "three", "four", "five"]
        .map(|name| Letter::new(name, letter(name)))
        .to_vec()
}

fn letter(name: &str) -> String {
    format!("From: a@example.org\nSubject: {name}\n\nThis is {name}.\n")
}

#[test]
fn e2e_dovecot_to_restante_and_back() {
    there_and_back("dovecot", |site| Foreign::dovecot(site, ""));
}

#[test]
fn e2e_dovecot_with_a_format_of_its_own_and_saved_ids() {
    // Saved ids outlive a change of the format.
    let site = Site::new(&letters());
    let format = "pop3_uidl_format = UID%u-%v\npop3_save_uidl = yes\n";
    let before = listing(&site, Foreign::dovecot(&site, format));
    assert!(before.starts_with("1 UID1-"), "{before}");
    site.add_file("1700000101.M1P1.later", &letter("later"));
    let format = "pop3_uidl_format = %Mf.%08Xu\npop3_uidl_duplicates = rename\n";
    let before = listing(&site, Foreign::dovecot(&site, format));
    assert!(before.contains("\n6 "), "{before}");
    import(&site, "dovecot", &["--uidl-format", "%Mf.%08Xu"]);
    let server = Server::at(site);
    assert_eq!(uidl(server.plain.port()), before);
}

#[test]
fn e2e_dovecot_that_reuses_x_uidl_and_renames_repeated_ids() {
    let site = Site::new(&letters());
    for (name, header) in [
        ("1700000101.M1P1.x", "X-UIDL: of-the-sender"),
        ("1700000102.M1P1.x", "x-uidl:   of-the-sender"),
        ("1700000103.M1P1.x", "X-Uidl : another"),
    ] {
        site.add_file(name, &format!("{header}\n{}", letter(name)));
    }
    let format = "pop3_reuse_xuidl = yes\npop3_uidl_duplicates = rename\n\
                  pop3_uidl_format = %g\n";
    let before = listing(&site, Foreign::dovecot(&site, format));
    assert!(before.contains(" of-the-sender-2\r\n"), "{before}");
    let flags = [
        "--reuse-xuidl",
        "--uidl-duplicates",
        "rename",
        "--uidl-format",
        "%g",
    ];
    import(&site, "dovecot", &flags);
    let server = Server::at(site);
    assert_eq!(uidl(server.plain.port()), before);
}

#[test]
fn e2e_courier_to_restante_and_back() {
    there_and_back("courier", Foreign::courier);
}

/// The whole way. Every program polls the same host and port all the time.
fn there_and_back(origin: &str, foreign: impl Fn(&Site) -> Foreign) {
    let site = Site::new(&letters());
    site.give_flags();
    let mut door = Door::open(Behind::Foreign(foreign(&site)));
    expect(
        &site,
        &door,
        &["one", "two", "three", "four", "five"],
        "at first",
    );
    site.add_file("1700000101.M1P1.later", &letter("six"));
    expect(&site, &door, &["six"], "new mail before the switch");
    expect(&site, &door, &[], "once more before the switch");
    let before = uidl(door.port());

    // The switch.
    door.put_behind(Behind::Nobody);
    import(&site, origin, &[]);
    let list = foreign_list(&site, origin);
    let server = Server::at(site);
    door.put_behind(Behind::Restante(server.plain));
    assert_eq!(uidl(door.port()), before, "the same, in the same order");
    expect(&server.site, &door, &[], "after the switch");
    deliver(&server.site, "seven");
    expect(&server.site, &door, &["seven"], "new mail after the switch");
    deliver(&server.site, "eight");

    // And back. The other server's file is as it was.
    let (site, _, log) = server.stop();
    assert!(!log.contains("not imported"), "{log}");
    assert_eq!(foreign_list(&site, origin), list);
    door.put_behind(Behind::Foreign(foreign(&site)));
    let after = uidl(door.port());
    assert!(after.starts_with(&before), "{before}{after}");
    // What came meanwhile is new to the other server and comes once; what was fetched before the
    // switch does not come again.
    expect(&site, &door, &["seven", "eight"], "back again");
    expect(&site, &door, &[], "once more, back again");
}

/// Lets every program fetch and compares the subjects of what it got.
fn expect(site: &Site, door: &Door, subjects: &[&str], when: &str) {
    let mut expected: Vec<&str> = subjects.to_vec();
    expected.sort_unstable();
    for (name, keep) in REMEMBERING {
        let received = keep(site, door.port());
        let mut received: Vec<String> = received.iter().map(|text| subject(text)).collect();
        received.sort();
        assert_eq!(received, expected, "{name} {when}");
    }
}

fn subject(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let line = text.lines().find_map(|line| line.strip_prefix("Subject: "));
    line.unwrap_or_default().trim().to_owned()
}

/// What the server lists, as it lists it.
fn listing(site: &Site, foreign: Foreign) -> String {
    let door = Door::open(Behind::Foreign(foreign));
    assert!(site.maildir().exists());
    uidl(door.port())
}

fn uidl(port: u16) -> String {
    let mut wire = Wire::unread(([127, 0, 0, 1], port).into());
    assert_eq!(status(&wire.line()), "+OK");
    wire.log_in(USER);
    let listing = String::from_utf8(wire.lines("UIDL")).unwrap();
    assert_eq!(status(&wire.command("QUIT")), "+OK");
    // It has stopped writing when it has closed.
    wire.until_closed();
    listing
}

/// The dry run proves that nothing will differ; then the import is made.
fn import(site: &Site, origin: &str, flags: &[&str]) {
    let maildir = site.maildir();
    let maildir = maildir.to_str().unwrap();
    for dry_run in [&["--dry-run"][..], &[]] {
        let arguments = [&["import", origin, maildir], flags, dry_run].concat();
        let ended = site.program(&arguments).output().unwrap();
        let said = [ended.stdout, ended.stderr].concat();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&said));
    }
}

fn foreign_list(site: &Site, origin: &str) -> Vec<u8> {
    let name = match origin {
        "dovecot" => "dovecot-uidlist",
        _ => "courierpop3dsizelist",
    };
    fs::read(site.maildir().join(name)).unwrap()
}

fn deliver(site: &Site, name: &str) {
    let mut process = site
        .program(&["deliver", USER])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = process.stdin.take().unwrap();
    stdin.write_all(letter(name).as_bytes()).unwrap();
    drop(stdin);
    assert!(process.wait().unwrap().success());
}

impl Site {
    /// Gives every file in `cur/` the `:2,` that belongs there. Where it is missing, Courier adds it
    /// when the message is retrieved, takes it for a new one then, and everybody downloads it twice.
    fn give_flags(&self) {
        let cur = self.maildir().join("cur");
        for entry in fs::read_dir(&cur).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if !name.contains(':') {
                fs::rename(cur.join(&name), cur.join(format!("{name}:2,"))).unwrap();
            }
        }
    }

    /// Puts a message into `new/` under this name, as another program would, with the Maildir's
    /// owner.
    fn add_file(&self, name: &str, text: &str) {
        let file = self.maildir().join("new").join(name);
        fs::write(&file, text).unwrap();
        own_as(&file, &self.maildir());
    }
}

/// Gives a file the owner of another one.
fn own_as(path: &Path, other: &Path) {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let other = fs::metadata(other).unwrap();
    chown(path, Some(other.uid()), Some(other.gid())).unwrap();
}
