//! Opening mailboxes: what sessions share, and what a poll costs.

use std::{fs, os::unix::fs::MetadataExt, sync::Arc, time::Duration};

use restante_maildrop::{Maildrop, OpenError, Store, View, ViewName, disk::Call};
use restante_proto::Messages;

use super::place;
use crate::{
    fixture::{mailbox, shared},
    session::{WAIT, number, open, open_view, quit, retrieve, unique_ids},
};

#[tokio::test]
async fn the_first_login_makes_the_mailbox() {
    let place = place();
    let session = open(&place.store, "nobody.yet").await;
    assert_eq!(session.messages().count(), 0);
    for folder in ["new", "cur", "tmp"] {
        let made = place.directory.path().join("nobody.yet").join(folder);
        assert_eq!(fs::metadata(made).unwrap().mode() & 0o777, 0o700);
    }
}

#[tokio::test]
async fn prj_store_1_no_name_leads_out_of_the_store() {
    let place = place();
    for name in ["../me", "..", ".", "", "a/b", "a\0b", "/me", ".hidden"] {
        let opened = place.store.open(&shared(name), WAIT).await;
        assert!(matches!(opened, Err(OpenError::Permanent(_))), "{name:?}");
    }
    assert_eq!(fs::read_dir(place.directory.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_maildir_that_is_a_file_needs_a_person() {
    let place = place();
    fs::write(place.directory.path().join("you"), "").unwrap();
    let opened = place.store.open(&shared("you"), WAIT).await;
    assert!(matches!(opened, Err(OpenError::Permanent(_))));
}

#[tokio::test]
async fn sessions_of_a_mailbox_share_its_listing() {
    let place = place();
    place.put("cur/1.x:2,", "a: b\n");
    place.faults.set_ahead(Duration::from_secs(10));
    let one = open(&place.store, "me").await;
    let phone = View {
        name: ViewName::new("phone").unwrap(),
        ..View::shared(mailbox("me"))
    };
    let two = open_view(&place.store, &phone).await;
    assert!(Arc::ptr_eq(one.messages(), two.messages()));
    // A size that one session has measured is known to the other.
    retrieve(&one, number(1)).await.unwrap();
    let size = two
        .messages()
        .octets(number(1), restante_proto::Mode::Plain);
    assert_eq!(size.map(|octets| octets.0), Some(6));
}

#[tokio::test]
async fn a_poll_of_an_unchanged_mailbox_costs_no_listing_and_no_reading() {
    let place = place();
    for at in 1..=50 {
        place.put(&format!("cur/{at}.x:2,S"), "a: b\n");
    }
    place.faults.set_ahead(Duration::from_secs(10));
    let ids = unique_ids(&open(&place.store, "me").await);
    place.faults.restart();
    let session = open(&place.store, "me").await;
    assert_eq!(unique_ids(&session), ids);
    let calls = place.faults.count();
    for call in [
        Call::ReadDirectory,
        Call::OpenRead,
        Call::Read,
        Call::Write,
        Call::Touch,
    ] {
        assert_eq!(place.faults.count_of(call), 0, "{call:?}");
    }
    assert!(calls <= 16, "{calls} calls: {:#?}", place.faults.trace());
    drop(session);
    // A server that was restarted reads the cache's two files.
    let restarted = place.restarted();
    place.faults.restart();
    let session = open(&restarted, "me").await;
    assert_eq!(unique_ids(&session), ids);
    assert_eq!(place.faults.count_of(Call::ReadDirectory), 0);
    assert_eq!(place.faults.count_of(Call::OpenRead), 2);
    assert_eq!(place.faults.count_of(Call::Write), 0);
    assert_eq!(place.opened(), 0);
}

#[tokio::test]
async fn a_cache_that_was_deleted_or_damaged_is_made_again() {
    let place = place();
    for at in 1..=3 {
        place.put(&format!("cur/{at}.x:2,S"), "a: b\n");
    }
    place.faults.set_ahead(Duration::from_secs(10));
    let ids = unique_ids(&open(&place.store, "me").await);
    let cache = place.path("restante/cache");
    for damage in ["nothing there", "alien", "empty", "cut"] {
        for file in ["messages", "changes"] {
            let path = cache.join(file);
            match damage {
                "alien" => fs::write(path, "mailbox index of another program").unwrap(),
                "empty" => fs::write(path, "").unwrap(),
                "cut" => {
                    let good = fs::read(&path).unwrap();
                    fs::write(path, &good[..good.len() / 2]).unwrap();
                }
                _ => fs::remove_file(path).unwrap(),
            }
        }
        let session = open(&place.restarted(), "me").await;
        assert_eq!(unique_ids(&session), ids, "{damage}");
        assert_eq!(retrieve(&session, number(3)).await.unwrap(), b"a: b\r\n");
        // QUIT waits until what was learned is written.
        let _ = quit(session, &[]).await.unwrap();
        let restarted = place.restarted();
        place.faults.restart();
        assert_eq!(unique_ids(&open(&restarted, "me").await), ids);
        assert_eq!(place.faults.count_of(Call::ReadDirectory), 0, "{damage}");
    }
    // All of it, while the server runs.
    fs::remove_dir_all(cache).unwrap();
    assert_eq!(unique_ids(&open(&place.store, "me").await), ids);
}
