//! What QUIT does, and what does nothing.

use std::{future::Future, sync::Arc, time::Duration};

use restante_maildrop::{
    BodySource, Deed, DeliverError, Durable, Edit, EditError, Edited, Journal, KeptMessage,
    KnownDevice, Lost, MailboxId, OpenError, Recipient, Store, View, Visit, VisitEnd,
    memory::{MemoryMaildrop, MemoryStore, Operation},
};
use restante_server::{ServerSettings, log::LogFormat};

use crate::{
    client::Client,
    hostile::reset,
    log_lines::LogLines,
    setup::{Running, mailbox, view},
};

async fn server_with_two_messages() -> Running {
    let server = Running::new();
    server.deliver("ann", b"Subject: one\n\n").await;
    server.deliver("ann", b"Subject: two\n\n").await;
    server
}

/// Waits until `user`'s mailbox holds `count` messages.
async fn until_count(server: &Running, user: &str, count: usize) {
    for _ in 0..2000 {
        if server.count(user) == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{} messages instead of {count}", server.count(user));
}

#[tokio::test]
async fn prj_quit_7_a_client_that_resets_right_after_quit_has_its_messages_removed() {
    let server = server_with_two_messages().await;
    let mut client = server.login("ann").await;
    client.ask("DELE 1", "+OK").await;
    client.send("QUIT\r\n").await;
    reset(client.into_inner());
    until_count(&server, "ann", 1).await;
}

#[tokio::test]
async fn prj_quit_7_pipelined_deletions_count_though_the_client_is_gone_before_any_answer() {
    let server = server_with_two_messages().await;
    let mut client = server.login("ann").await;
    server.store.set_delay(Duration::from_millis(50));
    client.send("LIST\r\nDELE 1\r\nDELE 2\r\nQUIT\r\n").await;
    reset(client.into_inner());
    until_count(&server, "ann", 0).await;
}

#[tokio::test]
async fn prj_quit_7_an_update_that_has_begun_ends_though_the_client_is_gone() {
    let server = server_with_two_messages().await;
    let mut client = server.login("ann").await;
    client.ask("DELE 1", "+OK").await;
    server.store.set_delay(Duration::from_millis(200));
    client.send("QUIT\r\n").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(server.count("ann"), 2, "the update is under way");
    reset(client.into_inner());
    until_count(&server, "ann", 1).await;
}

#[tokio::test]
async fn prj_quit_7_an_update_that_has_begun_ends_though_its_session_is_cut_off() {
    let server = Running::with(ServerSettings {
        drain_timeout: Duration::from_millis(600),
        ..ServerSettings::default()
    });
    server.deliver("ann", b"Subject: one\n\n").await;
    let mut client = server.login("ann").await;
    client.ask("DELE 1", "+OK").await;
    server.store.set_delay(Duration::from_millis(800));
    client.send("QUIT\r\n").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let store = server.store.clone();
    // It waits for updates, even when it waits for nothing else any more.
    server.ended().await;
    assert!(store.base_names(&mailbox("ann")).is_empty());
    assert!(
        !client
            .try_rest()
            .await
            .unwrap_or_default()
            .starts_with(b"+OK")
    );
}

#[tokio::test]
async fn prj_quit_8_what_comes_after_quit_is_discarded_and_the_answer_arrives() {
    let server = server_with_two_messages().await;
    let mut client = server.login("ann").await;
    let mut octets = b"DELE 1\r\nQUIT\r\n".to_vec();
    // Unread octets at the close would make it a reset, which could overtake the answer.
    octets.extend(b"DELE 2\r\n".repeat(5000));
    client.send(octets).await;
    client.expect("+OK").await;
    client.expect("+OK").await;
    assert_eq!(client.rest().await, b"");
    assert_eq!(server.count("ann"), 1);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(
        client.get_ref().take_error().unwrap().is_none(),
        "a reset came"
    );
}

#[tokio::test]
async fn r1939_timer_4_the_end_of_input_removes_nothing() {
    let lines = LogLines::catch(LogFormat::Text);
    let server = server_with_two_messages().await;
    for last in [
        "DELE 1\r\n",
        "DELE 1\r\nQUIT",
        "DELE 1\r\nQUIT\r",
        "DELE 1\r\nQUIT 1\r\n",
    ] {
        let mut client = server.login("ann").await;
        client.send(last).await;
        drop(client);
        // The next login waits until that session is over.
        let mut client = server.login("ann").await;
        client.ask("STAT", "+OK 2 ").await;
        client.ask("QUIT", "+OK").await;
    }
    lines.line_with("end-of-input").await;
}

#[tokio::test]
async fn r1939_quit_3_an_update_that_fails_is_said_to_have_failed() {
    let lines = LogLines::catch(LogFormat::Text);
    let server = server_with_two_messages().await;
    let mut client = server.login("ann").await;
    client.ask("DELE 1", "+OK").await;
    client.ask("DELE 2", "+OK").await;
    server.store.fail_after(Operation::Remove, 1);
    client.ask("QUIT", "-ERR [SYS/TEMP] ").await;
    assert_eq!(client.rest().await, b"");
    assert_eq!(server.count("ann"), 1);
    lines.line_with("quit-failed").await;
    // R1939-QUIT-5: the maildrop is free.
    server.login("ann").await.ask("STAT", "+OK 1 ").await;
}

/// What the journal of ann's mailbox tells, once it tells of `count` sessions.
async fn visits(server: &Running, count: usize) -> Vec<Visit> {
    for _ in 0..2000 {
        let journal = server.store.journal(&mailbox("ann")).await.unwrap();
        if journal.visits().count() >= count {
            return journal.visits().cloned().collect();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not {count} sessions in the journal");
}

#[tokio::test]
async fn the_journal_tells_what_a_session_did_however_it_ended() {
    let server = server_with_two_messages().await;
    let ids = server.store.unique_ids(&mailbox("ann"));
    // Only a look, and a part of a message: nothing is told.
    let mut client = server.login("ann").await;
    client.ask("TOP 1 1", "+OK").await;
    client.multi_line().await;
    client.ask("QUIT", "+OK").await;
    let mut client = server.login("ann").await;
    client.ask("RETR 2", "+OK").await;
    client.multi_line().await;
    client.ask("DELE 1", "+OK").await;
    reset(client.into_inner());
    let left = visits(&server, 1).await;
    assert_eq!(left[0].end, VisitEnd::Left);
    assert_eq!((left[0].retrieved, left[0].deleted), (1, 0));
    assert_eq!(left[0].messages[0].unique_id, ids[1]);
    let mut client = server.login("ann").await;
    client.ask("RETR 1", "+OK").await;
    client.multi_line().await;
    client.ask("DELE 1", "+OK").await;
    client.ask("QUIT", "+OK").await;
    let visits = visits(&server, 2).await;
    assert_eq!(visits.len(), 2);
    let visit = &visits[1];
    assert_eq!(
        (visit.end, visit.retrieved, visit.deleted),
        (VisitEnd::Quit, 1, 1)
    );
    assert_eq!(visit.messages[0].deed, Deed::RetrievedAndDeleted);
    assert_eq!(visit.messages[0].unique_id, ids[0]);
    let visitor = &visit.visitor;
    assert_eq!(visitor.address, Some([127, 0, 0, 1].into()));
    assert_eq!(visitor.mechanism, "USER");
    assert_eq!(visitor.credential, "default");
    // The session's number in the log: each connection has one.
    assert!(visitor.session > left[0].visitor.session);
}

#[tokio::test]
async fn prj_lock_5_a_session_that_lost_its_lease_hears_so_and_removes_nothing() {
    let server = server_with_two_messages().await;
    let mut client = server.login("ann").await;
    client.ask("DELE 1", "+OK").await;
    server.store.lose(&view("ann"), Lost::Lease);
    client.expect("-ERR [SYS/TEMP] ").await;
    assert_eq!(client.rest().await, b"");
    assert_eq!(server.count("ann"), 2);
}

#[tokio::test]
async fn r1939_lock_2_a_maildrop_that_cannot_be_opened_leaves_the_session_before_login() {
    let server = server_with_two_messages().await;
    server.store.fail_after(Operation::Open, 0);
    let mut client = Client::greeted(server.plain).await;
    client.ask("USER ann", "+OK").await;
    client.ask("PASS open-sesame", "-ERR [SYS/TEMP] ").await;
    client.ask("STAT", "-ERR").await;
    client.log_in("ann").await;
}

/// A store whose code has a bug.
struct Buggy(MemoryStore);

impl Store for Buggy {
    type Maildrop = MemoryMaildrop;

    fn open(
        &self,
        view: &View,
        wait: Duration,
    ) -> impl Future<Output = Result<MemoryMaildrop, OpenError>> + Send {
        assert!(view.mailbox.account != "ben", "a bug of the store");
        self.0.open(view, wait)
    }

    fn deliver<B: BodySource>(
        &self,
        recipients: &[Recipient],
        body: B,
    ) -> impl Future<Output = Vec<Result<Durable, DeliverError>>> + Send {
        self.0.deliver(recipients, body)
    }

    fn edit(
        &self,
        mailbox: &MailboxId,
        edit: Edit,
    ) -> impl Future<Output = Result<Edited, EditError>> + Send {
        self.0.edit(mailbox, edit)
    }

    fn messages(
        &self,
        mailbox: &MailboxId,
    ) -> impl Future<Output = Result<Vec<KeptMessage>, OpenError>> + Send {
        self.0.messages(mailbox)
    }

    fn trash(
        &self,
        mailbox: &MailboxId,
    ) -> impl Future<Output = Result<Vec<KeptMessage>, OpenError>> + Send {
        self.0.trash(mailbox)
    }

    fn devices(
        &self,
        mailbox: &MailboxId,
    ) -> impl Future<Output = Result<Vec<KnownDevice>, OpenError>> + Send {
        self.0.devices(mailbox)
    }

    fn journal(
        &self,
        mailbox: &MailboxId,
    ) -> impl Future<Output = Result<Journal, OpenError>> + Send {
        self.0.journal(mailbox)
    }
}

#[tokio::test]
async fn prj_sec_1_a_panic_in_one_session_ends_that_session_alone() {
    let lines = LogLines::catch(LogFormat::Text);
    let server = Running::over(|store| Arc::new(Buggy(store)));
    let mut ann = server.login("ann").await;
    for _ in 0..3 {
        let mut ben = Client::greeted(server.plain).await;
        ben.ask("USER ben", "+OK").await;
        ben.send("PASS open-sesame\r\n").await;
        assert_eq!(ben.rest().await, b"");
    }
    lines.line_with("a session panicked").await;
    ann.ask("NOOP", "+OK").await;
    ann.ask("QUIT", "+OK").await;
    server.login("ann").await;
}
