//! Removing marked messages, whatever other programs do meanwhile.

use std::{fs, os::unix::fs::MetadataExt, path::Path, sync::Arc, time::Duration};

use super::*;
use crate::{
    FolderName, ShownFolder,
    disk::{Call, Disk, Fault, Faults},
    maildir::{notices::Notices, trial::names},
};

struct Place {
    place: tempfile::TempDir,
    mailbox: Mailbox,
    retention: Retention,
}

/// A message as a session lists it.
struct Message {
    folder: Folder,
    name: String,
    inode: u64,
}

impl Place {
    fn new() -> Self {
        Self::with_disk(Disk::default(), Duration::from_secs(1000))
    }

    fn with_disk(disk: Disk, undelete_for: Duration) -> Self {
        let place = tempfile::tempdir().unwrap();
        Mailbox::open(&Disk::default(), place.path()).unwrap();
        let mailbox = Mailbox::open(&disk, place.path()).unwrap();
        let retention = Retention::new(
            Clock::by_hand(Duration::from_secs(1_769_860_805)),
            undelete_for,
        );
        Self {
            place,
            mailbox,
            retention,
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.place.path().join(name)
    }

    fn write(&self, folder: Folder, name: &str) -> Message {
        let path = self.path(directory(folder)).join(name);
        fs::write(&path, name).unwrap();
        Message {
            folder,
            name: name.to_owned(),
            inode: fs::metadata(&path).unwrap().ino(),
        }
    }

    fn remove(&self, messages: &[&Message]) -> Result<Updated, UpdateError> {
        self.remove_marked(messages, false)
    }

    fn remove_marked(&self, messages: &[&Message], twin: bool) -> Result<Updated, UpdateError> {
        let marked: Vec<Marked<'_>> = messages
            .iter()
            .map(|message| Marked {
                folder: message.folder,
                name: FileName::new(message.name.as_bytes()).unwrap(),
                inode: message.inode,
                twin,
                homes: Homes::ALL,
            })
            .collect();
        remove(&self.mailbox, &self.retention, Asker::Outside, &marked)
    }

    fn names(&self, directory: &str) -> Vec<String> {
        names(&self.path(directory))
    }

    fn trashed(&self) -> Vec<String> {
        self.names("restante/trash/2026-01-31")
    }
}

fn directory(folder: Folder) -> &'static str {
    folder.as_str()
}

#[test]
fn r1939_quit_2_marked_messages_go_to_the_trash() {
    let place = Place::new();
    let one = place.write(Folder::NEW, "1.a");
    let two = place.write(Folder::CUR, "2.b:2,S");
    place.write(Folder::CUR, "3.c:2,");
    fs::write(place.path("maildirsize"), "9S\n").unwrap();
    assert_eq!(place.remove(&[&one, &two]).unwrap().removed, 2);
    assert_eq!(place.names("new"), [""; 0]);
    assert_eq!(place.names("cur"), ["3.c:2,"]);
    assert_eq!(place.trashed(), ["120005.1.a", "120005.2.b:2,S"]);
    // MDIR-STORE-6
    let account = fs::read_to_string(place.path("maildirsize")).unwrap();
    assert_eq!(account, "9S\n-10 -2\n");
}

#[test]
fn nothing_is_kept_for_those_who_want_nothing_kept() {
    let place = Place::with_disk(Disk::default(), Duration::ZERO);
    let one = place.write(Folder::NEW, "1.a");
    assert_eq!(place.remove(&[&one]).unwrap().removed, 1);
    assert_eq!(place.names("new"), [""; 0]);
    assert!(place.trashed().is_empty());
}

#[test]
fn mdir_store_3_a_renamed_message_is_found_by_its_base_name() {
    let place = Place::new();
    let one = place.write(Folder::NEW, "1.a");
    let two = place.write(Folder::CUR, "2.b:2,");
    fs::rename(place.path("new/1.a"), place.path("cur/1.a:2,F")).unwrap();
    fs::rename(place.path("cur/2.b:2,"), place.path("cur/2.b:2,RS")).unwrap();
    place.write(Folder::CUR, "2.bb:2,");
    assert_eq!(place.remove(&[&one, &two]).unwrap().removed, 2);
    assert_eq!(place.names("cur"), ["2.bb:2,"]);
    assert_eq!(place.trashed(), ["120005.1.a:2,F", "120005.2.b:2,RS"]);
}

