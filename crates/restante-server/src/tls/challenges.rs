//! What a certificate authority is to find at our names while it proves that they are ours:
//! the answers to its challenges, over TLS (`tls-alpn-01`, RFC 8737) and over HTTP (`http-01`,
//! RFC 8555 §8.3).

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    server::{ClientHello, NoServerSessionStorage},
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_pki_types::PrivateKeyDer;

/// The protocol's name in ALPN (RFC 8737 §6.2).
const ALPN: &[u8] = b"acme-tls/1";

/// Answers that are held at a time: of more names no certificate is.
const ANSWERS_MAX: usize = 200;

/// Answers to challenges, for as long as an order needs them.
#[derive(Default)]
pub(crate) struct Challenges(Mutex<Answers>);

#[derive(Default)]
struct Answers {
    /// By the name that is to be proven.
    tls: HashMap<String, Arc<ServerConfig>>,
    /// Key authorizations by their token.
    http: HashMap<String, String>,
}

/// Why there is no answer to give.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    /// Nobody asks for so many.
    #[error("more challenges than a certificate has names")]
    TooMany,
    /// RFC 8555 §8.3: what else it were would stand in a path.
    #[error("the token is not one")]
    Token,
    /// The certificate that is the answer.
    #[error("cannot make a certificate for the challenge")]
    Make(#[from] rcgen::Error),
    /// The same.
    #[error("cannot use the certificate for the challenge")]
    Use(#[from] rustls::Error),
}

impl Challenges {
    /// Answers for `name` over TLS until [`clear`](Self::clear): a certificate of its own that
    /// holds the digest of the key authorization.
    pub(crate) fn answer_over_tls(
        &self,
        name: &str,
        digest: [u8; 32],
        provider: Arc<CryptoProvider>,
    ) -> Result<(), AnswerError> {
        let key = KeyPair::generate()?;
        let mut certificate = CertificateParams::new([name.to_owned()])?;
        certificate.distinguished_name = DistinguishedName::new();
        certificate.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
        let certificate = certificate.self_signed(&key)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        // Not `from_der`, which wants to understand all critical extensions (RFC 8737 §3).
        let key = provider.key_provider.load_private_key(key)?;
        let certified = CertifiedKey::new(vec![certificate.der().clone()], key);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let mut answers = self.answers();
        if answers.tls.len() >= ANSWERS_MAX {
            return Err(AnswerError::TooMany);
        }
        answers.tls.insert(name.to_lowercase(), Arc::new(config));
        Ok(())
    }

    /// Answers for `token` over HTTP until [`clear`](Self::clear).
    pub(crate) fn answer_over_http(
        &self,
        token: &str,
        key_authorization: &str,
    ) -> Result<(), AnswerError> {
        let legal = |octet: u8| octet.is_ascii_alphanumeric() || b"-_".contains(&octet);
        if token.is_empty() || !token.bytes().all(legal) {
            return Err(AnswerError::Token);
        }
        let mut answers = self.answers();
        if answers.http.len() >= ANSWERS_MAX {
            return Err(AnswerError::TooMany);
        }
        let text = key_authorization.to_owned();
        answers.http.insert(token.to_owned(), text);
        Ok(())
    }

    /// Forgets all answers.
    pub(crate) fn clear(&self) {
        *self.answers() = Answers::default();
    }

    /// The key authorization for `token`.
    pub(crate) fn over_http(&self, token: &str) -> Option<String> {
        self.answers().http.get(token).cloned()
    }

    /// With what to shake hands with whoever asks for the answer to a challenge, and for nothing
    /// else; `None` within if there is no such challenge. `None`: it is a client like others.
    pub(crate) fn over_tls(&self, hello: &ClientHello<'_>) -> Option<Option<Arc<ServerConfig>>> {
        let mut protocols = hello.alpn()?;
        // RFC 8737 §3: it is the only protocol in the list.
        if !protocols.any(|protocol| protocol == ALPN) {
            return None;
        }
        let name = hello.server_name().map(str::to_lowercase);
        Some(name.and_then(|name| self.answers().tls.get(&name).cloned()))
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenges").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_is_none_is_never_served() {
        let challenges = Challenges::default();
        for bad in ["", "../../etc/passwd", "a b", "a\r\nSet-Cookie: x", "ü"] {
            let refused = challenges.answer_over_http(bad, "x");
            assert!(matches!(refused, Err(AnswerError::Token)), "{bad:?}");
        }
        challenges.answer_over_http("aZ0-_", "aZ0-_.thumb").unwrap();
        assert_eq!(challenges.over_http("aZ0-_").unwrap(), "aZ0-_.thumb");
        challenges.clear();
        assert_eq!(challenges.over_http("aZ0-_"), None);
    }

    #[test]
    fn an_authority_cannot_fill_the_memory_with_challenges() {
        let challenges = Challenges::default();
        for number in 0..ANSWERS_MAX {
            challenges
                .answer_over_http(&number.to_string(), "x")
                .unwrap();
        }
        let refused = challenges.answer_over_http("more", "x");
        assert!(matches!(refused, Err(AnswerError::TooMany)));
    }
}
