//! An append-only file of checksummed lines: how the state remembers.
//!
//! ```text
//! 7d3f6c0a restante fetch 1⏎
//! 91b2e4d8 here 17 18⏎
//! └─ CRC-32 of what follows the space, 8 lower-case hex digits
//! ```
//!
//! Each line stands for itself, so damage costs the lines it touches and no other. A line that was
//! being written when the power failed is the last one, and nobody has relied upon it.

use std::io::{self, BufRead, Read as _};

/// No line is longer, checksum and line end included.
pub(crate) const LINE_OCTETS_MAX: usize = 64 * 1024;
const CHECKSUM_DIGITS: usize = 8;
/// Ends a line that was torn; no content of ours ends so.
pub(crate) const SPOILED: &[u8] = b"!";

/// What reading a journal found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Soundness {
    /// Lines that are wrong, or make no sense. One that was torn while being written is not among
    /// them.
    pub(crate) damaged: usize,
    /// The file does not end with a line end: what is appended must begin with one.
    pub(crate) torn: bool,
}

/// One line, with checksum and line end.
pub(crate) fn line(content: &[u8]) -> Vec<u8> {
    let mut line = format!("{:08x} ", crc32fast::hash(content)).into_bytes();
    line.extend_from_slice(content);
    line.push(b'\n');
    line
}

/// Reads a journal, and gives what each sound line says to `each`, which tells whether it makes
/// sense.
///
/// # Errors
/// Those of reading.
pub(crate) fn read(
    input: &mut impl BufRead,
    mut each: impl FnMut(&[u8]) -> bool,
) -> io::Result<Soundness> {
    let mut found = Soundness::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        let room = LINE_OCTETS_MAX as u64 + 1;
        if input.by_ref().take(room).read_until(b'\n', &mut line)? == 0 {
            return Ok(found);
        }
        let Some(text) = line.strip_suffix(b"\n") else {
            if line.len() <= LINE_OCTETS_MAX {
                // The end of the file: torn, and never relied upon.
                found.torn = true;
                return Ok(found);
            }
            found.damaged += 1;
            skip_line(input)?;
            continue;
        };
        if !text.ends_with(SPOILED) && !content(text).is_some_and(&mut each) {
            found.damaged += 1;
        }
    }
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let (count, ends) = match buffer.iter().position(|&octet| octet == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        input.consume(count);
        if ends {
            return Ok(());
        }
    }
}

/// What a line says, if its checksum is right.
fn content(line: &[u8]) -> Option<&[u8]> {
    let (checksum, rest) = line.split_at_checked(CHECKSUM_DIGITS)?;
    let content = rest.strip_prefix(b" ")?;
    let right = format!("{:08x}", crc32fast::hash(content));
    (checksum == right.as_bytes()).then_some(content)
}

/// Writes octets so that they hold no space, line end or other octet outside 0x21–0x7E. No octets
/// are `%`.
pub(crate) fn escape(octets: &[u8]) -> String {
    use std::fmt::Write as _;
    if octets.is_empty() {
        return "%".into();
    }
    let mut text = String::with_capacity(octets.len());
    for &octet in octets {
        match octet {
            // What separates fields and stands for nothing is written out too.
            b'%' | b':' | b'-' | b'!' | ..=0x20 | 0x7F.. => {
                let _ = write!(text, "%{octet:02x}");
            }
            _ => text.push(char::from(octet)),
        }
    }
    text
}

/// Undoes [`escape`]; `None`: it is not what that writes.
pub(crate) fn unescape(text: &str) -> Option<Vec<u8>> {
    if text == "%" {
        return Some(Vec::new());
    }
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            octets.push(u8::from_str_radix(digits, 16).ok()?);
            rest = rest.get(2..)?;
        } else {
            octets.push(first);
        }
    }
    (escape(&octets) == text).then_some(octets)
}
