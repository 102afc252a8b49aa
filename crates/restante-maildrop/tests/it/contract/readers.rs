//! Devices that cannot delete.

use restante_maildrop::{Access, Edit, Keep, Policy, Show, ShownFolders, Store, View, ViewName};

use super::devices::{DAY, add, delete, device, edit, end, held, listed, policy, three, trashed};
use crate::{
    fixture::{Fixture, mailbox, on_every_store},
    session::open_view,
};

fn reader(name: &str, policy: Policy) -> View {
    View {
        access: Access::ReadOnly,
        ..device(name, policy)
    }
}

async fn add_reader(store: &impl Store, name: &str) {
    let add = Edit::AddDevice {
        device: ViewName::of_device(name),
        show: Show::All,
        access: Access::ReadOnly,
    };
    assert_eq!(edit(store, add).await, 0);
}

async fn access(store: &impl Store, name: &str) -> Access {
    let devices = store.devices(&mailbox("me")).await.unwrap();
    let view = ViewName::of_device(name);
    let found = devices.iter().find(|one| one.name == view);
    found.unwrap().access
}

/// Retrieves these messages as the view does, and says QUIT.
async fn fetch(store: &impl Store, view: &View, retrieved: &[u32]) {
    end(open_view(store, view).await, retrieved, &[]).await;
}

#[tokio::test]
async fn who_cannot_delete_is_waited_for_until_it_has_retrieved() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let policy = policy(Keep::UntilDeleted);
        let (phone, archive) = (device("phone", policy), reader("archive", policy));
        add(store, "phone", Show::All).await;
        add_reader(store, "archive").await;
        assert_eq!(access(store, "archive").await, Access::ReadOnly);
        three(store).await;
        let all = listed(store, &archive).await;
        // What it has and the other has not deleted stays.
        fetch(store, &archive, &[1]).await;
        assert_eq!((held(store).await, trashed(store).await), (3, 0));
        delete(store, &phone, &[1]).await;
        assert_eq!((held(store).await, trashed(store).await), (2, 1));
        // What the other deletes first it still gets.
        delete(store, &phone, &[1, 2]).await;
        assert_eq!(listed(store, &archive).await, all[1..]);
        fetch(store, &archive, &[2]).await;
        assert_eq!((held(store).await, trashed(store).await), (1, 2));
        fetch(store, &archive, &[1]).await;
        assert_eq!((held(store).await, trashed(store).await), (0, 3));
    });
}

#[tokio::test]
async fn who_cannot_delete_is_waited_for_as_all_are_where_mail_is_kept_until_fetched() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let policy = policy(Keep::UntilFetched);
        let (phone, archive) = (device("phone", policy), reader("archive", policy));
        add(store, "phone", Show::All).await;
        add_reader(store, "archive").await;
        three(store).await;
        fetch(store, &phone, &[1, 2]).await;
        assert_eq!(held(store).await, 3);
        fetch(store, &archive, &[1]).await;
        assert_eq!(held(store).await, 2);
    });
}

#[tokio::test]
async fn where_nobody_can_delete_nothing_leaves() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let policy = policy(Keep::UntilDeleted);
        add_reader(store, "archive").await;
        three(store).await;
        fetch(store, &reader("archive", policy), &[1, 2, 3]).await;
        assert_eq!(
            edit(store, Edit::Sweep(policy, ShownFolders::default())).await,
            0
        );
        assert_eq!(held(store).await, 3);
    });
}

#[tokio::test]
async fn who_cannot_delete_and_comes_no_more_is_waited_for_no_more() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let policy = policy(Keep::UntilDeleted);
        let phone = device("phone", policy);
        add(store, "phone", Show::All).await;
        add_reader(store, "archive").await;
        three(store).await;
        delete(store, &phone, &[1, 2, 3]).await;
        for day in 1..=62 {
            fixture.clock().advance(DAY);
            listed(store, &phone).await;
            assert!(held(store).await == 3 || day >= 60, "day {day}");
        }
        assert_eq!(held(store).await, 0);
    });
}

#[tokio::test]
async fn a_mailbox_that_was_not_told_who_cannot_delete_learns_it_when_it_comes() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let policy = policy(Keep::UntilDeleted);
        let (phone, archive) = (device("phone", policy), reader("archive", policy));
        add(store, "phone", Show::All).await;
        add(store, "archive", Show::All).await;
        three(store).await;
        delete(store, &phone, &[1, 2]).await;
        assert_eq!(access(store, "archive").await, Access::Full);
        fetch(store, &archive, &[1]).await;
        assert_eq!(access(store, "archive").await, Access::ReadOnly);
        assert_eq!(held(store).await, 2);
        // And when it may delete again, it has to.
        fetch(store, &device("archive", policy), &[1]).await;
        assert_eq!(access(store, "archive").await, Access::Full);
        assert_eq!(held(store).await, 2);
        delete(store, &device("archive", policy), &[1]).await;
        assert_eq!(held(store).await, 1);
    });
}
