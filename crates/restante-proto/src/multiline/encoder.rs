//! Turning the stored octets of a message into the data lines of a response.

use alloc::vec::Vec;

use memchr::memmem;

use super::TERMINATION_LINE;
use crate::{Form, Octets, Part};

/// Encodes one message, given in pieces of any size; any cutting gives the same output.
///
/// The story in order: [`MultiLineEncoder::encode`] for each piece, until the source ends or the
/// answer is [`Progress::Enough`]; then [`MultiLineEncoder::finish`] once. The work is linear and
/// nothing is held but a few words.
///
/// Only `finish` writes the termination line, and only when as many octets went out as were
/// announced: a client never takes half a message for whole (PRJ-ML-8).
#[derive(Debug)]
pub struct MultiLineEncoder {
    form: Form,
    /// Octets announced to the client; `None` for TOP.
    announced: Option<u64>,
    /// Octets encoded so far, byte-stuffing not counted (R1939-SIZE-2).
    sent: u64,
    /// More came than was announced, or nothing was asked for: nothing more goes out.
    refusing: bool,
    line: LinePosition,
    part: PartLeft,
}

/// Where in a line of the message the last octet was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum LinePosition {
    /// The next octet begins a line.
    Start,
    /// The line consists of one CR so far.
    OnlyCr,
    /// Within a line, after something else than a CR.
    Inside,
    /// Within a line, after a CR that is not its first octet.
    InsideCr,
}

/// How much is still to be sent.
#[derive(Clone, Copy, Debug)]
enum PartLeft {
    /// All of it.
    Whole,
    /// The header, then this many lines of the body.
    Header { lines: u64 },
    /// This many lines.
    Body { lines: u64 },
}

/// Whether the encoder can use more octets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Progress {
    /// It can.
    More,
    /// It has all it wants (TOP), or already too many: stop reading and finish.
    Enough,
}

/// A message turned out to have another size than was announced. Nothing was appended: close the
/// connection, so that the client does not take the message for whole (PRJ-ML-8).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("message of {announced} octets gave {sent}")]
pub struct SizeMismatch {
    /// What was announced.
    pub announced: Octets,
    /// What was encoded before the end or before the first octet too many.
    pub sent: Octets,
}

impl MultiLineEncoder {
    /// An encoder for a message stored in `form`, of which `part` is wanted.
    ///
    /// `announced`: the octets told to the client. They are checked for [`Part::Whole`] only; the
    /// size of a top is nobody's business.
    #[must_use]
    pub const fn new(form: Form, part: Part, announced: Option<Octets>) -> Self {
        let (part, announced) = match (part, announced) {
            (Part::Whole, Some(Octets(announced))) => (PartLeft::Whole, Some(announced)),
            (Part::Whole, None) => (PartLeft::Whole, None),
            (Part::Top { lines }, _) => (PartLeft::Header { lines }, None),
        };
        Self {
            form,
            announced,
            sent: 0,
            refusing: false,
            line: LinePosition::Start,
            part,
        }
    }

    /// An encoder that encodes nothing and never finishes, for a message that nobody wants any
    /// more.
    pub(crate) fn refusing() -> Self {
        Self {
            refusing: true,
            announced: Some(0),
            ..Self::new(Form::Stored, Part::Whole, None)
        }
    }

    /// Appends the next piece to `out`: LF becomes CRLF, CRLF stays, a dot at the start of a line
    /// is doubled, every other octet is left alone (PRJ-RETR-4, PRJ-RETR-5).
    ///
    /// Once more octets have come than were announced, nothing more is appended.
    pub fn encode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Progress {
        if self.refusing {
            return Progress::Enough;
        }
        // Most octets go out as they are; some lines get a CR or a dot.
        out.reserve(input.len() + input.len() / 32);
        match (self.part, self.form) {
            (PartLeft::Whole, Form::Wire) => self.encode_run(input, out, |piece, _, out| {
                out.extend_from_slice(piece);
            }),
            (PartLeft::Whole, Form::Crlf) => self.encode_run(input, out, stuff),
            _ => self.encode_lines(input, out),
        }
    }

