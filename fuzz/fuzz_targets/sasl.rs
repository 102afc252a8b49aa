//! Whatever a peer says in an exchange: nobody is authenticated and no server is believed who does
//! not know the password, and what is asked of the caller is within its bounds (PRJ-SEC-1).
#![no_main]

use libfuzzer_sys::fuzz_target;
use restante_fuzz::sasl::{play_client, play_server};

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (mechanism, binding, octets) = input;
    let lines: Vec<&[u8]> = octets.split(|&octet| octet == b'\n').collect();
    play_server(mechanism, binding, &lines);
    play_client(mechanism, &lines);
});
