//! How messages travel: whole, or visibly broken.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use restante_maildrop::memory::Operation;
use restante_server::log::LogFormat;
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::{client::Client, log_lines::LogLines, setup::Running};

#[tokio::test]
async fn prj_ml_8_a_store_that_fails_within_a_message_closes_without_the_termination() {
    let lines = LogLines::catch(LogFormat::Text);
    let server = Running::new();
    server
        .deliver("ann", &b"0123456789abcdef\r\n".repeat(20_000))
        .await;
    for chunks in [0, 1, 7] {
        let mut client = server.login("ann").await;
        client.ask("DELE 1", "+OK").await;
        client.ask("RSET", "+OK").await;
        server.store.fail_after(Operation::Chunk, chunks);
        client.ask("RETR 1", "+OK").await;
        let rest = client.rest().await;
        assert!(!rest.windows(5).any(|octets| octets == b"\r\n.\r\n"));
        assert!(!rest.windows(4).any(|octets| octets == b"-ERR"));
    }
    let line = lines.line_with("session ended").await;
    assert!(
        line.contains("message-broken") && line.contains("retr=0"),
        "{line}"
    );
    let numbers = server.observation.metrics().unwrap();
    assert!(
        numbers.contains("restante_errors_total{step=\"retrieve\"} 3\n"),
        "{numbers}"
    );
}

