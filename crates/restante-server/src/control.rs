//! The control socket: how the command line speaks with the server that runs.
//!
//! `control.sock` stands in the server's data directory, for its owner alone (mode 0600). A
//! connection carries lines, each one JSON object: a [`Request`], answered by a [`Reply`]. Each
//! names the [`VERSION`] of this protocol:
//!
//! ```text
//! → {"version":1,"verb":"account-changed","account":"me@example.com"}
//! ← {"version":1,"answer":"sessions-ended","sessions":2}
//! → {"version":1,"verb":"dance"}
//! ← {"version":1,"answer":"refused","why":"unknown verb","temporary":false}
//! ```
//!
//! The database and the configuration are the truth; the socket only says that they have changed,
//! or asks what the process knows. So a command works without a server too. A new verb is a new
//! variant of [`Request`], with a variant of [`Reply`] if its answer has a new form: an older
//! server refuses what it does not know.
//!
//! `control.lock` beside it is locked as long as the server runs. The operating system frees it
//! when a process dies, and so tells a socket that was left behind from one that lives.

mod client;
mod socket;

use std::time::Duration;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::{
    client::{AskError, ask},
    socket::{ControlError, ControlSocket},
};

/// The version of the protocol that this crate speaks.
pub const VERSION: u32 = 1;

/// How long a line may be, its end included. A name has at most 512 octets.
const LINE_OCTETS_MAX: usize = 64 * 1024;

/// How long each side waits for the other's line. The server answers after looking at its
/// accounts, which may be on another machine.
const LINE_TIMEOUT: Duration = Duration::from_secs(15);

/// How many commands may speak with the server at once; more wait.
const CONVERSATIONS_MAX: usize = 8;

const SOCKET_NAME: &str = "control.sock";
const LOCK_NAME: &str = "control.lock";

/// What is asked of a server.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Request {
    /// An account was changed or removed: look at it again, and end the sessions whose login does
    /// not hold any more. Answered by [`Reply::SessionsEnded`].
    AccountChanged {
        /// Its canonical name.
        account: String,
    },
}

/// What a server answers.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reply {
    /// Done; so many sessions were told to end.
    SessionsEnded {
        /// How many.
        sessions: usize,
    },
    /// Not done.
    Refused {
        /// Why, in one clause.
        why: String,
        /// Whether trying again may help.
        temporary: bool,
    },
}

/// One line of the protocol.
#[derive(Deserialize, Serialize)]
struct Envelope<T> {
    version: u32,
    #[serde(flatten)]
    content: T,
}

/// What every version's lines have.
#[derive(Deserialize)]
struct AnyVersion {
    version: u32,
}

/// Why a line is not understood.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// No JSON object with a version, or too long to be one.
    #[error("malformed line")]
    Malformed,
    /// Another version's.
    #[error("protocol version {version}, not {VERSION}")]
    Version {
        /// Which.
        version: u32,
    },
    /// Nothing that this version knows.
    #[error("unknown verb")]
    Unknown,
}

impl Reply {
    /// Not done, and trying again will not help.
    #[must_use]
    pub fn refused(why: impl ToString) -> Self {
        Self::Refused {
            why: why.to_string(),
            temporary: false,
        }
    }

    /// Not done now.
    #[must_use]
    pub fn unavailable(why: impl ToString) -> Self {
        Self::Refused {
            why: why.to_string(),
            temporary: true,
        }
    }
}

/// Writes a line with its end.
fn encode<T: Serialize>(content: T) -> Vec<u8> {
    let version = VERSION;
    let mut line = serde_json::to_vec(&Envelope { version, content })
        .expect("strings and numbers are JSON, and a vector takes them all");
    line.push(b'\n');
    line
}

/// Reads a line, with or without its end.
fn decode<T: DeserializeOwned>(line: &[u8]) -> Result<T, LineError> {
    let AnyVersion { version } = serde_json::from_slice(line).map_err(|_| LineError::Malformed)?;
    if version != VERSION {
        return Err(LineError::Version { version });
    }
    let envelope: Result<Envelope<T>, _> = serde_json::from_slice(line);
    envelope
        .map(|envelope| envelope.content)
        .map_err(|_| LineError::Unknown)
}

#[cfg(test)]
mod tests;
