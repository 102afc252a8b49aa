//! Multi-line responses: byte-stuffing, line ends, the termination line (RFC 1939 §3, §11).

use alloc::vec::Vec;

use memchr::memchr;

use crate::{Form, Octets, Part};

/// The termination line that ends every multi-line response.
const TERMINATION: &[u8] = b".\r\n";

/// Writes a stored message as the data of a multi-line response.
///
/// Every line end goes out as CRLF (PRJ-RETR-4), a line that begins with a dot gets one more
/// (R1939-ML-2), a last line without an end gets one (PRJ-ML-6); all other octets pass untouched
/// (PRJ-RETR-5). Feed the message with [`MultiLineEncoder::encode`] in pieces of any size, then
/// call [`MultiLineEncoder::finish`].
#[derive(Debug)]
#[must_use]
pub struct MultiLineEncoder {
    form: Form,
    expected: Option<Octets>,
    /// Octets of the message so far: CRLF ends, before stuffing.
    octets: u64,
    line: Line,
    cut: Cut,
}

/// Whether the encoder wants more of the message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Progress {
    /// Feed what follows.
    More,
    /// TOP has all the lines it asked for, or more came than was announced: stop reading.
    Enough,
}

/// The message was not what the status line had announced: close the connection without the
/// termination line, so that no client takes it for whole (PRJ-ML-8).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("message has {sent} octets or more, {announced} were announced")]
pub struct SizeMismatch {
    /// What the status line said.
    pub announced: Octets,
    /// What the message turned out to have.
    pub sent: Octets,
}

/// What is known of the line that is being read.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    /// Octets so far, without LF.
    octets: u64,
    /// The octet before this one was a CR.
    after_cr: bool,
}

/// Where TOP stops.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Nowhere: RETR.
    Never,
    /// In the header; this many lines of the body shall follow.
    Header { lines: u64 },
    /// In the body; this many lines are still wanted, at least one.
    Body { lines: u64 },
    /// Here.
    Reached,
}

impl Line {
    /// An empty line ends the header; one of spaces does not (R5322-HDR-1).
    const fn is_empty(self) -> bool {
        self.octets == 0 || (self.octets == 1 && self.after_cr)
    }

    /// Takes a piece of the line that has no LF.
    fn extend(&mut self, piece: &[u8]) {
        if let Some(&last) = piece.last() {
            self.octets += piece.len() as u64;
            self.after_cr = last == b'\r';
        }
    }
}

impl Cut {
    const fn new(part: Part) -> Self {
        match part {
            Part::Whole => Self::Never,
            Part::Top { lines } => Self::Header { lines },
        }
    }

    /// What holds after a line has ended. The empty line is not one of the body (PRJ-TOP-5).
    const fn after(self, line: Line) -> Self {
        match self {
            Self::Header { lines: 0 } if line.is_empty() => Self::Reached,
            Self::Header { lines } if line.is_empty() => Self::Body { lines },
            Self::Body { lines: 1 } => Self::Reached,
            Self::Body { lines } => Self::Body { lines: lines - 1 },
            other => other,
        }
    }
}

impl MultiLineEncoder {
    /// An encoder for a message stored as `form`, of which `part` is wanted.
    ///
    /// With `expected`, the size that was announced for the whole message, more or fewer octets
    /// are an error; it is not compared when TOP has cut.
    pub const fn new(form: Form, part: Part, expected: Option<Octets>) -> Self {
        Self {
            form,
            expected,
            octets: 0,
            line: Line {
                octets: 0,
                after_cr: false,
            },
            cut: Cut::new(part),
        }
    }

    /// Takes the next stored octets and appends what goes over the wire to `out`: at most three
    /// octets for each one of `input`, linear in time. Any chunking gives the same output.
    pub fn encode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Progress {
        let start = out.len();
        let before = self.octets;
        out.reserve(input.len() + input.len() / 16);
        if self.form == Form::Wire && matches!(self.cut, Cut::Never) {
            self.pass(input, out);
        } else {
            self.lines(input, out);
        }
        if self
            .expected
            .is_some_and(|expected| self.octets > expected.0)
        {
            // Not one octet more than was announced ever leaves.
            out.truncate(start);
            self.octets = self.octets.max(before + 1);
            return Progress::Enough;
        }
        match self.cut {
            Cut::Reached => Progress::Enough,
            _ => Progress::More,
        }
    }

