//! Surrogates: what a program that never says UTF8 is sent of a message whose header is
//! internationalized (RFC 6858).
//!
//! Only the header is written anew, and of it only the fields that are not ASCII; the body, and
//! the header fields of parts within it, stay as they are stored. The stored message is never
//! changed (PRJ-DOWN-5).

mod field;

use restante_maildrop::{Body, BodyReader, ReadError};
use restante_proto::{Form, Octets, WireCounter};

/// A header larger than this is sent as it is stored: memory is bounded, and no mail program
/// makes such a header.
const HEADER_OCTETS_MAX: usize = 1 << 20;

/// A message on its way out: octets that have been taken from it already, and the rest.
pub(crate) struct Opened {
    /// What RETR will send, before byte-stuffing.
    pub(crate) octets: Octets,
    /// In which form all of it is, if it is the stored message; `None` for a surrogate.
    pub(crate) form: Option<Form>,
    /// Its first octets.
    pub(crate) first: Vec<u8>,
    /// What follows them.
    pub(crate) rest: BodyReader,
}

impl Opened {
    /// The message as it is stored.
    pub(crate) fn stored(body: Body) -> Self {
        Self {
            octets: body.octets,
            form: Some(body.form),
            first: Vec::new(),
            rest: body.into_reader(),
        }
    }

    /// The message, or its surrogate if its header is not ASCII.
    ///
    /// # Errors
    /// Those of reading.
    pub(crate) async fn surrogate(body: Body) -> Result<Self, ReadError> {
        let mut opened = Self::stored(body);
        let Some(header) = opened.read_header().await? else {
            return Ok(opened);
        };
        let stored = opened.first.get(..header).unwrap_or_default();
        if stored.is_ascii() {
            return Ok(opened);
        }
        let mut first = rewritten(stored);
        opened.octets = Octets(
            (opened.octets.0)
                .saturating_sub(wire_octets(stored))
                .saturating_add(first.len() as u64),
        );
        first.extend_from_slice(opened.first.get(header..).unwrap_or_default());
        opened.first = first;
        opened.form = None;
        Ok(opened)
    }

    /// Reads until the whole header is in `first`; its length there, the empty line left out.
    /// `None` if it is too large.
    async fn read_header(&mut self) -> Result<Option<usize>, ReadError> {
        let mut searched = 0;
        loop {
            if let Some(end) = header_end(&self.first, searched) {
                return Ok(Some(end));
            }
            // The line that is not ended yet has to be looked at again.
            let line = memchr::memrchr(b'\n', &self.first).map_or(0, |end| end + 1);
            searched = line;
            if self.first.len() > HEADER_OCTETS_MAX {
                return Ok(None);
            }
            if self.rest.next(&mut self.first).await? == 0 {
                return Ok(Some(self.first.len()));
            }
        }
    }
}

/// Where the empty line begins that ends the header; `from` is the start of a line.
fn header_end(octets: &[u8], from: usize) -> Option<usize> {
    let mut start = from;
    while let Some(length) = memchr::memchr(b'\n', octets.get(start..)?) {
        // R5322-HDR-1: only a line of nothing at all ends the header.
        if matches!(octets.get(start..start + length)?, b"" | b"\r") {
            return Some(start);
        }
        start += length + 1;
    }
    None
}

/// The header's lines with CRLF ends, those fields that are not ASCII written anew.
fn rewritten(header: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(header.len() + header.len() / 4);
    let mut rest = header;
    while !rest.is_empty() {
        let (field, after) = rest.split_at(field_length(rest));
        rest = after;
        if field.is_ascii() {
            append_with_crlf(field, &mut out);
        } else {
            field::append_surrogate(field, &mut out);
        }
    }
    out
}

/// How many octets the first field has, its continuation lines included.
fn field_length(header: &[u8]) -> usize {
    let ends = memchr::memchr_iter(b'\n', header).map(|end| end + 1);
    let continues = |end: &usize| !matches!(header.get(*end), Some(b' ' | b'\t'));
    ends.into_iter().find(continues).unwrap_or(header.len())
}

/// Appends lines as RETR would send them, the last one ended (PRJ-RETR-4).
fn append_with_crlf(lines: &[u8], out: &mut Vec<u8>) {
    for line in lines.split_inclusive(|octet| *octet == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        out.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
        out.extend_from_slice(b"\r\n");
    }
}

/// What the stored octets are on the wire.
fn wire_octets(stored: &[u8]) -> u64 {
    let mut counter = WireCounter::new();
    counter.update(stored);
    counter.finish().octets.0
}

#[cfg(test)]
mod tests;
