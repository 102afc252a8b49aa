//! Whatever `restante/cache/` holds: what is read of it is in order, possible, cannot lead out of the
//! mailbox, and is exactly what would be written (PRJ-STORE-1, PRJ-SEC-1).
#![no_main]

use libfuzzer_sys::fuzz_target;
use restante_maildrop::fuzz_cache_file;

fuzz_target!(|octets: &[u8]| fuzz_cache_file(octets));
