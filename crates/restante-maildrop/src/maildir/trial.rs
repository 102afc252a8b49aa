//! A Maildir for tests to look at, on a disk that fails when it is told to.

use std::{fs, path::Path, sync::Arc};

use tempfile::TempDir;

use super::layout::Mailbox;
use crate::disk::{Disk, Fault, Faults};

/// An empty Maildir, its disk's faults, and its mailbox, open.
pub(crate) fn mailbox() -> (TempDir, Arc<Faults>, Mailbox) {
    let directory = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::input_output(Fault::Never));
    let disk = Disk::with_faults(Arc::clone(&faults));
    let mailbox = Mailbox::open(&disk, directory.path()).unwrap();
    (directory, faults, mailbox)
}

/// What there is in a directory, sorted; nothing where there is none.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
