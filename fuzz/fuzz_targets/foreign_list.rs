//! Whatever another server's list of unique-ids holds: a damaged line is one of the file's, each
//! message is listed once under a name that stays inside its directory, and a file without its last
//! octet is refused (PRJ-SEC-1, PRJ-STORE-1).
#![no_main]

use libfuzzer_sys::fuzz_target;
use restante_maildrop::fuzz_foreign_list;

fuzz_target!(|octets: &[u8]| fuzz_foreign_list(octets));
