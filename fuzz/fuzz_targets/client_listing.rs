//! Whatever a server answers to CAPA, LIST or UIDL, in whatever pieces: the same listing, bounded,
//! no message 0, no empty unique-id, or an error (PRJ-NUM-6, PRJ-UIDL-9).
#![no_main]

use libfuzzer_sys::fuzz_target;
use restante_fuzz::client_session::after_login;
use restante_proto::{Command, client::Event};

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (choice, length, octets) = input;
    let command = match choice % 4 {
        0 => Command::Capa,
        1 => Command::List(None),
        2 => Command::Uidl(None),
        _ => Command::Lang(None),
    };
    let wire = [b"+OK\r\n", octets].concat();
    let commands = [command];
    let whole = after_login(&commands, &wire, wire.len());
    assert_eq!(after_login(&commands, &wire, length.into()), whole);
    assert!(whole.events.len() <= 101, "more than the limit");
    for event in &whole.events {
        if let Event::UniqueIdListing { unique_id, .. } = event {
            let unique_id = unique_id.as_deref().unwrap_or(b"none");
            assert!(!unique_id.is_empty() && !unique_id.contains(&b'\n'));
        }
    }
});
