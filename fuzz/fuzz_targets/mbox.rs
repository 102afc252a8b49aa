//! Whatever a message or an mbox holds: it is stored as one message and comes back octet for octet,
//! and pieces of any size give the same (PRJ-FETCH-12).
#![no_main]

use libfuzzer_sys::fuzz_target;
use restante_fetch::fuzz_mbox;

fuzz_target!(|octets: &[u8]| fuzz_mbox(octets));
