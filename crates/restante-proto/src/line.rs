//! Received octets, cut into lines: bounded, allocated only while something is held, and wiped.

use alloc::vec::Vec;
use core::ops::Deref;

use secrecy::zeroize::Zeroize;

/// The first allocation: most commands fit many times over.
const FIRST_CAPACITY: usize = 512;

/// Octets of the peer on their way to becoming lines.
///
/// The story in order: [`LineBuffer::push`] copies octets in; [`LineBuffer::next_line`] hands
/// out one complete line after the other. What was handed out is overwritten, since any line may
/// hold a password. An over-long line is not kept: its octets are dropped as they come, and
/// [`LineError::TooLong`] is reported once, where its end is.
///
/// The work is linear: `scanned` octets are never searched again, and an incomplete line is moved
/// to the front at most once.
pub(crate) struct LineBuffer {
    octets: Vec<u8>,
    /// Before it lies what was handed out already; all of it is zero.
    start: usize,
    /// Up to here no line end was found; never before `start`.
    scanned: usize,
    /// Inside an over-long line whose end has not come.
    discarding: bool,
    /// The last octet discarded was a CR.
    discarded_cr: bool,
    /// A LF without a CR also ends a line (PRJ-ERR-7).
    bare_lf: bool,
}

/// Why a line is not handed out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LineError {
    /// Longer than its limit; it has been dropped as a whole (PRJ-LEN-1).
    TooLong,
    /// NUL, a CR that ends no line, or another control octet (PRJ-ERR-6).
    ControlOctet,
}

/// One line without its line end; overwritten when dropped (PRJ-SEC-7).
pub(crate) struct Line<'b>(&'b mut [u8]);

impl Deref for Line<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl LineBuffer {
    /// An empty buffer without memory. `bare_lf`: whether a LF alone ends a line, too.
    pub(crate) const fn new(bare_lf: bool) -> Self {
        Self {
            octets: Vec::new(),
            start: 0,
            scanned: 0,
            discarding: false,
            discarded_cr: false,
            bare_lf,
        }
    }

    /// How many octets are held that have not been handed out.
    pub(crate) const fn len(&self) -> usize {
        self.octets.len() - self.start
    }

    /// Whether nothing is held, not even the rest of an over-long line that is being dropped.
    pub(crate) const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies all of `input` in. The caller bounds it.
    pub(crate) fn push(&mut self, input: &[u8]) {
        self.close_gap();
        self.reserve(input.len());
        self.octets.extend_from_slice(input);
    }

    /// The next complete line, without CRLF.
    ///
    /// `limit` gives the longest line allowed, line end included, by the line's first octets
    /// (all that are there). `None`: the rest is incomplete; more input is needed.
    pub(crate) fn next_line(
        &mut self,
        limit: impl Fn(&[u8]) -> usize,
    ) -> Option<Result<Line<'_>, LineError>> {
        if self.discarding {
            return self.discard().then_some(Err(LineError::TooLong));
        }
        let Some(lf) = self.find_line_end() else {
            // R2449-LEN-1, PRJ-LEN-1: a line that cannot become short enough is not kept.
            // Its end is still to come, so one octet more than is there is its least length.
            if self.len() >= limit(self.held()) {
                self.discarding = true;
                self.discard();
            } else if self.is_empty() {
                self.release();
            }
            return None;
        };
        let (first, end) = (self.start, lf + 1);
        self.start = end;
        self.scanned = end;
        let line = self.octets.get_mut(first..end).unwrap_or_default();
        let too_long = line.len() > limit(line);
        let text = match line.split_last() {
            Some((_, rest)) if rest.last() == Some(&b'\r') => rest.len() - 1,
            Some((_, rest)) => rest.len(),
            None => 0,
        };
        let (text, _) = line.split_at_mut(text);
        let line = Line(text);
        Some(if too_long {
            Err(LineError::TooLong)
        } else if line.iter().any(u8::is_ascii_control) {
            Err(LineError::ControlOctet)
        } else {
            Ok(line)
        })
    }

    /// Whether the incomplete line at the front is longer than `limit`, line end included.
    pub(crate) const fn exceeds(&self, limit: usize) -> bool {
        self.discarding || self.len() >= limit
    }

    /// Drops and wipes everything.
    pub(crate) fn clear(&mut self) {
        self.release();
        self.discarding = false;
    }

    #[cfg(test)]
    pub(crate) const fn capacity(&self) -> usize {
        self.octets.capacity()
    }

    fn held(&self) -> &[u8] {
        self.octets.get(self.start..).unwrap_or_default()
    }

    /// The position of the LF that ends the first line.
    fn find_line_end(&mut self) -> Option<usize> {
        loop {
            let unseen = self.octets.get(self.scanned..).unwrap_or_default();
            let Some(offset) = memchr::memchr(b'\n', unseen) else {
                self.scanned = self.octets.len();
                return None;
            };
            let lf = self.scanned + offset;
            let before = lf.checked_sub(1).filter(|&before| before >= self.start);
            let cr = before.is_some_and(|before| self.octets.get(before) == Some(&b'\r'));
            if self.bare_lf || cr {
                return Some(lf);
            }
            self.scanned = lf + 1;
        }
    }

    /// Drops octets of an over-long line up to its end; whether the end was there.
    fn discard(&mut self) -> bool {
        let mut from = self.start;
        while let Some(offset) = memchr::memchr(b'\n', self.octets.get(from..).unwrap_or_default())
        {
            let lf = from + offset;
            let cr = match lf.checked_sub(1).filter(|&before| before >= self.start) {
                Some(before) => self.octets.get(before) == Some(&b'\r'),
                None => self.discarded_cr,
            };
            from = lf + 1;
            if self.bare_lf || cr {
                self.octets
                    .get_mut(self.start..from)
                    .unwrap_or_default()
                    .zeroize();
                self.start = from;
                self.scanned = from;
                self.discarding = false;
                self.discarded_cr = false;
                return true;
            }
        }
        self.discarded_cr = match self.held().last() {
            Some(&last) => last == b'\r',
            None => self.discarded_cr,
        };
        self.release();
        false
    }

    /// Moves what is held to the front and wipes where it was.
    fn close_gap(&mut self) {
        if self.start == 0 {
            return;
        }
        let len = self.len();
        self.octets.copy_within(self.start.., 0);
        self.octets.get_mut(len..).unwrap_or_default().zeroize();
        self.octets.truncate(len);
        self.scanned = self.scanned.saturating_sub(self.start);
        self.start = 0;
    }

    /// Makes room; the memory that is given up is wiped, which `Vec`'s own growth does not do.
    fn reserve(&mut self, additional: usize) {
        let needed = self.octets.len().saturating_add(additional);
        if needed <= self.octets.capacity() {
            return;
        }
        let capacity = needed
            .max(self.octets.capacity().saturating_mul(2))
            .max(FIRST_CAPACITY);
        let mut grown = Vec::with_capacity(capacity);
        grown.extend_from_slice(&self.octets);
        self.octets.zeroize();
        self.octets = grown;
    }

    /// Wipes what is held and gives the memory back.
    fn release(&mut self) {
        self.octets.zeroize();
        self.octets = Vec::new();
        self.start = 0;
        self.scanned = 0;
    }
}

impl Drop for LineBuffer {
    fn drop(&mut self) {
        self.octets.zeroize();
    }
}

#[cfg(test)]
mod tests;
