//! What the journal tells of sessions, and what an operator sees of a mailbox.

use std::{collections::HashSet, net::IpAddr, time::Duration};

use restante_maildrop::{
    Deed, Edit, EditError, Maildrop, Marks, OpenError, Store, TrashSelection, View, ViewName,
    Visit, VisitEnd, Visitor,
};

use crate::{
    fixture::{Fixture, MemoryFixture, mailbox, on_every_store},
    session::{deliver, number, open, open_view, quit, retrieve, unique_ids},
};

fn somebody(session: u64) -> Visitor {
    Visitor {
        session,
        address: Some(IpAddr::from([192, 0, 2, 7])),
        mechanism: "SCRAM-SHA-256".to_owned(),
        credential: "default".to_owned(),
    }
}

fn marks(session: u64, retrieved: &[u32], deleted: &[u32]) -> Marks {
    Marks {
        deleted: deleted.iter().map(|&one| number(one)).collect(),
        retrieved: retrieved.iter().map(|&one| number(one)).collect(),
        visitor: somebody(session),
    }
}

async fn three(store: &impl Store) {
    for body in ["1\n", "22\n", "333\n"] {
        deliver(store, "me", body.as_bytes()).await;
    }
}

async fn visits(store: &impl Store) -> Vec<Visit> {
    let journal = store.journal(&mailbox("me")).await.unwrap();
    assert_eq!(journal.damaged, 0);
    journal.visits().cloned().collect()
}

/// Unique-ids and deeds.
fn deeds(visit: &Visit) -> Vec<(Vec<u8>, Deed)> {
    let messages = visit.messages.iter();
    messages
        .map(|one| (one.unique_id.clone(), one.deed))
        .collect()
}

#[tokio::test]
async fn the_journal_tells_who_has_retrieved_and_deleted_what_and_when() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        three(store).await;
        assert_eq!(visits(store).await, []);
        let session = open(store, "me").await;
        let ids = unique_ids(&session);
        fixture.clock().advance(Duration::from_secs(60));
        let now = fixture.clock().now().as_secs();
        let _ = session.update(marks(17, &[1, 2], &[2, 3])).await.unwrap();
        let [visit] = <[Visit; 1]>::try_from(visits(store).await).unwrap();
        assert_eq!((visit.ended, visit.end), (now, VisitEnd::Quit));
        assert_eq!(visit.view, ViewName::shared());
        assert_eq!(visit.visitor, somebody(17));
        assert_eq!((visit.retrieved, visit.deleted), (2, 2));
        let expected = [
            (ids[0].clone(), Deed::Retrieved),
            (ids[1].clone(), Deed::RetrievedAndDeleted),
            (ids[2].clone(), Deed::Deleted),
        ];
        assert_eq!(deeds(&visit), expected);
    });
}

#[tokio::test]
async fn visits_stand_in_order_each_under_its_view() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        three(store).await;
        let phone = View {
            name: ViewName::new("phone").unwrap(),
            ..View::shared(mailbox("me"))
        };
        let _ = open(store, "me").await.update(marks(1, &[1], &[])).await;
        let session = open_view(store, &phone).await;
        let _ = session.update(marks(2, &[1], &[1])).await.unwrap();
        let _ = open(store, "me").await.update(marks(3, &[1], &[])).await;
        let visits = visits(store).await;
        let told: Vec<_> = visits
            .iter()
            .map(|visit| (visit.visitor.session, visit.view.as_str()))
            .collect();
        assert_eq!(told, [(1, "shared"), (2, "phone"), (3, "shared")]);
    });
}

#[tokio::test]
async fn r1939_timer_4_who_leaves_without_quit_has_retrieved_and_deleted_nothing() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        three(store).await;
        let session = open(store, "me").await;
        let ids = unique_ids(&session);
        session.leave(marks(5, &[2], &[1, 3])).await;
        // The lease is free at once, and nothing is gone.
        let session = store
            .open(&crate::fixture::shared("me"), Duration::ZERO)
            .await;
        assert_eq!(unique_ids(&session.unwrap()), ids);
        let [visit] = <[Visit; 1]>::try_from(visits(store).await).unwrap();
        assert_eq!((visit.end, visit.visitor.session), (VisitEnd::Left, 5));
        assert_eq!((visit.retrieved, visit.deleted), (1, 0));
        assert_eq!(deeds(&visit), [(ids[1].clone(), Deed::Retrieved)]);
    });
}

