//! Mail that is handed on to the mail servers of others, by LMTP and SMTP: every message arrives
//! once, octet for octet, and what they refuse stays where it is.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    thread,
    time::{Duration, Instant},
};

use super::stranger::{Door, Letter, Stranger, letters};
use crate::{
    foreign_servers::{DovecotLmtp, Exim, MailServer, Postfix, READER, Way},
    program::user::{PATIENCE, Ran, User},
};

/// Fields that they put before a message.
const TRACE: [&str; 4] = [
    "Return-Path: ",
    "Received: ",
    "X-Original-To: ",
    "Delivered-To: ",
];

/// What servers trip over: dots, lines like those of an mbox, 8 bits, empty lines at the end, lines
/// as long as they may be, many octets.
fn mail() -> Vec<Letter> {
    let mut mail = letters(6, 300);
    let mut add = |body: &[u8]| {
        let number = mail.len() + 1;
        let header = format!(
            "Date: Thu, 26 Nov 2026 00:00:00 +0000\r\nMessage-ID: <{number}@example.com>\r\n\
             From: <a@example.com>\r\nSubject: letter {number}\r\n\r\n"
        );
        let octets = [header.as_bytes(), body].concat();
        mail.push(Letter { number, octets });
    };
    add(b"");
    add(b"\r\n\r\n\r\n");
    add(b".\r\n..\r\n...\r\n.a\r\n\r\n.\r\n");
    add(b"From me\r\n>From me\r\n\r\nFrom a@b Thu Nov 26 00:00:00 2026\r\n");
    add(b"8 bits: \xE4\xF6\xFC \xFF\xFE\r\n");
    add(&[&[b'x'; 990][..], b"\r\n"].concat());
    add(&b".another line\r\n".repeat(40_000));
    mail
}

/// Somebody who collects from one server, and has it handed on to another.
struct Person {
    user: User,
    source: Stranger,
}

impl Person {
    fn new(mail: Vec<Letter>) -> Self {
        Self {
            user: User::new(),
            source: Stranger::open(Door::Clear, mail),
        }
    }

    fn fetch(&self, deliver: &str) -> Ran {
        let text = format!(
            "state = \"state\"\n[[account]]\nname = \"work\"\nserver = \"127.0.0.1\"\n\
             tls = \"none\"\nport = {}\nuser = \"me\"\npassword = \"secret\"\nkeep = \"delete\"\n\
             deliver = {deliver}\n",
            self.source.port
        );
        let path = self.user.path("fetch.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        self.user
            .run(&["fetch", "--config", path.to_str().unwrap()])
    }

    /// The numbers of the messages that are still to be collected.
    fn left(&self) -> Vec<usize> {
        let letters = self.source.letters().into_iter();
        letters.map(|letter| letter.number).collect()
    }
}

/// Waits until the server has put so many messages into the mailbox; it may do so when it has long
/// said that it will. Each of `mail` is there once, and nothing else.
#[track_caller]
fn assert_taken(server: &dyn MailServer, mail: &[Letter]) {
    let begun = Instant::now();
    while server.taken().len() < mail.len() && begun.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(50));
    }
    let name = server.name();
    let mut taken = server.taken();
    for letter in mail {
        let is_it = |taken: &Vec<u8>| {
            let trace = taken.strip_suffix(letter.octets.as_slice());
            trace.is_some_and(is_trace)
        };
        let at = taken.iter().position(is_it);
        let at = at.unwrap_or_else(|| panic!("{name}: {}\n{}", letter.number, server.log()));
        taken.remove(at);
    }
    assert!(taken.is_empty(), "{name}: {taken:?}");
}

/// Nothing but fields that tell of the way of a message.
fn is_trace(octets: &[u8]) -> bool {
    let text = String::from_utf8_lossy(octets);
    let mut lines = text.split_terminator("\r\n");
    lines.all(|line| line.starts_with(['\t', ' ']) || TRACE.iter().any(|it| line.starts_with(it)))
}

/// `refusal`: how one message that the server does not want is refused.
fn hand_on_to(server: &dyn MailServer, refusal: &str) {
    let name = server.name();
    let mut all = mail();
    let wanted = all.clone();
    // Too large for one, and of a subject that the others refuse.
    let never = format!(
        "Date: Thu, 26 Nov 2026 00:00:00 +0000\r\nMessage-ID: <never@example.com>\r\n\
         From: <a@example.com>\r\nSubject: never\r\n\r\n{}",
        "a line of a message that nobody wants\r\n".repeat(40_000)
    );
    let number = all.len() + 1;
    let octets = never.into_bytes();
    all.insert(3, Letter { number, octets });
    let person = Person::new(all.clone());

    // Whom they do not know gets nothing, and nothing is lost.
    let ran = person.fetch(&server.deliver("nobody"));
    ran.refused(78, "takes no mail: the server says 550");
    assert_eq!(person.left().len(), all.len(), "{name}: {ran:?}");
    assert_taken(server, &[]);

    let ran = person.fetch(&server.deliver(READER));
    assert_eq!(ran.code, 76, "{name}: {ran:?}\n{}", server.log());
    assert!(ran.stderr.contains(refusal), "{name}: {ran:?}");
    assert_taken(server, &wanted);
    assert_eq!(person.left(), [number], "{name}: {ran:?}");

    // It stays, is told, and keeps nothing from coming.
    let ran = person.fetch(&server.deliver(READER));
    assert_eq!(ran.code, 76, "{name}: {ran:?}");
    assert_eq!(person.left(), [number], "{name}: {ran:?}");
    assert_taken(server, &wanted);
}

// PRJ-FETCH-13
#[test]
fn e2e_prj_fetch_13_dovecot_takes_mail_by_lmtp() {
    for way in [Way::Socket, Way::Tcp] {
        // What is too large, it may take later: the limit may change.
        let refusal = "cannot take the message now: the server says 451 4.2.0";
        hand_on_to(&DovecotLmtp::start(way), refusal);
    }
}

// PRJ-FETCH-13
#[test]
fn e2e_prj_fetch_13_exim_takes_mail_by_smtp() {
    hand_on_to(&Exim::start(), "refuses the message: the server says 550");
}

// PRJ-FETCH-13
#[test]
fn e2e_prj_fetch_13_postfix_takes_mail_by_smtp() {
    hand_on_to(
        &Postfix::start(),
        "refuses the message: the server says 550",
    );
}

// PRJ-FETCH-13
#[test]
fn e2e_what_exim_puts_off_stays_and_comes_once_when_it_takes_it() {
    let server = Exim::start();
    let mut all = letters(4, 300);
    let text = String::from_utf8(all[1].octets.clone()).unwrap();
    all[1].octets = text.replace("Subject: letter 2", "Subject: later").into();
    let person = Person::new(all.clone());
    let ran = person.fetch(&server.deliver(READER));
    assert_ne!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("451"), "{ran:?}");
    let others = [all[0].clone(), all[2].clone(), all[3].clone()];
    assert_taken(&server, &others);
    assert_eq!(person.left(), [2]);
    server.take_all();
    let ran = person.fetch(&server.deliver(READER));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_taken(&server, &all);
    assert_eq!(person.left(), [0; 0]);
}
