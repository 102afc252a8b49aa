//! One session at a time, and a listing that never moves.

use std::{collections::HashSet, time::Duration};

use restante_maildrop::{Lost, Maildrop, Marks, OpenError, Store, UpdateError, View, ViewName};
use restante_proto::{Messages, Mode};

use crate::{
    fixture::{Fixture, mailbox, on_every_store, shared},
    session::{WAIT, deliver, number, numbers, open, open_view, quit, retrieve, size, unique_ids},
};

#[tokio::test]
async fn r1939_lock_1_a_view_has_one_session() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let first = open(store, "me").await;
        let begun = tokio::time::Instant::now();
        let second = store.open(&shared("me"), WAIT).await;
        assert!(matches!(second, Err(OpenError::InUse)));
        assert!(begun.elapsed() >= WAIT, "it did not wait");
        let second = store.open(&shared("me"), Duration::ZERO).await;
        assert!(matches!(second, Err(OpenError::InUse)));
        // R1939-LOCK-2: those who were refused hold nothing.
        drop(first);
        let _third = open(store, "me").await;
    });
}

#[tokio::test]
async fn prj_lock_5_a_waiting_session_gets_the_view_when_the_other_ends() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let first = open(store, "me").await;
        let long = Duration::from_secs(20);
        let begun = tokio::time::Instant::now();
        let view = shared("me");
        let (second, ()) = tokio::join!(store.open(&view, long), async {
            tokio::time::sleep(WAIT).await;
            drop(first);
        });
        assert!(second.is_ok());
        assert!(begun.elapsed() < long / 2, "the end was not noticed");
    });
}

#[tokio::test]
async fn r1939_quit_5_success_and_failure_free_the_view() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        deliver(store, "me", b"1\n").await;
        let _ = quit(open(store, "me").await, &[1]).await.unwrap();
        let first = open(store, "me").await;
        if fixture.lose(&shared("me"), Lost::Lease) {
            assert!(quit(first, &[]).await.is_err());
            let _second = open(store, "me").await;
        }
    });
}

#[tokio::test]
async fn views_and_mailboxes_do_not_lock_each_other_out() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        deliver(store, "you", b"1\n").await;
        let phone = View {
            name: ViewName::new("phone").unwrap(),
            ..View::shared(mailbox("me"))
        };
        let _one = open(store, "me").await;
        let _two = open_view(store, &phone).await;
        let _three = open(store, "you").await;
    });
}

#[tokio::test]
async fn a_new_mailbox_is_empty_and_one_whose_place_is_missing_is_absent() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        assert_eq!(open(store, "new").await.messages().count(), 0);
        let view = View::shared(fixture.absent());
        // R1939-LOCK-2: an empty mailbox in its stead would make programs forget what they have.
        for _ in 0..2 {
            let opened = store.open(&view, WAIT).await;
            assert!(matches!(opened, Err(OpenError::Absent)));
        }
    });
}

#[tokio::test]
async fn prj_lock_4_a_delivery_shows_in_the_next_session() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        deliver(store, "me", b"1\n").await;
        deliver(store, "me", b"22\n").await;
        let first = open(store, "me").await;
        let before = unique_ids(&first);
        deliver(store, "me", b"333\n").await;
        // R1939-LOCK-3: nothing of the listing changes.
        assert_eq!(unique_ids(&first), before);
        assert_eq!(first.messages().count(), 2);
        assert_eq!(retrieve(&first, number(2)).await.unwrap(), b"22\r\n");
        drop(first);
        let second = open(store, "me").await;
        assert_eq!(unique_ids(&second)[..2], before);
        assert_eq!(retrieve(&second, number(3)).await.unwrap(), b"333\r\n");
    });
}

#[tokio::test]
async fn prj_msg_2_oldest_first_and_the_same_in_each_session() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        for body in [&b"a\n"[..], b"bb\n", b"ccc\n", b"dddd\n"] {
            deliver(store, "me", body).await;
            fixture.clock().advance(Duration::from_millis(5));
        }
        let _ = quit(open(store, "me").await, &[2]).await.unwrap();
        for _ in 0..2 {
            let session = open(store, "me").await;
            let mut sizes = Vec::new();
            for number in numbers(&session) {
                sizes.push(size(&session, number).await.0);
            }
            // R1939-MSG-1: 1..=N, in a stable order.
            assert_eq!(sizes, [3, 5, 6]);
        }
    });
}

#[tokio::test]
async fn r1939_uidl_4_unique_ids_stay() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        for body in ["1\n", "2\n", "3\n"] {
            deliver(store, "me", body.as_bytes()).await;
        }
        let session = open(store, "me").await;
        let ids = unique_ids(&session);
        // A session that never reaches UPDATE.
        drop(session);
        assert_eq!(unique_ids(&open(store, "me").await), ids);
        let _ = quit(open(store, "me").await, &[1]).await.unwrap();
        assert_eq!(unique_ids(&open(store, "me").await), ids[1..]);
    });
}

#[tokio::test]
async fn prj_uidl_6_identical_messages_have_different_unique_ids() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        for _ in 0..20 {
            deliver(store, "me", b"Subject: twin\n\nthe same\n").await;
        }
        let session = open(store, "me").await;
        let ids = unique_ids(&session);
        let different: HashSet<_> = ids.iter().collect();
        assert_eq!((ids.len(), different.len()), (20, 20));
        // R1939-UIDL-3: `UniqueId` checks it, so listing them is the proof.
    });
}

#[tokio::test]
async fn prj_size_5_a_size_is_told_once_it_is_known_and_stays() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        deliver(store, "me", b"four\n").await;
        deliver(store, "me", b"seven..\n").await;
        let session = open(store, "me").await;
        session.measure(Mode::Plain, number(2)).await.unwrap();
        let octets = |at| {
            session
                .messages()
                .octets(number(at), Mode::Plain)
                .unwrap()
                .0
        };
        assert_eq!((octets(1), octets(2)), (6, 9));
        session.measure(Mode::Utf8, number(2)).await.unwrap();
        assert_eq!((octets(1), octets(2)), (6, 9));
        drop(session);
        // Measured once, it is known in every later session.
        let session = open(store, "me").await;
        let octets = session.messages().octets(number(2), Mode::Plain);
        assert_eq!(octets.map(|octets| octets.0), Some(9));
    });
}

#[tokio::test]
async fn a_lost_lease_ends_without_an_update() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        deliver(store, "me", b"1\n").await;
        for why in [Lost::Lease, Lost::Credential] {
            let session = open(store, "me").await;
            let waiting = tokio::time::timeout(WAIT, session.lost()).await;
            assert!(waiting.is_err(), "a lease was lost by itself");
            if !fixture.lose(&shared("me"), why) {
                return;
            }
            assert_eq!(session.lost().await, why);
            // Somebody else may have the view now.
            let next = open(store, "me").await;
            let marks = Marks {
                deleted: [number(1)].into_iter().collect(),
                ..Marks::default()
            };
            let updated = session.update(marks).await;
            assert!(matches!(updated, Err(UpdateError::Lost(lost)) if lost == why));
            assert_eq!(next.messages().count(), 1);
            // The loser's end frees nothing that is the next one's.
            let third = store.open(&shared("me"), Duration::ZERO).await;
            assert!(matches!(third, Err(OpenError::InUse)));
            drop(next);
        }
        assert_eq!(open(store, "me").await.messages().count(), 1);
    });
}
