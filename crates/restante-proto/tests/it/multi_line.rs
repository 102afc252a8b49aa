//! Multi-line data against an encoder and a decoder that are slow and obvious.

use proptest::prelude::*;
use restante_proto::{Form, MultiLineEncoder, Octets, Part, Progress, SizeMismatch, WireCounter};

use crate::world::wire_octets;

/// The lines of a message, without their ends; only LF and CRLF end a line.
fn stored_lines(body: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = body.split(|&octet| octet == b'\n').collect();
    let last = lines.pop().unwrap_or_default();
    let mut lines: Vec<&[u8]> = lines
        .into_iter()
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .collect();
    if !last.is_empty() {
        lines.push(last);
    }
    lines
}

/// What RETR or TOP sends, line by line, by the letter of RFC 1939 §3 and §7.
fn naive(body: &[u8], part: Part) -> Vec<u8> {
    let lines = stored_lines(body);
    let wanted = match part {
        Part::Whole => lines.len(),
        Part::Top { lines: body_lines } => match lines.iter().position(|line| line.is_empty()) {
            Some(empty) => {
                let body_lines = usize::try_from(body_lines).unwrap_or(usize::MAX);
                (empty + 1).saturating_add(body_lines).min(lines.len())
            }
            None => lines.len(),
        },
    };
    let mut wire = Vec::new();
    for line in &lines[..wanted] {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

/// What a client makes of it, by the letter of RFC 1939 §3; `None` without termination line.
fn decode(wire: &[u8]) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    let mut rest = wire;
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n")? + 2;
        let (line, after) = rest.split_at(end);
        if line == b".\r\n" {
            return after.is_empty().then_some(message);
        }
        message.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        rest = after;
    }
}

fn encode<'p>(
    form: Form,
    part: Part,
    announced: Option<Octets>,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> (Vec<u8>, Result<Octets, SizeMismatch>) {
    let mut encoder = MultiLineEncoder::new(form, part, announced);
    let mut out = Vec::new();
    for piece in pieces {
        if encoder.encode(piece, &mut out) == Progress::Enough {
            break;
        }
    }
    let result = encoder.finish(&mut out);
    (out, result)
}

fn measure<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> (Octets, Form) {
    let mut counter = WireCounter::new();
    pieces.into_iter().for_each(|piece| counter.update(piece));
    let measured = counter.finish();
    (measured.octets, measured.form)
}

/// Octets of which every pair matters.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![
        3 => Just(b'\n'),
        3 => Just(b'\r'),
        3 => Just(b'.'),
        2 => Just(b'a'),
        1 => any::<u8>(),
    ];
    proptest::collection::vec(octet, 0..60)
}

