//! Whatever stands as Dovecot's `pop3_uidl_format`: it is refused, or gives the same unique-id each
//! time, of bounded length (PRJ-SEC-1).
#![no_main]

use libfuzzer_sys::fuzz_target;
use restante_maildrop::fuzz_uidl_format;

fuzz_target!(|octets: &[u8]| fuzz_uidl_format(octets));
