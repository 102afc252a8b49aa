//! Whatever comes over the control socket: what is understood says the same when it is written anew
//! (PRJ-SEC-1).
#![no_main]

use libfuzzer_sys::fuzz_target;
use restante_server::control::fuzz_line;

fuzz_target!(|octets: &[u8]| fuzz_line(octets));
