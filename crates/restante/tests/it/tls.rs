//! TLS over the wire: versions, names, protocols, certificates, and how it ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ProtocolVersion, SignatureScheme, version};

use crate::corpus::Letter;
use crate::server::{Server, USER};
use crate::wire::{Wire, client_settings, roots, status};

fn server() -> Server {
    Server::with(&[Letter::new("one", "Subject: one\n\nfirst\n")])
}

fn connect(server: &Server, settings: ClientConfig) -> std::io::Result<Wire> {
    Wire::unread(server.tls).shake_hands_with(settings, "localhost")
}

/// R8314-TLS-1, R8314-TLS-2: implicit TLS beside STLS, without any key in the configuration
/// that asks for either.
#[test]
fn implicit_tls_greets_after_the_handshake_and_stls_stands_beside_it() {
    let server = server();
    let mut wire = connect(&server, client_settings(&server.site)).unwrap();
    assert!(
        wire.line().starts_with("+OK "),
        "the greeting comes within TLS"
    );
    let capabilities = String::from_utf8(wire.lines("CAPA")).unwrap();
    assert!(!capabilities.contains("STLS"), "{capabilities}");
    wire.log_in(USER);
    assert_eq!(status(&wire.command("QUIT")), "+OK");
    let mut wire = Wire::plain(&server);
    let capabilities = String::from_utf8(wire.lines("CAPA")).unwrap();
    assert!(capabilities.contains("STLS\r\n"), "{capabilities}");
    assert_eq!(status(&wire.command("STLS")), "+OK");
    wire.shake_hands(&server.site).log_in(USER);
}

#[test]
fn r8314_tls_4_versions_1_2_and_1_3_are_spoken() {
    let server = server();
    let versions = [
        (&version::TLS12, ProtocolVersion::TLSv1_2),
        (&version::TLS13, ProtocolVersion::TLSv1_3),
    ];
    for (offered, spoken) in versions {
        let settings = ClientConfig::builder_with_protocol_versions(&[offered])
            .with_root_certificates(roots(&server.site))
            .with_no_client_auth();
        let mut wire = connect(&server, settings).unwrap();
        assert_eq!(wire.connection().protocol_version(), Some(spoken));
        assert!(wire.line().starts_with("+OK "));
        wire.log_in(USER);
    }
}

#[test]
fn r9325_tls_2_renegotiation_info_and_extended_master_secret_are_there() {
    let server = server();
    let report = s_client(&server, &["-tls1_2"]);
    for line in [
        "Secure Renegotiation IS supported",
        "Extended master secret: yes",
    ] {
        assert!(report.contains(line), "no `{line}` in:\n{report}");
    }
}

#[test]
fn r9325_tls_3_an_unknown_name_gets_the_usual_certificate() {
    let server = server();
    // Whoever asks for a name that is not ours gets the certificate, and decides.
    let report = s_client(&server, &["-servername", "elsewhere.example"]);
    assert!(report.contains("subject=CN = localhost"), "{report}");
    assert!(report.contains("Verify return code: 0 (ok)"), "{report}");
    // And who names nobody.
    let report = s_client(&server, &["-noservername"]);
    assert!(report.contains("Verify return code: 0 (ok)"), "{report}");
}

#[test]
fn r9325_tls_4_alpn_is_pop3_or_absent() {
    let server = server();
    let with = |protocols: &[&str]| {
        let mut settings = client_settings(&server.site);
        settings.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        connect(&server, settings).map(|wire| wire.connection().alpn_protocol().map(<[u8]>::to_vec))
    };
    assert_eq!(with(&[]).unwrap(), None);
    assert_eq!(with(&["pop3"]).unwrap(), Some(b"pop3".to_vec()));
    assert_eq!(with(&["http/1.1", "pop3"]).unwrap(), Some(b"pop3".to_vec()));
    let error = with(&["http/1.1", "imap"]).unwrap_err();
    assert!(
        error.to_string().contains("NoApplicationProtocol"),
        "{error}"
    );
}

#[test]
fn r9325_tls_5_no_early_data_is_taken() {
    let server = server();
    let report = s_client(&server, &["-tls1_3"]);
    assert!(report.contains("Max Early Data: 0"), "{report}");
    assert!(!report.contains("Early data was accepted"), "{report}");
}

/// Says whether the server asked for a certificate.
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

#[test]
fn r8314_cert_1_no_client_certificate_is_asked_for() {
    let server = server();
    let asked = Arc::new(Asked::default());
    let mut settings = client_settings(&server.site);
    settings.client_auth_cert_resolver = Arc::<Asked>::clone(&asked);
    let mut wire = connect(&server, settings).unwrap();
    assert!(wire.line().starts_with("+OK "));
    assert!(!asked.0.load(Ordering::Relaxed));
}

#[test]
fn r2595_pol_2_a_failed_handshake_ends_the_connection() {
    let server = server();
    let mut wire = Wire::plain(&server);
    assert_eq!(status(&wire.command("STLS")), "+OK");
    // Plain POP3 where a ClientHello belongs is not answered as POP3.
    wire.send(b"CAPA\r\nUSER reader@example.com\r\n");
    let answer = wire.until_closed();
    assert!(
        !answer
            .windows(3)
            .any(|three| three == b"+OK" || three == b"-ER"),
        "{answer:?}"
    );
}

#[test]
fn r8314_close_9_tls_says_that_it_ends() {
    let server = server();
    let mut wire = connect(&server, client_settings(&server.site)).unwrap();
    assert!(wire.line().starts_with("+OK "));
    assert_eq!(status(&wire.command("QUIT")), "+OK");
    // Without close_notify this is an unexpected end of file.
    assert_eq!(wire.read_to_end().unwrap(), b"");
}

/// What `openssl s_client` has to tell of a connection that says QUIT.
fn s_client(server: &Server, more: &[&str]) -> String {
    let mut process = Command::new("openssl")
        .args(["s_client", "-connect", &server.tls.to_string()])
        .arg("-CAfile")
        .arg(server.site.authority())
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("`openssl`: {error}; `cargo xtask test` installs what the tests need")
        });
    let mut stdin = process.stdin.take().unwrap();
    let mut stdout = BufReader::new(process.stdout.take().unwrap());
    let mut report = String::new();
    // TLS 1.3's session tickets come before the greeting, and are reported with the rest.
    while !report.lines().any(|line| line.starts_with("+OK ")) {
        let count = stdout.read_line(&mut report).unwrap();
        assert!(count > 0, "no greeting:\n{report}");
    }
    stdin.write_all(b"QUIT\r\n").unwrap();
    stdout.read_to_string(&mut report).unwrap();
    process.wait().unwrap();
    report
}
