//! Whatever a server says, in whatever pieces: the same events and the same commands, an end, and
//! no message that is whole without its termination line (PRJ-SEC-1, PRJ-ML-9).
#![no_main]

use libfuzzer_sys::fuzz_target;
use restante_fuzz::client_session::session;
use restante_proto::client::{Event, Success};

fuzz_target!(|input: (u8, &[u8])| {
    let (length, octets) = input;
    let whole = session(octets, octets.len());
    assert_eq!(session(octets, length.into()), whole);
    let ended = |event: &&Event| match event {
        Event::Answered(answer) => matches!(answer.outcome, Ok(Success::Message { .. })),
        _ => false,
    };
    let messages = whole.events.iter().filter(ended).count();
    let dots = octets.windows(5).filter(|it| it == b"\r\n.\r\n").count();
    assert!(messages <= dots, "a message without an end");
    assert!(whole.out.iter().filter(|&&octet| octet == b'\n').count() <= 64);
});
