//! `cargo xtask tidy`: the house rules that a compiler does not know.

mod dependencies;
mod documents;
mod floors;
mod sources;

use anyhow::Result;

use crate::finding::{self, Finding};
use crate::tree;

/// Checks the whole tree and prints each breach with file and line.
pub(crate) fn run() -> Result<()> {
    let texts = tree::texts()?;
    let mut findings: Vec<Finding> = Vec::new();
    findings.extend(floors::check(&texts)?);
    findings.extend(sources::check(&texts));
    findings.extend(documents::check(&texts));
    findings.extend(dependencies::check()?);
    finding::report("tidy", &findings)
}
