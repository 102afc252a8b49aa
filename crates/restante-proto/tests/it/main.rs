//! Tests of the machine as its driver sees it.

mod answered;
mod by_hand;
mod client_dialogue;
mod client_limits;
mod dialogue;
mod limits;
mod model;
mod multi_line;
mod others_failures;
mod pair;
mod pipelining;
mod script;
mod world;
