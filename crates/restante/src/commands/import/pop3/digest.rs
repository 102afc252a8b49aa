//! What a message is known by on both sides: digests of its header and of the whole.
//!
//! Servers differ in what they make of line ends: CR before LF does not count, however many there
//! are, and neither does a missing end of the last line.

use sha2::{Digest as _, Sha256};

/// What a message is known by.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Digests {
    /// Of the lines before the first empty one; `None` if there are none.
    pub(super) header: Option<[u8; 32]>,
    pub(super) whole: [u8; 32],
}

/// Takes a message in pieces.
pub(super) struct Digester {
    header: Sha256,
    whole: Sha256,
    /// CRs that are line ends if LF follows.
    returns: usize,
    is_line_begun: bool,
    is_header: bool,
    has_header: bool,
    normal: Vec<u8>,
}

impl Digester {
    pub(super) fn new() -> Self {
        Self {
            header: Sha256::new(),
            whole: Sha256::new(),
            returns: 0,
            is_line_begun: false,
            is_header: true,
            has_header: false,
            normal: Vec::new(),
        }
    }

    pub(super) fn update(&mut self, octets: &[u8]) {
        for &octet in octets {
            match octet {
                b'\r' => self.returns += 1,
                b'\n' => self.end_line(),
                _ => {
                    self.put_returns();
                    self.normal.push(octet);
                    self.is_line_begun = true;
                }
            }
        }
        self.flush();
    }

    pub(super) fn finish(mut self) -> Digests {
        if self.is_line_begun || self.returns > 0 {
            self.end_line();
        }
        self.flush();
        Digests {
            header: self.has_header.then(|| self.header.finalize().into()),
            whole: self.whole.finalize().into(),
        }
    }

    fn put_returns(&mut self) {
        let returns = std::mem::take(&mut self.returns);
        self.normal.resize(self.normal.len() + returns, b'\r');
    }

    fn end_line(&mut self) {
        self.returns = 0;
        if self.is_header && !self.is_line_begun {
            // What came until here is the header's; the empty line is not.
            self.flush();
            self.is_header = false;
        }
        self.normal.push(b'\n');
        self.is_line_begun = false;
    }

    fn flush(&mut self) {
        self.whole.update(&self.normal);
        if self.is_header && !self.normal.is_empty() {
            self.has_header = true;
            self.header.update(&self.normal);
        }
        self.normal.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(message: &[u8], piece: usize) -> Digests {
        let mut digester = Digester::new();
        message
            .chunks(piece)
            .for_each(|piece| digester.update(piece));
        digester.finish()
    }

    #[test]
    fn line_ends_do_not_count_and_everything_else_does() {
        let message = b"A: 1\nB: 2\n\nbody\r in it\n.\n";
        let plain = digests(message, 100);
        for piece in 1..message.len() {
            assert_eq!(digests(message, piece), plain);
            for same in [
                &b"A: 1\r\nB: 2\r\n\r\nbody\r in it\r\n.\r\n"[..],
                b"A: 1\r\r\nB: 2\r\n\r\r\nbody\r in it\n.\r\r\n",
                b"A: 1\nB: 2\n\nbody\r in it\n.",
                b"A: 1\nB: 2\n\nbody\r in it\n.\r",
            ] {
                assert_eq!(digests(same, piece), plain);
            }
            for (other, is_same_header) in [
                (&b"A: 1\nB: 2\n\nbody in it\n.\n"[..], true),
                (b"A: 1\nB: 2\n\nbody\r in it\n.\n\n", true),
                (b"A: 1\nB: 2", true),
                (b"A: 1\n B: 2\n\nbody\r in it\n.\n", false),
                (b"A: 1\n", false),
            ] {
                let other = digests(other, piece);
                assert_ne!(other.whole, plain.whole);
                assert_eq!(other.header == plain.header, is_same_header);
            }
        }
        for none in [&b""[..], b"\n", b"\r\nbody\n"] {
            assert_eq!(digests(none, 1).header, None);
        }
    }
}
