//! `restante fetch` against the servers of others: every message arrives once, octet for octet, at
//! several destinations, and is kept or deleted as wanted.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

use super::{
    COURIER, CYRUS, DOVECOT, Duration, Expected, Instant, MAILUTILS, PATIENCE, POPA3D, SOLID_POP3D,
    letters, thread,
};
use crate::{
    foreign_servers::{
        Courier, Cyrus, Dovecot, DovecotLmtp, Exim, ForeignServer, MailServer, Mailutils, Popa3d,
        Postfix, READER, SolidPop3d, Way,
    },
    server::PASSWORD,
};

/// Somebody who collects from a server.
struct Collector<'s> {
    server: &'s dyn ForeignServer,
    home: TempDir,
    /// Mail servers that get it too, as `deliver` says it.
    mail_servers: Vec<String>,
}

impl<'s> Collector<'s> {
    fn new(server: &'s dyn ForeignServer) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("handed")).unwrap();
        Self {
            server,
            home,
            mail_servers: Vec::new(),
        }
    }

    /// Runs it once; a server that still holds a lock of the session before is asked again.
    fn fetch(&self, keep: &str) -> Output {
        let address = self.server.address();
        let path = self.home.path();
        // The program counts what it has got, and numbers the next.
        let program = format!("cat > {0}/$(ls {0} | wc -l)", path.join("handed").display());
        let more: String = self
            .mail_servers
            .iter()
            .map(|it| format!(", {it}"))
            .collect();
        let text = format!(
            "state = \"state\"\n[[account]]\nname = \"work\"\nserver = \"{}\"\nport = {}\n\
             tls = \"none\"\nuser = \"{READER}\"\npassword = \"{PASSWORD}\"\napop = true\n\
             keep = \"{keep}\"\ndeliver = [{{ maildir = \"Mail\", line_ends = \"crlf\" }}, \
             {{ mbox = \"copy.mbox\" }}, {{ command = [\"/bin/sh\", \"-c\", \"{program}\"] }}{more}]\n",
            address.ip(),
            address.port(),
        );
        let file = path.join("fetch.toml");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let given_up = Instant::now() + PATIENCE;
        loop {
            let output = Command::new(env!("CARGO_BIN_EXE_restante"))
                .args(["fetch", "--config"])
                .arg(&file)
                .current_dir(path)
                .env("HOME", path)
                .stdin(Stdio::null())
                .output()
                .unwrap();
            match output.status.code() {
                Some(0) => return output,
                Some(75) if Instant::now() < given_up => thread::sleep(Duration::from_millis(100)),
                _ => panic!("{output:?}\n{}", self.server.log()),
            }
        }
    }

    /// What has arrived, without what the server adds, sorted.
    fn mail(&self) -> Vec<Vec<u8>> {
        let files = |folder: &Path| fs::read_dir(folder).into_iter().flatten();
        let files = files(&self.home.path().join("Mail/new"));
        let read = |file: std::io::Result<fs::DirEntry>| fs::read(file.unwrap().path()).unwrap();
        let mut mail: Vec<_> = files.map(|file| self.server.undo(read(file))).collect();
        mail.sort();
        mail
    }

    fn handed(&self) -> usize {
        fs::read_dir(self.home.path().join("handed"))
            .unwrap()
            .count()
    }

    fn in_mbox(&self) -> usize {
        let mbox = fs::read(self.home.path().join("copy.mbox")).unwrap();
        let lines = mbox.split(|&octet| octet == b'\n');
        lines.filter(|line| line.starts_with(b"From ")).count()
    }
}