#[test]
fn a_message_that_another_program_removed_counts_as_deleted() {
    let place = Place::new();
    let one = place.write(Folder::NEW, "1.a");
    let two = place.write(Folder::NEW, "2.b");
    fs::remove_file(place.path("new/1.a")).unwrap();
    assert_eq!(place.remove(&[&one, &two]).unwrap().removed, 1);
}

#[test]
fn a_message_that_was_rewritten_under_its_name_is_the_message() {
    let place = Place::new();
    let one = place.write(Folder::NEW, "1.a");
    place.write(Folder::CUR, "tagged");
    fs::rename(place.path("cur/tagged"), place.path("new/1.a")).unwrap();
    assert_eq!(place.remove(&[&one]).unwrap().removed, 1);
    assert_eq!(place.names("new"), [""; 0]);
}

#[test]
fn r1939_quit_4_of_two_files_with_one_base_name_the_marked_one_goes() {
    for gone in [false, true] {
        let place = Place::new();
        let one = place.write(Folder::CUR, "1.a:2,");
        let twin = place.write(Folder::NEW, "1.a");
        if gone {
            fs::remove_file(place.path("new/1.a")).unwrap();
        } else {
            fs::rename(place.path("new/1.a"), place.path("cur/1.a:2,S")).unwrap();
        }
        let removed = place.remove_marked(&[&twin], true).unwrap().removed;
        assert_eq!(removed, usize::from(!gone));
        assert_eq!(place.names("cur"), [one.name]);
    }
}

#[test]
fn r1939_quit_4_a_twin_that_took_the_name_is_not_touched() {
    let place = Place::new();
    let one = place.write(Folder::CUR, "1.a:2,");
    place.write(Folder::CUR, "1.a:2,S");
    fs::rename(place.path("cur/1.a:2,S"), place.path("cur/1.a:2,")).unwrap();
    assert_eq!(place.remove_marked(&[&one], true).unwrap().removed, 0);
    assert_eq!(place.names("cur"), ["1.a:2,"]);
}

#[test]
fn r1939_quit_4_what_cannot_be_told_apart_is_not_removed() {
    let place = Place::new();
    let one = place.write(Folder::NEW, "1.a");
    // Out of sight, but there: otherwise a copy may be given its inode.
    fs::rename(place.path("new/1.a"), place.path("kept")).unwrap();
    // Copies, with inodes of their own.
    place.write(Folder::CUR, "1.a:2,");
    place.write(Folder::CUR, "1.a:2,S");
    let removed = place.remove(&[&one]);
    let Err(UpdateError::Incomplete {
        failed: 1, cause, ..
    }) = removed
    else {
        panic!("{removed:?}");
    };
    assert_eq!(cause.to_string(), "several files of one base name");
    assert_eq!(place.names("cur").len(), 2);
}

/// Listed in Junk, which it may leave, and moved to INBOX since, which it may not.
#[test]
fn r1939_quit_4_a_copy_that_may_leave_does_not_go_for_the_message_that_may_not() {
    for is_moved in [true, false] {
        let mut place = Place::new();
        for directory in ["new", "cur"] {
            fs::create_dir_all(place.path(".Junk").join(directory)).unwrap();
        }
        let name = FolderName::new("Junk").unwrap();
        let junk = ShownFolder { name, tag: None };
        let notices = Notices::default();
        place.mailbox.open_besides(&notices, [junk]).unwrap();
        let inode = |name: &str| fs::metadata(place.path(name)).unwrap().ino();
        fs::write(place.path(".Junk/cur/1.a:2,"), "1").unwrap();
        let listed = inode(".Junk/cur/1.a:2,");
        let marked = Marked {
            folder: place.mailbox.folders().nth(3).unwrap(),
            name: FileName::new(b"1.a:2,").unwrap(),
            inode: listed,
            twin: false,
            homes: Homes::of([false, true].into_iter()),
        };
        fs::rename(place.path(".Junk/cur/1.a:2,"), place.path("kept")).unwrap();
        match is_moved {
            true => fs::rename(place.path("kept"), place.path("cur/1.a:2,S")).unwrap(),
            // Copies both: nobody can tell which is the message.
            false => fs::write(place.path("cur/1.a:2,S"), "1").unwrap(),
        }
        fs::write(place.path(".Junk/cur/1.a:2,"), "2").unwrap();
        let removed = remove(&place.mailbox, &place.retention, Asker::Outside, &[marked]);
        match removed {
            Ok(updated) => assert_eq!((updated.removed, is_moved), (0, true)),
            Err(error) => assert!(!is_moved, "{error}"),
        }
        assert_eq!(place.names("cur"), ["1.a:2,S"]);
        assert_eq!(place.names(".Junk/cur"), ["1.a:2,"]);
    }
}

