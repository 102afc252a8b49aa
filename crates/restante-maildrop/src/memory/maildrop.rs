//! An open maildrop of the store in memory.

use std::{io, ops::RangeInclusive, sync::Arc};

use bytes::Bytes;
use futures_util::stream;
use restante_proto::{MessageNumber, MessageSet, Mode, Part};

use super::{
    MemoryStore,
    devices::look_at_clock,
    failures::Operation,
    mailbox::{Listing, Mailbox, Message, Resting},
    sessions::Lease,
};
use crate::{
    Body, Chunks, DeleteMode, Durable, JournalEntry, Lost, Maildrop, Marks, MessageTable,
    ReadError, Rest, UpdateError, Updated, Visit, VisitEnd, VisitedMessage, views::Event,
    visit::visited,
};

/// A snapshot of a mailbox in memory, under a lease.
#[derive(Debug)]
pub struct MemoryMaildrop {
    store: MemoryStore,
    lease: Lease,
    /// Whether the mailbox knew the device when the session began.
    known: bool,
    listing: Listing,
}

/// What an update did.
#[derive(Debug, Default)]
struct Removed {
    count: usize,
    failed: usize,
    failure: Option<io::Error>,
}

impl MemoryMaildrop {
    pub(super) fn new(store: MemoryStore, lease: Lease, known: bool, listing: Listing) -> Self {
        Self {
            store,
            lease,
            known,
            listing,
        }
    }

    /// The message, if the mailbox or its trash still holds it.
    fn message(&self, number: MessageNumber) -> Result<&Arc<Message>, ReadError> {
        let message = self.listing.message(number).ok_or(ReadError::Gone)?;
        let mailboxes = self.store.mailboxes();
        match mailboxes.get(&self.lease.view().mailbox) {
            Some(mailbox) if mailbox.holds(message) => Ok(message),
            _ => Err(ReadError::Gone),
        }
    }

    /// Removes what is marked, in one step: a session that opens meanwhile waits for the end.
    fn remove(&self, marks: &Marks) -> Result<Removed, Lost> {
        let view = self.lease.view();
        let mut mailboxes = self.store.mailboxes();
        // Under the lock: whoever comes later does not list what is removed now.
        let resting = self.store.resting(&view.mailbox, Some(&view.name));
        // Under the mailbox lock: whoever takes the lease after this sees all of it or nothing.
        if let Some(why) = self.lease.lost() {
            return Err(why);
        }
        let mut removed = Removed::default();
        let Some(mailbox) = mailboxes.get_mut(&self.lease.view().mailbox) else {
            return Ok(removed);
        };
        let policy = self.lease.view().policy;
        if !policy.is_classic() {
            return self.hide(mailbox, marks, resting);
        }
        if policy.counts_retrieved(self.lease.view().access) {
            self.note(mailbox, marks);
        }
        for number in marks.deleted.iter() {
            match self.store.inner.failures.check(Operation::Remove) {
                Ok(()) => {
                    let message = self.listing.message(number);
                    removed.count += usize::from(
                        message.is_some_and(|message| mailbox.remove(message, resting)),
                    );
                }
                Err(error) => {
                    removed.failed += 1;
                    removed.failure.get_or_insert(error);
                }
            }
        }
        mailbox.purge_older(resting);
        Ok(removed)
    }

    /// Notes what the view has deleted and retrieved, and removes what everyone is done with.
    fn hide(
        &self,
        mailbox: &mut Mailbox,
        marks: &Marks,
        resting: Resting,
    ) -> Result<Removed, Lost> {
        let view = self.lease.view();
        let now = resting.now;
        if view.policy.delete == DeleteMode::PerDevice && mailbox.views.device(&view.name).is_none()
        {
            if self.known {
                return Err(Lost::Credential);
            }
            mailbox.views.apply(&Event::Met(view.name.clone(), now));
        }
        let mut removed = Removed::default();
        // The whole of it is one step, as an append to a file is.
        if let Err(error) = self.store.inner.failures.check(Operation::Remove)
            && !marks.deleted.is_empty()
        {
            (removed.failed, removed.failure) = (marks.deleted.len(), Some(error));
            return Ok(removed);
        }
        look_at_clock(mailbox, view.policy, now);
        removed.count = self.note(mailbox, marks);
        let choice = (view.policy, &view.shows);
        mailbox.let_go(choice, Some(&view.name), resting);
        mailbox.purge_older(resting);
        Ok(removed)
    }

    /// Makes the session's marks; returns how many messages are hidden by it.
    fn note(&self, mailbox: &mut Mailbox, marks: &Marks) -> usize {
        let view = self.lease.view();
        let ids = |set: &MessageSet| {
            let listed = set.iter().filter_map(|number| self.listing.message(number));
            listed.map(|one| one.unique_id.clone()).collect::<Vec<_>>()
        };
        let (deleted, retrieved) = (ids(&marks.deleted), ids(&marks.retrieved));
        let deleted = deleted.iter().map(Vec::as_slice);
        let hidden = deleted.filter(|_| !view.policy.is_classic());
        let retrieved = retrieved.iter().map(Vec::as_slice);
        let events =
            mailbox
                .views
                .ending((&view.name, view.access), view.policy, hidden, retrieved);
        let applied = events.iter().filter(|event| mailbox.views.apply(event));
        applied.map(Event::hidden_count).sum()
    }

