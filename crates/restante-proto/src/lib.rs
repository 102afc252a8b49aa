//! POP3 (RFC 1939 and its extensions) as state machines without I/O.

#![no_std]

extern crate alloc;

mod message;
mod message_set;
mod multiline;
mod number;
mod unique_id;

pub use message::{Form, Messages, Mode, Part};
pub use message_set::MessageSet;
pub use multiline::{Measured, MultiLineEncoder, Progress, SizeMismatch, WireCounter};
pub use number::{MessageNumber, Octets};
pub use unique_id::{UniqueId, UniqueIdError};
