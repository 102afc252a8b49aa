//! CRAM-MD5 (RFC 2195 §2): a challenge, and a digest of it under the password.
//!
//! MD5 is broken for signatures; under HMAC it still holds. What is wrong with the mechanism is
//! that the server has to know the password as it is, and that it says nothing about the server.

use alloc::{format, string::String, vec::Vec};
use core::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;
use secrecy::{ExposeSecret as _, SecretBox};
use subtle::ConstantTimeEq as _;

/// HMAC-MD5's length.
const DIGEST_OCTETS: usize = 16;

/// What a client sent to show that it knows the password.
pub struct CramDigest {
    challenge: Vec<u8>,
    digest: SecretBox<[u8; DIGEST_OCTETS]>,
}

/// The client's response: a name and a digest.
///
/// ```text
/// response = user SP 32(DIGIT / %x61-66)
/// ```
pub(crate) struct Response<'m> {
    pub(crate) name: &'m [u8],
    pub(crate) digest: [u8; DIGEST_OCTETS],
}

/// A challenge that nobody gets twice: a msg-id of `nonce`, which is of this exchange alone
/// (R2195-CRAM-1).
pub(crate) fn challenge(nonce: &str, host: &str) -> String {
    format!("<{nonce}@{host}>")
}

/// Reads a response; `None` unless it is a name, a space and 32 digits. Names may have spaces,
/// digests not: the last one counts (R2195-CRAM-1).
pub(crate) fn parse(response: &[u8]) -> Option<Response<'_>> {
    let space = response.iter().rposition(|&octet| octet == b' ')?;
    let (name, digits) = response.split_at_checked(space)?;
    let digits = digits.get(1..)?;
    let mut digest = [0; DIGEST_OCTETS];
    let (pairs, odd) = digits.as_chunks::<2>();
    if pairs.len() != DIGEST_OCTETS || !odd.is_empty() {
        return None;
    }
    for (octet, [high, low]) in digest.iter_mut().zip(pairs) {
        *octet = (lower_hex(*high)? << 4) | lower_hex(*low)?;
    }
    Some(Response { name, digest })
}

/// Writes a response.
pub(crate) fn respond(name: &str, password: &[u8], challenge: &[u8]) -> Vec<u8> {
    let mut response = Vec::from(name.as_bytes());
    response.push(b' ');
    for octet in hmac_md5(password, challenge) {
        response.extend_from_slice(format!("{octet:02x}").as_bytes());
    }
    response
}

fn lower_hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn hmac_md5(secret: &[u8], challenge: &[u8]) -> [u8; DIGEST_OCTETS] {
    let mac = Hmac::<Md5>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.chain_update(challenge).finalize().into_bytes().into()
}

impl CramDigest {
    pub(crate) fn new(challenge: Vec<u8>, digest: [u8; DIGEST_OCTETS]) -> Self {
        let digest = SecretBox::new(alloc::boxed::Box::new(digest));
        Self { challenge, digest }
    }

    /// Whether whoever made the digest knows `password`. Constant time in the digest.
    #[must_use]
    pub fn matches(&self, password: &[u8]) -> bool {
        let expected = hmac_md5(password, &self.challenge);
        expected.ct_eq(self.digest.expose_secret()).into()
    }
}

impl fmt::Debug for CramDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CramDigest([REDACTED])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHALLENGE: &[u8] = b"<1896.697170952@postoffice.reston.mci.net>";
    const RESPONSE: &[u8] = b"tim b913a602c7eda7a495b4e6e7334d3890";

    // R2195-CRAM-2: RFC 2195 §2.
    #[test]
    fn r2195_cram_2_rfc_vector_in_both_directions() {
        assert_eq!(respond("tim", b"tanstaaftanstaaf", CHALLENGE), RESPONSE);
        let response = parse(RESPONSE).unwrap();
        assert_eq!(response.name, b"tim");
        let digest = CramDigest::new(CHALLENGE.to_vec(), response.digest);
        assert!(digest.matches(b"tanstaaftanstaaf"));
        for wrong in [&b""[..], b"tanstaaftanstaa", b"Tanstaaftanstaaf"] {
            assert!(!digest.matches(wrong), "{}", wrong.escape_ascii());
        }
        let other = CramDigest::new(b"<1896.697170953@x>".to_vec(), response.digest);
        assert!(!other.matches(b"tanstaaftanstaaf"));
    }

    #[test]
    fn r2195_cram_1_the_last_space_parts_name_and_digest() {
        let response = parse(b"tim of old b913a602c7eda7a495b4e6e7334d3890").unwrap();
        assert_eq!(response.name, b"tim of old");
        for bad in [
            &b""[..],
            b"tim",
            b"b913a602c7eda7a495b4e6e7334d3890",
            b"tim b913a602c7eda7a495b4e6e7334d389",
            b"tim b913a602c7eda7a495b4e6e7334d38900",
            b"tim B913A602C7EDA7A495B4E6E7334D3890",
            b"tim b913a602c7eda7a495b4e6e7334d389g",
            b"tim b913a602c7eda7a495b4e6e7334d3890 ",
            b"tim\tb913a602c7eda7a495b4e6e7334d3890",
        ] {
            assert!(parse(bad).is_none(), "{}", bad.escape_ascii());
        }
    }
}
