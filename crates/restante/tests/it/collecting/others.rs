//! The crate `restante-client` against the servers of others: every way to log in that they offer,
//! every message octet for octet, and nothing deleted without QUIT.
//!
//! What a server does not do as it should is written down here and in docs/compatibility.md, and
//! the tests expect exactly that.

mod fetched;

use std::thread;
use std::time::{Duration, Instant};

use restante_client::{
    Client, Connection, Error, Listing, Login, LoginVerdict, Mechanism, Security,
    Server as Address, SessionError, Tls,
};

use super::{collect, log_in, runtime};
use crate::corpus::{Letter, corpus, large};
use crate::foreign_servers::{
    Courier, Cyrus, Dovecot, ForeignServer, Mailutils, Popa3d, READER, SolidPop3d, all,
};
use crate::server::PASSWORD;

/// How long a server that has said goodbye may take to delete.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is to be expected of a server.
struct Expected {
    /// Letters that it does not take, or not for one message, or changes while they lie there.
    refused: &'static [&'static str],
    /// Letters that it does not send as they lie there.
    altered: &'static [&'static str],
    /// Whether TOP repeats the empty line behind the header.
    top_repeats_empty_line: bool,
    /// Letters that are not as long as LIST says.
    sizes_wrong: &'static [&'static str],
    /// How many of the letters have the unique-id of an earlier one.
    repeated_ids: usize,
    /// Whether messages grow by fields of its own while they lie there.
    adds_fields: bool,
    /// Whether CAPA announces PIPELINING before the login.
    pipelining: bool,
    /// Mechanisms without TLS.
    mechanisms: &'static [&'static str],
    apop: bool,
    /// Whether it offers -PLUS over TLS, and then knows no binding that TLS 1.3 has.
    unbound: bool,
    /// Whether its goodbye may be lost over TLS: the process in between ends with the other one.
    loses_goodbye: bool,
}

fn letters(refused: &[&str]) -> Vec<Letter> {
    // None of them knows the others' compression, and Dovecot gives up over it.
    let packed = |letter: &Letter| ["gzip", "zstd"].contains(&letter.name);
    let letters = corpus().into_iter();
    letters
        .filter(|letter| !packed(letter) && !refused.contains(&letter.name))
        .collect()
}

