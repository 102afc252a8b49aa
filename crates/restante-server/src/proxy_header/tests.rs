//! What is a header and what is not, octet by octet.

use super::*;

/// The longest line there can be, of the specification's own example.
const LONGEST: &str = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                       ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";

fn client(address: &str) -> Source {
    Source::Client(address.parse().unwrap())
}

/// A version 2 header with this command, family, and block.
fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [SIGNATURE_V2, &[command, family], &length, block].concat()
}

/// 192.0.2.1 port 1025 to 198.51.100.2 port 110.
const IPV4: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 2, 0x04, 0x01, 0, 110];

/// 2001:db8::1 port 1025 to 2001:db8::2 port 995.
fn ipv6() -> Vec<u8> {
    let address = |last| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).octets();
    let ports = [0x04, 0x01, 0x03, 0xe3];
    [&address(1)[..], &address(2), &ports].concat()
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind], &length[..], value].concat()
}

/// Sets the checksum whose TLV's value stands at `at`.
fn seal(mut header: Vec<u8>, at: usize) -> Vec<u8> {
    let sum = checksum_with_gap(&header, at).to_be_bytes();
    header[at..at + 4].copy_from_slice(&sum);
    header
}

/// The header is complete at its last octet and not before, and what follows is not its own.
fn accepted(header: &[u8], source: Source) {
    let shown = header.escape_ascii();
    for length in 0..header.len() {
        assert_eq!(parse(&header[..length]), Ok(None), "{length} of {shown}");
    }
    let whole = ProxyHeader {
        source,
        octets: header.len(),
    };
    assert_eq!(parse(header), Ok(Some(whole)), "{shown}");
    for rest in [&b"\x16\x03\x01"[..], b"CAPA\r\n", b"PROXY TCP4 ", b"\r\n"] {
        let more = [header, rest].concat();
        assert_eq!(parse(&more), Ok(Some(whole)), "{shown}");
    }
}

fn refused(octets: &[u8], why: ProxyHeaderError) {
    assert_eq!(parse(octets), Err(why), "{}", octets.escape_ascii());
}

#[test]
fn proxy_v1_1_lines_of_each_family() {
    accepted(
        b"PROXY TCP4 192.0.2.1 198.51.100.2 1025 110\r\n",
        client("192.0.2.1:1025"),
    );
    accepted(
        b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
        client("255.255.255.255:65535"),
    );
    accepted(
        b"PROXY TCP6 2001:DB8::1 ::1 0 110\r\n",
        client("[2001:db8::1]:0"),
    );
    // What inet_ntop makes of an IPv4 client on a socket for both.
    accepted(
        b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 1 110\r\n",
        client("[::ffff:192.0.2.1]:1"),
    );
    accepted(b"PROXY UNKNOWN\r\n", Source::Unknown);
    accepted(b"PROXY UNKNOWN what ever\x00\xff\r\n", Source::Unknown);
}

#[test]
fn proxy_v1_1_107_octets_and_not_one_more() {
    assert_eq!(LONGEST.len(), 107);
    accepted(LONGEST.as_bytes(), Source::Unknown);
    let longer = LONGEST.replace(" 65535\r\n", "  65535\r\n");
    assert_eq!(longer.len(), 108);
    refused(longer.as_bytes(), ProxyHeaderError::Line);
    // It is known before the end comes, and need not be waited for.
    refused(&longer.as_bytes()[..107], ProxyHeaderError::Line);
    refused(
        &[b"PROXY ", &[b'a'; 100][..]].concat(),
        ProxyHeaderError::Line,
    );
}

