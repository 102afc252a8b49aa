//! Each device has a view of its own, and mail leaves when the account's policy says so.

use std::{collections::HashSet, time::Duration};

use restante_maildrop::{
    Access, DeleteMode, Edit, EditError, Keep, Maildrop, Marks, OpenError, Policy, Show,
    ShownFolders, Store, UpdateError, View, ViewName,
};
use restante_proto::{MessageSet, Messages};

use crate::{
    fixture::{Fixture, mailbox, on_every_store},
    session::{WAIT, deliver, number, open_view, quit, retrieve, unique_ids},
};

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn policy(keep: Keep) -> Policy {
    Policy {
        delete: DeleteMode::PerDevice,
        keep,
        ..Policy::default()
    }
}

pub(super) fn device(name: &str, policy: Policy) -> View {
    View {
        name: ViewName::of_device(name),
        policy,
        ..View::shared(mailbox("me"))
    }
}

pub(super) fn shared(policy: Policy) -> View {
    View {
        policy: Policy {
            delete: DeleteMode::Shared,
            ..policy
        },
        ..View::shared(mailbox("me"))
    }
}

pub(super) async fn edit(store: &impl Store, edit: Edit) -> usize {
    store.edit(&mailbox("me"), edit).await.unwrap().count
}

pub(super) async fn add(store: &impl Store, name: &str, show: Show) -> usize {
    let device = ViewName::of_device(name);
    let access = Access::Full;
    let add = Edit::AddDevice {
        device,
        show,
        access,
    };
    edit(store, add).await
}

pub(super) async fn three(store: &impl Store) {
    for body in ["1\n", "22\n", "333\n"] {
        deliver(store, "me", body.as_bytes()).await;
    }
}

pub(super) async fn listed(store: &impl Store, view: &View) -> Vec<Vec<u8>> {
    unique_ids(&open_view(store, view).await)
}

/// How many messages the mailbox holds, whoever sees them.
pub(super) async fn held(store: &impl Store) -> usize {
    store.messages(&mailbox("me")).await.unwrap().len()
}

pub(super) async fn trashed(store: &impl Store) -> usize {
    store.trash(&mailbox("me")).await.unwrap().len()
}

/// QUIT after retrieving some and deleting some.
pub(super) async fn end(maildrop: impl Maildrop, retrieved: &[u32], deleted: &[u32]) {
    let set = |numbers: &[u32]| -> MessageSet { numbers.iter().map(|&one| number(one)).collect() };
    let marks = Marks {
        deleted: set(deleted),
        retrieved: set(retrieved),
        ..Marks::default()
    };
    let _ = maildrop.update(marks).await.unwrap();
}

/// Deletes these messages as the view does.
pub(super) async fn delete(store: &impl Store, view: &View, deleted: &[u32]) {
    let session = open_view(store, view).await;
    let _ = quit(session, deleted).await.unwrap();
}

#[tokio::test]
async fn what_one_device_deletes_the_other_still_gets() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let policy = policy(Keep::UntilDeleted);
        let (phone, tablet) = (device("phone", policy), device("tablet", policy));
        add(store, "phone", Show::All).await;
        add(store, "tablet", Show::All).await;
        three(store).await;
        let all = listed(store, &phone).await;
        let updated = quit(open_view(store, &phone).await, &[1, 2]).await.unwrap();
        assert_eq!(updated.removed, 2);
        assert_eq!(listed(store, &phone).await, all[2..]);
        assert_eq!(listed(store, &tablet).await, all);
        assert_eq!((held(store).await, trashed(store).await), (3, 0));
        // The last one to delete a message lets it go.
        let updated = quit(open_view(store, &tablet).await, &[2, 3])
            .await
            .unwrap();
        assert_eq!(updated.removed, 2);
        assert_eq!(listed(store, &phone).await, all[2..]);
        assert_eq!(listed(store, &tablet).await, all[..1]);
        assert_eq!((held(store).await, trashed(store).await), (2, 1));
    });
}

#[tokio::test]
async fn two_devices_are_in_session_at_once_and_one_device_is_not() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let policy = policy(Keep::UntilDeleted);
        let (phone, tablet) = (device("phone", policy), device("tablet", policy));
        three(store).await;
        let one = open_view(store, &phone).await;
        let two = open_view(store, &tablet).await;
        // R1939-LOCK-1
        let again = store.open(&phone, Duration::ZERO).await;
        assert!(matches!(again, Err(OpenError::InUse)));
        let _ = quit(one, &[1]).await.unwrap();
        let _ = quit(two, &[1, 2]).await.unwrap();
        assert_eq!(held(store).await, 2);
    });
}

#[tokio::test]
async fn a_message_that_has_left_is_read_from_the_trash_by_who_listed_it() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let policy = policy(Keep::UntilFetched);
        let (phone, tablet) = (device("phone", policy), device("tablet", policy));
        three(store).await;
        listed(store, &phone).await;
        end(open_view(store, &tablet).await, &[1], &[]).await;
        let reading = open_view(store, &tablet).await;
        end(open_view(store, &phone).await, &[1], &[]).await;
        assert_eq!(held(store).await, 2);
        assert_eq!(retrieve(&reading, number(1)).await.unwrap(), b"1\r\n");
    });
}

