//! What the log says of a session, and what it never says.

use restante_server::log::LogFormat;
use rustls::version::TLS13;

use crate::{client::Client, log_lines::LogLines, setup::Running};

#[tokio::test]
async fn prj_sec_2_a_login_line_and_a_session_line_tell_what_was_done() {
    let lines = LogLines::catch(LogFormat::Text);
    let server = Running::new();
    server
        .deliver("ann", b"Subject: one\r\n\r\nHello\r\n")
        .await;
    server.deliver("ann", b"Subject: two\r\n\r\n").await;
    let mut client = server.tls_client(&[&TLS13]).await;
    client.log_in("ann").await;
    client.ask("RETR 1", "+OK").await;
    client.multi_line().await;
    client.ask("TOP 2 0", "+OK").await;
    client.multi_line().await;
    client.ask("DELE 1", "+OK").await;
    client.ask("QUIT", "+OK").await;
    let login = lines.line_with(" login ").await;
    for part in [
        "account=\"ann\"",
        "mechanism=\"USER\"",
        "tls=\"TLSv1.3\"",
        "peer=127.0.0.1:",
    ] {
        assert!(login.contains(part), "{part}: {login}");
    }
    let ended = lines.line_with("session ended").await;
    for part in [
        "account=\"ann\"",
        "tls=\"TLSv1.3\"",
        "retr=1",
        "retr_octets=23",
        "top=1",
        "dele=1",
        "removed=1",
        "milliseconds=",
        "reason=\"quit\"",
    ] {
        assert!(ended.contains(part), "{part}: {ended}");
    }
}

#[tokio::test]
async fn prj_sec_2_no_secret_reaches_the_log_at_any_level() {
    for format in [LogFormat::Text, LogFormat::Json] {
        let lines = LogLines::catch(format);
        let server = Running::new();
        let mut client = Client::greeted(server.plain).await;
        client.log_in("ann").await;
        client.ask("QUIT", "+OK").await;
        let mut client = Client::greeted(server.plain).await;
        client.ask("USER ben", "+OK").await;
        client.ask("PASS hunter2 hunter2", "-ERR [AUTH] ").await;
        // AHVzZXIAaHVudGVyMg== is PLAIN for `user` and `hunter2`.
        client.ask("AUTH PLAIN AHVzZXIAaHVudGVyMg==", "-ERR").await;
        client.send("PASS hunter2\r\nhunter2\r\n").await;
        client.expect("-ERR").await;
        drop(client);
        lines.line_with("end-of-input").await;
        let text = lines.text();
        for secret in ["open-sesame", "hunter2", "AHVzZXIAaHVudGVyMg"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
}

#[tokio::test]
async fn prj_err_6_a_refused_name_is_logged_escaped() {
    let lines = LogLines::catch(LogFormat::Text);
    let server = Running::new();
    let mut client = Client::greeted(server.plain).await;
    client.ask("USER a\"\u{85}\u{202e}b", "+OK").await;
    client.ask("PASS wrong", "-ERR [AUTH] ").await;
    let line = lines.line_with("login refused").await;
    assert!(line.contains("reason=\"unknown user\""), "{line}");
    assert!(!line.contains(['\u{85}', '\u{202e}']), "{line:?}");
}
