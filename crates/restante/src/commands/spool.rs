//! The Maildirs at a path and below it, how far a run through them is, and the words in which it
//! is told.

mod progress;
mod telling;
mod tree;

use std::path::{Path, PathBuf};

pub(super) use self::{
    progress::Progress,
    telling::{Telling, differs},
    tree::Tree,
};
use crate::{exit_code::ExitCode, failure::Failure};

/// Searches the path for Maildirs; it is given back as it is without links.
///
/// # Errors
/// There is nothing at the path, or no Maildir there or below.
pub(super) fn search(path: &Path, progress: &Progress) -> Result<(PathBuf, Tree), Failure> {
    let root = path.canonicalize().map_err(|error| {
        let what = format!("cannot find `{}`", path.display());
        Failure::new(ExitCode::Data, what).caused_by(error)
    })?;
    let tree = Tree::search(&root, progress);
    if tree.maildirs.is_empty() && tree.unreadable.is_empty() {
        let what = format!("there is no Maildir at `{}` or below it", root.display());
        return Err(Failure::new(ExitCode::Data, what)
            .hint("a Maildir is a directory with `cur` and `new` in it"));
    }
    Ok((root, tree))
}

/// As it is, if it is text that nobody can abuse; escaped otherwise.
pub(super) fn shown(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => octets.escape_ascii().to_string(),
    }
}
