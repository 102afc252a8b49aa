//! Argon2, verified and made.

use std::{cell::RefCell, sync::LazyLock};

use argon2::{
    Algorithm, Argon2, Block, Error, Params, PasswordHash, PasswordHasher as _, Version,
    password_hash::phc::{Output, Salt},
};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{Kind, OutOfMemory, SchemeError, Verifier};

/// 1 GiB, libsodium's largest preset. A login needs it for a moment; as many as there are
/// processors may be verified at once.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const PASSES_MAX: u32 = 64;
const LANES_MAX: u32 = 64;
/// Memory times passes, in KiB: some seconds of work. `doveadm pw -s ARGON2ID -r 5` does 5 passes
/// over 1 GiB.
const WORK_KIB_MAX: u64 = 8 * 1024 * 1024;

/// What a thread keeps to verify in, in blocks of 1 KiB: as much as our own hashes take.
const KEPT_BLOCKS_MAX: usize = Params::DEFAULT_M_COST as usize;

thread_local! {
    /// What this thread verifies in, one hash after the other. An allocator that got so large a
    /// piece back after each would keep it, and from then on others of that size, in each of its
    /// arenas. Between two hashes there is nothing but zeros in it.
    static KEPT: RefCell<Vec<Block>> = const { RefCell::new(Vec::new()) };
}

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

    /// Whether `password` is the right one. Memory for it stays with the thread, unless it is more
    /// than our own hashes take.
    pub(super) fn verify(&self, password: &[u8]) -> Result<bool, OutOfMemory> {
        let stored = PasswordHash::new(self.text.expose_secret()).ok();
        // `parse` has seen to it that everything is there.
        let Some((argon2, salt, hash)) = stored.and_then(parts) else {
            return Ok(false);
        };
        let mut made = Zeroizing::new(vec![0; hash.len()]);
        match hash_in_kept_memory(&argon2, password, &salt, &mut made) {
            Ok(()) => Ok(hash.as_bytes().ct_eq(&made).into()),
            Err(Error::OutOfMemory) => Err(OutOfMemory),
            Err(_) => Ok(false),
        }
    }
}

fn parts(stored: PasswordHash) -> Option<(Argon2<'static>, Salt, Output)> {
    let algorithm = Algorithm::try_from(stored.algorithm.as_str()).ok()?;
    let params = Params::try_from(&stored).ok()?;
    let argon2 = Argon2::new(algorithm, Version::V0x13, params);
    Some((argon2, stored.salt?, stored.hash?))
}

fn hash_in_kept_memory(
    argon2: &Argon2<'_>,
    password: &[u8],
    salt: &[u8],
    made: &mut [u8],
) -> Result<(), Error> {
    let count = argon2.params().block_count();
    if count > KEPT_BLOCKS_MAX {
        // So much the allocator takes from the system and gives back to it.
        return argon2.hash_password_into(password, salt, made);
    }
    KEPT.with_borrow_mut(|blocks| {
        if let Some(missing) = count.checked_sub(blocks.len()) {
            let room = blocks.try_reserve_exact(missing);
            room.map_err(|_| Error::OutOfMemory)?;
            blocks.resize(count, Block::new());
        }
        let blocks = blocks.get_mut(..count).unwrap_or_default();
        let hashed = argon2.hash_password_into_with_memory(password, salt, made, &mut *blocks);
        // PRJ-SEC-7: the first blocks come from the password by one fast hash.
        blocks.fill(Block::new());
        hashed
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// An Argon2id hash of `pencil` that takes so many KiB.
    fn stored(kib: u32) -> Argon {
        let params = Params::new(kib, 1, 1, None).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let hash = argon2.hash_password_with_salt(b"pencil", &[7; 16]).unwrap();
        Argon::parse("ARGON2ID", hash.to_string().as_bytes()).unwrap()
    }

    /// Where the kept memory is and how many blocks it has.
    fn kept() -> (*const Block, usize) {
        KEPT.with_borrow(|blocks| (blocks.as_ptr(), blocks.len()))
    }

    #[test]
    fn prj_sec_1_a_thread_verifies_everything_in_one_piece_of_memory() {
        let largest = u32::try_from(KEPT_BLOCKS_MAX).unwrap();
        assert!(stored(largest).verify(b"pencil").unwrap());
        let first = kept();
        assert_eq!(first.1, KEPT_BLOCKS_MAX);
        for kib in [largest, 8, 4096, largest] {
            let stored = stored(kib);
            assert!(stored.verify(b"pencil").unwrap(), "{kib}");
            assert!(!stored.verify(b"pen").unwrap(), "{kib}");
            assert_eq!(kept(), first, "{kib}");
        }
    }

    #[test]
    fn prj_sec_1_what_exceeds_our_own_hashes_is_not_kept() {
        let more = u32::try_from(KEPT_BLOCKS_MAX).unwrap() + 4;
        assert!(stored(more).verify(b"pencil").unwrap());
        assert_eq!(kept().1, 0);
    }

    #[test]
    fn prj_sec_7_nothing_of_a_password_stays_in_memory_that_is_kept() {
        assert!(stored(64).verify(b"pencil").unwrap());
        KEPT.with_borrow(|blocks| {
            assert_eq!(blocks.len(), 64);
            let octets = blocks.iter().flat_map(|block| block.as_ref());
            assert!(octets.copied().all(|word| word == 0));
        });
    }
}