#[test]
fn proxy_v1_2_anything_else_is_no_line() {
    for line in [
        "PROXY TCP4 192.0.2.1 198.51.100.2 1025\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1025 110 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1025 110 \r\n",
        "PROXY  TCP4 192.0.2.1 198.51.100.2 1025 110\r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.2 1025 110\r\n",
        "PROXY TCP4 192.0.2.1\t198.51.100.2 1025 110\r\n",
        "PROXY tcp4 192.0.2.1 198.51.100.2 1025 110\r\n",
        "PROXY TCP5 192.0.2.1 198.51.100.2 1025 110\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.2 1025 110\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY \r\n",
        // The family is not the addresses'.
        "PROXY TCP4 2001:db8::1 2001:db8::2 1025 110\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.2 1025 110\r\n",
        "PROXY TCP4 192.0.2.1 2001:db8::2 1025 110\r\n",
        // Leading zeros, signs, what only looks like a number.
        "PROXY TCP4 192.0.02.1 198.51.100.2 1025 110\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 01025 110\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1025 0110\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 +1025 110\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 00 110\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 65536 110\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 -1 110\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.2 1025 110\r\n",
        "PROXY TCP4 192.0.2 198.51.100.2 1025 110\r\n",
        "PROXY TCP4 3221225985 198.51.100.2 1025 110\r\n",
        "PROXY TCP6 fe80::1%eth0 2001:db8::2 1025 110\r\n",
        "PROXY TCP6 [2001:db8::1] 2001:db8::2 1025 110\r\n",
        // Line ends.
        "PROXY TCP4 192.0.2.1 198.51.100.2 1025 110\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1025 110\r\r\n",
        "PROXY UNKNOWN a\nPROXY UNKNOWN\r\n",
        "PROXY UNKNOWN a\rb\r\n",
    ] {
        refused(line.as_bytes(), ProxyHeaderError::Line);
    }
}

#[test]
fn proxy_cfg_1_what_begins_with_something_else_is_known_at_once() {
    for octets in [
        &b"CAPA\r\n"[..],
        b"P\r",
        b"proxy TCP4",
        b"\x16\x03\x01\x02\x00",
        b" PROXY UNKNOWN\r\n",
        b"\r\n\r\n\0\r\nQUIT\r",
        b"\nPROXY UNKNOWN\r\n",
    ] {
        refused(octets, ProxyHeaderError::Absent);
    }
    assert_eq!(parse(b""), Ok(None));
}

#[test]
fn proxy_v2_3_addresses_of_each_family() {
    accepted(&v2(0x21, 0x11, IPV4), client("192.0.2.1:1025"));
    accepted(&v2(0x21, 0x21, &ipv6()), client("[2001:db8::1]:1025"));
    accepted(&v2(0x21, 0x31, &[b'/'; 216]), Source::Unknown);
    accepted(&v2(0x21, 0x00, b""), Source::Unknown);
}

#[test]
fn proxy_v2_1_only_version_2_and_two_commands() {
    for command in 0..=u8::MAX {
        let parsed = parse(&v2(command, 0x11, IPV4));
        match command {
            0x20 | 0x21 => assert!(parsed.unwrap().is_some()),
            _ => assert_eq!(parsed, Err(ProxyHeaderError::Unknown), "{command:#x}"),
        }
    }
    // Known before the rest has come.
    refused(&[SIGNATURE_V2, &[0x11]].concat(), ProxyHeaderError::Unknown);
}

#[test]
fn proxy_v2_3_every_other_family_and_transport_is_refused() {
    for family in 0..=u8::MAX {
        let parsed = parse(&v2(0x21, family, &[0; 216]));
        match family {
            0x11 | 0x21 | 0x31 => assert!(parsed.unwrap().is_some(), "{family:#x}"),
            // Here the block is one of empty fields.
            0x00 => assert!(parsed.unwrap().is_some()),
            _ => assert_eq!(parsed, Err(ProxyHeaderError::Unknown), "{family:#x}"),
        }
    }
}

