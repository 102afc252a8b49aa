//! The next messages, opened before they are asked for.
//!
//! Only a session whose messages come from the disk reads ahead: what is in memory is there as
//! fast without it. What nobody asks for soon is closed again: a client may be silent for ten
//! minutes, and there may be ten thousand of them. The kernel has read it by then.

use std::{
    collections::BTreeMap,
    fmt,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    task,
    time::{self, Instant},
};

use super::reading::{Reading, SMALL_OCTETS};
use crate::{Body, Rest};

/// So many messages are opened ahead: 512 KiB at most, or 8 descriptors.
const MESSAGES_MAX: usize = 8;
/// The kernel is told to read so much of a large message.
const ADVISED_OCTETS: u64 = 1024 * 1024;

/// So long nothing was wanted or taken: then everything is closed.
const IDLE: Duration = Duration::from_secs(5);
/// So many files are open ahead in all sessions of a store together.
pub(crate) const FILES_MAX: usize = 128;

/// Messages that are to be opened, are being opened, or are open.
#[derive(Debug)]
pub(crate) struct Ahead {
    wanted: Mutex<Wanted>,
    /// Some slot has changed.
    changed: Notify,
    /// One for each file that may be open, shared by all sessions.
    files: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Wanted {
    slots: BTreeMap<usize, Slot>,
    /// When something was wanted or taken last, while a task waits for the session to idle.
    used: Option<Instant>,
}

enum Slot {
    /// To be opened when its turn comes.
    Wanted,
    /// A thread is opening it.
    Opening,
    Open(Opened),
}

/// An open message; one in a file has a permit for that.
struct Opened {
    body: Body,
    _file: Option<OwnedSemaphorePermit>,
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
    /// Nothing is wanted yet; `files` has a permit for each file that may be open ahead.
    pub(crate) fn new(files: Arc<Semaphore>) -> Self {
        Self {
            wanted: Mutex::default(),
            changed: Notify::new(),
            files,
        }
    }

    /// The message, if it was opened ahead; waits if it is just being opened, so that the disk is
    /// not asked twice. It is not wanted any more.
    pub(crate) async fn take(&self, index: usize) -> Option<Body> {
        loop {
            let mut changed = pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            {
                let mut wanted = self.wanted();
                if !matches!(wanted.slots.get(&index), Some(Slot::Opening)) {
                    return match wanted.slots.remove(&index)? {
                        Slot::Open(opened) => {
                            wanted.use_now();
                            Some(opened.body)
                        }
                        Slot::Wanted | Slot::Opening => None,
                    };
                }
            }
            changed.await;
        }
    }

    /// Closes everything: nothing is wanted any more.
    pub(crate) fn close(&self) {
        let closed = std::mem::take(&mut self.wanted().slots);
        self.changed.notify_waiters();
        drop(closed);
    }

    /// Notes which messages are wanted now; returns those nobody is opening yet.
    fn want(&self, next: &[usize]) -> Vec<usize> {
        let mut wanted = self.wanted();
        wanted.use_now();
        let slots = &mut wanted.slots;
        // What is being opened may be waited for.
        slots.retain(|index, slot| next.contains(index) || matches!(slot, Slot::Opening));
        let new: Vec<usize> = next
            .iter()
            .take(MESSAGES_MAX)
            .copied()
            .filter(|index| !slots.contains_key(index))
            .collect();
        slots.extend(new.iter().map(|&index| (index, Slot::Wanted)));
        new
    }

    /// Begins to open the message, if it is still wanted.
    fn begin(&self, index: usize) -> Option<Opening<'_>> {
        match self.wanted().slots.get_mut(&index) {
            Some(slot @ Slot::Wanted) => {
                *slot = Slot::Opening;
                Some(Opening { ahead: self, index })
            }
            _ => None,
        }
    }

    /// When everything may be closed, if nothing happens; `None` once that has been done.
    fn close_if_idle(&self) -> Option<Instant> {
        let mut wanted = self.wanted();
        let idle_at = wanted.used? + IDLE;
        if Instant::now() < idle_at {
            return Some(idle_at);
        }
        wanted.used = None;
        drop(wanted);
        self.close();
        None
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wanted {
    fn use_now(&mut self) {
        if let Some(used) = &mut self.used {
            *used = Instant::now();
        }
    }

    /// Whether nobody waits for the session to idle; from now on somebody does.
    fn begin_waiting(&mut self) -> bool {
        self.used.replace(Instant::now()).is_none()
    }
}

impl Opening<'_> {
    /// Keeps the open message, if it is still wanted.
    fn keep(self, opened: Opened) {
        if let Some(slot @ Slot::Opening) = self.ahead.wanted().slots.get_mut(&self.index) {
            *slot = Slot::Open(opened);
        }
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        let mut wanted = self.ahead.wanted();
        if matches!(wanted.slots.get(&self.index), Some(Slot::Opening)) {
            wanted.slots.remove(&self.index);
        }
        drop(wanted);
        self.ahead.changed.notify_waiters();
    }
}

/// Opens these messages on a thread that may wait; returns at once.
pub(crate) fn begin(reading: &Arc<Reading>, next: impl Iterator<Item = usize>) {
    let next: Vec<usize> = next.take(MESSAGES_MAX).collect();
    let new = reading.ahead.want(&next);
    if new.is_empty() {
        return;
    }
    if reading.ahead.wanted().begin_waiting() {
        drop(task::spawn(close_when_idle(Arc::downgrade(reading))));
    }
    let reading = Arc::clone(reading);
    drop(task::spawn_blocking(move || open_all(&reading, &new)));
}

/// Closes what was opened ahead when the session has not asked for long, or is over.
async fn close_when_idle(reading: Weak<Reading>) {
    loop {
        let reading = reading.upgrade();
        let Some(idle_at) = reading.and_then(|reading| reading.ahead.close_if_idle()) else {
            return;
        };
        time::sleep_until(idle_at).await;
    }
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
        let file = match &body.rest {
            Rest::Chunks(_) => continue,
            Rest::File { file, range, disk } => {
                let end = range.end.min(range.start + ADVISED_OCTETS);
                disk.will_read(file, range.start..end);
                match Arc::clone(&reading.ahead.files).try_acquire_owned() {
                    Ok(permit) => Some(permit),
                    // The kernel reads it all the same.
                    Err(_) => continue,
                }
            }
            Rest::Bytes(_) => None,
        };
        opening.keep(Opened { body, _file: file });
    }
}

const _: () = assert!(SMALL_OCTETS * MESSAGES_MAX as u64 == 512 * 1024);
