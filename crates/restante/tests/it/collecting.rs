//! The crate `restante-client` against the built server: the same people wrote both, but here they
//! meet over TLS, STLS and SCRAM-PLUS, with the corpus of messages that break mail programs.

use std::thread;
use std::time::{Duration, Instant};

use restante_client::{
    Client, Connection, Error, Login, LoginVerdict, Mechanism, Reply, Security, Server as Address,
    Tls,
};
use tokio::runtime::Runtime;

use crate::corpus::{Letter, corpus};
use crate::migration::door::{Behind, Door};
use crate::migration::foreign::Foreign;
use crate::server::{PASSWORD, Server, Site, USER};

/// How long a server that has said goodbye may take to delete.
const PATIENCE: Duration = Duration::from_secs(20);

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Where the server is, in each way of reaching it.
fn addresses(server: &Server) -> [Address; 3] {
    let tls = Tls::with_ca_file(&server.site.authority()).unwrap();
    let (plain, implicit) = (server.plain.port(), server.tls.port());
    [
        Address::new("localhost", implicit, Security::Tls(tls.clone())),
        Address::new("localhost", plain, Security::Stls(tls)),
        Address::new("127.0.0.1", plain, Security::Loopback),
    ]
}

fn login() -> Login {
    Login::password(USER, PASSWORD)
}

async fn log_in(address: &Address, login: &Login) -> Client {
    let connection = Connection::open(address).await.unwrap();
    connection.log_in(login).await.unwrap()
}

/// All messages through one pipeline, and the marks that delete them where `delete` says so.
async fn collect(client: &mut Client, delete: bool) -> Vec<Vec<u8>> {
    let listing = client.listing().await.unwrap();
    let mut pipeline = client.pipeline().await.unwrap();
    for listed in &listing.messages {
        pipeline.retrieve(listed.number, listed.octets).unwrap();
        if delete {
            pipeline.delete(listed.number).unwrap();
        }
    }
    let mut messages = Vec::new();
    while let Some(reply) = pipeline.next().await.unwrap() {
        match reply {
            Reply::Message(mut message) => {
                let listed = &listing.messages[message.number().index()];
                let mut octets = Vec::new();
                while let Some(piece) = message.next().await.unwrap() {
                    octets.extend_from_slice(&piece);
                }
                assert!(listed.octets.is_some());
                messages.push(octets);
            }
            Reply::Answer(answer) => assert!(answer.outcome.is_ok(), "{answer:?}"),
        }
    }
    messages
}

#[test]
fn the_client_crate_collects_the_corpus_octet_for_octet() {
    let letters = corpus();
    let wanted: Vec<Vec<u8>> = letters.iter().map(|letter| letter.wire.clone()).collect();
    let server = Server::with(&letters);
    runtime().block_on(async {
        for address in addresses(&server) {
            let mut client = log_in(&address, &login()).await;
            assert!(client.capabilities().pipelining);
            assert_eq!(collect(&mut client, false).await, wanted);
            client.quit().await.unwrap();
        }
        // Marks without QUIT delete nothing.
        let [tls, ..] = addresses(&server);
        let mut client = log_in(&tls, &login()).await;
        assert_eq!(collect(&mut client, true).await, wanted);
        drop(client);
        assert_eq!(server.site.message_files().len(), letters.len());
        let mut client = log_in(&tls, &login()).await;
        assert_eq!(collect(&mut client, true).await, wanted);
        client.quit().await.unwrap();
        assert_eq!(server.site.message_files().len(), 0);
    });
}

#[test]
fn the_client_crate_logs_in_by_every_mechanism_of_the_server() {
    let server = Server::with(&[]);
    runtime().block_on(async {
        let [tls, ..] = addresses(&server);
        let offered = Connection::open(&tls).await.unwrap().capabilities();
        let mut tried = 0;
        for mechanism in Mechanism::ALL {
            if !offered.mechanism(mechanism.name()) {
                continue;
            }
            let only = Login {
                mechanisms: Some(vec![mechanism]),
                ..login()
            };
            log_in(&tls, &only).await.quit().await.unwrap();
            tried += 1;
        }
        assert_eq!(tried, offered.sasl.as_ref().unwrap().len(), "{offered:?}");
        assert!(offered.mechanism("SCRAM-SHA-256-PLUS"), "{offered:?}");
        let wrong = Login::password(USER, "Open-sesame!7=x wrong");
        let connection = Connection::open(&tls).await.unwrap();
        match connection.log_in(&wrong).await {
            Err(Error::Login { verdict, .. }) => assert_eq!(verdict, LoginVerdict::Credentials),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("logged in with a wrong password"),
        }
    });
}

/// A real server of somebody else's, with and without pipelining: kept mail stays, and deleted mail
/// goes at QUIT and not before. `altered`: what the server does not send as it
/// lies there; both end an empty message with a line end.
fn collect_from(open: impl Fn(&Site) -> Foreign, altered: &[&str]) {
    // Neither knows the other's compression, and Dovecot gives up over it.
    let packed = |letter: &Letter| ["gzip", "zstd"].contains(&letter.name);
    let letters: Vec<Letter> = corpus().into_iter().filter(|it| !packed(it)).collect();
    let site = Site::new(&letters);
    let door = Door::open(Behind::Foreign(open(&site)));
    let address = Address::new("127.0.0.1", door.port(), Security::Loopback);
    let check = |messages: &[Vec<u8>]| {
        let missing = letters.iter().filter(|it| !messages.contains(&it.wire));
        let missing: Vec<&str> = missing.map(|letter| letter.name).collect();
        assert_eq!(
            (missing.as_slice(), messages.len()),
            (altered, letters.len())
        );
    };
    runtime().block_on(async {
        let mut client = log_in(&address, &login()).await;
        assert!(!client.capabilities().pipelining);
        check(&collect(&mut client, false).await);
        // Those who have logged in are told more.
        assert!(client.refresh_capabilities().await.unwrap().pipelining);
        check(&collect(&mut client, false).await);
        client.reset().await.unwrap();
        drop(client);
        let mut client = log_in(&address, &login()).await;
        assert_eq!(client.stat().await.unwrap().messages, letters.len() as u64);
        client.refresh_capabilities().await.unwrap();
        check(&collect(&mut client, true).await);
        client.quit().await.unwrap();
    });
    // Courier says goodbye before it deletes.
    let given_up = Instant::now() + PATIENCE;
    while !site.message_files().is_empty() && Instant::now() < given_up {
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(site.message_files().len(), 0);
}

#[test]
fn e2e_the_client_crate_collects_from_dovecot() {
    collect_from(|site| Foreign::dovecot(site, ""), &["empty"]);
}

#[test]
fn e2e_the_client_crate_collects_from_courier() {
    // It makes CR CR LF of the CRLF that is there.
    let crlf = ["CRLF", "CRLF without the last", "mixed ends", "lone CRs"];
    collect_from(Foreign::courier, &[&crlf[..], &["empty"]].concat());
}
