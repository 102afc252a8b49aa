//! What QUIT does: the marked messages leave the view, durably.
//!
//! Where one view is all there is and mail is kept until it is deleted, they move to the trash
//! ([`update`]). Otherwise it is first noted that the view has deleted them, which is one append
//! and keeps the promise whatever comes after; then those leave the mailbox that everyone is done
//! with. If that fails, the next opening of the mailbox sees to it.

use std::io;

use restante_proto::{MessageNumber, MessageSet, Messages as _};

use super::{
    leaving::{self, Verdict},
    lock::MailboxLock,
    maildrop::Seat,
    onlookers::Asker,
    reading::Reading,
    retention::Retention,
    selection::Selection,
    update::{self, Homes},
    view_log::ViewLog,
};
use crate::{
    DeleteMode, Durable, Lost, Marks, UpdateError, Updated,
    views::{Event, Rules},
};

/// A session that ends with QUIT.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending<'e> {
    pub(super) reading: &'e Reading,
    pub(super) selection: &'e Selection,
    pub(super) seat: &'e Seat,
    pub(super) retention: &'e Retention,
}

impl Ending<'_> {
    /// Applies the session's marks. Blocks.
    ///
    /// # Errors
    /// [`UpdateError::Incomplete`] if not all that was marked is known to have left the view.
    pub(super) fn apply(&self, marks: &Marks) -> Result<Updated, UpdateError> {
        let policy = self.seat.policy;
        if policy.is_classic() {
            let updated = self.remove(&marks.deleted)?;
            if policy.counts_retrieved(self.seat.access) && !marks.retrieved.is_empty() {
                // What is not noted only leaves later.
                self.note_retrieved(marks)
                    .unwrap_or_else(|error| self.say("session not noted", &error));
            }
            return Ok(updated);
        }
        let counts = policy.counts_retrieved(self.seat.access) && !marks.retrieved.is_empty();
        if marks.deleted.is_empty() && !counts {
            return Ok(nothing_removed());
        }
        self.hide(marks)
    }

    /// Moves the messages to the trash.
    fn remove(&self, deleted: &MessageSet) -> Result<Updated, UpdateError> {
        let rows: Vec<usize> = self.rows(deleted).collect();
        let places = self.places(&rows);
        let marked = leaving::marked(&self.reading.snapshot, &places, |_| Homes::ALL);
        let mut updated =
            update::remove(&self.reading.mailbox, self.retention, self.asker(), &marked)?;
        updated.removed = updated.removed.min(places.len());
        Ok(updated)
    }

    /// Notes what the view has deleted and retrieved, and moves to the trash what everyone is
    /// done with.
    fn hide(&self, marks: &Marks) -> Result<Updated, UpdateError> {
        let Reading {
            mailbox, snapshot, ..
        } = self.reading;
        let marked = marks.deleted.len();
        let incomplete = |cause| UpdateError::Incomplete {
            marked,
            failed: marked,
            cause,
        };
        let _lock = MailboxLock::acquire(mailbox).map_err(incomplete)?;
        let clock = &self.retention.clock;
        let log = ViewLog::read(mailbox, clock, &snapshot.view_log()).map_err(incomplete)?;
        let mut events = Vec::new();
        if self.is_removed(&log)? {
            events.push(Event::Met(self.seat.view.clone(), clock.now().as_secs()));
        }
        let table = self.selection.table();
        let id = |number: MessageNumber| table.unique_id(number).as_bytes();
        let deleted = self.listed(&marks.deleted).map(id);
        let retrieved = self.listed(&marks.retrieved).map(id);
        let made = log
            .views()
            .ending(self.seat.who(), self.seat.policy, deleted, retrieved);
        let removed = made.iter().map(Event::hidden_count).sum();
        let now = clock.now().as_secs();
        events.extend(log.views().clock_note(self.seat.policy, now));
        events.extend(made);
        let log = match events.is_empty() {
            true => log,
            false => match log.append(mailbox, &events) {
                Ok(log) => log,
                Err(error) if marked == 0 => {
                    self.say("session not noted", &error);
                    return Ok(nothing_removed());
                }
                Err(error) => return Err(incomplete(error)),
            },
        };
        let durable = Durable::proven();
        self.let_go(&log, marks)
            .unwrap_or_else(|error| self.say("mail that all have deleted stays for now", &error));
        self.retention.purge(mailbox, self.asker());
        log.compact_if_large(mailbox, clock);
        Ok(Updated { removed, durable })
    }

    /// Whether the mailbox has to meet the device first.
    fn is_removed(&self, log: &ViewLog) -> Result<bool, UpdateError> {
        if self.seat.policy.delete == DeleteMode::Shared
            || log.views().device(&self.seat.view).is_some()
        {
            return Ok(false);
        }
        match self.seat.known {
            // It was removed meanwhile; what it does counts no more.
            true => Err(UpdateError::Lost(Lost::Credential)),
            false => Ok(true),
        }
    }

    /// Moves to the trash those of the session's messages that have to leave. The caller holds
    /// the mailbox lock.
    fn let_go(&self, log: &ViewLog, marks: &Marks) -> Result<(), io::Error> {
        let snapshot = &self.reading.snapshot;
        let rules = Rules::new(
            log.views(),
            self.seat.policy,
            Some(&self.seat.view),
            self.retention.clock.now().as_secs(),
        );
        let mut rows: Vec<usize> = self.rows(&marks.deleted).collect();
        rows.extend(self.rows(&marks.retrieved));
        rows.sort_unstable();
        rows.dedup();
        let verdict = Verdict::new(&self.reading.mailbox, rules, &self.seat.shown);
        rows.retain(|&row| verdict.lets_go(snapshot, row));
        if rows.is_empty() {
            return Ok(());
        }
        let places = self.places(&rows);
        let marked = leaving::marked(snapshot, &places, |row| verdict.homes(snapshot, row));
        let (mailbox, asker) = (&self.reading.mailbox, self.asker());
        let removed = update::remove_under_lock(mailbox, self.retention, asker, &marked);
        removed.map(drop).map_err(io::Error::other)
    }

    fn note_retrieved(&self, marks: &Marks) -> io::Result<()> {
        let Reading {
            mailbox, snapshot, ..
        } = self.reading;
        let _lock = MailboxLock::acquire(mailbox)?;
        let log = ViewLog::read(mailbox, &self.retention.clock, &snapshot.view_log())?;
        let table = self.selection.table();
        let stays = self
            .listed(&marks.retrieved)
            .filter(|&number| !marks.deleted.contains(number));
        let ids = stays.map(|number| table.unique_id(number).as_bytes());
        let (who, policy) = (self.seat.who(), self.seat.policy);
        let events = log.views().ending(who, policy, std::iter::empty(), ids);
        if !events.is_empty() {
            let log = log.append(mailbox, &events)?;
            log.compact_if_large(mailbox, &self.retention.clock);
        }
        Ok(())
    }

    /// It has read all that it wanted.
    fn asker(&self) -> Asker<'_> {
        Asker::View(&self.seat.view)
    }

    fn listed<'s>(&'s self, set: &'s MessageSet) -> impl Iterator<Item = MessageNumber> {
        let count = self.selection.len();
        set.iter().filter(move |number| number.index() < count)
    }

    fn rows<'s>(&'s self, set: &'s MessageSet) -> impl Iterator<Item = usize> {
        set.iter()
            .filter_map(|number| self.selection.row(number.index()))
    }

    fn places(&self, rows: &[usize]) -> Vec<leaving::Place> {
        let place = |&row: &usize| (row, self.reading.place(row));
        rows.iter().map(place).collect()
    }

    fn say(&self, what: &'static str, error: &io::Error) {
        tracing::warn!(
            mailbox = %self.reading.mailbox.path().display(),
            %error,
            "{what}"
        );
    }
}

fn nothing_removed() -> Updated {
    Updated {
        removed: 0,
        durable: Durable::proven(),
    }
}