    /// Ends the last line if it has no end, appends the termination line, and tells how many
    /// octets of the message were sent.
    ///
    /// # Errors
    /// [`SizeMismatch`] if the size is not the announced one; nothing is appended.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<Octets, SizeMismatch> {
        let unfinished = self.line.octets > 0;
        if unfinished {
            self.octets += 2;
        }
        let sent = Octets(self.octets);
        match self.expected {
            Some(announced)
                if sent > announced || (sent != announced && !matches!(self.cut, Cut::Reached)) =>
            {
                return Err(SizeMismatch { announced, sent });
            }
            _ => {}
        }
        if unfinished {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(TERMINATION);
        Ok(sent)
    }

    /// The whole of a wire-ready message: only the end of the last line is watched.
    fn pass(&mut self, input: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(input);
        self.octets += input.len() as u64;
        match input.last() {
            Some(b'\n') => self.line = Line::default(),
            _ => self.line.extend(input),
        }
    }

    fn lines(&mut self, mut input: &[u8], out: &mut Vec<u8>) {
        while !input.is_empty() && !matches!(self.cut, Cut::Reached) {
            let end = memchr(b'\n', input);
            let (piece, rest) = match end {
                Some(at) => (&input[..at], &input[at + 1..]),
                None => (input, &[][..]),
            };
            let starts = self.line.octets == 0;
            let first = piece.first().copied();
            // A line that begins with a dot gets one more: R1939-ML-2.
            if starts && first == Some(b'.') {
                out.push(b'.');
            }
            out.extend_from_slice(piece);
            self.octets += piece.len() as u64;
            self.line.extend(piece);
            if end.is_some() {
                self.end_line(out);
            }
            input = rest;
        }
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        // A stored CRLF stays, never CR CR LF; a lone LF becomes CRLF: PRJ-RETR-4.
        if !self.line.after_cr {
            out.push(b'\r');
            self.octets += 1;
        }
        out.push(b'\n');
        self.octets += 1;
        self.cut = self.cut.after(self.line);
        self.line = Line::default();
    }
}

/// Measures a stored message: the size RETR will send, and the form it is stored in.
#[derive(Clone, Debug, Default)]
pub struct WireCounter {
    octets: u64,
    line: Line,
    dots: bool,
    lone_line_feeds: bool,
}

/// What a [`WireCounter`] has found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Measured {
    /// The size RETR sends: CRLF line ends, before stuffing (R1939-SIZE-1, R1939-SIZE-2).
    pub octets: Octets,
    /// The most favourable form that is true of the stored octets.
    pub form: Form,
}

impl WireCounter {
    /// A counter that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next stored octets, in pieces of any size.
    pub fn update(&mut self, mut input: &[u8]) {
        while !input.is_empty() {
            let end = memchr(b'\n', input);
            let piece = &input[..end.unwrap_or(input.len())];
            if self.line.octets == 0 && piece.first() == Some(&b'.') {
                self.dots = true;
            }
            self.octets += piece.len() as u64;
            self.line.extend(piece);
            if end.is_some() {
                self.lone_line_feeds |= !self.line.after_cr;
                self.octets += if self.line.after_cr { 1 } else { 2 };
                self.line = Line::default();
            }
            input = input.get(piece.len() + 1..).unwrap_or_default();
        }
    }

    /// The size and form of what was seen. A message of no octets has size 0.
    #[must_use]
    pub const fn finish(self) -> Measured {
        let unfinished = self.line.octets > 0;
        let form = match (self.lone_line_feeds || unfinished, self.dots) {
            (true, _) => Form::Stored,
            (false, true) => Form::Crlf,
            (false, false) => Form::Wire,
        };
        // A last line without an end is sent with one, and it counts: PRJ-ML-6.
        let octets = if unfinished {
            self.octets + 2
        } else {
            self.octets
        };
        Measured {
            octets: Octets(octets),
            form,
        }
    }
}
