//! Whatever an operator writes as a query: what SQLite takes of it has the parameters that are bound
//! and no others, so that a login name is never text of the query, nor a parameter unbound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use restante_server::accounts::fuzz_query;

fuzz_target!(|octets: &[u8]| fuzz_query(octets));
