//! Clients behind a proxy: whose connection it is, and what comes before it is known.

use std::{net::SocketAddr, time::Duration};

use restante_server::{ConnectionLimits, ServerSettings, log::LogFormat};
use socket2::SockRef;
use tokio::{net::TcpStream, time::timeout};

use crate::{client::Client, log_lines::LogLines, setup::Running};

const SHORT: Duration = Duration::from_millis(200);

/// The same client in both versions; [`local`] is the proxy itself.
const V1: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.2 1025 110\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\x04\x01\0\x6e";

fn local() -> Vec<u8> {
    let mut header = V2.to_vec();
    header[12] = 0x20;
    header
}

/// [`V2`] with a field of this many octets after the addresses.
fn v2_with_field(octets: u16) -> Vec<u8> {
    let mut header = V2.to_vec();
    header[14..16].copy_from_slice(&(12 + 3 + octets).to_be_bytes());
    header.push(0xee);
    header.extend_from_slice(&octets.to_be_bytes());
    header.extend(std::iter::repeat_n(b'x', octets.into()));
    header
}

fn from_address(address: &str) -> String {
    format!("PROXY TCP4 {address} 198.51.100.2 1025 110\r\n")
}

/// A server to which this very machine is a proxy.
fn behind_proxy() -> ServerSettings {
    ServerSettings {
        proxies: vec!["127.0.0.0/8".parse().unwrap()],
        ..ServerSettings::default()
    }
}

/// Connects and sends a header, and expects no answer yet.
async fn proxied(address: SocketAddr, header: impl AsRef<[u8]>) -> Client<TcpStream> {
    let mut client = Client::connect(address).await;
    client.send(header).await;
    client
}

/// Whether the server is silent and keeps the connection.
async fn is_silent(client: &Client<TcpStream>) -> bool {
    let mut octet = [0];
    let waiting = Duration::from_millis(20);
    timeout(waiting, client.get_ref().peek(&mut octet))
        .await
        .is_err()
}

#[tokio::test]
async fn proxy_cfg_1_no_other_connection_is_read_for_a_header() {
    let server = Running::with(ServerSettings {
        proxies: vec!["192.0.2.0/24".parse().unwrap()],
        ..ServerSettings::default()
    });
    let mut client = proxied(server.plain, V1).await;
    client.expect("+OK").await;
    client.expect("-ERR").await;
    client.ask("QUIT", "+OK").await;
}

#[tokio::test]
async fn proxy_cfg_1_a_connection_from_a_listed_network_without_a_header_is_closed() {
    let server = Running::with(behind_proxy());
    for octets in [
        &b"CAPA\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01",
        b"PROXY TCP9 \r\n",
    ] {
        for address in [server.plain, server.tls] {
            let mut client = proxied(address, octets).await;
            assert_eq!(client.try_rest().await.unwrap_or_default(), b"");
        }
    }
}

#[tokio::test]
async fn proxy_cfg_2_nothing_is_said_before_the_last_octet_of_the_header() {
    let server = Running::with(behind_proxy());
    for header in [V1.to_vec(), V2.to_vec(), local(), v2_with_field(5)] {
        let mut client = Client::connect(server.plain).await;
        let (last, before) = header.split_last().unwrap();
        for octet in before {
            client.send([*octet]).await;
        }
        assert!(is_silent(&client).await, "{}", header.escape_ascii());
        client.send([*last]).await;
        client.expect("+OK").await;
        client.ask("QUIT", "+OK").await;
    }
}

#[tokio::test]
async fn proxy_cfg_2_a_header_that_does_not_come_is_not_waited_for() {
    let lines = LogLines::catch(LogFormat::Text);
    let server = Running::with(ServerSettings {
        proxy_header_timeout: SHORT,
        ..behind_proxy()
    });
    for header in [&b""[..], &V1[..20], &V2[..20]] {
        let mut client = proxied(server.plain, header).await;
        assert_eq!(client.try_rest().await.unwrap_or_default(), b"");
    }
    lines.line_with("PROXY header timeout").await;
    assert!(ServerSettings::default().proxy_header_timeout >= Duration::from_secs(3));
}

#[tokio::test]
async fn proxy_cfg_2_a_connection_too_many_or_too_late_is_closed_without_a_word() {
    let mut settings = behind_proxy();
    settings.limits.connections_max = 1;
    let mut server = Running::with(settings);
    let waiting = Client::connect(server.plain).await;
    let mut over = proxied(server.plain, V1).await;
    assert_eq!(over.try_rest().await.unwrap_or_default(), b"");
    // And a stopping server waits for no header.
    server.stop();
    let mut waiting = waiting;
    assert_eq!(waiting.rest().await, b"");
    server.ended().await;
}

