//! Line ends as those want them who take messages over.

use memchr::memchr2;

/// What lines end in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ends {
    /// CRLF becomes LF, everything else stays: for programs of this system.
    Lf,
    /// A lone CR or LF becomes CRLF too: SMTP allows neither (RFC 5321 §2.3.8), and servers that
    /// take one for a line end could be made to see the end of a message where none is.
    Crlf,
}

/// Turns the line ends of a message that comes in pieces.
#[derive(Debug)]
pub(super) struct Lines {
    ends: Ends,
    /// A CR was seen and nothing behind it.
    carriage_return: bool,
}

impl Lines {
    pub(super) fn new(ends: Ends) -> Self {
        Self {
            ends,
            carriage_return: false,
        }
    }

    /// Appends the next octets to `out`.
    pub(super) fn write(&mut self, mut octets: &[u8], out: &mut Vec<u8>) {
        while let Some(&first) = octets.first() {
            if std::mem::take(&mut self.carriage_return) && first != b'\n' {
                self.lone_carriage_return(out);
            }
            let end = memchr2(b'\r', b'\n', octets).unwrap_or(octets.len());
            let (run, rest) = octets.split_at(end);
            out.extend_from_slice(run);
            match rest.split_first() {
                Some((b'\r', _)) => self.carriage_return = true,
                Some(_) => out.extend_from_slice(match self.ends {
                    Ends::Lf => b"\n",
                    Ends::Crlf => b"\r\n",
                }),
                None => {}
            }
            octets = rest.get(1..).unwrap_or_default();
        }
    }

    /// The message is over.
    pub(super) fn finish(self, out: &mut Vec<u8>) {
        if self.carriage_return {
            self.lone_carriage_return(out);
        }
    }

    fn lone_carriage_return(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(match self.ends {
            Ends::Lf => b"\r",
            Ends::Crlf => b"\r\n",
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_are_turned_however_the_message_is_cut() {
        let cases: [(&[u8], &[u8], &[u8]); 6] = [
            (b"a\r\nb\r\n", b"a\nb\n", b"a\r\nb\r\n"),
            (b"a\nb", b"a\nb", b"a\r\nb"),
            (b"a\rb\r", b"a\rb\r", b"a\r\nb\r\n"),
            (b"\r\r\n\n", b"\r\n\n", b"\r\n\r\n\r\n"),
            (b".\r.\n.\r\n", b".\r.\n.\n", b".\r\n.\r\n.\r\n"),
            (b"", b"", b""),
        ];
        for (message, lf, crlf) in cases {
            for (ends, expected) in [(Ends::Lf, lf), (Ends::Crlf, crlf)] {
                for cuts in 1..5 {
                    let mut lines = Lines::new(ends);
                    let mut out = Vec::new();
                    for piece in message.chunks(cuts) {
                        lines.write(piece, &mut out);
                    }
                    lines.finish(&mut out);
                    assert_eq!(out, expected, "{message:?} {ends:?}");
                }
            }
        }
    }
}