#[tokio::test]
async fn sessions_that_did_nothing_are_not_in_the_journal() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        three(store).await;
        let session = open(store, "me").await;
        retrieve(&session, number(1)).await.unwrap();
        drop(session);
        let _ = quit(open(store, "me").await, &[]).await.unwrap();
        open(store, "me").await.leave(Marks::default()).await;
        open(store, "me").await.leave(marks(1, &[], &[1])).await;
        assert_eq!(visits(store).await, []);
    });
}

#[tokio::test]
async fn r1939_quit_3_a_failed_update_is_told_as_one() {
    let fixture = MemoryFixture::begin();
    let store = fixture.store();
    three(store).await;
    fixture.fail_removal_after(1);
    let session = open(store, "me").await;
    session.update(marks(1, &[], &[1, 2])).await.unwrap_err();
    let [visit] = <[Visit; 1]>::try_from(visits(store).await).unwrap();
    assert_eq!((visit.end, visit.deleted), (VisitEnd::Incomplete, 2));
}

#[tokio::test]
async fn an_operator_sees_what_a_session_lists_without_keeping_anybody_out() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        three(store).await;
        let session = open(store, "me").await;
        let me = mailbox("me");
        let seen = store.messages(&me).await.unwrap();
        let ids: Vec<_> = seen.iter().map(|one| one.unique_id.clone()).collect();
        assert_eq!(ids, unique_ids(&session));
        let octets: Vec<_> = seen.iter().map(|one| one.octets).collect();
        assert_eq!(octets, [2, 3, 4]);
        let now = fixture.clock().now().as_secs();
        assert!(seen.iter().all(|one| one.deleted.is_none()));
        assert!(seen.iter().all(|one| one.arrived == now), "{seen:?}");
        assert_eq!(store.trash(&me).await.unwrap(), []);
        fixture.clock().advance(Duration::from_secs(60));
        let _ = quit(session, &[1, 3]).await.unwrap();
        let trash = store.trash(&me).await.unwrap();
        let mut deleted: Vec<_> = trash.iter().map(|one| one.unique_id.clone()).collect();
        deleted.sort();
        let mut expected = vec![ids[0].clone(), ids[2].clone()];
        expected.sort();
        assert_eq!(deleted, expected);
        assert!(trash.iter().all(|one| one.deleted == Some(now + 60)));
        assert_eq!(store.messages(&me).await.unwrap(), seen[1..2]);
    });
}

#[tokio::test]
async fn messages_are_restored_and_purged_by_the_unique_ids_they_had() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        three(store).await;
        let me = mailbox("me");
        let names = fixture.base_names(&me);
        let import = Edit::Import(vec![(names[1].clone(), b"0002".to_vec())]);
        let _ = store.edit(&me, import).await.unwrap();
        let session = open(store, "me").await;
        let ids = unique_ids(&session);
        let _ = quit(session, &[1, 2, 3]).await.unwrap();
        let named = |ids: &[&[u8]]| {
            let ids: HashSet<_> = ids.iter().map(|id| id.to_vec()).collect();
            TrashSelection::UniqueIds(ids)
        };
        // All or nothing: a slip must not go unnoticed.
        for edit in [
            Edit::Restore(named(&[b"0002", b"nobody's"])),
            Edit::Purge(named(&[&ids[0], b"nobody's"])),
        ] {
            let refused = store.edit(&me, edit).await;
            assert!(matches!(refused, Err(EditError::Refused(_))), "{refused:?}");
            assert_eq!(store.trash(&me).await.unwrap().len(), 3);
        }
        let restored = Edit::Restore(named(&[b"0002", &ids[0]]));
        assert_eq!(store.edit(&me, restored).await.unwrap().count, 2);
        let session = open(store, "me").await;
        assert_eq!(retrieve(&session, number(1)).await.unwrap(), b"1\r\n");
        assert_eq!(retrieve(&session, number(2)).await.unwrap(), b"22\r\n");
        assert!(unique_ids(&session).iter().all(|id| !ids.contains(id)));
        let purged = Edit::Purge(named(&[&ids[2]]));
        assert_eq!(store.edit(&me, purged).await.unwrap().count, 1);
        assert_eq!(store.trash(&me).await.unwrap(), []);
    });
}

#[tokio::test]
async fn looking_makes_no_mailbox() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        for missing in [mailbox("nobody"), fixture.absent()] {
            let absent = |error| matches!(error, OpenError::Absent);
            assert!(store.messages(&missing).await.is_err_and(absent));
            assert!(store.trash(&missing).await.is_err_and(absent));
            assert!(store.journal(&missing).await.is_err_and(absent));
        }
    });
}
