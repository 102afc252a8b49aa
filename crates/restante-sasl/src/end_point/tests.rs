//! Certificates that OpenSSL has made, and what is none.

use alloc::{format, string::String, vec, vec::Vec};

use super::*;

/// A certificate that OpenSSL has made.
macro_rules! certificate {
    ($name:literal) => {
        include_bytes!(concat!("certificates/", $name, ".der")).as_slice()
    };
}

/// What the certificate is bound to, in hex.
fn bound(certificate: &[u8]) -> Option<String> {
    let end_point = EndPoint::of_certificate(certificate)?;
    let digits = |octet: &u8| format!("{octet:02x}");
    Some(end_point.data().iter().map(digits).collect())
}

/// RFC 5929 §4.1. The digests are those of `openssl dgst`, with the function that the RFC says.
#[test]
fn r5929_cb_4_the_hash_is_the_one_of_the_certificates_signature_and_sha_256_for_weak_ones() {
    let vectors = [
        // SHA-256 in the stead of MD5 and SHA-1.
        (
            certificate!("rsa_md5"),
            "c05be301c95de4a9cdfcb2d4993a7486cf09045079410a97cd7a04e57bb85e0f",
        ),
        (
            certificate!("rsa_sha1"),
            "f6c9362ba11bbb36d8dc9bcf4b44e4bcd92503a749b9549c5b2c4e24f4ae9d2f",
        ),
        (
            certificate!("ecdsa_sha1"),
            "3238b3432e9ac826c9f998a1936f7bc134487368460cf1408f04712e1bb4bf3c",
        ),
        (
            certificate!("pss_sha1"),
            "db59bb72402f70ba4d309800221035d9bdaf4775c1f6e9690754355d211770d6",
        ),
        (
            certificate!("rsa_sha224"),
            "3193be1291e1fd12c65924cdf762ea9a6f0dd70c2d5f8a34f98ea195",
        ),
        (
            certificate!("rsa_sha256"),
            "4b116e7a9dbe2aea2b861d64f9731802f2e10804c088c5c75c3bc1d6805e3e7a",
        ),
        (
            certificate!("rsa_sha384"),
            "39a75cde0b94c132e03e4f345ff7fa4c595ef922a8e3deed25d201ecc9f22f58\
             3d8bdd585d58219f6d6f6cd077c02b2f",
        ),
        (
            certificate!("rsa_sha512"),
            "bf0d27b12089f2259cd2689cf675218bb267b6fce0db7c3c348561599fa5ffa5\
             6fae169e922fc1f0ab5d8cfdb13c52483cf2c94d0842f6aebc61c302f7f6edda",
        ),
        (
            certificate!("ecdsa_sha256"),
            "146be42ff4657b7de5d41d48cca3b63284b878c98016ebdc5ad1a61ac96f44b5",
        ),
        (
            certificate!("ecdsa_sha384"),
            "d79db2c77ba9aa14997d7c61dae8d4efee593f794ae72416ce287a21517b600e\
             48e63f14fd4097ce53c7570b869de669",
        ),
        (
            certificate!("ecdsa_sha512"),
            "a2b319f438f3155152405c1bbb21f8a99faacd1144bf4e9a855c15999aba7877\
             5c3e335657f4ae8f170c2c7a9ec7b2c80c376ab2977c05463ffec5aaeaae8642",
        ),
        (
            certificate!("pss_sha256"),
            "a5b8615e67110d825f9e1d2956425ce74cf122ec7b5d1765ee8468a39a5498ee",
        ),
        (
            certificate!("pss_sha384"),
            "bed9e70387174479d05a38ec5e3765f89b05cf3fbb1928c58714e4d556837771\
             e79fa87eb541215464e47387bd1e88f6",
        ),
    ];
    for (number, (certificate, digest)) in vectors.into_iter().enumerate() {
        assert_eq!(bound(certificate).as_deref(), Some(digest), "{number}");
    }
}

#[test]
fn r5929_cb_4_without_a_single_known_hash_the_binding_is_not_defined() {
    for certificate in [
        certificate!("ed25519"),
        // SHA-256 of the message, SHA-1 of the mask.
        certificate!("pss_mixed"),
        certificate!("rsa_sha3"),
    ] {
        assert_eq!(bound(certificate), None);
    }
}

/// Certificates come from the other side.
#[test]
fn what_is_no_certificate_has_no_binding() {
    let good = certificate!("pss_sha256");
    for length in 0..good.len() {
        assert_eq!(bound(&good[..length]), None, "{length}");
    }
    assert_eq!(bound(&[good, b"\0"].concat()), None);
    let mut outer = vec![0x30, 0x83, 0x01, 0x00, 0x00];
    outer.extend_from_slice(&[0; 0x1_0000]);
    assert_eq!(bound(&outer), None);
    let nested: Vec<u8> = [0x30, 0x80].repeat(30_000);
    assert_eq!(bound(&nested), None);
    // Each octet of the head and of the algorithm, damaged: an answer, whatever it is.
    for at in 0..good.len() {
        for flip in [0x01, 0x80, 0xFF] {
            let mut damaged = good.to_vec();
            damaged[at] ^= flip;
            let _ = bound(&damaged);
        }
    }
}
