//! TLS: whom to believe (RFC 8314, RFC 7817, RFC 9325).

mod mail_domain;
mod pin;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use restante_sasl::EndPoint;
use rustls::{
    ClientConfig, HandshakeKind, ProtocolVersion,
    client::{Resumption, danger::ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
};
use rustls_pki_types::{CertificateDer, DnsName, pem, pem::PemObject};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use self::mail_domain::MailDomainVerifier;
pub use self::pin::{Pin, PinError};

/// The protocol's name in ALPN (R9325-TLS-4).
const ALPN: &[u8] = b"pop3";

/// The exporter that channel bindings are made of (RFC 9266 §2).
const CHANNEL_BINDING_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// Whom to believe. Make it once and use it for many connections: it remembers sessions.
///
/// TLS 1.2 and 1.3, forward secrecy and authenticated encryption only, no early data, no client
/// certificate (R8314-CERT-3). A certificate must be valid and hold the server's name as DNS-ID or
/// IP address; `*` stands for a whole left-most label alone (R7817-ID-4); the CN and URIs do not
/// count (R7817-ID-3).
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    verifier: Arc<dyn ServerCertVerifier>,
    is_pinned: bool,
}

/// Why there is nobody to believe.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The file of authorities cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The file of authorities holds no certificate, or is damaged.
    #[error("no certificate in PEM form in {}", path.display())]
    NoCertificate {
        /// Which.
        path: PathBuf,
        /// Why, if something is there.
        #[source]
        cause: Option<pem::Error>,
    },
    /// Pinning without a pin would believe nobody.
    #[error("no pin was given")]
    NoPin,
    /// The mail domain is no name of a domain.
    #[error("{} is no name of a domain", domain.escape_debug())]
    Domain {
        /// Which.
        domain: String,
    },
    /// The platform's authorities cannot be used.
    #[error("the platform's certificates cannot be used")]
    Platform(#[source] rustls::Error),
}

impl Tls {
    /// Believes the authorities that the operating system believes. Reads files; may block for a
    /// moment.
    ///
    /// # Errors
    /// [`TlsError::Platform`].
    pub fn platform() -> Result<Self, TlsError> {
        Self::with_roots(Vec::new())
    }

    /// Believes the operating system's authorities and those in a file of PEM certificates, for
    /// servers with an authority of their own. Reads files; may block for a moment.
    ///
    /// # Errors
    /// [`TlsError`] if the file cannot be used.
    pub fn with_ca_file(path: &Path) -> Result<Self, TlsError> {
        let read = std::fs::read(path).map_err(|cause| TlsError::Unreadable {
            path: path.into(),
            cause,
        })?;
        let no_certificate = |cause| TlsError::NoCertificate {
            path: path.into(),
            cause,
        };
        let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read).collect();
        let roots = roots.map_err(|cause| no_certificate(Some(cause)))?;
        if roots.is_empty() {
            return Err(no_certificate(None));
        }
        Self::with_roots(roots)
    }

    /// Believes the holder of a certificate with one of these fingerprints, and nobody else:
    /// whatever its names, dates and issuer. For a certificate that was looked at by a person.
    ///
    /// # Errors
    /// [`TlsError::NoPin`].
    pub fn pinned(pins: &[Pin]) -> Result<Self, TlsError> {
        if pins.is_empty() {
            return Err(TlsError::NoPin);
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = pin::PinVerifier::new(pins, provider.clone());
        let mut tls = Self::with_verifier(provider, Arc::new(verifier))?;
        tls.is_pinned = true;
        Ok(tls)
    }

    /// The same belief, and also in a certificate for this mail domain, the part behind the `@`: by
    /// an SRV-ID of POP3 (`_pop3s.example.com`, `_pop3.example.com`) or a DNS-ID (R7817-ID-1,
    /// R7817-ID-2). It is for a server that was found by way of its mail domain, say by SRV records.
    /// All else about the certificate is verified as ever. A pin looks at no names, with or without.
    ///
    /// # Errors
    /// [`TlsError::Domain`].
    pub fn with_mail_domain(&self, domain: &str) -> Result<Self, TlsError> {
        let name = DnsName::try_from(domain.to_owned()).map_err(|_| TlsError::Domain {
            domain: domain.into(),
        })?;
        let verifier = MailDomainVerifier::new(self.verifier.clone(), name);
        let verifier: Arc<dyn ServerCertVerifier> = Arc::new(verifier);
        let mut config = ClientConfig::clone(&self.config);
        config
            .dangerous()
            .set_certificate_verifier(verifier.clone());
        // What was believed for another reason is not resumed.
        config.resumption = Resumption::default();
        Ok(Self {
            config: Arc::new(config),
            verifier,
            is_pinned: self.is_pinned,
        })
    }

    fn with_roots(roots: Vec<CertificateDer<'static>>) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Verifier::new_with_extra_roots(roots, provider.clone());
        let verifier = verifier.map_err(TlsError::Platform)?;
        Self::with_verifier(provider, Arc::new(verifier))
    }

    fn with_verifier(
        provider: Arc<CryptoProvider>,
        verifier: Arc<dyn ServerCertVerifier>,
    ) -> Result<Self, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Platform)?;
        let mut config = builder
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.into()];
        Ok(Self {
            config: Arc::new(config),
            verifier,
            is_pinned: false,
        })
    }

    /// The same belief for a client of another protocol, whose names in ALPN are `protocols`. It
    /// remembers the same sessions.
    #[must_use]
    pub fn for_protocol(&self, protocols: &[&[u8]]) -> Arc<ClientConfig> {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }

    /// Whether a fingerprint is believed and nothing else. Nobody vouches then for whose the
    /// certificate is, and nobody revokes it: that is less than a verified one (R8314-PIN-1).
    #[must_use]
    pub const fn is_pinned(&self) -> bool {
        self.is_pinned
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }
}

/// What SCRAM-PLUS can bind a login to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bindings {
    /// With TLS 1.3 alone (R9266-CB-1): 1.2 would need the extended master secret (R9266-CB-2),
    /// and rustls does not tell whether it was negotiated.
    pub(crate) exporter: Option<[u8; 32]>,
    /// The server's certificate (R5929-CB-4), but for TLS 1.2 that has resumed a session
    /// (R7677-CB-3).
    pub(crate) end_point: Option<EndPoint>,
}

impl Bindings {
    pub(crate) fn of(stream: &TlsStream<TcpStream>) -> Self {
        let (_, connection) = stream.get_ref();
        let certificates = connection.peer_certificates().unwrap_or_default();
        let end_point = || EndPoint::of_certificate(certificates.first()?);
        let context = Some(&[][..]);
        match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => Self {
                exporter: connection
                    .export_keying_material([0; 32], CHANNEL_BINDING_LABEL, context)
                    .ok(),
                end_point: end_point(),
            },
            _ if connection.handshake_kind() == Some(HandshakeKind::Full) => Self {
                exporter: None,
                end_point: end_point(),
            },
            _ => Self::default(),
        }
    }

    /// Whether there is any.
    pub(crate) const fn are_some(&self) -> bool {
        self.exporter.is_some() || self.end_point.is_some()
    }
}
