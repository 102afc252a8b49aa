//! Clients that show a certificate in TLS: SASL EXTERNAL on the wire.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use restante_server::{ClientAuthorities, Identities, Identity};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, version};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::{
    client::{Client, TlsClient},
    setup::{Running, identity},
};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server that believes `authority`, if there is one; its own certificate.
fn serve(server: &Running, authority: Option<&Authority>) -> CertificateDer<'static> {
    let (identity, certificate) = identity("localhost");
    believe(server, identity, authority);
    certificate
}

/// The same with this certificate of its own.
fn believe(server: &Running, own: Identity, authority: Option<&Authority>) {
    let authorities =
        authority.map(|authority| ClientAuthorities::from_pem(authority.pem().as_bytes()).unwrap());
    let identities = Identities {
        clients: authorities,
        ..own.into()
    };
    server.server_tls.replace(identities).unwrap();
}

/// A program that shows a certificate for `address` which `authority` has signed.
fn showing(
    server: &CertificateDer<'static>,
    authority: &Authority,
    address: &str,
) -> Arc<ClientConfig> {
    let mut params = CertificateParams::new([]).unwrap();
    params.subject_alt_names = vec![SanType::Rfc822Name(address.try_into().unwrap())];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(server.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&version::TLS12, &version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate.der().clone()], key);
    Arc::new(config.unwrap())
}

fn silent(server: &CertificateDer<'static>) -> Arc<ClientConfig> {
    let versions = [&version::TLS12, &version::TLS13];
    Arc::new(crate::client::tls_config(server, &versions))
}

async fn mechanisms(client: &mut TlsClient) -> Vec<String> {
    client.ask("AUTH", "+OK").await;
    let list = String::from_utf8(client.multi_line().await).unwrap();
    list.lines().map(str::to_owned).collect()
}

async fn offers_external(client: &mut TlsClient) -> bool {
    let offered = mechanisms(client).await;
    assert!(offered.iter().any(|name| name == "PLAIN"), "{offered:?}");
    offered.iter().any(|name| name == "EXTERNAL")
}

// R4422-EXT-1, R8314-CERT-1
#[tokio::test]
async fn r4422_ext_1_a_certificate_logs_in_over_tls_and_after_stls() {
    let server = Running::new();
    let authority = authority();
    let certificate = serve(&server, Some(&authority));
    server.deliver("dora@a.example", b"x\r\n\r\ny\r\n").await;
    let config = showing(&certificate, &authority, "dora@a.example");
    let over_tls = Client::greeted_over_tls(server.tls, Arc::clone(&config)).await;
    let mut plain = Client::greeted(server.plain).await;
    plain.ask("STLS", "+OK").await;
    let after_stls = plain.handshake(config).await.unwrap();
    for mut client in [over_tls, after_stls] {
        assert!(offers_external(&mut client).await);
        // R4422-EXT-2: the certificate alone opens nothing.
        client.ask("STAT", "-ERR").await;
        // "dora", which the certificate does not name, and somebody else.
        for identity in ["YW5u", "ZG9yYQ=="] {
            client
                .ask(&format!("AUTH EXTERNAL {identity}"), "-ERR [AUTH]")
                .await;
        }
        client.ask("AUTH EXTERNAL =", "+OK").await;
        client.ask("STAT", "+OK 1").await;
        client.ask("QUIT", "+OK").await;
    }
}

// R4422-EXT-1
#[tokio::test]
async fn r4422_ext_1_without_a_certificate_everything_is_as_it_was() {
    let server = Running::new();
    let authority = authority();
    let certificate = serve(&server, Some(&authority));
    let mut client = Client::greeted_over_tls(server.tls, silent(&certificate)).await;
    assert!(!offers_external(&mut client).await);
    client.ask("AUTH EXTERNAL =", "-ERR").await;
    client.ask("STAT", "-ERR").await;
    client.log_in("ann").await;
    // One of an authority that nobody believes ends the handshake.
    let config = showing(&certificate, &self::authority(), "dora@a.example");
    let stranger = Client::connect(server.tls).await.handshake(config).await;
    if let Ok(mut stranger) = stranger {
        // TLS 1.3: the client has finished before the server looks.
        assert!(stranger.try_line().await.is_err());
    }
}

// R8314-CERT-1
#[tokio::test]
async fn r8314_cert_1_no_certificate_counts_unless_authorities_are_configured() {
    let server = Running::new();
    let authority = authority();
    let certificate = serve(&server, None);
    let config = showing(&certificate, &authority, "dora@a.example");
    let mut client = Client::greeted_over_tls(server.tls, config).await;
    assert!(!offers_external(&mut client).await);
}

/// A ticket brings the certificate along that was verified when it was given.
#[tokio::test]
async fn a_resumed_session_is_measured_by_the_authorities_of_today() {
    let server = Running::new();
    let authority = authority();
    let (own, certificate) = identity("localhost");
    believe(&server, own.clone(), Some(&authority));
    let config = showing(&certificate, &authority, "dora@a.example");
    let resumed = async |config: &Arc<ClientConfig>| {
        let mut client = Client::greeted_over_tls(server.tls, Arc::clone(config)).await;
        let offers = offers_external(&mut client).await;
        client.ask("QUIT", "+OK").await;
        let kind = client.get_ref().get_ref().1.handshake_kind();
        (kind == Some(rustls::HandshakeKind::Resumed), offers)
    };
    assert_eq!(resumed(&config).await, (false, true));
    assert_eq!(resumed(&config).await, (true, true));
    // Another authority from now on, and then none.
    believe(&server, own.clone(), Some(&self::authority()));
    assert_eq!(resumed(&config).await, (true, false));
    believe(&server, own, None);
    assert_eq!(resumed(&config).await, (true, false));
}
