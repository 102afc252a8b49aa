//! What the journal of sessions costs, and when it is written.

use restante_maildrop::{Maildrop, Marks, Store, disk::Call};

use super::place;
use crate::{
    fixture::mailbox,
    session::{number, open, quit, retrieve},
};

fn marks(retrieved: &[u32], deleted: &[u32]) -> Marks {
    Marks {
        deleted: deleted.iter().map(|&one| number(one)).collect(),
        retrieved: retrieved.iter().map(|&one| number(one)).collect(),
        ..Marks::default()
    }
}

/// Promise 3: looking costs nothing new, not even the look at a file that is not there.
#[tokio::test]
async fn a_poll_does_not_touch_the_journal() {
    let place = place();
    place.put("cur/1.a:2,", "a: b\n");
    let session = open(&place.store, "me").await;
    let _ = session.update(marks(&[1], &[])).await.unwrap();
    assert!(place.path("restante/state/visits").exists());
    place.faults.restart();
    let _ = quit(open(&place.store, "me").await, &[]).await.unwrap();
    drop(open(&place.store, "me").await);
    open(&place.store, "me").await.leave(Marks::default()).await;
    let trace = place.faults.trace();
    let touched = trace.iter().find(|passed| passed.path.ends_with("visits"));
    assert!(touched.is_none(), "{touched:?}");
}

#[tokio::test]
async fn prj_quit_6_deletions_are_durable_before_they_are_told_of() {
    let place = place();
    for name in ["new/1.a", "cur/2.b:2,"] {
        place.put(name, "a: b\n");
    }
    let session = open(&place.store, "me").await;
    place.faults.restart();
    let _ = session.update(marks(&[], &[1, 2])).await.unwrap();
    let trace = place.faults.trace();
    let visits = |call: Call| {
        let mut passed = trace.iter();
        passed.position(|one| one.call == call && one.path.ends_with("visits"))
    };
    let written = visits(Call::Write).expect("it tells");
    for folder in ["new", "cur"] {
        let mut passed = trace.iter();
        let synced =
            passed.rposition(|one| one.call == Call::SyncDirectory && one.path.ends_with(folder));
        assert!(synced.is_some_and(|synced| synced < written), "{folder}");
    }
    // And QUIT does not wait for the disk once more.
    assert_eq!(visits(Call::SyncFile), None);
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_fails_no_quit() {
    let place = place();
    place.put("cur/1.a:2,", "a: b\n");
    let session = open(&place.store, "me").await;
    retrieve(&session, number(1)).await.unwrap();
    std::fs::create_dir(place.path("restante/state/visits")).unwrap();
    let updated = session.update(marks(&[1], &[1])).await.unwrap();
    assert_eq!(updated.removed, 1);
    let seen = place.store.messages(&mailbox("me")).await.unwrap();
    assert_eq!(seen, []);
}