    /// Enters what the session did into the journal, if it did anything.
    fn record(&self, end: VisitEnd, marks: &Marks) {
        if marks.are_none() {
            return;
        }
        let messages = visited(&self.listing.table, marks).map(|(id, deed)| VisitedMessage {
            unique_id: id.as_bytes().to_vec(),
            deed,
        });
        let visit = Visit {
            ended: self.store.now_seconds(),
            end,
            view: self.lease.view().name.clone(),
            visitor: marks.visitor.clone(),
            retrieved: marks.retrieved.len(),
            deleted: marks.deleted.len(),
            messages: messages.collect(),
        };
        let mut mailboxes = self.store.mailboxes();
        if let Some(mailbox) = mailboxes.get_mut(&self.lease.view().mailbox) {
            mailbox.journal.push(JournalEntry::Visit(visit));
        }
    }

    fn chunks(&self, octets: Bytes) -> Chunks {
        let sizes = self.store.settings().chunks;
        let start = (self.store.clone(), octets, 0);
        Box::pin(stream::try_unfold(
            start,
            move |(store, mut rest, index)| {
                let size = sizes.get(index % sizes.len().max(1)).copied();
                async move {
                    if rest.is_empty() {
                        return Ok(None);
                    }
                    let begun = store.begin(Operation::Chunk).await;
                    begun.map_err(ReadError::Temporary)?;
                    let size = size.unwrap_or(rest.len()).min(rest.len());
                    let chunk = rest.split_to(size);
                    Ok(Some((chunk, (store, rest, index + 1))))
                }
            },
        ))
    }
}

impl Maildrop for MemoryMaildrop {
    fn messages(&self) -> &Arc<MessageTable> {
        &self.listing.table
    }

    async fn measure(&self, _: Mode, through: MessageNumber) -> Result<(), ReadError> {
        let begun = self.store.begin(Operation::Measure).await;
        begun.map_err(ReadError::Temporary)?;
        let numbers = (0..=through.index()).filter_map(MessageNumber::from_index);
        for (number, listed) in numbers.zip(&self.listing.messages) {
            listed.message.set_measured();
            self.listing.table.measured(number, listed.size);
        }
        Ok(())
    }

    async fn read(&self, number: MessageNumber, _: Mode, _: Part) -> Result<Body, ReadError> {
        let begun = self.store.begin(Operation::Read).await;
        begun.map_err(ReadError::Temporary)?;
        self.message(number)?;
        let listed = self.listing.listed(number).ok_or(ReadError::Gone)?;
        let (head, rest) = match listed.parts() {
            (None, rest) => split_first_line(&rest),
            tagged => tagged,
        };
        Ok(Body {
            octets: listed.size,
            head,
            rest: Rest::Chunks(self.chunks(rest)),
            form: listed.form,
        })
    }

    fn read_ahead(&self, _: RangeInclusive<MessageNumber>) {}

    /// Nothing is remembered here that could be wrong.
    fn distrust(&self, _: MessageNumber) {}

    async fn lost(&self) -> Lost {
        self.lease.until_lost().await
    }

    async fn update(self, marks: Marks) -> Result<Updated, UpdateError> {
        self.store.wait().await;
        let removed = self.remove(&marks).map_err(UpdateError::Lost)?;
        let end = match removed.failure {
            None => VisitEnd::Quit,
            Some(_) => VisitEnd::Incomplete,
        };
        self.record(end, &marks);
        match removed.failure {
            None => Ok(Updated {
                removed: removed.count,
                durable: Durable::proven(),
            }),
            Some(cause) => Err(UpdateError::Incomplete {
                marked: marks.deleted.len(),
                failed: removed.failed,
                cause,
            }),
        }
    }

    async fn leave(self, mut marks: Marks) {
        self.store.wait().await;
        marks.deleted.clear();
        self.record(VisitEnd::Left, &marks);
    }
}

/// The first line in CRLF form as a head, and the rest as stored.
///
/// A first line without an end, or with a CR that belongs to no end, stays in the rest.
fn split_first_line(octets: &Bytes) -> (Option<Bytes>, Bytes) {
    let Some(end) = octets.iter().position(|&octet| octet == b'\n') else {
        return (None, octets.clone());
    };
    let line = octets.slice(..end);
    let line = line.strip_suffix(b"\r").unwrap_or(&line);
    if line.contains(&b'\r') {
        return (None, octets.clone());
    }
    let head = [line, b"\r\n"].concat();
    (Some(head.into()), octets.slice(end + 1..))
}
