//! Folders besides INBOX in a Maildir++.

use std::{
    fs,
    os::unix::fs::symlink,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use restante_maildrop::{
    Access, Edit, FolderName, Maildrop, Show, Shows, Store, TrashSelection, View, ViewName,
    disk::Call,
};
use restante_proto::{Messages, Mode};

use super::{Place, compressed::gzip, crlf_form, place};
use crate::{
    fixture::shared,
    session::{number, numbers, open, open_view, quit, retrieve, size, unique_ids},
};

fn showing(folders: &str) -> View {
    View {
        shows: Shows {
            folders: folders.parse().unwrap(),
            ..Shows::default()
        },
        ..shared("me")
    }
}

fn only(folder: &str) -> View {
    View {
        shows: Shows {
            only: Some(FolderName::new(folder).unwrap()),
            ..Shows::default()
        },
        ..shared("me")
    }
}

fn make(place: &Place, folder: &str) {
    for directory in ["new", "cur", "tmp"] {
        fs::create_dir_all(place.path(folder).join(directory)).unwrap();
    }
}

#[tokio::test]
async fn a_poll_of_unchanged_folders_costs_no_listing_and_no_reading() {
    let place = place();
    make(&place, ".Junk");
    for at in 1..=50 {
        place.put(&format!("cur/{at}.x:2,S"), "a: b\n");
        place.put(&format!(".Junk/cur/{at}.y:2,S"), "Subject: a\n\nb\n");
    }
    place.faults.set_ahead(Duration::from_secs(10));
    let view = showing("Junk=[junk],Absent");
    for store in [place.store.clone(), place.restarted()] {
        let session = open_view(&store, &view).await;
        let ids = unique_ids(&session);
        assert_eq!(ids.len(), 100);
        let last = number(100);
        session.measure(Mode::Plain, last).await.unwrap();
        drop(quit(session, &[]).await.unwrap());
        place.faults.restart();
        let again = open_view(&store, &view).await;
        assert_eq!(unique_ids(&again), ids);
        // What was measured once is known, tag and all.
        assert!(numbers(&again).all(|one| again.messages().octets(one, Mode::Plain).is_some()));
        drop(quit(again, &[]).await.unwrap());
        assert_eq!(place.faults.count_of(Call::ReadDirectory), 0);
        assert_eq!(place.opened(), 0);
    }
    // A new process knows it from the cache.
    let restarted = place.restarted();
    place.faults.restart();
    let session = open_view(&restarted, &view).await;
    assert_eq!(session.messages().count(), 100);
    assert!(numbers(&session).all(|one| session.messages().octets(one, Mode::Plain).is_some()));
    assert_eq!(place.opened(), 0);
}

#[tokio::test]
async fn prj_size_5_a_name_does_not_tell_the_size_of_a_tagged_message() {
    let place = place();
    make(&place, ".Junk");
    place.put("cur/1.x,S=14,W=17:2,", "Subject: a\n\nb\n");
    place.put(".Junk/cur/2.x,S=14,W=17:2,", "Subject: a\n\nb\n");
    let session = open_view(&place.store, &showing("Junk=[junk]")).await;
    let told = |at| session.messages().octets(number(at), Mode::Plain);
    assert_eq!((told(1).map(|one| one.0), told(2)), (Some(17), None));
    assert_eq!(size(&session, number(2)).await.0, 24);
    drop(session);
    let untagged = open(&place.store, "me").await;
    assert_eq!(untagged.messages().count(), 1);
}

#[tokio::test]
async fn tags_are_put_into_large_and_into_packed_messages() {
    let place = place();
    make(&place, ".Junk");
    let long = format!("To: me\nSubject: a\n\n{}", "b .\n".repeat(60_000));
    let header = format!("{}Subject: a\n\nb\n", "X: y\n".repeat(20_000));
    let crlf = "Subject: a\r\n\r\n.b\r\n".repeat(9_000);
    let small = "A: b\n\n.c";
    let mut expected = Vec::new();
    for (at, content) in (1..)
        .step_by(3)
        .zip([&long, &header, &crlf, &small.to_owned()])
    {
        place.put(&format!(".Junk/cur/{at}.plain:2,"), content);
        place.put(
            &format!(".Junk/cur/{}.gz:2,", at + 1),
            gzip(content.as_bytes()),
        );
        let zstd = zstd::encode_all(content.as_bytes(), 3).unwrap();
        place.put(&format!(".Junk/cur/{}.zst:2,", at + 2), zstd);
        let tagged = match content.as_str() {
            "A: b\n\n.c" => "A: b\nSubject: [junk]\n\n.c".to_owned(),
            // Nobody holds so much of a header in memory.
            content if content.starts_with("X: ") => content.to_owned(),
            content => content.replacen("Subject: ", "Subject: [junk] ", 1),
        };
        expected.extend([(); 3].map(|()| crlf_form(tagged.as_bytes())));
    }
    place.faults.set_cold(true);
    for (store, ahead) in [(place.store.clone(), false), (place.restarted(), true)] {
        let session = open_view(&store, &showing("Junk=[junk]")).await;
        for (number, expected) in numbers(&session).zip(&expected) {
            if ahead {
                session.read_ahead(number..=number);
            }
            assert!(
                retrieve(&session, number).await.unwrap() == *expected,
                "{number:?}"
            );
            assert_eq!(size(&session, number).await.0, expected.len() as u64);
        }
        assert_eq!(session.messages().count(), 12);
    }
}

/// Whoever names folders at random leaves nothing behind, and leads nowhere.
#[tokio::test]
async fn a_folder_that_does_not_exist_is_not_made() {
    let place = place();
    place.put("cur/1.x:2,", "a\n");
    drop(open(&place.store, "me").await);
    let entries = |path: &str| fs::read_dir(place.path(path)).unwrap().count();
    let before = (
        entries(""),
        entries("restante/cache"),
        entries("restante/state"),
    );
    for name in ["Junk", "a.b", "restante", "cur"] {
        let session = open_view(&place.store, &only(name)).await;
        assert_eq!(session.messages().count(), 0);
        drop(quit(session, &[]).await.unwrap());
    }
    let after = (
        entries(""),
        entries("restante/cache"),
        entries("restante/state"),
    );
    assert_eq!(after, before);
}

#[tokio::test]
async fn prj_store_1_a_folder_that_leads_elsewhere_is_not_shown_and_the_rest_is() {
    let place = place();
    place.put("cur/1.x:2,", "a\n");
    let elsewhere = tempfile::tempdir().unwrap();
    for directory in ["new", "cur", "tmp"] {
        fs::create_dir(elsewhere.path().join(directory)).unwrap();
    }
    fs::write(elsewhere.path().join("cur/2.x:2,"), "not yours\n").unwrap();
    symlink(elsewhere.path(), place.path(".Junk")).unwrap();
    place.put(".File", "no folder");
    fs::create_dir_all(place.path(".Half/cur")).unwrap();
    for view in [showing("Junk,File,Half"), only("INBOX")] {
        let session = open_view(&place.store, &view).await;
        assert_eq!(unique_ids(&session), [b"1.x"]);
    }
    let session = open_view(&place.store, &only("Junk")).await;
    assert_eq!(session.messages().count(), 0);
}

/// A Maildir that knows INBOX, INBOX with the tagged Junk, which the account shows, and with Junk as
/// it is, which somebody has opened by its name; both views.
async fn knowing_two_sets() -> (Place, View, View) {
    let place = place();
    make(&place, ".Junk");
    place.put("cur/1.x:2,", "a\n");
    place.put(".Junk/cur/2.x:2,", "Subject: a\n\nb\n");
    let view = showing("Junk=[junk]");
    let named = View {
        shows: Shows {
            only: only("Junk").shows.only,
            ..view.shows.clone()
        },
        ..view.clone()
    };
    for view in [&shared("me"), &view, &named] {
        let session = open_view(&place.store, view).await;
        for number in numbers(&session) {
            size(&session, number).await;
        }
        drop(quit(session, &[]).await.unwrap());
    }
    (place, view, named)
}

fn sets(place: &Place) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.path("restante/cache")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_dir()).collect()
}

