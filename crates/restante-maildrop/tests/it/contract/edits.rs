//! What an operator does to a mailbox.

use std::time::Duration;

use restante_maildrop::{Edit, EditError, Maildrop, Store, TrashSelection};
use restante_proto::Messages;

use crate::{
    fixture::{Fixture, UNDELETE_FOR, mailbox, on_every_store},
    session::{deliver, number, open, quit, retrieve, unique_ids},
};

async fn edit(store: &impl Store, edit: Edit) -> usize {
    store.edit(&mailbox("me"), edit).await.unwrap().count
}

async fn refused(store: &impl Store, edit: Edit) {
    let refused = store.edit(&mailbox("me"), edit).await;
    assert!(matches!(refused, Err(EditError::Refused(_))), "{refused:?}");
}

async fn ids(store: &impl Store) -> Vec<Vec<u8>> {
    unique_ids(&open(store, "me").await)
}

#[tokio::test]
async fn r1939_uidl_5_restored_mail_comes_back_under_new_unique_ids() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        for body in ["1\n", "22\n", "333\n"] {
            deliver(store, "me", body.as_bytes()).await;
            fixture.clock().advance(Duration::from_secs(1));
        }
        let mut had = ids(store).await;
        for _ in 0..3 {
            let _ = quit(open(store, "me").await, &[1, 2]).await.unwrap();
            assert_eq!(edit(store, Edit::Restore(TrashSelection::All)).await, 2);
            let session = open(store, "me").await;
            let now = unique_ids(&session);
            assert_eq!(now.len(), 3);
            assert!(now[..2].iter().all(|id| !had.contains(id)));
            assert_eq!(now[2], had[2]);
            // Their places in the order are the old ones.
            assert_eq!(retrieve(&session, number(1)).await.unwrap(), b"1\r\n");
            assert_eq!(retrieve(&session, number(2)).await.unwrap(), b"22\r\n");
            had.extend_from_slice(&now[..2]);
        }
        // What was restored is not in the trash any more.
        assert_eq!(edit(store, Edit::Restore(TrashSelection::All)).await, 0);
        let _ = quit(open(store, "me").await, &[1, 2]).await.unwrap();
        assert_eq!(ids(store).await, [had[2].clone()]);
    });
}

#[tokio::test]
async fn a_session_that_listed_it_before_does_not_delete_what_was_restored() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        deliver(store, "me", b"1\n").await;
        let phone = restante_maildrop::View {
            name: restante_maildrop::ViewName::new("phone").unwrap(),
            ..restante_maildrop::View::shared(mailbox("me"))
        };
        let late = store.open(&phone, Duration::ZERO).await.unwrap();
        let _ = quit(open(store, "me").await, &[1]).await.unwrap();
        assert_eq!(edit(store, Edit::Restore(TrashSelection::All)).await, 1);
        let _ = quit(late, &[1]).await.unwrap();
        assert_eq!(ids(store).await.len(), 1);
    });
}

#[tokio::test]
async fn the_time_of_deletion_chooses_what_is_restored() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let begin = fixture.clock().now().as_secs();
        for body in ["1\n", "22\n", "333\n", "4444\n"] {
            deliver(store, "me", body.as_bytes()).await;
            let _ = quit(open(store, "me").await, &[1]).await.unwrap();
            fixture.clock().advance(Duration::from_secs(100));
        }
        let since = Edit::Restore(TrashSelection::DeletedSince(begin + 200));
        assert_eq!(edit(store, since).await, 2);
        let before = Edit::Purge(TrashSelection::DeletedBefore(begin + 100));
        assert_eq!(edit(store, before).await, 1);
        assert_eq!(edit(store, Edit::Restore(TrashSelection::All)).await, 1);
        let session = open(store, "me").await;
        assert_eq!(retrieve(&session, number(1)).await.unwrap(), b"22\r\n");
        assert_eq!(session.messages().count(), 3);
    });
}

#[tokio::test]
async fn purged_mail_is_gone_for_good() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        deliver(store, "me", b"1\n").await;
        deliver(store, "me", b"22\n").await;
        let _ = quit(open(store, "me").await, &[1]).await.unwrap();
        assert_eq!(edit(store, Edit::Purge(TrashSelection::All)).await, 1);
        assert_eq!(edit(store, Edit::Purge(TrashSelection::All)).await, 0);
        assert_eq!(edit(store, Edit::Restore(TrashSelection::All)).await, 0);
        assert_eq!(ids(store).await.len(), 1);
    });
}

