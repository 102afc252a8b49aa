//! The built program, driven from outside.
#![expect(clippy::unwrap_used, reason = "a fixture that fails fails its test")]

mod acme;
mod certificate;
mod client;
mod collecting;
mod confinement;
mod corpus;
mod crash;
mod defence;
mod export;
mod foreign_servers;
mod import;
mod import_pop3;
mod migration;
mod operation;
mod others;
mod packaging;
mod program;
mod server;
mod session;
mod terminal;
mod tls;
mod weakness;
mod wire;
