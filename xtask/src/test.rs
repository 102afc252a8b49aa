//! `cargo xtask test`: installs what the tests need, then runs every test.

use anyhow::{Result, bail};

use crate::{fuzz, package, process, unpacked};

/// The feature, and the name of its tests.
const KEYRING: &str = "keyring";

/// Runs every test, or those whose name contains one of the filters.
///
/// The test runner comes last, so that its own summary closes the output.
pub(crate) fn run(filters: &[String]) -> Result<()> {
    if let Some(flag) = filters.iter().find(|filter| filter.starts_with('-')) {
        bail!("`{flag}` is no filter: `cargo xtask test [FILTER…]` takes parts of test names");
    }
    package::install_missing()?;
    unpacked::unpack_missing()?;
    if filters.is_empty() {
        fuzz::build()?;
    }
    if process::succeeds(process::cargo().args(["nextest", "--version"])) {
        process::run(
            process::cargo()
                .args(["test", "--workspace", "--doc", "--"])
                .args(filters),
        )?;
        let run = [
            "nextest",
            "run",
            "--workspace",
            "--no-fail-fast",
            "--no-tests",
            "pass",
        ];
        process::run(process::cargo().args(run).args(filters))?;
    } else {
        let run = ["test", "--workspace", "--no-fail-fast", "--"];
        process::run(process::cargo().args(run).args(filters))?;
    }
    if filters.is_empty() || filters.iter().any(|filter| KEYRING.starts_with(filter)) {
        keyring()?;
    }
    Ok(())
}

/// What a feature adds that is off by default: the rest has been tested without it.
fn keyring() -> Result<()> {
    let crates = ["test", "--package", "restante-fetch", "--test", "it"];
    let feature = ["--features", KEYRING, KEYRING];
    process::run(process::cargo().args(crates).args(feature))
}
