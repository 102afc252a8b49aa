//! One thing that a check found wrong, and the report of all of them.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// Something wrong in the tree: where, and what to do about it.
pub(crate) struct Finding {
    path: PathBuf,
    /// From 1; `None` if the whole file is meant.
    line: Option<usize>,
    text: String,
}

impl Finding {
    /// A finding about a whole file.
    pub(crate) fn in_file(path: &Path, text: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line: None,
            text: text.into(),
        }
    }

    /// A finding in one line, counted from 1.
    pub(crate) fn at_line(path: &Path, line: usize, text: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line: Some(line),
            text: text.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path.display(), self.text),
            None => write!(f, "{}: {}", self.path.display(), self.text),
        }
    }
}

/// Prints every finding; any is an error.
pub(crate) fn report(check: &str, findings: &[Finding]) -> Result<()> {
    for finding in findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!("{check}: nothing to report");
            Ok(())
        }
        count => bail!("{check}: {count} to put right"),
    }
}
