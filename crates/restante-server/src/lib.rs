//! The POP3 server: listeners, TLS, connection limits, the driver between a socket, the protocol
//! machine and a store, and what is logged about it.
//!
//! ```text
//! Listeners → (PROXY header) → limits → (TLS) → Link ⇄ driver ⇄ restante_proto::server::Session
//!                                                       ↓ actions
//!                                           Authenticator, Store, MultiLineEncoder
//! ```
//!
//! [`Listeners::bind`] takes the ports (before privileges are dropped), [`Server::run`] serves them
//! until it is told to stop. One task serves one connection; it may be dropped or may panic at any
//! moment without removing a message, because only an update that has begun removes anything, and
//! that runs in a task of its own.
//!
//! What this crate does *not* do: it writes no protocol text of its own (the machine does), joins
//! no path into a mailbox (the store does), and never logs a secret.

pub mod accounts;
pub mod acme;
mod clock;
mod connection;
pub mod control;
mod driver;
mod host;
pub mod http;
mod https;
mod last_logins;
mod limits;
mod link;
mod listener;
pub mod log;
mod login;
pub mod login_delay;
pub mod metrics;
pub mod proxy_header;
pub mod retention;
mod retrieve;
mod server;
mod session_log;
mod sessions;
mod settings;
mod surrogate;
mod sweep;
mod tls;
mod visits;

pub use last_logins::{LAST_LOGINS_OCTETS_MAX, LastLogin, LastLogins, last_login_in};
pub use limits::ConnectionLimits;
pub use listener::{BindError, LentSocketError, Listeners, Transport};
pub use server::{Lent, NotReady, Observation, Reconfiguration, Server, ServerError};
pub use sessions::Sessions;
pub use settings::{CleartextLogin, ServerSettings, Utf8Headers};
pub use tls::{CertificateNames, ClientAuthorities, Identities, Identity, Tls, TlsError};
