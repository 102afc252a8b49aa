//! What is counted for whoever watches the store.

use std::{fs::File, sync::atomic::Ordering, time::Duration};

use restante_maildrop::{Durations, OpenError, Store};
use rustix::fs::{FlockOperation, flock};

use super::place;
use crate::{
    fixture::shared,
    session::{WAIT, open, quit},
};

fn waits(durations: &Durations) -> u64 {
    durations.classes().map(|(_, count)| count).sum()
}

#[tokio::test]
async fn it_is_counted_where_a_listing_was_found() {
    let place = place();
    place.put("new/1.M1P1.a", "Subject: 1\n\n1\n");
    let figures = place.store.figures();
    let counted = || {
        let counters = [
            &figures.opened_unknown,
            &figures.opened_from_file,
            &figures.opened_from_memory,
        ];
        counters.map(|counter| counter.load(Ordering::Relaxed))
    };
    drop(open(&place.store, "me").await);
    assert_eq!(counted(), [1, 0, 0]);
    drop(open(&place.store, "me").await);
    assert_eq!(counted(), [1, 0, 1]);
    let restarted = place.restarted();
    let session = open(&restarted, "me").await;
    let _updated = quit(session, &[]).await.unwrap();
    let figures = restarted.figures();
    assert_eq!(figures.opened_from_file.load(Ordering::Relaxed), 1);
    assert_eq!(figures.opened_unknown.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn waits_for_a_session_are_counted_and_sessions_that_need_not_wait_are_not() {
    let place = place();
    let first = open(&place.store, "me").await;
    let figures = place.store.figures();
    assert_eq!(waits(&figures.session_lock_waits), 0);
    let second = place.store.open(&shared("me"), WAIT).await;
    assert!(matches!(second, Err(OpenError::InUse)));
    assert_eq!(waits(&figures.session_lock_waits), 1, "in vain");
    assert!(figures.session_lock_waits.sum() >= WAIT);
    let view = shared("me");
    let (third, ()) = tokio::join!(place.store.open(&view, 100 * WAIT), async {
        tokio::time::sleep(WAIT).await;
        drop(first);
    });
    assert_eq!(waits(&figures.session_lock_waits), 2);
    drop(third.unwrap());
    // Nobody waits who does not want to.
    let fourth = open(&place.store, "me").await;
    let fifth = place.store.open(&shared("me"), Duration::ZERO).await;
    assert!(fifth.is_err());
    assert_eq!(waits(&figures.session_lock_waits), 2);
    drop(fourth);
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_for_a_change_of_the_mailbox_are_counted() {
    let place = place();
    place.put("new/1.M1P1.a", "Subject: 1\n\n1\n");
    let _updated = quit(open(&place.store, "me").await, &[]).await.unwrap();
    let figures = place.store.figures();
    let before = waits(&figures.mailbox_lock_waits);
    let other = File::open(place.path("restante/state/mailbox.lock")).unwrap();
    flock(&other, FlockOperation::LockExclusive).unwrap();
    let session = open(&place.store, "me").await;
    let freed = tokio::spawn(async move {
        tokio::time::sleep(WAIT).await;
        drop(other);
    });
    let _updated = quit(session, &[1]).await.unwrap();
    freed.await.unwrap();
    assert_eq!(waits(&figures.mailbox_lock_waits), before + 1);
}
