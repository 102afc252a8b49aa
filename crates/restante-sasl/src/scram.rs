//! What both roles and whoever keeps the keys need of SCRAM (RFC 5802 §3, RFC 7677).
//!
//! ```text
//! SaltedPassword  := Hi(Normalize(password), salt, i)          Hi is PBKDF2
//! ClientKey       := HMAC(SaltedPassword, "Client Key")
//! StoredKey       := H(ClientKey)                              what a server keeps
//! AuthMessage     := client-first-bare + "," + server-first + "," + client-final-without-proof
//! ClientProof     := ClientKey XOR HMAC(StoredKey, AuthMessage)
//! ServerKey       := HMAC(SaltedPassword, "Server Key")        what a server keeps
//! ServerSignature := HMAC(ServerKey, AuthMessage)
//! ```

pub(crate) mod message;

use alloc::{format, string::String, vec::Vec};
use core::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The fewest iterations a server may announce (R5802-SCRAM-1; RFC 7677 §4).
pub const ITERATIONS_MIN: u32 = 4096;
/// The most iterations that are ever computed (PRJ-SCRAM-9): some seconds of work.
pub const ITERATIONS_MAX: u32 = 10_000_000;
/// How many octets a salt may have at most.
pub const SALT_OCTETS_MAX: usize = 256;

/// The hash function of a SCRAM mechanism.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ScramHash {
    /// SHA-1, for what others have stored; no new keys are made with it.
    Sha1,
    /// SHA-256.
    Sha256,
}

impl ScramHash {
    /// How many octets its result has.
    #[must_use]
    pub fn octets(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    fn digest(self, octets: &[u8]) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match self {
            Self::Sha1 => Sha1::digest(octets).to_vec(),
            Self::Sha256 => Sha256::digest(octets).to_vec(),
        })
    }

    fn hmac(self, key: &[u8], octets: &[u8]) -> Zeroizing<Vec<u8>> {
        const ANY_LENGTH: &str = "HMAC takes keys of any length";
        Zeroizing::new(match self {
            Self::Sha1 => {
                let mut mac = Hmac::<Sha1>::new_from_slice(key).expect(ANY_LENGTH);
                mac.update(octets);
                mac.finalize().into_bytes().to_vec()
            }
            Self::Sha256 => {
                let mut mac = Hmac::<Sha256>::new_from_slice(key).expect(ANY_LENGTH);
                mac.update(octets);
                mac.finalize().into_bytes().to_vec()
            }
        })
    }

    /// RFC 5802 §2.2: `Hi(str, salt, i)`.
    fn salted_password(self, password: &[u8], parameters: &ScramParameters) -> SaltedPassword {
        let mut salted = Zeroizing::new(alloc::vec![0; self.octets()]);
        let (salt, iterations) = (&parameters.salt, parameters.iterations);
        match self {
            Self::Sha1 => pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, iterations, &mut salted),
            Self::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut salted),
        }
        SaltedPassword {
            hash: self,
            octets: salted,
        }
    }
}

/// Salt and iteration count, as the server announces them.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ScramParameters {
    /// 1 to [`SALT_OCTETS_MAX`] octets.
    salt: Vec<u8>,
    /// 1 to [`ITERATIONS_MAX`].
    iterations: u32,
}

impl ScramParameters {
    /// `salt` is raw, not base64.
    ///
    /// # Errors
    /// [`KeysError::Salt`] unless it has 1 to [`SALT_OCTETS_MAX`] octets;
    /// [`KeysError::Iterations`] unless `iterations` is within
    /// [`ITERATIONS_MIN`]`..=`[`ITERATIONS_MAX`].
    pub fn new(salt: Vec<u8>, iterations: u32) -> Result<Self, KeysError> {
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
            return Err(KeysError::Iterations { iterations });
        }
        Self::with_iterations_allowed(salt, iterations)
    }

    /// For a client that was told to accept fewer iterations.
    pub(crate) fn with_iterations_allowed(
        salt: Vec<u8>,
        iterations: u32,
    ) -> Result<Self, KeysError> {
        if !(1..=SALT_OCTETS_MAX).contains(&salt.len()) {
            return Err(KeysError::Salt { octets: salt.len() });
        }
        Ok(Self { salt, iterations })
    }

    /// The salt, raw.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The iteration count.
    #[must_use]
    pub fn iterations(&self) -> u32 {
        self.iterations
    }
}

