//! Whatever `restante/state/unique-ids` holds: unique-ids are legal and each belongs to one message,
//! and a missing end costs one line (MDIR-STORE-4, R1939-UIDL-5, PRJ-SEC-1).
#![no_main]

use libfuzzer_sys::fuzz_target;
use restante_maildrop::fuzz_state_file;

fuzz_target!(|octets: &[u8]| fuzz_state_file(octets));
