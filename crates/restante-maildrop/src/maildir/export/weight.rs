//! What Courier keeps of a message beside its unique-id, found by reading the file as it is.

use std::io;

use crate::{
    foreign::Weight,
    maildir::{columns::Row, layout::Mailbox},
};

const PIECE_OCTETS: usize = 64 << 10;

/// Reads the file.
///
/// # Errors
/// Those of reading; `NotFound` if the file was renamed or removed meanwhile.
pub(super) fn weigh(mailbox: &Mailbox, row: Row<'_>) -> io::Result<Weight> {
    let disk = mailbox.disk();
    let file = disk.open_read(mailbox.folder(row.folder), row.name.as_bytes())?;
    let mut scale = Scale::default();
    let mut piece = vec![0; PIECE_OCTETS];
    loop {
        let count = disk.read_at(&file, &mut piece, scale.octets)?;
        if count == 0 {
            return Ok(scale.weight());
        }
        scale.put(piece.get(..count).unwrap_or_default());
    }
}

#[derive(Debug, Default)]
struct Scale {
    octets: u64,
    line_ends: u64,
    /// Whether the header has ended.
    in_body: bool,
    /// Whether the line has begun, but for a CR.
    in_line: bool,
    eight_bit_header: bool,
    last: u8,
}

impl Scale {
    fn put(&mut self, piece: &[u8]) {
        self.octets += piece.len() as u64;
        for &octet in piece {
            if octet == b'\n' {
                self.line_ends += 1;
                self.in_body |= !self.in_line;
                self.in_line = false;
            } else {
                self.in_line |= octet != b'\r';
                self.eight_bit_header |= !self.in_body && !octet.is_ascii();
            }
            self.last = octet;
        }
    }

    /// Each line end is sent as CR and LF, whatever stood before it, and a last line without one
    /// gets one.
    fn weight(&self) -> Weight {
        let unfinished = self.octets > 0 && self.last != b'\n';
        Weight {
            octets: self.octets + self.line_ends + 2 * u64::from(unfinished),
            eight_bit_header: self.eight_bit_header,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(text: &str) -> (u64, bool) {
        let mut whole = Scale::default();
        whole.put(text.as_bytes());
        let mut pieces = Scale::default();
        text.as_bytes()
            .chunks(1)
            .for_each(|piece| pieces.put(piece));
        assert_eq!(whole.weight(), pieces.weight());
        let weight = whole.weight();
        (weight.octets, weight.eight_bit_header)
    }

    #[test]
    fn line_ends_count_two_and_the_header_is_looked_at() {
        assert_eq!(weight(""), (0, false));
        assert_eq!(weight("a: b\n\nx\n"), (11, false));
        assert_eq!(weight("a: b\r\n\r\nx\r\n"), (14, false));
        assert_eq!(weight("a: b\n\nx"), (11, false));
        assert_eq!(weight("a: \u{e9}\n\nx\n"), (12, true));
        assert_eq!(weight("a: b\n\n\u{e9}\n"), (12, false));
        assert_eq!(weight("a: b\r\n\r\n\u{e9}\n"), (14, false));
    }
}
