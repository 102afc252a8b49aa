//! A maildrop that is a Maildir.

use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use super::Spool;
use super::cell::{Cell, READER_ID};
use crate::corpus::on_the_wire;

/// Where it is in a cell.
pub(super) const INSIDE: &str = "home/reader/Maildir";

pub(super) const SPOOL: Spool = Spool {
    inside: INSIDE,
    deliver,
    stored,
};

/// An empty one.
pub(super) fn create(cell: &Cell) {
    for folder in ["", "/cur", "/new", "/tmp"] {
        cell.make_directory(&format!("{INSIDE}{folder}"), READER_ID);
    }
}

/// Adds a message, and returns how it goes over the wire.
fn deliver(maildir: &Path, letter: &[u8]) -> Vec<u8> {
    let count = files(maildir).len();
    // Nothing here was removed before something is delivered again.
    let name = format!("{}.M{count}P7.post.example", 1_700_000_000 + count);
    let file = maildir.join("new").join(name);
    assert!(!file.exists());
    fs::write(&file, letter).unwrap();
    chown(&file, Some(READER_ID), Some(READER_ID)).unwrap();
    on_the_wire(letter)
}

/// The messages, as they go over the wire. The server may be about to delete some.
pub(super) fn stored(maildir: &Path) -> Vec<Vec<u8>> {
    let read = files(maildir).into_iter().map(fs::read);
    read.filter(|read| !is_gone(read))
        .map(|read| on_the_wire(&read.unwrap()))
        .collect()
}

fn is_gone(read: &io::Result<Vec<u8>>) -> bool {
    matches!(read, Err(error) if error.kind() == io::ErrorKind::NotFound)
}

fn files(maildir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in ["new", "cur"] {
        let entries = fs::read_dir(maildir.join(folder)).unwrap();
        files.extend(entries.map(|entry| entry.unwrap().path()));
    }
    files.sort_by_key(|file| file.file_name().map(ToOwned::to_owned));
    files
}
