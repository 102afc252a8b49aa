//! Accounts that change while somebody is logged in.

use std::time::Duration;

use restante_maildrop::{Store as _, Visit, VisitEnd};
use restante_server::log::LogFormat;

use crate::{
    client::Client,
    log_lines::LogLines,
    setup::{PASSWORD, Running, mailbox},
};

const SAME: &str = "{PLAIN}open-sesame:::::";
const CHANGED: &str = "{PLAIN}other-words:::::";
const CLOSED: &str = "{PLAIN}open-sesame::::::nologin";

async fn server_with_two_messages() -> Running {
    let server = Running::new();
    server.deliver("ann", b"Subject: one\n\n").await;
    server.deliver("ann", b"Subject: two\n\n").await;
    server
}

/// Waits until the server has read the passwd-file: somebody new is in it.
async fn until_read(server: &Running) {
    for _ in 0..1000 {
        let mut client = Client::greeted(server.plain).await;
        client.ask("USER newcomer", "+OK").await;
        client.send(format!("PASS {PASSWORD}\r\n")).await;
        if client.line().await.starts_with("+OK") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the passwd-file is not read");
}

/// Puts these lines into the passwd-file and waits until they are in force.
async fn change(server: &Running, ann: Option<&str>) {
    server.store.make_mailbox(&mailbox("newcomer"));
    let ann = ann.map(|rest| ("ann", rest));
    let lines: Vec<_> = [("ben", SAME), ("newcomer", SAME)]
        .into_iter()
        .chain(ann)
        .collect();
    server.write_users(&lines);
    until_read(server).await;
}

#[tokio::test]
async fn r1939_quit_3_an_update_after_the_credential_is_gone_removes_nothing_and_says_so() {
    for (ann, why) in [
        (None, "removed"),
        (Some(CHANGED), "another password"),
        (Some(CLOSED), "closed"),
    ] {
        let lines = LogLines::catch(LogFormat::Text);
        let server = server_with_two_messages().await;
        let mut client = server.login("ann").await;
        client.ask("DELE 1", "+OK").await;
        change(&server, ann).await;
        client.ask("QUIT", "-ERR the account or its password").await;
        assert_eq!(client.rest().await, b"", "{why}");
        assert_eq!(server.count("ann"), 2, "{why}");
        lines.line_with("credential-lost").await;
    }
}

#[tokio::test]
async fn what_a_thief_has_read_is_in_the_journal() {
    let server = server_with_two_messages().await;
    let mut client = server.login("ann").await;
    client.ask("RETR 1", "+OK").await;
    client.multi_line().await;
    client.ask("DELE 1", "+OK").await;
    change(&server, Some(CHANGED)).await;
    client.ask("QUIT", "-ERR the account or its password").await;
    assert_eq!(client.rest().await, b"");
    let journal = server.store.journal(&mailbox("ann")).await.unwrap();
    let [visit] = <[Visit; 1]>::try_from(journal.visits().cloned().collect::<Vec<_>>()).unwrap();
    assert_eq!(visit.end, VisitEnd::Left);
    assert_eq!((visit.retrieved, visit.deleted), (1, 0));
}

#[tokio::test]
async fn an_update_after_others_have_changed_is_made() {
    let server = server_with_two_messages().await;
    let mut client = server.login("ann").await;
    client.ask("DELE 1", "+OK").await;
    change(&server, Some(SAME)).await;
    client.ask("QUIT", "+OK").await;
    assert_eq!(server.count("ann"), 1);
}

#[tokio::test]
async fn r3206_auth_2_an_update_that_nobody_can_confirm_removes_nothing_and_is_temporary() {
    let server = server_with_two_messages().await;
    let mut client = server.login("ann").await;
    client.ask("DELE 1", "+OK").await;
    let mut reader = server.login("ben").await;
    server.remove_users();
    // The file was looked at a moment ago; then it is looked at again.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    client.ask("QUIT", "-ERR [SYS/TEMP] ").await;
    assert_eq!(server.count("ann"), 2);
    // Nothing to remove, nothing to confirm.
    reader.ask("QUIT", "+OK").await;
}

#[tokio::test]
async fn sessions_of_a_changed_account_end_at_once_and_no_others() {
    let lines = LogLines::catch(LogFormat::Text);
    let server = server_with_two_messages().await;
    let mut ann = server.login("ann").await;
    ann.ask("DELE 1", "+OK").await;
    let mut ben = server.login("ben").await;
    assert_eq!(server.sessions.account_changed("ann").await.unwrap(), 0);
    ann.ask("NOOP", "+OK").await;
    change(&server, Some(CHANGED)).await;
    assert_eq!(server.sessions.account_changed("ben").await.unwrap(), 0);
    assert_eq!(server.sessions.account_changed("nobody").await.unwrap(), 0);
    assert_eq!(server.sessions.account_changed("ann").await.unwrap(), 1);
    ann.expect("-ERR the account or its password").await;
    assert_eq!(ann.rest().await, b"");
    assert_eq!(server.count("ann"), 2);
    ben.ask("NOOP", "+OK").await;
    lines.line_with("Credential").await;
    // It is gone from the list too.
    assert_eq!(server.sessions.account_changed("ann").await.unwrap(), 0);
}

// Whoever reads slowly would otherwise keep what was taken from them.
#[tokio::test]
async fn prj_ml_8_a_message_on_its_way_to_a_withdrawn_session_is_cut_off_without_the_last_line() {
    let server = Running::new();
    let line = b"All work and no play makes Jack a dull boy.\r\n";
    let message = [b"Subject: long\r\n\r\n".to_vec(), line.repeat(400_000)].concat();
    server.deliver("ann", &message).await;
    let mut client = server.login("ann").await;
    client.ask("RETR 1", "+OK").await;
    change(&server, None).await;
    assert_eq!(server.sessions.account_changed("ann").await.unwrap(), 1);
    // What the kernels hold may come, or a reset.
    let rest = client.try_rest().await.unwrap_or_default();
    assert!(rest.len() < message.len(), "{}", rest.len());
    assert!(!rest.ends_with(b"\r\n.\r\n"));
}

#[tokio::test]
async fn a_withdrawn_session_that_never_stops_sending_ends_all_the_same() {
    let server = server_with_two_messages().await;
    let client = server.login("ann").await;
    let (mut reader, mut writer) = client.split();
    let flood = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        while writer.write_all(&b"NOOP\r\n".repeat(100)).await.is_ok() {}
    });
    change(&server, None).await;
    let ended = async {
        assert_eq!(server.sessions.account_changed("ann").await.unwrap(), 1);
        reader.try_rest().await
    };
    // The end may be a reset, with input that was never read.
    let _ = ended.await;
    flood.await.unwrap();
}
