//! Mail leaves when the account's policy says so, and comes back from the trash.

use std::{collections::HashSet, time::Duration};

use restante_maildrop::{
    Edit, EditError, Keep, Policy, ShownFolders, Store, TrashSelection, ViewName,
};

use super::devices::{
    DAY, delete, device, edit, end, held, listed, policy, shared, three, trashed,
};
use crate::{
    fixture::{Fixture, mailbox, on_every_store},
    session::{deliver, number, open_view, quit, retrieve, size, unique_ids},
};

/// Lets a day pass, with a sweep at its end.
async fn next_day<F: Fixture>(fixture: &F, policy: Policy) -> usize {
    fixture.clock().advance(DAY);
    edit(
        fixture.store(),
        Edit::Sweep(policy, ShownFolders::default()),
    )
    .await
}

#[tokio::test]
async fn until_fetched_mail_leaves_when_all_have_retrieved_it() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let policy = policy(Keep::UntilFetched);
        let (phone, tablet) = (device("phone", policy), device("tablet", policy));
        three(store).await;
        listed(store, &tablet).await;
        end(open_view(store, &phone).await, &[1, 2], &[]).await;
        assert_eq!(listed(store, &phone).await.len(), 3);
        // Deleting it is being done with it, too.
        end(open_view(store, &tablet).await, &[1], &[2]).await;
        assert_eq!((held(store).await, trashed(store).await), (1, 2));
        // And in a shared mailbox one view is all.
        end(open_view(store, &shared(policy)).await, &[1], &[]).await;
        assert_eq!(held(store).await, 0);
    });
}

#[tokio::test]
async fn mail_that_is_kept_for_a_time_leaves_then_if_somebody_had_it() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let policy = policy(Keep::For(30 * DAY));
        let (phone, tablet) = (device("phone", policy), device("tablet", policy));
        three(store).await;
        listed(store, &tablet).await;
        end(open_view(store, &phone).await, &[1], &[2]).await;
        // Not before, whoever has deleted it.
        delete(store, &tablet, &[1, 2, 3]).await;
        for day in 1..30 {
            assert_eq!(next_day(&fixture, policy).await, 0, "day {day}");
        }
        assert_eq!(held(store).await, 3);
        let gone = next_day(&fixture, policy).await + next_day(&fixture, policy).await;
        assert_eq!((gone, held(store).await), (3, 0));
    });
}

#[tokio::test]
async fn mail_nobody_has_fetched_stays_unless_the_policy_says_otherwise() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let mut policy = policy(Keep::For(30 * DAY));
        three(store).await;
        end(open_view(store, &device("phone", policy)).await, &[1], &[]).await;
        for _ in 0..100 {
            next_day(&fixture, policy).await;
        }
        assert_eq!(held(store).await, 2);
        policy.expire_unfetched = Some(200 * DAY);
        for _ in 0..98 {
            assert_eq!(next_day(&fixture, policy).await, 0);
        }
        for _ in 0..4 {
            next_day(&fixture, policy).await;
        }
        assert_eq!(held(store).await, 0);
    });
}

#[tokio::test]
async fn unfetched_mail_of_a_classic_mailbox_expires_and_fetched_mail_does_not() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let policy = Policy {
            expire_unfetched: Some(10 * DAY),
            ..Policy::default()
        };
        three(store).await;
        end(open_view(store, &shared(policy)).await, &[1, 2], &[2]).await;
        for _ in 0..9 {
            assert_eq!(next_day(&fixture, policy).await, 0);
        }
        for _ in 0..3 {
            next_day(&fixture, policy).await;
        }
        let left = store.messages(&mailbox("me")).await.unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].octets, 2);
    });
}

#[tokio::test]
async fn mail_that_is_kept_for_ever_never_leaves() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let policy = Policy {
            expire_unfetched: Some(DAY),
            ..policy(Keep::Forever)
        };
        let phone = device("phone", policy);
        three(store).await;
        end(open_view(store, &phone).await, &[1, 2], &[1]).await;
        delete(store, &shared(policy), &[2]).await;
        for _ in 0..10 {
            assert_eq!(next_day(&fixture, policy).await, 0);
        }
        assert_eq!(held(store).await, 3);
        assert_eq!(listed(store, &phone).await.len(), 1);
        assert_eq!(listed(store, &shared(policy)).await.len(), 2);
    });
}

#[tokio::test]
async fn an_idle_device_is_waited_for_as_long_as_promised() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let policy = policy(Keep::UntilDeleted);
        let (phone, tablet) = (device("phone", policy), device("tablet", policy));
        three(store).await;
        listed(store, &tablet).await;
        for day in 0..60 {
            delete(store, &phone, if day == 0 { &[1] } else { &[] }).await;
            assert_eq!(held(store).await, 3, "day {day}");
            fixture.clock().advance(DAY);
        }
        for _ in 0..3 {
            listed(store, &phone).await;
            fixture.clock().advance(DAY);
        }
        assert_eq!(held(store).await, 2);
        // When it comes again it counts again.
        assert_eq!(listed(store, &tablet).await.len(), 2);
        delete(store, &phone, &[1]).await;
        assert_eq!(held(store).await, 2);
    });
}

#[tokio::test]
async fn while_all_share_one_view_no_device_becomes_inactive() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let policy = policy(Keep::UntilDeleted);
        let (phone, tablet) = (device("phone", policy), device("tablet", policy));
        three(store).await;
        listed(store, &phone).await;
        listed(store, &tablet).await;
        for _ in 0..100 {
            listed(store, &shared(policy)).await;
            fixture.clock().advance(DAY);
        }
        for day in 0..59 {
            delete(store, &phone, if day == 0 { &[1] } else { &[] }).await;
            fixture.clock().advance(DAY);
        }
        assert_eq!(held(store).await, 3);
    });
}

