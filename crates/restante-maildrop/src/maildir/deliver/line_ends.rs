//! Line ends of stored messages, chosen so that RETR gives back what came in.
//!
//! RETR sends a stored LF as CRLF unless a CR stands before it, and everything else as it is. So
//! what goes out is the *CRLF form* of what is stored, and storing must keep the CRLF form:
//!
//! | came in | stored with LF ends | stored with CRLF ends | goes out |
//! |---|---|---|---|
//! | `a␊` | `a␊` | `a␍␊` | `a␍␊` |
//! | `a␍␊` | `a␊` | `a␍␊` | `a␍␊` |
//! | `a␍␍␊` | `a␍␍␊` | `a␍␍␊` | `a␍␍␊` |
//! | `a␍b` | `a␍b` | `a␍b` | `a␍b` |
//!
//! A last line without an end gets one, as RETR would give it, so that the sizes in the name are
//! the same for everybody who counts. An empty message stays empty.

use memchr::memchr;

/// Which line ends our own deliveries are stored with.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LineEnds {
    /// LF, as other programs expect it.
    #[default]
    Lf,
    /// CRLF, which goes out without conversion: for those who use Restante alone.
    Crlf,
}

/// Converts a message on its way into the store, in any chunking.
#[derive(Clone, Debug)]
pub(super) struct Converter {
    ends: LineEnds,
    /// The last octet that came in.
    last: Option<u8>,
    /// A CR that came in last and is held back until it is known what follows.
    held: bool,
    /// Whether the octet before the held CR was a CR as well.
    after_cr: bool,
}

impl Converter {
    pub(super) fn new(ends: LineEnds) -> Self {
        Self {
            ends,
            last: None,
            held: false,
            after_cr: false,
        }
    }

    /// Appends what is to be stored of `input` to `out`.
    pub(super) fn convert(&mut self, input: &[u8], out: &mut Vec<u8>) {
        if input.is_empty() {
            return;
        }
        out.reserve(input.len() + 1);
        match self.ends {
            LineEnds::Lf => self.convert_to_lf(input, out),
            LineEnds::Crlf => self.convert_to_crlf(input, out),
        }
        self.last = input.last().copied();
    }

    /// Ends the last line if it has no end. Nothing may be converted afterwards.
    pub(super) fn finish(mut self, out: &mut Vec<u8>) {
        if self.last.is_some_and(|last| last != b'\n') {
            self.convert(b"\r\n", out);
        }
    }

    fn convert_to_lf(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut rest = input;
        while let Some((&first, after)) = rest.split_first() {
            if !self.held {
                let plain = memchr(b'\r', rest).unwrap_or(rest.len());
                out.extend_from_slice(&rest[..plain]);
                self.held = plain < rest.len();
                self.after_cr = false;
                rest = rest.get(plain + 1..).unwrap_or_default();
                continue;
            }
            match first {
                b'\n' => {
                    // `␍␍␊` keeps its CRs: stored as `␍␊` it would go out with one of them.
                    if self.after_cr {
                        out.push(b'\r');
                    }
                    out.push(b'\n');
                    self.held = false;
                    rest = after;
                }
                b'\r' => {
                    out.push(b'\r');
                    self.after_cr = true;
                    rest = after;
                }
                _ => {
                    out.push(b'\r');
                    self.held = false;
                }
            }
        }
    }

    fn convert_to_crlf(&self, input: &[u8], out: &mut Vec<u8>) {
        let mut rest = input;
        let mut last = self.last;
        while let Some(end) = memchr(b'\n', rest) {
            out.extend_from_slice(&rest[..end]);
            if end
                .checked_sub(1)
                .map_or(last, |before| rest.get(before).copied())
                != Some(b'\r')
            {
                out.push(b'\r');
            }
            out.push(b'\n');
            last = Some(b'\n');
            rest = &rest[end + 1..];
        }
        out.extend_from_slice(rest);
    }
}

#[cfg(test)]
mod tests;
