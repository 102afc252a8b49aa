//! Opening the next messages before they are asked for.

use std::time::Duration;

use restante_maildrop::{Maildrop, ReadError};

use super::{Place, place};
use crate::session::{number, open, quit, retrieve};

/// Waits until so many messages have been opened, or long enough to be sure that they are not.
async fn opened(place: &Place, count: usize) -> bool {
    for _ in 0..4000 {
        if place.opened() >= count {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}

fn filled() -> Place {
    let place = place();
    for at in 1..=30 {
        let filler = "x".repeat(at * 5000);
        place.put(&format!("cur/{at}.x:2,"), format!("a: {at}\n\n{filler}\n"));
    }
    place
}

#[tokio::test]
async fn messages_that_come_from_the_disk_are_opened_ahead() {
    let place = filled();
    let session = open(&place.store, "me").await;
    place.faults.set_cold(true);
    retrieve(&session, number(1)).await.unwrap();
    place.faults.restart();
    session.read_ahead(number(2)..=number(4));
    assert!(opened(&place, 3).await);
    // Hints repeat themselves; and they end where the bound is.
    session.read_ahead(number(2)..=number(4));
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(place.opened(), 3);
    for at in 2..=4 {
        let got = retrieve(&session, number(at)).await.unwrap();
        assert!(got.starts_with(format!("a: {at}\r\n").as_bytes()));
    }
    assert_eq!(place.opened(), 3, "nothing was opened twice");
    session.read_ahead(number(5)..=number(30));
    assert!(opened(&place, 3 + 8).await);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(place.opened(), 3 + 8, "not more than the bound");
    // Beyond the listing there is nothing, and nothing happens.
    session.read_ahead(number(30)..=number(u32::MAX));
    let _ = quit(session, &[]).await.unwrap();
}

#[tokio::test]
async fn messages_that_are_in_memory_are_not_opened_ahead() {
    let place = filled();
    let session = open(&place.store, "me").await;
    retrieve(&session, number(1)).await.unwrap();
    place.faults.restart();
    session.read_ahead(number(2)..=number(4));
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(place.opened(), 0);
}

#[tokio::test]
async fn what_was_opened_ahead_is_checked_again() {
    let place = filled();
    let session = open(&place.store, "me").await;
    place.faults.set_cold(true);
    retrieve(&session, number(20)).await.unwrap();
    place.faults.restart();
    session.read_ahead(number(21)..=number(22));
    assert!(opened(&place, 2).await);
    tokio::time::sleep(Duration::from_millis(20)).await;
    // As long as before: its time tells.
    let octets = std::fs::metadata(place.path("cur/21.x:2,")).unwrap().len();
    place.put("cur/21.x:2,", vec![b'y'; usize::try_from(octets).unwrap()]);
    let changed = retrieve(&session, number(21)).await;
    assert!(matches!(changed, Err(ReadError::Changed)), "{changed:?}");
    retrieve(&session, number(22)).await.unwrap();
}

/// A client may be silent for ten minutes: what was opened for it is closed long before.
#[tokio::test]
async fn what_nobody_asks_for_is_closed_soon() {
    let place = filled();
    let session = open(&place.store, "me").await;
    place.faults.set_cold(true);
    retrieve(&session, number(1)).await.unwrap();
    let at_rest = place.descriptors();
    place.faults.restart();
    session.read_ahead(number(20)..=number(23));
    assert!(opened(&place, 4).await);
    let held = at_rest + 4;
    for _ in 0..4000 {
        if place.descriptors() == held {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(place.descriptors(), held);
    tokio::time::pause();
    // A session that goes on keeps them.
    for index in 0..4 {
        tokio::time::sleep(Duration::from_secs(4)).await;
        session.read_ahead(number(20)..=number(23));
        assert_eq!(place.descriptors(), held, "{index}");
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(place.descriptors(), at_rest);
    tokio::time::resume();
    place.faults.restart();
    for at in 20..=23 {
        retrieve(&session, number(at)).await.unwrap();
    }
    assert!(place.opened() >= 4);
}
