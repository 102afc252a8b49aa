//! The crate `restante-client` against the built server: the same people wrote both, but here they
//! meet over TLS, STLS and SCRAM-PLUS, with the corpus of messages that break mail programs.

mod others;

use restante_client::{
    Client, Connection, Error, Login, LoginVerdict, Mechanism, Reply, Security, Server as Address,
    Tls,
};
use tokio::runtime::Runtime;

use crate::corpus::corpus;
use crate::server::{PASSWORD, Server, USER};

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
