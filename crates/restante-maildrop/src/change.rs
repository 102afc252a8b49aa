//! What has changed a mailbox and was no session: what a store's journal keeps of it.

use crate::{ViewName, Visit};

/// A change of a mailbox that no session made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// When, in Unix seconds.
    pub made: u64,
    /// What was done.
    pub kind: ChangeKind,
    /// Who did it, as the store was told; `None`: nobody, it was due.
    pub author: Option<String>,
    /// The device that it was done for, if it was for one.
    pub device: Option<ViewName>,
    /// How many messages it concerned.
    pub count: usize,
    /// Those messages, by the unique-ids that they have since; fewer than counted if they were
    /// too many to keep, or if nobody looked which they were.
    pub messages: Vec<Vec<u8>>,
}

/// What was done to a mailbox.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ChangeKind {
    /// A device was added; counted is what it does not see of the mail that was there.
    DeviceAdded,
    /// A device began anew; counted is what it sees.
    DeviceReset,
    /// A device was removed.
    DeviceRemoved,
    /// Messages were put back from the trash.
    Restored,
    /// Messages were removed from the trash for good.
    Purged,
    /// Messages were moved to the trash because of their age alone.
    Expired,
    /// Messages were moved to the trash, as the account's policy has it, when no session ended.
    Left,
    /// Unique-ids of another server were stored.
    Imported,
}

/// Something that a journal tells of.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum JournalEntry {
    /// A session that has retrieved or deleted something.
    Visit(Visit),
    /// What was no session.
    Change(Change),
}

/// What a journal holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Journal {
    /// What happened, oldest first.
    pub entries: Vec<JournalEntry>,
    /// So many entries could not be read.
    pub damaged: usize,
}

impl Change {
    /// What has become of messages because it was due.
    pub(crate) fn due(kind: ChangeKind, made: u64, messages: Vec<Vec<u8>>) -> Self {
        Self {
            made,
            kind,
            author: None,
            device: None,
            count: messages.len(),
            messages,
        }
    }
}

impl JournalEntry {
    /// When it happened, or ended, in Unix seconds.
    #[must_use]
    pub fn when(&self) -> u64 {
        match self {
            Self::Visit(visit) => visit.ended,
            Self::Change(change) => change.made,
        }
    }
}

impl Journal {
    /// The sessions, oldest first.
    pub fn visits(&self) -> impl DoubleEndedIterator<Item = &Visit> {
        self.entries.iter().filter_map(|entry| match entry {
            JournalEntry::Visit(visit) => Some(visit),
            JournalEntry::Change(_) => None,
        })
    }

    /// What was no session, oldest first.
    pub fn changes(&self) -> impl DoubleEndedIterator<Item = &Change> {
        self.entries.iter().filter_map(|entry| match entry {
            JournalEntry::Change(change) => Some(change),
            JournalEntry::Visit(_) => None,
        })
    }
}
