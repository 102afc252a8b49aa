//! What the journal tells that no session did.

use std::collections::HashSet;

use restante_maildrop::{
    Access, Change, ChangeKind, Edit, JournalEntry, Keep, Show, ShownFolders, Store,
    TrashSelection, ViewName,
};

use super::devices::{DAY, add, delete, device, edit, held, listed, policy, shared, three};
use crate::{
    fixture::{Fixture, mailbox, on_every_store},
    session::{deliver, open_view, quit},
};

async fn changes(store: &impl Store) -> Vec<Change> {
    let journal = store.journal(&mailbox("me")).await.unwrap();
    assert_eq!(journal.damaged, 0);
    journal.changes().cloned().collect()
}

/// Kind, author, device and count of each.
type Told = (ChangeKind, Option<String>, Option<ViewName>, usize);

fn told(change: &Change) -> Told {
    let Change {
        kind,
        author,
        device,
        count,
        ..
    } = change.clone();
    (kind, author, device, count)
}

fn by_operator(kind: ChangeKind, device: Option<&str>, count: usize) -> Told {
    let device = device.map(ViewName::of_device);
    (kind, Some("operator".to_owned()), device, count)
}

#[tokio::test]
async fn the_journal_tells_of_devices_that_were_added_reset_and_removed() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let policy = policy(Keep::UntilDeleted);
        three(store).await;
        add(store, "phone", Show::All).await;
        add(store, "Büro", Show::New).await;
        fixture.clock().advance(DAY);
        edit(store, Edit::ResetDevice(ViewName::of_device("phone"))).await;
        add(store, "tablet", Show::All).await;
        delete(store, &device("phone", policy), &[1]).await;
        let ids = listed(store, &device("tablet", policy)).await;
        let remove = Edit::RemoveDevice {
            device: ViewName::of_device("tablet"),
            policy,
        };
        assert_eq!(edit(store, remove).await, 1);
        let changes = changes(store).await;
        let expected = [
            by_operator(ChangeKind::DeviceAdded, Some("phone"), 0),
            by_operator(ChangeKind::DeviceAdded, Some("Büro"), 3),
            by_operator(ChangeKind::DeviceReset, Some("phone"), 3),
            by_operator(ChangeKind::DeviceAdded, Some("tablet"), 0),
            by_operator(ChangeKind::DeviceRemoved, Some("tablet"), 0),
            by_operator(ChangeKind::Left, None, 1),
        ];
        assert_eq!(changes.iter().map(told).collect::<Vec<_>>(), expected);
        assert_eq!(changes[5].messages, ids[..1]);
        let now = fixture.clock().now().as_secs();
        assert_eq!((changes[1].made, changes[2].made), (now - 86_400, now));
    });
}

#[tokio::test]
async fn the_journal_tells_what_was_put_back_and_purged_by_whom_in_order() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        three(store).await;
        add(store, "phone", Show::All).await;
        let everybody = shared(policy(Keep::UntilDeleted));
        let ids = listed(store, &everybody).await;
        delete(store, &everybody, &[1, 2, 3]).await;
        let one = |id: &[u8]| TrashSelection::UniqueIds(HashSet::from([id.to_vec()]));
        edit(store, Edit::Restore(one(&ids[0]))).await;
        let restore = Edit::RestoreFor {
            selection: one(&ids[1]),
            device: ViewName::of_device("phone"),
        };
        edit(store, restore).await;
        edit(store, Edit::Purge(TrashSelection::All)).await;
        // There is nothing to tell of.
        edit(store, Edit::Purge(TrashSelection::All)).await;
        let there = listed(store, &everybody).await;
        let arrived_before = fixture.clock().now().as_secs() + 1;
        edit(store, Edit::Expire { arrived_before }).await;
        let journal = store.journal(&mailbox("me")).await.unwrap();
        // What a session did stands where it did it.
        assert!(matches!(journal.entries[1], JournalEntry::Visit(_)));
        let changes: Vec<_> = journal.changes().skip(1).collect();
        let expected = [
            by_operator(ChangeKind::Restored, None, 1),
            by_operator(ChangeKind::Restored, Some("phone"), 1),
            by_operator(ChangeKind::Purged, None, 1),
            by_operator(ChangeKind::Expired, None, 2),
        ];
        let all: Vec<_> = changes.iter().map(|change| told(change)).collect();
        assert_eq!(all, expected);
        // Under their new unique-ids.
        assert_eq!(changes[0].messages, there[..1]);
        assert_eq!(changes[1].messages, there[1..]);
        assert_eq!(changes[2].messages, ids[2..]);
        let expired: HashSet<_> = changes[3].messages.iter().cloned().collect();
        assert_eq!(expired, there.into_iter().collect());
    });
}

#[tokio::test]
async fn the_journal_tells_what_has_left_because_it_was_due() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let keep = shared(policy(Keep::For(3 * DAY)));
        three(store).await;
        let ids = listed(store, &keep).await;
        delete(store, &keep, &[1, 2]).await;
        for _ in 0..6 {
            fixture.clock().advance(DAY);
            edit(store, Edit::Sweep(keep.policy, ShownFolders::default())).await;
        }
        let all = changes(store).await;
        assert_eq!(
            all.iter().map(told).collect::<Vec<_>>(),
            [(ChangeKind::Left, None, None, 2)]
        );
        assert_eq!(all[0].messages, ids[..2]);
        // And what is due in the trash; whoever comes lets go too.
        let _ = quit(open_view(store, &keep).await, &[1]).await.unwrap();
        for _ in 0..12 {
            fixture.clock().advance(DAY);
            deliver(store, "me", b"4444\n").await;
            listed(store, &keep).await;
        }
        let kinds: Vec<_> = changes(store).await.iter().map(told).collect();
        assert!(
            kinds.contains(&(ChangeKind::Purged, None, None, 2)),
            "{kinds:?}"
        );
        assert_eq!(held(store).await, 12);
    });
}

#[tokio::test]
async fn an_edit_that_is_refused_is_not_told_of() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        three(store).await;
        let nobody = || ViewName::of_device("nobody");
        let missing = || TrashSelection::UniqueIds(HashSet::from([b"missing".to_vec()]));
        for refused in [
            Edit::ResetDevice(nobody()),
            Edit::Restore(missing()),
            Edit::Purge(missing()),
            Edit::AddDevice {
                device: ViewName::shared(),
                show: Show::All,
                access: Access::Full,
            },
        ] {
            let edited = store.edit(&mailbox("me"), refused).await;
            assert!(edited.is_err());
        }
        assert_eq!(changes(store).await, []);
    });
}
