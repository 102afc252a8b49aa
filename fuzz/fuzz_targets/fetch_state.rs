//! Whatever the collector's state holds: what is made of it can be written, and read again says the
//! same; damage costs the lines it touches (PRJ-SEC-1).
#![no_main]

use libfuzzer_sys::fuzz_target;
use restante_fetch::fuzz_state;

fuzz_target!(|octets: &[u8]| fuzz_state(octets));
