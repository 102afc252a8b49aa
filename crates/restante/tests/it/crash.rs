//! The process is killed at random moments: nothing acknowledged is lost, nothing undeleted gone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::server::{Server, Site, USER};
use crate::wire::{Wire, status};

const KILLS: usize = 200;
const MESSAGES: usize = 24;

/// Pseudo-random numbers with a fixed beginning: a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// What is known of the mailbox, by the subject of each message.
#[derive(Default)]
struct Known {
    /// Never deleted: must be there, under this unique-id once it was seen.
    kept: BTreeMap<String, Option<String>>,
    /// Deleted without an answer: may be there or not, until seen.
    open: BTreeSet<String>,
    /// Deleted and acknowledged: must not be there.
    gone: BTreeSet<String>,
}

/// `kill -9` during QUIT with many deletions (PRJ-QUIT-6, R1939-QUIT-4).
#[test]
fn crash_kill_during_quit_loses_nothing() {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut site = Site::new(&[]);
    let mut known = Known::default();
    let (mut acknowledged, mut unanswered) = (0, 0);
    for round in 0..KILLS {
        refill(&site, &mut known, round);
        let server = Server::at(site);
        let mut wire = Wire::plain(&server).logged_in();
        let numbers = check_listing(&mut wire, &mut known);
        let (mut doomed, mut commands) = (BTreeSet::new(), String::new());
        for (subject, number) in &numbers {
            if dice.below(2) == 0 {
                commands.push_str(&format!("DELE {number}\r\n"));
                doomed.insert(subject.clone());
            }
        }
        wire.send(commands.as_bytes());
        for _ in &doomed {
            assert_eq!(status(&wire.line()), "+OK");
        }
        for subject in &doomed {
            known.kept.remove(subject);
            known.open.insert(subject.clone());
        }
        wire.send(b"QUIT\r\n");
        // The first update of a process syncs the way to the trash too.
        let killed_after = Duration::from_micros(dice.below(25_000));
        thread::sleep(killed_after);
        site = server.kill();
        let answer = wire.until_closed();
        if answer.starts_with(b"+OK") {
            acknowledged += 1;
            for subject in &doomed {
                known.open.remove(subject);
                known.gone.insert(subject.clone());
            }
        } else {
            assert_eq!(answer, b"", "no half an answer, no refusal");
            unanswered += 1;
        }
    }
    // Both happened often enough for the test to mean something.
    assert!(
        acknowledged > 5 && unanswered > 5,
        "{acknowledged} of {KILLS} were answered"
    );
    let server = Server::at(site);
    check_listing(&mut Wire::plain(&server).logged_in(), &mut known);
}

/// Brings the mailbox back to its full number of messages.
fn refill(site: &Site, known: &mut Known, round: usize) {
    let present = known.kept.len() + known.open.len();
    for index in 0..MESSAGES.saturating_sub(present) {
        let subject = format!("round-{round}-{index}");
        let name = format!("{}.M{index}.post", 1_700_000_000 + round);
        let text = format!("Subject: {subject}\n\nkill me not\n");
        fs::write(site.maildir().join("new").join(name), text).unwrap();
        known.kept.insert(subject, None);
    }
}

/// Compares what the server lists with what is known; returns the numbers by subject.
fn check_listing(wire: &mut Wire, known: &mut Known) -> BTreeMap<String, u32> {
    let listing = String::from_utf8(wire.lines("UIDL")).unwrap();
    let mut numbers = BTreeMap::new();
    for line in listing.lines() {
        let (number, unique_id) = line.split_once(' ').unwrap();
        let message = String::from_utf8(wire.lines(&format!("RETR {number}"))).unwrap();
        let subject = message.strip_prefix("Subject: ").unwrap();
        let subject = subject
            .strip_suffix("\r\n\r\nkill me not\r\n")
            .expect("whole");
        assert!(
            !known.gone.contains(subject),
            "{subject} was deleted and acknowledged"
        );
        if known.open.remove(subject) {
            known.kept.insert(subject.to_owned(), None);
        }
        let seen = known.kept.get_mut(subject).expect("a message of ours");
        let before = seen.get_or_insert_with(|| unique_id.to_owned());
        assert_eq!(before, unique_id, "the unique-id of {subject}");
        numbers.insert(subject.to_owned(), number.parse().unwrap());
    }
    for subject in known.kept.keys() {
        assert!(numbers.contains_key(subject), "{subject} was never deleted");
    }
    // What is not listed now has been deleted after all, and must not come back.
    known.gone.append(&mut known.open);
    numbers
}

/// `kill -9` of `restante deliver` while it delivers (MDIR-STORE-1).
#[test]
fn crash_kill_during_delivery_loses_nothing_acknowledged() {
    let mut dice = Dice(0xD1B5_4A32_D192_ED03);
    let site = Site::new(&[]);
    let usual = usual_time(&site);
    let (mut acknowledged, mut killed) = (BTreeSet::new(), 0);
    for round in 0..KILLS {
        let name = format!("letter-{round}");
        let mut process = start_delivery(&site, &name);
        // Up to a little more than a delivery usually takes.
        thread::sleep(usual.mul_f64(dice.below(1000) as f64 / 800.0));
        let _ = process.kill();
        if process.wait().unwrap().success() {
            acknowledged.insert(name);
        } else {
            killed += 1;
        }
    }
    assert!(
        acknowledged.len() > 5 && killed > 5,
        "{killed} of {KILLS} were killed"
    );
    let mut delivered = BTreeSet::new();
    for file in site.message_files() {
        let text = fs::read_to_string(&file).unwrap();
        let name = text.lines().find_map(|line| line.strip_prefix("Subject: "));
        let name = name.expect("a whole header").to_owned();
        assert!(
            text.ends_with(&letter(&name)),
            "{} is whole",
            file.display()
        );
        assert!(delivered.insert(name), "{} is there once", file.display());
    }
    assert!(
        delivered.is_superset(&acknowledged),
        "acknowledged and lost"
    );
    let server = Server::at(site);
    let mut wire = Wire::plain(&server).logged_in();
    let listing = wire.lines("UIDL");
    let lines = listing.iter().filter(|octet| **octet == b'\n').count();
    assert_eq!(lines, delivered.len());
}

fn usual_time(site: &Site) -> Duration {
    let began = Instant::now();
    for round in 0..5 {
        let mut process = start_delivery(site, &format!("warm-{round}"));
        assert!(
            process.wait().unwrap().success(),
            "a delivery that nobody disturbs"
        );
    }
    began.elapsed() / 5
}

fn start_delivery(site: &Site, name: &str) -> Child {
    let mut process = site
        .program(&["deliver", USER])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = process.stdin.take().unwrap();
    stdin.write_all(letter(name).as_bytes()).unwrap();
    process
}

fn letter(name: &str) -> String {
    format!("Subject: {name}\n\n{}", "one line of many\n".repeat(500))
}
