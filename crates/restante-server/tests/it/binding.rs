//! What a login with SCRAM-PLUS is bound to: the connection, or the certificate that it shows.

use std::sync::Arc;

use restante_sasl::{ChannelBinding, EndPoint, Mechanism};
use restante_server::{Identities, Identity};
use rustls::{
    ClientConfig, HandshakeKind, SupportedProtocolVersion,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{
    client::{Client, TlsClient, tls_config},
    login::{authenticate, capabilities},
    setup::{Running, identity},
};

const PLUS: Mechanism = Mechanism::ScramSha256Plus;

/// A client that asks for `name`, past the greeting.
async fn client_for(server: &Running, name: &str, config: Arc<ClientConfig>) -> TlsClient {
    let stream = TcpStream::connect(server.tls).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TlsConnector::from(config).connect(name, stream).await;
    let mut client = Client::over(stream.unwrap());
    client.expect("+OK").await;
    client
}

fn bound_to(certificate: &CertificateDer<'_>) -> ChannelBinding {
    ChannelBinding::with(None, EndPoint::of_certificate(certificate))
}

async fn login(client: &mut TlsClient, binding: ChannelBinding) -> String {
    authenticate(client, PLUS, binding, true).await.0
}

fn kind(client: &TlsClient) -> HandshakeKind {
    client.get_ref().get_ref().1.handshake_kind().unwrap()
}

/// As [`identity`], with a key and a signature that hash in their own way.
fn ed25519() -> (Identity, CertificateDer<'static>) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let (pem, key) = (certificate.pem(), key.serialize_pem());
    let identity = Identity::from_pem(pem.as_bytes(), key.as_bytes()).unwrap();
    (identity, certificate.der().clone())
}

// R9325-TLS-3: of several certificates, the one that this client was shown.
#[tokio::test]
async fn r5929_cb_4_a_login_is_bound_to_the_certificate_that_was_shown_and_to_no_other() {
    let server = Running::new();
    let (default, default_certificate) = identity("localhost");
    let (named, named_certificate) = identity("pop.example.org");
    let identities = Identities {
        named: vec![named],
        ..Identities::from(default)
    };
    server.server_tls.replace(identities).unwrap();
    for version in [&TLS12, &TLS13] {
        for (name, shown, other) in [
            ("localhost", &default_certificate, &named_certificate),
            ("pop.example.org", &named_certificate, &default_certificate),
        ] {
            let config = Arc::new(tls_config(shown, &[version]));
            let mut client = client_for(&server, name, Arc::clone(&config)).await;
            let offered = capabilities(&mut client).await;
            assert!(offered.contains("SCRAM-SHA-256-PLUS"), "{offered}");
            let answer = login(&mut client, bound_to(other)).await;
            assert!(answer.starts_with("-ERR"), "{answer}");
            client.ask("STAT", "-ERR").await;
            // Not resumed, which TLS 1.2 would not bind.
            let config = Arc::new(tls_config(shown, &[version]));
            let mut client = client_for(&server, name, config).await;
            let answer = login(&mut client, bound_to(shown)).await;
            assert!(answer.starts_with("+OK"), "{name}: {answer}");
            client.ask("QUIT", "+OK").await;
        }
    }
}

#[tokio::test]
async fn r5929_cb_4_the_certificate_is_bound_to_after_stls_too() {
    let server = Running::new();
    for version in [&TLS12, &TLS13] {
        let mut client = Client::greeted(server.plain).await;
        client.ask("STLS", "+OK").await;
        let config = Arc::new(server.client_config(&[version]));
        let mut client = client.handshake(config).await.unwrap();
        let answer = login(&mut client, bound_to(&server.certificate)).await;
        assert!(answer.starts_with("+OK"), "{answer}");
    }
}

// R5802-PLUS-2: what TLS 1.2 exports may not be of this connection alone, and rustls does not tell.
#[tokio::test]
async fn r9266_cb_2_over_tls_1_2_nothing_that_is_exported_is_bound_to() {
    let server = Running::new();
    let mut client = server.tls_client(&[&TLS12]).await;
    let exported = client
        .get_ref()
        .get_ref()
        .1
        .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[]))
        .unwrap();
    let answer = login(&mut client, ChannelBinding::TlsExporter(exported)).await;
    // Not the password: a client may try another way.
    assert!(answer.starts_with("-ERR"), "{answer}");
    assert!(!answer.contains("[AUTH]"), "{answer}");
    let answer = login(&mut client, bound_to(&server.certificate)).await;
    assert!(answer.starts_with("+OK"), "{answer}");
}

