//! Names that servers give, for people to see.

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

/// So many octets, as people read them.
pub(super) fn octets(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut tenths = count / 100;
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    match tenths < 100 {
        true => format!("{}.{} {name}", tenths / 10, tenths % 10),
        false => format!("{} {name}", tenths / 10),
    }
}

/// One message, several messages.
pub(super) fn messages(count: u64) -> String {
    match count {
        1 => "1 message".to_owned(),
        count => format!("{count} messages"),
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

    #[test]
    fn sizes_are_read_at_a_glance() {
        let shown = [0, 999, 1000, 9_949, 45_678, 1_234_567, 200_000_000_000].map(octets);
        assert_eq!(
            shown,
            [
                "0 B", "999 B", "1.0 kB", "9.9 kB", "45 kB", "1.2 MB", "200 GB"
            ]
        );
    }
}
