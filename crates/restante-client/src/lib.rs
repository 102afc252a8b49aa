//! An asynchronous POP3 client on Tokio and Rustls.
//!
//! ```text
//!  Server ──► Connection ──► Client ──► Listing, Message, Pipeline
//!  where to    TCP, SOCKS5,   logged in   mail
//!  connect     TLS, CAPA
//! ```
//!
//! ```no_run
//! use restante_client::{Connection, Login, Server, Tls};
//!
//! # async fn example() -> Result<(), restante_client::Error> {
//! let server = Server::over_tls("pop.example.com", Tls::platform()?);
//! let connection = Connection::open(&server).await?;
//! let mut client = connection.log_in(&Login::password("tim", "tanstaaf")).await?;
//! for listed in client.listing().await?.messages {
//!     let mut message = client.retrieve(listed.number, listed.octets).await?;
//!     while let Some(octets) = message.next().await? {
//!         // Pieces of any size, CRLF line ends, no byte-stuffing. Not whole before the end.
//!         println!("{} octets", octets.len());
//!     }
//!     // Only when the message is safe where it is wanted:
//!     client.delete(listed.number).await?;
//! }
//! client.quit().await?;
//! # Ok(())
//! # }
//! ```
//!
//! More is in `examples/`: `look.rs` lists a maildrop and shows subjects; `collect.rs` fetches all
//! mail through a pipeline, and deletes a message only when it is safe on disk. Without any runtime,
//! `restante-proto`'s `examples/collect_by_hand.rs` drives the machine by hand.
//!
//! # What can be relied on
//!
//! - Nothing is deleted before [`Client::quit`]: dropping a [`Client`] closes the connection without
//!   a word, and the server forgets what was marked.
//! - A message is whole when [`Message::next`] says `None`, and at no other time. A connection that
//!   ends earlier, however politely, is an error.
//! - A password never goes over a connection without TLS, loopback apart, and that only where it is
//!   asked for ([`Security::Loopback`]); a server that offers no STLS where STLS is asked for is
//!   refused; octets smuggled in around STLS end the connection.
//! - Every wait has a deadline, the TLS handshake included ([`Timeouts`], [`Limits`]); every line,
//!   listing and message has a bound.
//! - Messages stream: no more than a piece of one is held. While nobody reads on, the server waits.
//! - Text of the server is escaped where it is displayed.
//! - Every future may be dropped at any time. What was asked for and not awaited is skipped when
//!   the next command is given.
//!
//! # What this crate does not do
//!
//! It keeps no mail, remembers no unique-ids and decides nothing about what to delete; it reads no
//! configuration and discovers no servers. The protocol itself is in `restante-proto`, without I/O.

mod client;
mod connect;
mod driver;
mod error;
mod listing;
mod login;
mod message;
mod pipeline;
mod server;
mod tls;
mod transport;

pub use client::{Client, DropListing};
pub use connect::Connection;
pub use error::{Doubt, Error, Fault, LoginVerdict};
pub use listing::{Listed, Listing, ScanListing, UniqueIdListing};
pub use login::{Credentials, Login};
pub use message::Message;
pub use pipeline::{Pipeline, Reply};
pub use restante_proto::client::{
    Answer, Capabilities, Limits, RequestError, ServerText, SessionError, StatusLine, Success,
};
pub use restante_proto::{Keyword, MessageNumber, Octets, ResponseCode};
pub use restante_sasl::Mechanism;
pub use server::{Assurance, Proxy, Security, Server, Timeouts};
pub use tls::{Pin, PinError, Tls, TlsError};
