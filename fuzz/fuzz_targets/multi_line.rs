//! What a client decodes is the message with CRLF line ends, of the size that was measured, in
//! whatever pieces it was read; and TOP sends a beginning of it (R1939-ML-2, PRJ-ML-5, PRJ-SIZE-3).
#![no_main]

use libfuzzer_sys::fuzz_target;
use restante_fuzz::multi_line::{measure, sent, with_crlf};
use restante_proto::{Octets, Part};

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (length, lines, body) = (usize::from(input.0).max(1), input.1.into(), input.2);
    let message = sent(body, Part::Whole, length);
    assert_eq!(message, with_crlf(body));
    assert_eq!(measure(body, 1).0, Octets(message.len() as u64));
    assert!(message.starts_with(&sent(body, Part::Top { lines }, length)));
});
