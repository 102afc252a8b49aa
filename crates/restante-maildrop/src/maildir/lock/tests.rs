//! Locks, among threads and among processes.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use super::*;
use crate::disk::{Disk, Fault, Faults, Room};

fn maildir() -> (tempfile::TempDir, Mailbox) {
    let place = tempfile::tempdir().unwrap();
    let mailbox = Mailbox::open(&Disk::default(), place.path()).unwrap();
    (place, mailbox)
}

fn try_session(path: &Path, view: &str) -> Option<SessionLock> {
    let mailbox = Mailbox::open(&Disk::default(), path).unwrap();
    SessionLock::try_acquire(&mailbox, &ViewName::new(view).unwrap()).unwrap()
}

/// Another process that holds the lock of the view `shared` until it is killed.
fn process_with_lock(path: &Path) -> Child {
    let lock = path.join("restante/state/session-shared.lock");
    let mut child = Command::new("flock")
        .args(["--exclusive", "--no-fork"])
        .arg(lock)
        .args(["sh", "-c", "echo locked; exec sleep 600"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 7];
    io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
    assert_eq!(&said, b"locked\n");
    child
}

#[test]
fn r1939_lock_1_one_session_of_a_view_at_a_time_even_in_one_process() {
    let (place, _mailbox) = maildir();
    let first = try_session(place.path(), "shared");
    assert!(first.is_some());
    assert!(try_session(place.path(), "shared").is_none());
    assert!(try_session(place.path(), "phone").is_some());
    drop(first);
    assert!(try_session(place.path(), "shared").is_some());
}

/// hMailServer unlocked a mailbox when a session ended that had *not* got the lock: the second
/// login failed, its end freed the first one's lock, and a third was let in beside the first.
#[test]
fn hmailserver_lock_freed_by_the_loser() {
    let (place, _mailbox) = maildir();
    let winner = try_session(place.path(), "shared").unwrap();
    for _ in 0..3 {
        let loser = try_session(place.path(), "shared");
        assert!(loser.is_none());
        drop(loser);
    }
    drop(winner);
    assert!(try_session(place.path(), "shared").is_some());
}

#[test]
fn a_process_that_dies_frees_its_lock() {
    let (place, _mailbox) = maildir();
    drop(try_session(place.path(), "shared"));
    let mut other = process_with_lock(place.path());
    assert!(try_session(place.path(), "shared").is_none());
    // `flock` has become `sh`, which has become `sleep`: one process with one descriptor.
    other.kill().unwrap();
    other.wait().unwrap();
    let mut looks = Looks::within(Duration::from_secs(5));
    while try_session(place.path(), "shared").is_none() {
        thread::sleep(looks.pause().expect("the dead process keeps its lock"));
    }
}

#[test]
fn a_lock_file_that_was_removed_keeps_nobody_out_but_is_never_held_twice() {
    let (place, mailbox) = maildir();
    let lock = place.path().join("restante/state/session-shared.lock");
    let before = try_session(place.path(), "shared").unwrap();
    std::fs::remove_file(&lock).unwrap();
    let after = try_session(place.path(), "shared").unwrap();
    assert!(try_session(place.path(), "shared").is_none());
    drop((before, after));
    let shared = ViewName::shared();
    assert!(
        SessionLock::try_acquire(&mailbox, &shared)
            .unwrap()
            .is_some()
    );
}

fn on_a_disk(place: &Path, room: Room) -> Mailbox {
    let faults = Arc::new(Faults::input_output(Fault::Never));
    faults.set_room(room);
    Mailbox::open(&Disk::with_faults(faults), place).unwrap()
}

#[test]
fn r1939_lock_1_a_lock_that_was_taken_before_the_disk_was_full_holds() {
    for room in [Room::Full, Room::OverQuota, Room::ReadOnly] {
        let (place, mailbox) = maildir();
        let view = ViewName::shared();
        let held = SessionLock::try_acquire(&mailbox, &view).unwrap();
        let mailbox_lock = MailboxLock::acquire(&mailbox).unwrap();
        let other = on_a_disk(place.path(), room);
        assert!(SessionLock::try_acquire(&other, &view).unwrap().is_none());
        let at_once = || MailboxLock::try_acquire_within(&other, Duration::ZERO).unwrap();
        assert!(at_once().is_none());
        drop((held, mailbox_lock));
        assert!(SessionLock::try_acquire(&other, &view).unwrap().is_some());
        assert!(at_once().is_some());
    }
}

#[test]
fn r1939_lock_1_without_files_the_locks_exclude_each_other_too() {
    for room in [Room::Full, Room::OverQuota, Room::ReadOnly] {
        let (place, _mailbox) = maildir();
        let [one, two] = [(); 2].map(|()| on_a_disk(place.path(), room));
        let view = ViewName::shared();
        let held = SessionLock::try_acquire(&one, &view).unwrap().unwrap();
        assert!(SessionLock::try_acquire(&two, &view).unwrap().is_none());
        // Who has a session's lock can have the mailbox's.
        let mailbox_lock = MailboxLock::acquire(&one).unwrap();
        let at_once = || MailboxLock::try_acquire_within(&two, Duration::ZERO).unwrap();
        assert!(at_once().is_none());
        held.release(one.disk());
        assert!(SessionLock::try_acquire(&two, &view).unwrap().is_some());
        drop(mailbox_lock);
        assert!(at_once().is_some());
        assert!(!place.path().join("restante").exists());
    }
}

#[test]
fn the_clock_is_read_or_nothing_is_trusted() {
    let (place, mailbox) = maildir();
    let view = ViewName::shared();
    let lock = SessionLock::try_acquire(&mailbox, &view).unwrap().unwrap();
    assert!(lock.now(mailbox.disk()).unwrap() > 0);
    let other = on_a_disk(place.path(), Room::ReadOnly);
    assert_eq!(lock.now(other.disk()).unwrap(), NO_TIME);
}

#[test]
fn a_file_that_was_removed_or_replaced_before_it_was_locked_is_noticed() {
    let (place, mailbox) = maildir();
    let state = mailbox.state().unwrap();
    let file = mailbox.open_append(state, b"lock").unwrap();
    let called = || is_called(mailbox.disk(), &file, state, b"lock").unwrap();
    assert!(called());
    std::fs::remove_file(place.path().join("restante/state/lock")).unwrap();
    assert!(!called());
    let _other = mailbox.open_append(state, b"lock").unwrap();
    assert!(!called());
}

#[test]
fn the_mailbox_lock_waits_and_gives_up() {
    let (place, mailbox) = maildir();
    let held = MailboxLock::acquire(&mailbox).unwrap();
    let wait = Duration::from_millis(30);
    let none = MailboxLock::try_acquire_within(&mailbox, wait).unwrap();
    assert!(none.is_none());
    let path = place.path().to_owned();
    let waiting = thread::spawn(move || {
        let mailbox = Mailbox::open(&Disk::default(), &path).unwrap();
        MailboxLock::acquire(&mailbox).map(drop)
    });
    drop(held);
    waiting.join().unwrap().unwrap();
    // A session's lock and the mailbox lock are different ones.
    let _session = try_session(place.path(), "shared").unwrap();
    MailboxLock::acquire(&mailbox).unwrap();
}

#[test]
fn a_link_in_the_place_of_a_lock_is_refused() {
    let (place, mailbox) = maildir();
    mailbox.state().unwrap();
    let target = place.path().join("target");
    let lock = place.path().join("restante/state/session-shared.lock");
    std::os::unix::fs::symlink(&target, lock).unwrap();
    assert!(SessionLock::try_acquire(&mailbox, &ViewName::shared()).is_err());
    assert!(!target.exists());
}
