//! TLS, STLS, certificates, and what is never said in the clear.

use restante_client::{Connection, Error, Fault, Login, Pin, Security, SessionError, Tls};

use crate::{
    certificates::Authority,
    script::{Script, error},
};

/// What comes over TLS: a greeting, capabilities, and a login.
fn session(script: Script) -> Script {
    script
        .capabilities(&["USER"])
        .answer("USER tim", "+OK")
        .answer("PASS secret", "+OK")
        .answer("QUIT", "+OK")
}

async fn log_in_and_quit(connection: Connection) {
    let login = Login::password("tim", "secret");
    let client = connection.log_in(&login).await.expect("the right password");
    client.quit().await.expect("a goodbye");
}

// R8314-TLS-1, R7817-ID-1
#[tokio::test]
async fn implicit_tls_with_a_certificate_of_a_known_authority() {
    let authority = Authority::new();
    let certificate = authority.sign(&["localhost"]);
    let script = Script::default().tls(&certificate.config).say("+OK ready");
    let scripted = session(script).serve().await;
    let server = scripted.server(Security::Tls(authority.believer()));
    log_in_and_quit(Connection::open(&server).await.expect("a connection")).await;
    let heard = scripted.heard().await;
    assert_eq!(heard, ["CAPA", "USER tim", "PASS secret", "QUIT"]);
}

// R8314-CLOSE-9
#[tokio::test]
async fn r8314_close_9_tls_is_closed_before_tcp() {
    let authority = Authority::new();
    let certificate = authority.sign(&["localhost"]);
    let script = Script::default().tls(&certificate.config).say("+OK ready");
    let scripted = session(script).hear_end().serve().await;
    let server = scripted.server(Security::Tls(authority.believer()));
    log_in_and_quit(Connection::open(&server).await.expect("a connection")).await;
    let heard = scripted.heard().await;
    assert_eq!(heard.last().map(String::as_str), Some("(clean end)"));
}

// R2595-STLS-5
#[tokio::test]
async fn r2595_stls_5_stls_and_capabilities_anew() {
    let authority = Authority::new();
    let certificate = authority.sign(&["localhost"]);
    let script = Script::default()
        .say("+OK ready")
        .capabilities(&["STLS", "SASL X-OLD"])
        .answer("STLS", "+OK begin")
        .tls(&certificate.config);
    let scripted = session(script).serve().await;
    let server = scripted.server(Security::Stls(authority.believer()));
    let connection = Connection::open(&server).await.expect("a connection");
    assert_eq!(connection.capabilities().sasl, None);
    log_in_and_quit(connection).await;
    let heard = scripted.heard().await;
    assert_eq!(
        heard,
        ["CAPA", "STLS", "CAPA", "USER tim", "PASS secret", "QUIT"]
    );
}

// R8314-CONF-4, PRJ-AUTH-7: no TLS, no session, whatever the server says.
#[tokio::test]
async fn r8314_conf_4_stls_that_is_not_offered_or_refused_is_the_end() {
    let not_offered = Script::default().say("+OK").capabilities(&["USER"]);
    let no_capa = Script::greeting();
    let refused = Script::default()
        .say("+OK")
        .capabilities(&["STLS"])
        .answer("STLS", "-ERR [SYS/TEMP] not now");
    for (script, wanted) in [
        (not_offered, &["CAPA"][..]),
        (no_capa, &["CAPA"]),
        (refused, &["CAPA", "STLS"]),
    ] {
        let scripted = script.serve().await;
        let server = scripted.server(Security::Stls(Authority::new().believer()));
        let error = error(Connection::open(&server).await);
        assert!(matches!(error, Error::NoStls), "{error}");
        assert_eq!(error.fault(), Fault::Trust);
        assert_eq!(scripted.heard().await, wanted);
    }
}

// PRJ-INJ-2
#[tokio::test]
async fn prj_inj_2_octets_injected_around_stls_end_the_connection() {
    let behind = Script::default()
        .say("+OK")
        .capabilities(&["STLS"])
        .hear("STLS")
        .say_octets(b"+OK begin\r\n+OK\r\n.\r\n");
    let before = Script::default()
        .say("+OK")
        .hear("CAPA")
        .say_octets(b"+OK\r\nSTLS\r\n.\r\n+OK begin\r\n");
    for script in [behind, before] {
        let scripted = script.silence().serve().await;
        let server = scripted.server(Security::Stls(Authority::new().believer()));
        let error = error(Connection::open(&server).await);
        assert!(
            matches!(
                error,
                Error::Session(SessionError::PlaintextAfterStls | SessionError::Unsolicited { .. })
            ),
            "{error}"
        );
    }
}