#[tokio::test]
async fn a_session_without_quit_hides_nothing() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let phone = device("phone", policy(Keep::UntilFetched));
        three(store).await;
        let session = open_view(store, &phone).await;
        let all = unique_ids(&session);
        let _ = retrieve(&session, number(1)).await.unwrap();
        let marks = Marks {
            deleted: [number(1)].into_iter().collect(),
            retrieved: [number(1)].into_iter().collect(),
            ..Marks::default()
        };
        session.leave(marks).await;
        assert_eq!(listed(store, &phone).await, all);
        assert_eq!(held(store).await, 3);
    });
}

#[tokio::test]
async fn a_new_device_sees_what_it_was_added_to_see() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let policy = policy(Keep::Forever);
        three(store).await;
        fixture.clock().advance(10 * DAY);
        deliver(store, "me", b"4444\n").await;
        assert_eq!(add(store, "all", Show::All).await, 0);
        assert_eq!(add(store, "last", Show::Last(5 * DAY)).await, 3);
        assert_eq!(add(store, "new", Show::New).await, 4);
        deliver(store, "me", b"55555\n").await;
        for (name, count) in [("all", 5), ("last", 2), ("new", 1)] {
            let view = device(name, policy);
            assert_eq!(listed(store, &view).await.len(), count, "{name}");
        }
        // Asked for again it is as if it had not been there.
        assert_eq!(add(store, "all", Show::New).await, 5);
        assert_eq!(listed(store, &device("all", policy)).await.len(), 0);
        let names: Vec<_> = store.devices(&mailbox("me")).await.unwrap();
        let names: Vec<_> = names.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["last", "new", "all"]);
    });
}

#[tokio::test]
async fn a_device_that_nobody_added_is_met_when_it_comes() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let keep = policy(Keep::For(30 * DAY));
        three(store).await;
        delete(store, &shared(keep), &[1]).await;
        let devices = store.devices(&mailbox("me")).await.unwrap();
        assert!(devices.is_empty());
        // What all have deleted together it has deleted too.
        let default = device("default", keep);
        assert_eq!(listed(store, &default).await.len(), 2);
        let devices = store.devices(&mailbox("me")).await.unwrap();
        assert_eq!(devices[0].name.as_str(), "default");
        assert!(devices[0].used.is_some());
        delete(store, &default, &[1]).await;
        // One that was added sees what it was added to see.
        add(store, "phone", Show::All).await;
        assert_eq!(listed(store, &device("phone", keep)).await.len(), 3);
        assert_eq!(listed(store, &shared(keep)).await.len(), 2);
    });
}

#[tokio::test]
async fn a_removed_device_is_waited_for_no_more() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let policy = policy(Keep::UntilDeleted);
        let phone = device("phone", policy);
        add(store, "tablet", Show::New).await;
        three(store).await;
        delete(store, &phone, &[1, 3]).await;
        assert_eq!(held(store).await, 3);
        let remove = || Edit::RemoveDevice {
            device: ViewName::of_device("tablet"),
            policy,
        };
        assert_eq!(edit(store, remove()).await, 2);
        assert_eq!((held(store).await, trashed(store).await), (1, 2));
        let again = store.edit(&mailbox("me"), remove()).await;
        assert!(matches!(again, Err(EditError::Refused(_))));
    });
}

#[tokio::test]
async fn nothing_leaves_when_the_last_device_is_removed() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let policy = policy(Keep::UntilDeleted);
        add(store, "phone", Show::All).await;
        three(store).await;
        let device = ViewName::of_device("phone");
        let remove = Edit::RemoveDevice { device, policy };
        assert_eq!(edit(store, remove).await, 0);
        assert_eq!(
            edit(store, Edit::Sweep(policy, ShownFolders::default())).await,
            0
        );
        assert_eq!(held(store).await, 3);
    });
}

#[tokio::test]
async fn a_session_of_a_device_that_was_removed_changes_nothing() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let policy = policy(Keep::UntilDeleted);
        add(store, "phone", Show::All).await;
        three(store).await;
        let session = open_view(store, &device("phone", policy)).await;
        let device = ViewName::of_device("phone");
        edit(store, Edit::RemoveDevice { device, policy }).await;
        let updated = quit(session, &[1]).await;
        assert!(matches!(updated, Err(UpdateError::Lost(_))), "{updated:?}");
        assert_eq!(held(store).await, 3);
        assert!(store.devices(&mailbox("me")).await.unwrap().is_empty());
    });
}

#[tokio::test]
async fn a_device_that_is_reset_sees_everything_again_under_the_old_ids() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let policy = policy(Keep::Forever);
        let phone = device("phone", policy);
        three(store).await;
        let all = listed(store, &phone).await;
        delete(store, &phone, &[1, 2]).await;
        let reset = Edit::ResetDevice(phone.name.clone());
        assert_eq!(edit(store, reset).await, 3);
        assert_eq!(listed(store, &phone).await, all);
        let unknown = Edit::ResetDevice(ViewName::of_device("nobody"));
        let refused = store.edit(&mailbox("me"), unknown).await;
        assert!(matches!(refused, Err(EditError::Refused(_))));
    });
}

