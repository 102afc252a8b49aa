//! The trash's names, days and limits.

mod no_room;

use std::{fs, path::Path};

use proptest::prelude::*;

use super::*;
use crate::disk::Disk;

/// 2026-01-31 12:00:05 UTC.
const NOON: u64 = 1_769_860_805;

fn mailbox() -> (tempfile::TempDir, Mailbox) {
    let place = tempfile::tempdir().unwrap();
    let mailbox = Mailbox::open(&Disk::default(), place.path()).unwrap();
    (place, mailbox)
}

fn name(name: &[u8]) -> FileName<'_> {
    FileName::new(name).unwrap()
}

fn put(mailbox: &Mailbox, at: &Path, names: &[&[u8]], deleted: u64) {
    let mut trash = Trash::new(mailbox, None);
    for file in names {
        let path = at
            .join("cur")
            .join(String::from_utf8(file.to_vec()).unwrap());
        fs::write(path, file).unwrap();
        let cur = mailbox.folder(super::super::layout::Folder::CUR);
        trash.put((cur, None), name(file), deleted).unwrap();
    }
    trash.sync().unwrap();
}

fn all(mailbox: &Mailbox) -> Vec<(Vec<u8>, u64)> {
    let mut found = Vec::new();
    walk(
        mailbox,
        |_| true,
        |trashed| {
            found.push((trashed.name.as_bytes().to_vec(), trashed.deleted));
            Ok(ControlFlow::Continue(()))
        },
    )
    .unwrap();
    found.sort();
    found
}

#[test]
fn days_have_the_names_people_give_them() {
    for (seconds, day) in [
        (0, "1970-01-01"),
        (NOON, "2026-01-31"),
        (951_782_400, "2000-02-29"),
        (4_107_542_400, "2100-03-01"),
        (SECONDS_MAX, "9999-12-31"),
        (u64::MAX, "9999-12-31"),
    ] {
        assert_eq!(day_name(seconds / DAY_SECONDS), day);
    }
    for wrong in [
        "2026-02-29",
        "2026-13-01",
        "2026-00-01",
        "2026-01-00",
        "2026-01-32",
        "1969-12-31",
        "2026-1-1",
        "2026-01-311",
        "2026_01_31",
        "+026-01-31",
        "",
    ] {
        assert_eq!(parse_day(wrong.as_bytes()), None, "{wrong}");
    }
}

proptest! {
    #[test]
    fn a_days_name_is_read_back(day in 0..=SECONDS_MAX / DAY_SECONDS) {
        let text = day_name(day);
        prop_assert_eq!(parse_day(text.as_bytes()), Some(day));
        // The names of days sort as the days do.
        prop_assert!(day == 0 || day_name(day - 1) < text);
    }

    /// PRJ-SEC-1: any name that a stranger leaves in the trash is read without panic.
    #[test]
    fn prj_sec_1_any_entry_is_read(entry in prop::collection::vec(any::<u8>(), 0..30)) {
        let _ = parse_entry(&entry);
        let _ = parse_day(&entry);
    }
}

#[test]
fn what_is_put_in_is_found_with_its_name_and_time() {
    let (place, mailbox) = mailbox();
    put(&mailbox, place.path(), &[b"1.a.h,S=5:2,RS", b"2.b.h"], NOON);
    let entry = place
        .path()
        .join("restante/trash/2026-01-31/120005.1.a.h,S=5:2,RS");
    assert_eq!(fs::read(entry).unwrap(), b"1.a.h,S=5:2,RS");
    let expected = [
        (b"1.a.h,S=5:2,RS".to_vec(), NOON),
        (b"2.b.h".to_vec(), NOON),
    ];
    assert_eq!(all(&mailbox), expected);
}

