//! What RETR gets, whatever other programs do to the file.

use std::{fs, os::unix::fs::symlink};

use restante_maildrop::{Maildrop, ReadError};
use restante_proto::{Messages, Mode};

use super::{crlf_form, place};
use crate::{
    contract::TRICKY,
    session::{number, open, quit, retrieve, size},
};

#[tokio::test]
async fn prj_retr_5_stored_octets_go_out_as_they_are() {
    let place = place();
    let mut messages: Vec<Vec<u8>> = TRICKY
        .iter()
        .map(|(_, stored, _)| stored.to_vec())
        .collect();
    // A line of 100 kB, one octet more and less than what is read at once, and 64 MB.
    messages.push([b"a: b\n\n", &vec![b'x'; 100_000][..], b"\nlast\n"].concat());
    for octets in [65_535, 65_536, 65_537, 131_072] {
        messages.push(vec![b'y'; octets]);
        messages.push(b".dots\r\n".repeat(octets / 7));
    }
    messages.push(
        b"a line of sixty-four octets, as many messages have them, roughly\n".repeat(1 << 20),
    );
    for (at, stored) in messages.iter().enumerate() {
        place.put(&format!("cur/{}.x:2,", at + 1), stored);
    }
    let session = open(&place.store, "me").await;
    assert_eq!(session.messages().count() as usize, messages.len());
    for (at, stored) in (1..).zip(&messages) {
        let expected = crlf_form(stored);
        let got = retrieve(&session, number(at)).await.unwrap();
        assert!(got == expected, "message {at} of {} octets", stored.len());
        assert_eq!(size(&session, number(at)).await.0, expected.len() as u64);
    }
}

#[tokio::test]
async fn mdir_store_3_a_message_that_was_renamed_is_found_by_its_base_name() {
    let place = place();
    for at in 1..=9 {
        place.put(&format!("new/{at}.x"), format!("a: {at}\n"));
    }
    let session = open(&place.store, "me").await;
    for at in 1..=9 {
        place.rename(&format!("new/{at}.x"), &format!("cur/{at}.x:2,S"));
    }
    assert_eq!(retrieve(&session, number(3)).await.unwrap(), b"a: 3\r\n");
    // One listing has shown where all of them are.
    place.faults.restart();
    assert_eq!(retrieve(&session, number(4)).await.unwrap(), b"a: 4\r\n");
    let listings = place
        .faults
        .count_of(restante_maildrop::disk::Call::ReadDirectory);
    assert_eq!(listings, 0);
    // And again, and back.
    place.rename("cur/4.x:2,S", "cur/4.x:2,RS");
    place.rename("cur/5.x:2,S", "new/5.x");
    assert_eq!(retrieve(&session, number(4)).await.unwrap(), b"a: 4\r\n");
    assert_eq!(retrieve(&session, number(5)).await.unwrap(), b"a: 5\r\n");
    // What is deleted is the file that was read.
    let _ = quit(session, &[4, 5]).await.unwrap();
    assert!(!place.path("cur/4.x:2,RS").exists());
    assert!(!place.path("new/5.x").exists());
    assert!(place.path("cur/6.x:2,S").exists());
}

#[tokio::test]
async fn a_renamed_message_is_found_where_directories_tell_strange_inodes() {
    let place = place();
    place.faults.set_strange_inodes(true);
    place.put("new/1.x", "a: b\n");
    let session = open(&place.store, "me").await;
    place.rename("new/1.x", "cur/1.x:2,S");
    assert_eq!(retrieve(&session, number(1)).await.unwrap(), b"a: b\r\n");
}

#[tokio::test]
async fn prj_lock_6_a_message_that_is_gone_is_told_and_shifts_no_other() {
    let place = place();
    for at in 1..=3 {
        place.put(&format!("cur/{at}.x:2,"), format!("a: {at}\n"));
    }
    let session = open(&place.store, "me").await;
    fs::remove_file(place.path("cur/2.x:2,")).unwrap();
    let gone = retrieve(&session, number(2)).await;
    assert!(matches!(gone, Err(ReadError::Gone)), "{gone:?}");
    assert_eq!(retrieve(&session, number(3)).await.unwrap(), b"a: 3\r\n");
    assert_eq!(session.messages().count(), 3);
    drop(session);
    assert_eq!(open(&place.store, "me").await.messages().count(), 2);
}

