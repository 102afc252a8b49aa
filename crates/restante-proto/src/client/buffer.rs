//! Received octets, until it is known what they are.

use alloc::vec::Vec;

/// Octets of the server that have not been made sense of yet. The caller bounds them.
///
/// The work is linear: `scanned` octets are never searched again, and what is left over is moved
/// to the front at most once for each piece of input.
#[derive(Default)]
pub(super) struct InputBuffer {
    octets: Vec<u8>,
    /// Before it lies what is done with.
    start: usize,
    /// Up to here no line end was found.
    scanned: usize,
}

/// Why a line is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum LineError {
    /// Longer than it may be, its end included.
    TooLong,
    /// It ends in a LF without a CR (R1939-FRAME-1).
    BareLineFeed,
}

impl InputBuffer {
    /// Copies all of `input` in.
    pub(super) fn push(&mut self, input: &[u8]) {
        if self.start > 0 {
            self.octets.drain(..self.start);
            self.scanned = self.scanned.saturating_sub(self.start);
            self.start = 0;
        }
        self.octets.extend_from_slice(input);
    }

    /// What is held and not done with.
    pub(super) fn held(&self) -> &[u8] {
        self.octets.get(self.start..).unwrap_or_default()
    }

    pub(super) const fn len(&self) -> usize {
        self.octets.len() - self.start
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// These octets are done with.
    pub(super) fn consume(&mut self, octets: usize) {
        self.start = self.octets.len().min(self.start + octets);
        self.scanned = self.scanned.max(self.start);
    }

    /// The next line without its CRLF, and how long it was with it; `None`: its end has not come.
    ///
    /// # Errors
    /// [`LineError`]; a line that cannot become short enough is refused before its end has come.
    pub(super) fn next_line(&mut self, max: usize) -> Result<Option<&[u8]>, LineError> {
        let unseen = self.octets.get(self.scanned..).unwrap_or_default();
        let Some(offset) = memchr::memchr(b'\n', unseen) else {
            self.scanned = self.octets.len();
            // One octet more than is there is the line's least length.
            return if self.len() >= max {
                Err(LineError::TooLong)
            } else {
                Ok(None)
            };
        };
        let (first, end) = (self.start, self.scanned + offset + 1);
        let line = self.octets.get(first..end).unwrap_or_default();
        if line.len() > max {
            return Err(LineError::TooLong);
        }
        let text = line.strip_suffix(b"\r\n").ok_or(LineError::BareLineFeed)?;
        self.start = end;
        self.scanned = end;
        Ok(Some(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // n − 1, n, n + 1, and both ways of finding out.
    #[test]
    fn lines_are_bounded_wherever_they_are_cut() {
        for (max, fits) in [(6, false), (7, true), (8, true)] {
            let wanted = if fits {
                Ok(Some(&b"hello"[..]))
            } else {
                Err(LineError::TooLong)
            };
            let mut buffer = InputBuffer::default();
            buffer.push(b"hello\r\nnext");
            assert_eq!(buffer.next_line(max), wanted);
            let mut buffer = InputBuffer::default();
            let mut outcome = Ok(false);
            for octet in b"hello\r\n" {
                if outcome == Ok(false) {
                    buffer.push(&[*octet]);
                    outcome = buffer.next_line(max).map(|line| line.is_some());
                }
            }
            assert_eq!(outcome.is_ok(), fits);
        }
    }

    #[test]
    fn r1939_frame_1_a_bare_line_feed_ends_no_line() {
        let mut buffer = InputBuffer::default();
        buffer.push(b"+OK\n");
        assert_eq!(buffer.next_line(100), Err(LineError::BareLineFeed));
    }

    #[test]
    fn what_is_left_over_waits_for_more() {
        let mut buffer = InputBuffer::default();
        buffer.push(b"one\r\ntw");
        assert_eq!(buffer.next_line(100), Ok(Some(&b"one"[..])));
        assert_eq!(buffer.next_line(100), Ok(None));
        buffer.push(b"o\r\ndata");
        assert_eq!(buffer.next_line(100), Ok(Some(&b"two"[..])));
        assert_eq!(buffer.held(), b"data");
        buffer.consume(2);
        assert_eq!((buffer.held(), buffer.len()), (&b"ta"[..], 2));
        buffer.consume(2);
        assert!(buffer.is_empty());
    }
}
