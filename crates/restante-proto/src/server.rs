//! The server's side of a session, as a machine without I/O.

mod action;
mod authorization;
mod listings;
mod outbox;
mod session;
mod settings;
mod state;
mod transaction;

pub use action::{
    Action, Answered, CloseReason, Login, LoginRefusal, MessageRefusal, OpenRefusal, Opened,
    Output, Refusal, Statistics,
};
pub use session::{Session, refusal};
pub use settings::{Security, Settings};
