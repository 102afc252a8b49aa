//! What is written, and what is read from whatever stands in the files.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Arc};

use proptest::prelude::*;
use restante_proto::{MessageNumber, MessageSet};

use super::*;
use crate::{
    ChangeKind, MessageTableBuilder,
    disk::{Disk, Fault, Faults},
    maildir::trial,
    said::said,
};

const BEGIN: Duration = Duration::from_secs(1_700_000_000);

struct Place {
    directory: tempfile::TempDir,
    faults: Arc<Faults>,
    mailbox: Mailbox,
    clock: Clock,
}

fn place() -> Place {
    let (directory, faults, mailbox) = trial::mailbox();
    Place {
        directory,
        faults,
        mailbox,
        clock: Clock::by_hand(BEGIN),
    }
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("restante/state").join(name)
    }

    /// A session of `count` messages, all retrieved.
    fn visit(&self, session: u64, count: u32) {
        let mut table = MessageTableBuilder::default();
        for number in 1..=count {
            let id = format!("{session}.{number}.{}", "x".repeat(40));
            table.push(UniqueId::new(id.as_bytes()).unwrap(), None);
        }
        let table = table.build();
        let numbers = (1..=count).filter_map(MessageNumber::new);
        let marks = Marks {
            retrieved: numbers.collect(),
            deleted: MessageSet::new(),
            visitor: Visitor {
                session,
                ..Visitor::default()
            },
        };
        let view = ViewName::shared();
        record(
            &self.mailbox,
            &self.clock,
            &view,
            VisitEnd::Quit,
            (&table, &marks),
        );
    }

    fn read(&self) -> Journal {
        read(&self.mailbox, &self.clock).unwrap()
    }

    /// The session numbers that are read, and how many entries are damaged.
    fn sessions(&self) -> (Vec<u64>, usize) {
        let journal = self.read();
        let sessions = journal.visits().map(|visit| visit.visitor.session);
        (sessions.collect(), journal.damaged)
    }
}

#[test]
fn a_line_says_all_in_words_that_can_be_read() {
    let mut table = MessageTableBuilder::default();
    for id in ["1.a", "2.b", "3.c", "4.d"] {
        table.push(UniqueId::new(id.as_bytes()).unwrap(), None);
    }
    let set = |numbers: &[u32]| -> MessageSet {
        let numbers = numbers.iter().filter_map(|&one| MessageNumber::new(one));
        numbers.collect()
    };
    let marks = Marks {
        retrieved: set(&[1, 2]),
        deleted: set(&[2, 4]),
        visitor: Visitor {
            session: 17,
            address: Some("::ffff:192.0.2.7".parse().unwrap()),
            mechanism: "SCRAM-SHA-256".to_owned(),
            credential: "my phone".to_owned(),
        },
    };
    let view = ViewName::new("phone").unwrap();
    let table = table.build();
    let line = line(1_700_000_000, &view, VisitEnd::Quit, (&table, &marks));
    assert_eq!(
        String::from_utf8(line.clone()).unwrap(),
        "quit 1700000000 17 phone my%20phone SCRAM-SHA-256 192.0.2.7 2 2 r:1.a rd:2.b d:4.d"
    );
    let visit = parse_line(&line).unwrap();
    assert_eq!(visit.visitor.credential, "my phone");
    assert_eq!(visit.visitor.address, Some(IpAddr::from([192, 0, 2, 7])));
    assert_eq!(visit.messages.len(), 3);
}

#[test]
fn a_change_says_who_has_done_what_for_whom() {
    let change = Change {
        made: 1_700_000_000,
        kind: ChangeKind::Restored,
        author: Some("anna as root".to_owned()),
        device: Some(ViewName::of_device("phone")),
        count: 3,
        messages: vec![b"1.a".to_vec(), b"2.b".to_vec()],
    };
    let line = change_line::line(&change);
    assert_eq!(
        String::from_utf8(line.clone()).unwrap(),
        "change restored 1700000000 anna%20as%20root phone 3 1.a 2.b"
    );
    let mut entries = Vec::new();
    assert!(take_line(&line, &mut entries));
    assert_eq!(entries, [JournalEntry::Change(change)]);
    let due = Change::due(ChangeKind::Left, 7, vec![b"1.a".to_vec()]);
    assert_eq!(change_line::line(&due), b"change left 7 - - 1 1.a");
    for line in [
        "change",
        "change left",
        "change gone 7 - - 0",
        "change left x - - 0",
        "change left 7 - - 0 1.a",
        "change left 7 - PHONE 0",
        "change left 7 - - 1 ",
    ] {
        assert!(!take_line(line.as_bytes(), &mut entries), "{line}");
    }
}