/// The second of two connections that remember the same sessions, after `between`.
async fn second(
    server: &Running,
    version: &'static SupportedProtocolVersion,
    certificates: &[&CertificateDer<'_>],
    between: impl FnOnce(),
) -> TlsClient {
    let mut config = server.client_config(&[version]);
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates {
        roots.add((*certificate).clone().into_owned()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier = verifier.build().unwrap();
    config.dangerous().set_certificate_verifier(verifier);
    let config = Arc::new(config);
    let mut first = client_for(server, "localhost", Arc::clone(&config)).await;
    assert_eq!(kind(&first), HandshakeKind::Full);
    // Reading takes the tickets that follow a 1.3 handshake.
    first.ask("QUIT", "+OK").await;
    between();
    client_for(server, "localhost", config).await
}

#[tokio::test]
async fn r7677_cb_3_a_session_of_tls_1_2_that_was_resumed_is_not_bound_to() {
    let server = Running::new();
    let mut client = second(&server, &TLS12, &[&server.certificate], || ()).await;
    assert_eq!(kind(&client), HandshakeKind::Resumed);
    let offered = capabilities(&mut client).await;
    assert!(offered.contains("SCRAM-SHA-256"), "{offered}");
    assert!(!offered.contains("-PLUS"), "{offered}");
    client.ask("AUTH SCRAM-SHA-256-PLUS", "-ERR").await;
    // One of TLS 1.3 is, to the certificate that it began with.
    let mut client = second(&server, &TLS13, &[&server.certificate], || ()).await;
    assert_eq!(kind(&client), HandshakeKind::Resumed);
    let answer = login(&mut client, bound_to(&server.certificate)).await;
    assert!(answer.starts_with("+OK"), "{answer}");
}

/// A client that resumes a session is shown no certificate: it goes on with the one that it
/// remembers, which must be the one that the server thinks of.
#[tokio::test]
async fn r5929_cb_4_a_session_is_resumed_with_the_certificate_that_it_began_with_alone() {
    for version in [&TLS12, &TLS13] {
        let server = Running::new();
        let before = server.certificate.clone();
        let (replacement, after) = identity("localhost");
        let replace = || server.server_tls.replace(replacement.clone()).unwrap();
        let mut client = second(&server, version, &[&before, &after], replace).await;
        assert_eq!(kind(&client), HandshakeKind::Full, "{version:?}");
        let answer = login(&mut client, bound_to(&after)).await;
        assert!(answer.starts_with("+OK"), "{answer}");
        // The same certificate, read again: nothing is forgotten.
        let again = || server.server_tls.replace(replacement.clone()).unwrap();
        let client = second(&server, version, &[&after], again).await;
        assert_eq!(kind(&client), HandshakeKind::Resumed, "{version:?}");
    }
}

#[tokio::test]
async fn r5929_cb_4_a_certificate_without_a_hash_of_its_own_is_not_bound_to() {
    let server = Running::new();
    let (identity, certificate) = ed25519();
    server.server_tls.replace(identity).unwrap();
    let config = Arc::new(tls_config(&certificate, &[&TLS12]));
    let mut client = client_for(&server, "localhost", config).await;
    let offered = capabilities(&mut client).await;
    assert!(offered.contains("SCRAM-SHA-256"), "{offered}");
    assert!(!offered.contains("-PLUS"), "{offered}");
    let config = Arc::new(tls_config(&certificate, &[&TLS13]));
    let mut client = client_for(&server, "localhost", config).await;
    // The connection itself still is.
    let offered = capabilities(&mut client).await;
    assert!(offered.contains("SCRAM-SHA-256-PLUS"), "{offered}");
}
