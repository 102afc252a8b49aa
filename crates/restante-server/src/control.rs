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
//! when a process dies, and so tells a socket that was left behind from one that lives. A server
//! that hands over to its successor ([`take_over`]) passes on that very lock.

mod client;
mod descriptors;
mod socket;
mod succession;

use std::{
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    LastLogin,
    accounts::{Ban, Culprit},
};

pub use self::{
    client::{AskError, ask},
    socket::{ControlError, ControlSocket},
    succession::{Inheritance, Predecessors, TakeOverError, take_over},
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
    /// Who is banned after failed logins? Answered by [`Reply::Bans`].
    Bans,
    /// Forget what was counted against somebody, and a ban with it. Answered by
    /// [`Reply::Released`].
    Release {
        /// An address, or a name as it was claimed.
        who: String,
    },
    /// When did somebody log in to an account last? Answered by [`Reply::LastLogin`].
    LastLogin {
        /// Its canonical name.
        account: String,
    },
    /// Lend the sockets that listen to a successor, which makes itself ready meanwhile. Answered
    /// by [`Reply::HandingOver`].
    HandOver,
    /// The successor is ready: accept nothing more, and come to an end. Answered by
    /// [`Reply::SteppedAside`] once nothing is accepted.
    StepAside {
        /// That of [`Reply::HandingOver`].
        ticket: u64,
        /// The successor's process id.
        process: u32,
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
    /// The bans that last longest; as many as fit into a line.
    Bans {
        /// Those shown.
        bans: Vec<Banned>,
        /// How many are not.
        more: usize,
    },
    /// Forgotten.
    Released {
        /// Whether there was a ban.
        was_banned: bool,
    },
    /// The last login.
    LastLogin {
        /// `None` if none is remembered.
        login: Option<LastLogin>,
    },
    /// Descriptors come with this line: the lock, one for each socket that listens, and one for
    /// each server that ran before and has not ended, in this order.
    HandingOver {
        /// What names this succession; the next one makes it void.
        ticket: u64,
        /// Sockets that listen.
        sockets: Vec<Handed>,
        /// How many servers before this one have not ended.
        predecessors: usize,
    },
    /// From now on it is the successor's to accept.
    SteppedAside,
    /// Not done.
    Refused {
        /// Why, in one clause.
        why: String,
        /// Whether trying again may help.
        temporary: bool,
    },
}

/// Somebody who is banned.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Banned {
    /// `address` or `name`.
    pub kind: String,
    /// The address (of IPv6 a network of 64 bits), or the name.
    pub who: String,
    /// How long it still lasts.
    pub seconds: u64,
}

/// A socket that listens, on its way to a successor.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Handed {
    /// What for.
    pub purpose: Purpose,
    /// The address that was asked for, perhaps with port 0.
    pub asked: SocketAddr,
}

/// What a socket is for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// POP3 in clear, with STLS.
    Pop3,
    /// POP3 with TLS from the first octet.
    Pop3s,
    /// Pages for those who watch.
    Http,
    /// Answers to a certificate authority's challenges.
    Acme,
}

/// A reply, and the descriptors that travel with its line.
#[derive(Debug)]
pub struct Answer {
    /// What is said.
    pub reply: Reply,
    /// With [`Reply::HandingOver`], those it speaks of but the lock.
    pub descriptors: Vec<OwnedFd>,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self {
            reply,
            descriptors: Vec::new(),
        }
    }
}

/// How much of a line the bans may take.
const BANS_OCTETS_MAX: usize = LINE_OCTETS_MAX / 2;

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

impl From<Ban> for Banned {
    fn from(ban: Ban) -> Self {
        let (kind, who) = match ban.culprit {
            Culprit::Address(address @ IpAddr::V4(_)) => ("address", address.to_string()),
            Culprit::Address(address) => ("address", format!("{address}/64")),
            Culprit::Name(name) => ("name", name),
        };
        Self {
            kind: kind.to_owned(),
            who,
            seconds: ban.left.as_secs(),
        }
    }
}

impl Reply {
    /// As many of `bans` as fit into a line.
    #[must_use]
    pub fn bans(bans: Vec<Ban>) -> Self {
        let count = bans.len();
        let mut room = BANS_OCTETS_MAX;
        let fits = |banned: &Banned| {
            let octets = serde_json::to_vec(banned).map_or(usize::MAX, |line| line.len() + 1);
            let left = room.checked_sub(octets);
            room = left.unwrap_or(0);
            left.is_some()
        };
        let bans: Vec<_> = bans
            .into_iter()
            .map(Banned::from)
            .take_while(fits)
            .collect();
        let more = count - bans.len();
        Self::Bans { bans, more }
    }

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

/// Whatever comes as a line: what is understood is written anew and understood the same.
///
/// # Panics
/// If not.
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub fn fuzz_line(octets: &[u8]) {
    if let Ok(request) = decode::<Request>(octets) {
        assert_eq!(decode(&encode(request.clone())), Ok(request));
    }
    if let Ok(reply) = decode::<Reply>(octets) {
        assert_eq!(decode(&encode(reply.clone())), Ok(reply));
    }
}

#[cfg(test)]
mod tests;
