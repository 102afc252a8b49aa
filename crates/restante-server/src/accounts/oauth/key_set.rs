//! An issuer's keys (RFC 7517), and signatures verified with them (RFC 7515, RFC 8725).

use jsonwebtoken::{
    Algorithm, DecodingKey, Header, Validation, decode, decode_header,
    errors::ErrorKind,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use serde_json::{Map, Value};

use super::{
    Rules,
    rules::{TokenFault, Verified},
};

/// No issuer has so many. Attack: a token without `kid`, and ten thousand keys to try.
const KEYS_MAX: usize = 100;

/// How many keys are tried for a token that does not name one.
const TRIALS_MAX: usize = 4;

/// Longer than any token with a purpose; the exchange has a bound of its own.
const TOKEN_OCTETS_MAX: usize = 32 * 1024;

/// Types of tokens that are access tokens or do not say what they are (RFC 9068 §2.1, RFC 8725
/// §3.11): what was made for another purpose, such as a logout, opens nothing.
const TYPES: [&str; 3] = ["JWT", "at+jwt", "application/at+jwt"];

/// How tokens may be signed: with a private key that only the issuer has. Neither `none` nor HMAC
/// is among them, so that a public key can never be taken for a secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SignatureAlgorithm {
    /// RSA PKCS #1 with SHA-256.
    Rs256,
    /// RSA PKCS #1 with SHA-384.
    Rs384,
    /// RSA PKCS #1 with SHA-512.
    Rs512,
    /// RSA PSS with SHA-256.
    Ps256,
    /// RSA PSS with SHA-384.
    Ps384,
    /// RSA PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

/// The keys of an issuer that can verify a token.
pub struct KeySet {
    keys: Vec<Key>,
}

struct Key {
    id: Option<String>,
    algorithms: Vec<SignatureAlgorithm>,
    key: DecodingKey,
}

/// Why a key set cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeySetError {
    /// It is not what RFC 7517 describes.
    #[error("not a JSON Web Key Set")]
    Malformed,
    /// It has more keys than make sense.
    #[error("more than {KEYS_MAX} keys")]
    TooMany,
    /// None of its keys is for one of the algorithms.
    #[error("no key for any of the algorithms")]
    NoneFits,
}

/// A token's header, of which nothing is believed but which key to try.
pub(super) struct Claimed {
    algorithm: SignatureAlgorithm,
    key: Option<String>,
}

impl SignatureAlgorithm {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// Its name in RFC 7518 §3.1 and RFC 8037 §3.1.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    fn of(algorithm: Algorithm) -> Option<Self> {
        let same = |known: &Self| known.library() == algorithm;
        Self::ALL.into_iter().find(same)
    }

    fn library(self) -> Algorithm {
        match self {
            Self::Rs256 => Algorithm::RS256,
            Self::Rs384 => Algorithm::RS384,
            Self::Rs512 => Algorithm::RS512,
            Self::Ps256 => Algorithm::PS256,
            Self::Ps384 => Algorithm::PS384,
            Self::Ps512 => Algorithm::PS512,
            Self::Es256 => Algorithm::ES256,
            Self::Es384 => Algorithm::ES384,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }

    /// Whether keys with these parameters can sign so.
    fn fits(self, parameters: &AlgorithmParameters) -> bool {
        match parameters {
            AlgorithmParameters::RSA(_) => !matches!(self, Self::Es256 | Self::Es384 | Self::EdDsa),
            AlgorithmParameters::EllipticCurve(parameters) => match parameters.curve {
                EllipticCurve::P256 => self == Self::Es256,
                EllipticCurve::P384 => self == Self::Es384,
                _ => false,
            },
            AlgorithmParameters::OctetKeyPair(parameters) => {
                parameters.curve == EllipticCurve::Ed25519 && self == Self::EdDsa
            }
            // Secrets have no place among public keys.
            _ => false,
        }
    }
}

impl KeySet {
    /// Reads a key set; of its keys, those that can verify with one of `algorithms`. Others are
    /// left out (RFC 7517 §5).
    ///
    /// # Errors
    /// [`KeySetError`].
    pub fn parse(json: &[u8], algorithms: &[SignatureAlgorithm]) -> Result<Self, KeySetError> {
        let set: Value = serde_json::from_slice(json).map_err(|_| KeySetError::Malformed)?;
        let keys = set.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or(KeySetError::Malformed)?;
        if keys.len() > KEYS_MAX {
            return Err(KeySetError::TooMany);
        }
        let keys: Vec<Key> = keys
            .iter()
            .filter_map(|key| Key::parse(key, algorithms))
            .collect();
        match keys.is_empty() {
            true => Err(KeySetError::NoneFits),
            false => Ok(Self { keys }),
        }
    }

