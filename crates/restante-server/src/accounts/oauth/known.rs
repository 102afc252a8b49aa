//! Tokens that were good a moment ago, so that a burst of connections asks the issuer once.

use std::{fmt::Write as _, io, time::Duration};

use hmac::{Hmac, KeyInit as _, Mac as _};
use moka::sync::Cache;
use secrecy::{ExposeSecret as _, ExposeSecretMut as _, SecretBox};
use sha2::Sha256;
use tokio::time::Instant;

use super::rules::Verified;

/// How long a token is known, if it is good for so long. A token that the issuer revokes is good
/// here for this much longer.
const KNOWN_FOR: Duration = Duration::from_secs(2 * 60);

/// One entry has some 200 octets.
const ENTRIES_MAX: u64 = 100_000;

/// Tokens by a digest under a key that only this process has: whoever reads the memory finds no
/// token, and what is looked up does not depend on a stranger's octets in a way he could time.
pub(super) struct KnownTokens {
    key: SecretBox<[u8; 32]>,
    entries: Cache<[u8; 32], Entry>,
}

#[derive(Clone)]
struct Entry {
    name: String,
    until: Instant,
}

impl KnownTokens {
    pub(super) fn new() -> io::Result<Self> {
        let mut key = SecretBox::new(Box::new([0; 32]));
        getrandom::fill(key.expose_secret_mut())?;
        let entries = Cache::builder()
            .max_capacity(ENTRIES_MAX)
            .time_to_live(KNOWN_FOR)
            .build();
        Ok(Self { key, entries })
    }

    pub(super) fn get(&self, token: &str) -> Option<String> {
        let entry = self.entries.get(&self.digest(token))?;
        (Instant::now() < entry.until).then_some(entry.name)
    }

    /// Never beyond the token's own end.
    pub(super) fn remember(&self, token: &str, verified: &Verified) {
        let good_for = verified
            .good_for
            .map_or(KNOWN_FOR, |time| time.min(KNOWN_FOR));
        let entry = Entry {
            name: verified.name.clone(),
            until: Instant::now() + good_for,
        };
        self.entries.insert(self.digest(token), entry);
    }

    /// 64 bits of the digest, in hex: enough to tell tokens apart.
    pub(super) fn alias(&self, token: &str) -> String {
        let mut alias = String::from("token ");
        for octet in &self.digest(token)[..8] {
            // Writing to a string cannot fail.
            let _ = write!(alias, "{octet:02x}");
        }
        alias
    }

    fn digest(&self, token: &str) -> [u8; 32] {
        let key = self.key.expose_secret();
        let mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
        mac.chain_update(token).finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verified(good_for: Option<u64>) -> Verified {
        Verified {
            name: "tim".into(),
            good_for: good_for.map(Duration::from_secs),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_known_for_two_minutes_and_never_beyond_its_end() {
        for (good_for, seconds) in [(None, 120), (Some(3600), 120), (Some(30), 30), (Some(0), 0)] {
            let known = KnownTokens::new().unwrap();
            known.remember("t", &verified(good_for));
            let last = Duration::from_secs(seconds).saturating_sub(Duration::from_millis(1));
            tokio::time::advance(last).await;
            assert_eq!(known.get("t").is_some(), seconds > 0, "{good_for:?}");
            assert_eq!(known.get("T"), None);
            tokio::time::advance(Duration::from_millis(1)).await;
            assert_eq!(known.get("t"), None, "{good_for:?}");
        }
    }

    #[test]
    fn the_cache_is_bounded_and_shows_no_token() {
        let known = KnownTokens::new().unwrap();
        assert_eq!(known.entries.policy().max_capacity(), Some(ENTRIES_MAX));
        assert_eq!(known.entries.policy().time_to_live(), Some(KNOWN_FOR));
        assert_eq!(known.alias("secret"), known.alias("secret"));
        assert_ne!(known.alias("secret"), known.alias("Secret"));
        assert!(!known.alias("secret").contains("secret"));
        let other = KnownTokens::new().unwrap();
        assert_ne!(known.alias("secret"), other.alias("secret"));
    }
}
