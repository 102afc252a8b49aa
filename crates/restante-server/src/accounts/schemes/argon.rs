//! Argon2, verified and made.

use std::sync::LazyLock;

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher as _, PasswordVerifier as _};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Kind, OutOfMemory, SchemeError, Verifier};

/// 1 GiB, libsodium's largest preset. A login needs it for a moment; as many as there are
/// processors may be verified at once.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const PASSES_MAX: u32 = 64;
const LANES_MAX: u32 = 64;
/// Memory times passes, in KiB: some seconds of work. `doveadm pw -s ARGON2ID -r 5` does 5 passes
/// over 1 GiB.
const WORK_KIB_MAX: u64 = 8 * 1024 * 1024;

/// A PHC string: `$argon2id$v=19$m=65536,t=3,p=1$salt$hash`.
#[derive(Clone)]
pub(super) struct Argon {
    text: SecretString,
}

impl Argon {
    pub(super) fn parse(scheme: &'static str, data: &[u8]) -> Result<Self, SchemeError> {
        let malformed = || SchemeError::Malformed { scheme };
        let text = str::from_utf8(data).map_err(|_| malformed())?;
        if !["$argon2i$v=19$m=", "$argon2id$v=19$m="]
            .iter()
            .any(|start| text.starts_with(start))
        {
            return Err(malformed());
        }
        let hash = PasswordHash::new(text).map_err(|_| malformed())?;
        let params = Params::try_from(&hash).map_err(|_| malformed())?;
        if hash.salt.is_none() || hash.hash.is_none() {
            return Err(malformed());
        }
        let too_costly = |what| SchemeError::TooCostly { scheme, what };
        if params.m_cost() > MEMORY_KIB_MAX {
            return Err(too_costly("more than 1 GiB of memory"));
        }
        if params.t_cost() > PASSES_MAX || params.p_cost() > LANES_MAX {
            return Err(too_costly("more than 64 passes or lanes"));
        }
        if u64::from(params.m_cost()) * u64::from(params.t_cost()) > WORK_KIB_MAX {
            return Err(too_costly("memory times passes exceeds 8 GiB"));
        }
        Ok(Self {
            text: SecretString::from(text),
        })
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> &SecretString {
        &self.text
    }

    pub(super) fn verify(&self, password: &[u8]) -> Result<bool, OutOfMemory> {
        use argon2::password_hash::Error;
        match Argon2::default().verify_password(password, self.text.expose_secret()) {
            Ok(()) => Ok(true),
            Err(Error::OutOfMemory) => Err(OutOfMemory),
            Err(_) => Ok(false),
        }
    }
}

/// Hashes a new password with Argon2id: 19 MiB, 2 passes, 1 lane (OWASP's recommendation).
pub(crate) fn hash_password(password: &[u8], salt: [u8; 16]) -> Result<SecretString, OutOfMemory> {
    let argon2 = Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, Params::DEFAULT);
    // Salt and output have lengths that Argon2 takes: only memory can be wanting.
    let hash = argon2
        .hash_password_with_salt(password, &salt)
        .map_err(|_| OutOfMemory)?;
    Ok(SecretString::from(hash.to_string()))
}

/// What the passwords of people who do not exist are verified with: as slow as our own hashes,
/// and right for nobody.
pub(crate) fn dummy_verifier() -> &'static Verifier {
    static DUMMY: LazyLock<Verifier> = LazyLock::new(|| {
        // Thirty-two zero octets: no password is known to hash to them.
        let text = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$\
                    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        Verifier(Kind::Argon(Argon {
            text: SecretString::from(text),
        }))
    });
    &DUMMY
}
