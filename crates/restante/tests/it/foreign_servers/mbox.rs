//! A maildrop that is one file: each message begins with a line `From `, and a line of its own that
//! begins so has a `>` before it, as the programs that deliver there do it. All line ends are LF.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::Spool;
use super::cell::{Cell, READER_ID};

const BEGINNING: &[u8] = b"From writer@example.org Fri Nov 21 09:00:00 2026\n";

/// Where it is in a cell: the reader's.
const INSIDE: &str = "var/mail/reader";

pub(super) const SPOOL: Spool = Spool {
    inside: INSIDE,
    deliver,
    stored,
};

/// An empty one.
pub(super) fn create(cell: &Cell) {
    cell.write(INSIDE, "");
    cell.give(INSIDE, READER_ID);
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(cell.path(INSIDE), mode).unwrap();
}

/// Appends a message, and returns how it goes over the wire.
fn deliver(mbox: &Path, letter: &[u8]) -> Vec<u8> {
    let mut text = quoted(letter);
    if !text.is_empty() && !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    let mut file = File::options().append(true).open(mbox).unwrap();
    file.write_all(&[BEGINNING, &text, b"\n"].concat()).unwrap();
    on_the_wire(&text)
}

/// The messages, as they go over the wire.
fn stored(mbox: &Path) -> Vec<Vec<u8>> {
    let octets = fs::read(mbox).unwrap();
    let mut messages: Vec<Vec<u8>> = Vec::new();
    let mut is_behind_empty = true;
    for line in octets.split_inclusive(|&octet| octet == b'\n') {
        if is_behind_empty && line.starts_with(b"From ") {
            messages.push(Vec::new());
        } else if let Some(message) = messages.last_mut() {
            message.extend_from_slice(line);
        }
        is_behind_empty = line == b"\n";
    }
    for message in &mut messages {
        // The empty line that separates it from the next one.
        if message.ends_with(b"\n\n") || message == b"\n" {
            message.pop();
        }
    }
    messages
        .iter()
        .map(|message| on_the_wire(message))
        .collect()
}

/// With LF line ends, and with lines that would begin a message quoted.
fn quoted(letter: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(letter.len());
    for line in letter.split_inclusive(|&octet| octet == b'\n') {
        if line.starts_with(b"From ") {
            text.push(b'>');
        }
        match line.strip_suffix(b"\r\n") {
            Some(line) => text.extend_from_slice(&[line, b"\n"].concat()),
            None => text.extend_from_slice(line),
        }
    }
    text
}

/// Every LF is a line end, whatever comes before it.
fn on_the_wire(text: &[u8]) -> Vec<u8> {
    let lines = text.split_inclusive(|&octet| octet == b'\n');
    let mut wire = Vec::with_capacity(text.len() + text.len() / 32);
    for line in lines {
        wire.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        wire.extend_from_slice(b"\r\n");
    }
    wire
}
