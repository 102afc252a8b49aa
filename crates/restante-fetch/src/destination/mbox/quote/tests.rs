//! Quoting, and that it is undone.

use proptest::prelude::*;

use super::*;

fn quoted(message: &[u8], cuts: usize) -> Vec<u8> {
    let mut quoter = Quoter::default();
    let mut out = Vec::new();
    for piece in message.chunks(cuts.max(1)) {
        quoter.write(piece, &mut out);
    }
    quoter.finish(&mut out);
    out
}

#[test]
fn from_is_quoted_at_the_beginning_of_a_line_and_nowhere_else() {
    let cases: [(&[u8], &[u8]); 12] = [
        (b"From me\r\n", b">From me\n"),
        (b">From me\r\n", b">>From me\n"),
        (b">>>From me\r\n", b">>>>From me\n"),
        (b"> From me\r\n", b"> From me\n"),
        (b"From\r\nFrom: x\r\nfrom x\r\n", b"From\nFrom: x\nfrom x\n"),
        (b"a From b\r\n", b"a From b\n"),
        (b"FFrom x\r\nFrFrom x\r\n", b"FFrom x\nFrFrom x\n"),
        (b">F>From x\r\n", b">F>From x\n"),
        (b"a\r\n\r\nFrom b\r\n", b"a\n\n>From b\n"),
        (b"a\nFrom b", b"a\n>From b\n"),
        (b"\r\r\n\rFrom x\r", b"\r\n\rFrom x\r\n"),
        (b"\0\xff\r\n", b"\0\xff\n"),
    ];
    for (message, stored) in cases {
        for cuts in 1..8 {
            let found = quoted(message, cuts);
            assert_eq!(found, stored, "{:?}", String::from_utf8_lossy(message));
        }
    }
}

#[test]
fn the_last_line_gets_its_end_if_it_has_none() {
    for (message, stored) in [
        (&b""[..], &b""[..]),
        (b"a", b"a\n"),
        (b"From ", b">From \n"),
        (b"From", b"From\n"),
        (b">", b">\n"),
        (b"\r", b"\r\n"),
        (b"a\r\n", b"a\n"),
        (b"a\r\n\r\n", b"a\n\n"),
    ] {
        assert_eq!(quoted(message, 100), stored, "{message:?}");
    }
}

/// Octets among which what matters is frequent.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b"From ".to_vec()),
        Just(b"Fro".to_vec()),
        Just(b">".to_vec()),
        Just(b"\r".to_vec()),
        proptest::collection::vec(
            any::<u8>().prop_filter("a bare LF", |&octet| octet != b'\n'),
            0..4
        ),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    // PRJ-FETCH-12
    #[test]
    fn prj_fetch_12_quoting_is_undone_without_loss(message in message(), cuts in 1_usize..20) {
        let whole = [message.as_slice(), b"\r\n"].concat();
        let stored = quoted(&whole, cuts);
        prop_assert_eq!(unquoted(&stored), whole);
        let begins = |line: &[u8]| line.starts_with(b"From ");
        prop_assert!(!stored.split(|&octet| octet == b'\n').any(begins));
    }

    #[test]
    fn pieces_of_any_size_give_the_same(message in proptest::collection::vec(any::<u8>(), 0..200), cuts in 1_usize..20) {
        prop_assert_eq!(quoted(&message, cuts), quoted(&message, message.len()));
    }
}
