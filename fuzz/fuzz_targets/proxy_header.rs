//! A PROXY header ends where it ends, however it arrives and whatever follows, and names no other
//! client than a second reader finds in it (PROXY-V1-1, PROXY-V2-2, PROXY-TLS-1).
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_header::{ParseConfig, ProxyHeader};
use restante_server::proxy_header::{Source, parse};

fuzz_target!(|octets: &[u8]| {
    let Ok(Some(header)) = parse(octets) else {
        return;
    };
    for length in 0..header.octets.min(300) {
        assert_eq!(parse(&octets[..length]), Ok(None));
    }
    let own = &octets[..header.octets];
    assert_eq!(parse(own), Ok(Some(header)));
    // Of LOCAL it reads more than is to be read, and may find that wanting.
    if header.source != Source::Proxy {
        let (other, length) = ProxyHeader::parse(own, ParseConfig::default()).expect("accepted");
        assert_eq!(length, header.octets);
        match header.source {
            Source::Client(client) => {
                assert_eq!(other.proxied_address().expect("a client").source, client);
            }
            _ => assert!(other.proxied_address().is_none()),
        }
    }
});
