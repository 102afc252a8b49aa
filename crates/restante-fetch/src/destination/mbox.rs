//! An mbox of the kind mboxrd, which other programs may read, append to and write anew.
//!
//! A group's messages are spooled beside the mbox and appended under its lock in one go: a dotlock
//! and then the record lock of `fcntl`, as Dovecot's default for writing is.
//!
//! The header is kept as the server sent it, `Status:` and `Content-Length:` included: a copy is
//! exact, and a reader of mboxrd does not go by them.

mod from_line;
mod group;
mod lock;
mod place;
mod quote;
mod recovery;
mod scan;
mod ticket;

use std::{
    io,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use restante_maildrop::disk::Disk;

use self::{
    from_line::from_line,
    group::{Group, PIECE_OCTETS},
    lock::LockedMbox,
    place::Place,
    quote::Quoter,
    scan::{Digest, Scanner},
    ticket::MboxTicket,
};
use super::sender::HEAD_OCTETS_MAX;
use crate::{Destination, DestinationError, Incoming, Recovered, Ticket};

/// An mbox.
pub struct Mbox {
    place: Arc<Place>,
    /// What a process that died has left beside the mbox is gone.
    tidied: bool,
    group: Option<Group>,
    /// How many messages it has, or had before it was lost.
    finished: usize,
    message: Option<Message>,
}

/// A message that has begun.
struct Message {
    arrival: SystemTime,
    /// Its first octets, until it is known who has sent it.
    head: Option<Vec<u8>>,
    quoter: Quoter,
    scanner: Scanner,
}

impl Mbox {
    /// How long another program may have the mbox locked, unless said otherwise.
    pub const LOCK_WAIT: Duration = Duration::from_secs(60);

    /// The mbox at `path`, for mail of `account`. Nothing is touched yet. `None` if the path names
    /// no file.
    #[must_use]
    pub fn new(path: &Path, account: &str, lock_wait: Duration) -> Option<Self> {
        Self::with_disk(path, account, lock_wait, Disk::default())
    }

    pub(crate) fn with_disk(
        path: &Path,
        account: &str,
        lock_wait: Duration,
        disk: Disk,
    ) -> Option<Self> {
        Some(Self {
            place: Arc::new(Place::new(path, account, disk, lock_wait)?),
            tidied: false,
            group: None,
            finished: 0,
            message: None,
        })
    }

    /// Does `work` where it may block, with the group, which is given back unless the work uses it
    /// up.
    async fn block<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Place, &mut Option<Group>) -> T + Send + 'static,
    ) -> Result<T, DestinationError> {
        let place = self.place.clone();
        let mut group = self.group.take();
        let done = tokio::task::spawn_blocking(move || {
            let value = work(&place, &mut group);
            (value, group)
        });
        let (value, group) = done
            .await
            .map_err(|error| self.place.failed(io::Error::other(error)))?;
        self.group = group;
        Ok(value)
    }

    /// Puts octets of the message at hand into the group; writes them if they are many.
    async fn put(&mut self, octets: &[u8]) -> Result<(), DestinationError> {
        let Some(group) = &mut self.group else {
            return Err(self.place.failed(io::ErrorKind::BrokenPipe.into()));
        };
        group.buffer.extend_from_slice(octets);
        if group.buffer.len() < PIECE_OCTETS {
            return Ok(());
        }
        let written = self.block(|place, group| match group {
            Some(group) => group.flush(&place.disk),
            None => Ok(()),
        });
        if let Err(cause) = written.await? {
            let error = self.place.failed(cause);
            self.abandon().await;
            return Err(error);
        }
        Ok(())
    }
}

impl Message {
    /// What comes into the spool for the next octets of the message.
    fn next(&mut self, octets: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(octets.len() + octets.len() / 32);
        match &mut self.head {
            None => self.quoter.write(octets, &mut out),
            Some(head) => {
                let looked_at = head.len().saturating_sub(3);
                head.extend_from_slice(octets);
                let new = head.get(looked_at..).unwrap_or_default();
                let whole = memchr::memmem::find(new, b"\r\n\r\n").is_some();
                if whole || head.len() >= HEAD_OCTETS_MAX {
                    self.end_head(&mut out);
                }
            }
        }
        self.scanner.write(&out, |_| ());
        out
    }

    /// What comes into the spool when the message is whole, and its digest.
    fn finish(mut self) -> (Vec<u8>, Digest) {
        let mut out = Vec::new();
        self.end_head(&mut out);
        self.quoter.finish(&mut out);
        // It ends the message, and is no part of it.
        out.push(b'\n');
        self.scanner.write(&out, |_| ());
        let mut digest = Digest::default();
        self.scanner.finish(|found| digest = found);
        (out, digest)
    }

    fn end_head(&mut self, out: &mut Vec<u8>) {
        if let Some(head) = self.head.take() {
            out.extend_from_slice(from_line(&head, self.arrival).as_bytes());
            self.quoter.write(&head, out);
        }
    }
}

impl Destination for Mbox {
    fn label(&self) -> &str {
        &self.place.label
    }

