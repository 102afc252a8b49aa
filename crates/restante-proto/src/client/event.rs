//! What the machine tells its driver.

use alloc::{string::String, vec::Vec};
use core::time::Duration;

use super::{ServerText, StatusLine};
use crate::{Keyword, MessageNumber, Octets};

/// What the driver is to do next; the answer of `Session::poll_output`.
#[derive(Debug)]
#[must_use]
pub enum Output {
    /// Something came. Poll again.
    Event(Event),
    /// After writing: drop the session, do the handshake, go on with `Session::after_tls`.
    StartTls,
    /// Write, then wait for input, for the deadline on the clock that all calls use, or for the
    /// next request.
    Wait {
        /// When `Session::handle_timeout` is to be called; `None` where nothing is due.
        deadline: Option<Duration>,
    },
    /// QUIT was answered: close the connection.
    Close,
}

/// Something that came from the server.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The session may begin.
    Greeting(StatusLine),
    /// A challenge of the exchange, base64 as sent, perhaps empty. Answered by
    /// `Session::sasl_response` or `Session::sasl_cancel`.
    Challenge(Vec<u8>),
    /// `+OK` to RETR or TOP: the message follows in [`Event::MessageData`], and it is whole when
    /// [`Event::Answered`] says so, not before (PRJ-ML-9).
    MessageBegins(MessageNumber),
    /// The next octets of the message, in pieces of any size: CRLF line ends, no byte-stuffing.
    MessageData(Vec<u8>),
    /// A line of the answer to LIST.
    ScanListing {
        /// The message.
        number: MessageNumber,
        /// Its size, as the server believes it to be.
        octets: Octets,
    },
    /// A line of the answer to UIDL.
    UniqueIdListing {
        /// The message.
        number: MessageNumber,
        /// Opaque, to be compared octet for octet (PRJ-UIDL-9); two messages may have the same.
        /// `None`: the line holds none.
        unique_id: Option<Vec<u8>>,
    },
    /// A line of the answer to AUTH or LANG without argument.
    Line(ServerText),
    /// The answer to the oldest command that had none is complete.
    Answered(Answer),
}

/// The answer to one command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// What was asked.
    pub keyword: Keyword,
    /// Of which message, if it was one.
    pub number: Option<MessageNumber>,
    /// `+OK`, or the line that says `-ERR`.
    pub outcome: Result<Success, StatusLine>,
}

/// What a `+OK` means.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Success {
    /// It was done; what was to be told has been told.
    Done,
    /// The answer to STAT.
    DropListing {
        /// How many messages.
        messages: u64,
        /// Their size together.
        octets: Octets,
    },
    /// The answer to `LIST msg`.
    ScanListing {
        /// The message's size, as the server believes it to be.
        octets: Octets,
    },
    /// The answer to `UIDL msg`: the unique-id, or `None` where the line holds none.
    UniqueId(Option<Vec<u8>>),
    /// The message has come to its end.
    Message {
        /// How many octets it had. The size in the listing need not be this one.
        octets: Octets,
    },
    /// The answer to `LANG range`: the tag of the language in which the server goes on, if it
    /// says so.
    Language(Option<String>),
}
