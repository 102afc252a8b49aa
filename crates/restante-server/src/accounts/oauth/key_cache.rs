//! An issuer's keys, fetched when they are needed and not too often.
//!
//! Keys that are a little old are used while new ones are fetched, so that no login waits for an
//! issuer that is slow; keys that are older are not used without asking. A token with an unknown
//! key has them fetched at once, because issuers change keys, but not more often than now and
//! then, because anybody can write a token.

use std::{
    io::Read as _,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Request,
    header::{ACCEPT, HeaderValue},
};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::{
    IssuerError, KeySet, KeySource, Rules, SignatureAlgorithm, TokenError, TokenFault, http::Http,
    key_set::Claimed, now, rules::Verified,
};

/// A hundred large keys with their certificates; most issuers have a hundredth of it.
const SET_OCTETS_MAX: usize = 256 * 1024;

/// How long one fetch may take; shorter than a verification, which may begin with a wait for it.
const FETCH_MAX: Duration = Duration::from_secs(4);

/// For so long they are used without a thought; then fetched beside.
const FRESH_FOR: Duration = Duration::from_secs(10 * 60);
/// For so long they are used at all. A key that an issuer withdraws counts no longer than this.
const USABLE_FOR: Duration = Duration::from_secs(60 * 60);
/// The same for a file, which costs next to nothing.
const FILE_FRESH_FOR: Duration = Duration::from_secs(5);

/// How often an unknown key may have them fetched.
const UNKNOWN_KEY_EVERY: Duration = Duration::from_secs(30);

/// How long an issuer that failed is left alone.
const REST: Duration = Duration::from_secs(2);

pub(super) struct KeyCache {
    source: KeySource,
    http: Option<Http>,
    algorithms: Vec<SignatureAlgorithm>,
    loaded: RwLock<Option<Loaded>>,
    /// Held while fetching; when and how the last fetch failed, if it did.
    fetching: Mutex<Option<(Instant, IssuerError)>>,
}

#[derive(Clone)]
struct Loaded {
    keys: Arc<KeySet>,
    since: Instant,
}

impl KeyCache {
    pub(super) fn new(
        source: KeySource,
        http: Option<Http>,
        algorithms: Vec<SignatureAlgorithm>,
    ) -> Self {
        Self {
            source,
            http,
            algorithms,
            loaded: RwLock::new(None),
            fetching: Mutex::new(None),
        }
    }

    pub(super) async fn verify(
        self: &Arc<Self>,
        token: &str,
        rules: &Rules,
    ) -> Result<Verified, TokenError> {
        let claimed = Claimed::parse(token, &self.algorithms)?;
        let loaded = self.current().await?;
        match loaded.keys.verify_claimed(token, &claimed, rules, now()) {
            Err(TokenFault::Key) if loaded.since.elapsed() >= UNKNOWN_KEY_EVERY => {
                let loaded = self.fetch_after(Some(loaded.since)).await?;
                Ok(loaded.keys.verify_claimed(token, &claimed, rules, now())?)
            }
            verdict => Ok(verdict?),
        }
    }

    /// Keys that may be used now.
    async fn current(self: &Arc<Self>) -> Result<Loaded, IssuerError> {
        let (fresh_for, usable_for) = match self.source {
            KeySource::Url(_) => (FRESH_FOR, USABLE_FOR),
            KeySource::File(_) => (FILE_FRESH_FOR, FILE_FRESH_FOR),
        };
        let Some(loaded) = self.loaded() else {
            return self.fetch_after(None).await;
        };
        let age = loaded.since.elapsed();
        if age >= usable_for {
            return self.fetch_after(Some(loaded.since)).await;
        }
        // One fetch at a time: if one runs, nobody needs another.
        if age >= fresh_for && self.fetching.try_lock().is_ok() {
            let (cache, since) = (Arc::clone(self), loaded.since);
            tokio::spawn(async move {
                if let Err(error) = cache.fetch_after(Some(since)).await {
                    let reason = crate::log::causes(&error);
                    tracing::warn!(reason, "the token issuer's keys were not renewed");
                }
            });
        }
        Ok(loaded)
    }

    /// Keys that were fetched after `since`: by somebody else meanwhile, or now.
    async fn fetch_after(&self, since: Option<Instant>) -> Result<Loaded, IssuerError> {
        let mut failed = self.fetching.lock().await;
        if let Some(loaded) = self.loaded().filter(|loaded| Some(loaded.since) > since) {
            return Ok(loaded);
        }
        if let Some((when, error)) = &*failed
            && when.elapsed() < REST
        {
            return Err(error.clone());
        }
        let fetched = timeout(FETCH_MAX, self.fetch()).await;
        match fetched.unwrap_or(Err(IssuerError::Slow)) {
            Ok(keys) => {
                let loaded = Loaded {
                    keys: Arc::new(keys),
                    since: Instant::now(),
                };
                let mut place = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
                *place = Some(loaded.clone());
                *failed = None;
                Ok(loaded)
            }
            Err(error) => {
                *failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn fetch(&self) -> Result<KeySet, IssuerError> {
        let json = match (&self.source, &self.http) {
            (KeySource::Url(endpoint), Some(http)) => {
                let mut request = Request::new(Full::default());
                *request.uri_mut() = endpoint.uri();
                // RFC 7517 §8.5.
                let types = "application/jwk-set+json, application/json";
                let types = HeaderValue::from_static(types);
                request.headers_mut().insert(ACCEPT, types);
                http.exchange(request, SET_OCTETS_MAX).await?.to_vec()
            }
            (KeySource::Url(_), None) => {
                return Err(IssuerError::NotUnderstood("nobody to fetch its keys"));
            }
            (KeySource::File(path), _) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || read(&path)).await;
                read.unwrap_or_else(|error| Err(IssuerError::File(error.to_string())))?
            }
        };
        KeySet::parse(&json, &self.algorithms).map_err(IssuerError::Keys)
    }

    fn loaded(&self) -> Option<Loaded> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        loaded.clone()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, IssuerError> {
    let failed = |error: std::io::Error| IssuerError::File(error.to_string());
    let mut json = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    // One octet more than fits shows that there are too many.
    let most = SET_OCTETS_MAX as u64 + 1;
    file.take(most).read_to_end(&mut json).map_err(failed)?;
    match json.len() > SET_OCTETS_MAX {
        true => Err(IssuerError::TooLong),
        false => Ok(json),
    }
}
