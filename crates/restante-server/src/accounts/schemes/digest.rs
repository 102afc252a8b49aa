//! Plain and salted hashes, and PBKDF2 as Dovecot writes it.

use secrecy::{ExposeSecret as _, SecretSlice};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{SchemeError, decode_hex};

/// Some seconds of work.
const ROUNDS_MAX: u32 = 10_000_000;

/// A hash function.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
    Sha512,
}

impl Hash {
    pub(super) fn octets(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    pub(super) fn scheme(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
        }
    }

    pub(super) fn salted_scheme(self) -> &'static str {
        match self {
            Self::Sha1 => "SSHA",
            Self::Sha256 => "SSHA256",
            Self::Sha512 => "SSHA512",
        }
    }

    fn digest(self, password: &[u8], salt: &[u8]) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match self {
            Self::Sha1 => Sha1::new()
                .chain_update(password)
                .chain_update(salt)
                .finalize()
                .to_vec(),
            Self::Sha256 => Sha256::new()
                .chain_update(password)
                .chain_update(salt)
                .finalize()
                .to_vec(),
            Self::Sha512 => Sha512::new()
                .chain_update(password)
                .chain_update(salt)
                .finalize()
                .to_vec(),
        })
    }
}

/// hash(password ∥ salt).
#[derive(Clone)]
pub(super) struct Salted {
    hash: Hash,
    digest: SecretSlice<u8>,
    salt: Box<[u8]>,
}

impl Salted {
    pub(super) fn new(hash: Hash, digest: &[u8], salt: &[u8]) -> Self {
        Self {
            hash,
            digest: digest.to_vec().into(),
            salt: salt.into(),
        }
    }

    pub(super) fn verify(&self, password: &[u8]) -> bool {
        self.hash
            .digest(password, &self.salt)
            .ct_eq(self.digest.expose_secret())
            .into()
    }
}

/// `$1$salt$rounds$40 hex digits`: HMAC-SHA1, 160 bits; the salt is text.
#[derive(Clone)]
pub(super) struct Pbkdf2 {
    salt: Box<[u8]>,
    rounds: u32,
    key: SecretSlice<u8>,
}

impl Pbkdf2 {
    pub(super) fn parse(scheme: &'static str, data: &[u8]) -> Result<Self, SchemeError> {
        let malformed = || SchemeError::Malformed { scheme };
        let rest = data.strip_prefix(b"$1$").ok_or_else(malformed)?;
        let mut fields = rest.split(|&octet| octet == b'$');
        let mut field = || fields.next().ok_or_else(malformed);
        let (salt, rounds, key) = (field()?, field()?, field()?);
        let key = decode_hex(key).filter(|key| key.len() == Hash::Sha1.octets());
        let digits = rounds.iter().all(u8::is_ascii_digit);
        let rounds = str::from_utf8(rounds)
            .ok()
            .filter(|_| digits)
            .map(str::parse);
        let (Some(key), Some(Ok(rounds)), None) = (key, rounds, fields.next()) else {
            return Err(malformed());
        };
        if !(1..=ROUNDS_MAX).contains(&rounds) {
            return Err(SchemeError::TooCostly {
                scheme,
                what: "1 to 10000000 rounds are accepted",
            });
        }
        Ok(Self {
            salt: salt.into(),
            rounds,
            key: key.into(),
        })
    }

    pub(super) fn verify(&self, password: &[u8]) -> bool {
        let mut key = Zeroizing::new([0; 20]);
        pbkdf2::pbkdf2_hmac::<Sha1>(password, &self.salt, self.rounds, key.as_mut());
        key.ct_eq(self.key.expose_secret()).into()
    }
}