/// What a server verifies proofs with: H(ClientKey).
#[derive(Clone)]
pub struct StoredKey {
    hash: ScramHash,
    octets: SecretSlice<u8>,
}

/// What a server proves itself with.
#[derive(Clone)]
pub struct ServerKey {
    hash: ScramHash,
    octets: SecretSlice<u8>,
}

/// Everything a server keeps of one password, for one hash function.
#[derive(Clone)]
pub struct Keys {
    hash: ScramHash,
    parameters: ScramParameters,
    stored: StoredKey,
    server: ServerKey,
}

/// Why stored keys cannot be used. The administrator has to look; no user is at fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// Not `iterations,salt,StoredKey,ServerKey`.
    #[error("not four fields separated by commas")]
    Fields,
    /// The iteration count is no number, or not an acceptable one.
    #[error("iteration count {iterations} is not within 4096 to 10000000")]
    Iterations {
        /// The count; 0 if it is no number.
        iterations: u32,
    },
    /// The salt is not base64, empty or too long.
    #[error("salt of {octets} octets")]
    Salt {
        /// How long it is, decoded; 0 if it does not decode.
        octets: usize,
    },
    /// A key is not base64 or not as long as the hash function's result.
    #[error("key of the wrong length")]
    Key,
}

impl Keys {
    /// Derives the keys from a password, which must already be prepared with
    /// [`prepare_stored`](crate::prepare_stored).
    ///
    /// This is slow on purpose: `parameters.iterations()` HMACs.
    #[must_use]
    pub fn derive(hash: ScramHash, password: &[u8], parameters: &ScramParameters) -> Self {
        let salted = hash.salted_password(password, parameters);
        Self {
            hash,
            parameters: parameters.clone(),
            stored: salted.stored_key(),
            server: salted.server_key(),
        }
    }

    /// Reads Dovecot's form: `iterations,base64(salt),base64(StoredKey),base64(ServerKey)`.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn parse(hash: ScramHash, text: &str) -> Result<Self, KeysError> {
        let mut fields = text.split(',');
        let mut field = || fields.next().ok_or(KeysError::Fields);
        let (iterations, salt, stored, server) = (field()?, field()?, field()?, field()?);
        if fields.next().is_some() {
            return Err(KeysError::Fields);
        }
        let iterations = message::positive_number(iterations).unwrap_or(0);
        let salt = STANDARD
            .decode(salt)
            .map_err(|_| KeysError::Salt { octets: 0 })?;
        let key = |text: &str| {
            let octets = Zeroizing::new(STANDARD.decode(text).map_err(|_| KeysError::Key)?);
            if octets.len() != hash.octets() {
                return Err(KeysError::Key);
            }
            Ok(SecretSlice::from(octets.to_vec()))
        };
        Ok(Self {
            hash,
            parameters: ScramParameters::new(salt, iterations)?,
            stored: StoredKey {
                hash,
                octets: key(stored)?,
            },
            server: ServerKey {
                hash,
                octets: key(server)?,
            },
        })
    }

    /// Writes Dovecot's form, the inverse of [`Keys::parse`].
    #[must_use]
    pub fn format(&self) -> SecretString {
        let stored = Zeroizing::new(STANDARD.encode(self.stored.octets.expose_secret()));
        let server = Zeroizing::new(STANDARD.encode(self.server.octets.expose_secret()));
        let salt = STANDARD.encode(self.parameters.salt());
        let text = format!(
            "{},{salt},{}",
            self.parameters.iterations(),
            stored.as_str()
        );
        let text = Zeroizing::new(text);
        SecretString::from(format!("{},{}", text.as_str(), server.as_str()))
    }

    /// Whether these keys were derived from this (prepared) password. Slow on purpose; constant
    /// time in the comparison. A password that holds a NUL is never right: HMAC pads keys with
    /// NULs, so `secret` and `secret\0` have the same keys.
    #[must_use]
    pub fn verify_password(&self, password: &[u8]) -> bool {
        let derived = self
            .hash
            .salted_password(password, &self.parameters)
            .stored_key();
        let same = self
            .stored
            .octets
            .expose_secret()
            .ct_eq(derived.octets.expose_secret());
        bool::from(same) && !password.contains(&0)
    }

    /// The hash function they are for.
    #[must_use]
    pub fn hash(&self) -> ScramHash {
        self.hash
    }

    /// Salt and iteration count.
    #[must_use]
    pub fn parameters(&self) -> &ScramParameters {
        &self.parameters
    }

    /// What proofs are verified with.
    #[must_use]
    pub fn stored_key(&self) -> &StoredKey {
        &self.stored
    }

    /// What the server proves itself with.
    #[must_use]
    pub fn server_key(&self) -> &ServerKey {
        &self.server
    }
}

