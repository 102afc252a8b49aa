//! Maildirs belong to other programs too, and they work on them while a session is on.

use std::{fs, path::Path};

use restante_maildrop::Maildrop;
use restante_proto::Messages;

use crate::{
    fixture::{Fixture, MaildirFixture, message_files},
    session::{deliver, number, open, quit, retrieve, unique_ids},
};

/// Names below a directory of the Maildir, sorted.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn mdir_store_6_other_folders_are_not_shown_and_not_touched() {
    let fixture = MaildirFixture::begin();
    let me = fixture.path();
    for folder in [".Junk", ".Archive.2026", "restante.old"] {
        for directory in ["new", "cur", "tmp"] {
            let directory = me.join(folder).join(directory);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("1.M1P1.h"), "elsewhere\n").unwrap();
        }
    }
    deliver(fixture.store(), "me", b"here\n").await;
    let session = open(fixture.store(), "me").await;
    assert_eq!(session.messages().count(), 1);
    assert_eq!(retrieve(&session, number(1)).await.unwrap(), b"here\r\n");
    let _ = quit(session, &[1]).await.unwrap();
    for folder in [".Junk", ".Archive.2026", "restante.old"] {
        for directory in ["new", "cur", "tmp"] {
            assert_eq!(names(&me.join(folder).join(directory)), ["1.M1P1.h"]);
        }
    }
}

#[tokio::test]
async fn mdir_store_3_a_message_that_is_marked_seen_meanwhile_is_read_and_deleted() {
    let fixture = MaildirFixture::begin();
    let store = fixture.store();
    deliver(store, "me", b"1\n").await;
    deliver(store, "me", b"22\n").await;
    let session = open(store, "me").await;
    let ids = unique_ids(&session);
    // What a mail program does that shows new mail.
    for file in message_files(&fixture.path()) {
        let name = file.file_name().unwrap().to_str().unwrap();
        let seen = fixture.path().join("cur").join(format!("{name}:2,S"));
        fs::rename(&file, seen).unwrap();
    }
    assert_eq!(retrieve(&session, number(1)).await.unwrap(), b"1\r\n");
    let updated = quit(session, &[1]).await.unwrap();
    assert_eq!(updated.removed, 1);
    // MDIR-STORE-2: neither flags nor folder are part of the identity.
    let session = open(store, "me").await;
    assert_eq!(unique_ids(&session), ids[1..]);
    assert_eq!(retrieve(&session, number(1)).await.unwrap(), b"22\r\n");
}

#[tokio::test]
async fn prj_retr_6_reading_leaves_no_trace_in_the_maildir() {
    let fixture = MaildirFixture::begin();
    let store = fixture.store();
    deliver(store, "me", b"1\n").await;
    let before = (
        names(&fixture.path().join("new")),
        names(&fixture.path().join("cur")),
    );
    let session = open(store, "me").await;
    let _ = retrieve(&session, number(1)).await.unwrap();
    let _ = quit(session, &[]).await.unwrap();
    let after = (
        names(&fixture.path().join("new")),
        names(&fixture.path().join("cur")),
    );
    assert_eq!(before, after);
}

#[tokio::test]
async fn what_restante_keeps_for_itself_is_in_one_folder() {
    let fixture = MaildirFixture::begin();
    let store = fixture.store();
    deliver(store, "me", b"1\n").await;
    let _ = quit(open(store, "me").await, &[1]).await.unwrap();
    assert_eq!(names(&fixture.path()), ["cur", "new", "restante", "tmp"]);
    let own = names(&fixture.path().join("restante"));
    assert!(
        own.iter()
            .all(|name| ["cache", "state", "trash"].contains(&name.as_str()))
    );
    // What may be deleted at any time may be.
    let _ = fs::remove_dir_all(fixture.path().join("restante/cache"));
    assert_eq!(open(store, "me").await.messages().count(), 0);
}
