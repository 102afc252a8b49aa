//! What changes while the server runs, and what goes on undisturbed.

use std::{net::SocketAddr, time::Duration};

use restante_server::{
    CleartextLogin, ConnectionLimits, Listeners, ServerError, ServerSettings, Transport,
};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::{client::Client, setup::Running};

/// Waits until the system takes no connections for this address any more.
async fn closed(address: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(address).await.is_ok() {
        assert!(Instant::now() < deadline, "{address} stays open");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn sessions_keep_what_they_began_with_and_new_ones_get_the_new() {
    let server = Running::new();
    let mut before = Client::greeted(server.plain).await;
    let settings = ServerSettings {
        cleartext_login: CleartextLogin::Never,
        limits: ConnectionLimits {
            connections_max: 2,
            ..ConnectionLimits::default()
        },
        ..ServerSettings::default()
    };
    let authenticator = server.reconfiguration.authenticator();
    server.reconfiguration.replace(settings, authenticator);
    let mut after = Client::greeted(server.plain).await;
    after.ask("USER ann", "-ERR").await;
    let mut over = Client::connect(server.plain).await;
    over.expect("-ERR [SYS/TEMP] ").await;
    before.log_in("ann").await;
    before.ask("STAT", "+OK 0 0").await;
}

#[tokio::test]
async fn listeners_come_and_go_and_those_that_stay_are_not_interrupted() {
    let server = Running::new();
    let mut session = server.login("ann").await;
    // The address of a listener that is gone again, so that it can be asked for by its port.
    let any = "127.0.0.1:0".parse().unwrap();
    let free = Listeners::bind(&[any], &[]).unwrap();
    let (_, new) = free.local_addresses().next().unwrap();
    drop(free);
    // Nobody else waits in the queue of the one that stays, asked for as it was: with port 0.
    let mut waiting = Client::connect(server.plain).await;
    let change = &server.reconfiguration;
    change.listen(&[any, new], &[]).await.unwrap();
    waiting.expect("+OK").await;
    Client::greeted(new).await;
    Client::greeted(server.plain).await;
    closed(server.tls).await;
    change.listen(&[new], &[]).await.unwrap();
    closed(server.plain).await;
    session.ask("STAT", "+OK 0 0").await;
    session.ask("QUIT", "+OK").await;
}

#[tokio::test]
async fn an_address_that_cannot_be_had_changes_nothing() {
    let server = Running::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let refused = server.reconfiguration.listen(&[address], &[]).await;
    assert!(matches!(refused, Err(ServerError::Bind(_))));
    Client::greeted(server.plain).await;
    server.tls_client(&[&rustls::version::TLS13]).await;
}

#[tokio::test]
async fn a_stopping_server_takes_no_changes() {
    let mut server = Running::new();
    let mut idle = server.login("ann").await;
    server.stop();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let refused = server.reconfiguration.listen(&[], &[]).await;
    assert!(matches!(refused, Err(ServerError::Stopping)));
    idle.expect("-ERR [SYS/TEMP] ").await;
    drop(idle);
    server.ended().await;
}

// What waits in the queue of a socket that somebody else holds too is for the successor.
#[tokio::test]
async fn a_server_that_stops_leaves_a_lent_socket_to_its_successor() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let lend = || {
        let socket = socket.try_clone().unwrap();
        Listeners::lent([(Transport::Plain, socket)]).unwrap()
    };
    let mut first = Running::on(lend());
    let mut session = first.login("ann").await;
    first.stop();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(Client::connect(address).await);
    }
    session.ask("STAT", "+OK 0 0").await;
    session.ask("QUIT", "+OK").await;
    first.ended().await;
    let second = Running::on(lend());
    for mut client in waiting {
        client.expect("+OK").await;
        // And it is the successor who has greeted.
        client.ask("QUIT", "+OK").await;
    }
    second.ended().await;
}

// Between the word to stop and the socket left alone some may be accepted still: they are no longer
// the successor's, and must not be told that nobody serves there.
#[tokio::test]
async fn who_slips_through_at_a_lent_socket_is_served() {
    // More than are accepted in one go.
    const CLIENTS: usize = 200;
    let any = "127.0.0.1:0".parse().unwrap();
    let mut sockets = Listeners::bind(&[any], &[]).unwrap().into_bare();
    let socket = sockets.next().unwrap();
    let address = socket.local_addr().unwrap();
    let serve = || {
        let socket = socket.try_clone().unwrap();
        let server = Running::on(Listeners::lent([(Transport::Plain, socket)]).unwrap());
        let limits = ConnectionLimits {
            connections_per_address_max: 2 * CLIENTS,
            ..ConnectionLimits::default()
        };
        let settings = ServerSettings {
            limits,
            ..ServerSettings::default()
        };
        let authenticator = server.reconfiguration.authenticator();
        server.reconfiguration.replace(settings, authenticator);
        server
    };
    for round in 0..20 {
        let mut first = serve();
        Client::greeted(address).await;
        let connect = || std::net::TcpStream::connect(address).unwrap();
        let streams: Vec<_> = (0..CLIENTS).map(|_| connect()).collect();
        // The server learns of them, has taken none, and is told to stop.
        tokio::task::yield_now().await;
        first.stop();
        sleep(Duration::from_millis(5)).await;
        let second = serve();
        for stream in streams {
            stream.set_nonblocking(true).unwrap();
            let mut client = Client::over(TcpStream::from_std(stream).unwrap());
            let greeting = client.line().await;
            assert!(greeting.starts_with("+OK"), "round {round}: {greeting:?}");
        }
        first.ended().await;
        second.ended().await;
    }
}
