//! `restante import pop3`: what a living server lists is taken over for mail that is here already,
//! for sure or not at all; and the server is left as it was.

mod liar;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use self::liar::{Liar, Lie};
use crate::corpus::{self, Letter};
use crate::foreign_servers::{Courier, Cyrus, Dovecot, ForeignServer, READER};
use crate::import::files_below;
use crate::server::{PASSWORD, Server, Site, USER};
use crate::wire::Wire;

/// What one run has said.
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

/// A site whose mail is what another server has, and the file with the passwords.
struct Move {
    site: Site,
}

impl Move {
    fn new(letters: &[Letter]) -> Self {
        let moved = Self {
            site: Site::new(letters),
        };
        moved.write_logins(&format!("{USER}\t{READER}\t{PASSWORD}\n"), 0o600);
        moved
    }

    fn logins(&self) -> PathBuf {
        self.site.path().join("logins")
    }

    fn write_logins(&self, text: &str, mode: u32) {
        fs::write(self.logins(), text).unwrap();
        fs::set_permissions(self.logins(), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn command(&self, host: &str, flags: &[&str]) -> Command {
        let mut command = self.site.program(&["import", "pop3", host]);
        command.arg("--accounts").arg(self.logins()).args(flags);
        command
    }

    fn run(&self, host: &str, flags: &[&str]) -> Ended {
        let output = self.command(host, flags).output().unwrap();
        let [stdout, stderr] =
            [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
        // PRJ-SEC-2.
        assert!(!stdout.contains(PASSWORD) && !stderr.contains(PASSWORD));
        let code = output.status.code().unwrap();
        Ended {
            code,
            stdout,
            stderr,
        }
    }

    /// Without TLS, at this address.
    fn run_in_the_clear(&self, server: std::net::SocketAddr, flags: &[&str]) -> Ended {
        let port = server.port().to_string();
        let flags = [&["--tls=none", "--port", &port][..], flags].concat();
        self.run(&server.ip().to_string(), &flags)
    }

    /// Every file of the mailbox, with what is in it.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        files_below(&self.site.maildir())
    }
}

fn letter(name: &'static str) -> Letter {
    let text = format!("From: a@example.org\nSubject: {name}\n\nThis is {name}.\n");
    Letter::new(name, text)
}

fn letters() -> Vec<Letter> {
    ["one", "two", "three", "four", "five"].map(letter).to_vec()
}

/// UIDL, and each unique-id's message, as the server at this address has them.
fn listing(address: std::net::SocketAddr, name: &str) -> (String, BTreeMap<String, Vec<u8>>) {
    let mut wire = Wire::unread(address);
    wire.line();
    wire.log_in(name);
    let uidl = String::from_utf8(wire.lines("UIDL")).unwrap();
    let mut messages = BTreeMap::new();
    for line in uidl.lines().filter(|line| line.contains(' ')) {
        let (number, id) = line.split_once(' ').unwrap();
        messages.insert(id.to_owned(), wire.lines(&format!("RETR {number}")));
    }
    wire.command("QUIT");
    wire.until_closed();
    (uidl, messages)
}

/// The dry run proves, the import stores, and then both servers list the same.
fn comes_over(other: &dyn ForeignServer, ways: &[&[&str]], first: &str, last: &str) {
    let moved = Move::new(&letters());
    for letter in letters() {
        other.deliver(&letter.stored);
    }
    let host = other.address().ip().to_string();
    let before = moved.files();
    for way in ways {
        let dry = moved.run(&host, &[way, &["--dry-run"][..]].concat());
        assert_eq!(dry.code, 0, "{}{}", dry.stdout, dry.stderr);
        let said = format!("{USER}: 5 messages as before; `");
        assert!(dry.stdout.starts_with(&said), "{}", dry.stdout);
        assert!(
            dry.stdout.contains(first) && dry.stdout.contains(last),
            "{}",
            dry.stdout
        );
        assert!(
            dry.stdout.ends_with("; 5 unique-ids to store\n"),
            "{}",
            dry.stdout
        );
        assert!(
            dry.stderr
                .contains("1 mailbox listed as before; nothing was stored")
        );
        assert_eq!(moved.files(), before, "nothing was written");
    }
    let real = moved.run(&host, ways[0]);
    assert_eq!(real.code, 0, "{}", real.stderr);
    assert!(
        real.stdout.ends_with("; 5 unique-ids stored\n"),
        "{}",
        real.stdout
    );
    let stored = moved.files();
    let again = moved.run(&host, &[ways[0], &["--json"]].concat());
    let object: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(
        (again.code, &object["status"], &object["stored"]),
        (0, &"same".into(), &0.into())
    );
    assert_eq!(moved.files(), stored, "a second run changes nothing");

    assert_eq!(other.stored().len(), 5, "nothing was deleted there");
    let theirs = listing(other.address(), READER);
    let server = Server::at(moved.site);
    let ours = listing(server.plain, USER);
    assert_eq!(ours, theirs);
}

#[test]
fn e2e_import_from_a_living_dovecot() {
    let other = Dovecot::configured(
        "auth_master_user_separator = *\n\
         passdb {\n  driver = static\n  args = password=master's\n  master = yes\n}\n",
    );
    let (ca, tls_port) = (
        other.authority().unwrap(),
        other.tls_address().unwrap().port(),
    );
    let (ca, tls_port) = (ca.to_str().unwrap(), tls_port.to_string());
    let port = other.address().port().to_string();
    comes_over(
        &other,
        &[
            &["--port", &tls_port, "--ca-file", ca],
            &["--port", &port, "--tls=stls", "--ca-file", ca],
            &["--port", &port, "--tls=none"],
        ],
        "`00000001",
        "`00000005",
    );

    // A master user, whose lines hold no passwords; and a certificate that nobody believes.
    let moved = Move::new(&letters());
    moved.write_logins(&format!("# all of them\n\n{USER}\t{READER}\n"), 0o600);
    let file = moved.site.path().join("master");
    fs::write(&file, "master's\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let master = [
        "--master=root",
        "--master-password-file",
        file.to_str().unwrap(),
    ];
    let host = other.address().ip().to_string();
    let way = [&["--port", &tls_port, "--ca-file", ca][..], &master].concat();
    let done = moved.run(&host, &way);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    // Or believed by its fingerprint alone.
    let certificate = other.authority().unwrap().with_file_name("certificate.pem");
    let pin = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(certificate)
        .output()
        .unwrap();
    let pin = String::from_utf8(pin.stdout).unwrap();
    let (_, pin) = pin.trim().split_once('=').unwrap();
    let pinned = [&["--port", &tls_port, "--pin", pin][..], &master].concat();
    assert_eq!(moved.run(&host, &pinned).code, 0);
    let other_pin = pin.replace(['A', 'B', 'C'], "0");
    let unpinned = [&["--port", &tls_port, "--pin", &other_pin][..], &master].concat();
    assert_eq!(moved.run(&host, &unpinned).code, 77);
    let stranger = moved.run(
        &host,
        &["--port", &tls_port, "-n", master[0], master[1], master[2]],
    );
    assert_eq!(stranger.code, 77, "{}", stranger.stderr);
    assert!(
        stranger.stderr.contains("signed by nobody who is believed"),
        "{}",
        stranger.stderr
    );
}

#[test]
fn e2e_import_from_a_living_courier() {
    let other = Courier::start();
    let ca = other.authority().unwrap();
    let port = other.address().port().to_string();
    let stls = [
        "--port",
        &port,
        "--tls=stls",
        "--ca-file",
        ca.to_str().unwrap(),
    ];
    comes_over(&other, &[&stls], "`UID1-", "`UID5-");
}

#[test]
fn e2e_import_from_a_living_cyrus() {
    let other = Cyrus::start();
    // It adds header fields to what it takes: the mail that moves is what it has.
    let owed = letters().map_into_owed(&other);
    let moved = Move::new(&owed);
    let port = other.address().port().to_string();
    let flags = ["--port", &port, "--tls=none"];
    let host = other.address().ip().to_string();
    let done = moved.run(&host, &flags);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    let theirs = listing(other.address(), READER);
    let server = Server::at(moved.site);
    assert_eq!(listing(server.plain, USER), theirs);
}

trait Owed {
    fn map_into_owed(self, other: &dyn ForeignServer) -> Vec<Letter>;
}

impl Owed for Vec<Letter> {
    fn map_into_owed(self, other: &dyn ForeignServer) -> Vec<Letter> {
        let owed = self.into_iter();
        owed.map(|letter| Letter::new(letter.name, other.deliver(&letter.stored)))
            .collect()
    }
}

#[test]
fn e2e_import_matches_by_content_and_never_by_number() {
    let other = Dovecot::start();
    // The same header: the body decides. The same message twice: nobody can tell. Cut: LIST there
    // is too short. Without header: the whole counts.
    let twin = |body: &str| format!("Subject: twin\n\n{body}\n");
    let texts = [
        ("one", letter("one").stored),
        ("twin a", twin("a").into_bytes()),
        ("twin b", twin("b").into_bytes()),
        ("copy", b"Subject: copy\n\nx\n".to_vec()),
        ("copy again", b"Subject: copy\n\nx\n".to_vec()),
        ("cut", b"Subject: cut\n\nno end".to_vec()),
        ("body only", b"\nno header\n".to_vec()),
        ("there alone", letter("there alone").stored),
    ];
    for (_, text) in &texts {
        other.deliver(text);
    }
    // Here in another order, without the last one, and with one more of the same size as `one`.
    let mut here: Vec<Letter> = texts[..7]
        .iter()
        .rev()
        .map(|(name, text)| Letter::new(name, text.clone()))
        .collect();
    here.push(letter("uno"));
    let moved = Move::new(&here);
    let dry = moved.run_in_the_clear(other.address(), &["--dry-run", "--json"]);
    assert_eq!(dry.code, 65, "{}", dry.stderr);
    let object: Value = serde_json::from_str(&dry.stdout).unwrap();
    let kinds = |kind: &str| {
        let all = object["differences"].as_array().unwrap().iter();
        all.filter(|it| it["kind"] == kind).count()
    };
    let found = ["absent", "size", "unlisted", "unique-id"].map(kinds);
    assert_eq!(
        (found, object["messages"].as_u64()),
        ([1, 1, 1, 0], Some(7)),
        "{object}"
    );
    assert!(kinds("order") > 0);

    let real = moved.run_in_the_clear(other.address(), &[]);
    assert_eq!(real.code, 65, "{}", real.stderr);
    assert!(
        real.stdout.contains("message 8 there, `00000008"),
        "{}",
        real.stdout
    );
    assert!(
        real.stderr
            .contains("1 message there could not be found here for sure")
    );
    let (_, theirs) = listing(other.address(), READER);
    let server = Server::at(moved.site);
    let (_, ours) = listing(server.plain, USER);
    let mut kept = 0;
    for (id, message) in &ours {
        if let Some(theirs) = theirs.get(id) {
            assert_eq!(message, theirs, "{id}");
            kept += 1;
        }
    }
    assert_eq!((kept, ours.len(), theirs.len()), (7, 8, 8));
}

#[test]
fn e2e_import_tells_a_wrong_password_from_trouble() {
    let other = Dovecot::start();
    let moved = Move::new(&letters());
    moved.write_logins(&format!("{USER}\t{READER}\t{PASSWORD} wrong\n"), 0o600);
    let before = moved.files();
    let wrong = moved.run_in_the_clear(other.address(), &[]);
    assert_eq!(wrong.code, 77, "{}", wrong.stderr);
    let said = format!("error: `{USER}` is left as it was: the server refuses the login: ");
    assert!(wrong.stderr.contains(&said), "{}", wrong.stderr);
    let address = other.address();
    drop(other);
    moved.write_logins(&format!("{USER}\t{READER}\t{PASSWORD}\n"), 0o600);
    let nobody = moved.run_in_the_clear(address, &[]);
    assert_eq!(nobody.code, 75, "{}", nobody.stderr);
    assert_eq!(moved.files(), before);
}

#[test]
fn import_asks_for_passwords_that_nobody_else_can_read() {
    let moved = Move::new(&letters());
    let liar = Liar::start(&letters(), Lie::None);
    for (text, mode, said) in [
        (
            format!("{USER}\t{READER}\t{PASSWORD}\n"),
            0o640,
            "is open to others",
        ),
        (
            format!("# accounts\n{PASSWORD}\n"),
            0o600,
            ":2: this is no account with a password",
        ),
        ("\n".to_owned(), 0o600, "there are no accounts in"),
    ] {
        moved.write_logins(&text, mode);
        let refused = moved.run_in_the_clear(liar.address(), &[]);
        assert_eq!(refused.code, 65, "{}", refused.stderr);
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
    }
    moved.write_logins(&format!("nobody@example.com:{PASSWORD}\n"), 0o600);
    let unknown = moved.run_in_the_clear(liar.address(), &[]);
    assert_eq!(unknown.code, 67, "{}", unknown.stderr);
    assert!(
        unknown
            .stderr
            .contains("there is no account `nobody@example.com`")
    );
    assert_eq!(liar.heard(), [""; 0]);
    let elsewhere = moved.run("192.0.2.1", &["--tls=none", "--port=1"]);
    assert_ne!(elsewhere.code, 0);
}

#[test]
fn import_believes_nothing_that_a_server_cannot_show() {
    for (lie, code, said) in [
        (Lie::NoUidl, 76, "the other server has no unique-ids"),
        (Lie::Uneven, 76, "by LIST or by UIDL alone"),
        (Lie::Changes, 76, "has changed within the session"),
        (
            Lie::OtherMail,
            65,
            "none of the 5 messages there is one of the 5 here",
        ),
        (Lie::Silence, 75, "is left as it was"),
        (
            Lie::InUse,
            75,
            "is left as it was: the server refuses the login",
        ),
        (Lie::Garbage, 76, "is left as it was"),
    ] {
        let moved = Move::new(&letters());
        let before = moved.files();
        let liar = Liar::start(&letters(), lie);
        let ended = moved.run_in_the_clear(liar.address(), &[]);
        assert_eq!(
            ended.code, code,
            "{lie:?}: {}{}",
            ended.stdout, ended.stderr
        );
        assert!(ended.stderr.contains(said), "{lie:?}: {}", ended.stderr);
        assert_eq!(moved.files(), before, "{lie:?}");
        assert!(!liar.heard().iter().any(|line| line.starts_with("DELE")));
    }
}

#[test]
fn import_takes_over_what_is_sure_and_replaces_what_is_not_legal() {
    for (lie, said) in [
        (Lie::Repeats, "another message has it too"),
        (Lie::OverLong, "it is not legal: unique-id of 100 octets"),
        (Lie::Escapes, "it is not legal"),
        (Lie::RefusesTop, "5 messages as before"),
        (Lie::RefusesAll, "is it another mailbox?"),
        (Lie::Swaps, "message 1 becomes message 2"),
    ] {
        let moved = Move::new(&letters());
        let liar = Liar::start(&letters(), lie);
        let dry = moved.run_in_the_clear(liar.address(), &["-n"]);
        let wanted = match lie {
            Lie::RefusesTop => 0,
            _ => 65,
        };
        assert_eq!(dry.code, wanted, "{lie:?}: {}{}", dry.stdout, dry.stderr);
        let shown = dry.stdout + &dry.stderr;
        assert!(shown.contains(said), "{lie:?}: {shown}");
        assert!(!shown.contains('\u{1b}'), "{lie:?}: {shown:?}");
        assert!(!liar.heard().iter().any(|line| line.starts_with("DELE")));
    }
}

#[test]
fn an_interrupted_import_goes_on() {
    const ACCOUNTS: usize = 12;
    let moved = Move::new(&[]);
    let names: Vec<String> = (0..ACCOUNTS)
        .map(|n| format!("user{n:02}@example.com"))
        .collect();
    moved.site.write_names(&names);
    let lines: Vec<String> = names
        .iter()
        .map(|name| format!("{name}:{PASSWORD}\n"))
        .collect();
    moved.write_logins(&lines.concat(), 0o600);
    for name in &names {
        corpus::write_maildir(&moved.site.maildir_of(name), &letters());
    }
    let liar = Liar::start(&letters(), Lie::Slow);
    let port = liar.address().port().to_string();
    let flags = ["--tls=none", "--port", &port, "--connections=2"];
    let mut first = moved.command("127.0.0.1", &flags).spawn().unwrap();
    let is_stored = |name: &&String| {
        let state = moved
            .site
            .maildir_of(name)
            .join("restante/state/unique-ids");
        fs::read_to_string(state).is_ok_and(|state| state.matches(" import ").count() == 5)
    };
    while names.iter().filter(is_stored).count() < 2 {
        assert_eq!(first.try_wait().unwrap(), None);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(names.iter().filter(is_stored).count() < ACCOUNTS);
    assert!(liar.at_once() <= 2);
    let heard = liar.heard().len();
    let second = moved.run("127.0.0.1", &flags);
    assert_eq!(second.code, 0, "{}", second.stderr);
    assert_eq!(second.stdout.lines().count(), ACCOUNTS);
    assert_eq!(names.iter().filter(is_stored).count(), ACCOUNTS);
    // Who is done costs no message.
    let tops = |lines: &[String]| lines.iter().filter(|line| line.starts_with("TOP")).count();
    assert!(tops(&liar.heard()[heard..]) <= 5 * (ACCOUNTS - 2));
    let third = liar.heard().len();
    assert_eq!(moved.run("127.0.0.1", &flags).code, 0);
    assert_eq!(tops(&liar.heard()[third..]), 0);
}
