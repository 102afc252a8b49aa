//! Tokens that an issuer has signed, and tokens that nobody has.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto::sign};
use restante_server::accounts::oauth::{KeySet, Rules, SignatureAlgorithm};

const ALL: [SignatureAlgorithm; 9] = SignatureAlgorithm::ALL;

const ISSUER: &str = "https://id.fuzz.example";
const AUDIENCE: &str = "pop.fuzz.example";

/// A moment, in seconds since 1970.
const NOW: u64 = 1_800_000_000;

/// RFC 8037 App. A.1: an example's key, as PKCS #8.
const PRIVATE: [u8; 48] = [
    0x30, 0x2E, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
    0x9D, 0x61, 0xB1, 0x9D, 0xEF, 0xFD, 0x5A, 0x60, 0xBA, 0x84, 0x4A, 0xF4, 0x92, 0xEC, 0x2C, 0xC4,
    0x44, 0x49, 0xC5, 0x69, 0x7B, 0x32, 0x69, 0x19, 0x70, 0x3B, 0xAC, 0x03, 0x1C, 0xAE, 0x7F, 0x60,
];
/// RFC 8037 App. A.2.
const PUBLIC: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"1",
    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let set = format!("{{\"keys\":[{PUBLIC}]}}");
    KeySet::parse(set.as_bytes(), &ALL).expect("a key set")
});
static SIGNER: LazyLock<EncodingKey> = LazyLock::new(|| EncodingKey::from_ed_der(&PRIVATE));

fn rules() -> Rules {
    Rules {
        issuer: Some(ISSUER.to_owned()),
        audience: vec![AUDIENCE.to_owned()],
        ..Rules::default()
    }
}

/// Whatever a client sends: what nobody has signed opens nothing.
pub fn verify_foreign(token: &[u8]) {
    let token = String::from_utf8_lossy(token);
    let verified = KEYS.verify(&token, &ALL, &rules(), NOW);
    assert!(verified.is_err(), "a token that nobody has signed");
}

/// Whatever the issuer signs: what is accepted says that it is of it, for us, and not over.
pub fn verify_signed(header: &[u8], claims: &[u8]) {
    let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = sign(message.as_bytes(), &SIGNER, Algorithm::EdDSA).expect("a signature");
    let token = format!("{message}.{signature}");
    let Ok(name) = KEYS.verify(&token, &ALL, &rules(), NOW) else {
        return;
    };
    assert!(!name.is_empty() && name.len() <= 4096 && !name.contains('\0'));
    let header: serde_json::Value = serde_json::from_slice(header).expect("it was understood");
    assert_eq!(header["alg"], "EdDSA");
    let claims: serde_json::Value = serde_json::from_slice(claims).expect("it was understood");
    assert_eq!(claims["iss"], ISSUER);
    let is_ours = |audience: &serde_json::Value| *audience == AUDIENCE;
    let list = claims["aud"].as_array();
    assert!(is_ours(&claims["aud"]) || list.is_some_and(|list| list.iter().any(is_ours)));
    let ends = claims["exp"].as_f64().expect("a date");
    assert!(ends + 61.0 > NOW as f64);
    // One octet of the signature, and it is nobody's.
    let mut forged = token.into_bytes();
    if let Some(last) = forged.iter_mut().rev().nth(20) {
        *last = if *last == b'A' { b'B' } else { b'A' };
    }
    verify_foreign(&forged);
}

/// Whatever an issuer publishes: its keys are those that can sign, and not too many.
pub fn read_keys(set: &[u8]) {
    if let Ok(keys) = KeySet::parse(set, &ALL) {
        let verified = keys.verify("e30.e30.AAAA", &ALL, &rules(), NOW);
        assert!(verified.is_err());
    }
}
