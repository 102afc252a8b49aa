//! The server with a store in memory and real sockets on loopback.

#![expect(
    clippy::unwrap_used,
    reason = "a test that fails says so by panicking, in its helpers too"
)]

mod binding;
mod client;
mod client_certificates;
mod log_lines;
mod setup;

mod hostile;
mod http;
mod limits;
mod log;
mod login;
mod postgres;
mod proxy;
mod reconfiguration;
mod retrieval;
mod sessions;
mod shutdown;
mod surrogates;
mod sweep;
mod tls;
mod updates;
mod withdrawal;
