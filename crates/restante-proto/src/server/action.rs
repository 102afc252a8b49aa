//! What goes in and out between the machine and its driver.

use alloc::{string::String, sync::Arc};
use core::{fmt, time::Duration};

use secrecy::SecretSlice;

use crate::{Expire, Keyword, MessageNumber, MessageSet, Messages, Mode, Part};

/// What the driver is to do next; the answer of `Session::poll_output`.
#[derive(Debug)]
#[must_use]
pub enum Output {
    /// The piece is full: write it, then poll again.
    Flush,
    /// Do it, answer it, poll again. The octets appended so far come before whatever the action
    /// sends; [`Action::StartTls`] and [`Action::Measure`] want them written first.
    Action(Action),
    /// Write, then wait for input or for the deadline, on the clock that all calls use. `None`:
    /// the answer to an action is still missing.
    Wait {
        /// When `Session::handle_timeout` is to be called.
        deadline: Option<Duration>,
    },
    /// Write, then close the connection.
    Close(CloseReason),
}

/// A command whose answer is complete, for those who watch how long commands take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Answered {
    /// Which command, allowed or not; `None` for a line that is none. Each line of a SASL exchange
    /// counts as AUTH.
    pub keyword: Option<Keyword>,
    /// When its line was taken, on the clock that all calls use.
    pub taken: Duration,
}

/// Something only the outside world can do.
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub enum Action {
    /// After writing: drop the session, do the handshake, go on with `Session::after_tls`. Octets
    /// that have been read and not handed over must be dropped, never be taken for TLS.
    StartTls,
    /// Answered by `sasl_challenge`, `authenticated` or `login_refused`.
    Login(Login),
    /// One line of the exchange as sent: base64, no CRLF. Same answers as [`Action::Login`].
    SaslResponse(SecretSlice<u8>),
    /// The exchange is over: drop it. No answer is expected.
    SaslCancelled,
    /// Open the maildrop of whoever was authenticated. Answered by `opened` or `open_refused`.
    Open,
    /// Make the sizes of messages `1..=through` known. Answered by `measured` or
    /// `measure_failed`.
    Measure {
        /// The last message whose size is needed.
        through: MessageNumber,
        /// In which mode.
        mode: Mode,
    },
    /// Send a message: `message_opened` or `surrogate_opened`, the body through the encoder, then `message_sent` or
    /// `message_broken`; or `message_refused` instead of all of these.
    Retrieve {
        /// Which message.
        number: MessageNumber,
        /// How much of it.
        part: Part,
        /// In which mode.
        mode: Mode,
    },
    /// QUIT was received: apply the marks, durably. Answered by `updated` or `update_failed`.
    Update {
        /// Marked by DELE.
        deleted: MessageSet,
        /// Sent whole by RETR (R1939-POLICY-2).
        retrieved: MessageSet,
    },
}

/// How a client wants to log in.
#[derive(Debug)]
#[non_exhaustive]
pub enum Login {
    /// USER and PASS. The password is not empty and valid UTF-8.
    Password {
        /// As sent.
        name: String,
        /// As sent.
        password: SecretSlice<u8>,
    },
    /// APOP.
    Apop {
        /// As sent.
        name: String,
        /// 32 lower-case hexadecimal digits; compare in constant time.
        digest: SecretSlice<u8>,
    },
    /// AUTH.
    Sasl {
        /// In upper case; one of `Security::mechanisms`.
        mechanism: String,
        /// As sent: base64, or `=` for one that is present and empty (PRJ-B64-2).
        initial_response: Option<SecretSlice<u8>>,
    },
}

/// Why a login is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum LoginRefusal {
    /// Unknown, wrong, expired, not allowed from here: never told apart (PRJ-PASS-7).
    Credentials,
    /// Not base64, or not what the mechanism has at this place.
    Malformed,
    /// The login delay has not passed (R2449-LDELAY-1).
    LoginDelay,
    /// The directory does not answer (R3206-AUTH-2).
    Temporary,
    /// A person is needed (R3206-SYS-2).
    Permanent,
    /// The mechanism cannot be used here.
    Unavailable,
}

