//! The client's side of a session, as a machine without I/O.

mod apop;
mod buffer;
mod capabilities;
mod error;
mod event;
mod limits;
mod listing;
mod request;
mod session;
mod settings;
mod status;
mod text;
mod window;

pub use capabilities::{Capabilities, Utf8Capability, Varying};
pub use error::{RequestError, SessionError};
pub use event::{Answer, Event, Output, Success};
pub use limits::Limits;
pub use session::Session;
pub use settings::{Cleartext, Settings};
pub use status::StatusLine;
pub use text::ServerText;
