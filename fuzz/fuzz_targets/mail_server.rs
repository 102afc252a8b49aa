//! Whatever a mail server answers to the collector: in any pieces the same replies, bounded, and
//! what is shown of them cannot drive a terminal (PRJ-FETCH-13).
#![no_main]

use libfuzzer_sys::fuzz_target;
use restante_fetch::fuzz_mail_server_replies;

fuzz_target!(|octets: &[u8]| fuzz_mail_server_replies(octets));
