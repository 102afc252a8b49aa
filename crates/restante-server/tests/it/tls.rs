//! What TLS offers, and what it refuses.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use restante_server::{Identities, ServerSettings, Tls};
use rustls::{
    ClientConfig, HandshakeKind, ProtocolVersion, SignatureScheme,
    client::{
        ResolvesClientCert, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    client::Client,
    setup::{Running, identity},
};

async fn handshake(
    server: &Running,
    name: &str,
    config: impl Into<Arc<ClientConfig>>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server.tls).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(config.into())
        .connect(name, stream)
        .await
}

#[tokio::test]
async fn r9325_tls_4_alpn_pop3_is_agreed_others_are_refused_and_none_is_fine() {
    let server = Running::new();
    let with_alpn = |protocols: &[&str]| {
        let mut config = server.client_config(&[&TLS12, &TLS13]);
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        config
    };
    let stream = handshake(&server, "localhost", with_alpn(&["imap", "pop3"]))
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"pop3"[..]));
    let error = handshake(&server, "localhost", with_alpn(&["imap", "http/1.1"]))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("NoApplicationProtocol"),
        "{error}"
    );
    let stream = handshake(&server, "localhost", with_alpn(&[]))
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), None);
}

/// Trusts whatever certificate comes and remembers it.
#[derive(Debug)]
struct Shown(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Shown {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Which certificate a client that asks for `name` is shown.
async fn shown(server: &Running, name: &str) -> std::io::Result<CertificateDer<'static>> {
    let mut config = server.client_config(&[&TLS12, &TLS13]);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(server.certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .unwrap();
    config
        .dangerous()
        .set_certificate_verifier(Arc::new(Shown(verifier)));
    config.enable_sni = name != "localhost";
    let stream = handshake(server, name, config).await?;
    let certificates = stream.get_ref().1.peer_certificates().unwrap();
    Ok(certificates[0].clone().into_owned())
}

#[tokio::test]
async fn r9325_tls_3_sni_chooses_the_certificate_and_unknown_names_get_the_default() {
    let server = Running::new();
    let (default, default_certificate) = identity("mail.example.com");
    let (exact, exact_certificate) = identity("pop.example.org");
    let (wildcard, wildcard_certificate) = identity("*.example.net");
    let identities = Identities {
        default,
        named: vec![exact, wildcard],
        strict_sni: false,
        clients: None,
    };
    server.server_tls.replace(identities).unwrap();
    for (name, certificate) in [
        ("pop.example.org", &exact_certificate),
        ("POP.EXAMPLE.ORG", &exact_certificate),
        ("any.example.net", &wildcard_certificate),
        ("mail.example.com", &default_certificate),
        ("unknown.example.com", &default_certificate),
        ("a.b.example.net", &default_certificate),
        // Without SNI.
        ("localhost", &default_certificate),
    ] {
        assert_eq!(shown(&server, name).await.unwrap(), *certificate, "{name}");
    }
}

#[tokio::test]
async fn r9325_tls_3_strict_sni_refuses_unknown_names_with_unrecognized_name() {
    let server = Running::new();
    let (default, certificate) = identity("mail.example.com");
    let identities = Identities {
        strict_sni: true,
        ..Identities::from(default)
    };
    server.server_tls.replace(identities).unwrap();
    assert_eq!(
        shown(&server, "mail.example.com").await.unwrap(),
        certificate
    );
    assert_eq!(shown(&server, "localhost").await.unwrap(), certificate);
    let error = shown(&server, "other.example.com").await.unwrap_err();
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
}

#[tokio::test]
async fn prj_tls_7_certificates_are_replaced_without_dropping_sessions() {
    let server = Running::new();
    let mut session = server.tls_client(&[&TLS13]).await;
    session.log_in("ann").await;
    let (replacement, certificate) = identity("localhost");
    server.server_tls.replace(replacement).unwrap();
    session.ask("NOOP", "+OK").await;
    assert_eq!(shown(&server, "localhost").await.unwrap(), certificate);
    session.ask("QUIT", "+OK").await;
}

/// Notices whether it is asked for a certificate.
#[derive(Debug, Default)]
struct Asked(AtomicBool);

impl ResolvesClientCert for Asked {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn r8314_cert_1_no_client_certificate_is_asked_for() {
    let server = Running::new();
    for version in [&TLS12, &TLS13] {
        let asked = Arc::new(Asked::default());
        let mut config = server.client_config(&[version]);
        config.client_auth_cert_resolver = Arc::clone(&asked) as _;
        handshake(&server, "localhost", config).await.unwrap();
        assert!(!asked.0.load(Ordering::Relaxed));
    }
}

#[tokio::test]
async fn r9325_tls_1_only_suites_with_forward_secrecy_and_aead_are_agreed() {
    let server = Running::new();
    for version in [&TLS12, &TLS13] {
        let config = server.client_config(&[version]);
        let stream = handshake(&server, "localhost", config).await.unwrap();
        let suite = stream
            .get_ref()
            .1
            .negotiated_cipher_suite()
            .unwrap()
            .suite();
        let name = format!("{suite:?}");
        let forward = name.starts_with("TLS13_") || name.starts_with("TLS_ECDHE_");
        assert!(
            forward && (name.contains("GCM") || name.contains("POLY1305")),
            "{name}"
        );
    }
}

#[tokio::test]
async fn r9325_tls_5_sessions_resume_and_early_data_is_not_taken() {
    let server = Running::new();
    for version in [&TLS12, &TLS13] {
        let mut config = server.client_config(&[version]);
        config.enable_early_data = true;
        let config = Arc::new(config);
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let mut stream = handshake(&server, "localhost", Arc::clone(&config))
                .await
                .unwrap();
            assert!(!stream.get_ref().1.is_early_data_accepted());
            kinds.push(stream.get_ref().1.handshake_kind().unwrap());
            // Reading takes the tickets that follow a 1.3 handshake.
            Client::over(&mut stream).expect("+OK").await;
            stream.shutdown().await.unwrap();
        }
        assert_eq!(kinds[0], HandshakeKind::Full);
        assert_eq!(kinds[1], HandshakeKind::Resumed, "{version:?}");
    }
}

/// A ClientHello that offers `version` at most, with these suites and extensions.
fn client_hello(version: [u8; 2], suites: &[u8], extensions: &[&[u8]]) -> Vec<u8> {
    fn counted(octets: &[u8]) -> Vec<u8> {
        let length = u16::try_from(octets.len()).unwrap().to_be_bytes();
        [&length, octets].concat()
    }
    let body = [
        &version[..],
        &[7; 32],
        &[0],
        &counted(suites),
        &[1, 0],
        &counted(&extensions.concat()),
    ]
    .concat();
    let handshake = [&[1, 0], &counted(&body)[..]].concat();
    [&[22, 3, 1], &counted(&handshake)[..]].concat()
}

/// ECDSA with SHA-256.
const SIGNATURE_ALGORITHMS: &[u8] = &[0, 13, 0, 4, 0, 2, 4, 3];
/// secp256r1.
const SUPPORTED_GROUPS: &[u8] = &[0, 10, 0, 4, 0, 2, 0, 23];
const EXTENDED_MASTER_SECRET: &[u8] = &[0, 23, 0, 0];
const RENEGOTIATION_INFO: &[u8] = &[0xFF, 1, 0, 1, 0];

#[tokio::test]
async fn r8996_tls_5_older_versions_are_refused() {
    const PROTOCOL_VERSION: u8 = 70;
    let server = Running::new();
    for version in [[3, 0], [3, 1], [3, 2]] {
        let mut client = Client::connect(server.tls).await;
        let extensions = [SIGNATURE_ALGORITHMS, SUPPORTED_GROUPS];
        // TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA
        client
            .send(client_hello(version, &[0xC0, 0x09], &extensions))
            .await;
        let rest = client.try_rest().await.unwrap();
        assert!(
            matches!(rest[..], [21, 3, _, 0, 2, 2, PROTOCOL_VERSION]),
            "{rest:?}"
        );
    }
}

#[tokio::test]
async fn r9325_tls_2_renegotiation_info_and_extended_master_secret_are_agreed_in_tls_1_2() {
    let server = Running::with(ServerSettings {
        handshake_timeout: Duration::from_millis(300),
        ..ServerSettings::default()
    });
    let mut client = Client::connect(server.tls).await;
    let extensions = [
        SIGNATURE_ALGORITHMS,
        SUPPORTED_GROUPS,
        EXTENDED_MASTER_SECRET,
        RENEGOTIATION_INFO,
    ];
    // TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
    client
        .send(client_hello([3, 3], &[0xC0, 0x2B], &extensions))
        .await;
    let answer = client.rest().await;
    let [22, 3, 3, _, _, 2, _, _, length, hello @ ..] = &answer[..] else {
        panic!("{answer:?}");
    };
    let hello = &hello[..usize::from(*length)];
    for wanted in [EXTENDED_MASTER_SECRET, RENEGOTIATION_INFO] {
        assert!(
            hello.windows(wanted.len()).any(|octets| octets == wanted),
            "{hello:?}"
        );
    }
}

#[tokio::test]
async fn r2595_stls_2_stls_is_refused_under_tls_and_after_login() {
    let server = Running::new();
    let mut client = server.tls_client(&[&TLS13]).await;
    client.ask("STLS", "-ERR").await;
    client.ask("CAPA", "+OK").await;
    let capabilities = String::from_utf8(client.multi_line().await).unwrap();
    assert!(!capabilities.contains("STLS"), "{capabilities}");
    let mut client = server.login("ann").await;
    client.ask("STLS", "-ERR").await;
    client.ask("STAT", "+OK").await;
}

// PRJ-INJ-3
#[tokio::test]
async fn r2595_stls_6_nothing_said_before_the_handshake_counts_after_it() {
    let server = Running::new();
    let mut client = Client::greeted(server.plain).await;
    client.ask("CAPA", "+OK").await;
    assert!(
        client
            .multi_line()
            .await
            .windows(6)
            .any(|octets| octets == b"STLS\r\n")
    );
    client.ask("LANG *", "+OK").await;
    client.ask("USER ann", "+OK").await;
    client.ask("STLS", "+OK").await;
    let mut client = client.handshake(server.any_version()).await.unwrap();
    client.ask("PASS open-sesame", "-ERR").await;
    client.log_in("ann").await;
}

#[tokio::test]
async fn r8314_tls_4_the_newest_version_is_agreed() {
    let server = Running::new();
    let stream = handshake(&server, "localhost", server.any_version())
        .await
        .unwrap();
    assert_eq!(
        stream.get_ref().1.protocol_version(),
        Some(ProtocolVersion::TLSv1_3)
    );
}

#[test]
fn a_certificate_without_its_key_is_refused() {
    let one = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["b.example".to_owned()]).unwrap();
    let refused = restante_server::Identity::from_pem(
        one.cert.pem().as_bytes(),
        other.signing_key.serialize_pem().as_bytes(),
    );
    assert!(matches!(refused, Err(restante_server::TlsError::Pair(_))));
    let refused = restante_server::Identity::from_pem(b"", b"");
    assert!(matches!(
        refused,
        Err(restante_server::TlsError::Certificate(_))
    ));
    let refused = restante_server::Identity::from_pem(one.cert.pem().as_bytes(), b"");
    assert!(matches!(refused, Err(restante_server::TlsError::Key(_))));
    assert!(Tls::new(identity("a.example").0).is_ok());
}
