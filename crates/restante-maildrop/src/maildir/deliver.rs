//! Delivery: a message becomes visible when it is whole and on stable storage, never before.
//!
//! For each recipient (MDIR-STORE-1):
//!
//! 1. a file of a random name is made in `tmp/`, which must not exist;
//! 2. the recipient's prefix, then the body, piece by piece as it arrives, are written;
//! 3. the file is synced;
//! 4. it is renamed into `new/`, under a name that tells its sizes and replaces nothing;
//! 5. `new/` is synced: now the delivery is answered.
//!
//! That `new/` itself and the directories it is in are on stable storage is made sure of before.
//!
//! The body is read once, whatever the number of recipients; one recipient's failure stops none
//! of the others. What fails leaves nothing visible, and what it has left in `tmp/` when the
//! process dies is removed by a later delivery. No lock is taken: random names need none.

mod line_ends;

use std::{
    fs::File,
    io, mem,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use restante_proto::WireCounter;
use tokio::task;

use self::line_ends::Converter;
use super::{
    layout::{Folder, Mailbox},
    location::Location,
    maildirsize,
    name::FileName,
    onlookers::Asker,
    retention::{Occasion, Retention},
    unique_name,
};
use crate::{
    BodySource, Clock, DeliverError, Durable, Recipient,
    disk::{Disk, Kind},
};

pub use self::line_ends::LineEnds;

/// So much of a body is gathered before it is written.
const BATCH_OCTETS: usize = 256 * 1024;
/// Files in `tmp/` that have not changed for so long are nobody's any more (MDIR-STORE-5).
const ABANDONED_AFTER: Duration = Duration::from_secs(36 * 60 * 60);
/// Microseconds.
const SECOND: u64 = 1_000_000;
/// A clock that is set back by more than this, in microseconds, was wrong before.
const SET_BACK_MAX: u64 = SECOND;
/// A delivery looks at this many files in `tmp/` at most.
const LOOKED_AT_MAX: usize = 1000;

/// What all deliveries of a store have in common.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) disk: Disk,
    pub(crate) clock: Clock,
    /// The trash is looked into when a message comes, if something is due there.
    pub(crate) retention: Retention,
    pub(crate) location: Location,
    pub(crate) line_ends: LineEnds,
    /// This machine's name, as [`unique_name::host`] gives it.
    pub(crate) host: Arc<str>,
    /// When the last message arrived, in microseconds since 1970.
    pub(crate) last: Arc<AtomicU64>,
}

/// One recipient's file on its way. Dropped before it is published, it is removed.
#[derive(Debug)]
struct Draft {
    mailbox: Mailbox,
    clock: Clock,
    file: File,
    /// Its name in `tmp/`: the base name without sizes.
    name: Vec<u8>,
    /// Octets of the prefix, as stored and in CRLF form.
    prefix: Sizes,
    in_tmp: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sizes {
    stored: u64,
    wire: u64,
}

type Drafts = Vec<Result<Draft, DeliverError>>;

impl Delivery {
    /// Delivers one body to all recipients; see [`crate::Store::deliver`].
    pub(crate) async fn deliver<B: BodySource>(
        &self,
        recipients: &[Recipient],
        body: B,
    ) -> Vec<Result<Durable, DeliverError>> {
        let (delivery, to) = (self.clone(), recipients.to_vec());
        let begun = blocking(move || delivery.begin(&to)).await;
        let written = match begun {
            Ok(drafts) => self.write_body(drafts, body).await,
            Err(error) => Err(error),
        };
        let published = match written {
            Ok((drafts, body)) => {
                blocking(move || {
                    drafts
                        .into_iter()
                        .map(|draft| draft?.publish(body))
                        .collect()
                })
                .await
            }
            Err(error) => Err(error),
        };
        published.unwrap_or_else(|panicked: io::Error| {
            let error = Arc::new(panicked);
            let failed = |_| Err(DeliverError::Temporary(Arc::clone(&error)));
            recipients.iter().map(failed).collect()
        })
    }

    fn begin(&self, recipients: &[Recipient]) -> Drafts {
        recipients.iter().map(|to| self.begin_one(to)).collect()
    }

    fn begin_one(&self, to: &Recipient) -> Result<Draft, DeliverError> {
        let place = self.location.of(&to.mailbox).map_err(|error| {
            // PRJ-STORE-1: no other name will make it right.
            let error = io::Error::new(io::ErrorKind::InvalidInput, error);
            DeliverError::Permanent(Arc::new(error))
        })?;
        let mailbox = Mailbox::open_or_create(&self.disk, &place).map_err(temporary)?;
        self.begin_in(mailbox, &to.prefix).map_err(temporary)
    }

    fn begin_in(&self, mailbox: Mailbox, prefix: &[u8]) -> io::Result<Draft> {
        mailbox.confirm_folder(Folder::NEW)?;
        remove_abandoned(&mailbox, &self.clock);
        let retention = &self.retention;
        retention.purge_if_due(&mailbox, Asker::Outside, Occasion::Delivery);
        let (seconds, microseconds) = self.arrival();
        let name = unique_name::made_of(seconds, microseconds, &self.host)?;
        let tmp = mailbox.tmp()?;
        let file = mailbox.create_new(tmp, &name).inspect_err(|_| {
            // It may have been made, and only not been given its owner.
            let _ = self.disk.unlink(tmp, &name);
        })?;
        let mut draft = Draft {
            mailbox,
            clock: self.clock.clone(),
            file,
            name,
            prefix: Sizes::default(),
            in_tmp: true,
        };
        let mut stored = Vec::new();
        let mut converter = Converter::new(self.line_ends);
        converter.convert(prefix, &mut stored);
        converter.finish(&mut stored);
        let mut counter = WireCounter::new();
        counter.update(&stored);
        draft.prefix = Sizes {
            stored: stored.len() as u64,
            wire: counter.finish().octets.0,
        };
        draft.write(&stored)?;
        Ok(draft)
    }

