//! `cargo xtask bench`, `soak` and `storm`: a release server under measured load.
//!
//! The measuring itself is the bench target `measure` of the program's package: cargo builds the
//! program beside it, in the release profile.

use anyhow::{Result, bail};

use crate::{package, process};

/// Prints a Markdown table of what docs/performance.md shows; `--short` takes smaller numbers.
pub(crate) fn bench(arguments: &[String]) -> Result<()> {
    measure("figures", arguments)
}

/// Holds 10,000 connections that never log in against the server and reports its memory.
pub(crate) fn soak(arguments: &[String]) -> Result<()> {
    measure("crowd", arguments)
}

/// Attacks the server and fails if a working program's poll becomes too slow; `--short` is for
/// machines that are doing something else.
pub(crate) fn storm(arguments: &[String]) -> Result<()> {
    measure("storm", arguments)
}

fn measure(what: &str, arguments: &[String]) -> Result<()> {
    if let Some(unknown) = arguments.iter().find(|argument| *argument != "--short") {
        bail!("unexpected argument `{unknown}`; see `cargo xtask help`");
    }
    package::install_missing()?;
    let bench = [
        "bench",
        "--quiet",
        "--package",
        "restante",
        "--bench",
        "measure",
        "--",
        what,
    ];
    process::run(process::cargo().args(bench).args(arguments))
}
