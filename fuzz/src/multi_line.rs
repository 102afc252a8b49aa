//! An encoder's run, and a decoder that is slow and obvious.

use restante_proto::{Form, MultiLineEncoder, Octets, Part, Progress, WireCounter};

/// Size and form of a message, counted in pieces of `length`.
pub fn measure(body: &[u8], length: usize) -> (Octets, Form) {
    let mut counter = WireCounter::new();
    for piece in body.chunks(length) {
        counter.update(piece);
    }
    let measured = counter.finish();
    (measured.octets, measured.form)
}

/// What a client holds after a message was sent to it, read in pieces of `length`.
pub fn sent(body: &[u8], part: Part, length: usize) -> Vec<u8> {
    let (octets, form) = measure(body, length);
    let wire = encode(body, form, part, octets, length);
    // A form that promises less gives the same.
    assert_eq!(encode(body, Form::Stored, part, octets, length), wire);
    decode(&wire)
}

fn encode(body: &[u8], form: Form, part: Part, octets: Octets, length: usize) -> Vec<u8> {
    let mut encoder = MultiLineEncoder::new(form, part, Some(octets));
    let mut wire = Vec::new();
    for piece in body.chunks(length) {
        if encoder.encode(piece, &mut wire) == Progress::Enough {
            break;
        }
    }
    let sent = encoder.finish(&mut wire).expect("the announced size");
    assert!(sent <= octets, "more than was measured");
    wire
}

/// The message in `wire`, by the letter of RFC 1939 §3. Panics where `wire` is not exactly one
/// multi-line response.
fn decode(wire: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    let mut rest = wire;
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n");
        let (line, after) = rest.split_at(end.expect("a line end") + 2);
        if line == b".\r\n" {
            assert!(after.is_empty(), "octets after the termination line");
            return message;
        }
        message.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        rest = after;
    }
}

/// A stored message as it reads with CRLF line ends, octet by octet.
pub fn with_crlf(body: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    for &octet in body {
        if octet == b'\n' && message.last() != Some(&b'\r') {
            message.push(b'\r');
        }
        message.push(octet);
    }
    if !matches!(body.last(), None | Some(b'\n')) {
        message.extend_from_slice(b"\r\n");
    }
    message
}
