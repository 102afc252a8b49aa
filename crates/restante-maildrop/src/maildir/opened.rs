//! Snapshots of mailboxes that are open or were so lately, so that a poll of a mailbox that has
//! not changed costs a few looks at its directories.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use super::{layout::MaildirIdentity, snapshot::Snapshot};
use crate::ShownFolder;

/// Which Maildir, and which of its folders are looked at besides INBOX.
pub(crate) type Shown = (MaildirIdentity, Arc<[ShownFolder]>);

/// Sessions of one mailbox share its snapshot; the latest ones are kept when nobody uses them,
/// within a bound.
#[derive(Debug)]
pub(crate) struct Opened {
    octets_max: usize,
    shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    all: HashMap<Shown, Weak<Snapshot>>,
    /// Dead entries of `all` are removed when it has grown to this.
    sweep_at: usize,
    kept: HashMap<Shown, Kept>,
    /// The oldest first.
    order: BTreeMap<u64, Shown>,
    turn: u64,
    octets: usize,
}

#[derive(Debug)]
struct Kept {
    /// Keeps the weak one alive.
    _snapshot: Arc<Snapshot>,
    turn: u64,
    octets: usize,
}

const SWEEP_MIN: usize = 1024;

impl Opened {
    /// Keeps unused snapshots of at most `octets_max` altogether.
    pub(crate) fn new(octets_max: usize) -> Self {
        Self {
            octets_max,
            shelf: Mutex::default(),
        }
    }

    /// The latest snapshot of the mailbox, if it is still there.
    pub(crate) fn find(&self, mailbox: &Shown) -> Option<Arc<Snapshot>> {
        let shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.all.get(mailbox)?.upgrade()
    }

    /// Keeps the snapshot as the latest of its mailbox.
    pub(crate) fn keep(&self, mailbox: Shown, snapshot: &Arc<Snapshot>) {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        // Dropped after the lock is free: a snapshot may be large.
        let dropped = shelf.keep(&mailbox, snapshot, self.octets_max);
        drop(shelf);
        drop(dropped);
    }
}

impl Shelf {
    fn keep(&mut self, mailbox: &Shown, snapshot: &Arc<Snapshot>, octets_max: usize) -> Vec<Kept> {
        self.all.insert(mailbox.clone(), Arc::downgrade(snapshot));
        if self.all.len() > self.sweep_at {
            self.all.retain(|_, snapshot| snapshot.strong_count() > 0);
            self.sweep_at = SWEEP_MIN.max(2 * self.all.len());
        }
        let mut dropped: Vec<Kept> = self.take(mailbox).into_iter().collect();
        let octets = snapshot.memory_octets();
        if octets > octets_max {
            return dropped;
        }
        self.turn += 1;
        self.octets += octets;
        self.order.insert(self.turn, mailbox.clone());
        let kept = Kept {
            _snapshot: Arc::clone(snapshot),
            turn: self.turn,
            octets,
        };
        self.kept.insert(mailbox.clone(), kept);
        while self.octets > octets_max {
            let Some((_, oldest)) = self.order.first_key_value() else {
                break;
            };
            let oldest = oldest.clone();
            dropped.extend(self.take(&oldest));
        }
        dropped
    }

    fn take(&mut self, mailbox: &Shown) -> Option<Kept> {
        let kept = self.kept.remove(mailbox)?;
        self.order.remove(&kept.turn);
        self.octets -= kept.octets;
        Some(kept)
    }
}