/// Cuts a body into pieces; 0 is an empty piece.
fn cut<'b>(body: &'b [u8], lengths: &[usize]) -> Vec<&'b [u8]> {
    let mut pieces = Vec::new();
    let mut rest = body;
    for &length in lengths {
        let (piece, after) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

#[test]
fn prj_ml_4_vectors() {
    // R1939-ML-2, R1939-ML-1.
    for (data, wire) in [
        (&b".\n"[..], &b"..\r\n.\r\n"[..]),
        (b"..\n", b"...\r\n.\r\n"),
        (b".a\n", b"..a\r\n.\r\n"),
        (b"a.\n", b"a.\r\n.\r\n"),
        (b"\n", b"\r\n.\r\n"),
        (b"", b".\r\n"),
        (b"\r.\n", b"\r.\r\n.\r\n"),
        (b"a\r\n.\r\n", b"a\r\n..\r\n.\r\n"),
        (b"a\n.\nb\n", b"a\r\n..\r\nb\r\n.\r\n"),
    ] {
        let (out, result) = encode(Form::Stored, Part::Whole, Some(wire_octets(data)), [data]);
        assert_eq!(out, wire, "{data:?}");
        assert_eq!(result, Ok(wire_octets(data)));
    }
}

#[test]
fn prj_ml_5_a_termination_line_inside_the_data_split_at_every_offset() {
    let body = b"a\r\n.\r\nb\r\n";
    for first in 0..=body.len() {
        for second in first..=body.len() {
            let pieces = [&body[..first], &body[first..second], &body[second..]];
            for form in [Form::Stored, Form::Crlf] {
                let (out, result) = encode(form, Part::Whole, Some(Octets(9)), pieces);
                assert_eq!(out, b"a\r\n..\r\nb\r\n.\r\n", "{first} {second}");
                assert_eq!(result, Ok(Octets(9)));
            }
            assert_eq!(measure(pieces), (Octets(9), Form::Crlf));
        }
    }
}

#[test]
fn prj_ml_6_a_missing_last_line_end_is_sent_and_counted() {
    for (body, octets, wire) in [
        (&b"a"[..], 3, &b"a\r\n.\r\n"[..]),
        (b"a\nb", 6, b"a\r\nb\r\n.\r\n"),
        (b"a\r", 4, b"a\r\r\n.\r\n"),
        (b".", 3, b"..\r\n.\r\n"),
    ] {
        assert_eq!(measure([body]), (Octets(octets), Form::Stored));
        for part in [Part::Whole, Part::Top { lines: 9 }] {
            let (out, result) = encode(Form::Stored, part, Some(Octets(octets)), [body]);
            assert_eq!(out, wire);
            assert_eq!(result, Ok(Octets(octets)));
        }
    }
}

#[test]
fn prj_ml_8_another_size_than_announced_has_no_termination_line() {
    let body = b"one\r\ntwo\r\n";
    for form in [Form::Stored, Form::Crlf, Form::Wire] {
        for announced in [0, 1, 8, 9, 11, 12, u64::MAX] {
            for length in [1, 3, 10] {
                let (out, result) = encode(
                    form,
                    Part::Whole,
                    Some(Octets(announced)),
                    body.chunks(length),
                );
                let mismatch = result.expect_err("another size");
                assert_eq!(mismatch.announced, Octets(announced));
                assert!(body.starts_with(&out), "{form:?} {announced}");
                assert!(out.len() as u64 <= announced);
            }
        }
        let (_, result) = encode(form, Part::Whole, Some(Octets(10)), body.chunks(3));
        assert_eq!(result, Ok(Octets(10)));
    }
}

#[test]
fn prj_ml_8_a_form_that_is_not_true_has_no_termination_line() {
    for form in [Form::Crlf, Form::Wire] {
        let (out, result) = encode(form, Part::Whole, Some(Octets(1)), [&b"a"[..]]);
        assert!(result.is_err());
        assert!(!out.ends_with(b".\r\n"));
    }
}

#[test]
fn r1939_top_2_what_comes_after_enough_is_not_sent() {
    let mut encoder = MultiLineEncoder::new(Form::Stored, Part::Top { lines: 1 }, None);
    let mut out = Vec::new();
    assert_eq!(encoder.encode(b"A: b\n\n1", &mut out), Progress::More);
    assert_eq!(encoder.encode(b"\n2\n", &mut out), Progress::Enough);
    assert_eq!(encoder.encode(b"3\n", &mut out), Progress::Enough);
    assert_eq!(encoder.finish(&mut out), Ok(Octets(11)));
    assert_eq!(out, b"A: b\r\n\r\n1\r\n.\r\n");
}

#[test]
fn r5322_hdr_1_only_a_line_of_nothing_ends_the_header() {
    for body in [
        &b"A: b\n \n\n1\n2\n"[..],
        b"A: b\n\t\r\n\r\n1\r\n",
        b"A: b\n\r\r\n\n1\n",
    ] {
        let part = Part::Top { lines: 0 };
        let (out, _) = encode(Form::Stored, part, None, body.chunks(1));
        assert_eq!(out, naive(body, part));
        assert!(out.ends_with(b"\r\n\r\n.\r\n"));
        assert!(!out.contains(&b'1'));
    }
}

proptest! {
    // PRJ-RETR-4, PRJ-RETR-5, R1939-RETR-1, PRJ-ML-5.
    #[test]
    fn r1939_ml_2_any_message_in_any_pieces_is_encoded_by_the_letter(
        body in bodies(),
        lengths in proptest::collection::vec(0_usize..9, 0..20),
    ) {
        let announced = wire_octets(&body);
        let pieces = cut(&body, &lengths);
        let (octets, form) = measure(pieces.iter().copied());
        // PRJ-SIZE-3.
        prop_assert_eq!(octets, announced);
        let wanted = naive(&body, Part::Whole);
        let mut forms = vec![Form::Stored];
        match form {
            Form::Stored => {}
            Form::Crlf => forms.push(Form::Crlf),
            Form::Wire => forms.extend([Form::Crlf, Form::Wire]),
        }
        for form in forms {
            let (out, result) = encode(form, Part::Whole, Some(announced), pieces.iter().copied());
            prop_assert_eq!(&out, &wanted);
            prop_assert_eq!(result, Ok(announced));
        }
        // R1939-SIZE-1, R1939-SIZE-2: what a client holds in the end has the announced size.
        let message = decode(&wanted).expect("a termination line, and only at the end");
        prop_assert_eq!(message.len() as u64, announced.0);
    }

    // R1939-TOP-2, R1939-TOP-3, PRJ-TOP-5, PRJ-TOP-7.
    #[test]
    fn r1939_top_2_any_top_in_any_pieces_is_encoded_by_the_letter(
        body in bodies(),
        lines in prop_oneof![0_u64..6, Just(u64::MAX)],
        lengths in proptest::collection::vec(0_usize..9, 0..20),
    ) {
        let part = Part::Top { lines };
        let (_, form) = measure([&body[..]]);
        let mut forms = vec![Form::Stored];
        if form != Form::Stored {
            forms.push(form);
        }
        for form in forms {
            let (out, result) = encode(form, part, None, cut(&body, &lengths));
            prop_assert_eq!(&out, &naive(&body, part));
            prop_assert!(result.is_ok());
        }
        if lines == u64::MAX {
            prop_assert_eq!(naive(&body, part), naive(&body, Part::Whole));
        }
    }

    // The form is the best that is true.
    #[test]
    fn the_form_is_the_best_that_is_true(body in bodies()) {
        let (_, form) = measure([&body[..]]);
        let lines = stored_lines(&body);
        let crlf: Vec<u8> = lines.iter().flat_map(|line| [line, &b"\r\n"[..]].concat()).collect();
        let dots = lines.iter().any(|line| line.starts_with(b"."));
        let wanted = match (crlf == body, dots) {
            (false, _) => Form::Stored,
            (true, true) => Form::Crlf,
            (true, false) => Form::Wire,
        };
        prop_assert_eq!(form, wanted);
    }
}
