//! Whole sessions, from greeting to goodbye, over every transport.

use std::net::SocketAddr;

use restante_server::{Listeners, Transport};
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{client::Client, setup::Running};

const FIRST: &[u8] = b"Subject: one\n\nHello\n.\n..dots\nlast line";
const FIRST_ON_THE_WIRE: &[u8] = b"Subject: one\r\n\r\nHello\r\n.\r\n..dots\r\nlast line\r\n";
const SECOND: &[u8] = b"Subject: two\r\n\r\nBody\r\n";

async fn server_with_mail() -> Running {
    let server = Running::new();
    server.deliver("ann", FIRST).await;
    server.deliver("ann", SECOND).await;
    server
}

/// Lists, reads, deletes and leaves; the client stands behind the greeting.
async fn whole_session<T: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<T>,
    server: &Running,
) {
    client.log_in("ann").await;
    let octets = FIRST_ON_THE_WIRE.len();
    let total = octets + SECOND.len();
    assert_eq!(client.ask("STAT", "+OK").await, format!("+OK 2 {total}"));
    client.ask("LIST", "+OK").await;
    let listed = format!("1 {octets}\r\n2 {}\r\n", SECOND.len());
    assert_eq!(client.multi_line().await, listed.as_bytes());
    client.ask("UIDL", "+OK").await;
    assert_eq!(
        client
            .multi_line()
            .await
            .iter()
            .filter(|&&o| o == b'\n')
            .count(),
        2
    );
    client.ask("RETR 1", "+OK").await;
    assert_eq!(client.multi_line().await, FIRST_ON_THE_WIRE);
    client.ask("TOP 2 0", "+OK").await;
    assert_eq!(client.multi_line().await, b"Subject: two\r\n\r\n");
    client.ask("DELE 1", "+OK").await;
    assert_eq!(server.count("ann"), 2, "nothing leaves before QUIT");
    client.ask("QUIT", "+OK").await;
    assert_eq!(client.rest().await, b"");
    assert_eq!(server.count("ann"), 1);
}

#[tokio::test]
async fn r1939_state_1_a_whole_session_in_the_clear() {
    let server = server_with_mail().await;
    let mut client = Client::greeted(server.plain).await;
    whole_session(&mut client, &server).await;
    server.ended().await;
}

#[tokio::test]
async fn r8314_tls_1_a_whole_session_over_implicit_tls_1_3() {
    let server = server_with_mail().await;
    let mut client = server.tls_client(&[&TLS13]).await;
    whole_session(&mut client, &server).await;
    server.ended().await;
}

#[tokio::test]
async fn r8314_tls_4_a_whole_session_over_implicit_tls_1_2() {
    let server = server_with_mail().await;
    let mut client = server.tls_client(&[&TLS12]).await;
    whole_session(&mut client, &server).await;
    server.ended().await;
}

// R8314-TLS-2: beside implicit TLS, not instead of it.
#[tokio::test]
async fn r2595_stls_1_a_whole_session_after_stls() {
    let server = server_with_mail().await;
    let mut client = Client::greeted(server.plain).await;
    client.ask("STLS", "+OK").await;
    let mut client = client.handshake(server.any_version()).await.unwrap();
    // R2595-STLS-6: no new greeting, so the next line answers the next command.
    whole_session(&mut client, &server).await;
    server.ended().await;
}

#[test]
fn ipv4_and_ipv6_listen_on_one_port_side_by_side() {
    let [any4, any6]: [SocketAddr; 2] =
        ["0.0.0.0:0", "[::]:0"].map(|address| address.parse().unwrap());
    // Another test may have the port of the other family.
    let bound = (0..20).any(|_| {
        let first = Listeners::bind(&[any6], &[]).unwrap();
        let (_, address) = first.local_addresses().next().unwrap();
        let same_port = SocketAddr::new(any4.ip(), address.port());
        Listeners::bind(&[], &[same_port]).is_ok_and(|second| {
            second.local_addresses().next().unwrap() == (Transport::Tls, same_port)
        })
    });
    assert!(bound);
}

#[tokio::test]
async fn a_whole_session_over_ipv6() {
    let server = Running::at("[::1]:0");
    server.deliver("ann", FIRST).await;
    server.deliver("ann", SECOND).await;
    let mut client = Client::greeted(server.plain).await;
    whole_session(&mut client, &server).await;
}
