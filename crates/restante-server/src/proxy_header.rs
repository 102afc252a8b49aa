//! The header in which a proxy says for whom it has made a connection: PROXY protocol, versions
//! 1 and 2 (HAProxy's `proxy-protocol.txt`).
//!
//! ```text
//! v1   "PROXY" SP ("TCP4" / "TCP6") SP source SP destination SP port SP port CRLF
//!      "PROXY UNKNOWN" [SP anything] CRLF                        at most 107 octets with CRLF
//! v2   12 octets of signature, version and command, family and transport, length (16 bits),
//!      then `length` octets: addresses by family, type-length-value fields
//! ```
//!
//! A pure function over octets. What it accepts is believed as far as limits, throttles and
//! `cleartext_login` go, so it accepts what the specification says and nothing beside it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crc::{CRC_32_ISCSI, Crc};

const SIGNATURE_V1: &[u8] = b"PROXY ";
const SIGNATURE_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// "The maximum line lengths the receiver must support including the CRLF" (§2.1).
const LINE_OCTETS_MAX: usize = 107;

/// What stands before the part of version 2 whose length is told.
const FIXED_OCTETS: usize = 16;

/// The checksum of `PP2_TYPE_CRC32C` (§2.2.3), a TLV of this type and length.
const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
const CRC32C_TYPE: u8 = 0x03;
const CRC32C_OCTETS: usize = 4;

/// A complete header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ProxyHeader {
    /// Who is at the other end of the proxy.
    pub source: Source,
    /// How many octets the header takes; what follows is the connection's.
    pub octets: usize,
}

/// Who is at the other end of a proxy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// A client with this address.
    Client(SocketAddr),
    /// A client of whom the proxy knows no IP address.
    Unknown,
    /// Nobody: the proxy itself connects, to see whether we are there.
    Proxy,
}

/// Why octets are no header, and will not be one whatever follows. The connection is to be closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyHeaderError {
    /// The connection begins with something else.
    #[error("no PROXY header")]
    Absent,
    /// The line of version 1 is not as it must be.
    #[error("malformed PROXY line")]
    Line,
    /// Version 2 with a version, a command, a family or a transport that there is not.
    #[error("PROXY header of unknown version, command, family or transport")]
    Unknown,
    /// The addresses of version 2 do not fit into the length that is told.
    #[error("PROXY header shorter than its addresses")]
    Short,
    /// The type-length-value fields of version 2 do not fit into each other.
    #[error("malformed fields in the PROXY header")]
    Fields,
    /// The checksum says that octets have changed on the way.
    #[error("PROXY header with a wrong checksum")]
    Checksum,
}

/// Reads the header at the beginning of `octets`.
///
/// `None` if it is not complete yet; then all of `octets` are the header's, so that a caller who
/// takes just these from the socket takes nothing of what follows (PROXY-TLS-1).
///
/// # Errors
/// [`ProxyHeaderError`] at the first octet that begins no header, or once a line, or the part of
/// version 2 that is told, is complete and wrong.
pub fn parse(octets: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    let begins = |signature: &[u8]| octets.iter().zip(signature).all(|(a, b)| a == b);
    if begins(SIGNATURE_V2) {
        return parse_v2(octets);
    }
    if begins(SIGNATURE_V1) {
        return parse_v1(octets);
    }
    Err(ProxyHeaderError::Absent)
}

/// PROXY-V1-1, PROXY-V1-2
fn parse_v1(octets: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    // Only CRLF ends the line: neither of the two may stand alone.
    let Some(end) = octets
        .iter()
        .position(|&octet| matches!(octet, b'\r' | b'\n'))
    else {
        return incomplete(octets.len() < LINE_OCTETS_MAX - 1);
    };
    let (line, rest) = octets.split_at(end);
    match rest {
        b"\r" => return incomplete(octets.len() < LINE_OCTETS_MAX),
        [b'\r', b'\n', ..] if end + 2 <= LINE_OCTETS_MAX => {}
        _ => return Err(ProxyHeaderError::Line),
    }
    let source = line
        .strip_prefix(SIGNATURE_V1)
        .and_then(source_of_line)
        .ok_or(ProxyHeaderError::Line)?;
    Ok(Some(ProxyHeader {
        source,
        octets: end + 2,
    }))
}

fn incomplete(may_go_on: bool) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    may_go_on.then_some(None).ok_or(ProxyHeaderError::Line)
}

/// What follows `PROXY` and a space.
fn source_of_line(words: &[u8]) -> Option<Source> {
    if words == b"UNKNOWN" || words.starts_with(b"UNKNOWN ") {
        return Some(Source::Unknown);
    }
    let mut words = str::from_utf8(words).ok()?.split(' ');
    let is_ipv4 = match words.next()? {
        "TCP4" => true,
        "TCP6" => false,
        _ => return None,
    };
    let address = |text: &str| match is_ipv4 {
        // The library's parsers take no leading zero, no sign and no zone.
        true => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        false => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
    };
    let source = address(words.next()?)?;
    let _destination = address(words.next()?)?;
    let source_port = port(words.next()?)?;
    let _destination_port = port(words.next()?)?;
    let source = SocketAddr::new(source, source_port);
    words.next().is_none().then_some(Source::Client(source))
}