#[test]
fn the_same_name_in_the_same_second_overwrites_nothing() {
    let (place, mailbox) = mailbox();
    // Over midnight too.
    let last = NOON / DAY_SECONDS * DAY_SECONDS + DAY_SECONDS - 1;
    for _ in 0..3 {
        put(&mailbox, place.path(), &[b"1.a.h"], last);
    }
    let times: Vec<u64> = all(&mailbox).iter().map(|(_, deleted)| *deleted).collect();
    assert_eq!(times, [last, last + 1, last + 2]);
}

#[test]
fn the_longest_names_fit() {
    let (place, mailbox) = mailbox();
    for octets in [247, 248, 249, 255] {
        let long = [&b"1."[..], &b"x".repeat(octets - 6), b":2,S"].concat();
        let twin = [&b"1."[..], &b"x".repeat(octets - 7), b"y:2,S"].concat();
        put(&mailbox, place.path(), &[&long, &twin], NOON);
        let inode = |file: &[u8]| {
            let mut found = None;
            walk(
                &mailbox,
                |_| true,
                |trashed| {
                    let path = mailbox.disk().open_read(trashed.directory, trashed.entry)?;
                    if mailbox.disk().read_whole(&path, 300)? == file {
                        found = Some(mailbox.disk().facts(&path)?.inode);
                    }
                    Ok(ControlFlow::Continue(()))
                },
            )
            .unwrap();
            found.unwrap()
        };
        assert_eq!(all(&mailbox).len(), 2);
        for file in [&long, &twin] {
            let inode = inode(file);
            // Its flags may have changed since it was listed.
            let listed = file.strip_suffix(b"S").unwrap();
            let opened = open(&mailbox, name(listed), inode).unwrap().unwrap();
            assert_eq!(mailbox.disk().read_whole(&opened, 300).unwrap(), *file);
            assert!(open(&mailbox, name(listed), inode + 1).unwrap().is_none());
        }
        assert_eq!(purge(&mailbox, NOON, 10).unwrap().count, 2);
    }
}

#[test]
fn purging_is_bounded_and_spares_what_is_younger() {
    let (place, mailbox) = mailbox();
    put(
        &mailbox,
        place.path(),
        &[b"1.a", b"1.b", b"1.c"],
        NOON - 2 * DAY_SECONDS,
    );
    put(&mailbox, place.path(), &[b"2.a"], NOON - 1);
    put(&mailbox, place.path(), &[b"2.b"], NOON);
    put(&mailbox, place.path(), &[b"2.c"], NOON + 1);
    assert_eq!(purge(&mailbox, NOON, 0).unwrap().count, 0);
    assert_eq!(purge(&mailbox, NOON, 2).unwrap().count, 2);
    assert_eq!(all(&mailbox).len(), 4);
    assert_eq!(purge(&mailbox, NOON, 100).unwrap().count, 3);
    assert_eq!(all(&mailbox), [(b"2.c".to_vec(), NOON + 1)]);
    let days = fs::read_dir(place.path().join("restante/trash")).unwrap();
    assert_eq!(days.count(), 1);
}

#[test]
fn what_others_left_there_is_let_alone() {
    let (place, mailbox) = mailbox();
    put(&mailbox, place.path(), &[b"1.a"], NOON);
    let trash = place.path().join("restante/trash");
    fs::write(trash.join("note"), "").unwrap();
    fs::write(trash.join("2026-01-31/README"), "").unwrap();
    fs::create_dir(trash.join("old")).unwrap();
    fs::write(trash.join("old/120005.1.b"), "").unwrap();
    assert_eq!(all(&mailbox).len(), 1);
    assert_eq!(
        purge(&mailbox, NOON + 10 * DAY_SECONDS, 100).unwrap().count,
        1
    );
    assert!(trash.join("2026-01-31/README").exists());
    assert!(trash.join("old/120005.1.b").exists());
}

#[test]
fn a_file_that_is_gone_is_not_found() {
    let (_place, mailbox) = mailbox();
    let mut trash = Trash::new(&mailbox, None);
    let cur = mailbox.folder(super::super::layout::Folder::CUR);
    let error = trash.put((cur, None), name(b"1.a"), NOON).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}