/// Why a maildrop is not opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum OpenRefusal {
    /// Another session has it (R2449-INUSE-1).
    InUse,
    /// The store does not answer.
    Temporary,
    /// A person is needed.
    Permanent,
}

/// An open maildrop, as far as the machine needs to know it.
#[derive(Clone)]
pub struct Opened {
    /// Its listing, fixed for the session (R1939-LOCK-3).
    pub messages: Arc<dyn Messages>,
    /// The user's own value, if it differs from the one announced before login.
    pub expire: Option<Expire>,
    /// The user's own value, if it differs from the one announced before login.
    pub login_delay: Option<Duration>,
    /// DELE is refused: the mail is there to be retrieved, not to be deleted.
    pub read_only: bool,
}

impl Opened {
    /// A maildrop of a user whose values are those announced before login.
    #[must_use]
    pub fn new(messages: Arc<dyn Messages>) -> Self {
        Self {
            messages,
            expire: None,
            login_delay: None,
            read_only: false,
        }
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("count", &self.messages.count())
            .field("expire", &self.expire)
            .field("login_delay", &self.login_delay)
            .finish()
    }
}

/// Why a message is not sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum MessageRefusal {
    /// Another program has removed it (PRJ-LOCK-6).
    Gone,
    /// It is not what was listed.
    Changed,
    /// The store does not answer.
    Temporary,
}

/// Why a connection gets no session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// In total or from this address.
    TooManyConnections,
    /// The server is about to stop.
    ShuttingDown,
    /// The service cannot be given; a person is needed.
    Unavailable,
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum CloseReason {
    /// QUIT, and everything that was marked is gone.
    Quit,
    /// QUIT, and not everything that was marked is gone.
    QuitFailed,
    /// The peer closed its side.
    EndOfInput,
    /// No login in time.
    LoginTimeout,
    /// Silence after login.
    IdleTimeout,
    /// `Limits::bad_commands_max`.
    TooManyBadCommands,
    /// `Limits::failed_logins_max`.
    TooManyFailedLogins,
    /// A SASL exchange beyond its limits.
    InputTooLong,
    /// Something came after the STLS line, in the clear (PRJ-INJ-1).
    PlaintextAfterStls,
    /// A message could not be sent to its end.
    MessageBroken,
    /// Someone else has the maildrop now.
    LeaseLost,
    /// What the session was logged in with was changed or removed.
    CredentialLost,
    /// The server stops.
    ShutDown,
    /// There was no session; for drivers that log a [`Refusal`].
    Refused,
}

impl CloseReason {
    /// A short name for logs, lower case with hyphens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quit => "quit",
            Self::QuitFailed => "quit-failed",
            Self::EndOfInput => "end-of-input",
            Self::LoginTimeout => "login-timeout",
            Self::IdleTimeout => "idle-timeout",
            Self::TooManyBadCommands => "too-many-bad-commands",
            Self::TooManyFailedLogins => "too-many-failed-logins",
            Self::InputTooLong => "input-too-long",
            Self::PlaintextAfterStls => "plaintext-after-stls",
            Self::MessageBroken => "message-broken",
            Self::LeaseLost => "lease-lost",
            Self::CredentialLost => "credential-lost",
            Self::ShutDown => "shut-down",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a session has done so far, for a log line.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Statistics {
    /// Lines answered, good and bad; lines inside a SASL exchange apart.
    pub commands: u64,
    /// Those that were no command, or not allowed where they came.
    pub bad_commands: u64,
    /// Messages sent whole.
    pub retrieved: u64,
    /// Their octets, byte-stuffing not counted.
    pub retrieved_octets: u64,
    /// Messages of which TOP sent a part.
    pub top: u64,
    /// Messages removed by the update, once it has succeeded.
    pub deleted: u64,
}
