//! Tests of decoding.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::{Form, MultiLineEncoder, Part};

/// What messages are made of.
const PIECES: &[&[u8]] = &[b".", b"\r\n", b"a", b"\r"];

const MAX: Octets = Octets(u64::MAX);

/// Everything that is given out of `wire` in pieces of `length`, and what is left over.
fn decode(wire: &[u8], length: usize) -> (Vec<u8>, Vec<u8>, bool) {
    let mut decoder = MultiLineDecoder::new(MAX);
    let (mut data, mut left, mut ended) = (Vec::new(), Vec::new(), false);
    for piece in wire.chunks(length) {
        let mut rest = piece;
        while !rest.is_empty() && !ended {
            let decoded = decoder.decode(rest).expect("no bound");
            assert!(decoded.consumed > 0 || !decoded.data.is_empty());
            data.extend_from_slice(decoded.data);
            rest = &rest[decoded.consumed..];
            ended = decoded.end;
        }
        left.extend_from_slice(rest);
    }
    assert_eq!(decoder.octets(), Octets(data.len() as u64));
    (data, left, ended)
}

fn whole(wire: &[u8]) -> Vec<u8> {
    let (data, left, ended) = decode(wire, wire.len());
    assert!(ended, "{}", wire.escape_ascii());
    assert_eq!(left, b"");
    data
}

#[test]
fn r1939_ml_3_one_dot_is_removed_and_a_dot_alone_ends() {
    assert_eq!(whole(b".\r\n"), b"");
    assert_eq!(whole(b"a\r\n.\r\n"), b"a\r\n");
    assert_eq!(whole(b".a\r\n.\r\n"), b"a\r\n");
    let (data, left, ended) = decode(b"a\r\n.\r\n+OK next\r\n", 100);
    assert!(ended);
    assert_eq!(
        (&data[..], &left[..]),
        (&b"a\r\n"[..], &b"+OK next\r\n"[..])
    );
}

#[test]
fn prj_ml_4_vectors_are_decoded() {
    for (line, wire) in [
        (&b"."[..], &b".."[..]),
        (b"..", b"..."),
        (b".a", b"..a"),
        (b"a.", b"a."),
        (b"", b""),
    ] {
        let response = [wire, b"\r\n.\r\n"].concat();
        assert_eq!(whole(&response), [line, b"\r\n"].concat());
    }
}

// PRJ-ML-11
#[test]
fn prj_ml_11_only_crlf_dot_crlf_ends_a_response() {
    for inside in [
        &b"\n.\n"[..],
        b"\r.\r",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r\n.\r",
        b"\r.\r\n",
        b"\r\r\n",
        b"\n\r",
        b"\r\n.\r\r",
        b"\r\n.\r.",
        b"\r\n.\r\r\n",
    ] {
        let wire = [b"a", inside, b"b\r\n.\r\n"].concat();
        let (data, _, ended) = decode(&wire, wire.len());
        assert!(ended, "{}", wire.escape_ascii());
        assert!(data.ends_with(b"b\r\n"), "{}", wire.escape_ascii());
        for length in 1..wire.len() {
            assert_eq!(decode(&wire, length).0, data, "{}", wire.escape_ascii());
        }
    }
}

// PRJ-ML-5
#[test]
fn prj_ml_5_the_end_is_found_wherever_it_is_cut() {
    let wire = b"a\r\n.\r\n";
    for cut in 0..=wire.len() {
        let (first, second) = wire.split_at(cut);
        let mut decoder = MultiLineDecoder::new(MAX);
        let (mut data, mut end) = (Vec::new(), false);
        for piece in [first, second] {
            let mut rest = piece;
            while !rest.is_empty() {
                let decoded = decoder.decode(rest).expect("no bound");
                data.extend_from_slice(decoded.data);
                rest = &rest[decoded.consumed..];
                end = decoded.end;
            }
        }
        assert!(end, "cut at {cut}");
        assert_eq!(data, b"a\r\n");
    }
}

#[test]
fn nothing_is_consumed_after_the_end() {
    let mut decoder = MultiLineDecoder::new(MAX);
    assert!(decoder.decode(b".\r\n").expect("no bound").end);
    let after = decoder.decode(b"x").expect("no bound");
    assert_eq!((after.consumed, after.data, after.end), (0, &b""[..], true));
}

// n − 1, n, n + 1.
#[test]
fn a_message_is_bounded() {
    for (max, fits) in [(6, false), (7, true), (8, true)] {
        let mut decoder = MultiLineDecoder::new(Octets(max));
        let mut rest = &b"abcde\r\n.\r\n"[..];
        let mut outcome = Ok(false);
        while outcome == Ok(false) && !rest.is_empty() {
            outcome = decoder.decode(rest).map(|decoded| {
                rest = &rest[decoded.consumed..];
                decoded.end
            });
        }
        let too_large = MessageTooLarge { max: Octets(max) };
        let wanted = if fits { Ok(true) } else { Err(too_large) };
        assert_eq!(outcome, wanted, "{max}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_cutting_gives_the_same(
        wire in proptest::collection::vec(
            prop_oneof![Just(b'.'), Just(b'\r'), Just(b'\n'), Just(b'a')], 0..40),
        length in 1_usize..9,
    ) {
        prop_assert_eq!(decode(&wire, length), decode(&wire, wire.len().max(1)));
    }

    #[test]
    fn decoding_inverts_encoding(
        body in proptest::collection::vec(
            proptest::sample::select(PIECES), 0..40),
        length in 1_usize..9,
    ) {
        let body = [&body.concat()[..], b"\r\n"].concat();
        let mut encoder = MultiLineEncoder::new(Form::Stored, Part::Whole, None);
        let mut wire = Vec::new();
        let _ = encoder.encode(&body, &mut wire);
        encoder.finish(&mut wire).expect("nothing was announced");
        let (data, left, ended) = decode(&wire, length);
        prop_assert!(ended);
        prop_assert!(left.is_empty());
        prop_assert_eq!(data, body);
    }
}
