//! Measuring a message before it is sent.

use crate::{Form, Octets};

/// Counts the octets that RETR sends of a message, without byte-stuffing (RFC 1939 §11), and
/// learns in which form it is stored. Pieces may be cut anywhere.
#[derive(Clone, Debug)]
pub struct WireCounter {
    octets: u64,
    last: Option<u8>,
    /// A LF without a CR before it.
    bare_lf: bool,
    /// A line that begins with a dot.
    dot: bool,
}

/// What was learned about a whole message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Measured {
    /// Its size: every line end counts as CRLF, a missing last one included (PRJ-SIZE-3).
    pub octets: Octets,
    /// What its octets still need before they may go over the wire.
    pub form: Form,
}

impl WireCounter {
    /// A counter at the start of a message.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            octets: 0,
            last: None,
            bare_lf: false,
            dot: false,
        }
    }

    /// Takes the next piece of the stored octets.
    pub fn update(&mut self, input: &[u8]) {
        let Some(&last) = input.last() else {
            return;
        };
        let mut octets = input.len() as u64;
        let begins_line = matches!(self.last, None | Some(b'\n'));
        self.dot |= begins_line && input.starts_with(b".");
        for lf in memchr::memchr_iter(b'\n', input) {
            let before = match lf.checked_sub(1) {
                Some(before) => input.get(before).copied(),
                None => self.last,
            };
            if before != Some(b'\r') {
                self.bare_lf = true;
                octets += 1;
            }
            self.dot |= input.get(lf + 1) == Some(&b'.');
        }
        self.octets = self.octets.saturating_add(octets);
        self.last = Some(last);
    }

    /// The size and the form. A message without a single octet has size 0.
    #[must_use]
    pub const fn finish(self) -> Measured {
        let unended = !matches!(self.last, None | Some(b'\n'));
        let form = if self.bare_lf || unended {
            Form::Stored
        } else if self.dot {
            Form::Crlf
        } else {
            Form::Wire
        };
        let octets = Octets(self.octets.saturating_add(if unended { 2 } else { 0 }));
        Measured { octets, form }
    }
}

impl Default for WireCounter {
    fn default() -> Self {
        Self::new()
    }
}