#[test]
fn a_change_of_any_size_is_one_line_of_a_bounded_length() {
    let place = place();
    let ids = (0..20_000).map(|at| format!("{at}.{}", "x".repeat(60)).into_bytes());
    let change = Change::due(ChangeKind::Left, 1_700_000_000, ids.collect());
    record_change(&place.mailbox, &change);
    let journal = place.read();
    assert_eq!(journal.damaged, 0);
    let read = journal.changes().next().unwrap();
    assert_eq!(read.count, 20_000);
    assert!((3000..20_000).contains(&read.messages.len()));
}

#[test]
fn what_is_written_is_read_and_is_for_the_owner_alone() {
    let place = place();
    assert_eq!(place.read(), Journal::default());
    place.visit(1, 2);
    place.visit(2, 3);
    assert_eq!(place.sessions(), (vec![1, 2], 0));
    let facts = fs::metadata(place.path("visits")).unwrap();
    assert_eq!(facts.permissions().mode() & 0o007, 0);
    let text = fs::read_to_string(place.path("visits")).unwrap();
    let first = text.lines().next().unwrap();
    assert!(first.ends_with(" restante visits 1 1700000000"), "{first}");
    assert!(first.len() < TITLE_OCTETS_MAX);
}

/// Promise 3: a poll of an unchanged mailbox costs no call that it did not cost before.
#[test]
fn a_session_that_did_nothing_costs_no_call() {
    let place = place();
    let before = place.faults.count();
    place.visit(1, 0);
    assert_eq!(place.faults.count(), before);
    place.visit(1, 1);
    assert!(place.faults.count() > before);
}

#[test]
fn an_entry_is_bounded_and_says_how_many_there_were() {
    let place = place();
    place.visit(1, 20_000);
    let octets = fs::metadata(place.path("visits")).unwrap().len();
    assert!(
        octets <= (TITLE_OCTETS_MAX + LINE_OCTETS_MAX) as u64,
        "{octets}"
    );
    let journal = place.read();
    assert_eq!(journal.damaged, 0);
    let visit = journal.visits().next().unwrap();
    assert_eq!(visit.retrieved, 20_000);
    assert!((4000..20_000).contains(&visit.messages.len()));
}

#[test]
fn a_full_file_becomes_the_older_one_and_the_one_before_goes() {
    let place = place();
    let mut session = 0;
    while fs::metadata(place.path("visits-older")).is_err() {
        session += 1;
        place.visit(session, 1000);
    }
    // The file was full before this session.
    assert!(session > 15, "{session}");
    assert_eq!(place.sessions(), ((1..=session).collect(), 0));
    let full = session - 1;
    while place.sessions().0[0] == 1 {
        session += 1;
        place.visit(session, 1000);
    }
    assert_eq!(place.sessions(), ((full + 1..=session).collect(), 0));
}

#[test]
fn what_is_old_is_not_shown_and_goes() {
    let place = place();
    let day = Duration::from_secs(DAY_SECONDS);
    place.visit(1, 1);
    place.clock.advance(44 * day);
    place.visit(2, 1);
    assert!(!place.path("visits-older").exists());
    place.clock.advance(day);
    place.visit(3, 1);
    assert!(place.path("visits-older").exists());
    assert_eq!(place.sessions(), (vec![1, 2, 3], 0));
    place.clock.advance(45 * day);
    assert_eq!(place.sessions(), (vec![1, 2, 3], 0));
    place.clock.advance(Duration::from_secs(1));
    assert_eq!(place.sessions(), (vec![2, 3], 0));
    place.visit(4, 1);
    assert_eq!(place.sessions(), (vec![3, 4], 0));
}

#[test]
fn a_file_that_cannot_be_turned_stops_growing() {
    let place = place();
    place.visit(1, 1);
    let lock = MailboxLock::acquire(&place.mailbox).unwrap();
    let mut session = 1;
    let said = loop {
        session += 1;
        let before = place.faults.count();
        let ((), said) = said(|| place.visit(session, 5000));
        assert!(
            place.faults.count() - before < 16,
            "a bounded number of calls"
        );
        if !said.is_empty() {
            break said;
        }
    };
    assert!(said[0].contains("state/visits not written"), "{said:?}");
    let octets = fs::metadata(place.path("visits")).unwrap().len();
    assert!(octets < FILE_OCTETS_LIMIT + LINE_OCTETS_MAX as u64);
    // It is read whole all the same, and goes on as soon as it can.
    assert_eq!(place.sessions(), ((1..session).collect(), 0));
    drop(lock);
    place.visit(session, 1);
    assert_eq!(place.sessions(), ((1..=session).collect(), 0));
}