/// Lets nothing have been written to the sets for so long.
fn age(place: &Place, days: u64) {
    let then = SystemTime::now() - Duration::from_secs(days * 24 * 60 * 60);
    for set in sets(place) {
        fs::File::open(set).unwrap().set_modified(then).unwrap();
    }
}

async fn sweep(place: &Place, view: &View) {
    let sweep = Edit::Sweep(view.policy, view.shows.folders.clone());
    let swept = place.store.edit(&view.mailbox, sweep).await;
    assert_eq!(swept.unwrap().count, 0);
}

/// Somebody has opened a folder by its name once, or an account was shown others.
#[tokio::test]
async fn what_is_known_of_sets_that_nobody_looks_at_goes_with_the_sweep() {
    let (place, view, named) = knowing_two_sets().await;
    sweep(&place, &view).await;
    assert_eq!(sets(&place).len(), 2);
    let foreign = place.path("restante/cache/somebody's");
    fs::create_dir(&foreign).unwrap();
    for (days, left) in [(29, 3), (31, 2)] {
        age(&place, days);
        // A session might come back to what it knows.
        let session = open_view(&place.store, &view).await;
        sweep(&place, &view).await;
        assert_eq!(sets(&place).len(), 3);
        drop(session);
        sweep(&place, &view).await;
        assert_eq!(sets(&place).len(), left, "{days}");
    }
    assert!(foreign.exists());
    // What is looked at is known all the same, and the folder can be named again.
    let restarted = place.restarted();
    place.faults.restart();
    let session = open_view(&restarted, &view).await;
    assert!(numbers(&session).all(|one| session.messages().octets(one, Mode::Plain).is_some()));
    assert_eq!(place.opened(), 0);
    drop(session);
    let session = open_view(&restarted, &named).await;
    assert_eq!(size(&session, number(1)).await.0, 17);
    drop(quit(session, &[]).await.unwrap());
    assert_eq!(sets(&place).len(), 3);
}

