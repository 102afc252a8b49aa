//! What is told while mail is being collected.

use crate::{plan::Plan, report::Report};

/// Something that happened to an account. Text in it is printable: what came from a server is
/// escaped.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'e> {
    /// The mail was listed, and it is known what to do with it.
    Planned {
        /// What.
        plan: &'e Plan,
        /// How many messages are to be fetched.
        messages: u64,
        /// How many octets, as far as the server says.
        octets: u64,
    },
    /// Octets of a message have come.
    Received {
        /// How many.
        octets: u64,
    },
    /// A message has arrived, durably.
    Arrived {
        /// The server's name for it.
        unique_id: Option<&'e [u8]>,
        /// How many octets it has.
        octets: u64,
    },
    /// A message stays on the server: said once.
    TooLarge {
        /// The server's name for it.
        unique_id: Option<&'e [u8]>,
        /// How many octets it has, as the server says.
        octets: u64,
        /// Its header was delivered.
        headers: bool,
    },
    /// A message was not collected.
    NotCollected {
        /// The server's name for it.
        unique_id: Option<&'e [u8]>,
        /// Why.
        why: &'e str,
    },
    /// A message was another size than the server said (PRJ-FETCH-6).
    OtherSize {
        /// The server's name for it.
        unique_id: Option<&'e [u8]>,
        /// What the server said.
        announced: u64,
        /// What came.
        octets: u64,
    },
    /// The server does not delete a message: said once.
    NotDeleted {
        /// The server's name for it.
        unique_id: Option<&'e [u8]>,
        /// Why.
        why: &'e str,
    },
    /// The line broke; a new one is tried.
    Again {
        /// Why.
        why: &'e str,
    },
    /// The run is over.
    Ended {
        /// What came of it.
        report: &'e Report,
    },
}

/// Whoever is told.
pub trait Listener: Send + Sync {
    /// Something happened to the account of this name.
    fn hear(&self, account: &str, event: Event<'_>);
}

/// Nobody listens.
#[derive(Clone, Copy, Debug)]
pub struct Silence;

impl Listener for Silence {
    fn hear(&self, _account: &str, _event: Event<'_>) {}
}
