//! A certificate as it is kept: one text with where it is from, its key and its chain, so that what
//! is on disk fits together at any moment. And whether what an authority sends may take its place.

use std::{sync::Arc, time::Duration};

use rustls::{RootCertStore, client::WebPkiServerVerifier, crypto::CryptoProvider};
use rustls_pki_types::{CertificateDer, Der, ServerName, UnixTime};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use x509_parser::{
    certificate::X509Certificate, extensions::ParsedExtension, prelude::FromDer as _,
};

use super::schedule::{Life, Spread};
use crate::{Identity, TlsError};

/// The first line of the text.
const ORIGIN: &str = "Obtained by ACME from ";
const AT: &str = " at ";

/// Chains are of two or three certificates.
const CHAIN_MAX: usize = 10;

/// A certificate that was obtained, with its key.
#[derive(Clone, Debug)]
pub(super) struct Issued {
    pub(super) identity: Identity,
    pub(super) life: Life,
    /// The directory of the authority it is from.
    pub(super) directory: String,
}

/// Why what an authority has sent does not replace anything.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnusableError {
    #[error("what came is no certificate that fits the key")]
    Identity(#[from] TlsError),
    #[error("the chain is of {0} certificates")]
    TooLong(usize),
    #[error("the certificate is not for `{0}`")]
    Name(String),
    #[error("the certificate does not say how long it is valid")]
    Illegible,
    #[error("the certificate is not valid now, but from {0} to {1}: is the clock right?")]
    NotNow(OffsetDateTime, OffsetDateTime),
    #[error("the chain does not hold together")]
    Chain(#[source] rustls::Error),
    #[error("TLS is not available")]
    Verifier(#[from] rustls::client::VerifierBuilderError),
}

impl Issued {
    /// What an authority has sent for `key`, if clients can be shown it now under all `names`.
    pub(super) fn new(
        chain: &str,
        key: &str,
        directory: &str,
        names: &[String],
        now: OffsetDateTime,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, UnusableError> {
        let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes())?;
        let length = identity.chain().len();
        if length > CHAIN_MAX {
            return Err(UnusableError::TooLong(length));
        }
        if let Some(name) = names.iter().find(|name| !identity.holds(name)) {
            return Err(UnusableError::Name(name.clone()));
        }
        let valid = identity.validity().ok_or(UnusableError::Illegible)?;
        if !valid.contains(&now) {
            return Err(UnusableError::NotNow(*valid.start(), *valid.end()));
        }
        verify(identity.chain(), names, now, provider)?;
        let life = Life {
            not_before: *valid.start(),
            not_after: *valid.end(),
            obtained: now,
        };
        let directory = directory.to_owned();
        Ok(Self {
            identity,
            life,
            directory,
        })
    }

    /// The text that is kept.
    pub(super) fn text(chain: &str, key: &str, directory: &str, now: OffsetDateTime) -> String {
        let at = now.unix_timestamp();
        format!("{ORIGIN}{directory}{AT}{at}\n\n{key}\n{chain}")
    }

    /// What was kept; `None` if it cannot be used at all. It may have ended, or be for fewer names
    /// than there are by now: it is better than none until there is another.
    pub(super) fn from_text(text: &[u8]) -> Option<Self> {
        let identity = Identity::from_pem(text, text).ok()?;
        let valid = identity.validity()?;
        let first = text.split(|&octet| octet == b'\n').next()?;
        let first = std::str::from_utf8(first).unwrap_or_default();
        let origin = first.strip_prefix(ORIGIN);
        let origin = origin.and_then(|origin| origin.rsplit_once(AT));
        let (directory, at) = origin.unwrap_or_default();
        let obtained = at.parse().ok();
        let obtained = obtained.and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
        let life = Life {
            not_before: *valid.start(),
            not_after: *valid.end(),
            obtained: obtained.unwrap_or(*valid.start()),
        };
        let directory = directory.to_owned();
        Some(Self {
            identity,
            life,
            directory,
        })
    }

    /// Whether it is from this authority and for all these names.
    pub(super) fn suits(&self, directory: &str, names: &[String]) -> bool {
        self.directory == directory && names.iter().all(|name| self.identity.holds(name))
    }

    /// The same for as long as the certificate is, whenever the server is started.
    pub(super) fn spread(&self) -> Spread {
        let mut digest = Sha256::new();
        for certificate in self.identity.chain() {
            digest.update(certificate);
        }
        let [first, second, ..] = <[u8; 32]>::from(digest.finalize());
        Spread(u16::from_be_bytes([first, second]))
    }

    /// The name that RFC 9773 §4.1 gives it.
    pub(super) fn identifier(&self) -> Option<instant_acme::CertificateIdentifier<'static>> {
        let (_, certificate) = X509Certificate::from_der(self.identity.chain().first()?).ok()?;
        let authority = certificate.iter_extensions().find_map(|extension| {
            match extension.parsed_extension() {
                ParsedExtension::AuthorityKeyIdentifier(identifier) => {
                    identifier.key_identifier.as_ref()
                }
                _ => None,
            }
        })?;
        let serial = certificate.tbs_certificate.raw_serial();
        let identifier = instant_acme::CertificateIdentifier::new(
            Der::from_slice(authority.0),
            Der::from_slice(serial),
        );
        Some(identifier.into_owned())
    }
}

/// As clients verify it, but for the root: the last certificate of the chain is taken for one.
/// An authority that sends no chain at all is perhaps the root itself.
fn verify(
    chain: &[CertificateDer<'static>],
    names: &[String],
    now: OffsetDateTime,
    provider: &Arc<CryptoProvider>,
) -> Result<(), UnusableError> {
    let Some((end_entity, rest)) = chain.split_first() else {
        return Err(UnusableError::Illegible);
    };
    let Some((last, between)) = rest.split_last() else {
        return Ok(());
    };
    let mut roots = RootCertStore::empty();
    roots.add(last.clone()).map_err(UnusableError::Chain)?;
    let (roots, provider) = (Arc::new(roots), Arc::clone(provider));
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build()?;
    let since_1970 = u64::try_from(now.unix_timestamp()).unwrap_or_default();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(since_1970));
    for name in names {
        let host = ServerName::try_from(name.as_str());
        let host = host.map_err(|_| UnusableError::Name(name.clone()))?;
        let verifier: &dyn rustls::client::danger::ServerCertVerifier = &*verifier;
        verifier
            .verify_server_cert(end_entity, between, &host, &[], now)
            .map_err(UnusableError::Chain)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
