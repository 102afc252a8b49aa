//! When the trash is looked into, and what that costs.

use std::{fs, sync::Arc};

use super::*;
use crate::{
    disk::{Call, Faults},
    maildir::trial,
};

const DAY: u64 = 24 * 60 * 60;
/// 2026-01-31 12:00:05 UTC.
const NOON: u64 = 1_769_860_805;
const KEEP: u64 = 7 * DAY;

struct Place {
    place: tempfile::TempDir,
    faults: Arc<Faults>,
    mailbox: Mailbox,
    retention: Retention,
}

fn place() -> Place {
    let (place, faults, mailbox) = trial::mailbox();
    let clock = Clock::by_hand(Duration::from_secs(NOON));
    Place {
        place,
        faults,
        mailbox,
        retention: Retention::new(clock, Duration::from_secs(KEEP)),
    }
}

impl Place {
    /// Lets a message lie in the trash that was deleted at noon.
    fn trash(&self, entry: &str) {
        let day = self.place.path().join("restante/trash/2026-01-31");
        fs::create_dir_all(&day).unwrap();
        fs::write(day.join(entry), "").unwrap();
    }

    fn advance(&self, seconds: u64) {
        self.retention.clock.advance(Duration::from_secs(seconds));
    }

    /// How often directories are listed for it.
    fn listings(&self, occasion: Occasion) -> usize {
        self.faults.restart();
        self.retention
            .purge_if_due(&self.mailbox, Asker::Outside, occasion);
        self.faults.count_of(Call::ReadDirectory)
    }

    fn left(&self) -> usize {
        let days = fs::read_dir(self.place.path().join("restante/trash")).unwrap();
        days.map(|day| fs::read_dir(day.unwrap().path()).unwrap().count())
            .sum()
    }
}

#[test]
fn a_delivery_purges_what_is_due_and_looks_once_a_day_at_most() {
    let place = place();
    place.trash("120005.1.a");
    assert!(place.listings(Occasion::Delivery) > 0);
    assert_eq!(place.left(), 1);
    place.advance(DAY - 1);
    assert_eq!(place.listings(Occasion::Delivery), 0);
    place.advance(1);
    assert!(place.listings(Occasion::Delivery) > 0);
    place.advance(KEEP - DAY);
    assert!(place.listings(Occasion::Delivery) > 0);
    assert_eq!(place.left(), 0);
}

#[test]
fn a_poll_lists_nothing_before_something_is_due() {
    let place = place();
    place.trash("120005.1.a");
    place.trash("120006.2.b");
    // Nothing is known, and it is not a poll's to find out.
    assert_eq!(place.listings(Occasion::Session), 0);
    // Whoever had to read the cache does.
    assert!(place.listings(Occasion::FirstSession) > 0);
    // From the first second of that day on something may be due, to the second only then.
    place.advance(KEEP - 12 * 60 * 60 - 6);
    assert_eq!(place.listings(Occasion::Session), 0);
    place.advance(1);
    assert!(place.listings(Occasion::Session) > 0);
    assert_eq!(place.listings(Occasion::Session), 0);
    place.advance(12 * 60 * 60 + 5);
    assert!(place.listings(Occasion::Session) > 0);
    assert_eq!(place.left(), 1);
    assert_eq!(place.listings(Occasion::Session), 0);
    place.advance(1);
    assert!(place.listings(Occasion::Session) > 0);
    assert_eq!(place.left(), 0);
    // Nothing is left: never again.
    place.advance(100 * DAY);
    assert_eq!(place.listings(Occasion::Session), 0);
}

#[test]
fn where_there_is_no_trash_nothing_is_made() {
    let place = place();
    assert_eq!(place.listings(Occasion::Delivery), 0);
    assert!(!place.place.path().join("restante").exists());
}

#[test]
fn more_than_one_purge_may_remove_is_due_at_once() {
    let place = place();
    for number in 0..=trash::PURGED_MAX {
        place.trash(&format!("120005.{number}.a"));
    }
    place.advance(KEEP);
    assert!(place.listings(Occasion::Delivery) > 0);
    assert_eq!(place.left(), 1);
    assert!(place.listings(Occasion::Session) > 0);
    assert_eq!(place.left(), 0);
}

#[test]
fn whoever_is_busy_is_not_waited_for() {
    let place = place();
    place.trash("120005.1.a");
    place.advance(KEEP);
    let lock = MailboxLock::acquire(&place.mailbox).unwrap();
    assert_eq!(place.listings(Occasion::Delivery), 0);
    drop(lock);
    assert!(place.listings(Occasion::Delivery) > 0);
    assert_eq!(place.left(), 0);
}

#[test]
fn memory_is_bounded() {
    let place = place();
    let clock = Clock::by_hand(Duration::from_secs(NOON));
    let retention = Retention::new(clock, Duration::ZERO);
    let mut known = retention.known.lock().unwrap();
    for number in 0..KNOWN_MAX as u64 {
        let identity = MaildirIdentity::for_tests(number);
        known.insert(identity, Known { looked: 0, due: 0 });
    }
    drop(known);
    retention.know(&place.mailbox, NEVER);
    assert_eq!(retention.known.lock().unwrap().len(), 1);
}

#[test]
fn a_clock_that_jumps_ahead_purges_nothing_for_a_day() {
    let place = place();
    place.trash("120005.1.a:2,S");
    place.retention.purge(&place.mailbox, Asker::Outside);
    let clock = place.retention.clock.clone();
    clock.set(Duration::from_secs(NOON + 365 * DAY));
    for _ in 0..23 {
        place.retention.purge(&place.mailbox, Asker::Outside);
        assert_eq!(place.left(), 1);
        place.advance(60 * 60);
    }
    // Put right it purges as promised.
    clock.set(Duration::from_secs(NOON + DAY));
    for _ in 0..6 {
        place.retention.purge(&place.mailbox, Asker::Outside);
        assert_eq!(place.left(), 1);
        place.advance(DAY);
    }
    place.retention.purge(&place.mailbox, Asker::Outside);
    assert_eq!(place.left(), 0);
}

#[test]
fn a_clock_that_stays_ahead_is_believed_in_the_end() {
    let place = place();
    place.trash("120005.1.a:2,S");
    place.retention.purge(&place.mailbox, Asker::Outside);
    place
        .retention
        .clock
        .set(Duration::from_secs(NOON + 365 * DAY));
    place.retention.purge(&place.mailbox, Asker::Outside);
    place.advance(DAY - 1);
    place.retention.purge(&place.mailbox, Asker::Outside);
    assert_eq!(place.left(), 1);
    place.advance(1);
    place.retention.purge(&place.mailbox, Asker::Outside);
    assert!(
        !place
            .place
            .path()
            .join("restante/trash/2026-01-31")
            .exists()
    );
}
