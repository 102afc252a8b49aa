//! What goes wrong on the client's side, by whose fault it is.

use core::time::Duration;

use super::{ServerText, StatusLine};
use crate::{Keyword, MessageNumber, Octets};

/// The session is over, by the server's fault or the line's. Close the connection; nothing that
/// was marked by DELE may be taken for deleted, or for not deleted (PRJ-QUIT-10).
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The server greets with `-ERR`: it serves nobody now.
    #[error("the server refuses the connection: {}", .0.text)]
    Refused(StatusLine),
    /// The first line is no greeting of a POP3 server.
    #[error("not a POP3 server: {line}")]
    NotPop3 {
        /// What it says instead.
        line: ServerText,
    },
    /// A line exceeds its limit.
    #[error("a line of the server exceeds {max} octets")]
    LineTooLong {
        /// The limit, CRLF included.
        max: usize,
    },
    /// A line ends in a LF without a CR.
    #[error("a line of the server ends without CR")]
    BareLineFeed,
    /// A status line without status indicator.
    #[error("the answer to {keyword} has no status indicator: {line}")]
    NoIndicator {
        /// What was asked.
        keyword: Keyword,
        /// The line.
        line: ServerText,
    },
    /// Numbers that are none, or beyond 64 bits (PRJ-NUM-6).
    #[error("the answer to {keyword} is malformed: {line}")]
    Malformed {
        /// What was asked.
        keyword: Keyword,
        /// The line.
        line: ServerText,
    },
    /// `Limits::lines_max`.
    #[error("the answer to {keyword} exceeds {max} lines")]
    TooManyLines {
        /// What was asked.
        keyword: Keyword,
        /// The limit.
        max: u32,
    },
    /// `Limits::messages_max`.
    #[error("the answer to {keyword} lists more than {max} messages")]
    TooManyMessages {
        /// What was asked.
        keyword: Keyword,
        /// The limit.
        max: u32,
    },
    /// `Limits::listing_octets_max`.
    #[error("the answer to {keyword} exceeds {max} octets")]
    ListingTooLong {
        /// What was asked.
        keyword: Keyword,
        /// The limit.
        max: u64,
    },
    /// `Limits::message_octets_max`.
    #[error("message {number} exceeds {max} octets")]
    MessageTooLarge {
        /// Which message.
        number: MessageNumber,
        /// The limit.
        max: Octets,
    },
    /// `Limits::sasl_rounds_max`.
    #[error("the authentication exchange exceeds {max} challenges")]
    TooManyChallenges {
        /// The limit.
        max: u32,
    },
    /// `+OK` to an exchange that was cancelled (R5034-CANCEL-1).
    #[error("the server accepts a login that was cancelled")]
    CancelledAccepted,
    /// The server speaks when nothing was asked (PRJ-INJ-4). Some say goodbye this way.
    #[error("unasked for: {line}")]
    Unsolicited {
        /// What it says, as far as it has come.
        line: ServerText,
    },
    /// Something came in the clear behind the answer to STLS: somebody in the middle wants it
    /// taken for what comes over TLS (PRJ-INJ-2).
    #[error("plaintext behind the answer to STLS")]
    PlaintextAfterStls,
    /// The connection ended before a message did: half of it is nothing (PRJ-ML-9).
    #[error("the connection ended within message {number}, after {octets} octets")]
    MessageTruncated {
        /// Which message.
        number: MessageNumber,
        /// How much had come.
        octets: Octets,
    },
    /// The connection ended before an answer did.
    #[error("the connection ended before the answer to {keyword}")]
    EndOfAnswer {
        /// What was asked.
        keyword: Keyword,
    },
    /// The connection ended before the greeting, or when nothing was asked.
    #[error("the server closed the connection")]
    EndOfInput,
    /// No greeting in time.
    #[error("no greeting within {} s", .after.as_secs())]
    NoGreeting {
        /// How long was waited.
        after: Duration,
    },
    /// No answer in time (PRJ-FETCH-10).
    #[error("no answer to {keyword} within {} s", .after.as_secs())]
    Silence {
        /// What was asked.
        keyword: Keyword,
        /// How long was waited.
        after: Duration,
    },
}

/// A command is not sent: it would be wrong, unsafe, or make no sense now. The session goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Not in this state: before the greeting, before or after login, after QUIT.
    #[error("{0} has no place here")]
    WrongState(Keyword),
    /// The server does not offer it.
    #[error("the server does not offer {0}")]
    NotOffered(Keyword),
    /// It would go out in the clear, which the settings do not allow.
    #[error("{0} is not sent without TLS")]
    Cleartext(Keyword),
    /// STLS after TLS has begun, or after UTF8 (R6856-UTF8-4).
    #[error("TLS cannot begin any more")]
    TooLateForTls,
    /// A name or password is empty, or holds a line end, a NUL or, in a name, a blank: nothing is
    /// sent. AUTH may carry it (PRJ-PASS-6).
    #[error("a name or password cannot be sent by {0}")]
    Field(Keyword),
    /// A name or password is not ASCII, and `UTF8 USER` was not announced (R6856-USER-2).
    #[error("a name or password beyond ASCII cannot be sent by {0}")]
    NonAscii(Keyword),
    /// The line would exceed 255 octets (R2449-LEN-2).
    #[error("the command {keyword} of {octets} octets is too long")]
    LineTooLong {
        /// Which command.
        keyword: Keyword,
        /// How long it would be, CRLF included.
        octets: usize,
    },
    /// An initial response where none may be sent (R5034-IR-4): send AUTH without it, and answer
    /// the empty challenge with it.
    #[error("an initial response cannot be sent here")]
    InitialResponse,
    /// A response is not one line.
    #[error("the response is not one line")]
    Response,
    /// `Limits::requests_max` commands wait already: poll first.
    #[error("too many commands wait to be sent")]
    TooMany,
}
