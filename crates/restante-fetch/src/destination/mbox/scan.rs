//! Finds messages of ours in an mbox that other programs may have changed meanwhile.

use memchr::memchr;
use sha2::{Digest as _, Sha256};

/// The digest of a message as an mbox holds it.
pub(crate) type Digest = [u8; 32];

/// Fields that mail programs add to messages in an mbox, change and remove.
const CHANGING_FIELDS: [&[u8]; 8] = [
    b"status",
    b"x-status",
    b"x-keywords",
    b"x-uid",
    b"x-imapbase",
    b"x-imap",
    b"content-length",
    b"lines",
];

/// How much of a line tells what it is: the longest of the names above and its colon.
const TELLING_OCTETS: usize = 15;

/// Splits an mbox, which comes in pieces, into messages and tells each one's digest.
///
/// The digest is over the From_ line, the header but the fields that mail programs change
/// ([`CHANGING_FIELDS`]), and the body without empty lines at its end: it stays when a program that
/// reads the mbox marks the message as read and writes the file anew.
///
/// Memory is bounded whatever the file holds, and the work is linear.
pub(crate) struct Scanner {
    digest: Option<Sha256>,
    line: Line,
    /// The line before was empty, or there was none.
    after_empty: bool,
    /// The empty lines that were not counted in yet: they may be the last.
    empty_lines: u64,
    in_header: bool,
    /// The header field at hand is not counted in.
    changing: bool,
}

enum Line {
    /// Its first octets, too few to tell what it is.
    Beginning(Vec<u8>),
    /// It is known whether it counts.
    Inside { counts: bool },
}

impl Scanner {
    /// At the beginning of the file, or of a message in it.
    pub(crate) fn new() -> Self {
        Self {
            digest: None,
            line: Line::Beginning(Vec::with_capacity(TELLING_OCTETS)),
            after_empty: true,
            empty_lines: 0,
            in_header: false,
            changing: false,
        }
    }

    /// The next octets of the file; gives the digests of the messages that end in them.
    pub(crate) fn write(&mut self, mut octets: &[u8], mut found: impl FnMut(Digest)) {
        while !octets.is_empty() {
            let end = memchr(b'\n', octets).map(|at| at + 1);
            let (run, rest) = octets.split_at(end.unwrap_or(octets.len()));
            octets = rest;
            let run = match &mut self.line {
                Line::Inside { counts } => {
                    if *counts && let Some(digest) = &mut self.digest {
                        digest.update(run);
                    }
                    None
                }
                Line::Beginning(held) => {
                    let (told, behind) = run.split_at(run.len().min(TELLING_OCTETS - held.len()));
                    held.extend_from_slice(told);
                    let enough = end.is_some() || held.len() == TELLING_OCTETS;
                    enough.then(|| (std::mem::take(held), behind))
                }
            };
            if let Some((beginning, behind)) = run {
                self.begin_line(&beginning, behind, &mut found);
            }
            if end.is_some() {
                self.line = Line::Beginning(Vec::with_capacity(TELLING_OCTETS));
            }
        }
    }

    /// The file is over; gives the digest of its last message, if there is one.
    pub(crate) fn finish(mut self, mut found: impl FnMut(Digest)) {
        if let Line::Beginning(held) =
            std::mem::replace(&mut self.line, Line::Inside { counts: false })
            && !held.is_empty()
        {
            self.begin_line(&held, &[], &mut found);
        }
        if let Some(digest) = self.digest {
            found(digest.finalize().into());
        }
    }

    /// A line that is told by its `beginning`, and its octets `behind` it as far as they are there.
    fn begin_line(&mut self, beginning: &[u8], behind: &[u8], found: &mut impl FnMut(Digest)) {
        if beginning == b"\n" {
            self.empty_lines += u64::from(self.digest.is_some());
            self.in_header = false;
            self.changing = false;
            self.after_empty = true;
            return;
        }
        let begins_message = self.after_empty && beginning.starts_with(b"From ");
        self.after_empty = false;
        if begins_message {
            if let Some(digest) = self.digest.replace(Sha256::new()) {
                found(digest.finalize().into());
            }
            self.in_header = true;
            self.empty_lines = 0;
        } else if self.in_header && !matches!(beginning.first(), Some(b' ' | b'\t')) {
            self.changing = changes(beginning);
        }
        let counts = !(self.in_header && self.changing && !begins_message);
        self.line = Line::Inside { counts };
        let empty_lines = std::mem::take(&mut self.empty_lines);
        if counts && let Some(digest) = &mut self.digest {
            for _ in 0..empty_lines {
                digest.update(b"\n");
            }
            digest.update(beginning);
            digest.update(behind);
        }
    }
}

/// Whether a header line begins a field that mail programs change.
fn changes(beginning: &[u8]) -> bool {
    let name = beginning
        .split(|&octet| octet == b':')
        .next()
        .unwrap_or_default();
    let named = name.len() < beginning.len();
    named
        && CHANGING_FIELDS
            .iter()
            .any(|field| name.eq_ignore_ascii_case(field))
}

/// Scans an mbox in pieces of `cuts` octets, and panics if it finds others in other pieces. How many
/// messages there are.
#[cfg(feature = "testing")]
pub(super) fn fuzz_scanning(mbox: &[u8], cuts: usize) -> usize {
    let digests = |cuts: usize| {
        let (mut scanner, mut found) = (Scanner::new(), Vec::new());
        for piece in mbox.chunks(cuts.max(1)) {
            scanner.write(piece, |digest| found.push(digest));
        }
        scanner.finish(|digest| found.push(digest));
        found
    };
    let found = digests(mbox.len());
    assert_eq!(digests(cuts), found);
    found.len()
}

#[cfg(test)]
mod tests;
