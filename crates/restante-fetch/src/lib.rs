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

pub mod destination;

pub use destination::{Destination, DestinationError, Incoming, Recovered, Scope, Ticket};