    /// The time for the next name. Messages that arrive one after the other stand in that order,
    /// even if the clock ticks slowly or is set back a little (PRJ-MSG-2).
    fn arrival(&self) -> (u64, u64) {
        let now = self.clock.now().as_micros();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        let next = |last: u64| match last.checked_sub(now) {
            Some(ahead) if ahead < SET_BACK_MAX => last + 1,
            _ => now,
        };
        let last = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some(next(last))
            });
        let arrival = next(last.unwrap_or_else(|last| last));
        (arrival / SECOND, arrival % SECOND)
    }

    /// Reads the body to its end, even when nobody is left to write it to: it may come from a
    /// connection that goes on.
    async fn write_body<B: BodySource>(
        &self,
        mut drafts: Drafts,
        mut body: B,
    ) -> io::Result<(Drafts, Sizes)> {
        let mut converter = Converter::new(self.line_ends);
        let mut counter = WireCounter::new();
        let mut batch = Vec::new();
        let mut stored = 0;
        loop {
            let piece = match body.next().await {
                Ok(piece) => piece,
                Err(error) => return Ok((all_failed(drafts, error), Sizes::default())),
            };
            let last = piece.is_none();
            match piece {
                Some(piece) => converter.convert(&piece, &mut batch),
                None => {
                    mem::replace(&mut converter, Converter::new(self.line_ends)).finish(&mut batch)
                }
            }
            if batch.len() >= BATCH_OCTETS || (last && !batch.is_empty()) {
                counter.update(&batch);
                stored += batch.len() as u64;
                let octets = Bytes::from(mem::take(&mut batch));
                drafts = blocking(move || write_to_all(drafts, &octets)).await?;
            }
            if last {
                let wire = counter.finish().octets.0;
                return Ok((drafts, Sizes { stored, wire }));
            }
        }
    }
}

impl Draft {
    fn write(&self, octets: &[u8]) -> io::Result<()> {
        match octets.is_empty() {
            true => Ok(()),
            false => self.mailbox.disk().write_all(&self.file, octets),
        }
    }

    fn publish(mut self, body: Sizes) -> Result<Durable, DeliverError> {
        self.try_publish(body).map_err(temporary)
    }

    fn try_publish(&mut self, body: Sizes) -> io::Result<Durable> {
        let stored = self.prefix.stored + body.stored;
        let wire = self.prefix.wire + body.wire;
        let mut name = self.name.clone();
        name.extend_from_slice(format!(",S={stored},W={wire}").as_bytes());
        let disk = self.mailbox.disk();
        let new = self.mailbox.folder(Folder::NEW);
        disk.sync_file(&self.file)?;
        disk.rename_no_replace(self.mailbox.tmp()?, &self.name, new, &name)?;
        self.in_tmp = false;
        if let Err(error) = disk.sync_directory(new) {
            // The sender will try again: take it back, unless a reader was faster.
            let _ = disk.unlink(new, &name);
            return Err(error);
        }
        let durable = Durable::proven();
        if let Some(name) = FileName::new(&name) {
            let mut change = maildirsize::Change::default();
            change.add(name, stored);
            maildirsize::enter(&self.mailbox, &self.clock, change);
        }
        Ok(durable)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.in_tmp
            && let Ok(tmp) = self.mailbox.tmp()
        {
            let _ = self.mailbox.disk().unlink(tmp, &self.name);
        }
    }
}

fn write_to_all(drafts: Drafts, octets: &[u8]) -> Drafts {
    let write = |draft: Result<Draft, DeliverError>| {
        let draft = draft?;
        draft.write(octets).map_err(temporary)?;
        Ok(draft)
    };
    drafts.into_iter().map(write).collect()
}

fn all_failed(drafts: Drafts, error: io::Error) -> Drafts {
    let error = Arc::new(error);
    let fail = |draft: Result<Draft, DeliverError>| {
        draft.and_then(|_| Err(DeliverError::Source(Arc::clone(&error))))
    };
    drafts.into_iter().map(fail).collect()
}

/// A full disk, a missing volume, a permission: all of them pass, or a person sees to it while
/// the sender keeps trying.
fn temporary(error: io::Error) -> DeliverError {
    DeliverError::Temporary(Arc::new(error))
}

/// Runs what waits for the disk on a thread that may wait.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    task::spawn_blocking(work).await.map_err(io::Error::other)
}

/// Removes what deliveries that died have left in `tmp/`. Failing to is no failure.
pub(crate) fn remove_abandoned(mailbox: &Mailbox, clock: &Clock) {
    let _ = try_remove_abandoned(mailbox, clock);
}

fn try_remove_abandoned(mailbox: &Mailbox, clock: &Clock) -> io::Result<()> {
    let (disk, tmp) = (mailbox.disk(), mailbox.tmp()?);
    let mut names = Vec::new();
    disk.read_directory(tmp, |name, kind| {
        if matches!(kind, Kind::File | Kind::Unknown) && !name.starts_with(b".") {
            names.push(name.to_vec());
        }
        match names.len() < LOOKED_AT_MAX {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    })?;
    let Some(limit) = clock.now().checked_sub(ABANDONED_AFTER) else {
        return Ok(());
    };
    let limit = i64::try_from(limit.as_nanos()).unwrap_or(i64::MAX);
    for name in names {
        let facts = disk.facts_at(tmp, &name)?;
        // Other programs set the time of content to an old one while they still write; the time of
        // facts cannot be set.
        let touched = facts.modified.max(facts.changed);
        if facts.kind == Kind::File && touched < limit {
            disk.unlink(tmp, &name)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
