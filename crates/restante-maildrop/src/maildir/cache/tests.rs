//! The cache on the disk.

use std::{fs, path::PathBuf, sync::Arc};

use super::*;
use crate::{
    disk::{Fault, Faults},
    maildir::{columns::Stored, name::FileName},
    said::said,
};

struct Place {
    directory: tempfile::TempDir,
    faults: Arc<Faults>,
    mailbox: Mailbox,
}

fn place() -> Place {
    place_with(Fault::Never)
}

fn place_with(fault: Fault) -> Place {
    let directory = tempfile::tempdir().unwrap();
    Mailbox::open(&Disk::default(), directory.path()).unwrap();
    let faults = Arc::new(Faults::input_output(fault));
    let disk = Disk::with_faults(Arc::clone(&faults));
    let mailbox = Mailbox::open(&disk, directory.path()).unwrap();
    Place {
        directory,
        faults,
        mailbox,
    }
}

impl Place {
    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join("restante/cache").join(name)
    }
}

/// Rows named by these numbers, as `earlier` has them where it does.
fn columns(numbers: impl Iterator<Item = u64>, earlier: &Columns) -> Columns {
    let mut columns = ColumnsBuilder::default();
    for number in numbers {
        let name = format!("{number}.M1P1.host,S=10,W=12");
        let name = FileName::new(name.as_bytes()).unwrap();
        let known = earlier.rows().find(|row| row.name == name);
        let stored = Stored {
            inode: number,
            octets: 10,
            modified: 5,
        };
        columns
            .push(known.unwrap_or(Row {
                folder: Folder::NEW,
                name,
                stored,
                size: Size::claimed(name, 10),
                saved: None,
            }))
            .unwrap();
    }
    columns.build()
}

fn stamps() -> Stamps {
    let stamp = |inode| Stamp {
        inode,
        modified: 1,
        changed: 2,
        trusted: true,
    };
    Stamps::new(vec![stamp(1), stamp(2)])
}

fn save_columns(
    place: &Place,
    columns: &Columns,
    edition: Option<Edition>,
) -> io::Result<Option<Edition>> {
    let now = Remembered {
        columns,
        stamps: &stamps(),
        corrections: &Corrections::new(),
    };
    Ok(save(&place.mailbox, now, edition)?.map(|(edition, _)| edition))
}

fn names(columns: &Columns) -> Vec<Vec<u8>> {
    columns
        .rows()
        .map(|row| row.name.as_bytes().to_vec())
        .collect()
}

#[test]
fn what_is_saved_is_loaded() {
    let place = place();
    let (nothing, lines) = said(|| load(&place.mailbox));
    assert_eq!((nothing.columns.len(), lines.len()), (0, 0));
    let saved = columns(1..=5, &Columns::default());
    let edition = save_columns(&place, &saved, None).unwrap();
    let loaded = load(&place.mailbox);
    assert_eq!(names(&loaded.columns), names(&saved));
    assert_eq!(loaded.stamps, stamps());
    assert_eq!(loaded.edition, edition);
    assert_eq!(
        loaded.columns.row(4).size,
        Size::Claimed(restante_proto::Octets(12))
    );
    let indices: Vec<_> = (0..5).map(|index| loaded.columns.saved(index)).collect();
    assert_eq!(indices, [Some(0), Some(1), Some(2), Some(3), Some(4)]);
}

#[test]
fn a_small_change_does_not_rewrite_what_is_large() {
    let place = place();
    let many = columns(1..=1000, &Columns::default());
    let edition = save_columns(&place, &many, None).unwrap();
    let before = fs::read(place.file("messages")).unwrap();
    // One has come, two are gone.
    let loaded = load(&place.mailbox).columns;
    let changed = columns((3..=1000).chain([2000]), &loaded);
    assert_eq!(save_columns(&place, &changed, edition).unwrap(), edition);
    assert_eq!(fs::read(place.file("messages")).unwrap(), before);
    assert!(fs::metadata(place.file("changes")).unwrap().len() < 300);
    let again = load(&place.mailbox);
    assert_eq!(names(&again.columns), names(&changed));
    assert_eq!(again.columns.saved(0), Some(2));
    assert_eq!(again.columns.saved(998), None);
    // A change of much does.
    let few = columns(501..=1000, &again.columns);
    assert_ne!(save_columns(&place, &few, edition).unwrap(), edition);
    assert_eq!(names(&load(&place.mailbox).columns), names(&few));
}

#[test]
fn rows_of_another_edition_are_not_referred_to() {
    let place = place();
    let one = columns(1..=100, &Columns::default());
    let edition = save_columns(&place, &one, None).unwrap();
    // Another session replaces both files meanwhile.
    let other = columns(50..=200, &Columns::default());
    save_columns(&place, &other, None).unwrap();
    let mine = columns(1..=99, &one);
    assert_ne!(save_columns(&place, &mine, edition).unwrap(), edition);
    assert_eq!(names(&load(&place.mailbox).columns), names(&mine));
}

