//! Spares the slow hash of a password that was right a while ago, never the look-up.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use moka::sync::Cache;
use secrecy::{ExposeSecret as _, SecretBox};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

use crate::accounts::Credential;

/// How long a password is known. POP programs come every few minutes; the bound is for those who
/// read memory.
const KNOWN_FOR: Duration = Duration::from_secs(60 * 60);
/// One entry has some 200 octets.
const ENTRIES_MAX: u64 = 100_000;

/// The last right password of each account, as a digest under a key that only this process has.
pub(super) struct CredentialCache {
    key: SecretBox<[u8; 32]>,
    entries: Cache<String, Entry>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Clone)]
struct Entry {
    digest: [u8; 32],
    since: Instant,
}

impl CredentialCache {
    pub(super) fn new() -> io::Result<Self> {
        let mut key = SecretBox::new(Box::new([0; 32]));
        getrandom::fill(secrecy::ExposeSecretMut::expose_secret_mut(&mut key))?;
        let entries = Cache::builder()
            .max_capacity(ENTRIES_MAX)
            .time_to_live(KNOWN_FOR)
            .build();
        Ok(Self {
            key,
            entries,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        })
    }

    /// Whether `password` was right for this very state of the credential.
    pub(super) fn knows(&self, account: &str, credential: &Credential, password: &[u8]) -> bool {
        let Some(entry) = self.entries.get(account) else {
            return false;
        };
        let digest = self.digest(account, credential, password);
        entry.since.elapsed() < KNOWN_FOR && bool::from(entry.digest.ct_eq(&digest))
    }

    /// Counts whether a password that was given was known to be right.
    pub(super) fn count(&self, is_known: bool) {
        let counter = if is_known { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were known, and how many were not.
    pub(super) fn results(&self) -> (u64, u64) {
        (
            self.hits.load(Ordering::Relaxed),
            self.misses.load(Ordering::Relaxed),
        )
    }

    pub(super) fn remember(&self, account: &str, credential: &Credential, password: &[u8]) {
        let digest = self.digest(account, credential, password);
        self.entries.insert(
            account.to_owned(),
            Entry {
                digest,
                since: Instant::now(),
            },
        );
    }

    /// After a wrong password: whoever guesses gets no entry to compare with.
    pub(super) fn forget(&self, account: &str) {
        self.entries.invalidate(account);
    }

    /// Tells one attempt from another, and says nothing about either.
    pub(super) fn fingerprint(&self, name: &str, password: &[u8]) -> u64 {
        let key = self.key.expose_secret();
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
        for part in [b"attempt", name.as_bytes(), password] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let octets: [u8; 32] = mac.finalize().into_bytes().into();
        octets
            .iter()
            .take(8)
            .fold(0, |number, &octet| number << 8 | u64::from(octet))
    }

    /// Plain passwords only: SCRAM and APOP verify without a slow hash. Each part is preceded by
    /// its length, so that no two sets of parts look the same.
    fn digest(&self, account: &str, credential: &Credential, password: &[u8]) -> [u8; 32] {
        let key = self.key.expose_secret();
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
        let revision = credential.revision().0.to_be_bytes();
        let parts = [
            b"password",
            account.as_bytes(),
            credential.name().as_bytes(),
            &revision,
        ];
        for part in parts.into_iter().chain([password]) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::{Revision, schemes::Verifier};

    fn credential(name: &str, revision: u64) -> Credential {
        let verifier = Verifier::parse(b"{PLAIN}secret").unwrap().unwrap();
        Credential::foreign(name, Revision::new(revision), verifier)
    }

    #[tokio::test(start_paused = true)]
    async fn knows_one_password_of_one_state_of_one_credential() {
        let cache = CredentialCache::new().unwrap();
        let known = credential("default", 1);
        assert!(!cache.knows("tim", &known, b"secret"));
        cache.remember("tim", &known, b"secret");
        assert!(cache.knows("tim", &known, b"secret"));
        assert!(!cache.knows("tim", &known, b"Secret"));
        assert!(!cache.knows("tim", &credential("default", 2), b"secret"));
        assert!(!cache.knows("tim", &credential("phone", 1), b"secret"));
        assert!(!cache.knows("tom", &known, b"secret"));
        cache.forget("tim");
        assert!(!cache.knows("tim", &known, b"secret"));
    }

    #[tokio::test(start_paused = true)]
    async fn forgets_after_an_hour() {
        let cache = CredentialCache::new().unwrap();
        let known = credential("default", 1);
        cache.remember("tim", &known, b"secret");
        tokio::time::advance(KNOWN_FOR - Duration::from_millis(1)).await;
        assert!(cache.knows("tim", &known, b"secret"));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!cache.knows("tim", &known, b"secret"));
    }

    #[test]
    fn is_bounded() {
        let cache = CredentialCache::new().unwrap();
        assert_eq!(cache.entries.policy().max_capacity(), Some(ENTRIES_MAX));
        assert_eq!(cache.entries.policy().time_to_live(), Some(KNOWN_FOR));
    }
}
