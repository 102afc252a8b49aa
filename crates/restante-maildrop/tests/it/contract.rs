//! What every store promises (`contract.rs` of the crate), each promise a test.

pub(crate) use bodies::TRICKY;

mod bodies;
mod changes;
mod deliveries;
mod devices;
mod edits;
mod folders;
mod journal;
mod keep;
mod onlookers;
mod readers;
mod sessions;
mod updates;