/// Decimal digits without leading zeros; the library alone would take `+1` and `01`.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|octet| octet.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    text.parse().ok().filter(|_| plain && !leading_zero)
}

fn parse_v2(octets: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    // PROXY-V2-1
    let is_local = match octets.get(SIGNATURE_V2.len()) {
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return Err(ProxyHeaderError::Unknown),
        None => return Ok(None),
    };
    let Some(&[_, family, high, low]) = octets.get(SIGNATURE_V2.len()..FIXED_OCTETS) else {
        return Ok(None);
    };
    // PROXY-V2-2
    let length = FIXED_OCTETS + usize::from(u16::from_be_bytes([high, low]));
    let addresses = addresses_octets(family);
    if !is_local {
        let needed = addresses.ok_or(ProxyHeaderError::Unknown)?;
        if length < FIXED_OCTETS + needed {
            return Err(ProxyHeaderError::Short);
        }
    }
    let Some(header) = octets.get(..length) else {
        return Ok(None);
    };
    let fields_at = addresses.map(|octets| FIXED_OCTETS + octets);
    let source = if is_local {
        // PROXY-V2-4: the family and all that follows are to be ignored, which need not include
        // the proof that the command itself is damaged.
        if let Some(Err(wrong @ ProxyHeaderError::Checksum)) =
            fields_at.map(|at| check_fields(header, at))
        {
            return Err(wrong);
        }
        Source::Proxy
    } else {
        check_fields(header, fields_at.unwrap_or(length))?;
        source_of_block(family, header.get(FIXED_OCTETS..).unwrap_or_default())
    };
    Ok(Some(ProxyHeader {
        source,
        octets: length,
    }))
}

/// How many octets the addresses of a family take (PROXY-V2-3): unspecified, TCP over IPv4, over
/// IPv6, a stream over a UNIX socket. POP3 runs over nothing else.
fn addresses_octets(family: u8) -> Option<usize> {
    match family {
        0x00 => Some(0),
        0x11 => Some(12),
        0x21 => Some(36),
        0x31 => Some(216),
        _ => None,
    }
}

/// The source in a block that is long enough for its family.
fn source_of_block(family: u8, block: &[u8]) -> Source {
    let client =
        |ip: IpAddr, port: &[u8; 2]| Source::Client(SocketAddr::new(ip, u16::from_be_bytes(*port)));
    let source = match family {
        0x11 => block
            .first_chunk::<4>()
            .zip(block.get(8..).and_then(<[u8]>::first_chunk))
            .map(|(ip, port)| client(Ipv4Addr::from(*ip).into(), port)),
        0x21 => block
            .first_chunk::<16>()
            .zip(block.get(32..).and_then(<[u8]>::first_chunk))
            .map(|(ip, port)| client(Ipv6Addr::from(*ip).into(), port)),
        _ => None,
    };
    source.unwrap_or(Source::Unknown)
}

/// Walks over the type-length-value fields from `at` to the end of `header` and verifies the
/// checksum if there is one (PROXY-V2-5).
fn check_fields(header: &[u8], at: usize) -> Result<(), ProxyHeaderError> {
    let mut at = at;
    let mut checksum = None;
    loop {
        let (kind, length) = match header.get(at..) {
            Some([]) => break,
            Some([kind, high, low, ..]) => (*kind, u16::from_be_bytes([*high, *low])),
            _ => return Err(ProxyHeaderError::Fields),
        };
        let value_at = at + 3;
        at = value_at + usize::from(length);
        let value = header.get(value_at..at).ok_or(ProxyHeaderError::Fields)?;
        if kind == CRC32C_TYPE {
            let value = <[u8; CRC32C_OCTETS]>::try_from(value);
            let told = value.map_err(|_| ProxyHeaderError::Fields)?;
            // A second one would be part of what the first is made of.
            if checksum
                .replace((value_at, u32::from_be_bytes(told)))
                .is_some()
            {
                return Err(ProxyHeaderError::Fields);
            }
        }
    }
    match checksum {
        Some((at, told)) if told != checksum_with_gap(header, at) => {
            Err(ProxyHeaderError::Checksum)
        }
        _ => Ok(()),
    }
}

/// The checksum of the whole header, with zeros where the checksum itself stands.
fn checksum_with_gap(header: &[u8], gap_at: usize) -> u32 {
    let mut digest = CRC32C.digest();
    digest.update(header.get(..gap_at).unwrap_or_default());
    digest.update(&[0; CRC32C_OCTETS]);
    digest.update(header.get(gap_at + CRC32C_OCTETS..).unwrap_or_default());
    digest.finalize()
}

#[cfg(test)]
mod tests;
