//! Putting a folder's tag before a message's subject, on the way out.
//!
//! The stored message is never changed. What is put in depends on the message's first octets
//! alone, so that measuring and sending come to the same; and on no more of them than a bound, so
//! that a header without end costs no memory: beyond it a message stays as it is.

use bytes::Bytes;
use memchr::memchr;

use crate::Tag;

/// No mail program makes a header so large that its subject stands behind this.
pub(crate) const HEADER_OCTETS_MAX: usize = 64 * 1024;
/// A field of its own and the end that the line before it lacks.
const FIELD_OCTETS: usize = 4 + SUBJECT.len() + 2;
/// No message grows by more than this.
pub(crate) const TAGGING_OCTETS_MAX: u64 = (FIELD_OCTETS + Tag::OCTETS_MAX + 1) as u64;
const SUBJECT: &[u8] = b"subject";

/// What is put into a message, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Insertion {
    /// So many of the stored octets stand before it.
    pub(crate) at: usize,
    /// Line ends in it are CRLF.
    pub(crate) text: Vec<u8>,
}

impl Insertion {
    /// What marks the message that begins with `stored`, all of it or [`HEADER_OCTETS_MAX`]
    /// octets; `None` if its subject begins with the tag already, or its header is too large.
    ///
    /// The tag stands behind `Subject:` and its white space; lines that the subject goes on in
    /// stay as they are. A message without a subject gets one, at the end of its header.
    pub(crate) fn of(tag: &Tag, stored: &[u8]) -> Option<Self> {
        let stored = stored.get(..HEADER_OCTETS_MAX).unwrap_or(stored);
        let whole = stored.len() < HEADER_OCTETS_MAX;
        let mark = tag.as_str().trim_end_matches(' ').as_bytes();
        let mut at = 0;
        while let Some(rest) = stored.get(at..).filter(|rest| !rest.is_empty()) {
            let end = memchr(b'\n', rest);
            if end.is_none() && !whole {
                return None;
            }
            let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            if end.is_some() && matches!(line, b"" | b"\r") {
                return Some(Self::field(at, b"", mark));
            }
            if let Some(value) = subject(line) {
                let value = at + value;
                let begins = stored.get(value..).unwrap_or_default();
                return (!unfolded(begins).starts_with(mark)).then(|| Self {
                    at: value,
                    // An encoded word has to stand apart (RFC 2047 §5).
                    text: [mark, b" "].concat(),
                });
            }
            at += end.map_or(rest.len(), |end| end + 1);
        }
        let unended = !matches!(stored.last(), None | Some(b'\n'));
        let before: &[u8] = if unended { b"\r\n" } else { b"" };
        whole.then(|| Self::field(at, before, mark))
    }

    fn field(at: usize, before: &[u8], mark: &[u8]) -> Self {
        Self {
            at,
            text: [before, b"Subject: ", mark, b"\r\n"].concat(),
        }
    }

    /// What goes out before the stored octets from [`Insertion::at`] on: those before it with line
    /// ends of CRLF, and the text. `stored` are the message's first octets.
    pub(crate) fn head(&self, stored: &[u8]) -> Bytes {
        let mut head = Vec::with_capacity(self.at + self.text.len());
        for line in stored
            .get(..self.at)
            .unwrap_or_default()
            .split_inclusive(|&octet| octet == b'\n')
        {
            match line.strip_suffix(b"\n") {
                Some(line) => {
                    head.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
                    head.extend_from_slice(b"\r\n");
                }
                None => head.extend_from_slice(line),
            }
        }
        head.extend_from_slice(&self.text);
        head.into()
    }
}

/// Where the subject begins in the line, if it is that of a subject.
fn subject(line: &[u8]) -> Option<usize> {
    let colon = memchr(b':', line)?;
    let name = line.get(..colon)?.trim_ascii_end();
    let white = line.get(colon + 1..)?.iter();
    let white = white.take_while(|octet| is_white(octet)).count();
    name.eq_ignore_ascii_case(SUBJECT)
        .then_some(colon + 1 + white)
}

/// The octets without the white space, and the ends of lines that go on, that they begin with.
fn unfolded(mut octets: &[u8]) -> &[u8] {
    loop {
        octets = match octets {
            [b' ' | b'\t', rest @ ..] => rest,
            [b'\r', b'\n', rest @ ..] | [b'\n', rest @ ..]
                if rest.first().is_some_and(is_white) =>
            {
                rest
            }
            _ => return octets,
        };
    }
}

fn is_white(octet: &u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

#[cfg(test)]
mod tests;
