//! Turning the data lines of a response into the octets of a message.

use memchr::memmem;

use crate::Octets;

/// Removes byte-stuffing and finds the end of a multi-line response that came in pieces of any
/// size (R1939-ML-3, PRJ-ML-5). Any cutting gives the same octets.
///
/// Only a dot alone between two CRLF ends the response (PRJ-ML-11): LF `.` LF, CR `.` CR and
/// everything alike is data. The CRLF before the final dot belongs to the message. Lines may have
/// any length. The work is linear, and nothing is held but a few words.
#[derive(Clone, Debug)]
pub struct MultiLineDecoder {
    position: Position,
    octets: u64,
    octets_max: u64,
}

/// Where in a line of the response the last octet was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Position {
    /// The next octet begins a line.
    Start,
    /// The line consists of a dot so far, which is no data.
    Dot,
    /// The line consists of a dot and a CR so far; the CR is data unless a LF follows.
    DotCr,
    /// Within a line, after something else than a CR.
    Inside,
    /// Within a line, after a CR.
    InsideCr,
    /// After the termination line.
    End,
}

/// What became of one piece of input.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct Decoded<'i> {
    /// Octets of the message, perhaps none.
    pub data: &'i [u8],
    /// How much of the input is done with. Call again with the rest until it is empty or `end`.
    pub consumed: usize,
    /// The termination line was seen: the message is whole, and what follows in the input belongs
    /// to the next response.
    pub end: bool,
}

/// The message is longer than it may be. It cannot be skipped: close the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("message exceeds {max} octets")]
pub struct MessageTooLarge {
    /// How many octets were allowed.
    pub max: Octets,
}

impl MultiLineDecoder {
    /// A decoder behind the status line of a response whose message has at most `max` octets.
    #[must_use]
    pub const fn new(max: Octets) -> Self {
        Self {
            position: Position::Start,
            octets: 0,
            octets_max: max.0,
        }
    }

    /// How many octets of the message have been given out so far.
    #[must_use]
    pub const fn octets(&self) -> Octets {
        Octets(self.octets)
    }

    /// Takes the next octets from the peer. Where the input is not empty, something is consumed or
    /// given out. After the end nothing is.
    ///
    /// # Errors
    /// [`MessageTooLarge`] once more octets have come than are allowed; nothing is given out.
    pub fn decode<'i>(&mut self, input: &'i [u8]) -> Result<Decoded<'i>, MessageTooLarge> {
        let mut consumed = 0;
        loop {
            let rest = input.get(consumed..).unwrap_or_default();
            let Some(&first) = rest.first() else {
                return Ok(Decoded::nothing(consumed));
            };
            match (self.position, first) {
                (Position::Start, b'.') => self.position = Position::Dot,
                (Position::Dot, b'\r') => self.position = Position::DotCr,
                (Position::DotCr, b'\n') => {
                    self.position = Position::End;
                    return Ok(Decoded {
                        end: true,
                        ..Decoded::nothing(consumed + 1)
                    });
                }
                (Position::DotCr, _) => {
                    // The CR was consumed with the hope of an end; it is data after all.
                    self.position = Position::InsideCr;
                    return self.give(b"\r", consumed);
                }
                (Position::End, _) => {
                    return Ok(Decoded {
                        end: true,
                        ..Decoded::nothing(consumed)
                    });
                }
                (Position::Start | Position::Dot | Position::Inside | Position::InsideCr, _) => {
                    let (data, taken) = self.run(rest);
                    return self.give(data, consumed + taken);
                }
            }
            consumed += 1;
        }
    }

    /// Octets up to the next line that begins with a dot, and how many were consumed, that dot
    /// included.
    fn run<'i>(&mut self, rest: &'i [u8]) -> (&'i [u8], usize) {
        if self.position == Position::InsideCr && rest.first() == Some(&b'\n') {
            self.position = Position::Start;
            return (rest.get(..1).unwrap_or_default(), 1);
        }
        if let Some(at) = memmem::find(rest, b"\r\n.") {
            self.position = Position::Dot;
            return (rest.get(..at + 2).unwrap_or_default(), at + 3);
        }
        self.position = if rest.ends_with(b"\r\n") {
            Position::Start
        } else if rest.ends_with(b"\r") {
            Position::InsideCr
        } else {
            Position::Inside
        };
        (rest, rest.len())
    }

    fn give<'i>(
        &mut self,
        data: &'i [u8],
        consumed: usize,
    ) -> Result<Decoded<'i>, MessageTooLarge> {
        let octets = self.octets.saturating_add(data.len() as u64);
        if octets > self.octets_max {
            return Err(MessageTooLarge {
                max: Octets(self.octets_max),
            });
        }
        self.octets = octets;
        Ok(Decoded {
            data,
            consumed,
            end: false,
        })
    }
}

impl Decoded<'_> {
    const fn nothing(consumed: usize) -> Self {
        Self {
            data: &[],
            consumed,
            end: false,
        }
    }
}

#[cfg(test)]
mod tests;