fn collect_from(server: &dyn ForeignServer, expected: &Expected) {
    let letters = letters(expected.refused);
    let owed: Vec<Vec<u8>> = letters
        .iter()
        .map(|letter| server.deliver(&letter.stored))
        .collect();
    let names = |is_odd: &dyn Fn(usize) -> bool| -> Vec<&str> {
        let odd = (0..letters.len()).filter(|&index| is_odd(index));
        odd.map(|index| letters[index].name).collect()
    };
    let check = |messages: Vec<Vec<u8>>| {
        let messages: Vec<Vec<u8>> = messages.into_iter().map(|it| server.undo(it)).collect();
        assert_eq!(messages.len(), letters.len());
        let altered = names(&|index| messages[index] != owed[index]);
        assert_eq!(altered, expected.altered, "{}", server.log());
    };
    let address = &addresses(server)[0];
    runtime().block_on(async {
        let mut client = log_in(address, &login()).await;
        let before = client.listing().await.unwrap();
        let messages = collect(&mut client, false).await;
        let is_wrong = |index: usize| {
            let octets = before.messages[index].octets.unwrap().0;
            octets != messages[index].len() as u64
        };
        assert_eq!(names(&is_wrong), expected.sizes_wrong);
        let tops = tops(&mut client, &before).await;
        let is_altered = |index: usize| tops[index] != top(&messages[index], expected);
        assert_eq!(names(&is_altered), [""; 0]);
        check(messages);
        client.quit().await.unwrap();

        // Marks without QUIT delete nothing, and the same messages have the same unique-ids.
        let mut client = log_in_patiently(address).await;
        assert_same(&client.listing().await.unwrap(), &before, expected);
        check(collect(&mut client, true).await);
        drop(client);
        let mut client = log_in_patiently(address).await;
        assert_same(&client.listing().await.unwrap(), &before, expected);
        assert_eq!(client.stat().await.unwrap().messages, letters.len() as u64);
        assert_eq!(server.stored().len(), letters.len());

        // Neither do marks that are taken back.
        collect(&mut client, true).await;
        client.reset().await.unwrap();
        client.quit().await.unwrap();
        assert_eq!(server.stored().len(), letters.len());

        let mut client = log_in_patiently(address).await;
        check(collect(&mut client, true).await);
        client.quit().await.unwrap();
    });
    // Some say goodbye before they delete.
    let given_up = Instant::now() + PATIENCE;
    while !server.stored().is_empty() && Instant::now() < given_up {
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(server.stored().len(), 0);
}

/// The server's ways of being reached: without TLS, by STLS, and over TLS.
fn addresses(server: &dyn ForeignServer) -> Vec<Address> {
    let clear = server.address();
    let (host, port) = (clear.ip().to_string(), clear.port());
    let mut addresses = vec![Address::new(&host, port, Security::Loopback)];
    if let Some(authority) = server.authority() {
        let tls = Tls::with_ca_file(&authority).unwrap();
        addresses.push(Address::new(&host, port, Security::Stls(tls.clone())));
        if let Some(implicit) = server.tls_address() {
            addresses.push(Address::new(&host, implicit.port(), Security::Tls(tls)));
        }
    }
    addresses
}

fn login() -> Login {
    Login::password(READER, PASSWORD)
}

/// A server that holds a lock for the session before may need a moment to see its end.
async fn log_in_patiently(address: &Address) -> Client {
    let given_up = Instant::now() + PATIENCE;
    loop {
        let connection = Connection::open(address).await.unwrap();
        match connection.log_in(&login()).await {
            Ok(client) => return client,
            Err(error) => assert!(Instant::now() < given_up, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The same listing as before: unique-ids are what they were.
fn assert_same(listing: &Listing, before: &Listing, expected: &Expected) {
    assert!(listing.has_unique_ids);
    if expected.adds_fields {
        let ids = |listing: &Listing| -> Vec<Option<Vec<u8>>> {
            let messages = listing.messages.iter();
            messages.map(|listed| listed.unique_id.clone()).collect()
        };
        assert_eq!(ids(listing), ids(before));
    } else {
        assert_eq!(listing.messages, before.messages);
    }
    let ids = listing.messages.iter();
    let mut ids: Vec<&[u8]> = ids.map(|it| it.unique_id.as_deref().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    let repeated = listing.messages.len() - ids.len();
    assert_eq!(repeated, expected.repeated_ids);
}

/// TOP with two lines of every message.
async fn tops(client: &mut Client, listing: &Listing) -> Vec<Vec<u8>> {
    let mut tops = Vec::new();
    for listed in &listing.messages {
        let mut message = client.top(listed.number, 2).await.unwrap();
        let mut octets = Vec::new();
        while let Some(piece) = message.next().await.unwrap() {
            octets.extend_from_slice(&piece);
        }
        tops.push(octets);
    }
    tops
}

/// The header of a message, the empty line, and two lines (RFC 1939 §7).
fn top(message: &[u8], expected: &Expected) -> Vec<u8> {
    let mut top = Vec::new();
    let mut left = None;
    for line in message.split_inclusive(|&octet| octet == b'\n') {
        if left == Some(0) {
            break;
        }
        top.extend_from_slice(line);
        match left {
            Some(count) => left = Some(count - 1),
            None if line == b"\r\n" => {
                if expected.top_repeats_empty_line {
                    top.extend_from_slice(line);
                }
                left = Some(2);
            }
            None => {}
        }
    }
    top
}

async fn quit(client: Client, may_be_lost: bool) {
    match client.quit().await {
        Ok(()) => {}
        Err(Error::Session(SessionError::EndOfAnswer { .. })) if may_be_lost => {}
        Err(error) => panic!("{error}: {error:?}"),
    }
}

/// Every way to log in that the server offers, over every way to reach it, and a wrong password.
fn log_in_to(server: &dyn ForeignServer, expected: &Expected) {
    server.deliver(b"Subject: one\n\nThis is one.\n");
    runtime().block_on(async {
        for address in &addresses(server) {
            let offered = Connection::open(address).await.unwrap().capabilities();
            let mechanisms = offered.sasl.clone().unwrap_or_default();
            let is_tls = !matches!(address.security, Security::Loopback);
            if !is_tls {
                assert_eq!(mechanisms, expected.mechanisms);
                assert_eq!(offered.pipelining, expected.pipelining);
                assert_eq!(offered.stls, server.authority().is_some());
            }
            // USER and PASS; then APOP; then the rest.
            let mut ways = vec![(vec![], false)];
            if expected.apop {
                ways.push((vec![], true));
            }
            let known = Mechanism::ALL.into_iter();
            let known = known.filter(|it| mechanisms.iter().any(|name| name == it.name()));
            ways.extend(known.map(|mechanism| (vec![mechanism], false)));
            assert_eq!(
                offered.mechanism("SCRAM-SHA-256-PLUS"),
                is_tls && expected.unbound
            );
            for (mechanisms, apop) in ways {
                let only = Login {
                    mechanisms: Some(mechanisms.clone()),
                    apop,
                    ..login()
                };
                let is_bound = mechanisms.iter().any(|it| it.needs_channel_binding());
                let connection = Connection::open(address).await.unwrap();
                match connection.log_in(&only).await {
                    Err(Error::Unbound { .. }) if is_bound && expected.unbound => {}
                    Ok(mut client) => {
                        assert!(!(is_bound && expected.unbound));
                        assert_eq!(client.stat().await.unwrap().messages, 1);
                        quit(client, is_tls && expected.loses_goodbye).await;
                    }
                    Err(error) => {
                        panic!("{mechanisms:?} {apop} {error}: {error:?}\n{}", server.log())
                    }
                }
            }
        }
        // The way that is taken by itself.
        for address in &addresses(server) {
            let client = log_in(address, &login()).await;
            quit(client, expected.loses_goodbye).await;
        }
        let wrong = Login::password(READER, "Open-sesame!7=x wrong");
        let connection = Connection::open(&addresses(server)[0]).await.unwrap();
        match connection.log_in(&wrong).await {
            Err(Error::Login { verdict, .. }) => assert_eq!(verdict, LoginVerdict::Credentials),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("logged in with a wrong password"),
        }
    });
}

const SASL: [&str; 6] = [
    "PLAIN",
    "LOGIN",
    "CRAM-MD5",
    "DIGEST-MD5",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
];

/// Letters whose last line has no end. A server that counts what is in the file is wrong by two.
const CUT: [&str; 7] = [
    "dot at the end",
    "no final line end",
    "CRLF without the last",
    "mixed ends",
    "CR at the end",
    "header only, cut",
    "empty",
];

const CYRUS: Expected = Expected {
    refused: &["NULs"],
    altered: &[],
    top_repeats_empty_line: false,
    sizes_wrong: &[],
    repeated_ids: 0,
    adds_fields: false,
    pipelining: true,
    mechanisms: &SASL,
    apop: true,
    unbound: true,
    loses_goodbye: false,
};

const DOVECOT: Expected = Expected {
    refused: &[],
    altered: &["empty"],
    top_repeats_empty_line: false,
    sizes_wrong: &CUT,
    repeated_ids: 0,
    adds_fields: false,
    pipelining: true,
    mechanisms: &SASL,
    apop: true,
    unbound: false,
    loses_goodbye: false,
};

const COURIER: Expected = Expected {
    refused: &[],
    altered: &[
        "CRLF",
        "CRLF without the last",
        "mixed ends",
        "lone CRs",
        "empty",
    ],
    top_repeats_empty_line: false,
    sizes_wrong: &CUT,
    repeated_ids: 0,
    adds_fields: false,
    pipelining: true,
    mechanisms: &["PLAIN", "LOGIN", "CRAM-MD5"],
    apop: false,
    unbound: false,
    loses_goodbye: true,
};

const MAILUTILS: Expected = Expected {
    refused: &[
        "empty body",
        "header only",
        "header only, cut",
        "empty",
        "one line end",
    ],
    altered: &["From lines"],
    top_repeats_empty_line: true,
    sizes_wrong: &[],
    repeated_ids: 0,
    adds_fields: true,
    pipelining: true,
    mechanisms: &[],
    apop: true,
    unbound: false,
    loses_goodbye: false,
};

const POPA3D: Expected = Expected {
    refused: &[],
    altered: &["header only", "header only, cut", "empty"],
    top_repeats_empty_line: false,
    sizes_wrong: &[],
    repeated_ids: 7,
    adds_fields: false,
    pipelining: false,
    mechanisms: &[],
    apop: false,
    unbound: false,
    loses_goodbye: false,
};

const SOLID_POP3D: Expected = Expected {
    refused: &[],
    altered: &["empty"],
    top_repeats_empty_line: false,
    sizes_wrong: &[],
    repeated_ids: 3,
    adds_fields: false,
    pipelining: false,
    mechanisms: &[],
    apop: true,
    unbound: false,
    loses_goodbye: false,
};

#[test]
fn e2e_the_client_crate_collects_from_cyrus() {
    collect_from(&Cyrus::start(), &CYRUS);
}

#[test]
fn e2e_the_client_crate_collects_from_dovecot() {
    collect_from(&Dovecot::start(), &DOVECOT);
}

#[test]
fn e2e_the_client_crate_collects_from_courier() {
    collect_from(&Courier::start(), &COURIER);
}

#[test]
fn e2e_the_client_crate_collects_from_mailutils() {
    collect_from(&Mailutils::start(), &MAILUTILS);
}

#[test]
fn e2e_the_client_crate_collects_from_popa3d() {
    collect_from(&Popa3d::start(), &POPA3D);
}

#[test]
fn e2e_the_client_crate_collects_from_solid_pop3d() {
    collect_from(&SolidPop3d::start(), &SOLID_POP3D);
}

#[test]
fn e2e_the_client_crate_logs_in_to_cyrus() {
    log_in_to(&Cyrus::start(), &CYRUS);
}

#[test]
fn e2e_the_client_crate_logs_in_to_dovecot() {
    log_in_to(&Dovecot::start(), &DOVECOT);
}

#[test]
fn e2e_the_client_crate_logs_in_to_courier() {
    log_in_to(&Courier::start(), &COURIER);
}

#[test]
fn e2e_the_client_crate_logs_in_to_mailutils() {
    log_in_to(&Mailutils::start(), &MAILUTILS);
}

#[test]
fn e2e_the_client_crate_logs_in_to_popa3d() {
    log_in_to(&Popa3d::start(), &POPA3D);
}

#[test]
fn e2e_the_client_crate_logs_in_to_solid_pop3d() {
    log_in_to(&SolidPop3d::start(), &SOLID_POP3D);
}

/// Long enough that the server has to wait for us.
const LARGE_OCTETS: usize = 4 << 20;

#[test]
fn e2e_a_message_that_is_left_in_its_middle_stays_at_every_server() {
    for server in all() {
        let owed = server.deliver(&large(LARGE_OCTETS));
        let address = &addresses(&*server)[0];
        runtime().block_on(async {
            let mut client = log_in(address, &login()).await;
            let listed = client.listing().await.unwrap().messages[0].clone();
            client.delete(listed.number).await.unwrap();
            client.reset().await.unwrap();
            let mut message = client.retrieve(listed.number, None).await.unwrap();
            assert!(message.next().await.unwrap().is_some());
            drop(client);

            let mut client = log_in_patiently(address).await;
            let messages = collect(&mut client, true).await;
            client.quit().await.unwrap();
            let messages: Vec<_> = messages.into_iter().map(|it| server.undo(it)).collect();
            assert!(messages == [owed], "{}: {}", server.name(), server.log());
        });
    }
}