/// `again`: letters that the server changes after their first session, and that have neither a
/// date nor a Message-ID to know them by. They come once more: nothing lost is more than nothing
/// twice.
fn fetch_from(server: &dyn ForeignServer, expected: &Expected, again: &[&str]) {
    let letters = letters(expected.refused);
    let owed = letters.iter().map(|letter| {
        let owed = server.deliver(&letter.stored);
        (letter.name, owed)
    });
    let mut owed: Vec<(&str, Vec<u8>)> = owed.collect();
    owed.retain(|(name, _)| !expected.altered.contains(name));
    let (stored, count) = (letters.len(), letters.len() + again.len());
    let collector = Collector::new(server);
    let ran = collector.fetch("forever");
    let mail = collector.mail();
    assert_eq!(mail.len(), stored, "{ran:?}\n{}", server.log());
    for (name, message) in &owed {
        assert!(mail.contains(message), "{name}");
    }
    assert_eq!((collector.handed(), collector.in_mbox()), (stored, stored));
    assert_eq!(server.stored().len(), stored, "it is kept");

    // Nothing comes twice, not to be kept and not to be deleted. What the server goes on changing
    // may: it is never deleted unread.
    let strictly = again.is_empty();
    let once_more = collector.fetch("forever");
    let mail = collector.mail();
    assert_eq!(mail.len(), count, "{once_more:?}\n{}", server.log());
    for (name, message) in &owed {
        let times = mail.iter().filter(|it| it == &message).count();
        // Some letters look alike; their number together is right.
        assert!(times > usize::from(again.contains(name)), "{name}");
    }
    let last = collector.fetch("delete");
    let mail = collector.mail();
    assert!(mail.len() == count || !strictly, "{once_more:?} {last:?}");
    assert!(mail.len() <= count + again.len(), "{once_more:?} {last:?}");
    assert_eq!(
        (collector.handed(), collector.in_mbox()),
        (mail.len(), mail.len())
    );
    // Some say goodbye before they delete.
    let given_up = Instant::now() + PATIENCE;
    while !server.stored().is_empty() && Instant::now() < given_up {
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(server.stored().len(), 0, "{last:?}\n{}", server.log());

    // What comes later comes, and goes at once.
    server.deliver(b"Subject: later\n\nThis is later.\n");
    let later = collector.fetch("delete");
    assert_eq!(collector.mail().len(), mail.len() + 1, "{later:?}");
    while !server.stored().is_empty() && Instant::now() < given_up + PATIENCE {
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(server.stored().len(), 0, "{later:?}\n{}", server.log());
}

/// Waits until a mail server has put so many messages into the mailbox, and no more; it may do so
/// when it has long said that it will.
#[track_caller]
fn assert_taken(server: &dyn MailServer, owed: &[Vec<u8>]) {
    let given_up = Instant::now() + PATIENCE;
    while server.taken().len() < owed.len() && Instant::now() < given_up {
        thread::sleep(Duration::from_millis(50));
    }
    let (name, taken) = (server.name(), server.taken());
    assert_eq!(taken.len(), owed.len(), "{name}\n{}", server.log());
    for message in owed {
        let is_it = |taken: &Vec<u8>| taken.ends_with(message);
        assert!(taken.iter().any(is_it), "{name}: {taken:?}");
    }
}

// PRJ-FETCH-13
#[test]
fn e2e_mail_goes_from_a_real_server_to_real_servers_and_files_and_is_kept_as_wanted() {
    let source = Dovecot::start();
    let places: [&dyn MailServer; 3] = [
        &DovecotLmtp::start(Way::Socket),
        &Exim::start(),
        &Postfix::start(),
    ];
    let mut collector = Collector::new(&source);
    collector.mail_servers = places.iter().map(|it| it.deliver(READER)).collect();
    let letter = |number: usize| {
        let head = "Date: Thu, 26 Nov 2026 00:00:00 +0000\nFrom: <a@example.com>\n";
        let body = ".\n..\nFrom me\n\n8 bits: \u{e4}\n\n";
        format!("{head}Message-ID: <{number}@example.com>\nSubject: letter {number}\n\n{body}")
    };
    let mut owed: Vec<Vec<u8>> = (1..=3)
        .map(|number| source.deliver(letter(number).as_bytes()))
        .collect();
    // What is to stay stays, and comes once; what comes later comes too.
    for keep in ["forever", "30d", "30d"] {
        let ran = collector.fetch(keep);
        assert_eq!(source.stored().len(), owed.len(), "{keep}: {ran:?}");
        assert_eq!(collector.mail(), owed, "{keep}");
        assert_eq!(
            (collector.handed(), collector.in_mbox()),
            (owed.len(), owed.len())
        );
        for place in places {
            assert_taken(place, &owed);
        }
        let number = owed.len() + 1;
        owed.push(source.deliver(letter(number).as_bytes()));
    }
    let ran = collector.fetch("delete");
    assert_eq!(source.stored().len(), 0, "{ran:?}");
    assert_eq!(collector.mail(), owed);
    assert_eq!(
        (collector.handed(), collector.in_mbox()),
        (owed.len(), owed.len())
    );
    for place in places {
        assert_taken(place, &owed);
    }
}

#[test]
fn e2e_the_collector_empties_cyrus() {
    fetch_from(&Cyrus::start(), &CYRUS, &[]);
}

#[test]
fn e2e_the_collector_empties_dovecot() {
    fetch_from(&Dovecot::start(), &DOVECOT, &[]);
}

#[test]
fn e2e_the_collector_empties_courier() {
    fetch_from(&Courier::start(), &COURIER, &[]);
}

#[test]
fn e2e_the_collector_empties_mailutils() {
    let again = ["8-bit header", "mixed ends", "body only"];
    fetch_from(&Mailutils::start(), &MAILUTILS, &again);
}

#[test]
fn e2e_the_collector_empties_popa3d() {
    fetch_from(&Popa3d::start(), &POPA3D, &[]);
}

#[test]
fn e2e_the_collector_empties_solid_pop3d() {
    fetch_from(&SolidPop3d::start(), &SOLID_POP3D, &[]);
}
