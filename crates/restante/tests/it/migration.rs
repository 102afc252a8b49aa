//! From Dovecot and Courier to Restante and back, with the real servers and real mail programs:
//! nobody downloads anything twice.

pub(crate) mod door;
pub(crate) mod foreign;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use self::door::{Behind, Door};
use self::foreign::{Foreign, look_by_imap};
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
    let flags = ["--uidl-format", "%Mf.%08Xu", "--uidl-duplicates=rename"];
    import(&site, "dovecot", &flags);
    let server = Server::at(site);
    assert_eq!(uidl(server.plain.port()), before);
    goes_back(server, format, &flags);
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
    goes_back(server, format, &flags);
}

/// Mail comes, and then a Dovecot of this configuration, to which it would have another id.
fn goes_back(server: Server, format: &str, flags: &[&str]) {
    let text = format!("X-UIDL: of-the-sender\n{}", letter("since"));
    server.site.add_file("1700000301.M1P1.since", &text);
    let here = uidl(server.plain.port());
    assert!(here.contains(" 1700000301.M1P1.since\r\n"), "{here}");
    let (site, ..) = server.stop();
    hand_over("export", &site, "dovecot", flags);
    assert_eq!(listing(&site, Foreign::dovecot(&site, format)), here);
}

#[test]
fn e2e_courier_to_restante_and_back() {
    there_and_back("courier", Foreign::courier);
}

/// Dovecot serves IMAP all the time: it gives a UID to what came meanwhile, and keeps its index.
#[test]
fn e2e_dovecot_goes_on_for_imap_and_comes_back() {
    let site = Site::new(&letters());
    site.give_flags();
    let mut door = Door::open(Behind::Foreign(Foreign::dovecot(&site, "")));
    let five = ["one", "two", "three", "four", "five"];
    expect(&site, &door, &five, "at first");
    door.put_behind(Behind::Nobody);
    import(&site, "dovecot", &[]);
    let server = Server::at(site);
    door.put_behind(Behind::Restante(server.plain));
    deliver(&server.site, "six");
    expect(&server.site, &door, &["six"], "new mail");
    look_by_imap(&server.site);
    expect(&server.site, &door, &[], "when IMAP has seen it");
    deliver(&server.site, "seven");
    expect(&server.site, &door, &["seven"], "and more");
    let here = uidl(door.port());

    let (site, ..) = server.stop();
    let list = String::from_utf8(foreign_list(&site, "dovecot")).unwrap();
    let uids = |list: &str| -> Vec<String> {
        let lines = list.lines().skip(1);
        lines
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(uids(&list).len(), 6, "{list}");
    door.put_behind(Behind::Nobody);
    hand_over("export", &site, "dovecot", &[]);
    let after = String::from_utf8(foreign_list(&site, "dovecot")).unwrap();
    assert_eq!(uids(&after)[..6], uids(&list), "{after}");
    door.put_behind(Behind::Foreign(Foreign::dovecot(&site, "")));
    assert_eq!(uidl(door.port()), here, "the same, in the same order");
    expect(&site, &door, &[], "back again");
    look_by_imap(&site);
    assert_eq!(uidl(door.port()), here, "after IMAP too");
}

#[test]
fn e2e_a_mailbox_of_ours_goes_to_dovecot() {
    away("dovecot", |site| Foreign::dovecot(site, ""));
}

#[test]
fn e2e_a_mailbox_of_ours_goes_to_courier() {
    away("courier", Foreign::courier);
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
    // Another program's names have no sizes in them.
    server
        .site
        .add_file("1700000201.M1P1.other", &letter("eight"));
    expect(&server.site, &door, &["eight"], "what another delivered");
    deliver(&server.site, "nine");
    let here = uidl(door.port());

    // And back. The other server's file is as it was, until the new ids are written into it.
    let (site, _, log) = server.stop();
    assert!(!log.contains("not imported"), "{log}");
    assert_eq!(foreign_list(&site, origin), list);
    door.put_behind(Behind::Nobody);
    hand_over("export", &site, origin, &[]);
    door.put_behind(Behind::Foreign(foreign(&site)));
    let after = uidl(door.port());
    assert!(after.starts_with(&before), "{before}{after}");
    assert_eq!(after, here, "the same, in the same order");
    // What was fetched from Restante does not come again.
    expect(&site, &door, &["nine"], "back again");
    expect(&site, &door, &[], "once more, back again");
    deliver(&site, "ten");
    expect(&site, &door, &["ten"], "new mail back again");
    let there = uidl(door.port());

    // And once more to Restante.
    door.put_behind(Behind::Nobody);
    import(&site, origin, &["--again"]);
    let server = Server::at(site);
    door.put_behind(Behind::Restante(server.plain));
    assert_eq!(uidl(door.port()), there, "the same, in the same order");
    expect(&server.site, &door, &[], "the second time");
    deliver(&server.site, "eleven");
    expect(
        &server.site,
        &door,
        &["eleven"],
        "new mail, the second time",
    );
}

/// A mailbox that the other server has never seen goes there.
fn away(origin: &str, foreign: impl Fn(&Site) -> Foreign) {
    let server = Server::at(Site::new(&letters()));
    server.site.give_flags();
    let mut door = Door::open(Behind::Restante(server.plain));
    deliver(&server.site, "six");
    let all = ["one", "two", "three", "four", "five", "six"];
    expect(&server.site, &door, &all, "at first");
    let here = uidl(door.port());
    let (site, ..) = server.stop();
    let foreign = foreign(&site);
    hand_over("export", &site, origin, &[]);
    door.put_behind(Behind::Foreign(foreign));
    assert_eq!(uidl(door.port()), here, "the same, in the same order");
    expect(&site, &door, &[], "there");
    deliver(&site, "seven");
    expect(&site, &door, &["seven"], "new mail there");
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

fn import(site: &Site, origin: &str, flags: &[&str]) {
    hand_over("import", site, origin, flags);
}

/// The dry run proves that nothing will differ; then the import, or the export, is made.
fn hand_over(command: &str, site: &Site, origin: &str, flags: &[&str]) {
    let maildir = site.maildir();
    let maildir = maildir.to_str().unwrap();
    for dry_run in [&["--dry-run"][..], &[]] {
        let arguments = [&[command, origin, maildir], flags, dry_run].concat();
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

/// Delivers a message, in a second of its own: within one, Courier numbers octet by octet.
fn deliver(site: &Site, name: &str) {
    let second = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs()
    };
    let last = second();
    while second() == last {
        thread::sleep(Duration::from_millis(20));
    }
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
