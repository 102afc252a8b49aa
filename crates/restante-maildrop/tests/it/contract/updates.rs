//! Mail leaves, by QUIT and by nothing else.

use restante_maildrop::UpdateError;
use restante_maildrop::{Maildrop, Store, View, ViewName};
use restante_proto::Messages;

use crate::{
    fixture::{Fixture, MemoryFixture, mailbox, on_every_store},
    session::{deliver, number, numbers, open, open_view, quit, retrieve, unique_ids},
};

async fn three(store: &impl Store) {
    for body in ["1\n", "22\n", "333\n"] {
        deliver(store, "me", body.as_bytes()).await;
    }
}

#[tokio::test]
async fn r1939_timer_4_a_session_without_quit_removes_nothing() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        three(store).await;
        let session = open(store, "me").await;
        let ids = unique_ids(&session);
        for number in numbers(&session) {
            let _ = retrieve(&session, number).await.unwrap();
        }
        drop(session);
        // R1939-DELE-1: marks live in the session alone.
        assert_eq!(unique_ids(&open(store, "me").await), ids);
    });
}

#[tokio::test]
async fn r1939_quit_2_update_removes_what_is_marked() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        three(store).await;
        let session = open(store, "me").await;
        let ids = unique_ids(&session);
        let updated = quit(session, &[1, 3]).await.unwrap();
        assert_eq!(updated.removed, 2);
        let session = open(store, "me").await;
        // R1939-QUIT-4: and nothing else.
        assert_eq!(unique_ids(&session), [ids[1].clone()]);
        assert_eq!(retrieve(&session, number(1)).await.unwrap(), b"22\r\n");
    });
}

#[tokio::test]
async fn r1939_quit_4_what_came_meanwhile_stays() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        three(store).await;
        let session = open(store, "me").await;
        deliver(store, "me", b"4444\n").await;
        let _ = quit(session, &[1, 2, 3]).await.unwrap();
        let session = open(store, "me").await;
        assert_eq!(session.messages().count(), 1);
        assert_eq!(retrieve(&session, number(1)).await.unwrap(), b"4444\r\n");
    });
}

#[tokio::test]
async fn an_update_without_marks_changes_nothing() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        three(store).await;
        let updated = quit(open(store, "me").await, &[]).await.unwrap();
        assert_eq!(updated.removed, 0);
        assert_eq!(open(store, "me").await.messages().count(), 3);
    });
}

#[tokio::test]
async fn prj_quit_6_what_is_removed_stays_removed() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        three(store).await;
        let ids = unique_ids(&open(store, "me").await);
        for _ in 0..3 {
            let _ = quit(open(store, "me").await, &[1]).await.unwrap();
        }
        assert_eq!(open(store, "me").await.messages().count(), 0);
        // R1939-UIDL-5: new mail gets new ids.
        three(store).await;
        let new = unique_ids(&open(store, "me").await);
        assert!(new.iter().all(|id| !ids.contains(id)));
    });
}

#[tokio::test]
async fn what_another_view_has_removed_is_still_read_and_counts_as_deleted() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        three(store).await;
        let phone = View {
            name: ViewName::new("phone").unwrap(),
            ..View::shared(mailbox("me"))
        };
        let one = open(store, "me").await;
        let two = open_view(store, &phone).await;
        let _ = quit(one, &[1, 2]).await.unwrap();
        // Its number stays, and it is read from the trash.
        assert_eq!(retrieve(&two, number(1)).await.unwrap(), b"1\r\n");
        let _ = quit(two, &[2, 3]).await.unwrap();
        assert_eq!(open(store, "me").await.messages().count(), 0);
    });
}

#[tokio::test]
async fn r1939_quit_3_a_failure_part_way_is_told() {
    let fixture = MemoryFixture::begin();
    let store = fixture.store();
    three(store).await;
    let session = open(store, "me").await;
    let ids = unique_ids(&session);
    fixture.fail_removal_after(1);
    let updated = quit(session, &[1, 2, 3]).await;
    let Err(UpdateError::Incomplete { marked, failed, .. }) = updated else {
        panic!("{updated:?}");
    };
    assert_eq!((marked, failed), (3, 1));
    assert_eq!(unique_ids(&open(store, "me").await), [ids[1].clone()]);
}
