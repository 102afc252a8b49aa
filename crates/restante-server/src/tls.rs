//! TLS: which certificate, which versions, and the handshake (RFC 8314, RFC 9325).
//!
//! Versions 1.2 and 1.3 with the suites of rustls on aws-lc-rs: forward secrecy and AEAD only.
//! Tickets are stateless, so that resumption costs no memory for each client; a ticket is good with
//! the certificate alone that was shown when it was given. There is no early data (R9325-TLS-5) and
//! no compression. A client certificate is asked for only where authorities
//! are configured that may sign some (R8314-CERT-1).

pub(crate) mod challenges;
mod client_certificate;

use std::{
    io,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use restante_sasl::EndPoint;
use rustls::{
    HandshakeKind, ProtocolVersion, ServerConfig,
    client::verify_server_name,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{
        Acceptor, NoServerSessionStorage, ParsedCertificate, ProducesTickets,
        danger::ClientCertVerifier,
    },
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem, pem::PemObject};
use time::OffsetDateTime;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake, server::TlsStream};
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _, time::ASN1Time};

use self::challenges::Challenges;
pub use self::client_certificate::{CertificateNames, ClientAuthorities};

/// The protocol's name in ALPN (R9325-TLS-4).
const ALPN: &[u8] = b"pop3";

/// A fatal `unrecognized_name` alert as a TLS record (RFC 6066 §3), for `strict_sni`.
const UNRECOGNIZED_NAME: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70];

/// A fatal `no_application_protocol` alert (RFC 7301 §3.2), for challenges that nobody has set.
pub(crate) const NO_APPLICATION_PROTOCOL: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x78];

/// The exporter that channel bindings are made of (RFC 9266 §2).
const CHANNEL_BINDING_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// A certificate chain with its private key.
#[derive(Clone, Debug)]
pub struct Identity(Arc<CertifiedKey>);

/// Who a server says it is.
#[derive(Clone, Debug)]
pub struct Identities {
    /// Shown to clients that name no host, or an unknown one.
    pub default: Identity,
    /// More, each shown to clients that ask for a name its certificate holds; the first that fits.
    pub named: Vec<Identity>,
    /// Whether a client that asks for a name no certificate holds is refused (R9325-TLS-3).
    pub strict_sni: bool,
    /// Who may sign the certificates of clients; `None`: none is asked for.
    pub clients: Option<ClientAuthorities>,
}

/// The TLS side of a server. Connections that exist keep what they began with.
#[derive(Debug)]
pub struct Tls {
    provider: Arc<CryptoProvider>,
    challenges: Arc<Challenges>,
    /// What the offer was made of; locked while one is made in place of another.
    identities: Mutex<Identities>,
    offer: RwLock<Arc<Offer>>,
}

