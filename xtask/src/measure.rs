//! `cargo xtask bench`, `soak` and `storm`: a release server under measured load.
//!
//! The measuring itself is the bench target `measure` of the program's package: cargo builds the
//! program beside it, in the release profile.

use std::path::Path;

use anyhow::{Result, bail};

use crate::{package, process};

/// Where files are in memory, on Linux.
const IN_MEMORY: &str = "/dev/shm";

/// Prints a Markdown table of what docs/performance.md shows; `fetch`: of collectors side by side;
/// `--short` takes smaller numbers.
pub(crate) fn bench(arguments: &[String]) -> Result<()> {
    match arguments.split_first() {
        Some((what, rest)) if what == "fetch" => measure("fetch", rest),
        _ => measure("figures", arguments),
    }
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

/// The short form of `storm` with the program as the tests have it: an optimised one takes minutes
/// to build.
pub(crate) fn storm_in_ci() -> Result<()> {
    run("storm", &["--profile", "dev"], &["--short".into()])
}

fn measure(what: &str, arguments: &[String]) -> Result<()> {
    if let Some(unknown) = arguments.iter().find(|argument| *argument != "--short") {
        bail!("unexpected argument `{unknown}`; see `cargo xtask help`");
    }
    package::install_missing()?;
    run(what, &[], arguments)
}

fn run(what: &str, profile: &[&str], arguments: &[String]) -> Result<()> {
    let bench = ["bench", "--quiet", "--package", "restante", "--bench"];
    let mut cargo = process::cargo();
    cargo.args(bench).arg("measure").args(profile);
    // So that no disk of the server's is measured with a collector.
    if what == "fetch" && Path::new(IN_MEMORY).is_dir() {
        cargo.env("TMPDIR", IN_MEMORY);
    }
    process::run(cargo.args(["--", what]).args(arguments))
}
