//! Directories of a Maildir.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
};

use super::*;

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn place(base: &Path, below: &[&str]) -> Place {
    Place {
        base: base.to_owned(),
        below: below.iter().map(Into::into).collect(),
    }
}

#[test]
fn a_missing_maildir_is_made_for_its_owner_alone() {
    let base = tempfile::tempdir().unwrap();
    let place = place(base.path(), &["example.com", "me"]);
    let disk = Disk::default();
    Mailbox::open_or_create(&disk, &place).unwrap();
    for made in ["", "me", "me/new", "me/cur", "me/tmp"] {
        assert_eq!(
            mode(base.path().join("example.com").join(made)),
            0o700,
            "{made}"
        );
    }
    // Nothing of ours before it is needed.
    assert!(!place.path().join("restante").exists());
    Mailbox::open_or_create(&disk, &place).unwrap();
}

#[test]
fn a_volume_that_is_not_mounted_is_not_an_empty_mailbox() {
    let base = tempfile::tempdir().unwrap();
    let place = place(&base.path().join("volume"), &["me"]);
    let error = Mailbox::open_or_create(&Disk::default(), &place).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(!base.path().join("volume").exists());
}

#[test]
fn prj_store_1_links_inside_a_maildir_are_not_followed() {
    let base = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    for name in ["new", "cur"] {
        let root = base.path().join(name);
        fs::create_dir(&root).unwrap();
        symlink(other.path(), root.join(name)).unwrap();
        assert!(Mailbox::open(&disk, &root).is_err());
    }
    for name in ["tmp", "restante"] {
        let root = base.path().join(name);
        fs::create_dir(&root).unwrap();
        symlink(other.path(), root.join(name)).unwrap();
        let mailbox = Mailbox::open(&disk, &root).unwrap();
        assert!(mailbox.tmp().is_err() || mailbox.state().is_err());
    }
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
}

#[test]
fn what_is_made_takes_mode_and_group_of_the_maildir() {
    let base = tempfile::tempdir().unwrap();
    let root = base.path().join("box");
    fs::create_dir(&root).unwrap();
    // Only root may give files away; others see that their own group stays.
    let root_runs = fs::metadata(&root).unwrap().uid() == ROOT;
    if root_runs {
        chown(&root, Some(4321), Some(8765)).unwrap();
    }
    fs::set_permissions(&root, fs::Permissions::from_mode(0o2770)).unwrap();
    let mailbox = Mailbox::open(&Disk::default(), &root).unwrap();
    let state = mailbox.state().unwrap();
    mailbox.create_new(state, b"file").unwrap();
    mailbox.open_append(state, b"log").unwrap();
    let found = |path: &str| fs::metadata(root.join(path)).unwrap();
    for directory in ["new", "cur", "restante", "restante/state"] {
        assert_eq!(mode(root.join(directory)), 0o2770, "{directory}");
    }
    for file in ["restante/state/file", "restante/state/log"] {
        assert_eq!(mode(root.join(file)), 0o660, "{file}");
        let like = found("");
        let made = found(file);
        assert_eq!((made.uid(), made.gid()), (like.uid(), like.gid()), "{file}");
    }
    if root_runs {
        assert_eq!(found("restante/state/log").uid(), 4321);
    }
}

/// Whoever can open a lock's file can hold the lock and keep the user out.
#[test]
fn what_is_ours_is_closed_to_those_who_may_not_write_the_maildir() {
    for (of_maildir, of_directory, of_file) in [
        (0o755, 0o700, 0o600),
        (0o750, 0o700, 0o600),
        (0o777, 0o770, 0o660),
        (0o2775, 0o2770, 0o660),
        (0o700, 0o700, 0o600),
    ] {
        let base = tempfile::tempdir().unwrap();
        fs::set_permissions(base.path(), fs::Permissions::from_mode(of_maildir)).unwrap();
        let mailbox = Mailbox::open(&Disk::default(), base.path()).unwrap();
        let (state, trash) = (mailbox.state().unwrap(), mailbox.trash().unwrap());
        mailbox.open_append(state, b"lock").unwrap();
        mailbox.create_new_own(state, b"file").unwrap();
        mailbox.own_directory(trash, b"day").unwrap();
        let ours = base.path().join("restante");
        for directory in ["", "state", "trash", "trash/day"] {
            assert_eq!(mode(ours.join(directory)), of_directory, "{directory}");
        }
        for file in ["state/lock", "state/file"] {
            assert_eq!(mode(ours.join(file)), of_file, "{file}");
        }
        // Mail is for whom the Maildir is for.
        let tmp = mailbox.tmp().unwrap();
        mailbox.create_new(tmp, b"mail").unwrap();
        assert_eq!(mode(base.path().join("tmp/mail")), of_maildir & 0o666);
        assert_eq!(mode(base.path().join("tmp")), of_maildir);
    }
}

/// Whoever is not in the Maildir's group makes files of his own group: what the Maildir's may do,
/// that one must not.
#[cfg(feature = "testing")]
#[test]
fn a_group_that_cannot_be_given_gets_no_rights() {
    use std::sync::Arc;

    use crate::disk::{Call, Fault, Faults};

    let base = tempfile::tempdir().unwrap();
    fs::set_permissions(base.path(), fs::Permissions::from_mode(0o770)).unwrap();
    let mailbox = Mailbox::open(&Disk::default(), base.path()).unwrap();
    let tmp = mailbox.tmp().unwrap();
    let disk = Disk::default();
    let file = disk.create_new(tmp, b"file", 0o600).unwrap();
    let mut like = disk.facts(tmp).unwrap();
    like.mode &= 0o666;
    // Looking at the file, then giving it away, which fails.
    let faults = Arc::new(Faults::not_permitted(Fault::Once(1)));
    adopt(&Disk::with_faults(Arc::clone(&faults)), &file, &like).unwrap();
    assert_eq!(faults.count_of(Call::Adopt), 2);
    assert_eq!(mode(base.path().join("tmp/file")), 0o600);
    adopt(&disk, &file, &like).unwrap();
    assert_eq!(mode(base.path().join("tmp/file")), 0o660);
}

#[test]
fn one_maildir_has_one_identity() {
    let base = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let one = Mailbox::open_or_create(&disk, &place(base.path(), &["one"])).unwrap();
    symlink(base.path().join("one"), base.path().join("again")).unwrap();
    let again = Mailbox::open(&disk, &base.path().join("again")).unwrap();
    let two = Mailbox::open_or_create(&disk, &place(base.path(), &["two"])).unwrap();
    assert_eq!(one.identity(), again.identity());
    assert_ne!(one.identity(), two.identity());
}
