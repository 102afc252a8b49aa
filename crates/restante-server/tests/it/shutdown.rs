//! The server stops: running commands finish, nothing else begins.

use std::time::Duration;

use restante_server::{ServerSettings, log::LogFormat};

use crate::{client::Client, log_lines::LogLines, setup::Running};

#[tokio::test]
async fn prj_sec_6_a_message_that_is_being_sent_is_sent_to_its_end() {
    let mut server = Running::new();
    // Far more than the two kernels hold.
    let message = [
        b"Subject: one\r\n\r\n".to_vec(),
        b"0123456789abcdef\r\n".repeat(1 << 20),
    ]
    .concat();
    server.deliver("ann", &message).await;
    server.store.set_chunks(&[64 * 1024]);
    let mut client = server.login("ann").await;
    client.ask("DELE 1", "+OK").await;
    client.ask("RSET", "+OK").await;
    client.send("RETR 1\r\nNOOP\r\n").await;
    client.expect("+OK").await;
    server.stop();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(client.multi_line().await.len(), message.len());
    // It is at work, and may finish.
    client.expect("+OK").await;
    client.ask("DELE 1", "+OK").await;
    client.ask("QUIT", "+OK").await;
    assert_eq!(client.rest().await, b"");
    assert_eq!(server.count("ann"), 0);
    drop(client);
    server.ended().await;
}

#[tokio::test]
async fn prj_sec_6_idle_sessions_end_without_an_update() {
    let lines = LogLines::catch(LogFormat::Text);
    let mut server = Running::new();
    server.deliver("ann", b"Subject: one\n\n").await;
    let mut idle = server.login("ann").await;
    idle.ask("DELE 1", "+OK").await;
    let mut stranger = server.tls_client(&[&rustls::version::TLS13]).await;
    server.stop();
    for rest in [idle.rest().await, stranger.rest().await] {
        assert!(
            rest.starts_with(b"-ERR [SYS/TEMP] "),
            "{}",
            rest.escape_ascii()
        );
    }
    assert_eq!(server.count("ann"), 1);
    drop((idle, stranger));
    server.ended().await;
    lines.line_with("shut-down").await;
}

#[tokio::test]
async fn prj_sec_6_new_connections_are_refused_while_others_finish() {
    let mut server = Running::new();
    server.deliver("ann", &vec![b'x'; 16 << 20]).await;
    server.store.set_chunks(&[64 * 1024]);
    let mut busy = server.login("ann").await;
    busy.ask("RETR 1", "+OK").await;
    server.stop();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut late = Client::connect(server.plain).await;
    late.expect("-ERR [SYS/TEMP] ").await;
    assert_eq!(late.rest().await, b"");
    let mut late = Client::connect(server.tls).await;
    assert_eq!(late.rest().await, b"");
    busy.multi_line().await;
    drop(busy);
    server.ended().await;
}

#[tokio::test]
async fn prj_sec_6_whoever_is_at_work_for_too_long_finishes_a_command_and_no_more() {
    let mut server = Running::with(ServerSettings {
        drain_timeout: Duration::from_secs(4),
        ..ServerSettings::default()
    });
    server.deliver("ann", b"Subject: one\n\n").await;
    let mut client = server.login("ann").await;
    client.ask("DELE 1", "+OK").await;
    server.stop();
    let began = tokio::time::Instant::now();
    // More often than anybody is taken for idle.
    loop {
        client.send("NOOP\r\n").await;
        if client.line().await.starts_with("-ERR [SYS/TEMP] ") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let lasted = began.elapsed();
    assert!(lasted > Duration::from_millis(2500), "{lasted:?}");
    assert!(lasted < Duration::from_millis(3900), "{lasted:?}");
    drop(client);
    assert_eq!(server.count("ann"), 1);
    server.ended().await;
}

#[tokio::test]
async fn prj_sec_6_a_pipeline_that_never_waits_is_ended_too() {
    let mut server = Running::with(ServerSettings {
        drain_timeout: Duration::from_secs(1),
        ..ServerSettings::default()
    });
    let client = server.login("ann").await;
    let (mut reader, mut writer) = client.split();
    server.stop();
    let flood = tokio::spawn(async move {
        while tokio::io::AsyncWriteExt::write_all(&mut writer, b"NOOP\r\n".repeat(500).as_slice())
            .await
            .is_ok()
        {}
    });
    let said = reader.try_rest().await.unwrap_or_default();
    let last = said.rsplit(|&octet| octet == b'\n').nth(1).unwrap();
    assert!(
        last.starts_with(b"-ERR [SYS/TEMP] "),
        "{}",
        last.escape_ascii()
    );
    drop(reader);
    flood.await.unwrap();
    server.ended().await;
}

#[tokio::test]
async fn prj_sec_6_whoever_does_not_finish_is_cut_off_after_the_drain_timeout() {
    let lines = LogLines::catch(LogFormat::Text);
    let server = Running::with(ServerSettings {
        drain_timeout: Duration::from_millis(300),
        ..ServerSettings::default()
    });
    server.deliver("ann", &vec![b'x'; 16 << 20]).await;
    server.store.set_chunks(&[64 * 1024]);
    let mut client = server.login("ann").await;
    client.ask("RETR 1", "+OK").await;
    server.ended().await;
    let line = lines.line_with("session ended").await;
    assert!(line.contains("cut off"), "{line}");
    // Half a message must not pass for a whole one: no termination came.
    let rest = client.try_rest().await.unwrap_or_default();
    assert!(!rest.ends_with(b"\r\n.\r\n"));
}
