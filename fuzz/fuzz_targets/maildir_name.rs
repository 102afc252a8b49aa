//! Whatever a message's file is called: the name stays inside its directory, base name and flags
//! make it up, and flags change neither identity nor order (MDIR-STORE-2, PRJ-STORE-1).
#![no_main]

use libfuzzer_sys::fuzz_target;
use restante_maildrop::fuzz_maildir_name;

fuzz_target!(|octets: &[u8]| fuzz_maildir_name(octets));
