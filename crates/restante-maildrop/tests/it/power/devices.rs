//! The power fails while devices are added, and while they delete.

use std::path::Path;

use restante_maildrop::{
    Access, DeleteMode, Edit, Maildir, Policy, Show, Store, TrashSelection, View, ViewName,
};

use super::fail_power_at_each_call;
use crate::{
    faults::{MESSAGES, begin_without_ids, faulty, healthy},
    fixture::mailbox,
    session::{open_view, quit, unique_ids},
};

const COUNT: usize = MESSAGES.len();

fn device(name: &str) -> View {
    View {
        name: ViewName::of_device(name),
        policy: Policy {
            delete: DeleteMode::PerDevice,
            ..Policy::default()
        },
        ..View::shared(mailbox("me"))
    }
}

fn add(device: &str, show: Show) -> Edit {
    let device = ViewName::of_device(device);
    Edit::AddDevice {
        device,
        show,
        access: Access::Full,
    }
}

/// Two devices, of which the tablet has deleted the first two messages.
async fn begin() -> tempfile::TempDir {
    let place = begin_without_ids();
    let store = healthy(place.path());
    for device in ["phone", "tablet"] {
        let edit = add(device, Show::All);
        assert_eq!(store.edit(&mailbox("me"), edit).await.unwrap().count, 0);
    }
    let tablet = open_view(&store, &device("tablet")).await;
    let _ = quit(tablet, &[1, 2]).await.unwrap();
    place
}

async fn listed(store: &Maildir, name: &str) -> usize {
    unique_ids(&open_view(store, &device(name)).await).len()
}

#[tokio::test]
async fn prj_quit_6_what_a_device_has_deleted_survives_a_power_failure() {
    fail_power_at_each_call(
        begin,
        async |place, faults| {
            let store = faulty(place, faults);
            let view = device("phone");
            let opened = store.open(&view, std::time::Duration::ZERO).await;
            match opened {
                Ok(session) => quit(session, &[1, 3]).await.is_ok(),
                Err(_) => false,
            }
        },
        async |place, acknowledged, what| {
            let store = healthy(place);
            let phone = listed(&store, "phone").await;
            let tablet = listed(&store, "tablet").await;
            // The tablet had been answered before.
            assert_eq!(tablet, COUNT - 2, "{what}");
            match acknowledged {
                true => assert_eq!(phone, COUNT - 2, "{what}: shown again"),
                // What was not answered may have happened, line by line.
                false => assert!((COUNT - 2..=COUNT).contains(&phone), "{what}"),
            }
            let held = store.messages(&mailbox("me")).await.unwrap().len();
            let trash = store.trash(&mailbox("me")).await.unwrap().len();
            assert_eq!(held + trash, COUNT, "{what}: lost");
            assert!(trash <= 1, "{what}: only one was deleted by both");
            assert!(trash == 1 || !acknowledged, "{what}: it has not left");
        },
    )
    .await;
}

#[tokio::test]
async fn a_device_that_was_added_survives_a_power_failure() {
    fail_power_at_each_call(
        async || begin_without_ids(),
        async |place: &Path, faults| {
            let store = faulty(place, faults);
            let added = store.edit(&mailbox("me"), add("phone", Show::New)).await;
            added.is_ok()
        },
        async |place, acknowledged, what| {
            let store = healthy(place);
            let known = store.devices(&mailbox("me")).await.unwrap();
            match acknowledged {
                true => {
                    assert_eq!(known.len(), 1, "{what}: forgotten");
                    assert_eq!(listed(&store, "phone").await, 0, "{what}");
                }
                false => assert!(known.len() <= 1, "{what}"),
            }
            // It can be asked for again.
            let edit = add("phone", Show::New);
            let hidden = store.edit(&mailbox("me"), edit).await.unwrap().count;
            assert_eq!(
                (hidden, listed(&store, "phone").await),
                (COUNT, 0),
                "{what}"
            );
            let all = Edit::Restore(TrashSelection::All);
            assert_eq!(store.edit(&mailbox("me"), all).await.unwrap().count, 0);
        },
    )
    .await;
}
