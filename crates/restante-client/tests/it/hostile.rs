//! Servers that lie, flood and break off.

use std::time::Duration;

use restante_client::{Client, Error, Fault, Login, MessageNumber, Octets, SessionError};

use crate::script::{Script, Scripted, error};

const ONE: MessageNumber = MessageNumber::FIRST;

async fn log_in(scripted: &Scripted) -> Client {
    let connection = scripted.open().await.expect("a connection");
    let login = Login::password("tim", "secret");
    connection.log_in(&login).await.expect("a login")
}

async fn client(script: Script) -> Client {
    log_in(&script.serve().await).await
}

// PRJ-NUM-6
#[tokio::test]
async fn prj_num_6_wrong_sizes_and_counts_are_errors_and_never_0() {
    for answer in ["+OK -1 5", "+OK 1 18446744073709551616", "+OK x", "+OK"] {
        let mut client = client(Script::logged_in(&[]).answer("STAT", answer)).await;
        let error = error(client.stat().await);
        assert!(
            matches!(error, Error::Session(SessionError::Malformed { .. })),
            "{error}"
        );
        assert_eq!(error.fault(), Fault::Server);
        assert!(error.connection_lost());
    }
    for line in [
        "0 5",
        "-1 5",
        "1 -5",
        "1 18446744073709551616",
        "4294967296 5",
        "1",
        "x",
    ] {
        let answer = format!("+OK\r\n{line}\r\n.");
        let mut client = client(Script::logged_in(&[]).answer("LIST", &answer)).await;
        let error = error(client.list().await);
        assert!(
            matches!(error, Error::Session(SessionError::Malformed { .. })),
            "{error}"
        );
    }
    // Zero, and more than anybody has, are numbers.
    let answer = "+OK\r\n1 0\r\n2 18446744073709551615\r\n.";
    let mut client = client(Script::logged_in(&[]).answer("LIST", answer)).await;
    let sizes: Vec<Octets> = client
        .list()
        .await
        .expect("numbers")
        .iter()
        .map(|listed| listed.octets)
        .collect();
    assert_eq!(sizes, [Octets(0), Octets(u64::MAX)]);
}

// A size that is wrong in any way does no harm: the end decides (PRJ-ML-9).
#[tokio::test]
async fn prj_ml_9_a_wrong_size_does_no_harm() {
    for octets in [0, 1, u64::MAX] {
        let script = Script::logged_in(&["PIPELINING"]).answer("RETR 1", "+OK\r\none\r\ntwo\r\n.");
        let mut client = client(script.answer("QUIT", "+OK")).await;
        let mut message = client
            .retrieve(ONE, Some(Octets(octets)))
            .await
            .expect("a message");
        let mut octets = 0;
        while let Some(piece) = message.next().await.expect("a piece") {
            octets += piece.len();
        }
        assert_eq!(octets, 10);
        client.quit().await.expect("a goodbye");
    }
}

