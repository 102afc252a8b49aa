//! Certificates that clients present: who may sign them, and whom they are for (R4422-EXT-1).
//!
//! A certificate is for the mail addresses among its alternative names, and for nobody by its
//! subject, which any authority fills as it likes. In every doubt it is for nobody.

use std::{fs, path::Path, sync::Arc};

use rustls::{
    RootCertStore,
    crypto::CryptoProvider,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{
    CertificateDer, CertificateRevocationListDer, UnixTime, pem, pem::PemObject,
};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

use super::TlsError;

/// Nobody has more addresses that POP3 would be asked for.
const NAMES_MAX: usize = 16;

/// RFC 5321 §4.5.3.1: 64 octets, the sign, 255 octets.
const ADDRESS_OCTETS_MAX: usize = 320;

/// Who may sign the certificates of clients, and which of these are revoked.
#[derive(Clone, Debug)]
pub struct ClientAuthorities {
    roots: Arc<RootCertStore>,
    revoked: Vec<CertificateRevocationListDer<'static>>,
}

/// Whom a verified certificate is for: its mail addresses, at least one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateNames(Vec<String>);

impl ClientAuthorities {
    /// The authorities of a PEM text. Revocation lists may stand in it too; if there is one, every
    /// authority in a client's chain needs one that is not out of date.
    ///
    /// # Errors
    /// [`TlsError::ClientAuthorities`] if there is no usable certificate in it.
    pub fn from_pem(text: &[u8]) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(text) {
            let certificate = certificate.map_err(TlsError::Certificate)?;
            roots
                .add(certificate)
                .map_err(TlsError::ClientAuthorities)?;
        }
        if roots.is_empty() {
            return Err(TlsError::Certificate(pem::Error::NoItemsFound));
        }
        let revoked = CertificateRevocationListDer::pem_slice_iter(text)
            .collect::<Result<_, _>>()
            .map_err(TlsError::Certificate)?;
        let roots = Arc::new(roots);
        Ok(Self { roots, revoked })
    }

    /// As [`from_pem`](Self::from_pem), read from a file. Blocks.
    ///
    /// # Errors
    /// [`TlsError::Unreadable`] names the file, others as for [`from_pem`](Self::from_pem).
    pub fn from_file(path: &Path) -> Result<Self, TlsError> {
        let text = fs::read(path).map_err(|cause| TlsError::Unreadable {
            path: path.to_owned(),
            cause,
        })?;
        Self::from_pem(&text)
    }

    /// Asks every client for a certificate, and lets those in that have none (R4422-EXT-2).
    pub(super) fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let (roots, provider) = (Arc::clone(&self.roots), Arc::clone(provider));
        let mut verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
            .allow_unauthenticated()
            .with_crls(self.revoked.iter().cloned());
        if !self.revoked.is_empty() {
            verifier = verifier.enforce_revocation_expiration();
        }
        let unusable = |error: rustls::server::VerifierBuilderError| {
            TlsError::ClientAuthorities(rustls::Error::General(error.to_string()))
        };
        verifier.build().map_err(unusable)
    }
}

impl CertificateNames {
    /// Whom the chain that a client has presented is for; `None` if `verifier` does not accept it
    /// as things stand now. A resumed session brings its chain along, and much may have changed
    /// since it was presented.
    pub(super) fn of(
        chain: &[CertificateDer<'_>],
        verifier: &dyn ClientCertVerifier,
    ) -> Option<Self> {
        let (certificate, intermediates) = chain.split_first()?;
        let verified = verifier.verify_client_cert(certificate, intermediates, UnixTime::now());
        verified.ok()?;
        Self::read(certificate)
    }

    /// The addresses; `None` unless every one of them is plain.
    fn read(certificate: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(certificate).ok()?;
        // An error: the extension stands there twice.
        let names = certificate.subject_alternative_name().ok()??;
        let mut addresses: Vec<String> = Vec::new();
        for name in &names.value.general_names {
            let GeneralName::RFC822Name(address) = name else {
                continue;
            };
            if !is_plain_address(address) {
                return None;
            }
            if !addresses.iter().any(|known| known == address) {
                addresses.push((*address).to_owned());
            }
        }
        let some = (1..=NAMES_MAX).contains(&addresses.len());
        (rest.is_empty() && some).then_some(Self(addresses))
    }

    #[cfg(test)]
    pub(crate) fn for_test(names: &[&str]) -> Self {
        Self(names.iter().map(|name| (*name).to_owned()).collect())
    }

    /// The only address, if there is but one.
    pub(crate) fn only(&self) -> Option<&str> {
        match self.0.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// An address in ASCII without anything that one reader takes for something else than another:
/// quotes, comments, spaces, NULs.
fn is_plain_address(address: &str) -> bool {
    let legal =
        |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&octet);
    let is_plain = |part: &str| !part.is_empty() && part.bytes().all(legal);
    address.len() <= ADDRESS_OCTETS_MAX
        && address
            .split_once('@')
            .is_some_and(|(local, domain)| is_plain(local) && is_plain(domain))
}

#[cfg(test)]
mod tests;
