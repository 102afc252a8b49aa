//! Whatever stands in a token, in its claims or in an issuer's keys: nothing unsigned opens
//! anything, and what is accepted obeys the rules (R7628-OAB-5, PRJ-SEC-1).
#![no_main]

use libfuzzer_sys::fuzz_target;
use restante_fuzz::token::{read_keys, verify_foreign, verify_signed};

fuzz_target!(|octets: &[u8]| {
    let lines = octets.iter().position(|&octet| octet == b'\n');
    let (first, rest) = octets.split_at(lines.unwrap_or(octets.len()));
    verify_foreign(octets);
    verify_signed(first, rest);
    read_keys(octets);
});
