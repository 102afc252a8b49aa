//! Unique-ids as servers give them, for people to see.

use std::fmt;

/// A unique-id, printable and in one line.
pub(super) struct UniqueId<'i>(pub(super) Option<&'i [u8]>);

/// No more of a name is shown.
const SHOWN_MAX: usize = 80;

impl fmt::Display for UniqueId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(octets) = self.0 else {
            return f.write_str("(without unique-id)");
        };
        let shown = octets.get(..SHOWN_MAX).unwrap_or(octets);
        write!(f, "{}", shown.escape_ascii())?;
        match shown.len() < octets.len() {
            true => f.write_str("…"),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_cannot_drive_a_terminal() {
        let shown = UniqueId(Some(b"\x1b[2J\n\xff")).to_string();
        assert_eq!(shown, r"\x1b[2J\n\xff");
        let long = UniqueId(Some(&[b'x'; 500])).to_string();
        assert!(long.chars().count() <= SHOWN_MAX + 1);
    }
}
