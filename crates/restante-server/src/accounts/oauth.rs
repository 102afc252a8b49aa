//! OAuth: whose an access token is, and whether it is good here (RFC 7628 §3.2).
//!
//! ```text
//!  token ──► known a moment ago? ──yes──────────────────────────────► name
//!               │ no
//!               ├─► Introspection: the issuer is asked (RFC 7662)  ─┐
//!               └─► KeyCache ─► KeySet: its signature is verified ──┴► Rules ──► name
//! ```
//!
//! An issuer that is down, slow or talks nonsense is our trouble, never the user's
//! ([`IssuerError`]); a token that is not good is a wrong password ([`TokenFault`]). All that an
//! issuer or a client can make this do is bounded in time and memory.

mod endpoint;
mod http;
mod introspection;
mod key_cache;
mod key_set;
mod known;
mod rules;

use std::{path::PathBuf, sync::Arc, time::Duration};

use restante_sasl::TokenRefusal;
use rustls_pki_types::CertificateDer;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;

pub use self::{
    endpoint::{Endpoint, EndpointError},
    key_set::{KeySet, KeySetError, SignatureAlgorithm},
    rules::{Rules, TokenFault},
};
use self::{
    http::Http, introspection::Introspection, key_cache::KeyCache, known::KnownTokens,
    rules::Verified,
};

/// How long a verification may take, whatever the issuer does. A program that waits longer for
/// its login gives up.
const VERIFICATION_MAX: Duration = Duration::from_secs(5);

/// How tokens are verified.
#[derive(Debug)]
pub struct OauthSettings {
    /// By whom.
    pub verifier: OauthVerifier,
    /// What a token must say.
    pub rules: Rules,
    /// Certificates that issuers may be signed by, beside the system's.
    pub extra_roots: Vec<CertificateDer<'static>>,
}

/// Who says that a token is good.
#[derive(Debug)]
#[non_exhaustive]
pub enum OauthVerifier {
    /// The issuer, each time (RFC 7662).
    Introspection {
        /// Where to ask.
        endpoint: Endpoint,
        /// As whom: the client's id and secret, if the issuer wants them.
        client: Option<(String, SecretString)>,
    },
    /// The issuer's signature, with keys that it publishes.
    Keys {
        /// Where they are.
        source: KeySource,
        /// The algorithms that count; what the token says is not believed.
        algorithms: Vec<SignatureAlgorithm>,
    },
}

/// Where an issuer's keys are: a JSON Web Key Set (RFC 7517 §5).
#[derive(Clone, Debug)]
pub enum KeySource {
    /// Fetched, and again now and then.
    Url(Endpoint),
    /// A file, read again when it may have changed.
    File(PathBuf),
}

/// Verifies tokens. Shared by all connections.
pub struct Oauth {
    source: Source,
    rules: Rules,
    known: KnownTokens,
    refusal: TokenRefusal,
}

enum Source {
    Introspection(Box<Introspection>),
    Keys(Arc<KeyCache>),
}

/// Why tokens cannot be verified at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OauthError {
    /// The system gave no random octets.
    #[error("the system gives no randomness")]
    Randomness(#[source] std::io::Error),
    /// TLS cannot be used as a client.
    #[error("TLS is not available")]
    Tls(#[source] rustls::Error),
    /// An extra root is not a certificate that can sign.
    #[error("a certificate of `ca_file` cannot be used")]
    Root(#[source] rustls::Error),
    /// Without keys every token would be refused.
    #[error("no algorithm to verify tokens with")]
    NoAlgorithm,
}

/// Why a token was not verified.
#[derive(Debug)]
pub(super) enum TokenError {
    /// It is not good here.
    Refused(TokenFault),
    /// That could not be found out.
    Issuer(IssuerError),
}

/// Why an issuer gave no answer that could be used. Ours to put right, or the issuer's.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssuerError {
    /// It did not answer in time.
    #[error("the token issuer did not answer in time")]
    Slow,
    /// It has just failed; it is left alone for a moment.
    #[error("the token issuer failed a moment ago")]
    Resting,
    /// It cannot be reached.
    #[error("the token issuer cannot be reached: {0}")]
    Unreachable(String),
    /// It refused to answer, as when the client's secret is wrong.
    #[error("the token issuer answered with status {0}")]
    Status(u16),
    /// Its answer is longer than any that makes sense.
    #[error("the token issuer's answer is too long")]
    TooLong,
    /// Its answer is not what the RFC says.
    #[error("the token issuer's answer is not understood: {0}")]
    NotUnderstood(&'static str),
    /// The file with its keys cannot be read.
    #[error("the token issuer's keys cannot be read: {0}")]
    File(String),
    /// Its keys cannot be used.
    #[error("the token issuer's keys cannot be used")]
    Keys(#[source] KeySetError),
}

impl Oauth {
    /// # Errors
    /// [`OauthError`]: nothing that these settings ask for could work.
    pub fn new(settings: OauthSettings) -> Result<Self, OauthError> {
        let OauthSettings {
            verifier,
            rules,
            extra_roots,
        } = settings;
        let source = match verifier {
            OauthVerifier::Introspection { endpoint, client } => {
                let http = Http::new(extra_roots)?;
                Source::Introspection(Box::new(Introspection::new(http, endpoint, client)))
            }
            OauthVerifier::Keys { source, algorithms } => {
                if algorithms.is_empty() {
                    return Err(OauthError::NoAlgorithm);
                }
                let http = match &source {
                    KeySource::Url(_) => Some(Http::new(extra_roots)?),
                    KeySource::File(_) => None,
                };
                Source::Keys(Arc::new(KeyCache::new(source, http, algorithms)))
            }
        };
        let configuration = |issuer: &String| {
            let issuer = issuer.trim_end_matches('/');
            format!("{issuer}/.well-known/openid-configuration")
        };
        let refusal = TokenRefusal {
            scope: rules.scope.clone(),
            openid_configuration: rules.issuer.as_ref().map(configuration),
        };
        Ok(Self {
            source,
            rules,
            known: KnownTokens::new().map_err(OauthError::Randomness)?,
            refusal,
        })
    }

    /// What a client is told whose token is refused.
    pub(super) fn refusal(&self) -> &TokenRefusal {
        &self.refusal
    }

    /// A name for the token that shows nothing of it, the same for the same token.
    pub(super) fn alias(&self, token: &SecretString) -> String {
        self.known.alias(token.expose_secret())
    }

    /// Whose the token is, in the issuer's words.
    pub(super) async fn verify(&self, token: &SecretString) -> Result<String, TokenError> {
        let token = token.expose_secret();
        if let Some(name) = self.known.get(token) {
            return Ok(name);
        }
        let verification = timeout(VERIFICATION_MAX, self.ask(token)).await;
        let verified = verification.map_err(|_| TokenError::Issuer(IssuerError::Slow))??;
        self.known.remember(token, &verified);
        Ok(verified.name)
    }

    async fn ask(&self, token: &str) -> Result<Verified, TokenError> {
        match &self.source {
            Source::Introspection(introspection) => introspection.verify(token, &self.rules).await,
            Source::Keys(keys) => keys.verify(token, &self.rules).await,
        }
    }
}

impl std::fmt::Debug for Oauth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Oauth")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

impl From<TokenFault> for TokenError {
    fn from(fault: TokenFault) -> Self {
        Self::Refused(fault)
    }
}

impl From<IssuerError> for TokenError {
    fn from(error: IssuerError) -> Self {
        Self::Issuer(error)
    }
}

/// Seconds since 1970, as tokens count time.
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
pub(crate) mod tests;
