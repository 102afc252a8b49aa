//! How many connections there may be.

use restante_server::{ConnectionLimits, ServerSettings};

use crate::{client::Client, setup::Running};

fn limited(connections: usize, per_address: usize, per_account: usize) -> Running {
    Running::with(ServerSettings {
        limits: ConnectionLimits {
            connections_max: connections,
            connections_per_address_max: per_address,
            connections_per_account_max: per_account,
        },
        in_use_wait: std::time::Duration::ZERO,
        ..ServerSettings::default()
    })
}

/// The one line that is all a refused connection gets.
async fn refused(server: &Running) -> String {
    let mut client = Client::connect(server.plain).await;
    let line = client.line().await;
    assert_eq!(client.rest().await, b"");
    line
}

/// Waits until a connection that has just closed has given its place back.
async fn admitted(server: &Running) -> Client<tokio::net::TcpStream> {
    for _ in 0..1000 {
        let mut client = Client::connect(server.plain).await;
        if client.line().await.starts_with("+OK") {
            return client;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("no place becomes free");
}

// PRJ-STATE-3
#[tokio::test]
async fn prj_sec_5_one_connection_more_than_in_total_gets_one_line() {
    let server = limited(3, 9, 9);
    let first = Client::greeted(server.plain).await;
    let _second = Client::greeted(server.plain).await;
    let _third = Client::greeted(server.plain).await;
    let line = refused(&server).await;
    assert!(line.starts_with("-ERR [SYS/TEMP] "), "{line}");
    drop(first);
    admitted(&server).await;
}

#[tokio::test]
async fn prj_sec_5_one_connection_more_than_from_one_address_gets_one_line() {
    let server = limited(9, 2, 9);
    let first = Client::greeted(server.plain).await;
    let _second = Client::greeted(server.plain).await;
    let line = refused(&server).await;
    assert!(line.starts_with("-ERR [SYS/TEMP] "), "{line}");
    drop(first);
    admitted(&server).await;
}

#[tokio::test]
async fn prj_sec_5_a_connection_too_many_on_the_tls_port_is_closed_before_the_handshake() {
    let server = limited(1, 9, 9);
    let _first = Client::greeted(server.plain).await;
    let mut client = Client::connect(server.tls).await;
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn prj_sec_5_one_login_more_than_the_account_may_have_is_in_use() {
    let server = limited(9, 9, 1);
    let mut first = server.login("ann").await;
    let mut second = Client::greeted(server.plain).await;
    second.ask("USER ann", "+OK").await;
    second.ask("PASS open-sesame", "-ERR [IN-USE] ").await;
    server.login("ben").await;
    // R1939-LOCK-2: it stays in AUTHORIZATION, and R1939-QUIT-5: once the first has the answer to
    // QUIT, the place is free.
    first.ask("QUIT", "+OK").await;
    second.log_in("ann").await;
}

#[tokio::test]
async fn r2449_inuse_1_a_maildrop_in_session_is_in_use_and_its_holder_is_not_disturbed() {
    let server = limited(9, 9, 9);
    let mut first = server.login("ann").await;
    let mut second = Client::greeted(server.plain).await;
    second.ask("USER ann", "+OK").await;
    second.ask("PASS open-sesame", "-ERR [IN-USE] ").await;
    // The loser's end frees nothing that is not its own (hMailServer's lock freed by the loser).
    second.ask("QUIT", "+OK").await;
    let mut third = Client::greeted(server.plain).await;
    third.ask("USER ann", "+OK").await;
    third.ask("PASS open-sesame", "-ERR [IN-USE] ").await;
    first.ask("STAT", "+OK 0 0").await;
}

#[tokio::test]
async fn r2449_inuse_1_a_login_waits_a_while_for_the_session_before_it() {
    let server = Running::new();
    let mut first = server.login("ann").await;
    let mut second = Client::greeted(server.plain).await;
    second.ask("USER ann", "+OK").await;
    second.send("PASS open-sesame\r\n").await;
    first.ask("QUIT", "+OK").await;
    second.expect("+OK").await;
}
