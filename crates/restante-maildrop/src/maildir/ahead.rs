//! The next messages, opened before they are asked for.
//!
//! Only a session whose messages come from the disk reads ahead: what is in memory is there as
//! fast without it.

use std::{
    collections::BTreeMap,
    fmt,
    ops::RangeInclusive,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use restante_proto::MessageNumber;
use tokio::{sync::Notify, task};

use super::reading::{Reading, SMALL_OCTETS};
use crate::{Body, Rest};

/// So many messages are opened ahead: 512 KiB at most, or 8 descriptors.
const MESSAGES_MAX: usize = 8;
/// The kernel is told to read so much of a large message.
const ADVISED_OCTETS: u64 = 1024 * 1024;

/// Messages that are to be opened, are being opened, or are open.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    slots: Mutex<BTreeMap<usize, Slot>>,
    /// Some slot has changed.
    changed: Notify,
}

enum Slot {
    /// To be opened when its turn comes.
    Wanted,
    /// A thread is opening it.
    Opening,
    Open(Body),
}

/// A message that this thread opens; given up when dropped, whatever happens.
struct Opening<'a> {
    ahead: &'a Ahead,
    index: usize,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wanted => "Wanted",
            Self::Opening => "Opening",
            Self::Open(_) => "Open",
        })
    }
}

impl Ahead {
    /// The message, if it was opened ahead; waits if it is just being opened, so that the disk is
    /// not asked twice. It is not wanted any more.
    pub(crate) async fn take(&self, index: usize) -> Option<Body> {
        loop {
            let mut changed = pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            {
                let mut slots = self.slots();
                if !matches!(slots.get(&index), Some(Slot::Opening)) {
                    return match slots.remove(&index)? {
                        Slot::Open(body) => Some(body),
                        Slot::Wanted | Slot::Opening => None,
                    };
                }
            }
            changed.await;
        }
    }

    /// Closes everything: nothing is wanted any more.
    pub(crate) fn close(&self) {
        let closed = std::mem::take(&mut *self.slots());
        self.changed.notify_waiters();
        drop(closed);
    }

    /// Notes which messages are wanted now; returns those nobody is opening yet.
    fn want(&self, next: RangeInclusive<usize>) -> Vec<usize> {
        let mut slots = self.slots();
        // What is being opened may be waited for.
        slots.retain(|index, slot| next.contains(index) || matches!(slot, Slot::Opening));
        let new: Vec<usize> = next
            .take(MESSAGES_MAX)
            .filter(|index| !slots.contains_key(index))
            .collect();
        slots.extend(new.iter().map(|&index| (index, Slot::Wanted)));
        new
    }

    /// Begins to open the message, if it is still wanted.
    fn begin(&self, index: usize) -> Option<Opening<'_>> {
        match self.slots().get_mut(&index) {
            Some(slot @ Slot::Wanted) => {
                *slot = Slot::Opening;
                Some(Opening { ahead: self, index })
            }
            _ => None,
        }
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<usize, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opening<'_> {
    /// Keeps the open message, if it is still wanted.
    fn keep(self, body: Body) {
        if let Some(slot @ Slot::Opening) = self.ahead.slots().get_mut(&self.index) {
            *slot = Slot::Open(body);
        }
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        let mut slots = self.ahead.slots();
        if matches!(slots.get(&self.index), Some(Slot::Opening)) {
            slots.remove(&self.index);
        }
        drop(slots);
        self.ahead.changed.notify_waiters();
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
        let Some(opening) = reading.ahead.begin(index) else {
            continue;
        };
        // An unpacker is too large to wait; and whoever asks for a message that cannot be read
        // gets the same answer.
        let Ok(body) = reading.body(index) else {
            continue;
        };
        match &body.rest {
            Rest::Chunks(_) => continue,
            Rest::File { file, range, disk } => {
                let end = range.end.min(range.start + ADVISED_OCTETS);
                disk.will_read(file, range.start..end);
            }
            Rest::Bytes(_) => {}
        }
        opening.keep(body);
    }
}

const _: () = assert!(SMALL_OCTETS * MESSAGES_MAX as u64 == 512 * 1024);