#[tokio::test]
async fn prj_ml_8_under_tls_a_broken_message_looks_truncated() {
    let server = Running::new();
    server
        .deliver("ann", &b"0123456789abcdef\r\n".repeat(20_000))
        .await;
    let mut client = server.tls_client(&[&TLS13]).await;
    client.log_in("ann").await;
    server.store.fail_after(Operation::Chunk, 5);
    client.ask("RETR 1", "+OK").await;
    // Without close_notify a client sees that something is missing.
    let error = client.try_rest().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

// R8314-CLOSE-9
#[tokio::test]
async fn r8314_close_9_after_quit_close_notify_is_sent() {
    let server = Running::new();
    for version in [&TLS12, &TLS13] {
        let mut client = server.tls_client(&[version]).await;
        client.log_in("ann").await;
        client.ask("QUIT", "+OK").await;
        // rustls errs at an end without close_notify.
        assert_eq!(client.try_rest().await.unwrap(), b"");
    }
}

#[tokio::test]
async fn prj_lock_6_a_message_removed_by_another_program_is_refused_and_the_others_stay() {
    let server = Running::new();
    server.deliver("ann", b"Subject: one\r\n\r\n").await;
    server.deliver("ann", b"Subject: two\r\n\r\n").await;
    let mut client = server.login("ann").await;
    let unique_id = client.ask("UIDL 1", "+OK 1 ").await;
    let unique_id = unique_id.rsplit(' ').next().unwrap();
    assert!(
        server
            .store
            .remove_behind_the_back(&crate::setup::mailbox("ann"), unique_id.as_bytes())
    );
    client.ask("RETR 1", "-ERR").await;
    client.ask("RETR 2", "+OK").await;
    assert_eq!(client.multi_line().await, b"Subject: two\r\n\r\n");
    // It is nobody's fault.
    let numbers = server.observation.metrics().unwrap();
    assert!(
        numbers.contains("restante_errors_total{step=\"retrieve\"} 0\n"),
        "{numbers}"
    );
}

#[tokio::test]
async fn r2449_pipe_1_messages_asked_for_together_come_in_order_and_whole() {
    let server = Running::new();
    let message =
        |number: usize| format!("Subject: {number}\r\n\r\n{}\r\n", "x".repeat(number * 37));
    for number in 1..=60 {
        server.deliver("ann", message(number).as_bytes()).await;
    }
    for tls in [false, true] {
        let commands: String = (1..=60)
            .map(|number| format!("RETR {number}\r\nNOOP\r\n"))
            .collect();
        if tls {
            let mut client = server.tls_client(&[&TLS13]).await;
            client.log_in("ann").await;
            client.send(commands).await;
            for number in 1..=60 {
                client.expect("+OK").await;
                assert_eq!(client.multi_line().await, message(number).as_bytes());
                client.expect("+OK").await;
            }
            client.ask("QUIT", "+OK").await;
        } else {
            let mut client = server.login("ann").await;
            client.send(commands).await;
            for number in 1..=60 {
                client.expect("+OK").await;
                assert_eq!(client.multi_line().await, message(number).as_bytes());
                client.expect("+OK").await;
            }
            client.ask("QUIT", "+OK").await;
        }
    }
}

/// A TCP stream that keeps what it has received.
struct Recorder {
    stream: TcpStream,
    received: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Recorder {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let octets = &buffer.filled()[before..];
        self.received.lock().unwrap().extend_from_slice(octets);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Recorder {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// How many octets of data each TLS 1.3 record holds: all but the content type and the tag.
fn record_data_octets(mut records: &[u8]) -> Vec<usize> {
    let mut data = Vec::new();
    while let [kind, 3, 3, high, low, rest @ ..] = records {
        let octets = usize::from(u16::from_be_bytes([*high, *low]));
        if *kind == 23 {
            data.push(octets - 17);
        }
        records = &rest[octets..];
    }
    assert!(records.is_empty(), "half a record");
    data
}

#[tokio::test]
async fn prj_ml_5_the_termination_is_never_cut_over_two_tls_records() {
    const RECORD: usize = 16 * 1024;
    let server = Running::new();
    // Message lengths for which a record, or a block of four, would end within the termination.
    let lengths: Vec<_> = [2, 4]
        .into_iter()
        .flat_map(|records| RECORD * records - 40..RECORD * records + 8)
        .collect();
    for &octets in &lengths {
        let message = format!("{}\r\n", "x".repeat(octets - 2));
        server.deliver("ann", message.as_bytes()).await;
    }
    let received = Arc::default();
    let stream = Recorder {
        stream: TcpStream::connect(server.tls).await.unwrap(),
        received: Arc::clone(&received),
    };
    let config = Arc::new(server.client_config(&[&TLS13]));
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(config)
        .connect(name, stream)
        .await
        .unwrap();
    let mut client = Client::over(stream);
    client.expect("+OK").await;
    client.log_in("ann").await;
    for (index, &octets) in lengths.iter().enumerate() {
        let number = index + 1;
        received.lock().unwrap().clear();
        let status = client.ask(&format!("RETR {number}"), "+OK").await;
        let message = client.multi_line().await;
        assert_eq!(message.len(), octets);
        let records = record_data_octets(&received.lock().unwrap());
        assert_eq!(
            records.iter().sum::<usize>(),
            status.len() + 2 + message.len() + 3
        );
        assert!(
            records.iter().all(|&octets| octets <= RECORD),
            "{records:?}"
        );
        assert!(*records.last().unwrap() >= 5, "{records:?}");
    }
}

#[tokio::test]
async fn r1939_list_1_a_hundred_thousand_messages_are_listed() {
    const COUNT: usize = 100_000;
    let server = Running::new();
    for _ in 0..COUNT {
        server.deliver("ann", b"Subject: one\r\n\r\n").await;
    }
    let mut client = server.login("ann").await;
    let total = COUNT * 16;
    assert_eq!(
        client.ask("STAT", "+OK").await,
        format!("+OK {COUNT} {total}")
    );
    client.ask("LIST", "+OK").await;
    let listing = String::from_utf8(client.multi_line().await).unwrap();
    for (index, line) in listing.lines().enumerate() {
        assert_eq!(line, format!("{} 16", index + 1));
    }
    assert_eq!(listing.lines().count(), COUNT);
    client.ask("UIDL", "+OK").await;
    let mut unique_ids: Vec<_> = client.multi_line().await;
    unique_ids.retain(|&octet| octet == b'\n');
    assert_eq!(unique_ids.len(), COUNT);
}
