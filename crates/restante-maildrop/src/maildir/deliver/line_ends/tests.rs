//! What is stored, and what goes out of it.

use proptest::prelude::*;
use restante_proto::WireCounter;

use super::*;

fn stored(ends: LineEnds, pieces: &[&[u8]]) -> Vec<u8> {
    let mut converter = Converter::new(ends);
    let mut out = Vec::new();
    for piece in pieces {
        converter.convert(piece, &mut out);
    }
    converter.finish(&mut out);
    out
}

/// The CRLF form, the slow way: every LF without a CR before it gets one, and the last line an
/// end.
fn crlf_form(octets: &[u8]) -> Vec<u8> {
    let mut form = Vec::new();
    for &octet in octets {
        if octet == b'\n' && form.last() != Some(&b'\r') {
            form.push(b'\r');
        }
        form.push(octet);
    }
    if form.last().is_some_and(|&last| last != b'\n') {
        form.extend_from_slice(b"\r\n");
    }
    form
}

#[test]
fn known_messages_are_stored_as_drawn() {
    for (came, lf, crlf) in [
        ("", "", ""),
        ("a\n", "a\n", "a\r\n"),
        ("a\r\n", "a\n", "a\r\n"),
        ("a\r\r\n", "a\r\r\n", "a\r\r\n"),
        ("a\r\r\r\nb", "a\r\r\r\nb\n", "a\r\r\r\nb\r\n"),
        ("a\rb", "a\rb\n", "a\rb\r\n"),
        ("a\r", "a\r\r\n", "a\r\r\n"),
        ("\n\n\r\n\n", "\n\n\n\n", "\r\n\r\n\r\n\r\n"),
        ("\0\n.\r\n", "\0\n.\n", "\0\r\n.\r\n"),
    ] {
        let came = came.as_bytes();
        assert_eq!(stored(LineEnds::Lf, &[came]), lf.as_bytes(), "{came:?}");
        assert_eq!(stored(LineEnds::Crlf, &[came]), crlf.as_bytes(), "{came:?}");
    }
}

fn octets() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), any::<u8>()];
    prop::collection::vec(octet, 0..40)
}

proptest! {
    /// PRJ-SIZE-3: what goes out is the CRLF form of what came in, whatever is stored.
    #[test]
    fn prj_size_3_storing_keeps_the_crlf_form(came in octets(), cut in 0_usize..40) {
        let (one, two) = came.split_at(cut.min(came.len()));
        for ends in [LineEnds::Lf, LineEnds::Crlf] {
            let whole = stored(ends, &[&came]);
            prop_assert_eq!(crlf_form(&whole), crlf_form(&came));
            prop_assert_eq!(&stored(ends, &[one, two]), &whole);
            let mut counter = WireCounter::new();
            counter.update(&whole);
            prop_assert_eq!(counter.finish().octets.0, crlf_form(&came).len() as u64);
        }
        let crlf = stored(LineEnds::Crlf, &[&came]);
        prop_assert_eq!(&crlf, &crlf_form(&came));
    }
}