#[tokio::test]
async fn a_set_that_cannot_be_removed_fails_no_sweep_and_goes_with_the_next() {
    let (place, view, named) = knowing_two_sets().await;
    for (call, name) in [
        (Call::ReadDirectory, "cache"),
        (Call::Unlink, "messages"),
        (Call::Unlink, "changes"),
    ] {
        age(&place, 31);
        place.faults.spoil(call, name, rustix::io::Errno::IO);
        sweep(&place, &view).await;
        assert_eq!(sets(&place).len(), 2, "{call:?} {name}");
        place.faults.heal();
    }
    age(&place, 31);
    sweep(&place, &view).await;
    assert_eq!(sets(&place).len(), 1);
    let session = open_view(&place.store, &named).await;
    assert_eq!(size(&session, number(1)).await.0, 17);
}

/// Restante's own directory, which no other program knows, knows INBOX and Junk.
#[tokio::test]
async fn a_copy_in_another_folder_has_an_id_of_its_own() {
    let place = place();
    make(&place, ".Junk");
    place.put("cur/1.x:2,", "a\n");
    let known = open(&place.store, "me").await;
    assert_eq!(unique_ids(&known), [b"1.x"]);
    drop(quit(known, &[]).await.unwrap());
    place.put(".Junk/cur/1.x:2,", "b\n");
    let session = open_view(&place.store, &showing("Junk")).await;
    let ids = unique_ids(&session);
    // The one that programs have seen keeps its own.
    assert_eq!(ids.len(), 2);
    let first = ids.iter().position(|id| id == b"1.x").unwrap();
    let at = number(u32::try_from(first).unwrap() + 1);
    assert_eq!(retrieve(&session, at).await.unwrap(), b"a\r\n");
    drop(quit(session, &[at.get()]).await.unwrap());
    let session = open_view(&place.store, &showing("Junk")).await;
    assert_eq!(retrieve(&session, number(1)).await.unwrap(), b"b\r\n");
    assert_eq!(session.messages().count(), 1);
}

#[tokio::test]
async fn mdir_store_6_maildirsize_counts_what_leaves_a_folder_and_comes_back() {
    let place = place();
    make(&place, ".Junk");
    make(&place, ".Trash");
    place.put("maildirsize", "1000S\n30 3\n");
    place.put(".Junk/cur/1.x,S=10:2,", "a: b\n\ncde\n");
    place.put(".Trash/cur/2.x,S=10:2,", "a: b\n\ncde\n");
    let session = open_view(&place.store, &showing("Junk,Trash")).await;
    drop(quit(session, &[1, 2]).await.unwrap());
    let account = || fs::read_to_string(place.path("maildirsize")).unwrap();
    assert_eq!(account(), "1000S\n30 3\n-10 -1\n");
    let all = restante_maildrop::Edit::Restore(restante_maildrop::TrashSelection::All);
    let edited = restante_maildrop::Store::edit(&place.store, &shared("me").mailbox, all).await;
    assert_eq!(edited.unwrap().count, 2);
    assert_eq!(account(), "1000S\n30 3\n-10 -1\n10 1\n");
    assert_eq!(fs::read_dir(place.path(".Junk/cur")).unwrap().count(), 1);
}

/// Nothing but the folder tells them apart.
#[tokio::test]
async fn copies_from_two_folders_are_restored_for_one_device_each_to_its_own() {
    let place = place();
    make(&place, ".Junk");
    place.put("cur/1.x:2,", "a\n");
    place.put(".Junk/cur/1.x:2,", "b\n");
    let device = ViewName::of_device("phone");
    let edit = async |edit| {
        let edited = place.store.edit(&shared("me").mailbox, edit).await;
        edited.unwrap().count
    };
    let (show, access) = (Show::All, Access::Full);
    edit(Edit::AddDevice {
        device: device.clone(),
        show,
        access,
    })
    .await;
    let session = open_view(&place.store, &showing("Junk")).await;
    drop(quit(session, &[1, 2]).await.unwrap());
    let selection = TrashSelection::All;
    assert_eq!(edit(Edit::RestoreFor { selection, device }).await, 2);
    for (directory, content) in [("cur", "a\n"), (".Junk/cur", "b\n")] {
        let mut files = fs::read_dir(place.path(directory)).unwrap();
        let file = files.next().unwrap().unwrap();
        assert_eq!(fs::read_to_string(file.path()).unwrap(), content);
        assert!(files.next().is_none());
    }
}

/// On a full disk a folder's place in the trash cannot be made: the message goes all the same.
#[tokio::test]
async fn what_was_in_a_folder_goes_to_the_trash_where_there_is_no_room() {
    let place = place();
    make(&place, ".Junk");
    place.put("cur/1.x:2,", "a\n");
    place.put(".Junk/cur/2.x:2,", "b\n");
    let view = showing("Junk");
    let session = open_view(&place.store, &view).await;
    drop(quit(session, &[1]).await.unwrap());
    let session = open_view(&place.store, &view).await;
    place
        .faults
        .spoil(Call::MakeDirectory, ".Junk", rustix::io::Errno::NOSPC);
    drop(quit(session, &[1]).await.unwrap());
    place.faults.heal();
    assert_eq!(open_view(&place.store, &view).await.messages().count(), 0);
}
