//! Tests of lines.

use alloc::{string::String, vec, vec::Vec};

use super::*;

const LIMIT: usize = 16;

/// Every line that comes of these pieces, or the error in its place.
fn lines(bare_lf: bool, pieces: &[&[u8]]) -> Vec<Result<String, LineError>> {
    let mut buffer = LineBuffer::new(bare_lf);
    let mut lines = Vec::new();
    for piece in pieces {
        buffer.push(piece);
        while let Some(line) = buffer.next_line(|_| LIMIT) {
            lines.push(line.map(|line| String::from_utf8_lossy(&line).into_owned()));
        }
    }
    lines
}

fn bytewise(bare_lf: bool, input: &[u8]) -> Vec<Result<String, LineError>> {
    let pieces: Vec<&[u8]> = input.chunks(1).collect();
    lines(bare_lf, &pieces)
}

fn line(text: &str) -> Result<String, LineError> {
    Ok(String::from(text))
}

/// The same for any cutting into two, and octet by octet.
fn check(bare_lf: bool, input: &[u8], wanted: &[Result<String, LineError>]) {
    for at in 0..=input.len() {
        let (head, tail) = input.split_at(at);
        assert_eq!(lines(bare_lf, &[head, tail]), wanted, "cut at {at}");
    }
    assert_eq!(bytewise(bare_lf, input), wanted);
}

#[test]
fn r1939_frame_1_crlf_ends_a_line_wherever_the_octets_are_cut() {
    check(
        true,
        b"STAT\r\n\r\nLIST 1\r\nQUI",
        &[line("STAT"), line(""), line("LIST 1")],
    );
}

#[test]
fn prj_err_7_a_bare_lf_ends_a_line_by_setting_and_a_bare_cr_never() {
    check(
        true,
        b"A\nB\r\n\nC\r\n",
        &[line("A"), line("B"), line(""), line("C")],
    );
    check(
        false,
        b"A\nB\r\n\nC\r\nD\n\r\n",
        &[
            Err(LineError::ControlOctet),
            Err(LineError::ControlOctet),
            Err(LineError::ControlOctet),
        ],
    );
    check(true, b"A\rB\r\n", &[Err(LineError::ControlOctet)]);
    check(true, b"A\r\r\n", &[Err(LineError::ControlOctet)]);
}

#[test]
fn prj_err_6_control_octets_are_an_error_and_cut_nothing() {
    for octet in (0..0x20).chain([0x7F]).filter(|&octet| octet != b'\n') {
        let input = [b"A", &[octet][..], b"B\r\nC\r\n"].concat();
        check(true, &input, &[Err(LineError::ControlOctet), line("C")]);
    }
    let eight_bit = "\u{e4}\u{80}";
    check(
        true,
        &[eight_bit.as_bytes(), b"\r\n"].concat(),
        &[line(eight_bit)],
    );
}

#[test]
fn prj_len_1_an_over_long_line_is_one_error_and_its_rest_is_no_command() {
    for (octets, fits) in [(LIMIT - 1, true), (LIMIT, true), (LIMIT + 1, false)] {
        let text = "x".repeat(octets - 2);
        let input = [text.as_bytes(), b"\r\nQUIT\r\n"].concat();
        let first = if fits {
            line(&text)
        } else {
            Err(LineError::TooLong)
        };
        check(true, &input, &[first.clone(), line("QUIT")]);
        check(false, &input, &[first, line("QUIT")]);
    }
    let input = b"DELE 1                   DELE 2\r\nSTAT\r\n";
    check(true, input, &[Err(LineError::TooLong), line("STAT")]);
}

#[test]
fn prj_len_1_where_a_lf_alone_ends_nothing_it_ends_no_over_long_line_either() {
    let input = b"xxxxxxxxxxxxxxxxxxxxxxxx\nDELE 1\n\r\nSTAT\r\n";
    check(false, input, &[Err(LineError::TooLong), line("STAT")]);
    let input = b"xxxxxxxxxxxxxxxxxxxxxxxx\nSTAT\n";
    check(true, input, &[Err(LineError::TooLong), line("STAT")]);
}

#[test]
fn prj_sec_1_an_endless_line_is_not_kept() {
    let mut buffer = LineBuffer::new(true);
    for _ in 0..10_000 {
        buffer.push(b"xxxxxxxxxx");
        assert!(buffer.next_line(|_| LIMIT).is_none());
        assert!(buffer.len() < LIMIT);
        assert!(buffer.octets.capacity() <= FIRST_CAPACITY);
    }
    buffer.push(b"\r\nSTAT\r\n");
    let errors: Vec<_> =
        core::iter::from_fn(|| buffer.next_line(|_| LIMIT).map(|it| it.is_err())).collect();
    assert_eq!(errors, vec![true, false]);
}

#[test]
fn prj_sec_7_what_was_handed_out_is_overwritten() {
    let mut buffer = LineBuffer::new(true);
    buffer.push(b"PASS secret\r\nSTAT");
    let line = buffer
        .next_line(|_| 255)
        .map(|line| line.map(|line| line.to_vec()));
    assert_eq!(line, Some(Ok(b"PASS secret".to_vec())));
    let text = &buffer.octets[..11];
    assert!(text.iter().all(|&octet| octet == 0), "{text:?}");
    assert_eq!(buffer.held(), b"STAT");
    // Moved to the front, it leaves nothing behind.
    buffer.push(b"");
    assert_eq!(buffer.octets, b"STAT");
}

#[test]
fn an_empty_buffer_holds_no_memory() {
    let mut buffer = LineBuffer::new(true);
    assert_eq!(buffer.octets.capacity(), 0);
    buffer.push(b"STAT\r\n");
    assert!(buffer.next_line(|_| 255).is_some());
    assert!(buffer.next_line(|_| 255).is_none());
    assert_eq!(buffer.octets.capacity(), 0);
}
