//! What keeps an account's mail from coming, and what follows from it.

use std::fmt;

use restante_client::{Error, Fault, LoginVerdict, ResponseCode, SessionError};

use crate::{destination::DestinationError, state::StateError};

/// Why an account's mail does not come.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// The server, or the way to it.
    #[error(transparent)]
    Server(#[from] Error),
    /// A destination.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
    /// There is no password, or no token.
    #[error("no password: {why}")]
    Password {
        /// Why not, printable.
        why: String,
        /// Whether it may be there later.
        later: bool,
    },
    /// Mail would go nowhere, and be deleted.
    #[error("there is no destination")]
    NoDestination,
    /// The message's group could not be made durable.
    #[error("the messages before it could not be made durable")]
    NotPrepared,
    /// A destination did not say what became of a message.
    #[error("the destination does not say what became of the message")]
    NotPublished,
    /// Somebody wants it to stop.
    #[error("stopped")]
    Interrupted,
    /// Messages were set aside.
    #[error("{}", of_set_aside(*count))]
    SetAside {
        /// How many.
        count: usize,
    },
}

/// What follows from a [`Trouble`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Consequence {
    /// Try again later.
    Later,
    /// The server does not keep to the protocol, or gives some messages to nobody.
    Protocol,
    /// The server refuses the login, or is not to be believed: never the same again.
    Refused,
    /// Reading or writing fails here.
    Disk,
    /// What was asked for makes no sense.
    Configuration,
}

impl Trouble {
    /// What follows.
    #[must_use]
    pub fn consequence(&self) -> Consequence {
        match self {
            Self::Server(error) => of_server(error),
            Self::Destination(error) => match error {
                DestinationError::Later { .. } | DestinationError::RefusedNow { .. } => {
                    Consequence::Later
                }
                DestinationError::Closed { .. } => Consequence::Configuration,
                DestinationError::Full { .. }
                | DestinationError::Unwritable { .. }
                | DestinationError::Refused { .. } => Consequence::Disk,
            },
            Self::State(StateError::InUse { .. }) | Self::Interrupted => Consequence::Later,
            Self::NoDestination | Self::State(StateError::Newer { .. }) => {
                Consequence::Configuration
            }
            Self::State(_) | Self::NotPrepared | Self::NotPublished => Consequence::Disk,
            Self::Password { later: true, .. } => Consequence::Later,
            Self::Password { later: false, .. } => Consequence::Refused,
            Self::SetAside { .. } => Consequence::Protocol,
        }
    }

    /// Whether a person has to change something before the next run can do better. A password that
    /// was refused is never repeated; the next run has another token. A server that could not be
    /// believed has got neither, and the next network, or a new certificate, may lead to the right
    /// one.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        match self.consequence() {
            Consequence::Configuration => true,
            Consequence::Refused => !self.is_doubted_server() && !self.is_of_token(),
            Consequence::Later | Consequence::Protocol | Consequence::Disk => false,
        }
    }

    /// Whether a token was refused, which lives for an hour or so.
    const fn is_of_token(&self) -> bool {
        matches!(self, Self::Server(Error::Token { .. }))
    }

    /// Whether the server was not believed, and nothing was sent to it.
    const fn is_doubted_server(&self) -> bool {
        matches!(
            self,
            Self::Server(
                Error::Certificate { .. }
                    | Error::NoStls
                    | Error::Session(SessionError::PlaintextAfterStls)
            )
        )
    }

    /// Whether the line failed, and a new one may do better.
    #[must_use]
    pub const fn is_of_the_line(&self) -> bool {
        matches!(self, Self::Server(error) if error.connection_lost())
    }
}

fn of_set_aside(count: usize) -> String {
    match count {
        1 => "a message could not be collected; it stays on the server".to_owned(),
        _ => format!("{count} messages could not be collected; they stay on the server"),
    }
}

fn of_server(error: &Error) -> Consequence {
    match error {
        Error::Login { verdict, .. } => match verdict {
            LoginVerdict::Later => Consequence::Later,
            LoginVerdict::Permanent => Consequence::Protocol,
            _ => Consequence::Refused,
        },
        Error::Token { .. } => Consequence::Refused,
        Error::Refused { line, .. } | Error::Session(SessionError::Refused(line)) => {
            match &line.code {
                Some(ResponseCode::SysPerm) => Consequence::Protocol,
                Some(ResponseCode::Auth) => Consequence::Refused,
                Some(ResponseCode::InUse | ResponseCode::LoginDelay | ResponseCode::SysTemp) => {
                    Consequence::Later
                }
                // Turned away at the door without a word why: mostly too many at once.
                _ if matches!(error, Error::Session(_)) => Consequence::Later,
                _ => Consequence::Protocol,
            }
        }
        Error::NoMechanism => Consequence::Refused,
        _ => match error.fault() {
            Fault::Network => Consequence::Later,
            Fault::Trust | Fault::Refusal => Consequence::Refused,
            Fault::Caller => Consequence::Configuration,
            _ if is_of_time(error) => Consequence::Later,
            _ => Consequence::Protocol,
        },
    }
}

/// The connection ended, or the server fell silent: both happen to good servers. Some say that
/// they go, unasked.
fn is_of_time(error: &Error) -> bool {
    match error {
        Error::Session(
            SessionError::EndOfInput
            | SessionError::EndOfAnswer { .. }
            | SessionError::MessageTruncated { .. }
            | SessionError::NoGreeting { .. }
            | SessionError::Silence { .. },
        ) => true,
        Error::Session(SessionError::Unsolicited { line }) => line.as_bytes().starts_with(b"-ERR"),
        _ => false,
    }
}

/// An error and what is behind it, in one line.
pub struct Causes<'e>(pub &'e (dyn std::error::Error + 'static));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
