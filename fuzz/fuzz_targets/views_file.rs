//! Whatever `restante/state/views` holds: in any pieces it says the same, and what is written anew
//! of it is read as the same (PRJ-SEC-1).
#![no_main]

use libfuzzer_sys::fuzz_target;
use restante_maildrop::fuzz_views_file;

fuzz_target!(|octets: &[u8]| fuzz_views_file(octets));