#[tokio::test]
async fn endless_lines_listings_and_messages_have_an_end() {
    let flood = |script: Script, octets: &[u8]| script.say_forever(octets);
    // A greeting.
    let scripted = flood(Script::default(), b"+OK aaaaaaaaaaaaaaaa")
        .serve()
        .await;
    let greeting = error(scripted.open().await);
    assert!(
        matches!(greeting, Error::Session(SessionError::LineTooLong { .. })),
        "{greeting}"
    );
    // Capabilities, and one of them.
    for (octets, lines) in [(&b"X\r\n"[..], true), (b"XXXXXXXXX", false)] {
        let script = Script::default().say("+OK").answer("CAPA", "+OK");
        let scripted = flood(script, octets).serve().await;
        let error = error(scripted.open().await);
        let too_many = matches!(error, Error::Session(SessionError::TooManyLines { .. }));
        let too_long = matches!(error, Error::Session(SessionError::LineTooLong { .. }));
        assert!(if lines { too_many } else { too_long }, "{error}");
    }
    // A listing, of either kind.
    for keyword in ["LIST", "UIDL"] {
        let script = Script::logged_in(&[]).answer(keyword, "+OK");
        let scripted = flood(script, b"1 1\r\n2 2\r\n3 3\r\n").serve().await;
        let mut server = scripted.server(restante_client::Security::Loopback);
        server.limits.messages_max = 1000;
        let connection = restante_client::Connection::open(&server)
            .await
            .expect("opens");
        let login = Login::password("tim", "secret");
        let mut client = connection.log_in(&login).await.expect("a login");
        let error = match keyword {
            "LIST" => error(client.list().await),
            _ => error(client.unique_ids().await),
        };
        assert!(
            matches!(error, Error::Session(SessionError::TooManyMessages { .. })),
            "{error}"
        );
    }
    // A message.
    let script = Script::logged_in(&[]).answer("RETR 1", "+OK");
    let scripted = flood(script, b"and on\r\n").serve().await;
    let mut server = scripted.server(restante_client::Security::Loopback);
    server.limits.message_octets_max = Octets(1_000_000);
    let connection = restante_client::Connection::open(&server)
        .await
        .expect("opens");
    let mut client = connection
        .log_in(&Login::password("tim", "secret"))
        .await
        .expect("a login");
    let mut message = client.retrieve(ONE, None).await.expect("it begins");
    let mut octets = 0;
    let error = loop {
        match message.next().await {
            Ok(Some(piece)) => octets += piece.len(),
            Ok(None) => panic!("it has no end"),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, Error::Session(SessionError::MessageTooLarge { .. })),
        "{error}"
    );
    assert!(octets <= 1_000_000);
    // And it stays an error.
    assert!(client.noop().await.is_err());
}

// PRJ-ML-9, PRJ-TLS-8: politely or not, half a message is none, and nobody waits for more.
#[tokio::test]
async fn prj_tls_8_a_close_in_mid_message_is_an_error() {
    let authority = crate::certificates::Authority::new();
    let certificate = authority.sign(&["localhost"]);
    for (tls, polite) in [(false, true), (true, true), (true, false)] {
        let begin = Script::default();
        let begin = if tls {
            begin.tls(&certificate.config)
        } else {
            begin
        };
        let script = begin
            .say("+OK")
            .answer("CAPA", "-ERR")
            .answer("USER tim", "+OK")
            .answer("PASS secret", "+OK")
            .hear("RETR 1")
            .say_octets(b"+OK 10 octets\r\none\r\ntwo\r\n");
        let script = if polite {
            script.close()
        } else {
            script.vanish()
        };
        let scripted = script.serve().await;
        let security = if tls {
            restante_client::Security::Tls(authority.believer())
        } else {
            restante_client::Security::Loopback
        };
        let connection = restante_client::Connection::open(&scripted.server(security)).await;
        let login = Login::password("tim", "secret");
        let mut client = connection
            .expect("opens")
            .log_in(&login)
            .await
            .expect("a login");
        let mut message = client
            .retrieve(ONE, Some(Octets(10)))
            .await
            .expect("it begins");
        let mut octets = 0;
        let error = loop {
            let next = tokio::time::timeout(Duration::from_secs(45), message.next()).await;
            match next.expect("no endless loop") {
                Ok(Some(piece)) => octets += piece.len(),
                Ok(None) => panic!("it has no end"),
                Err(error) => break error,
            }
        };
        assert_eq!(octets, 10);
        let truncated = matches!(
            error,
            Error::Session(SessionError::MessageTruncated {
                octets: Octets(10),
                ..
            })
        );
        assert!(truncated, "{tls} {polite}: {error}");
        let again = tokio::time::timeout(Duration::from_secs(1), message.next()).await;
        assert!(again.expect("at once").is_err());
    }
}

