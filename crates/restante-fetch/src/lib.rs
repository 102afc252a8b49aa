//! Collects mail from POP3 servers into destinations: nothing lost, nothing twice.
//!
//! ```text
//!  listing ─┐
//!  seen ────┼─► plan ─► messages ─► destinations ─► state ─► DELE ─► QUIT
//!  keep ────┘           streamed    durable         durable          answered
//! ```
//!
//! A message is deleted from its server only after it is durable where it is wanted, and after that
//! is durable in the account's state.

mod account;
mod chain;
mod claims;
mod collect;
pub mod destination;
mod event;
mod fingerprint;
mod password;
mod plan;
mod report;
mod runner;
mod session;
mod state;
mod trouble;

pub use account::{Account, AccountName};
pub use collect::{collect, look};
pub use destination::{
    AnyDestination, Destination, DestinationError, Incoming, LineEnds, Maildir, Recovered, Scope,
    Ticket,
};
#[cfg(feature = "testing")]
#[doc(hidden)]
pub use destination::{fuzz_mail_server_replies, fuzz_mbox};
pub use event::{Event, Listener, Silence};
pub use fingerprint::{Digest, Fingerprint, Fingerprinter};
#[cfg(feature = "keyring")]
pub use password::KeyringItem;
pub use password::{Secret, Source};
pub use plan::{Deed, FORGET_AFTER, Keep, Larger, Nameless, Plan, Policy, Stays, Step, Suspects};
pub use report::Report;
pub use runner::{Assignment, Opener, Runner};
#[cfg(feature = "testing")]
pub use state::fuzz_state;
pub use state::{Deletion, Entry, EntryId, Named, PlaceId, Seen, Standing, State, StateError};
pub use trouble::{Causes, Consequence, Trouble};