#[tokio::test]
async fn proxy_tls_1_what_follows_the_header_in_the_same_segment_is_the_clients() {
    let server = Running::with(ServerSettings {
        cleartext_login: restante_server::CleartextLogin::Always,
        ..behind_proxy()
    });
    for header in [
        V1.to_vec(),
        V2.to_vec(),
        v2_with_field(489),
        v2_with_field(5000),
    ] {
        let octets = [
            &header[..],
            b"USER ann\r\nPASS open-sesame\r\nSTAT\r\nQUIT\r\n",
        ]
        .concat();
        let mut client = proxied(server.plain, octets).await;
        for _ in 0..3 {
            client.expect("+OK").await;
        }
        client.expect("+OK 0 0").await;
        client.expect("+OK").await;
        assert_eq!(client.rest().await, b"");
    }
}

#[tokio::test]
async fn proxy_tls_1_the_handshake_begins_right_after_the_header() {
    let server = Running::with(behind_proxy());
    for header in [V1.to_vec(), V2.to_vec(), local(), v2_with_field(1000)] {
        let client = Client::connect(server.tls).await;
        let stream = client.into_inner();
        // The kernel holds the header back until the ClientHello is there.
        SockRef::from(&stream).set_tcp_cork(true).unwrap();
        let mut client = Client::over(stream);
        client.send(&header).await;
        let mut client = client.handshake(server.any_version()).await.unwrap();
        let cork = client.get_ref().get_ref().0;
        SockRef::from(cork).set_tcp_cork(false).unwrap();
        client.expect("+OK").await;
        client.log_in("ann").await;
        client.ask("QUIT", "+OK").await;
    }
}

#[tokio::test]
async fn prj_sec_5_behind_a_proxy_the_clients_addresses_are_counted_and_not_the_proxys() {
    let server = Running::with(ServerSettings {
        limits: ConnectionLimits {
            connections_per_address_max: 1,
            ..ConnectionLimits::default()
        },
        ..behind_proxy()
    });
    let mut clients = Vec::new();
    for host in 1..=20 {
        let header = from_address(&format!("192.0.2.{host}"));
        let mut client = proxied(server.plain, header).await;
        client.expect("+OK").await;
        clients.push(client);
    }
    let mut second = proxied(server.plain, from_address("192.0.2.7")).await;
    second.expect("-ERR [SYS/TEMP] ").await;
    assert_eq!(second.rest().await, b"");
    let mut second = proxied(server.tls, from_address("192.0.2.7")).await;
    assert_eq!(second.rest().await, b"");
    // The place is free again when the first one is gone.
    clients.remove(6).ask("QUIT", "+OK").await;
    for _ in 0..1000 {
        let mut again = proxied(server.plain, from_address("192.0.2.7")).await;
        if again.line().await.starts_with("+OK") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("no place becomes free");
}

#[tokio::test]
async fn r2595_pol_1_a_client_behind_a_proxy_on_this_machine_is_not_on_this_machine() {
    let server = Running::with(behind_proxy());
    for header in [V1, V2, b"PROXY UNKNOWN\r\n"] {
        let mut client = proxied(server.plain, header).await;
        client.expect("+OK").await;
        client.ask("USER ann", "-ERR").await;
    }
    // PROXY-V2-4: LOCAL is the proxy itself, and that is here.
    let mut client = proxied(server.plain, local()).await;
    client.expect("+OK").await;
    client.log_in("ann").await;
    let mut client = proxied(server.plain, from_address("127.0.0.1")).await;
    client.expect("+OK").await;
    client.ask("USER ann", "+OK").await;
}

#[tokio::test]
async fn the_log_names_the_client_and_the_proxy() {
    let lines = LogLines::catch(LogFormat::Text);
    let server = Running::with(ServerSettings {
        cleartext_login: restante_server::CleartextLogin::Always,
        ..behind_proxy()
    });
    let mut client = proxied(server.plain, V2).await;
    client.expect("+OK").await;
    client.ask("USER ann", "+OK").await;
    client.ask("PASS wrong", "-ERR").await;
    client.log_in("ann").await;
    client.ask("QUIT", "+OK").await;
    for part in ["login refused", "INFO login session"] {
        let line = lines.line_with(part).await;
        assert!(line.contains("peer=192.0.2.1:1025"), "{line}");
    }
    let line = lines.line_with("session ended").await;
    assert!(line.contains("peer=192.0.2.1:1025"), "{line}");
    assert!(line.contains("proxy=127.0.0.1:"), "{line}");
}