// After QUIT was answered, the end of TCP without an end of TLS is no matter (PRJ-TLS-8).
#[tokio::test]
async fn prj_tls_8_a_close_after_the_goodbye_is_fine() {
    let authority = crate::certificates::Authority::new();
    let certificate = authority.sign(&["localhost"]);
    let script = Script::default()
        .tls(&certificate.config)
        .say("+OK")
        .answer("CAPA", "-ERR")
        .answer("USER tim", "+OK")
        .answer("PASS secret", "+OK")
        .answer("QUIT", "+OK")
        .vanish();
    let scripted = script.serve().await;
    let security = restante_client::Security::Tls(authority.believer());
    let connection = restante_client::Connection::open(&scripted.server(security)).await;
    let login = Login::password("tim", "secret");
    let client = connection
        .expect("opens")
        .log_in(&login)
        .await
        .expect("a login");
    client.quit().await.expect("a goodbye");
}

// PRJ-QUIT-10
#[tokio::test]
async fn prj_quit_10_only_an_answered_quit_has_deleted() {
    let deleting = || Script::logged_in(&[]).answer("DELE 1", "+OK");
    let refused = deleting().answer("QUIT", "-ERR some deleted messages not removed");
    let unanswered = deleting().hear("QUIT").close();
    for (script, lost) in [(refused, false), (unanswered, true)] {
        let mut client = client(script).await;
        client.delete(ONE).await.expect("marked");
        let error = error(client.quit().await);
        assert_eq!(error.connection_lost(), lost, "{error}");
    }
}

// Dropping a client says nothing: no QUIT, and so no deletion.
#[tokio::test]
async fn dropping_a_client_deletes_nothing() {
    let script = Script::logged_in(&[])
        .answer("DELE 1", "+OK")
        .answer("DELE 2", "+OK");
    let scripted = script.silence().serve().await;
    let mut client = log_in(&scripted).await;
    client.delete(ONE).await.expect("marked");
    client
        .delete(MessageNumber::new(2).expect("not 0"))
        .await
        .expect("marked");
    drop(client);
    let heard = scripted.heard().await;
    assert_eq!(
        heard,
        ["CAPA", "USER tim", "PASS secret", "DELE 1", "DELE 2"]
    );
}

#[tokio::test]
async fn err_to_any_command_leaves_the_session_whole() {
    let mut script = Script::logged_in(&["TOP", "UIDL"]);
    for line in [
        "STAT", "LIST", "UIDL", "RETR 1", "TOP 1 0", "DELE 1", "RSET", "NOOP",
    ] {
        script = script.answer(line, "-ERR \x1b[2J no");
    }
    let scripted = script
        .answer("UIDL", "-ERR")
        .answer("LIST", "-ERR")
        .answer("QUIT", "-ERR");
    let scripted = scripted.serve().await;
    let mut client = log_in(&scripted).await;
    let mut errors = vec![
        error(client.stat().await),
        error(client.list().await),
        error(client.unique_ids().await),
        error(client.retrieve(ONE, None).await),
        error(client.top(ONE, 0).await),
        error(client.delete(ONE).await),
        error(client.reset().await),
        error(client.noop().await),
        error(client.listing().await),
    ];
    errors.push(error(client.quit().await));
    for error in errors {
        assert!(matches!(error, Error::Refused { .. }), "{error}");
        assert_eq!(error.fault(), Fault::Refusal);
        assert!(!error.connection_lost());
        // Escape sequences do not reach a terminal.
        assert!(!error.to_string().contains('\x1b'), "{error}");
    }
}

#[tokio::test]
async fn a_refused_connection_says_why() {
    let script = Script::default()
        .say("-ERR [SYS/TEMP] too many connections")
        .close();
    let error = error(script.serve().await.open().await);
    let Error::Session(SessionError::Refused(line)) = &error else {
        panic!("{error}");
    };
    assert_eq!(line.code, Some(restante_client::ResponseCode::SysTemp));
    assert_eq!(error.fault(), Fault::Refusal);
}

#[tokio::test]
async fn a_goodbye_that_was_not_asked_for_is_told() {
    let script = Script::logged_in(&[]).say("-ERR shutting down").close();
    let scripted = script.serve().await;
    let mut client = log_in(&scripted).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let error = error(client.stat().await);
    assert!(error.to_string().contains("shutting down"), "{error}");
}