/// Whether `path` was synced after the last change in it that the trace knows.
fn synced_last(trace: &[crate::disk::Passed], path: &Path) -> bool {
    let changed = trace.iter().rposition(|one| {
        let to = one.to.as_deref().and_then(Path::parent);
        one.call == Call::RenameNoReplace && (one.path.parent() == Some(path) || to == Some(path))
    });
    let synced = trace
        .iter()
        .rposition(|one| one.call == Call::SyncDirectory && one.path == path);
    changed.is_some() && synced > changed
}

#[test]
fn prj_quit_6_all_directories_are_synced_before_the_answer() {
    let faults = Arc::new(Faults::input_output(Fault::Never));
    let place = Place::with_disk(
        Disk::with_faults(Arc::clone(&faults)),
        Duration::from_secs(9),
    );
    let one = place.write(Folder::NEW, "1.a");
    let two = place.write(Folder::CUR, "2.b:2,");
    faults.restart();
    let _ = place.remove(&[&one, &two]).unwrap();
    let trace = faults.trace();
    for directory in ["new", "cur", "restante/trash/2026-01-31"] {
        assert!(synced_last(&trace, &place.path(directory)), "{directory}");
    }
    let made = trace
        .iter()
        .rposition(|one| one.call == Call::MakeDirectory);
    let trash = place.path("restante/trash");
    let synced = trace
        .iter()
        .rposition(|one| one.call == Call::SyncDirectory && one.path == trash);
    assert!(synced > made);
}

#[test]
fn r1939_quit_3_whichever_call_fails_the_answer_is_true_and_nothing_is_lost() {
    let mut incomplete = 0;
    for keep in [Duration::ZERO, Duration::from_secs(1000)] {
        for at in 0.. {
            let faults = Arc::new(Faults::input_output(Fault::Once(at)));
            let disk = Disk::with_faults(Arc::clone(&faults));
            let place = tempfile::tempdir().unwrap();
            Mailbox::open(&Disk::default(), place.path()).unwrap();
            let path = |name: &str| place.path().join(name);
            for name in ["new/1.a", "cur/2.b:2,", "new/3.c", "new/4.d"] {
                fs::write(path(name), name).unwrap();
            }
            let inode = |name: &str| fs::metadata(path(name)).unwrap().ino();
            let listed = [("1.a", inode("new/1.a")), ("3.c", inode("new/3.c"))];
            // Renamed since, so that it must be found again.
            fs::rename(path("new/3.c"), path("cur/3.c:2,S")).unwrap();
            let Ok(mailbox) = Mailbox::open(&disk, place.path()) else {
                continue;
            };
            let retention =
                Retention::new(Clock::by_hand(Duration::from_secs(1_769_860_805)), keep);
            let marked = listed.map(|(name, inode)| Marked {
                folder: Folder::NEW,
                name: FileName::new(name.as_bytes()).unwrap(),
                inode,
                twin: false,
                homes: Homes::ALL,
            });
            let removed = remove(&mailbox, &retention, Asker::Outside, &marked);
            assert_eq!(
                names(&path("new"))
                    .iter()
                    .filter(|name| *name == "4.d")
                    .count(),
                1
            );
            assert!(
                names(&path("cur")).contains(&"2.b:2,".to_owned()),
                "call {at}"
            );
            let left = names(&path("new")).len() + names(&path("cur")).len() - 2;
            match removed {
                Ok(updated) => assert_eq!((updated.removed, left), (2, 0), "call {at}"),
                Err(UpdateError::Incomplete { marked, failed, .. }) => {
                    assert_eq!(marked, 2);
                    assert!(left <= failed && failed <= 2, "call {at}");
                    incomplete += 1;
                }
                Err(error) => panic!("call {at}: {error}"),
            }
            if !keep.is_zero() {
                let trashed = names(&path("restante/trash/2026-01-31"));
                assert_eq!(trashed.len() + left, 2, "call {at}");
            }
            if faults.count() <= at {
                break;
            }
        }
    }
    assert!(incomplete > 10, "only {incomplete} of the calls mattered");
}
