//! What a login with SCRAM-PLUS is bound to where TLS exports nothing, or nothing that the server
//! knows.

use restante_client::{Connection, Error, Login, Mechanism, Security};
use restante_sasl::line::decode_initial_response;
use rustls::{
    SupportedProtocolVersion,
    version::{TLS12, TLS13},
};
use secrecy::ExposeSecret as _;

use crate::{
    certificates::Authority,
    logins::{BoundTo, Proof, scram, scram_server},
    script::{Script, Scripted, error},
};

const PLUS: Mechanism = Mechanism::ScramSha256Plus;

/// The initial responses that a server of this version hears, and how the login ends, if it says
/// `answer` to each.
async fn tried(
    version: &'static SupportedProtocolVersion,
    capabilities: &[&str],
    answer: &str,
) -> (Vec<String>, Error) {
    let authority = Authority::new();
    let certificate = authority.sign_for(&["localhost"], 2099, &[version]);
    let script = Script::default().tls(&certificate.config).say("+OK");
    let mut script = script.capabilities(capabilities);
    for _ in 0..4 {
        script = script.hear_any().say(answer);
    }
    let scripted: Scripted = script.serve().await;
    let server = scripted.server(Security::Tls(authority.believer()));
    let connection = Connection::open(&server).await.expect("a connection");
    let ended = connection.log_in(&Login::password("tim", "secret")).await;
    let error = error(ended.map(drop));
    let heard = scripted.heard().await;
    let first = |line: &String| {
        let (mechanism, first) = line.strip_prefix("AUTH ")?.split_once(' ')?;
        let first = decode_initial_response(first.as_bytes()).expect("base64");
        let first = String::from_utf8_lossy(first.expose_secret()).into_owned();
        Some(format!("{mechanism} {}", first.split(',').next()?))
    };
    (heard.iter().filter_map(first).collect(), error)
}

// R9266-CB-2, R5802-PLUS-3
#[tokio::test]
async fn r5929_cb_4_the_exporter_is_preferred_and_over_tls_1_2_the_certificate_is_bound_to() {
    let authority = Authority::new();
    for (version, is_certificate) in [(&TLS12, true), (&TLS13, false)] {
        for mechanism in [PLUS, Mechanism::ScramSha1Plus] {
            let certificate = authority.sign_for(&["localhost"], 2099, &[version]);
            let bound_to = match is_certificate {
                true => BoundTo::Certificate(certificate.der),
                false => BoundTo::Connection,
            };
            let serving = scram_server(certificate.config, mechanism, Proof::Right, bound_to);
            let (port, task) = serving.await;
            let login = scram(authority.believer(), port).await;
            login.expect("the right password");
            assert!(task.await.expect("no panic").expect("no I/O error"));
        }
    }
}

/// Behind a proxy that ends TLS, a server can know the proxy's certificate and nothing of its
/// connections.
#[tokio::test]
async fn r5929_cb_4_a_server_that_does_not_know_the_exporter_gets_the_certificate() {
    let authority = Authority::new();
    let certificate = authority.sign_for(&["localhost"], 2099, &[&TLS13]);
    let bound_to = BoundTo::Certificate(certificate.der);
    let (port, task) = scram_server(certificate.config, PLUS, Proof::Right, bound_to).await;
    let login = scram(authority.believer(), port).await;
    login.expect("the right password");
    assert!(task.await.expect("no panic").expect("no I/O error"));
}

/// Somebody in the middle has a certificate of their own, however good.
#[tokio::test]
async fn r5929_cb_4_a_login_bound_to_another_certificate_is_none() {
    let authority = Authority::new();
    for version in [&TLS12, &TLS13] {
        let certificate = authority.sign_for(&["localhost"], 2099, &[version]);
        let other = authority.sign(&["localhost"]);
        let bound_to = BoundTo::Certificate(other.der);
        let (port, task) = scram_server(certificate.config, PLUS, Proof::Right, bound_to).await;
        let error = error(scram(authority.believer(), port).await);
        assert!(matches!(error, Error::Login { .. }), "{error}");
        // Nothing weaker was tried: the next line was none.
        assert!(task.await.expect("no panic").is_err());
    }
}

#[tokio::test]
async fn a_refused_binding_is_no_wrong_password_and_nothing_weaker_than_scram_follows() {
    const MANY: &str = "SASL PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS";
    let (exporter, end_point, unbound) = (
        "SCRAM-SHA-256-PLUS p=tls-exporter".to_owned(),
        "SCRAM-SHA-256-PLUS p=tls-server-end-point".to_owned(),
        "SCRAM-SHA-256 n".to_owned(),
    );
    let all = [exporter.clone(), end_point.clone(), unbound.clone()];
    for (version, answer, wanted) in [
        // It says that this is not about the password, and then that it is.
        (&TLS13, "-ERR no such binding", &all[..]),
        (&TLS13, "-ERR [AUTH] no", &all[..1]),
        (&TLS12, "-ERR no such binding", &all[1..]),
        (&TLS12, "-ERR [AUTH] no", &all[1..]),
        // Neither about the one nor about the other.
        (&TLS13, "-ERR [SYS/TEMP] later", &all[..1]),
        (&TLS12, "-ERR [IN-USE] later", &all[1..2]),
    ] {
        let (heard, error) = tried(version, &[MANY, "AUTH-RESP-CODE"], answer).await;
        assert_eq!(heard, wanted, "{answer}");
        assert!(matches!(error, Error::Login { .. }), "{answer}: {error}");
    }
    // What is not announced to be marked may be a wrong name.
    let (heard, _) = tried(&TLS13, &[MANY], "-ERR no").await;
    assert_eq!(heard, [exporter]);
    // R5802-PLUS-3: whoever hides -PLUS hears that we could.
    for version in [&TLS12, &TLS13] {
        let (heard, _) = tried(version, &["SASL SCRAM-SHA-256"], "-ERR no").await;
        assert_eq!(heard, ["SCRAM-SHA-256 y"]);
    }
}
