//! What a server says in words.

use alloc::vec::Vec;
use core::fmt::{self, Write as _};

/// How many characters of a server's text are shown.
const SHOWN_CHARACTERS_MAX: usize = 200;

/// Text from a server: any octets but CR LF. It is shown escaped and cut, so that it can neither
/// drive a terminal nor forge a line of a log.
#[derive(Clone, Default, Eq, Hash, PartialEq)]
pub struct ServerText(Vec<u8>);

impl ServerText {
    pub(crate) fn new(octets: &[u8]) -> Self {
        Self(octets.into())
    }

    /// The octets as they came.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for ServerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut room = SHOWN_CHARACTERS_MAX;
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                if room == 0 {
                    return f.write_char('…');
                }
                room -= 1;
                match character {
                    '\'' | '"' => f.write_char(character)?,
                    // Controls, the backslash, and everything that turns the direction of text.
                    _ => write!(f, "{}", character.escape_debug())?,
                }
            }
            for octet in chunk.invalid() {
                if room == 0 {
                    return f.write_char('…');
                }
                room -= 1;
                write!(f, "\\x{octet:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ServerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString as _, vec};

    use super::*;

    #[test]
    fn escape_sequences_of_a_server_do_not_reach_a_terminal() {
        let shown = |octets: &[u8]| ServerText::new(octets).to_string();
        assert_eq!(shown(b"\x1b[2J\x07\r\x00"), "\\u{1b}[2J\\u{7}\\r\\0");
        assert_eq!(shown(b"\xff\xc3"), "\\xff\\xc3");
        assert_eq!(
            shown("geöffnet \u{202e}txt".as_bytes()),
            "geöffnet \\u{202e}txt"
        );
        assert_eq!(shown("\u{9b}2J".as_bytes()), "\\u{9b}2J");
        assert_eq!(shown(b"it's \"here\""), "it's \"here\"");
    }

    #[test]
    fn long_texts_are_cut_when_shown() {
        let text = ServerText::new(&vec![b'x'; 8000]);
        assert_eq!(text.to_string().chars().count(), SHOWN_CHARACTERS_MAX + 1);
        assert_eq!(text.as_bytes().len(), 8000);
    }
}
