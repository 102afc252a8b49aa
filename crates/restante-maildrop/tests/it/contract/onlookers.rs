//! What is kept for nobody is there for whoever is looking at it.

use std::time::Duration;

use restante_maildrop::{
    Edit, Keep, ReadError, Show, ShownFolders, Store, TrashSelection, View, ViewName,
};

use super::devices::{DAY, add, delete, device, edit, end, held, listed, policy, three, trashed};
use crate::{
    fixture::{Fixture, UNDELETE_FOR, mailbox, on_every_store},
    session::{deliver, number, open, open_view, quit, retrieve},
};

const NOTHING: Duration = Duration::ZERO;

/// A session of a tablet that lists three messages; these of them both the tablet, earlier, and
/// `phone`, since, have fetched, so that nobody waits for them any more.
async fn reading<S: Store>(store: &S, phone: &View, fetched: &[u32]) -> S::Maildrop {
    let tablet = device("tablet", phone.policy);
    three(store).await;
    listed(store, phone).await;
    end(open_view(store, &tablet).await, fetched, &[]).await;
    let reading = open_view(store, &tablet).await;
    end(open_view(store, phone).await, fetched, &[]).await;
    reading
}

#[tokio::test]
async fn where_nothing_is_kept_what_all_are_done_with_is_gone() {
    on_every_store!(NOTHING, |fixture| {
        let store = fixture.store();
        let policy = policy(Keep::UntilDeleted);
        let (phone, tablet) = (device("phone", policy), device("tablet", policy));
        add(store, "phone", Show::All).await;
        add(store, "tablet", Show::All).await;
        three(store).await;
        delete(store, &phone, &[1, 2, 3]).await;
        assert_eq!((held(store).await, trashed(store).await), (3, 0));
        delete(store, &tablet, &[1, 2]).await;
        assert_eq!((held(store).await, trashed(store).await), (1, 0));
        let remove = Edit::RemoveDevice {
            device: ViewName::of_device("tablet"),
            policy,
        };
        assert_eq!(edit(store, remove).await, 1);
        assert_eq!((held(store).await, trashed(store).await), (0, 0));
    });
}

/// What a session has listed it can read to its end, although nothing is kept in the trash.
#[tokio::test]
async fn where_nothing_is_kept_a_session_still_reads_what_it_has_listed() {
    on_every_store!(NOTHING, |fixture| {
        let store = fixture.store();
        let policy = policy(Keep::UntilFetched);
        let phone = device("phone", policy);
        let reading = reading(store, &phone, &[1, 2]).await;
        assert_eq!((held(store).await, trashed(store).await), (1, 2));
        // Neither a delivery, nor others that come and go, nor the sweep take it away.
        deliver(store, "me", b"4444\n").await;
        delete(store, &phone, &[2]).await;
        edit(store, Edit::Sweep(policy, ShownFolders::default())).await;
        let remove = Edit::RemoveDevice {
            device: ViewName::of_device("phone"),
            policy,
        };
        edit(store, remove).await;
        assert_eq!(retrieve(&reading, number(1)).await.unwrap(), b"1\r\n");
        assert_eq!(retrieve(&reading, number(2)).await.unwrap(), b"22\r\n");
        // With that session it is gone.
        let _ = quit(reading, &[]).await.unwrap();
        assert_eq!(trashed(store).await, 0);
    });
}

#[tokio::test]
async fn what_a_session_that_hung_up_was_looking_at_goes_when_mail_comes() {
    on_every_store!(NOTHING, |fixture| {
        let store = fixture.store();
        let phone = device("phone", policy(Keep::UntilFetched));
        let reading = reading(store, &phone, &[1]).await;
        assert_eq!(trashed(store).await, 1);
        drop(reading);
        assert_eq!(trashed(store).await, 1);
        deliver(store, "me", b"4444\n").await;
        assert_eq!(trashed(store).await, 0);
    });
}

#[tokio::test]
async fn what_a_person_purges_is_gone_whoever_is_looking() {
    on_every_store!(NOTHING, |fixture| {
        let store = fixture.store();
        let phone = device("phone", policy(Keep::UntilFetched));
        let reading = reading(store, &phone, &[1]).await;
        assert_eq!(edit(store, Edit::Purge(TrashSelection::All)).await, 1);
        let read = retrieve(&reading, number(1)).await;
        assert!(matches!(read, Err(ReadError::Gone)), "{read:?}");
    });
}

/// A clock that is a year ahead for less than a day makes nothing go for good.
#[tokio::test]
async fn a_clock_that_jumps_empties_no_trash() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        three(store).await;
        let _ = quit(open(store, "me").await, &[1]).await.unwrap();
        let clock = fixture.clock();
        let right = clock.now();
        for year in [365 * DAY, Duration::ZERO] {
            clock.set(right + year);
            for _ in 0..3 {
                deliver(store, "me", b"4444\n").await;
                let _ = quit(open(store, "me").await, &[1]).await.unwrap();
                edit(
                    store,
                    Edit::Sweep(policy(Keep::UntilDeleted), ShownFolders::default()),
                )
                .await;
            }
            let trash = store.trash(&mailbox("me")).await.unwrap();
            assert!(trash.iter().any(|one| one.octets == 2), "{trash:?}");
        }
        // In its time it does.
        clock.set(right);
        for _ in 0..9 {
            clock.advance(DAY);
            deliver(store, "me", b"4444\n").await;
        }
        clock.advance(UNDELETE_FOR);
        let _ = quit(open(store, "me").await, &[1]).await.unwrap();
        let trash = store.trash(&mailbox("me")).await.unwrap();
        assert!(trash.iter().all(|one| one.octets != 2), "{trash:?}");
    });
}