    /// Whose `token` is, if it is good at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// [`TokenFault`]; [`TokenFault::Key`] if the issuer may have new keys.
    pub fn verify(
        &self,
        token: &str,
        algorithms: &[SignatureAlgorithm],
        rules: &Rules,
        now: u64,
    ) -> Result<String, TokenFault> {
        let claimed = Claimed::parse(token, algorithms)?;
        let verified = self.verify_claimed(token, &claimed, rules, now)?;
        Ok(verified.name)
    }

    pub(super) fn verify_claimed(
        &self,
        token: &str,
        claimed: &Claimed,
        rules: &Rules,
        now: u64,
    ) -> Result<Verified, TokenFault> {
        let fits = |key: &&Key| {
            let named = claimed.key.is_none() || claimed.key == key.id;
            named && key.algorithms.contains(&claimed.algorithm)
        };
        let mut fault = TokenFault::Key;
        for key in self.keys.iter().filter(fits).take(TRIALS_MAX) {
            match verify_signature(token, key, claimed.algorithm) {
                Ok(claims) => return rules.check_signed(&claims, now),
                Err(found) => fault = found,
            }
        }
        Err(fault)
    }
}

impl Key {
    /// `None` if it is not one that signs, is of a kind that we do not know, or is not for these.
    fn parse(json: &Value, algorithms: &[SignatureAlgorithm]) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(json.clone()).ok()?;
        let common = &jwk.common;
        let signs = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
        let verifies =
            |operations: &Vec<KeyOperations>| operations.contains(&KeyOperations::Verify);
        if !signs || !common.key_operations.as_ref().is_none_or(verifies) {
            return None;
        }
        let fits = |algorithm: &SignatureAlgorithm| {
            let named = KeyAlgorithm::from(algorithm.library());
            algorithm.fits(&jwk.algorithm) && common.key_algorithm.is_none_or(|own| own == named)
        };
        let algorithms: Vec<_> = algorithms.iter().copied().filter(fits).collect();
        if algorithms.is_empty() {
            return None;
        }
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Self {
            id: jwk.common.key_id,
            algorithms,
            key,
        })
    }
}

impl Claimed {
    /// Reads what a token says of itself, as far as that is acceptable.
    pub(super) fn parse(
        token: &str,
        algorithms: &[SignatureAlgorithm],
    ) -> Result<Self, TokenFault> {
        if token.len() > TOKEN_OCTETS_MAX {
            return Err(TokenFault::TooLong);
        }
        let header = decode_header(token).map_err(|error| match error.kind() {
            // What the library does not know, `none` among it, is no JSON that it understands.
            ErrorKind::Json(_) if is_object(token) => TokenFault::Algorithm,
            _ => TokenFault::Malformed,
        })?;
        let Header {
            alg,
            typ,
            kid,
            crit,
            enc,
            zip,
            ..
        } = header;
        let is_known = |typ: &String| TYPES.iter().any(|known| known.eq_ignore_ascii_case(typ));
        // RFC 7515 §4.1.11: what is critical must be understood, and nothing is.
        let plain = crit.is_none() && enc.is_none() && zip.is_none();
        if !plain || !typ.as_ref().is_none_or(is_known) {
            return Err(TokenFault::Type);
        }
        let algorithm = SignatureAlgorithm::of(alg).filter(|known| algorithms.contains(known));
        Ok(Self {
            algorithm: algorithm.ok_or(TokenFault::Algorithm)?,
            key: kid,
        })
    }
}

/// The claims of a token that `key` has signed. They are checked by the rules alone, with dates
/// and all, the same for signed tokens and for those that an issuer was asked about.
fn verify_signature(
    token: &str,
    key: &Key,
    algorithm: SignatureAlgorithm,
) -> Result<Map<String, Value>, TokenFault> {
    let mut signature = Validation::new(algorithm.library());
    signature.required_spec_claims.clear();
    signature.validate_exp = false;
    signature.validate_nbf = false;
    signature.validate_aud = false;
    let decoded = decode(token, &key.key, &signature);
    decoded
        .map(|data| data.claims)
        .map_err(|error| match error.kind() {
            ErrorKind::Json(_) | ErrorKind::Base64(_) | ErrorKind::Utf8(_) => TokenFault::Malformed,
            _ => TokenFault::Signature,
        })
}

/// Whether the header is a JSON object, for the log.
fn is_object(token: &str) -> bool {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let header = token.split('.').next().unwrap_or_default();
    let json = URL_SAFE_NO_PAD.decode(header).unwrap_or_default();
    serde_json::from_slice::<Map<String, Value>>(&json).is_ok()
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySet")
            .field("keys", &self.keys.len())
            .finish()
    }
}
