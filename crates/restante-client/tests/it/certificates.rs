//! An authority of the tests, and what it signs.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use restante_client::{Pin, Tls};
use rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

/// An authority that nobody else knows.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A server's certificate.
pub(crate) struct Certificate {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) pin: Pin,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        // Each has a name of its own, so that none is mistaken for another.
        let name = format!("authority {}", key.public_key_raw().escape_ascii());
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Who believes this authority.
    pub(crate) fn believer(&self) -> Tls {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), &self.pem).expect("written");
        Tls::with_ca_file(file.path()).expect("an authority")
    }

    /// A certificate for these names.
    pub(crate) fn sign(&self, names: &[&str]) -> Certificate {
        self.sign_until(names, 2099)
    }

    /// The configuration of a server that insists on a certificate of the client's.
    pub(crate) fn sign_and_ask(&self, names: &[&str]) -> Arc<ServerConfig> {
        let (chain, key, _) = self.issue(names, 2099);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(self.pem.as_bytes());
        roots
            .add(authority.expect("a certificate"))
            .expect("an authority");
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier.build().expect("a verifier"))
            .with_single_cert(chain, key);
        Arc::new(config.expect("certificate and key"))
    }

    /// A certificate that is valid until the beginning of that year.
    pub(crate) fn sign_until(&self, names: &[&str], year: i32) -> Certificate {
        let (chain, key, pin) = self.issue(names, year);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("certificate and key");
        Certificate {
            config: Arc::new(config),
            pin,
        }
    }

    /// The common name is always `localhost`: it must not count (R7817-ID-3).
    fn issue(
        &self,
        names: &[&str],
        year: i32,
    ) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>, Pin) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params
            .distinguished_name
            .push(DnType::CommonName, "localhost");
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let der: CertificateDer<'static> = certificate.der().clone();
        let pin = Pin::of(&der);
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        (vec![der], key, pin)
    }
}