/// Why there is no TLS to offer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// What should hold certificates holds none, or is damaged.
    #[error("no usable certificate in PEM form")]
    Certificate(#[source] pem::Error),
    /// What should hold the private key holds none, or is damaged.
    #[error("no usable private key in PEM form")]
    Key(#[source] pem::Error),
    /// The key is of an unknown kind, or is not the certificate's.
    #[error("certificate and key cannot be used together")]
    Pair(#[source] rustls::Error),
    /// The authorities that are to sign clients' certificates are none.
    #[error("no usable authority for client certificates")]
    ClientAuthorities(#[source] rustls::Error),
    /// The cryptographic library does not work.
    #[error("TLS is not available")]
    Unavailable(#[source] rustls::Error),
}

/// Why a handshake came to nothing. The connection is of no further use (R2595-POL-2).
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// The peer or the network failed, or the peer spoke no TLS that we accept.
    #[error("{0}")]
    Failed(#[from] io::Error),
    /// The peer asked for a name that no certificate holds, under `strict_sni`.
    #[error("client asked for an unknown name")]
    UnknownName,
    /// The peer was a certificate authority, who has seen what it wanted to, or not.
    #[error("a certificate authority's challenge, {}", if *.0 { "answered" } else { "unknown" })]
    Challenge(bool),
}

/// A connection after its handshake.
pub(crate) struct Accepted<S> {
    pub(crate) stream: TlsStream<S>,
    /// The binding to the certificate that was shown, if it can be bound to.
    end_point: Option<EndPoint>,
}

/// What a connection under TLS has agreed on.
#[derive(Clone, Debug)]
pub(crate) struct Agreed {
    /// `TLSv1.2` or `TLSv1.3`.
    pub(crate) version: &'static str,
    /// The `tls-exporter` channel binding, where it is sound.
    pub(crate) exporter: Option<[u8; 32]>,
    /// The `tls-server-end-point` channel binding, where there is one.
    pub(crate) end_point: Option<EndPoint>,
    /// Whom the client's certificate is for, if it has presented one and it counts.
    pub(crate) certificate: Option<Arc<CertificateNames>>,
    /// The host that the client asked for.
    pub(crate) server_name: Option<String>,
}

#[derive(Debug)]
struct Offer {
    clients: Option<Arc<dyn ClientCertVerifier>>,
    default: Choice,
    named: Vec<Choice>,
    strict_sni: bool,
}

#[derive(Debug)]
struct Choice {
    certificate: CertificateDer<'static>,
    end_point: Option<EndPoint>,
    ticketer: Arc<dyn ProducesTickets>,
    config: Arc<ServerConfig>,
}

impl Identity {
    /// The identity in two PEM texts: the chain, the server's own certificate first, and the key
    /// (PKCS #8, PKCS #1 or SEC 1). They may be the same text.
    ///
    /// # Errors
    /// [`TlsError`] says which of the two is of no use, or that they do not belong together.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<Vec<_>, _>>()
            .map_err(TlsError::Certificate)?;
        if chain.is_empty() {
            return Err(TlsError::Certificate(pem::Error::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(TlsError::Key)?;
        let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
            .map_err(TlsError::Pair)?;
        Ok(Self(Arc::new(certified)))
    }

    /// As [`Identity::from_pem`], read from files. Blocks.
    ///
    /// # Errors
    /// [`TlsError::Unreadable`] names the file, others as for [`Identity::from_pem`].
    pub fn from_files(certificates: &Path, key: &Path) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|cause| TlsError::Unreadable {
                path: path.to_owned(),
                cause,
            })
        };
        Self::from_pem(&read(certificates)?, &read(key)?)
    }

    /// Whether the certificate is for the host `name`.
    #[must_use]
    pub fn holds(&self, name: &str) -> bool {
        let end_entity = self.0.end_entity_cert();
        end_entity.is_ok_and(|certificate| is_for(certificate, name))
    }

    /// The first and the last moment at which the certificate is valid, if it says so legibly.
    #[must_use]
    pub fn validity(&self) -> Option<RangeInclusive<OffsetDateTime>> {
        let (_, certificate) = X509Certificate::from_der(self.0.end_entity_cert().ok()?).ok()?;
        let moment = |time: ASN1Time| OffsetDateTime::from_unix_timestamp(time.timestamp()).ok();
        let validity = certificate.validity();
        Some(moment(validity.not_before)?..=moment(validity.not_after)?)
    }

    /// The chain, the server's own certificate first.
    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.0.cert
    }
}

/// Whether `certificate` is for the host `name`.
fn is_for(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let Ok(name) = ServerName::try_from(name) else {
        return false;
    };
    ParsedCertificate::try_from(certificate)
        .is_ok_and(|certificate| verify_server_name(&certificate, &name).is_ok())
}

impl From<Identity> for Identities {
    fn from(default: Identity) -> Self {
        Self {
            default,
            named: Vec::new(),
            strict_sni: false,
            clients: None,
        }
    }
}

impl Tls {
    /// TLS with these certificates.
    ///
    /// # Errors
    /// [`TlsError::Unavailable`] when the cryptographic library has no randomness, or a
    /// certificate is not one.
    pub fn new(identities: impl Into<Identities>) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let identities = identities.into();
        let offer = Offer::new(identities.clone(), &provider, None)?;
        Ok(Self {
            provider,
            challenges: Arc::default(),
            identities: Mutex::new(identities),
            offer: RwLock::new(Arc::new(offer)),
        })
    }

    /// From now on, handshakes show these certificates; sessions go on undisturbed (PRJ-TLS-7).
    ///
    /// # Errors
    /// As [`Tls::new`]; then nothing has changed.
    pub fn replace(&self, identities: impl Into<Identities>) -> Result<(), TlsError> {
        let identities = identities.into();
        self.change(|current| *current = identities)
    }

    /// As [`Tls::replace`], with what `change` makes of the certificates that are shown now:
    /// nobody else changes them meanwhile.
    ///
    /// # Errors
    /// As [`Tls::new`]; then nothing has changed.
    pub fn change(&self, change: impl FnOnce(&mut Identities)) -> Result<(), TlsError> {
        let mut identities = self
            .identities
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut changed = identities.clone();
        change(&mut changed);
        let offer = Offer::new(changed.clone(), &self.provider, Some(&self.offer()))?;
        *identities = changed;
        *self.offer.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(offer);
        Ok(())
    }

    /// What is shown to clients that name no host.
    #[must_use]
    pub fn default_identity(&self) -> Identity {
        let identities = self.identities.lock();
        let identities = identities.unwrap_or_else(PoisonError::into_inner);
        identities.default.clone()
    }

    /// What certificate authorities are answered.
    pub(crate) fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }

    /// The one cryptographic provider.
    pub(crate) fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }

    /// Takes the server's part in a handshake; `stream` stands before the ClientHello.
    ///
    /// The caller bounds the time.
    pub(crate) async fn accept<S>(&self, stream: S) -> Result<Accepted<S>, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), stream);
        let start = (&mut acceptor).await?;
        if let Some(answer) = self.challenges.over_tls(&start.client_hello()) {
            // Boxed: hardly any connection is one of these.
            return Err(Box::pin(answer_challenge(start, answer)).await);
        }
        let offer = self.offer();
        let choice = start
            .client_hello()
            .server_name()
            .map_or_else(|| Some(&offer.default), |name| offer.choice_for(name));
        let Some(choice) = choice else {
            let mut stream = start.io;
            stream.write_all(&UNRECOGNIZED_NAME).await?;
            return Err(HandshakeError::UnknownName);
        };
        // A block is taken as a whole, or the end of an answer could be cut over two records; the
        // link flushes after each block, so this buffer holds one at most.
        let stream = start
            .into_stream_with(Arc::clone(&choice.config), |connection| {
                connection.set_buffer_limit(None);
            })
            .await?;
        Ok(Accepted {
            stream,
            end_point: choice.end_point.clone(),
        })
    }

    /// What the handshake has come to.
    pub(crate) fn agreed<S>(&self, accepted: &Accepted<S>) -> Agreed {
        Agreed::of(accepted, self.offer().clients.as_deref())
    }

    fn offer(&self) -> Arc<Offer> {
        Arc::clone(&self.offer.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Shows a certificate authority what it wants to see, and nothing more (RFC 8737 §3).
pub(crate) async fn answer_challenge<S>(
    start: StartHandshake<S>,
    answer: Option<Arc<ServerConfig>>,
) -> HandshakeError
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let shown = match answer {
        Some(config) => match start.into_stream(config).await {
            Ok(mut stream) => {
                // It has seen the certificate, and may be gone.
                let _ = stream.shutdown().await;
                Ok(true)
            }
            Err(error) => Err(error),
        },
        None => {
            let mut stream = start.io;
            let told = stream.write_all(&NO_APPLICATION_PROTOCOL).await;
            told.map(|()| false)
        }
    };
    shown.map_or_else(HandshakeError::Failed, HandshakeError::Challenge)
}

impl Agreed {
    fn of<S>(accepted: &Accepted<S>, clients: Option<&dyn ClientCertVerifier>) -> Self {
        let (_, connection) = accepted.stream.get_ref();
        let version = connection.protocol_version();
        // TLS 1.2 would need the extended master secret (R9266-CB-2, R7677-CB-3), and rustls does
        // not tell whether it was negotiated.
        let sound = version == Some(ProtocolVersion::TLSv1_3);
        let export = || {
            let context = Some(&[][..]);
            connection
                .export_keying_material([0; 32], CHANNEL_BINDING_LABEL, context)
                .ok()
        };
        // R7677-CB-3, for the same reason: bound to nothing where TLS 1.2 has resumed a session.
        let is_full = connection.handshake_kind() == Some(HandshakeKind::Full);
        let is_certain = sound || (version == Some(ProtocolVersion::TLSv1_2) && is_full);
        let chain = connection.peer_certificates();
        let certificate = chain
            .zip(clients)
            .and_then(|(chain, clients)| CertificateNames::of(chain, clients));
        Self {
            version: match version {
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                _ => "TLS",
            },
            exporter: sound.then(export).flatten(),
            end_point: accepted.end_point.clone().filter(|_| is_certain),
            certificate: certificate.map(Arc::new),
            server_name: connection.server_name().map(str::to_owned),
        }
    }
}

impl Offer {
    fn new(
        identities: Identities,
        provider: &Arc<CryptoProvider>,
        before: Option<&Self>,
    ) -> Result<Self, TlsError> {
        let clients = identities.clients.as_ref();
        let clients = clients
            .map(|clients| clients.verifier(provider))
            .transpose()?;
        let choice = |identity: Identity| Choice::new(identity, provider, before, clients.as_ref());
        Ok(Self {
            default: choice(identities.default)?,
            named: identities
                .named
                .into_iter()
                .map(choice)
                .collect::<Result<_, _>>()?,
            strict_sni: identities.strict_sni,
            clients,
        })
    }

    /// What a client that asks for `name` is shown, or `None` when it is to be refused.
    fn choice_for(&self, name: &str) -> Option<&Choice> {
        let holds_name = |choice: &&Choice| choice.holds(name);
        let named = self.named.iter().find(holds_name);
        let fitting = named.or(Some(&self.default).filter(holds_name));
        let fallback = (!self.strict_sni).then_some(&self.default);
        fitting.or(fallback)
    }

    /// What makes the tickets of those who were shown `certificate`. Nobody who resumes a session
    /// may take one certificate for another (R5929-CB-4).
    fn ticketer(&self, certificate: &CertificateDer<'_>) -> Option<&Arc<dyn ProducesTickets>> {
        let mut choices = self.named.iter().chain([&self.default]);
        let same = choices.find(|choice| choice.certificate == *certificate)?;
        Some(&same.ticketer)
    }
}

impl Choice {
    fn new(
        identity: Identity,
        provider: &Arc<CryptoProvider>,
        before: Option<&Offer>,
        clients: Option<&Arc<dyn ClientCertVerifier>>,
    ) -> Result<Self, TlsError> {
        let certificate = identity
            .0
            .end_entity_cert()
            .map_err(TlsError::Pair)?
            .clone()
            .into_owned();
        let ticketer = match before.and_then(|before| before.ticketer(&certificate)) {
            Some(same) => Arc::clone(same),
            None => aws_lc_rs::Ticketer::new().map_err(TlsError::Unavailable)?,
        };
        let config = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unavailable)?;
        let config = match clients {
            Some(clients) => config.with_client_cert_verifier(Arc::clone(clients)),
            None => config.with_no_client_auth(),
        };
        let mut config = config.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.0)));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.ticketer = Arc::clone(&ticketer);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self {
            end_point: EndPoint::of_certificate(&certificate),
            certificate,
            ticketer,
            config: Arc::new(config),
        })
    }

    /// Whether the certificate is for the host `name`.
    fn holds(&self, name: &str) -> bool {
        is_for(&self.certificate, name)
    }
}
