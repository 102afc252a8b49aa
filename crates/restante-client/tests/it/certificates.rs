//! An authority of the tests, and what it signs.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use restante_client::{Pin, Tls};
use rustls::{
    ALL_VERSIONS, RootCertStore, ServerConfig, SupportedProtocolVersion, crypto::aws_lc_rs,
    server::WebPkiClientVerifier,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

/// `id-on-dnsSRV`, with its tag and length.
const ID_ON_DNS_SRV: &[u8] = &[6, 8, 0x2B, 6, 1, 5, 5, 7, 8, 7];

type Issued = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>, Pin);

/// An authority that nobody else knows.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A server's certificate.
pub(crate) struct Certificate {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) pin: Pin,
    pub(crate) der: CertificateDer<'static>,
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
        self.sign_for(names, year, ALL_VERSIONS)
    }

    /// The same, for a server that speaks these versions alone.
    pub(crate) fn sign_for(
        &self,
        names: &[&str],
        year: i32,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Certificate {
        certificate(self.issue(names, year), versions)
    }

    /// As `sign_until`, for names of domains and for names of services (RFC 4985), both in the
    /// octets of the extension itself: rcgen knows no IA5String here.
    pub(crate) fn sign_services(
        &self,
        names: &[&str],
        services: &[&str],
        year: i32,
    ) -> Certificate {
        let names = names.iter().map(|name| der(0x82, name.as_bytes()));
        let services = services.iter().map(|service| {
            let value = der(0xA0, &der(0x16, service.as_bytes()));
            der(0xA0, &[ID_ON_DNS_SRV, &value].concat())
        });
        let names = der(0x30, &names.chain(services).collect::<Vec<_>>().concat());
        let extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], names);
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.custom_extensions.push(extension);
        certificate(self.issue_as(params, year), ALL_VERSIONS)
    }

    /// The common name is always `localhost`: it must not count (R7817-ID-3).
    fn issue(&self, names: &[&str], year: i32) -> Issued {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.issue_as(CertificateParams::new(names).expect("names"), year)
    }

    fn issue_as(&self, mut params: CertificateParams, year: i32) -> Issued {
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

fn certificate(
    (chain, key, pin): Issued,
    versions: &[&'static SupportedProtocolVersion],
) -> Certificate {
    let der = chain.first().expect("a chain").clone();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("certificate and key");
    Certificate {
        config: Arc::new(config),
        pin,
        der,
    }
}

/// One value in DER, of less than 128 octets.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("a short one");
    assert!(length < 128);
    [&[tag, length], content].concat()
}
