//! A message as an mbox of the kind mboxrd holds it: LF line ends, `From ` quoted.

use memchr::memchr2;

/// What begins a message in an mbox, and is quoted elsewhere.
const FROM: &[u8] = b"From ";

/// Turns a message, which comes in pieces, into the form of mboxrd: CRLF becomes LF, and each line
/// `^>*From ` gets one more `>`.
///
/// Both are undone without loss by taking one `>` from each line `^>+From ` and turning each LF into
/// CRLF (PRJ-FETCH-12). A bare LF, which no server may send, comes back as CRLF; a bare CR, NUL and
/// octets above 127 pass as they are.
#[derive(Debug, Default)]
pub(super) struct Quoter {
    line: Line,
    /// A CR was seen and nothing behind it.
    carriage_return: bool,
    /// Whether anything was written, and the last of it was not an LF.
    open_line: bool,
}

/// How far the line at hand has come.
#[derive(Debug)]
enum Line {
    /// Only `>` so far, and then so many octets of `From `, which are held back. Where a `>` is put
    /// among others makes no difference, so those are not held.
    Beginning { held: usize },
    /// It is not to be quoted, or was.
    Inside,
}

impl Default for Line {
    fn default() -> Self {
        Self::Beginning { held: 0 }
    }
}

impl Quoter {
    /// Appends the next octets of the message to `out`.
    pub(super) fn write(&mut self, mut octets: &[u8], out: &mut Vec<u8>) {
        while let Some((&first, rest)) = octets.split_first() {
            if self.carriage_return {
                self.carriage_return = false;
                if first != b'\n' {
                    self.octet(b'\r', out);
                }
            }
            match first {
                b'\r' => {
                    self.carriage_return = true;
                    octets = rest;
                }
                b'\n' => {
                    self.end_line(out);
                    octets = rest;
                }
                _ if matches!(self.line, Line::Inside) => {
                    let end = memchr2(b'\r', b'\n', octets).unwrap_or(octets.len());
                    let (run, behind) = octets.split_at(end);
                    out.extend_from_slice(run);
                    self.open_line = true;
                    octets = behind;
                }
                _ => {
                    self.octet(first, out);
                    octets = rest;
                }
            }
        }
    }

    /// The message is over: its last line gets its end if it has none.
    pub(super) fn finish(mut self, out: &mut Vec<u8>) {
        if self.carriage_return {
            self.octet(b'\r', out);
        }
        self.release(out);
        if self.open_line {
            out.push(b'\n');
        }
    }

    /// An octet that ends no line.
    fn octet(&mut self, octet: u8, out: &mut Vec<u8>) {
        if let Line::Beginning { held } = &mut self.line {
            if *held == 0 && octet == b'>' {
                out.push(octet);
                self.open_line = true;
                return;
            }
            if FROM.get(*held) == Some(&octet) {
                *held += 1;
                if *held == FROM.len() {
                    out.push(b'>');
                    self.release(out);
                }
                return;
            }
            self.release(out);
        }
        out.push(octet);
        self.open_line = true;
    }

    /// Writes what was held back. The line is not at its beginning any more.
    fn release(&mut self, out: &mut Vec<u8>) {
        if let Line::Beginning { held } = std::mem::replace(&mut self.line, Line::Inside) {
            out.extend(FROM.iter().take(held));
            self.open_line |= held > 0;
        }
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        self.release(out);
        out.push(b'\n');
        self.line = Line::default();
        self.open_line = false;
    }
}

#[cfg(test)]
mod tests;
