//! Certificates for a mail domain instead of a server's name (RFC 7817 §3, RFC 4985).

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
};
use rustls_pki_types::{CertificateDer, DnsName, ServerName, UnixTime};
use x509_parser::{
    asn1_rs::{self, FromDer as _, Ia5String, TaggedExplicit},
    extensions::GeneralName,
};

/// `id-on-dnsSRV` (RFC 4985 §2).
const ID_ON_DNS_SRV: &str = "1.3.6.1.5.5.7.8.7";

/// How names of a service begin, POP3's own: with TLS from the first octet, and with STLS.
const SERVICES: [&str; 2] = ["_pop3s.", "_pop3."];

/// The verifier of these systems looks at names when everything else was found to be right, so that
/// a wrong name means that nothing else is wrong. What others do is not known: with them a
/// certificate has to hold a DNS-ID.
const NAMES_COME_LAST: bool = cfg!(all(
    unix,
    not(target_os = "android"),
    not(target_vendor = "apple")
));

/// Verifies as another does; a certificate may also be for the mail domain.
#[derive(Debug)]
pub(super) struct MailDomainVerifier {
    inner: Arc<dyn ServerCertVerifier>,
    domain: DnsName<'static>,
}

impl MailDomainVerifier {
    pub(super) fn new(inner: Arc<dyn ServerCertVerifier>, domain: DnsName<'static>) -> Self {
        Self { inner, domain }
    }

    /// Whether a name of the certificate is the SRV-ID of POP3 in the domain. Nothing stands for
    /// something else in it: `*` is for DNS-IDs alone (R7817-ID-4).
    fn has_service(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else {
            return false;
        };
        let Ok(Some(names)) = parsed.subject_alternative_name() else {
            return false;
        };
        let mut names = names.value.general_names.iter();
        names.any(|name| match name {
            GeneralName::OtherName(kind, value) if kind.to_id_string() == ID_ON_DNS_SRV => {
                self.is_service(value)
            }
            _ => false,
        })
    }

    /// `value`: `[0] EXPLICIT IA5String`.
    fn is_service(&self, value: &[u8]) -> bool {
        type Value<'v> = TaggedExplicit<Ia5String<'v>, asn1_rs::Error, 0>;
        let Ok((&[], name)) = Value::from_der(value) else {
            return false;
        };
        let name = name.into_inner().as_ref().to_ascii_lowercase();
        let domain = self.domain.as_ref().to_ascii_lowercase();
        SERVICES
            .iter()
            .any(|service| name.strip_prefix(service) == Some(domain.as_str()))
    }
}

impl ServerCertVerifier for MailDomainVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verify = |name: &ServerName<'_>| {
            let inner = &self.inner;
            inner.verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
        };
        let refused = match verify(server_name) {
            Err(
                error @ Error::InvalidCertificate(
                    CertificateError::NotValidForName
                    | CertificateError::NotValidForNameContext { .. },
                ),
            ) => error,
            decided => return decided,
        };
        // R7817-ID-1, R7817-ID-2
        if NAMES_COME_LAST && self.has_service(end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        let domain = ServerName::DnsName(self.domain.clone());
        // Told is which of the server's names it does not hold.
        verify(&domain).map_err(|_| refused)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
