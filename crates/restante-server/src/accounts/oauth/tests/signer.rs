//! An issuer's private keys, and whatever can be signed with them.

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::accounts::oauth::now;

pub(in crate::accounts) const ISSUER: &str = "https://id.example.com";
pub(in crate::accounts) const AUDIENCE: &str = "pop.example.com";

pub(in crate::accounts) enum Signer {
    Ed(Ed25519KeyPair),
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair, &'static str),
}

impl Signer {
    pub(in crate::accounts) fn ed25519() -> Self {
        Self::Ed(Ed25519KeyPair::generate().unwrap())
    }

    pub(in crate::accounts) fn p256() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(in crate::accounts) fn rsa(algorithm: &'static str, size: KeySize) -> Self {
        Self::Rsa(RsaKeyPair::generate(size).unwrap(), algorithm)
    }

    pub(in crate::accounts) fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed(_) => "EdDSA",
            Self::Ec(_) => "ES256",
            Self::Rsa(_, algorithm) => algorithm,
        }
    }

    /// The public key, as it stands in a key set.
    pub(in crate::accounts) fn public(&self, id: &str) -> Value {
        let encode = |octets: &[u8]| URL_SAFE_NO_PAD.encode(octets);
        match self {
            Self::Ed(key) => {
                let x = encode(key.public_key().as_ref());
                json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": id, "use": "sig" })
            }
            Self::Ec(key) => {
                // 0x04, x, y.
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                let (x, y) = (encode(x), encode(y));
                json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": id, "alg": "ES256" })
            }
            Self::Rsa(key, _) => {
                let n = key
                    .public_key()
                    .modulus()
                    .big_endian_without_leading_zero()
                    .to_vec();
                let e = key
                    .public_key()
                    .exponent()
                    .big_endian_without_leading_zero()
                    .to_vec();
                let (n, e): (String, String) = (encode(&n), encode(&e));
                json!({ "kty": "RSA", "n": n, "e": e, "kid": id })
            }
        }
    }

    pub(in crate::accounts) fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = self.signature(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A token with these claims, signed with key `1`.
    pub(in crate::accounts) fn token(&self, claims: &Value) -> String {
        self.sign(&json!({ "alg": self.algorithm(), "kid": "1" }), claims)
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ed(key) => key.sign(message).as_ref().to_vec(),
            Self::Ec(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Rsa(key, algorithm) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let signed = match *algorithm {
                    "RS256" => key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature),
                    _ => key.sign(&RSA_PSS_SHA256, &random, message, &mut signature),
                };
                signed.unwrap();
                signature
            }
        }
    }
}

/// A set of public keys.
pub(in crate::accounts) fn key_set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// What a good token says.
pub(in crate::accounts) fn claims(name: &str) -> Value {
    json!({ "iss": ISSUER, "aud": AUDIENCE, "exp": now() + 300, "email": name, "sub": "4711" })
}
