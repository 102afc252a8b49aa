//! SASL mechanisms (RFC 4422), both roles, without I/O.
//!
//! PLAIN (RFC 4616), LOGIN (draft-murchison-sasl-login-00), CRAM-MD5 (RFC 2195), SCRAM-SHA-1
//! (RFC 5802) and SCRAM-SHA-256 (RFC 7677), the latter two also as `-PLUS` with the channel
//! bindings `tls-exporter` (RFC 9266) and `tls-server-end-point` (RFC 5929); bearer tokens with
//! OAUTHBEARER (RFC 7628) and XOAUTH2; EXTERNAL (RFC 4422 App. A).
//!
//! # Theory of operation
//!
//! An exchange is a conversation of challenges and responses that another protocol carries. This
//! crate knows neither the socket nor the users: octets and answers go in, steps come out.
//!
//! ```text
//!   "AUTH SCRAM-SHA-256 biws…"                          who the users are
//!            │                                                  ▲  │
//!   line::decode_initial_response                  LookUpScram, │  │ scram_parameters,
//!            │ octets                              VerifyProof, │  ▼ proof_accepted,
//!            ▼                                     VerifyToken, …   token_refused
//!   server::Exchange::start / respond ──────────► Step
//!            │ Challenge(octets)
//!            ▼
//!   line::encode ──► "+ cj1…"
//! ```
//!
//! The server role is [`server::Exchange`], the client role [`client::Exchange`]. Nonces are
//! arguments: this crate has no randomness, no clock, no sockets, no files.
//!
//! # What this crate does not do
//!
//! It keeps no passwords, looks up no users and decides nobody's rights: whether an authorization
//! identity is permitted is for the caller to say, and so is whose a token or a certificate is. It
//! does not frame lines: `*`, the line limit and the final `+OK` belong to the protocol around it.
//! It negotiates no security layer; none of these mechanisms has one.
//!
//! Every value that holds a secret is wiped when dropped and prints as `[REDACTED]`. Secrets are
//! compared in constant time (PRJ-SEC-7).
//!
//! The crate itself is `no_std` with `alloc`, so that a socket or a file does not compile here.
//! Its dependency `stringprep` (the tables of RFC 3454) links `std`; a target without `std` cannot
//! build it for that reason alone.

#![no_std]

extern crate alloc;

mod bearer;
mod binding;
pub mod client;
mod cram;
mod end_point;
pub mod line;
mod mechanism;
mod plain;
mod prepare;
pub mod scram;
pub mod server;

pub use bearer::TokenRefusal;
pub use binding::ChannelBinding;
pub use cram::CramDigest;
pub use end_point::EndPoint;
pub use mechanism::Mechanism;
pub use prepare::{PrepareError, prepare, prepare_stored};
