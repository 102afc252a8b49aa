//! Ways to log in, over real connections.

use std::{future::Future, time::Duration};

use restante_sasl::{
    ChannelBinding, Mechanism,
    client::{Credentials, Exchange},
    line,
};
use restante_server::{CleartextLogin, ServerSettings, log::LogFormat};
use rustls::version::TLS13;
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    client::{Client, TlsClient},
    log_lines::LogLines,
    setup::{PASSWORD, Running},
};

/// Logs in by SASL; gives the server's last line, and whether the server has proven itself.
pub(crate) async fn authenticate<T: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<T>,
    mechanism: Mechanism,
    binding: ChannelBinding,
    with_initial_response: bool,
) -> (String, bool) {
    let credentials = Credentials {
        name: "ann".to_owned(),
        password: PASSWORD.into(),
        authorization: None,
    };
    let mut exchange = Exchange::new(mechanism, credentials, binding, [3; 18]).unwrap();
    let mut command = format!("AUTH {mechanism}");
    if with_initial_response && let Some(initial) = exchange.initial_response() {
        let base64 = line::encode_initial_response(initial.expose_secret());
        command += &format!(" {}", str::from_utf8(base64.expose_secret()).unwrap());
    }
    client.send(format!("{command}\r\n")).await;
    loop {
        let answer = client.line().await;
        let Some(challenge) = answer.strip_prefix("+ ") else {
            return (answer, exchange.finish().is_ok());
        };
        let challenge = line::decode_response(challenge.as_bytes()).unwrap();
        let response = exchange.respond(challenge.expose_secret()).unwrap();
        let base64 = line::encode_response(response.expose_secret());
        client
            .send([base64.expose_secret(), b"\r\n"].concat())
            .await;
    }
}

pub(crate) async fn capabilities<T: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<T>,
) -> String {
    client.ask("CAPA", "+OK").await;
    String::from_utf8(client.multi_line().await).unwrap()
}

fn exported(client: &TlsClient) -> [u8; 32] {
    let (_, connection) = client.get_ref().get_ref();
    connection
        .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[]))
        .unwrap()
}

// R5034-MTI-1, R5034-IR-2, R5034-SASL-2
#[tokio::test]
async fn r5034_auth_3_every_mechanism_logs_in_over_tls() {
    use Mechanism::{Plain, ScramSha256, ScramSha256Plus};
    let server = Running::new();
    for mechanism in [Plain, ScramSha256, ScramSha256Plus] {
        for with_initial_response in [true, false] {
            let mut client = server.tls_client(&[&TLS13]).await;
            let binding = match mechanism {
                ScramSha256Plus => ChannelBinding::TlsExporter(exported(&client)),
                _ => ChannelBinding::None,
            };
            let (answer, proven) =
                authenticate(&mut client, mechanism, binding, with_initial_response).await;
            assert!(answer.starts_with("+OK"), "{mechanism}: {answer}");
            assert!(proven);
            client.ask("STAT", "+OK 0 0").await;
            client.ask("AUTH PLAIN", "-ERR").await;
            assert!(capabilities(&mut client).await.contains("SASL "));
            client.ask("QUIT", "+OK").await;
        }
    }
}

// R5802-PLUS-1
#[tokio::test]
async fn r9266_cb_1_the_binding_is_the_exporter_of_this_very_connection() {
    let server = Running::new();
    let mut client = server.tls_client(&[&TLS13]).await;
    assert!(
        capabilities(&mut client)
            .await
            .contains("SCRAM-SHA-256-PLUS")
    );
    let elsewhere = server.tls_client(&[&TLS13]).await;
    let binding = ChannelBinding::TlsExporter(exported(&elsewhere));
    let plus = Mechanism::ScramSha256Plus;
    let (answer, _) = authenticate(&mut client, plus, binding, true).await;
    assert!(answer.starts_with("-ERR"), "{answer}");
    client.ask("STAT", "-ERR").await;
}

#[tokio::test]
async fn r9266_cb_1_the_binding_is_the_exporter_after_stls_too() {
    let server = Running::new();
    let mut client = Client::greeted(server.plain).await;
    assert!(!capabilities(&mut client).await.contains("-PLUS"));
    client.ask("STLS", "+OK").await;
    let mut client = client.handshake(server.any_version()).await.unwrap();
    let binding = ChannelBinding::TlsExporter(exported(&client));
    let plus = Mechanism::ScramSha256Plus;
    let (answer, _) = authenticate(&mut client, plus, binding, true).await;
    assert!(answer.starts_with("+OK"), "{answer}");
}

fn never_in_the_clear() -> ServerSettings {
    ServerSettings {
        cleartext_login: CleartextLogin::Never,
        ..ServerSettings::default()
    }
}