#[tokio::test]
async fn a_file_that_was_written_to_since_it_was_listed_is_refused_and_right_next_time() {
    for large in [1, 100_000] {
        let place = place();
        let content = vec![b'x'; large];
        place.put("cur/1.x:2,", &content);
        place.put("cur/2.x:2,", "a: 2\n");
        let session = open(&place.store, "me").await;
        session.measure(Mode::Plain, number(2)).await.unwrap();
        place.put("cur/1.x:2,", [&content[..], b"more"].concat());
        let changed = retrieve(&session, number(1)).await;
        assert!(matches!(changed, Err(ReadError::Changed)), "{changed:?}");
        assert_eq!(retrieve(&session, number(2)).await.unwrap(), b"a: 2\r\n");
        drop(session);
        // The directory does not show it; the session before has left word.
        for store in [&place.store, &place.restarted()] {
            let next = open(store, "me").await;
            let got = retrieve(&next, number(1)).await.unwrap();
            assert_eq!(got.len(), large + 4 + 2);
            assert_eq!(size(&next, number(1)).await.0, got.len() as u64);
        }
    }
}

#[tokio::test]
async fn another_file_in_the_place_of_a_message_is_not_sent() {
    let place = place();
    let secret = place.directory.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    for at in 1..=3 {
        place.put(&format!("cur/{at}.x:2,"), "secret");
    }
    let session = open(&place.store, "me").await;
    for at in 1..=3 {
        fs::remove_file(place.path(&format!("cur/{at}.x:2,"))).unwrap();
    }
    symlink(&secret, place.path("cur/1.x:2,")).unwrap();
    fs::create_dir(place.path("cur/2.x:2,")).unwrap();
    let pipe = std::process::Command::new("mkfifo")
        .arg(place.path("cur/3.x:2,"))
        .status();
    assert!(pipe.unwrap().success());
    for at in 1..=3 {
        let refused = retrieve(&session, number(at)).await;
        assert!(
            matches!(refused, Err(ReadError::Changed)),
            "{at}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn a_message_another_program_has_put_in_the_trash_of_restante_is_still_read() {
    let place = place();
    place.put("cur/1.x:2,", "a: b\n");
    place.put("cur/2.x:2,", vec![b'x'; 100_000]);
    let reader = open(&place.store, "me").await;
    let phone = restante_maildrop::View {
        name: restante_maildrop::ViewName::new("phone").unwrap(),
        ..crate::fixture::shared("me")
    };
    let other = crate::session::open_view(&place.store, &phone).await;
    let _ = quit(other, &[1, 2]).await.unwrap();
    assert_eq!(retrieve(&reader, number(1)).await.unwrap(), b"a: b\r\n");
    assert_eq!(retrieve(&reader, number(2)).await.unwrap().len(), 100_002);
}

#[tokio::test]
async fn two_files_of_one_base_name_are_read_and_deleted_apart() {
    let place = place();
    place.put("cur/1.x:2,", "a: cur\n");
    place.put("new/1.x", "a: new\n");
    let session = open(&place.store, "me").await;
    let mut got = Vec::new();
    for at in 1..=2 {
        got.push(retrieve(&session, number(at)).await.unwrap());
    }
    let first_is_cur = got[0] == b"a: cur\r\n";
    got.sort();
    assert_eq!(got, [b"a: cur\r\n", b"a: new\r\n"]);
    let _ = quit(session, &[1]).await.unwrap();
    assert_eq!(place.path("cur/1.x:2,").exists(), !first_is_cur);
    assert_eq!(place.path("new/1.x").exists(), first_is_cur);
}