#[tokio::test]
async fn the_mode_is_switched_back_and_forth_and_nothing_is_shown_twice() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let keep = policy(Keep::For(30 * DAY));
        let (phone, tablet) = (device("phone", keep), device("tablet", keep));
        three(store).await;
        let all = listed(store, &phone).await;
        listed(store, &tablet).await;
        delete(store, &phone, &[1]).await;
        // What one device has deleted all still see; what all delete is deleted for each.
        assert_eq!(listed(store, &shared(keep)).await, all);
        delete(store, &shared(keep), &[2]).await;
        assert_eq!(listed(store, &phone).await, all[2..]);
        assert_eq!(
            listed(store, &tablet).await,
            [&all[..1], &all[2..]].concat()
        );
        assert_eq!(
            listed(store, &shared(keep)).await,
            [&all[..1], &all[2..]].concat()
        );
    });
}

#[tokio::test]
async fn devices_of_any_name_have_views_of_their_own() {
    let long = "n".repeat(300);
    let names = [
        "phone",
        "Phone",
        "shared",
        "",
        ".",
        "..",
        "../phone",
        "a/b",
        "Jörgs Handy",
        "x-1",
        "p\0",
        "телефон",
        "phone ",
        "-",
        &long,
    ];
    let views: HashSet<String> = names
        .iter()
        .map(|name| ViewName::of_device(name).as_str().to_owned())
        .collect();
    assert_eq!(views.len(), names.len());
    assert!(!views.contains("shared"));
    for view in &views {
        assert!(ViewName::new(view).is_some(), "{view}");
    }
    on_every_store!(|fixture| {
        let store = fixture.store();
        let policy = policy(Keep::Forever);
        three(store).await;
        for name in names {
            let view = device(name, policy);
            assert_eq!(listed(store, &view).await.len(), 3);
            delete(store, &view, &[1]).await;
        }
        assert_eq!(
            store.devices(&mailbox("me")).await.unwrap().len(),
            names.len()
        );
    });
}

#[tokio::test]
async fn no_device_is_called_as_the_view_that_all_share() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let view = View {
            policy: policy(Keep::UntilDeleted),
            ..View::shared(mailbox("me"))
        };
        let opened = store.open(&view, WAIT).await;
        assert!(matches!(opened, Err(OpenError::Permanent(_))));
        let device = ViewName::shared();
        let add = Edit::AddDevice {
            device,
            show: Show::All,
            access: Access::Full,
        };
        let added = store.edit(&mailbox("me"), add).await;
        assert!(matches!(added, Err(EditError::Refused(_))));
    });
}

#[tokio::test]
async fn a_mailbox_has_a_bounded_number_of_devices() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        for number in 0..62 {
            add(store, &format!("device-{number}"), Show::All).await;
        }
        let device = ViewName::of_device("one-more");
        let one_more = Edit::AddDevice {
            device,
            show: Show::All,
            access: Access::Full,
        };
        let added = store.edit(&mailbox("me"), one_more).await;
        assert!(matches!(added, Err(EditError::Refused(_))));
        let view = self::device("one-more", policy(Keep::UntilDeleted));
        let opened = store.open(&view, WAIT).await;
        assert!(matches!(opened, Err(OpenError::Permanent(_))));
        // One that is there can be added again.
        add(store, "device-7", Show::New).await;
    });
}

#[tokio::test]
async fn sizes_are_those_of_what_the_view_lists() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let phone = device("phone", policy(Keep::UntilDeleted));
        add(store, "tablet", Show::All).await;
        three(store).await;
        delete(store, &phone, &[1]).await;
        let session = open_view(store, &phone).await;
        assert_eq!(session.messages().count(), 2);
        let octets = crate::session::size(&session, number(2)).await;
        assert_eq!(octets.0, 5);
        assert_eq!(crate::session::size(&session, number(1)).await.0, 4);
        assert_eq!(retrieve(&session, number(1)).await.unwrap(), b"22\r\n");
        assert_eq!(retrieve(&session, number(2)).await.unwrap(), b"333\r\n");
    });
}

#[tokio::test]
async fn mail_that_a_new_device_does_not_see_stays_until_somebody_deletes_it() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let policy = policy(Keep::UntilDeleted);
        three(store).await;
        assert_eq!(add(store, "phone", Show::New).await, 3);
        let phone = device("phone", policy);
        delete(store, &phone, &[]).await;
        edit(store, Edit::Sweep(policy, ShownFolders::default())).await;
        assert_eq!((held(store).await, trashed(store).await), (3, 0));
        // The account's own password comes later, and sees it.
        let default = device("default", policy);
        delete(store, &default, &[1]).await;
        assert_eq!((held(store).await, trashed(store).await), (2, 1));
    });
}
