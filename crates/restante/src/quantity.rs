//! How many there are of something, as people read it.

use std::fmt::Display;

/// `1 message`, `3 messages`.
pub(crate) fn counted<N: Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    let end = match noun.ends_with('x') {
        _ if count == N::from(1) => "",
        true => "es",
        false => "s",
    };
    format!("{count} {noun}{end}")
}

/// So many octets, as people read them.
pub(crate) fn octets(count: u64) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_all_others_are_several() {
        assert_eq!(counted(0_u64, "message"), "0 messages");
        assert_eq!(counted(1_usize, "mailbox"), "1 mailbox");
        assert_eq!(counted(2_usize, "mailbox"), "2 mailboxes");
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
