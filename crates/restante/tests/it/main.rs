//! The built program, driven from outside.
#![expect(clippy::unwrap_used, reason = "a fixture that fails fails its test")]

mod program;
