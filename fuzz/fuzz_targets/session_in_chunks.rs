//! Whatever a client sends, in whatever pieces: the same answers, bounded pieces of output, no
//! update without a QUIT (PRJ-SEC-1, R1939-TIMER-4).
#![no_main]

use libfuzzer_sys::fuzz_target;
use restante_fuzz::session_in_chunks::run;
use restante_proto::server::{CloseReason, Settings};

fuzz_target!(|input: (u8, bool, &[u8])| {
    let (length, bare_lf, octets) = input;
    let settings = Settings {
        bare_lf,
        ..Settings::default()
    }
    .into();
    let whole = run(octets, octets.len().max(1), &settings);
    assert_eq!(run(octets, usize::from(length).max(1), &settings), whole);
    assert!(whole.updates.is_empty() || whole.closed == Some(CloseReason::Quit));
});
