//! What goes into the chain, and what comes out.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::{
    plan::Suspects,
    state::{EntryId, Named, Record},
    trouble::Trouble,
};

/// So many octets wait for a group that is being made durable: what 50 Mbit/s bring in half a second.
const WAITING_OCTETS_MAX: usize = 3 * 1024 * 1024;
/// So many pieces.
const WAITING_PIECES_MAX: usize = 4096;
/// A piece may be larger than all that may wait; then it waits alone.
const PIECE_OCTETS_MAX: usize = WAITING_OCTETS_MAX;

/// Names a message within a session.
pub(crate) type Tag = usize;

/// Whether a message comes whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Whole,
    /// Its header alone.
    Header,
}

/// A message begins.
#[derive(Clone, Debug)]
pub(crate) struct Begin {
    pub(crate) tag: Tag,
    pub(crate) kind: Kind,
    pub(crate) named: Named,
    pub(crate) suspects: Suspects,
    /// What is known of it, if it was tried before.
    pub(crate) entry: Option<EntryId>,
    /// How often it was tried in vain before this run.
    pub(crate) tries: u32,
    /// Stands before it at the destinations.
    pub(crate) prefix: Option<Bytes>,
}

/// What goes into the chain, in the order of the line.
#[derive(Debug)]
pub(crate) enum Feed {
    Begin(Box<Begin>),
    /// Octets of the message, and the room that they take.
    Data(Bytes, OwnedSemaphorePermit),
    /// The message is whole.
    End,
    /// It is not, and never will be in this session.
    Broken(Break),
    /// The server does not give it.
    Refused {
        begin: Box<Begin>,
        why: String,
    },
    /// Something else for the state.
    Told(Vec<Record>),
    /// Make safe what is there, and tell.
    Flush,
}

/// Why a message broke off.
#[derive(Clone, Debug)]
pub(crate) enum Break {
    /// It is not to blame: somebody wants it to stop.
    Stopped,
    /// The line broke within it. Others go first the next time: it may have been its doing.
    Line(String),
    /// It is to blame.
    Message(String),
}

/// What became of a message; the state has it durably.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It has arrived.
    Here {
        tag: Tag,
        entry: EntryId,
        octets: u64,
    },
    /// Its header has.
    HeaderHere { tag: Tag },
    /// It was here already.
    Known { tag: Tag, entry: EntryId },
    /// It is not the message of which a part of the destinations has a copy: once more, as new.
    Another { tag: Tag },
    /// It has not arrived.
    Failed { tag: Tag, why: String },
    /// Nothing more arrives.
    Stopped(Trouble),
}

/// The way into a chain.
pub(crate) struct Feeder {
    feed: mpsc::Sender<Feed>,
    room: Arc<Semaphore>,
}

/// The chain has ended.
#[derive(Debug)]
pub(crate) struct Ended;

impl Feeder {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Feed>) {
        let (feed, out) = mpsc::channel(WAITING_PIECES_MAX);
        let room = Arc::new(Semaphore::new(WAITING_OCTETS_MAX));
        (Self { feed, room }, out)
    }

    /// Waits for room, as the server does then.
    pub(crate) async fn data(&self, octets: Bytes) -> Result<(), Ended> {
        let count = octets.len().min(PIECE_OCTETS_MAX);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let room = self.room.clone().acquire_many_owned(count).await;
        self.give(Feed::Data(octets, room.map_err(|_| Ended)?))
            .await
    }

    pub(crate) async fn give(&self, fed: Feed) -> Result<(), Ended> {
        self.feed.send(fed).await.map_err(|_| Ended)
    }
}