#[tokio::test]
async fn the_trash_keeps_mail_for_as_long_as_promised_and_no_longer() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        for _ in 0..3 {
            deliver(store, "me", b"1\n").await;
        }
        let _ = quit(open(store, "me").await, &[1]).await.unwrap();
        fixture
            .clock()
            .advance(UNDELETE_FOR - Duration::from_secs(1));
        let _ = quit(open(store, "me").await, &[1]).await.unwrap();
        // The first is still there: its time ends in a second.
        fixture.clock().advance(Duration::from_secs(1));
        let _ = quit(open(store, "me").await, &[1]).await.unwrap();
        assert_eq!(edit(store, Edit::Restore(TrashSelection::All)).await, 2);
    });
}

#[tokio::test]
async fn expired_mail_goes_to_the_trash() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        deliver(store, "me", b"1\n").await;
        deliver(store, "me", b"22\n").await;
        fixture.clock().advance(Duration::from_secs(1000));
        deliver(store, "me", b"333\n").await;
        let arrived_before = fixture.clock().now().as_secs() - 500;
        let all = ids(store).await;
        assert_eq!(edit(store, Edit::Expire { arrived_before }).await, 2);
        assert_eq!(ids(store).await, all[2..]);
        assert_eq!(edit(store, Edit::Expire { arrived_before }).await, 0);
        assert_eq!(edit(store, Edit::Restore(TrashSelection::All)).await, 2);
    });
}

#[tokio::test]
async fn mdir_store_4_imported_unique_ids_are_listed_and_stay() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        for body in ["1\n", "22\n", "333\n"] {
            deliver(store, "me", body.as_bytes()).await;
        }
        let before = ids(store).await;
        let names = fixture.base_names(&mailbox("me"));
        let pairs = vec![
            (names[2].clone(), b"000061ae4c0907b0".to_vec()),
            (b"1.nobody.here".to_vec(), b"000061af4c0907b0".to_vec()),
            (names[0].clone(), b"!\"#$%&'()*+,-./~".to_vec()),
        ];
        for _ in 0..2 {
            assert_eq!(edit(store, Edit::Import(pairs.clone())).await, 2);
            let expected = [&pairs[2].1, &before[1], &pairs[0].1];
            assert_eq!(ids(store).await.iter().collect::<Vec<_>>(), expected);
        }
        // Deleted and restored, it has a new one, and no other message gets its old one.
        let _ = quit(open(store, "me").await, &[1]).await.unwrap();
        assert_eq!(edit(store, Edit::Restore(TrashSelection::All)).await, 1);
        assert!(!ids(store).await.contains(&pairs[2].1));
        let names = fixture.base_names(&mailbox("me"));
        refused(
            store,
            Edit::Import(vec![(names[1].clone(), pairs[2].1.clone())]),
        )
        .await;
    });
}

#[tokio::test]
async fn r1939_uidl_3_an_import_is_refused_as_a_whole() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        for body in ["1\n", "22\n"] {
            deliver(store, "me", body.as_bytes()).await;
        }
        let before = ids(store).await;
        let names = fixture.base_names(&mailbox("me"));
        let good = (names[0].clone(), b"good".to_vec());
        let long = vec![b'x'; 71];
        for bad in [
            &b""[..],
            b"a b",
            b"caf\xe9",
            b"a\n",
            &long,
            b"good",
            &before[0],
        ] {
            let bad = (names[1].clone(), bad.to_vec());
            for pairs in [vec![good.clone(), bad.clone()], vec![bad, good.clone()]] {
                refused(store, Edit::Import(pairs)).await;
                assert_eq!(ids(store).await, before);
            }
        }
        let twice = vec![good.clone(), (names[0].clone(), b"other".to_vec())];
        refused(store, Edit::Import(twice)).await;
        assert_eq!(ids(store).await, before);
        let longest = vec![(names[1].clone(), long[1..].to_vec()), good];
        assert_eq!(edit(store, Edit::Import(longest)).await, 2);
    });
}

#[tokio::test]
async fn editing_a_mailbox_that_is_not_there_is_refused() {
    on_every_store!(|fixture| {
        for missing in [mailbox("nobody"), fixture.absent()] {
            let edit = Edit::Purge(TrashSelection::All);
            let edited = fixture.store().edit(&missing, edit).await;
            assert!(matches!(edited, Err(EditError::Refused(_))), "{edited:?}");
        }
    });
}