// R5034-PLAIN-1, R2449-USER-1, R5034-SASL-3, R2595-POL-1
#[tokio::test]
async fn r8314_code_2_without_tls_the_answer_does_not_depend_on_the_password() {
    let server = Running::with(never_in_the_clear());
    let mut client = Client::greeted(server.plain).await;
    let before = capabilities(&mut client).await;
    assert!(
        !before.contains("\nUSER\r\n") && !before.contains("PLAIN"),
        "{before}"
    );
    let user = client.ask("USER ann", "-ERR").await;
    assert_eq!(client.ask("USER nobody", "-ERR").await, user);
    let plain = |password: &str| {
        let message = line::encode(format!("\0ann\0{password}").as_bytes());
        format!("AUTH PLAIN {}", String::from_utf8(message).unwrap())
    };
    let right = client.ask(&plain(PASSWORD), "-ERR").await;
    assert_eq!(client.ask(&plain("wrong"), "-ERR").await, right);
    client.ask("STLS", "+OK").await;
    let mut client = client.handshake(server.any_version()).await.unwrap();
    let after = capabilities(&mut client).await;
    assert!(
        after.contains("\nUSER\r\n") && after.contains("PLAIN"),
        "{after}"
    );
    client.log_in("ann").await;
}

#[tokio::test]
async fn r5034_plain_3_scram_logs_in_where_no_password_may_pass() {
    let server = Running::with(never_in_the_clear());
    let mut client = Client::greeted(server.plain).await;
    let scram = Mechanism::ScramSha256;
    let (answer, proven) = authenticate(&mut client, scram, ChannelBinding::None, true).await;
    assert!(answer.starts_with("+OK") && proven, "{answer}");
}

#[tokio::test]
async fn r1939_apop_1_every_greeting_has_a_timestamp_of_its_own_and_apop_logs_in() {
    let lines = LogLines::catch(LogFormat::Text);
    let server = Running::with(ServerSettings {
        apop_host: Some("pop.example.com".to_owned()),
        ..ServerSettings::default()
    });
    let mut timestamps = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(server.plain).await;
        let greeting = client.expect("+OK").await;
        let timestamp = &greeting[greeting.find('<').unwrap()..];
        assert!(timestamp.ends_with("@pop.example.com>"), "{greeting}");
        let digest = apop_digest(timestamp, PASSWORD);
        client
            .ask(
                &format!("APOP ann {}", apop_digest(timestamp, "wrong")),
                "-ERR [AUTH] ",
            )
            .await;
        client.ask(&format!("APOP ann {digest}"), "+OK").await;
        timestamps.push(timestamp.to_owned());
        client.ask("QUIT", "+OK").await;
    }
    assert_ne!(timestamps[0], timestamps[1]);
    assert!(
        lines
            .line_with(" login ")
            .await
            .contains("mechanism=\"APOP\"")
    );
}

fn apop_digest(timestamp: &str, secret: &str) -> String {
    use md5::Digest as _;
    let digest = md5::Md5::digest(format!("{timestamp}{secret}"));
    digest.iter().map(|octet| format!("{octet:02x}")).collect()
}

// R5034-AUTH-4, R5034-CANCEL-1
#[tokio::test]
async fn prj_auth_6_an_abandoned_exchange_leaves_the_session_as_it_was() {
    let server = Running::new();
    let mut client = Client::greeted(server.plain).await;
    client.ask("AUTH SCRAM-SHA-256", "+ ").await;
    client.ask("*", "-ERR").await;
    client.ask("AUTH SCRAM-SHA-256 !!!", "-ERR").await;
    client.ask("AUTH PLAIN", "+ ").await;
    client.ask("QUIT", "-ERR").await;
    client.log_in("ann").await;
}

// PRJ-PASS-7, PRJ-SEC-3: all wait the same time, and nobody else waits with them.
#[tokio::test]
async fn prj_sec_3_a_failed_login_delays_no_other_session() {
    let server = Running::new();
    let mut other = server.login("ben").await;
    let mut client = Client::greeted(server.plain).await;
    client.ask("USER ann", "+OK").await;
    client.send("PASS wrong\r\n").await;
    let answered = async {
        let began = tokio::time::Instant::now();
        client.expect("-ERR [AUTH] ").await;
        began.elapsed()
    };
    let busy = async {
        let began = tokio::time::Instant::now();
        other.ask("STAT", "+OK").await;
        began.elapsed()
    };
    let (failed, served) = both(answered, busy).await;
    assert!(
        failed >= Duration::from_millis(15) && served < failed,
        "{failed:?} {served:?}"
    );
}

async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    tokio::join!(a, b)
}

#[tokio::test]
async fn prj_sec_4_after_three_failed_logins_the_connection_closes() {
    let server = Running::new();
    let mut client = Client::greeted(server.plain).await;
    for _ in 0..3 {
        client.ask("USER ann", "+OK").await;
        client.ask("PASS wrong", "-ERR [AUTH] ").await;
    }
    assert_eq!(client.rest().await, b"");
}