#[test]
fn damage_at_every_octet_is_logged_and_read_as_absent() {
    let place = place();
    let saved = columns(1..=3, &Columns::default());
    let edition = save_columns(&place, &saved, None).unwrap();
    let changed = columns(2..=5, &load(&place.mailbox).columns);
    save_columns(&place, &changed, edition).unwrap();
    for file in ["messages", "changes"] {
        let good = fs::read(place.file(file)).unwrap();
        for at in 0..good.len() {
            let mut damaged = good.clone();
            damaged[at] ^= 0x40;
            fs::write(place.file(file), damaged).unwrap();
            let (loaded, lines) = said(|| load(&place.mailbox));
            assert_eq!(lines.len(), 1, "{file} {at}: {lines:?}");
            assert!(lines[0].contains("cache file not used") && lines[0].contains(file));
            assert_eq!(loaded.stamps, Stamps::default());
            let expected = if file == "messages" { 0 } else { 3 };
            assert_eq!(loaded.columns.len(), expected, "{file} {at}");
        }
        fs::write(place.file(file), good).unwrap();
    }
    assert_eq!(load(&place.mailbox).columns.len(), 4);
}

#[test]
fn odd_files_in_the_place_of_the_cache_are_logged_and_replaced() {
    let place = place();
    let saved = columns(1..=3, &Columns::default());
    let outside = place.directory.path().join("outside");
    fs::write(&outside, "not a cache").unwrap();
    place.mailbox.cache().unwrap();
    std::os::unix::fs::symlink(&outside, place.file("messages")).unwrap();
    std::os::unix::fs::symlink(&outside, place.file("draft")).unwrap();
    let (loaded, lines) = said(|| load(&place.mailbox));
    assert_eq!((loaded.columns.len(), lines.len()), (0, 1));
    // A link is no edition of ours, and is replaced, not followed.
    let written = save_columns(&place, &saved, None);
    assert!(written.unwrap().is_some());
    assert_eq!(fs::read(outside).unwrap(), b"not a cache");
    assert_eq!(load(&place.mailbox).columns.len(), 3);
    fs::remove_file(place.file("messages")).unwrap();
    fs::create_dir(place.file("messages")).unwrap();
    let (loaded, lines) = said(|| load(&place.mailbox));
    assert_eq!((loaded.columns.len(), lines.len()), (0, 1));
}

#[test]
fn a_row_to_be_looked_at_again_is_left_out_and_its_folder_listed() {
    let place = place();
    let saved = columns(1..=3, &Columns::default());
    let corrected = Size::Claimed(restante_proto::Octets(11));
    let corrections = Corrections::from([(0, None), (1, Some(corrected))]);
    let now = Remembered {
        columns: &saved,
        stamps: &stamps(),
        corrections: &corrections,
    };
    save(&place.mailbox, now, None).unwrap();
    let loaded = load(&place.mailbox);
    assert_eq!(names(&loaded.columns), names(&saved)[1..]);
    assert_eq!(loaded.columns.row(0).size, corrected);
    assert_eq!(
        loaded.stamps,
        Stamps::new(vec![Stamp::default(), stamps().of(Folder::CUR)])
    );
    // These columns still say otherwise; they must not count as saved.
    assert_eq!(saved.saved(1), None);
}

/// Another thread fails to measure the message while this one writes: its correction comes too
/// late, and the process may die before the next save.
#[test]
fn a_row_that_was_not_measured_is_left_out_and_its_folder_listed() {
    for edition_fits in [false, true] {
        let place = place();
        let saved = columns(1..=100, &Columns::default());
        let edition = save_columns(&place, &saved, None).unwrap();
        let unknown = Size::Unmeasurable;
        let mut rows = ColumnsBuilder::default();
        for (row, index) in saved.rows().zip(0..) {
            let size = if index == 7 { unknown } else { row.size };
            rows.push(Row { size, ..row }).unwrap();
        }
        let edition = edition.filter(|_| edition_fits);
        save_columns(&place, &rows.build(), edition).unwrap();
        let loaded = load(&place.mailbox);
        assert_eq!(loaded.columns.len(), 99);
        assert_eq!(
            loaded.stamps,
            Stamps::new(vec![Stamp::default(), stamps().of(Folder::CUR)])
        );
    }
}

#[test]
fn a_write_that_fails_leaves_the_old_cache_or_the_new_one() {
    let first = columns(1..=3, &Columns::default());
    let second = columns(2..=300, &first);
    let save_both = |place: &Place| {
        let edition = save_columns(place, &first, None).unwrap();
        let before = place.faults.count();
        let saved = save_columns(place, &second, edition);
        (before, place.faults.count(), saved.is_ok())
    };
    let (before, after, saved) = save_both(&place());
    assert!(saved && after > before + 5);
    for at in before..after {
        let place = place_with(Fault::Once(at));
        save_both(&place);
        let loaded = load(&place.mailbox);
        let found = names(&loaded.columns);
        if loaded.stamps != stamps() {
            // `messages` was replaced, `changes` was not: facts, and nothing to trust.
            assert_eq!(loaded.stamps, Stamps::default(), "call {at}");
            assert_eq!(found, names(&second), "call {at}");
        } else {
            assert!(
                [names(&first), names(&second)].contains(&found),
                "call {at}"
            );
        }
    }
}
