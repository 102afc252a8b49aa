//! POP3 (RFC 1939 and its extensions) as state machines without I/O.
//!
//! ```text
//!  octets of the client                                        octets for the client
//!        │                                                              ▲
//!        ▼                                                              │
//!   lines ──► commands ──► server::Session ──► responses, listings ─────┤
//!                           │         ▲                                 │
//!                   actions │         │ answers        MultiLineEncoder ┘
//!                           ▼         │                        ▲
//!                            the driver ── message's octets ───┘
//! ```
//!
//! The machine decides everything about the protocol; the driver around it moves octets and does
//! what [`server::Action`] asks for: log in, open the maildrop, measure sizes, send a message,
//! update, start TLS. The whole contract: after each call, call
//! [`poll_output`](server::Session::poll_output) until it says wait. `examples/by_hand.rs` is such
//! a driver over a plain socket.
//!
//! The client's half turns the picture round under the same contract:
//!
//! ```text
//!   commands ──► client::Session ──► octets for the server
//!                   │        ▲
//!            events ▼        │ octets of the server
//!        answers, listings, MultiLineDecoder: a message's octets
//! ```
//!
//! It pipelines as far as the server allows it and a window of octets says, and matches answers to
//! commands by order alone. `examples/collect_by_hand.rs` collects mail with it, without any
//! runtime; the crate `restante-client` is the driver for Tokio.
//!
//! ```
//! use core::time::Duration;
//! use restante_proto::server::{Action, Login, Output, Security, Session};
//!
//! let security = Security { cleartext_login: true, ..Security::default() };
//! let now = Duration::ZERO;
//! let mut session = Session::new(Default::default(), security, now);
//! session.handle_input(now, b"USER tim\r\nPASS tanstaaf\r\nSTAT\r\n");
//! let mut out = Vec::new();
//! let Output::Action(Action::Login(Login::Password { name, .. })) = session.poll_output(now, &mut out)
//! else { panic!() };
//! assert_eq!(out, b"+OK POP3 server ready\r\n+OK send the password\r\n");
//! assert_eq!(name, "tim");
//! ```
//!
//! What this crate does *not* do: no sockets, no files, no clock, no randomness, no async, no
//! `unsafe`; time and nonces are arguments. SASL mechanisms are not known here: their lines pass
//! through as base64. Bounds are in [`Limits`] and [`client::Limits`].

#![no_std]

extern crate alloc;

mod capability;
pub mod client;
mod command;
mod language;
mod limits;
mod line;
mod listing;
mod message;
mod message_set;
mod multiline;
mod number;
mod response;
pub mod server;
mod unique_id;

pub use capability::{Expire, ExpireCapability, LoginDelayCapability};
pub use command::{Auth, Command, CommandError, Keyword};
pub use language::{Language, LanguageRange};
pub use limits::Limits;
pub use message::{Form, Messages, Mode, Part};
pub use message_set::MessageSet;
pub use multiline::{
    Decoded, Measured, MessageTooLarge, MultiLineDecoder, MultiLineEncoder, Progress, SizeMismatch,
    WireCounter,
};
pub use number::{MessageNumber, Octets};
pub use response::{ResponseCode, StatusIndicator};
pub use unique_id::{UniqueId, UniqueIdError};