impl ServerKey {
    /// The server's signature under an AuthMessage, or `None` if the key is for another hash.
    pub(crate) fn sign(&self, hash: ScramHash, auth_message: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        (hash == self.hash).then(|| hash.hmac(self.octets.expose_secret(), auth_message))
    }
}

/// What a client sent to show that it knows the password. Try it on each stored key.
pub struct ScramProof {
    hash: ScramHash,
    auth_message: SecretSlice<u8>,
    proof: SecretSlice<u8>,
}

impl ScramProof {
    pub(crate) fn new(hash: ScramHash, auth_message: Vec<u8>, proof: Vec<u8>) -> Self {
        let (auth_message, proof) = (auth_message.into(), proof.into());
        Self {
            hash,
            auth_message,
            proof,
        }
    }

    /// Which kind of keys it is for.
    #[must_use]
    pub fn hash(&self) -> ScramHash {
        self.hash
    }

    /// Whether whoever made the proof knows the ClientKey behind `stored` (RFC 5802 §3).
    /// Constant time in the keys and the proof.
    #[must_use]
    pub fn matches(&self, stored: &StoredKey) -> bool {
        let proof = self.proof.expose_secret();
        if self.hash != stored.hash || proof.len() != self.hash.octets() {
            return false;
        }
        let stored = stored.octets.expose_secret();
        let mut client_key = self.hash.hmac(stored, self.auth_message.expose_secret());
        xor(&mut client_key, proof);
        self.hash.digest(&client_key).ct_eq(stored).into()
    }
}

/// What everything is made from on the client's side.
pub(crate) struct SaltedPassword {
    hash: ScramHash,
    octets: Zeroizing<Vec<u8>>,
}

impl SaltedPassword {
    pub(crate) fn new(hash: ScramHash, password: &[u8], parameters: &ScramParameters) -> Self {
        hash.salted_password(password, parameters)
    }

    pub(crate) fn client_proof(&self, auth_message: &[u8]) -> Zeroizing<Vec<u8>> {
        let client_key = self.client_key();
        let stored = self.hash.digest(&client_key);
        let mut proof = self.hash.hmac(&stored, auth_message);
        xor(&mut proof, &client_key);
        proof
    }

    pub(crate) fn server_signature(&self, auth_message: &[u8]) -> Zeroizing<Vec<u8>> {
        let server_key = self.hash.hmac(&self.octets, b"Server Key");
        self.hash.hmac(&server_key, auth_message)
    }

    fn client_key(&self) -> Zeroizing<Vec<u8>> {
        self.hash.hmac(&self.octets, b"Client Key")
    }

    fn stored_key(&self) -> StoredKey {
        let octets = self.hash.digest(&self.client_key());
        StoredKey {
            hash: self.hash,
            octets: octets.to_vec().into(),
        }
    }

    fn server_key(&self) -> ServerKey {
        let octets = self.hash.hmac(&self.octets, b"Server Key");
        ServerKey {
            hash: self.hash,
            octets: octets.to_vec().into(),
        }
    }
}

fn xor(octets: &mut [u8], with: &[u8]) {
    octets
        .iter_mut()
        .zip(with)
        .for_each(|(octet, with)| *octet ^= with);
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredKey({:?}, [REDACTED])", self.hash)
    }
}

impl fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerKey({:?}, [REDACTED])", self.hash)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({:?}, [REDACTED])", self.hash)
    }
}

impl fmt::Debug for ScramProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScramProof({:?}, [REDACTED])", self.hash)
    }
}

/// Base64 as it stands inside SCRAM messages.
pub(crate) fn base64(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

#[cfg(test)]
mod tests;
