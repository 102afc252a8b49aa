//! The same message must have the same fingerprint, and no other.

use proptest::prelude::*;

use super::*;

fn of(octets: &[u8]) -> Fingerprint {
    let mut fingerprinter = Fingerprinter::default();
    fingerprinter.push(octets);
    fingerprinter.finish()
}

#[test]
fn header_and_body_are_told_apart_at_the_empty_line() {
    let whole = of(b"From: a\r\nTo: b\r\n\r\nbody\r\n\r\nmore\r\n");
    assert_eq!(whole.header, Digest::of(b"From: a\r\nTo: b\r\n"));
    assert_eq!(whole.body, Digest::of(b"body\r\n\r\nmore\r\n"));
    assert_eq!(whole.octets, 32);
}

#[test]
fn what_top_sends_has_the_header_of_what_retr_sends() {
    let whole = of(b"From: a\r\n\r\nbody\r\n");
    for top in [&b"From: a\r\n\r\n"[..], b"From: a\r\n"] {
        assert_eq!(of(top).header, whole.header);
    }
}

#[test]
fn a_message_without_header_or_without_body_has_an_empty_one() {
    assert_eq!(of(b"\r\nbody\r\n").header, Digest::of(b""));
    assert_eq!(of(b"\r\nbody\r\n").body, Digest::of(b"body\r\n"));
    assert_eq!(of(b"From: a\r\n").body, Digest::of(b""));
    assert_eq!(of(b"").header, Digest::of(b""));
    assert_eq!(of(b"\r").header, Digest::of(b"\r"));
}

#[test]
fn a_message_that_got_another_line_in_its_header_is_still_recognised() {
    let before = of(b"Date: now\r\nSubject: one\r\n two\r\n\r\nbody\r\n");
    let after = of(b"X-New: 1\r\nDate: now\r\nSubject: one\r\n two\r\nStatus: RO\r\n\r\nbody\r\n");
    assert!(!before.is_same(&after) && before.is_moved(&after));
    let folded = of(b"Date: now\r\nSubject: one\r\n three\r\n\r\nbody\r\n");
    assert!(!before.is_moved(&folded));
    let body = of(b"Date: now\r\nSubject: one\r\n two\r\n\r\nother\r\n");
    assert!(!before.is_moved(&body));
}

#[test]
fn messages_that_nothing_distinguishes_are_not_recognised_by_their_bodies() {
    let one = of(b"Subject: a\r\n\r\n");
    assert_eq!(one.steady, None);
    assert!(!one.is_moved(&of(b"Subject: a\r\nX: b\r\n\r\n")));
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_fingerprint(
        octets in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'a'), Just(b':'), Just(b' ')], 0..40),
        cuts in proptest::collection::vec(0_usize..40, 0..6),
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(octets.len())).collect();
        cuts.extend([0, octets.len()]);
        cuts.sort_unstable();
        let mut fingerprinter = Fingerprinter::default();
        for pair in cuts.windows(2) {
            fingerprinter.push(&octets[pair[0]..pair[1]]);
        }
        prop_assert_eq!(fingerprinter.finish(), of(&octets));
    }

    #[test]
    fn nothing_of_a_message_is_left_out(
        octets in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'a')], 0..20),
    ) {
        // The place of the empty line by a second, slower way.
        let mut start = 0;
        let mut split = (octets.as_slice(), &b""[..]);
        for line in octets.split_inclusive(|&octet| octet == b'\n') {
            if line == b"\r\n" || line == b"\n" {
                split = (&octets[..start], &octets[start + line.len()..]);
                break;
            }
            start += line.len();
        }
        let fingerprint = of(&octets);
        prop_assert_eq!(fingerprint.header, Digest::of(split.0));
        prop_assert_eq!(fingerprint.body, Digest::of(split.1));
    }
}
