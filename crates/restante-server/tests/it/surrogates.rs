//! What programs see of internationalized mail, with `utf8_headers = "surrogate"` and without.

use restante_server::{ServerSettings, Utf8Headers};

use crate::setup::Running;

const STORED: &str = "From: josé@exämple.com\r\nSubject: Grüße\r\n\r\nBody: ü\r\n";

fn surrogates() -> Running {
    Running::with(ServerSettings {
        utf8_headers: Utf8Headers::Surrogate,
        ..ServerSettings::default()
    })
}

// R6856-UTF8-2, R6858-DOWN-1.
#[tokio::test]
async fn r6856_utf8_2_a_program_that_never_says_utf8_gets_a_surrogate() {
    let server = surrogates();
    server.deliver("ann", STORED.as_bytes()).await;
    let mut client = server.login("ann").await;
    // RFC 6858 §4: the size may be that of what is stored.
    client
        .ask("LIST 1", &format!("+OK 1 {}", STORED.len()))
        .await;
    client.ask("RETR 1", "+OK").await;
    let sent = String::from_utf8(client.multi_line().await).unwrap();
    let header = "From: =?utf-8?B?am9zw6lAZXjDpG1wbGUuY29t?=\r\n\
        \x20<invalid@internationalized-address.invalid>\r\n\
        Subject: =?utf-8?B?R3LDvMOfZQ==?=\r\n\r\n";
    assert_eq!(sent, format!("{header}Body: ü\r\n"));
    client.ask("TOP 1 0", "+OK").await;
    assert_eq!(client.multi_line().await, header.as_bytes());
    client.ask("QUIT", "+OK").await;
}

// R6856-UTF8-3.
#[tokio::test]
async fn prj_down_5_what_is_stored_and_its_unique_id_stay_the_same_in_both_modes() {
    let server = surrogates();
    server.deliver("ann", STORED.as_bytes()).await;
    let mut client = server.login("ann").await;
    let unique_id = client.ask("UIDL 1", "+OK").await;
    client.ask("RETR 1", "+OK").await;
    client.multi_line().await;
    client.ask("QUIT", "+OK").await;
    let mut client = crate::client::Client::greeted(server.plain).await;
    client.ask("UTF8", "+OK").await;
    client.log_in("ann").await;
    assert_eq!(client.ask("UIDL 1", "+OK").await, unique_id);
    client.ask("RETR 1", "+OK").await;
    assert_eq!(client.multi_line().await, STORED.as_bytes());
}

#[tokio::test]
async fn without_surrogates_every_program_gets_what_is_stored() {
    let server = Running::new();
    server.deliver("ann", STORED.as_bytes()).await;
    let mut client = server.login("ann").await;
    client.ask("RETR 1", "+OK").await;
    assert_eq!(client.multi_line().await, STORED.as_bytes());
}
