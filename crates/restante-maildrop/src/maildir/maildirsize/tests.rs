//! The account of what a mailbox holds.

use std::fs;

use super::*;
use crate::disk::Disk;

fn mailbox() -> (tempfile::TempDir, Mailbox) {
    let place = tempfile::tempdir().unwrap();
    let mailbox = Mailbox::open(&Disk::default(), place.path()).unwrap();
    (place, mailbox)
}

fn one(name: &[u8], octets: u64) -> Change {
    let mut change = Change::default();
    change.add(FileName::new(name).unwrap(), octets);
    change
}

#[test]
fn mdir_store_6_changes_are_summed_up() {
    let (place, mailbox) = mailbox();
    let path = place.path().join("maildirsize");
    fs::write(&path, "100S\n5 1\n").unwrap();
    let clock = Clock::system();
    let mut change = one(b"1.a,S=7", 100);
    change.add(FileName::new(b"1.b").unwrap(), 20);
    // Those marked as trash do not count.
    change.add(FileName::new(b"1.c:2,T").unwrap(), 50);
    enter(&mailbox, &clock, change);
    let mut change = Change::default();
    change.subtract(FileName::new(b"1.b").unwrap(), 20);
    enter(&mailbox, &clock, change);
    enter(&mailbox, &clock, Change::default());
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "100S\n5 1\n27 2\n-20 -1\n"
    );
}

#[test]
fn a_long_account_is_calculated_afresh() {
    let (place, mailbox) = mailbox();
    let path = place.path().join("maildirsize");
    for folder in ["", ".Junk", ".Trash"] {
        for directory in ["new", "cur"] {
            let directory = place.path().join(folder).join(directory);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("1.a,S=10"), "12345").unwrap();
            fs::write(directory.join("2.b:2,S"), "12345").unwrap();
            fs::write(directory.join("3.c:2,T"), "12345").unwrap();
        }
    }
    fs::write(place.path().join(".file"), "").unwrap();
    let long = format!("100S,1C\n{}", "1 1\n".repeat(1279));
    assert!(long.len() >= 5120);
    fs::write(&path, long).unwrap();
    enter(&mailbox, &Clock::system(), one(b"9.z,S=1", 1));
    // INBOX and Junk: two directories each, two counted messages of 10 and 5 octets.
    assert_eq!(fs::read_to_string(&path).unwrap(), "100S,1C\n60 8\n");
    assert_eq!(fs::read_dir(place.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn an_alien_account_fails_nothing() {
    let (place, mailbox) = mailbox();
    let path = place.path().join("maildirsize");
    let clock = Clock::system();
    fs::write(&path, "x".repeat(6000)).unwrap();
    enter(&mailbox, &clock, one(b"1.a", 1));
    assert_eq!(fs::metadata(&path).unwrap().len(), 6000);
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("elsewhere", &path).unwrap();
    enter(&mailbox, &clock, one(b"1.a", 1));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    enter(&mailbox, &clock, one(b"1.a", 1));
    assert!(!place.path().join("elsewhere").exists());
}