    /// Ends the last line if it has no end, and appends the termination line.
    ///
    /// # Errors
    /// [`SizeMismatch`] when more or fewer octets came than were announced; nothing was appended.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<Octets, SizeMismatch> {
        let unended = self.line != LinePosition::Start;
        // PRJ-ML-6: the line end that is missing counts.
        let sent = self.sent.saturating_add(if unended { 2 } else { 0 });
        let announced = self.announced.unwrap_or(sent);
        if self.refusing || announced != sent {
            return Err(SizeMismatch {
                announced: Octets(announced),
                sent: Octets(sent),
            });
        }
        if unended {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(TERMINATION_LINE);
        Ok(Octets(sent))
    }

    /// Octets with CRLF line ends throughout, appended by `append` as a run.
    fn encode_run(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        append: impl FnOnce(&[u8], LinePosition, &mut Vec<u8>),
    ) -> Progress {
        if !self.admit(input.len() as u64) {
            return Progress::Enough;
        }
        append(input, self.line, out);
        self.line = self.line.after(input);
        Progress::More
    }

    /// Octets whose line ends or lines matter, one line after the other.
    fn encode_lines(&mut self, input: &[u8], out: &mut Vec<u8>) -> Progress {
        if matches!(self.part, PartLeft::Body { lines: 0 }) {
            return Progress::Enough;
        }
        let mut rest = input;
        while let Some(offset) = memchr::memchr(b'\n', rest) {
            let (text, after) = rest.split_at(offset);
            rest = after.get(1..).unwrap_or_default();
            let began = self.line;
            let ended = began.after(text);
            let end: &[u8] = match ended {
                LinePosition::OnlyCr | LinePosition::InsideCr => b"\n",
                LinePosition::Start | LinePosition::Inside => b"\r\n",
            };
            if !self.admit((text.len() + end.len()) as u64) {
                return Progress::Enough;
            }
            append_text(text, began, out);
            out.extend_from_slice(end);
            self.line = LinePosition::Start;
            // R5322-HDR-1: only a line of nothing at all ends the header.
            let empty = matches!(ended, LinePosition::Start | LinePosition::OnlyCr);
            if self.part.line_sent(empty) == Progress::Enough {
                return Progress::Enough;
            }
        }
        if !self.admit(rest.len() as u64) {
            return Progress::Enough;
        }
        append_text(rest, self.line, out);
        self.line = self.line.after(rest);
        Progress::More
    }

    /// Counts octets that are about to go out; `false` if they are more than announced.
    fn admit(&mut self, octets: u64) -> bool {
        let sent = self.sent.saturating_add(octets);
        self.refusing = self.announced.is_some_and(|announced| sent > announced);
        self.sent = sent;
        !self.refusing
    }
}

impl LinePosition {
    /// The position after `input`, which began here. Where it holds line ends, whether a last line
    /// of one CR has something before it is not told.
    fn after(self, input: &[u8]) -> Self {
        let Some(&last) = input.last() else {
            return self;
        };
        match last {
            b'\n' => Self::Start,
            b'\r' if input.len() == 1 && self == Self::Start => Self::OnlyCr,
            b'\r' => Self::InsideCr,
            _ => Self::Inside,
        }
    }
}

impl PartLeft {
    /// Takes note of a line that went out. `empty`: it held nothing but its end.
    fn line_sent(&mut self, empty: bool) -> Progress {
        *self = match *self {
            Self::Whole => Self::Whole,
            // R1939-TOP-2: the empty line is sent; PRJ-TOP-5: it is no line of the body.
            Self::Header { lines } if empty => Self::Body { lines },
            Self::Header { lines } => Self::Header { lines },
            Self::Body { lines } => Self::Body {
                lines: lines.saturating_sub(1),
            },
        };
        match self {
            Self::Body { lines: 0 } => Progress::Enough,
            _ => Progress::More,
        }
    }
}

/// Appends octets without LF that begin at `position` in their line.
fn append_text(text: &[u8], position: LinePosition, out: &mut Vec<u8>) {
    // R1939-ML-2.
    if position == LinePosition::Start && text.starts_with(b".") {
        out.push(b'.');
    }
    out.extend_from_slice(text);
}

/// Appends octets with CRLF line ends that begin at `position` in their line.
fn stuff(input: &[u8], position: LinePosition, out: &mut Vec<u8>) {
    if position == LinePosition::Start && input.starts_with(b".") {
        out.push(b'.');
    }
    let mut from = 0;
    for at in memmem::find_iter(input, b"\n.") {
        let dot = at + 1;
        out.extend_from_slice(input.get(from..dot).unwrap_or_default());
        out.push(b'.');
        from = dot;
    }
    out.extend_from_slice(input.get(from..).unwrap_or_default());
}
