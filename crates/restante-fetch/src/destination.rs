//! Where mail goes: the contract that every kind of destination keeps.

mod any;
mod command;
mod handed;
mod line_ends;
mod maildir;
mod mbox;
mod sender;
mod smtp;

use std::{io, time::SystemTime};

pub use any::AnyDestination;
pub use command::{Command, CommandSettings};
pub use maildir::{LineEnds, Maildir};
pub use mbox::Mbox;
#[cfg(feature = "testing")]
pub use mbox::fuzz_mbox;
#[cfg(feature = "testing")]
pub use smtp::fuzz_mail_server_replies;
pub use smtp::{
    Address, Deadlines, Dialect, Login, MailServer, MailServerSettings, Peer, Security,
};

/// What is known of a message before its first octet arrives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Incoming {
    /// The name of the account it comes from.
    pub account: String,
    /// Its unique-id, as the server listed it: opaque octets, never to be trusted in a path.
    pub unique_id: Option<Vec<u8>>,
    /// Its size in octets, as the server announced it. Servers are wrong about it, and may lie.
    pub announced: Option<u64>,
    /// When its retrieval began.
    pub arrival: SystemTime,
}

/// A note of a destination about one finished message. The account's state keeps it from before the
/// message is published until the message is settled, so that a crash in between can be resolved.
///
/// At most [`Ticket::OCTETS_MAX`] octets; what they mean is known to the destination alone, which
/// should let them begin with a version. Read back from disk, they are a stranger's.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Ticket(Vec<u8>);

impl Ticket {
    /// The most octets a ticket has.
    pub const OCTETS_MAX: usize = 4096;

    /// A ticket of these octets; `None`: they are too many.
    #[must_use]
    pub fn new(octets: impl Into<Vec<u8>>) -> Option<Self> {
        let octets = octets.into();
        (octets.len() <= Self::OCTETS_MAX).then_some(Self(octets))
    }

    /// What the destination noted.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

/// A place for mail.
///
/// Messages come in groups, so that durability costs a few flushes for each group and not for each
/// message. For each message [`begin`](Self::begin), [`write`](Self::write) any number of times, then
/// [`finish`](Self::finish) or [`abandon`](Self::abandon). After some messages
/// [`prepare`](Self::prepare); then the caller makes the tickets durable; then
/// [`publish`](Self::publish). Then the next group. If the process dies after the tickets were made
/// durable, the next one asks [`recover`](Self::recover) for each of them before it begins anything.
///
/// Nobody reading the destination sees a message before `publish`, where that is possible at all; a
/// destination that hands messages on (LMTP, SMTP, a command) hands them on in `publish`.
///
/// One caller at a time uses a destination of one account. Other programs, and other accounts of
/// this one, may use the same place at the same time.
pub trait Destination: Send {
    /// Names the place, the same in every run as long as it is the same place: the state remembers
    /// by it where a message has arrived. It may be shown to people, and never holds a secret.
    fn label(&self) -> &str;

    /// How many messages a group may have, at least 1. What is best handed on one by one says 1.
    fn group_messages_max(&self) -> usize {
        usize::MAX
    }

    /// Begins a message. A message that was begun and not finished is abandoned.
    ///
    /// # Errors
    /// [`DestinationError`], also from every other function here. It leaves no trace of the message
    /// that was begun; whether others may follow is told by its [`scope`](DestinationError::scope).
    fn begin(
        &mut self,
        mail: &Incoming,
    ) -> impl Future<Output = Result<(), DestinationError>> + Send;

    /// The next octets as the server sent them, in pieces of any size: CRLF line ends, no
    /// byte-stuffing. A hostile server may send bare CR and LF, NUL, and lines without end.
    ///
    /// # Errors
    /// As [`begin`](Self::begin). The message needs no `abandon` then.
    fn write(&mut self, octets: &[u8])
    -> impl Future<Output = Result<(), DestinationError>> + Send;

    /// The message was whole. It belongs to the group now.
    ///
    /// # Errors
    /// As [`begin`](Self::begin). The message does not belong to the group then.
    fn finish(&mut self) -> impl Future<Output = Result<Ticket, DestinationError>> + Send;

    /// The message that was begun broke off, or is not wanted: it leaves no trace. The group stays.
    fn abandon(&mut self) -> impl Future<Output = ()> + Send;

