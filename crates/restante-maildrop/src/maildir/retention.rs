//! How long removed messages are kept, and when the trash is looked into so that they are not kept
//! much longer.
//!
//! Whatever puts messages into the trash looks each time. Deliveries, and updates that delete
//! nothing, look only when something is due there, as far as is known. Of a mailbox of which
//! nothing is known yet a delivery finds it out, and so does the end of a session that had
//! to read the mailbox's cache: both are work enough. A poll of an unchanged mailbox lists no
//! directory for it.
//!
//! What is purged is gone for good, so a clock that jumps ahead purges nothing: when it shows more
//! time than has passed since this process looked last, nothing is purged for a day, in which it
//! may be put right.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{
    layout::{Mailbox, MaildirIdentity},
    lock::MailboxLock,
    onlookers::{Alone, Asker},
    trash, visits,
};
use crate::{Change, ChangeKind, Clock, clock::Watch};

/// Beyond so many mailboxes it is forgotten what was known, and found out again.
const KNOWN_MAX: usize = 100_000;
/// Other processes put messages into the trash too: a delivery looks after so long in any case.
const LOOK_AFTER_SECONDS: u64 = 24 * 60 * 60;
/// Nothing lies in the trash.
const NEVER: u64 = u64::MAX;

/// How long removed messages are kept. A clone knows what the others know.
#[derive(Clone, Debug)]
pub(crate) struct Retention {
    pub(crate) clock: Clock,
    /// Zero: removed messages are not kept.
    pub(crate) undelete_for: Duration,
    known: Arc<Mutex<HashMap<MaildirIdentity, Known>>>,
    watch: Arc<Watch>,
}

/// What is known of a mailbox's trash, in Unix seconds.
#[derive(Clone, Copy, Debug)]
struct Known {
    looked: u64,
    /// Nothing is to be purged before this moment.
    due: u64,
}

/// What gives occasion to look into the trash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Occasion {
    /// A message comes.
    Delivery,
    /// A session ends that had to read what the mailbox holds from its cache.
    FirstSession,
    /// A session ends that had all of it in memory.
    Session,
}

impl Retention {
    pub(crate) fn new(clock: Clock, undelete_for: Duration) -> Self {
        Self {
            clock,
            undelete_for,
            known: Arc::default(),
            watch: Arc::default(),
        }
    }

    /// What was deleted at or before this moment, in Unix seconds, has been kept long enough;
    /// `None` if nothing has, as far as the clock is believed.
    pub(crate) fn expired_by(&self) -> Option<u64> {
        let shown = self.watch.look(&self.clock)?;
        let limit = shown.checked_sub(self.undelete_for)?;
        Some(limit.as_secs())
    }

    /// Where removed messages are not kept: that nobody is looking at them but the asker, as long
    /// as the result is held. `None`: somebody is, or may be; or messages are kept in any case.
    pub(crate) fn alone(&self, mailbox: &Mailbox, asker: Asker<'_>) -> Option<Alone> {
        if !self.undelete_for.is_zero() {
            return None;
        }
        // Of locks that cannot be looked at nobody knows.
        Alone::try_be(mailbox, asker).ok().flatten()
    }

    /// Removes from the trash what has lain there long enough, a bounded number of messages, and
    /// nothing that another session may be looking at. The caller holds the mailbox lock. A
    /// failure is logged.
    pub(crate) fn purge(&self, mailbox: &Mailbox, asker: Asker<'_>) {
        let Some(expired_by) = self.expired_by() else {
            return;
        };
        // What is kept for days has been there for longer than sessions last.
        let alone = self.alone(mailbox, asker);
        if alone.is_none() && self.undelete_for.is_zero() {
            self.know(mailbox, 0);
            return;
        }
        match trash::purge(mailbox, expired_by, trash::PURGED_MAX) {
            Ok(purged) => {
                let keep = self.undelete_for.as_secs();
                let due = purged.left.map_or(NEVER, |left| left.saturating_add(keep));
                self.know(mailbox, due);
                if purged.count > 0 {
                    let now = self.clock.now().as_secs();
                    let mut change = Change::due(ChangeKind::Purged, now, Vec::new());
                    change.count = purged.count;
                    visits::record_change(mailbox, &change);
                }
            }
            Err(error) => {
                self.know(mailbox, NEVER);
                tracing::warn!(mailbox = %mailbox.path().display(), %error, "trash not purged");
            }
        }
    }

    /// As [`Retention::purge`], if something is due and the mailbox is not busy; the caller does
    /// not hold the mailbox lock.
    pub(crate) fn purge_if_due(&self, mailbox: &Mailbox, asker: Asker<'_>, occasion: Occasion) {
        if !self.is_due(mailbox, occasion) {
            return;
        }
        // Where there is no trash nothing is made for it, not even a lock.
        if let Ok(None) = mailbox.trash_if_there() {
            self.know(mailbox, NEVER);
            return;
        }
        if let Ok(Some(_lock)) = MailboxLock::try_acquire_within(mailbox, Duration::ZERO) {
            self.purge(mailbox, asker);
        }
    }

    fn is_due(&self, mailbox: &Mailbox, occasion: Occasion) -> bool {
        let now = self.clock.now().as_secs();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(&mailbox.identity()) {
            None => occasion != Occasion::Session,
            Some(known) => {
                let long_ago = now.saturating_sub(known.looked) >= LOOK_AFTER_SECONDS;
                known.due <= now || (occasion == Occasion::Delivery && long_ago)
            }
        }
    }

    fn know(&self, mailbox: &Mailbox, due: u64) {
        let looked = self.clock.now().as_secs();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(mailbox.identity(), Known { looked, due });
    }
}

#[cfg(test)]
mod tests;
