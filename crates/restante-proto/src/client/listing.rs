//! Lines of listings as they come from servers (RFC 1939 §5, §7).

use alloc::vec::Vec;

use super::status::words;
use crate::{MessageNumber, Octets, command::decimal};

/// Count and size, from the answer to STAT. What follows does not count (R1939-STAT-3).
///
/// Both are numbers of 64 bits, or the line is not understood: never 0 in their stead
/// (PRJ-NUM-6).
pub(super) fn drop_listing<'l>(mut words: impl Iterator<Item = &'l [u8]>) -> Option<(u64, Octets)> {
    let count = decimal(words.next()?)?;
    let octets = decimal(words.next()?)?;
    Some((count, Octets(octets)))
}

/// Number and size, from LIST. What follows does not count (R1939-LIST-5).
pub(super) fn scan_listing<'l>(
    mut words: impl Iterator<Item = &'l [u8]>,
) -> Option<(MessageNumber, Octets)> {
    let number = message_number(words.next()?)?;
    let octets = decimal(words.next()?)?;
    Some((number, Octets(octets)))
}

/// Number and unique-id, from UIDL. The unique-id is whatever stands behind the number, opaque,
/// of any length (PRJ-UIDL-9); `None` if nothing does.
pub(super) fn unique_id_listing(line: &[u8]) -> Option<(MessageNumber, Option<Vec<u8>>)> {
    let word = words(line).next()?;
    let number = message_number(word)?;
    let from = line.iter().position(|octet| word.first() == Some(octet))?;
    let rest = line.get(from + word.len()..).unwrap_or_default();
    let unique_id = rest.trim_ascii();
    Some((number, (!unique_id.is_empty()).then(|| unique_id.to_vec())))
}

fn message_number(word: &[u8]) -> Option<MessageNumber> {
    let number = u32::try_from(decimal(word)?).ok()?;
    MessageNumber::new(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prj_num_6_numbers_have_64_bits_and_are_never_guessed() {
        let parse = |text: &[u8]| drop_listing(words(text));
        let largest = Octets(u64::MAX);
        assert_eq!(parse(b"2 320"), Some((2, Octets(320))));
        assert_eq!(parse(b"2 18446744073709551615"), Some((2, largest)));
        assert_eq!(parse(b"0 0 octets in all"), Some((0, Octets(0))));
        for bad in [
            &b""[..],
            b"2",
            b"2 x",
            b"-1 5",
            b"1 -5",
            b"+1 5",
            b"2 18446744073709551616",
            b"99999999999999999999999 1",
            b"1.0 5",
            b"0x1 5",
        ] {
            assert_eq!(parse(bad), None, "{}", bad.escape_ascii());
        }
        for bad in [&b"0 5"[..], b"4294967296 5", b"-1 5", b"1", b"1 ", b"1 x"] {
            assert_eq!(scan_listing(words(bad)), None, "{}", bad.escape_ascii());
        }
    }

    // R1939-LIST-5
    #[test]
    fn r1939_list_5_text_behind_a_size_is_ignored() {
        let first = MessageNumber::FIRST;
        for line in [
            &b"1 120"[..],
            b"1 120 octets",
            b" 1  120\t(new)",
            b"001 0120",
        ] {
            let parsed = scan_listing(words(line));
            assert_eq!(
                parsed,
                Some((first, Octets(120))),
                "{}",
                line.escape_ascii()
            );
        }
    }

    #[test]
    fn prj_uidl_9_unique_ids_are_opaque() {
        let parse = |line: &[u8]| unique_id_listing(line).map(|(_, unique_id)| unique_id);
        let long = [b'x'; 300];
        let known = |unique_id: &[u8]| Some(Some(unique_id.to_vec()));
        assert_eq!(parse(b"1 abc"), known(b"abc"));
        assert_eq!(parse(b"1 ABC"), known(b"ABC"));
        assert_eq!(parse(b"1  a b "), known(b"a b"));
        assert_eq!(parse(b"1 ../\xff\x1b"), known(b"../\xff\x1b"));
        assert_eq!(parse(&[b"1 ", &long[..]].concat()), known(&long));
        assert_eq!(parse(b"1"), Some(None));
        assert_eq!(parse(b"1 "), Some(None));
        for bad in [&b""[..], b"abc", b"0 abc", b"-1 abc", b"4294967296 x"] {
            assert_eq!(parse(bad), None, "{}", bad.escape_ascii());
        }
    }
}
