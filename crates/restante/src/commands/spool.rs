//! The Maildirs at a path and below it, how far a run through them is, and the words in which it
//! is told.

mod progress;
mod telling;
mod tree;

use std::path::{Path, PathBuf};

use restante_maildrop::{MailboxId, Maildir, MaildirSettings};

pub(super) use self::{
    progress::Progress,
    telling::{Telling, differs},
    tree::Tree,
};
use crate::{exit_code::ExitCode, failure::Failure, mailboxes};

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

/// Goes through the Maildirs in their order: does `each`, and tells its name and what came of it.
///
/// # Errors
/// Those of `tell`.
pub(super) fn go_through<T>(
    tree: &Tree,
    progress: &Progress,
    each: impl Fn(&Path) -> T,
    mut tell: impl FnMut(&str, T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    progress.expect(tree.maildirs.len());
    for maildir in &tree.maildirs {
        let outcome = each(maildir);
        progress.done();
        let name = shown(maildir.as_os_str().as_encoded_bytes());
        progress.aside(|| tell(&name, outcome))?;
    }
    progress.end();
    Ok(())
}

/// A store for Maildirs wherever they are.
///
/// # Errors
/// The system gives it nothing to work with.
pub(super) fn store() -> Result<Maildir, Failure> {
    // Every mailbox is named by its own place; the store's rule is never asked.
    let store = Maildir::new(MaildirSettings {
        author: mailboxes::operator(),
        ..MaildirSettings::new("/{user}")
    });
    store.map_err(|error| Failure::new(ExitCode::Io, "cannot start").caused_by(error))
}

/// The mailbox that is this Maildir.
pub(super) fn mailbox(maildir: &Path) -> MailboxId {
    MailboxId {
        account: maildir.to_string_lossy().into_owned(),
        home: None,
        location: Some(maildir.to_owned()),
    }
}

/// As it is, if it is text that nobody can abuse; escaped otherwise.
pub(super) fn shown(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => octets.escape_ascii().to_string(),
    }
}
