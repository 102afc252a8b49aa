//! The next messages, opened before they are asked for.
//!
//! Only a session whose messages come from the disk reads ahead: what is in memory is there as
//! fast without it.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use restante_proto::MessageNumber;
use tokio::task;

use super::reading::{Reading, SMALL_OCTETS};
use crate::{Body, Rest};

/// So many messages are opened ahead: 512 KiB at most, or 8 descriptors.
const MESSAGES_MAX: usize = 8;
/// The kernel is told to read so much of a large message.
const ADVISED_OCTETS: u64 = 1024 * 1024;

/// Messages that are being opened or are open.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    slots: Mutex<BTreeMap<usize, Slot>>,
}

enum Slot {
    Wanted,
    Open(Body),
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Wanted => "Wanted",
            Self::Open(_) => "Open",
        })
    }
}

impl Ahead {
    /// The message, if it is open; it is not wanted any more.
    pub(crate) fn take(&self, index: usize) -> Option<Body> {
        match self.slots().remove(&index)? {
            Slot::Wanted => None,
            Slot::Open(body) => Some(body),
        }
    }

    /// Closes everything: nothing is wanted any more.
    pub(crate) fn close(&self) {
        let closed = std::mem::take(&mut *self.slots());
        drop(closed);
    }

    /// Notes which messages are wanted now; returns those nobody is opening yet.
    fn want(&self, next: RangeInclusive<usize>) -> Vec<usize> {
        let mut slots = self.slots();
        let outside: Vec<usize> = slots
            .keys()
            .filter(|index| !next.contains(index))
            .copied()
            .collect();
        for index in outside {
            slots.remove(&index);
        }
        let new: Vec<usize> = next
            .take(MESSAGES_MAX)
            .filter(|index| !slots.contains_key(index))
            .collect();
        slots.extend(new.iter().map(|&index| (index, Slot::Wanted)));
        new
    }

    fn is_wanted(&self, index: usize) -> bool {
        matches!(self.slots().get(&index), Some(Slot::Wanted))
    }

    /// Keeps an open message, if it is still wanted.
    fn put(&self, index: usize, body: Body) {
        if let Some(slot @ Slot::Wanted) = self.slots().get_mut(&index) {
            *slot = Slot::Open(body);
        }
    }

    fn forget(&self, index: usize) {
        self.slots().remove(&index);
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<usize, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens these messages on a thread that may wait; returns at once.
pub(crate) fn begin(reading: &Arc<Reading>, next: &RangeInclusive<MessageNumber>) {
    let count = reading.snapshot.columns().len();
    let Some(last) = count.checked_sub(1) else {
        return;
    };
    let first = next.start().index();
    let new = reading.ahead.want(first..=next.end().index().min(last));
    if new.is_empty() {
        return;
    }
    let reading = Arc::clone(reading);
    drop(task::spawn_blocking(move || open_all(&reading, &new)));
}

fn open_all(reading: &Reading, indices: &[usize]) {
    for &index in indices {
        if !reading.ahead.is_wanted(index) {
            continue;
        }
        match reading.body(index) {
            Ok(body) if !matches!(body.rest, Rest::Chunks(_)) => {
                if let Rest::File { file, range, disk } = &body.rest {
                    let end = range.end.min(range.start + ADVISED_OCTETS);
                    disk.will_read(file, range.start..end);
                }
                reading.ahead.put(index, body);
            }
            // An unpacker is too large to wait; and whoever asks for a message that cannot be
            // read gets the same answer.
            Ok(_) | Err(_) => reading.ahead.forget(index),
        }
    }
}

const _: () = assert!(SMALL_OCTETS * MESSAGES_MAX as u64 == 512 * 1024);