#[tokio::test]
async fn restored_mail_has_a_new_id_for_all_or_for_one() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let policy = policy(Keep::UntilDeleted);
        let (phone, tablet) = (device("phone", policy), device("tablet", policy));
        three(store).await;
        let all = listed(store, &phone).await;
        listed(store, &tablet).await;
        for view in [&phone, &tablet] {
            delete(store, view, &[1, 2]).await;
        }
        let selection = TrashSelection::UniqueIds(HashSet::from([all[0].clone()]));
        assert_eq!(edit(store, Edit::Restore(selection)).await, 1);
        for view in [&phone, &tablet] {
            let listed = listed(store, view).await;
            assert_eq!(listed[1..], all[2..]);
            assert!(!all.contains(&listed[0]));
        }
        let device = phone.name.clone();
        let one = |selection| Edit::RestoreFor {
            selection,
            device: device.clone(),
        };
        assert_eq!(edit(store, one(TrashSelection::All)).await, 1);
        assert_eq!(listed(store, &phone).await.len(), 3);
        assert_eq!(listed(store, &tablet).await.len(), 2);
        // It leaves when the one that sees it has deleted it.
        delete(store, &phone, &[2]).await;
        assert_eq!((held(store).await, trashed(store).await), (2, 1));
        let selection = TrashSelection::All;
        let device = ViewName::of_device("nobody");
        let refused = Edit::RestoreFor { selection, device };
        let refused = store.edit(&mailbox("me"), refused).await;
        assert!(matches!(refused, Err(EditError::Refused(_))));
    });
}

#[tokio::test]
async fn the_trash_tells_who_has_deleted_what() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let policy = policy(Keep::UntilFetched);
        let (phone, tablet) = (device("phone", policy), device("tablet", policy));
        three(store).await;
        listed(store, &tablet).await;
        end(open_view(store, &phone).await, &[1], &[2]).await;
        end(open_view(store, &tablet).await, &[2], &[1]).await;
        let trash = store.trash(&mailbox("me")).await.unwrap();
        let by = |octets: u64| {
            let one = trash.iter().find(|one| one.octets == octets).unwrap();
            one.deleted_by
                .iter()
                .map(ViewName::as_str)
                .collect::<Vec<_>>()
        };
        assert_eq!((by(2), by(3)), (vec!["tablet"], vec!["phone"]));
        let selection = TrashSelection::DeletedBy(tablet.name.clone());
        assert_eq!(edit(store, Edit::Restore(selection)).await, 1);
        assert_eq!(trashed(store).await, 1);
    });
}

#[tokio::test]
async fn a_sweep_takes_nothing_while_somebody_looks() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let policy = policy(Keep::For(DAY));
        let phone = device("phone", policy);
        three(store).await;
        end(open_view(store, &phone).await, &[1], &[]).await;
        // It is due while the session goes on, and the sweep sees that it is.
        let session = open_view(store, &phone).await;
        for day in 0..4 {
            fixture.clock().advance(DAY);
            let swept = edit(store, Edit::Sweep(policy, ShownFolders::default())).await;
            assert_eq!(swept, 0, "day {day}");
        }
        assert_eq!(held(store).await, 3);
        drop(session);
        let swept = edit(store, Edit::Sweep(policy, ShownFolders::default())).await;
        assert_eq!(swept, 1);
        assert_eq!(held(store).await, 2);
    });
}

#[tokio::test]
async fn a_clock_that_jumps_takes_no_mail_away() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let policy = Policy {
            expire_unfetched: Some(20 * DAY),
            ..policy(Keep::For(10 * DAY))
        };
        let (phone, tablet) = (device("phone", policy), device("tablet", policy));
        three(store).await;
        listed(store, &tablet).await;
        end(open_view(store, &phone).await, &[1], &[2]).await;
        next_day(&fixture, policy).await;
        next_day(&fixture, policy).await;
        // A year ahead, looked at again and again within the hour.
        fixture.clock().advance(365 * DAY);
        for _ in 0..10 {
            assert_eq!(
                edit(store, Edit::Sweep(policy, ShownFolders::default())).await,
                0
            );
            delete(store, &phone, &[]).await;
            fixture.clock().advance(Duration::from_secs(360));
        }
        assert_eq!(held(store).await, 3);
    });
}

#[tokio::test]
async fn a_view_of_the_last_days_lists_no_older_mail_and_keeps_it() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let mut view = device("phone", policy(Keep::UntilDeleted));
        view.shows.last = Some(5 * DAY);
        three(store).await;
        let all = listed(store, &view).await;
        fixture.clock().advance(3 * DAY);
        deliver(store, "me", b"4444\n").await;
        delete(store, &view, &[1]).await;
        assert_eq!(listed(store, &view).await[..2], all[1..]);
        fixture.clock().advance(3 * DAY);
        let session = open_view(store, &view).await;
        assert_eq!(unique_ids(&session).len(), 1);
        assert_eq!(retrieve(&session, number(1)).await.unwrap(), b"4444\r\n");
        assert_eq!(size(&session, number(1)).await.0, 6);
        // Its numbers are those of what it lists.
        let _ = quit(session, &[1]).await.unwrap();
        assert_eq!((held(store).await, trashed(store).await), (2, 2));
        view.shows.last = None;
        assert_eq!(listed(store, &view).await, all[1..]);
    });
}
