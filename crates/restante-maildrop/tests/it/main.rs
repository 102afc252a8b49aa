//! The store contract, on every store, and what a failing disk or a killed process leave behind.

#![expect(
    clippy::unwrap_used,
    reason = "a test that fails says so by panicking, in its helpers too"
)]

mod contract;
mod crashes;
mod dice;
mod faults;
mod fixture;
mod histories;
mod interleaving;
mod maildir;
mod power;
mod session;
mod sharing;