#[test]
fn proxy_v2_3_a_block_shorter_than_its_addresses_is_refused_before_it_comes() {
    for (family, needed) in [(0x11, 12), (0x21, 36), (0x31, 216)] {
        let short = v2(0x21, family, &vec![0; needed - 1]);
        refused(&short, ProxyHeaderError::Short);
        refused(&short[..FIXED_OCTETS], ProxyHeaderError::Short);
        assert!(parse(&v2(0x21, family, &vec![0; needed])).is_ok());
    }
}

#[test]
fn proxy_v2_2_local_takes_as_many_octets_as_are_told_and_believes_none() {
    for family in [0x00, 0x11, 0x12, 0x21, 0x31, 0xff] {
        for block in [&b""[..], IPV4, &[0xff; 11], &[0xff; 1000]] {
            accepted(&v2(0x20, family, block), Source::Proxy);
        }
    }
    let longest = v2(0x20, 0x00, &[0xff; 0xffff]);
    let whole = ProxyHeader {
        source: Source::Proxy,
        octets: longest.len(),
    };
    assert_eq!(parse(&longest), Ok(Some(whole)));
    assert_eq!(parse(&longest[..longest.len() - 1]), Ok(None));
}

#[test]
fn proxy_v2_5_unknown_fields_are_skipped() {
    let fields = [
        tlv(0x02, b"pop.example.org"),
        tlv(0xee, b""),
        tlv(0x04, &[0; 300]),
    ];
    let block = [IPV4, &fields.concat()].concat();
    accepted(&v2(0x21, 0x11, &block), client("192.0.2.1:1025"));
    accepted(&v2(0x21, 0x00, &fields.concat()), Source::Unknown);
}

#[test]
fn proxy_v2_5_fields_that_do_not_fit_are_refused() {
    let good = tlv(0x02, b"pop.example.org");
    for cut in 1..good.len() {
        let block = [IPV4, &good[..cut]].concat();
        refused(&v2(0x21, 0x11, &block), ProxyHeaderError::Fields);
    }
    let block = [IPV4, &good, &[0]].concat();
    refused(&v2(0x21, 0x11, &block), ProxyHeaderError::Fields);
}

// RFC 3720 §B.4 gives CRC32C's answers to 32 octets of zeros and of ones.
#[test]
fn proxy_v2_5_the_checksum_is_crc32c() {
    assert_eq!(CRC32C.checksum(&[0; 32]), 0x8a91_36aa);
    assert_eq!(CRC32C.checksum(&[0xff; 32]), 0x62a8_ab43);
}

#[test]
fn proxy_v2_5_a_checksum_is_verified_wherever_it_stands() {
    let sum = tlv(CRC32C_TYPE, &[0; 4]);
    let other = tlv(0x02, b"pop.example.org");
    for (fields, at) in [
        ([&sum[..], &other].concat(), 28 + 3),
        ([&other[..], &sum].concat(), 28 + other.len() + 3),
    ] {
        let header = seal(v2(0x21, 0x11, &[IPV4, &fields].concat()), at);
        accepted(&header, client("192.0.2.1:1025"));
        // No bit of what it guards can change. A changed length or type is found out otherwise.
        for octet in (16..28).chain(at..at + 4) {
            let mut changed = header.clone();
            changed[octet] ^= 0x01;
            refused(&changed, ProxyHeaderError::Checksum);
        }
        // From PROXY to LOCAL it is one bit.
        let mut local = header.clone();
        local[12] = 0x20;
        refused(&local, ProxyHeaderError::Checksum);
    }
}

#[test]
fn proxy_v2_5_a_checksum_of_another_length_or_a_second_one_is_refused() {
    for value in [&[0; 3][..], &[0; 5], &[]] {
        let block = [IPV4, &tlv(CRC32C_TYPE, value)].concat();
        refused(&v2(0x21, 0x11, &block), ProxyHeaderError::Fields);
    }
    let twice = tlv(CRC32C_TYPE, &[0; 4]).repeat(2);
    let header = seal(v2(0x21, 0x11, &[IPV4, &twice].concat()), 28 + 3);
    refused(&header, ProxyHeaderError::Fields);
}
