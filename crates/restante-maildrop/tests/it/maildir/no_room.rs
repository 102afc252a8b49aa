//! A disk that is full or read-only, or a user over quota: mail that is there can be read.

use std::{sync::Arc, time::Duration};

use restante_maildrop::{
    Edit, Maildrop, OpenError, ReadError, Store, TrashSelection, UpdateError, View, ViewName,
    disk::{Call, Fault, Faults, Room},
};
use restante_proto::{Messages, Mode};

use crate::{
    faults::{MESSAGES, begin_without_ids, faulty, healthy, listing},
    fixture::{mailbox, shared},
    session::{WAIT, number, open, open_view, quit, retrieve, unique_ids},
};

const NO_ROOM: [Room; 3] = [Room::Full, Room::OverQuota, Room::ReadOnly];

/// A mailbox without twins: which of two equal ids is whose would have to be stored.
fn begin() -> tempfile::TempDir {
    let place = begin_without_ids();
    std::fs::remove_file(place.path().join("me/cur/3.M1P1.c:2,")).unwrap();
    place
}

const COUNT: usize = MESSAGES.len() - 1;

fn disk() -> Arc<Faults> {
    Arc::new(Faults::input_output(Fault::Never))
}

fn phone() -> View {
    View {
        name: ViewName::new("phone").unwrap(),
        ..View::shared(mailbox("me"))
    }
}

#[tokio::test]
async fn mail_is_read_where_nothing_can_be_written() {
    for room in NO_ROOM {
        for used_before in [false, true] {
            let place = begin();
            if used_before {
                drop(open(&healthy(place.path()), "me").await);
            }
            let faults = disk();
            faults.set_room(room);
            let store = faulty(place.path(), &faults);
            // Twice: what is remembered must not be what was not written.
            for _ in 0..2 {
                let what = format!("{room:?}, used before: {used_before}");
                let session = open(&store, "me").await;
                assert_eq!(unique_ids(&session).len(), COUNT, "{what}");
                // R1939-LOCK-1 holds here too.
                let second = store.open(&shared("me"), WAIT).await;
                assert!(matches!(second, Err(OpenError::InUse)), "{what}");
                let other = faulty(place.path(), &faults);
                let third = other.open(&shared("me"), WAIT).await;
                assert!(matches!(third, Err(OpenError::InUse)), "{what}");
                session.measure(Mode::Plain, number(5)).await.unwrap();
                for at in 1..=session.messages().count() {
                    let got = retrieve(&session, number(at)).await.unwrap();
                    assert!(got.ends_with(b"\r\n"), "{what}");
                }
                let updated = quit(session, &[]).await.unwrap();
                assert_eq!(updated.removed, 0);
            }
        }
    }
}

#[tokio::test]
async fn a_message_that_is_gone_is_gone_on_a_read_only_disk_too() {
    let place = begin();
    let faults = disk();
    let store = faulty(place.path(), &faults);
    faults.set_room(Room::ReadOnly);
    let session = open(&store, "me").await;
    std::fs::remove_file(place.path().join("me/new/1.M1P1.a")).unwrap();
    let gone = retrieve(&session, number(1)).await;
    assert!(matches!(gone, Err(ReadError::Gone)), "{gone:?}");
}

#[tokio::test]
async fn prj_quit_6_who_is_over_quota_can_delete() {
    for room in [Room::Full, Room::OverQuota] {
        let place = begin();
        // Somebody has been here before; the first message is deleted today.
        drop(open(&healthy(place.path()), "me").await);
        let faults = disk();
        let store = faulty(place.path(), &faults);
        faults.set_room(room);
        let session = open(&store, "me").await;
        assert_eq!(quit(session, &[1, 3]).await.unwrap().removed, 2);
        assert_eq!(listing(&store).await.len(), COUNT - 2);
        // What lies beside the days is restored like all else.
        faults.set_room(Room::Plenty);
        let restore = Edit::Restore(TrashSelection::All);
        let restored = store.edit(&mailbox("me"), restore).await.unwrap();
        assert_eq!(restored.count, 2);
        assert_eq!(listing(&store).await.len(), COUNT);
    }
}

#[tokio::test]
async fn r1939_quit_3_where_nothing_can_be_moved_the_answer_is_true_and_mail_stays() {
    for room in NO_ROOM {
        let place = begin();
        let faults = disk();
        faults.set_room(room);
        let store = faulty(place.path(), &faults);
        let session = open(&store, "me").await;
        let updated = quit(session, &[1, 2]).await;
        let Err(UpdateError::Incomplete { failed: 2, .. }) = updated else {
            panic!("{room:?}: {updated:?}");
        };
        assert_eq!(listing(&healthy(place.path())).await.len(), COUNT);
    }
}

/// Without the clock nobody knows when a listing may be trusted: each poll lists.
#[tokio::test]
async fn a_delivery_is_seen_where_the_clock_cannot_be_read() {
    let place = begin();
    drop(open(&healthy(place.path()), "me").await);
    let faults = disk();
    faults.set_room(Room::ReadOnly);
    // All of it in one tick of the directories' times, or in two.
    faults.set_grain(Duration::from_secs(3600));
    let store = faulty(place.path(), &faults);
    for more in 0..5 {
        let session = open(&store, "me").await;
        assert_eq!(unique_ids(&session).len(), COUNT + more);
        drop(session);
        // Somebody else may write there.
        std::fs::write(place.path().join(format!("me/new/9.M1P{more}.x")), "x\n").unwrap();
    }
    assert!(faults.count_of(Call::Touch) > 0);
}

#[tokio::test]
async fn a_view_that_has_no_lock_file_yet_opens_on_a_full_disk() {
    let place = begin();
    drop(open(&healthy(place.path()), "me").await);
    let faults = disk();
    faults.set_room(Room::OverQuota);
    let store = faulty(place.path(), &faults);
    let _shared = open(&store, "me").await;
    let session = open_view(&store, &phone()).await;
    assert!(store.open(&phone(), WAIT).await.is_err());
    assert_eq!(quit(session, &[1]).await.unwrap().removed, 1);
}
