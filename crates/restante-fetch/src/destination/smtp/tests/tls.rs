//! Servers under TLS: believed, not believed, and with somebody on the line.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use super::*;

/// An authority, and the certificate it has signed for 127.0.0.1.
struct Authority {
    pem: String,
    config: Arc<ServerConfig>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let name = format!("authority {}", key.public_key_raw().escape_ascii());
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Self {
            pem,
            config: Arc::new(config),
        }
    }

    fn believer(&self) -> Tls {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &self.pem).unwrap();
        Tls::with_ca_file(file.path()).unwrap()
    }
}

fn login() -> Option<Login> {
    Some(Login {
        name: "tim".into(),
        password: "tanstaaf".into(),
    })
}

/// A server that takes mail from those who have logged in.
fn with_login(script: Script) -> Script {
    script
        .when("EHLO", [say("250-mx\r\n250 AUTH PLAIN LOGIN")])
        .when("AUTH", [say("235 2.7.0 welcome")])
}

async fn meets_with(
    script: Script,
    security: impl FnOnce() -> Security,
    login: Option<Login>,
) -> (Result<(), DestinationError>, Vec<String>) {
    let mut server = script.run().await;
    let mut settings = settings(Dialect::Smtp, at(&server, security()));
    settings.login = login;
    let place = Place::new(settings);
    let result = hand_on(&mut place.open(), &[LETTER]).await.remove(0);
    (result, server.heard())
}

#[tokio::test]
async fn mail_and_password_go_over_tls_from_the_first_octet() {
    let authority = Authority::new();
    let script = with_login(Script::new()).tls(authority.config.clone(), true);
    let security = || Security::Tls(authority.believer());
    let (result, heard) = meets_with(script, security, login()).await;
    result.unwrap();
    // RFC 4616: NUL tim NUL tanstaaf.
    assert_eq!(heard[1], "AUTH PLAIN AHRpbQB0YW5zdGFhZg==\r\n");
    assert!(heard[2].starts_with("MAIL"), "{heard:?}");
}

#[tokio::test]
async fn starttls_begins_anew_and_nothing_else_goes_before_it() {
    let authority = Authority::new();
    let script = Script::new()
        .when(
            "EHLO",
            [
                say("250-mx\r\n250 STARTTLS"),
                say("250-mx\r\n250 AUTH PLAIN"),
            ],
        )
        .when("STARTTLS", [Act::StartTls("220 2.0.0 go\r\n".into())])
        .when("AUTH", [say("235 2.7.0 welcome")])
        .tls(authority.config.clone(), false);
    let security = || Security::Starttls(authority.believer());
    let (result, heard) = meets_with(script, security, login()).await;
    result.unwrap();
    let words: Vec<&str> = heard
        .iter()
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert_eq!(words[..5], ["EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL"]);
}

#[tokio::test]
async fn without_starttls_or_with_octets_behind_it_the_server_is_left() {
    let authority = Authority::new();
    let security = || Security::Starttls(authority.believer());
    let (result, heard) = meets_with(Script::new(), security, login()).await;
    assert!(
        matches!(&result, Err(DestinationError::Closed { .. })),
        "{result:?}"
    );
    assert_eq!(heard.len(), 1, "{heard:?}");

    let script = Script::new()
        .when(
            "EHLO",
            [
                say("250-mx\r\n250 STARTTLS"),
                say("250-mx\r\n250 AUTH PLAIN"),
            ],
        )
        .when("AUTH", [say("235 2.7.0 welcome")])
        .when(
            "STARTTLS",
            [Act::StartTls("220 go\r\n250 injected\r\n".into())],
        )
        .tls(authority.config.clone(), false);
    let (result, heard) = meets_with(script, security, login()).await;
    assert!(
        matches!(&result, Err(DestinationError::Closed { said, .. }) if said.contains("in the clear")),
        "{result:?}"
    );
    assert!(
        !heard.iter().any(|line| line.starts_with("MAIL")),
        "{heard:?}"
    );
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_not_believed() {
    let (authority, other) = (Authority::new(), Authority::new());
    let script = with_login(Script::new()).tls(authority.config.clone(), true);
    let (result, heard) = meets_with(script, || Security::Tls(other.believer()), login()).await;
    assert!(
        matches!(&result, Err(DestinationError::Closed { .. })),
        "{result:?}"
    );
    assert_eq!(heard, [""; 0]);
}

#[tokio::test]
async fn a_refused_login_is_not_repeated_and_one_that_cannot_be_is_told() {
    let script = with_login(Script::new()).when("AUTH", [say("535 5.7.8 no")]);
    let (result, heard) = meets_with(script, || Security::None, login()).await;
    assert!(
        matches!(&result, Err(DestinationError::Closed { .. })),
        "{result:?}"
    );
    assert_eq!(
        heard.iter().filter(|line| line.starts_with("AUTH")).count(),
        1
    );
    let (result, _) = meets_with(Script::new(), || Security::None, login()).await;
    assert!(
        matches!(&result, Err(DestinationError::Closed { .. })),
        "{result:?}"
    );
}