    async fn begin(&mut self, mail: &Incoming) -> Result<(), DestinationError> {
        self.abandon().await;
        let tidied = std::mem::replace(&mut self.tidied, true);
        let begun = self.block(move |place, group| {
            if !tidied && group.is_none() {
                recovery::tidy(place)?;
            }
            if group.is_none() {
                *group = Some(Group::new(place).map_err(|cause| place.failed(cause))?);
            }
            Ok(())
        });
        let begun = begun.await?;
        self.tidied = begun.is_ok();
        begun?;
        self.message = Some(Message {
            arrival: mail.arrival,
            head: Some(Vec::new()),
            quoter: Quoter::default(),
            scanner: Scanner::new(),
        });
        Ok(())
    }

    async fn write(&mut self, octets: &[u8]) -> Result<(), DestinationError> {
        match &mut self.message {
            Some(message) => {
                let out = message.next(octets);
                self.put(&out).await
            }
            None => Err(self.place.failed(io::ErrorKind::BrokenPipe.into())),
        }
    }

    async fn finish(&mut self) -> Result<Ticket, DestinationError> {
        let Some(message) = self.message.take() else {
            return Err(self.place.failed(io::ErrorKind::BrokenPipe.into()));
        };
        let (out, digest) = message.finish();
        self.put(&out).await?;
        let broken = || self.place.failed(io::ErrorKind::BrokenPipe.into());
        let group = self.group.as_mut().ok_or_else(broken)?;
        let from = group.end;
        group.close_message(digest);
        self.finished += 1;
        let same = group.digests.iter().filter(|one| **one == digest).count();
        let ticket = MboxTicket {
            nonce: group.nonce,
            mbox_octets: group.mbox_octets,
            from,
            octets: group.end - from,
            copies: u32::try_from(same).unwrap_or(u32::MAX),
            digest,
        };
        ticket.encode().ok_or_else(broken)
    }

    async fn abandon(&mut self) {
        self.message = None;
        if let Some(group) = &mut self.group
            && group.drop_message().is_err()
        {
            // Seeking in a regular file does not fail; a group that cannot go on ends here, and
            // `prepare` says so.
            self.group = None;
        }
    }

    async fn prepare(&mut self) -> Result<(), DestinationError> {
        self.abandon().await;
        let empty = self.finished == 0;
        let prepared = self.block(move |place, group| {
            let Some(mut whole) = group.take() else {
                let broken = io::ErrorKind::BrokenPipe.into();
                return empty.then_some(()).ok_or_else(|| place.failed(broken));
            };
            match whole.prepare(place) {
                Ok(()) => {
                    *group = Some(whole);
                    Ok(())
                }
                Err(cause) => {
                    whole.remove(place);
                    Err(place.failed(cause))
                }
            }
        });
        let prepared = prepared.await?;
        if prepared.is_err() {
            self.finished = 0;
        }
        prepared
    }

    async fn publish(&mut self) -> Vec<Result<(), DestinationError>> {
        let count = std::mem::take(&mut self.finished);
        let published = self.block(|place, group| match group.take() {
            Some(group) => publish(place, group),
            None => Err(Failure {
                error: place.failed(io::ErrorKind::BrokenPipe.into()),
                torn: true,
            }),
        });
        let published = published
            .await
            .unwrap_or_else(|error| Err(Failure { error, torn: true }));
        if published.as_ref().is_err_and(|failure| failure.torn) {
            self.tidied = false;
        }
        let each = |_| match &published {
            Ok(()) => Ok(()),
            Err(failure) => Err(failure.error.again()),
        };
        (0..count).map(each).collect()
    }

    async fn recover(&mut self, ticket: &Ticket) -> Result<Recovered, DestinationError> {
        let Some(ticket) = MboxTicket::decode(ticket) else {
            return Ok(Recovered::Lost);
        };
        self.block(move |place, _| recovery::recover(place, &ticket))
            .await?
    }
}

/// Why a group was not published.
struct Failure {
    error: DestinationError,
    /// A part of it may be in the mbox; the spool is there still.
    torn: bool,
}

fn publish(place: &Place, mut group: Group) -> Result<(), Failure> {
    if group.digests.is_empty() {
        group.remove(place);
        return Ok(());
    }
    let appended = match LockedMbox::lock(place) {
        Ok(mbox) => group.append(place, &mbox).map_err(|failed| Failure {
            error: place.failed(failed.cause),
            torn: failed.torn,
        }),
        Err(error) => Err(Failure {
            error: place.not_locked(error),
            torn: false,
        }),
    };
    if !appended.as_ref().is_err_and(|failure| failure.torn) {
        group.remove(place);
    }
    appended
}

impl Drop for Mbox {
    fn drop(&mut self) {
        // What was never prepared is in no state. The spool of what was is needed by the next run.
        if let Some(group) = self.group.take_if(|group| !group.is_prepared()) {
            group.remove(&self.place);
        }
    }
}

/// Takes the octets for a message and for an mbox, and panics if a promise is broken: pieces of any
/// size give the same, what is stored comes back, and it is one message whatever it holds.
#[cfg(feature = "testing")]
pub fn fuzz_mbox(octets: &[u8]) {
    let cuts = octets.first().map_or(1, |&octet| usize::from(octet));
    scan::fuzz_scanning(octets, cuts);
    let stored = quote::fuzz_quoting(octets, cuts);
    let from = from_line(octets, SystemTime::UNIX_EPOCH);
    assert_eq!(from.split_ascii_whitespace().count(), 7);
    let entry = [from.as_bytes(), &stored, b"\n"].concat();
    assert_eq!(scan::fuzz_scanning(&entry, cuts), 1);
}

#[cfg(test)]
mod tests;