// R5034-PLAIN-2, R8314-CONF-1, R7817-ID-1, R7817-ID-3, R7817-ID-4
#[tokio::test]
async fn r5034_plain_2_certificates_are_verified_before_anything_is_said() {
    let authority = Authority::new();
    let strangers = Authority::new();
    let believer = authority.believer();
    for (certificate, why) in [
        (authority.sign_until(&["localhost"], 2020), "expired"),
        (authority.sign(&["other.example"]), "not valid for name"),
        (authority.sign(&["*"]), "not valid for name"),
        (authority.sign(&["*.localhost"]), "not valid for name"),
        (authority.sign(&["l*.localhost"]), "not valid for name"),
        (authority.sign(&[]), "not valid for name"),
        (strangers.sign(&["localhost"]), "UnknownIssuer"),
    ] {
        let script = Script::default().tls(&certificate.config);
        let scripted = session(script.say("+OK")).serve().await;
        let server = scripted.server(Security::Tls(believer.clone()));
        let error = error(Connection::open(&server).await);
        let Error::Certificate { cause, .. } = &error else {
            panic!("{why}: {error}");
        };
        assert!(cause.to_string().contains(why), "{why}: {cause}");
        assert_eq!(error.fault(), Fault::Trust);
        let heard = scripted.heard().await;
        assert!(heard[0].starts_with("(no TLS"), "{heard:?}");
    }
}

// R7817-ID-4
#[tokio::test]
async fn r7817_id_4_a_wildcard_is_one_whole_left_most_label() {
    let authority = Authority::new();
    for (name, fits) in [
        ("*.pop.localhost", true),
        ("*.localhost", false),
        ("m*.pop.localhost", false),
        ("mail.pop.localhost", true),
    ] {
        let certificate = authority.sign(&[name]);
        let script = Script::default().tls(&certificate.config);
        let scripted = session(script.say("+OK")).serve().await;
        let proxy = crate::proxy::serve(scripted.address).await;
        let mut server = scripted.server(Security::Tls(authority.believer()));
        // The proxy takes any name.
        server.host = "mail.pop.localhost".into();
        server.proxy = Some(proxy.proxy(None));
        let opened = Connection::open(&server).await;
        assert_eq!(opened.is_ok(), fits, "{name}");
    }
}

#[tokio::test]
async fn a_pinned_certificate_is_believed_and_no_other() {
    // Nothing about it is right, but that somebody has looked at it.
    let certificate = Authority::new().sign_until(&["other.example"], 2020);
    let other: Pin = "00".repeat(32).parse().expect("a fingerprint");
    for (pins, believed) in [
        (vec![certificate.pin], true),
        (vec![other, certificate.pin], true),
        (vec![other], false),
    ] {
        let script = Script::default().tls(&certificate.config);
        let scripted = session(script.say("+OK")).serve().await;
        let tls = Tls::pinned(&pins).expect("there is one");
        let server = scripted.server(Security::Tls(tls));
        match Connection::open(&server).await {
            Ok(connection) => {
                assert!(believed);
                log_in_and_quit(connection).await;
            }
            Err(error) => {
                assert!(
                    !believed && matches!(error, Error::Certificate { .. }),
                    "{error}"
                );
            }
        }
    }
    assert!(Tls::pinned(&[]).is_err());
}

// R8314-CERT-3
#[tokio::test]
async fn r8314_cert_3_no_certificate_of_the_client_is_shown() {
    let authority = Authority::new();
    let config = authority.sign_and_ask(&["localhost"]);
    let scripted = Script::default().tls(&config).say("+OK").serve().await;
    let server = scripted.server(Security::Tls(authority.believer()));
    assert!(Connection::open(&server).await.is_err());
    let heard = scripted.heard().await;
    assert!(heard[0].contains("no certificates"), "{heard:?}");
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_gets_no_password() {
    let scripted = Script::greeting().serve().await;
    let server = scripted.server(Security::Tls(Authority::new().believer()));
    let error = error(Connection::open(&server).await);
    assert!(matches!(error, Error::Handshake { .. }), "{error}");
}

// R2595-POL-1, PRJ-AUTH-7
#[tokio::test]
async fn r2595_pol_1_no_password_in_the_clear_unless_loopback_is_asked_for() {
    let capabilities = ["USER", "SASL PLAIN LOGIN"];
    let script = Script::default().say("+OK").capabilities(&capabilities);
    let scripted = script.serve().await;
    let server = scripted.server(Security::CleartextWithoutPassword);
    let connection = Connection::open(&server).await.expect("a connection");
    let error = error(connection.log_in(&Login::password("tim", "secret")).await);
    assert!(matches!(error, Error::NoMechanism), "{error}");
    assert_eq!(scripted.heard().await, ["CAPA"]);
}

#[tokio::test]
async fn loopback_through_a_proxy_is_no_loopback() {
    let scripted = Script::greeting().serve().await;
    let proxy = crate::proxy::serve(scripted.address).await;
    let mut server = scripted.server(Security::Loopback);
    server.proxy = Some(proxy.proxy(None));
    let error = error(Connection::open(&server).await);
    assert!(matches!(error, Error::NotLoopback { .. }), "{error}");
}

// R9325-TLS-4
#[tokio::test]
async fn r9325_tls_4_the_protocol_is_named_pop3() {
    let authority = Authority::new();
    for (protocols, agreed) in [(vec!["pop3"], true), (vec!["imap"], false)] {
        let certificate = authority.sign(&["localhost"]);
        let mut config = (*certificate.config).clone();
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().into())
            .collect();
        let script = Script::default().tls(&config.into());
        let scripted = session(script.say("+OK")).serve().await;
        let server = scripted.server(Security::Tls(authority.believer()));
        assert_eq!(Connection::open(&server).await.is_ok(), agreed);
    }
}
