//! What a session did in a mailbox, and who it was: what a store's journal keeps.

use std::net::IpAddr;

use restante_proto::{MessageNumber, Messages as _, UniqueId};

use crate::{Marks, MessageTable, ViewName};

/// Who is in session, as the journal will tell it. The default is somebody unknown.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Visitor {
    /// The session's number in the log of the server's process.
    pub session: u64,
    /// From where.
    pub address: Option<IpAddr>,
    /// How the login was made: a SASL mechanism, `APOP` or `USER`.
    pub mechanism: String,
    /// The name of the credential within its account: `default`, or later a device's.
    pub credential: String,
}

/// A session that has retrieved or deleted something.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Visit {
    /// When it ended, in Unix seconds.
    pub ended: u64,
    /// How it ended.
    pub end: VisitEnd,
    /// Which view of the mailbox it had.
    pub view: ViewName,
    /// Who it was.
    pub visitor: Visitor,
    /// How many messages it retrieved whole.
    pub retrieved: usize,
    /// How many messages it marked as deleted and said QUIT.
    pub deleted: usize,
    /// Those messages, in listing order; fewer than counted if they were too many to keep.
    pub messages: Vec<VisitedMessage>,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum VisitEnd {
    /// With QUIT: what was deleted is out of the view.
    Quit,
    /// With QUIT, but not all that was to be deleted is known to be gone.
    Incomplete,
    /// Without an update: nothing was deleted.
    Left,
}

/// What a session did to one message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VisitedMessage {
    /// Which message it was.
    pub unique_id: Vec<u8>,
    /// What was done.
    pub deed: Deed,
}

/// What was done to a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Deed {
    /// Sent whole by RETR.
    Retrieved,
    /// Deleted unread, as far as this session goes.
    Deleted,
    /// Both.
    RetrievedAndDeleted,
}

impl Deed {
    /// Whether the message was sent whole.
    #[must_use]
    pub fn retrieved(self) -> bool {
        matches!(self, Self::Retrieved | Self::RetrievedAndDeleted)
    }

    /// Whether the message was deleted.
    #[must_use]
    pub fn deleted(self) -> bool {
        matches!(self, Self::Deleted | Self::RetrievedAndDeleted)
    }

    /// The deed; `None` if nothing was done.
    fn of(retrieved: bool, deleted: bool) -> Option<Self> {
        match (retrieved, deleted) {
            (true, false) => Some(Self::Retrieved),
            (false, true) => Some(Self::Deleted),
            (true, true) => Some(Self::RetrievedAndDeleted),
            (false, false) => None,
        }
    }
}

/// What a session with these marks did, message by message, in listing order.
pub(crate) fn visited<'m>(
    messages: &'m MessageTable,
    marks: &'m Marks,
) -> impl Iterator<Item = (UniqueId<'m>, Deed)> {
    let numbers = (1..=messages.count()).filter_map(MessageNumber::new);
    numbers.filter_map(|number| {
        let (retrieved, deleted) = (&marks.retrieved, &marks.deleted);
        let deed = Deed::of(retrieved.contains(number), deleted.contains(number))?;
        Some((messages.unique_id(number), deed))
    })
}
