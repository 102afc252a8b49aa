//! Servers that say nothing, at every stage: every wait has an end.

use std::time::Duration;

use restante_client::{Connection, Error, Login, MessageNumber, Security, SessionError};
use tokio::{net::TcpListener, time::Instant};

use crate::{
    certificates::Authority,
    script::{PATIENCE, Script, error},
};

/// Nobody waits this long, however busy the machine is.
const LONG: Duration = Duration::from_secs(45);

/// What a session of every command comes to.
async fn use_all(connection: Connection) -> Result<(), Error> {
    let mut client = connection.log_in(&Login::password("tim", "secret")).await?;
    client.stat().await?;
    client.listing().await?;
    let mut message = client.retrieve(MessageNumber::FIRST, None).await?;
    while message.next().await?.is_some() {}
    client.delete(MessageNumber::FIRST).await?;
    client.quit().await
}

#[tokio::test]
async fn silence_ends_at_every_stage() {
    let stages: [(&str, &str); 9] = [
        ("CAPA", "+OK\r\nUSER\r\n."),
        ("USER tim", "+OK"),
        ("PASS secret", "+OK"),
        ("STAT", "+OK 1 3"),
        ("UIDL", "+OK\r\n1 a\r\n."),
        ("LIST", "+OK\r\n1 3\r\n."),
        ("RETR 1", "+OK\r\nx\r\n."),
        ("DELE 1", "+OK"),
        ("QUIT", "+OK"),
    ];
    let mut tests = tokio::task::JoinSet::new();
    for silent in 0..=stages.len() * 2 {
        // Even: not a word; odd: half an answer.
        let mut script = Script::default().say("+OK");
        for (at, (line, answer)) in stages.iter().enumerate() {
            script = script.hear(line);
            if silent / 2 == at {
                if silent % 2 == 1 {
                    script = script.say_octets(answer.as_bytes());
                }
                script = script.silence();
                break;
            }
            script = script.say(answer);
        }
        let quiet = silent / 2 < stages.len();
        tests.spawn(async move {
            let scripted = script.serve().await;
            let began = Instant::now();
            let outcome = match scripted.open().await {
                Ok(connection) => use_all(connection).await,
                Err(error) => Err(error),
            };
            if !quiet {
                return outcome.expect("nothing was silent");
            }
            let error = error(outcome);
            let silence = matches!(error, Error::Session(SessionError::Silence { .. }));
            assert!(silence, "stage {silent}: {error}");
            assert!(began.elapsed() >= PATIENCE, "stage {silent}");
            assert!(began.elapsed() < LONG, "stage {silent}");
        });
    }
    while let Some(test) = tests.join_next().await {
        test.expect("no stage panics");
    }
}

#[tokio::test]
async fn no_greeting_is_not_waited_for_for_ever() {
    let scripted = Script::default().silence().serve().await;
    let error = error(scripted.open().await);
    assert!(
        matches!(error, Error::Session(SessionError::NoGreeting { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn a_handshake_that_never_comes_is_not_waited_for_for_ever() {
    let tls = Authority::new().believer();
    let scripted = Script::default().silence().serve().await;
    let server = scripted.server(Security::Tls(tls.clone()));
    let began = Instant::now();
    let first = error(Connection::open(&server).await);
    assert!(began.elapsed() < LONG);
    assert!(matches!(first, Error::HandshakeTimeout { .. }), "{first}");
    let script = Script::default().say("+OK").capabilities(&["STLS"]);
    let scripted = script.answer("STLS", "+OK").silence().serve().await;
    let server = scripted.server(Security::Stls(tls));
    let second = error(Connection::open(&server).await);
    assert!(matches!(second, Error::HandshakeTimeout { .. }), "{second}");
}

#[tokio::test]
async fn a_line_that_breaks_within_the_handshake_is_not_the_servers_fault() {
    let tls = Authority::new().believer();
    let scripted = Script::default().close().serve().await;
    let first = error(Connection::open(&scripted.server(Security::Tls(tls.clone()))).await);
    let script = Script::default().say("+OK").capabilities(&["STLS"]);
    let scripted = script.answer("STLS", "+OK").close().serve().await;
    let second = error(Connection::open(&scripted.server(Security::Stls(tls))).await);
    for error in [first, second] {
        assert!(matches!(error, Error::Broken(_)), "{error}");
        assert_eq!(error.fault(), restante_client::Fault::Network);
    }
}

#[tokio::test]
async fn a_proxy_that_says_nothing_is_not_waited_for_for_ever() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let scripted = Script::greeting().serve().await;
    let mut server = scripted.server(Security::CleartextWithoutPassword);
    server.proxy = Some(restante_client::Proxy {
        host: "127.0.0.1".into(),
        port: listener.local_addr().expect("an address").port(),
        credentials: None,
    });
    let error = error(Connection::open(&server).await);
    assert!(matches!(error, Error::ConnectTimeout { .. }), "{error}");
}

#[tokio::test]
async fn a_reader_that_pauses_is_no_silence_of_the_server() {
    let body = "x".repeat(70_000);
    let script = Script::logged_in(&["USER"]).answer("RETR 1", &format!("+OK\r\n{body}\r\n."));
    let scripted = script.serve().await;
    let connection = scripted.open().await.expect("a connection");
    let login = Login::password("tim", "secret");
    let mut client = connection.log_in(&login).await.expect("a login");
    let mut message = client
        .retrieve(MessageNumber::FIRST, None)
        .await
        .expect("a message");
    let first = message.next().await.expect("a piece").expect("not the end");
    assert!(first.len() < body.len());
    tokio::time::sleep(PATIENCE * 2).await;
    let mut octets = first.len();
    while let Some(piece) = message.next().await.expect("a piece") {
        octets += piece.len();
    }
    assert_eq!(octets, body.len() + 2);
}

// PRJ-FETCH-10: what arrives slowly, and all in all for longer than anybody waits, arrives.
#[tokio::test]
async fn prj_fetch_10_a_long_message_that_makes_progress_is_no_silence() {
    let mut script = Script::logged_in(&["USER"]).answer("RETR 1", "+OK");
    for _ in 0..6 {
        script = script.say_later(PATIENCE / 2, "a line");
    }
    let scripted = script.say(".").serve().await;
    let connection = scripted.open().await.expect("a connection");
    let login = Login::password("tim", "secret");
    let mut client = connection.log_in(&login).await.expect("a login");
    let begun = Instant::now();
    let mut message = client
        .retrieve(MessageNumber::FIRST, None)
        .await
        .expect("a message");
    let mut octets = 0;
    while let Some(piece) = message.next().await.expect("a piece") {
        octets += piece.len();
    }
    assert_eq!(octets, 6 * "a line\r\n".len());
    assert!(begun.elapsed() > PATIENCE * 2);
}
