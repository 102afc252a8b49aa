//! Whatever `restante/state/visits` holds: unique-ids are legal, no more messages are named than
//! counted, and damage costs the lines it touches (PRJ-SEC-1).
#![no_main]

use libfuzzer_sys::fuzz_target;
use restante_maildrop::fuzz_visits_file;

fuzz_target!(|octets: &[u8]| fuzz_visits_file(octets));