#[test]
fn damage_costs_the_lines_it_touches() {
    let place = place();
    for session in 1..=4 {
        place.visit(session, 2);
    }
    let text = fs::read_to_string(place.path("visits")).unwrap();
    let damaged = text
        .replace(" 2.1.x", " 2.9.x")
        .replace("r:2.1.x", "r:2.9.x");
    assert_ne!(damaged, text);
    fs::write(place.path("visits"), &damaged).unwrap();
    assert_eq!(place.sessions(), (vec![1, 3, 4], 1));
    // A torn end costs what was torn, and not what comes after it.
    fs::write(place.path("visits"), &text[..text.len() - 10]).unwrap();
    assert_eq!(place.sessions(), (vec![1, 2, 3], 0));
    place.visit(5, 1);
    assert_eq!(place.sessions(), (vec![1, 2, 3, 5], 0));
}

#[test]
fn what_makes_no_sense_is_not_believed() {
    let good = b"left 1 2 shared - - - 1 1 r:a d:b";
    assert!(parse_line(good).is_some());
    for bad in [
        &b""[..],
        b"quit",
        b"went 1 2 shared - - - 1 1 r:a",
        b"quit x 2 shared - - - 1 1 r:a",
        b"quit 1 2 Sh/red - - - 1 1 r:a",
        b"quit 1 2 shared %zz - - 1 1 r:a",
        b"quit 1 2 shared - - nowhere 1 1 r:a",
        b"quit 1 2 shared - - - 1 1 r:",
        b"quit 1 2 shared - - - 1 1 r:a\x07",
        b"quit 1 2 shared - - - 1 1 x:a",
        // More named than counted.
        b"quit 1 2 shared - - - 1 1 r:a r:b",
        b"quit 1 2 shared - - - 1 0 rd:a",
        b"quit 1 2 shared - - - 1 1 ",
    ] {
        assert_eq!(parse_line(bad), None, "{}", bad.escape_ascii());
    }
}

#[test]
fn something_else_in_its_place_costs_a_line_in_the_log() {
    let place = place();
    place.mailbox.state().unwrap();
    for make in [
        |path: &std::path::Path| fs::create_dir(path).unwrap(),
        |path: &std::path::Path| std::os::unix::fs::symlink("elsewhere", path).unwrap(),
        |path: &std::path::Path| {
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0)
                .unwrap();
        },
    ] {
        let path = place.path("visits");
        make(&path);
        let ((), said) = said(|| place.visit(1, 1));
        assert!(said[0].contains("state/visits not written"), "{said:?}");
        assert!(read(&place.mailbox, &place.clock).is_err());
        if fs::remove_file(&path).is_err() {
            fs::remove_dir(&path).unwrap();
        }
    }
}

#[test]
fn the_failure_of_any_one_call_costs_one_entry_at_most() {
    for at in 0.. {
        let place = place();
        place.visit(1, 1);
        let directory = place.directory.path();
        let faults = Arc::new(Faults::input_output(Fault::Once(at)));
        let disk = Disk::with_faults(Arc::clone(&faults));
        if let Ok(mailbox) = Mailbox::open(&disk, directory) {
            let failing = Place {
                mailbox,
                directory: tempfile::tempdir().unwrap(),
                faults: Arc::clone(&faults),
                clock: place.clock.clone(),
            };
            failing.visit(2, 1);
        }
        place.visit(3, 1);
        let (sessions, _) = place.sessions();
        let all_but_the_failed = sessions == [1, 3] || sessions == [1, 2, 3];
        assert!(all_but_the_failed, "call {at}: {sessions:?}");
        if faults.count() <= at {
            assert_eq!(sessions, [1, 2, 3]);
            break;
        }
    }
}

#[test]
fn sessions_that_end_at_the_same_time_all_stand_in_the_journal() {
    let place = place();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let place = &place;
            scope.spawn(move || {
                for session in 0..50 {
                    place.visit(worker * 50 + session, 20);
                }
            });
        }
    });
    let (mut sessions, damaged) = place.sessions();
    sessions.sort_unstable();
    assert_eq!((sessions, damaged), ((0..200).collect(), 0));
}

proptest! {
    #[test]
    fn any_octets_are_read_without_panic(octets in prop::collection::vec(any::<u8>(), 0..2000)) {
        fuzz_visits_file(&octets);
    }

    #[test]
    fn what_is_like_a_line_is_read_without_panic(line in "(quit|left) [0-9]{1,3} [0-9]{1,3} [a-z]{1,9} [a-z%2]{1,5} - (-|1.2.3.4) [0-9] [0-9]( (r|d|rd):[a-z]{1,3}){0,4}") {
        fuzz_visits_file(line.as_bytes());
    }
}