    /// Makes the group durable, and not visible yet, where that is possible, with as few flushes as
    /// that takes.
    ///
    /// # Errors
    /// [`DestinationError`]: nothing of the group is to be published, and it has left no trace.
    fn prepare(&mut self) -> impl Future<Output = Result<(), DestinationError>> + Send;

    /// Makes the group visible, and that durable: `Ok` of a message means that it is at its place
    /// and survives a power failure, its directory's entry included, or that whoever took it over
    /// has said so. A result for each ticket, in their order. Then the group is empty.
    fn publish(&mut self) -> impl Future<Output = Vec<Result<(), DestinationError>>> + Send;

    /// What became of a message that was finished in a process that died, or whose `publish` failed:
    /// made visible and durable now, if it still can be.
    ///
    /// # Errors
    /// [`DestinationError`]: nobody knows at the moment; ask again in the next run.
    fn recover(
        &mut self,
        ticket: &Ticket,
    ) -> impl Future<Output = Result<Recovered, DestinationError>> + Send;
}

/// What became of a message that was finished before a crash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Recovered {
    /// It is at its place, durably; it may have been made so only now.
    Arrived,
    /// It is not there, or nobody can know: it is fetched again. Nothing lost wins over nothing
    /// twice.
    Lost,
}

/// Why a message did not arrive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DestinationError {
    /// The place has no room, or a quota is exhausted.
    #[error("{place} is full")]
    Full {
        /// Which, printable.
        place: String,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The place cannot be written: read-only, gone, without rights, or failing.
    #[error("{place} cannot be written")]
    Unwritable {
        /// Which, printable.
        place: String,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The place is not to be had at the moment: it is locked, a server cannot be reached, or says
    /// that it will do it later.
    #[error("{place} cannot take mail now: {said}")]
    Later {
        /// Which, printable.
        place: String,
        /// Why, printable.
        said: String,
    },
    /// The place takes no mail from us, whatever it is: a person has to look at it.
    #[error("{place} takes no mail: {said}")]
    Closed {
        /// Which, printable.
        place: String,
        /// Why, printable.
        said: String,
    },
    /// The place will never take this message; others it may.
    #[error("{place} refuses the message: {said}")]
    Refused {
        /// Which, printable.
        place: String,
        /// Why, printable.
        said: String,
    },
    /// The place cannot take this message now; others it may.
    #[error("{place} cannot take the message now: {said}")]
    RefusedNow {
        /// Which, printable.
        place: String,
        /// Why, printable.
        said: String,
    },
}

/// What a [`DestinationError`] concerns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// This message alone, and for good: it is set aside and reported.
    Message,
    /// This message alone, for now: it is fetched again later.
    MessageNow,
    /// The place: nothing more is fetched in this run.
    Place,
}

impl DestinationError {
    /// What is concerned.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        match self {
            Self::Refused { .. } => Scope::Message,
            Self::RefusedNow { .. } => Scope::MessageNow,
            Self::Full { .. }
            | Self::Unwritable { .. }
            | Self::Later { .. }
            | Self::Closed { .. } => Scope::Place,
        }
    }

    /// The same error, for another message that it concerns too.
    #[must_use]
    pub fn again(&self) -> Self {
        let same = |cause: &io::Error| match cause.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(cause.kind(), cause.to_string()),
        };
        match self {
            Self::Full { place, cause } => Self::Full {
                place: place.clone(),
                cause: same(cause),
            },
            Self::Unwritable { place, cause } => Self::Unwritable {
                place: place.clone(),
                cause: same(cause),
            },
            Self::Later { place, said } => Self::Later {
                place: place.clone(),
                said: said.clone(),
            },
            Self::Closed { place, said } => Self::Closed {
                place: place.clone(),
                said: said.clone(),
            },
            Self::Refused { place, said } => Self::Refused {
                place: place.clone(),
                said: said.clone(),
            },
            Self::RefusedNow { place, said } => Self::RefusedNow {
                place: place.clone(),
                said: said.clone(),
            },
        }
    }

    /// A failed call to the operating system about `place`.
    #[must_use]
    pub fn system(place: impl Into<String>, cause: io::Error) -> Self {
        let place = place.into();
        match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { place, cause }
            }
            _ => Self::Unwritable { place, cause },
        }
    }
}
