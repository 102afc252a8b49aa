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

/// The message again, as the readers of mboxrd get it.
#[cfg(any(test, feature = "testing"))]
fn unquoted(stored: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    for line in stored.split_inclusive(|&octet| octet == b'\n') {
        let arrows = line.iter().take_while(|&&octet| octet == b'>').count();
        let behind = line.get(arrows..).unwrap_or_default();
        let quoted = arrows > 0 && behind.starts_with(FROM);
        let line = line.get(usize::from(quoted)..).unwrap_or_default();
        match line.strip_suffix(b"\n") {
            Some(text) => message.extend([text, b"\r\n"].concat()),
            None => message.extend_from_slice(line),
        }
    }
    message
}

/// Quotes a message in pieces of `cuts` octets, and panics if it is another in other pieces, begins
/// a message of its own, or does not come back.
#[cfg(feature = "testing")]
pub(super) fn fuzz_quoting(message: &[u8], cuts: usize) -> Vec<u8> {
    let quoted = |cuts: usize| {
        let (mut quoter, mut out) = (Quoter::default(), Vec::new());
        message
            .chunks(cuts.max(1))
            .for_each(|piece| quoter.write(piece, &mut out));
        quoter.finish(&mut out);
        out
    };
    let stored = quoted(message.len());
    assert_eq!(quoted(cuts), stored);
    assert!(
        !stored
            .split(|&octet| octet == b'\n')
            .any(|line| line.starts_with(FROM))
    );
    let lone = memchr::memchr_iter(b'\n', message)
        .any(|at| at == 0 || message.get(at - 1) != Some(&b'\r'));
    if !lone && message.ends_with(b"\r\n") {
        assert_eq!(unquoted(&stored), message);
    }
    stored
}

#[cfg(test)]
mod tests;
