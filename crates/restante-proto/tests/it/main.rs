//! Tests of the machine as its driver sees it.

mod dialogue;
mod script;
mod world;
