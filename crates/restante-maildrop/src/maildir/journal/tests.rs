//! Journals whole, torn and damaged.

use std::{fs, path::PathBuf, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::disk::{Fault, Faults};

struct Place {
    _place: tempfile::TempDir,
    path: PathBuf,
    file: File,
}

fn journal() -> Place {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("journal");
    let root = Disk::default().open_root(place.path()).unwrap();
    let file = Disk::default()
        .open_append(&root, b"journal", 0o600)
        .unwrap();
    Place {
        _place: place,
        path,
        file,
    }
}

fn lines(lines: &[&str]) -> Vec<Vec<u8>> {
    lines.iter().map(|line| line.as_bytes().to_vec()).collect()
}

fn read_all(place: &Place) -> (Vec<String>, Soundness) {
    let mut contents = Vec::new();
    let found = read(&Disk::default(), &place.file, |content| {
        contents.push(String::from_utf8_lossy(content).into_owned());
        true
    });
    (contents, found.unwrap())
}

#[test]
fn what_was_appended_is_read() {
    let place = journal();
    assert_eq!(read_all(&place), (vec![], Soundness::default()));
    append(&Disk::default(), &place.file, &lines(&["one", "two 2"])).unwrap();
    append(&Disk::default(), &place.file, &lines(&["three!"])).unwrap();
    let (contents, found) = read_all(&place);
    assert_eq!(contents, ["one", "two 2", "three!"]);
    let sound = Soundness {
        good: 3,
        damaged: 0,
    };
    assert_eq!(found, sound);
    let text = fs::read_to_string(&place.path).unwrap();
    assert_eq!(text.lines().next(), Some("7a6c86f1 one"));
}

#[test]
fn a_torn_end_is_no_damage_and_never_comes_true() {
    for cut in 1.."xxxxxxxx three\n".len() {
        let place = journal();
        append(&Disk::default(), &place.file, &lines(&["one", "two"])).unwrap();
        append(&Disk::default(), &place.file, &lines(&["three"])).unwrap();
        let whole = fs::metadata(&place.path).unwrap().len();
        place.file.set_len(whole - cut as u64).unwrap();
        let (contents, found) = read_all(&place);
        assert_eq!(contents, ["one", "two"]);
        assert_eq!(found.damaged, 0, "cut by {cut}");
        append(&Disk::default(), &place.file, &lines(&["four"])).unwrap();
        let (contents, found) = read_all(&place);
        assert_eq!(contents, ["one", "two", "four"], "cut by {cut}");
        assert_eq!(found.damaged, 0, "cut by {cut}");
    }
}

#[test]
fn a_failed_append_is_taken_back() {
    for fault in [Fault::Once(2), Fault::Once(3)] {
        let place = journal();
        append(&Disk::default(), &place.file, &lines(&["one"])).unwrap();
        let faults = Arc::new(Faults::no_space(fault));
        let disk = Disk::with_faults(Arc::clone(&faults));
        // Looks at size and end, writes, syncs, and cuts.
        append(&disk, &place.file, &lines(&["two", "three"])).unwrap_err();
        append(&disk, &place.file, &lines(&["four"])).unwrap();
        let (contents, found) = read_all(&place);
        assert_eq!(contents, ["one", "four"], "{fault:?}: {:?}", faults.trace());
        assert_eq!(found.damaged, 0);
    }
}

#[test]
fn damage_costs_its_line_alone() {
    let place = journal();
    append(
        &Disk::default(),
        &place.file,
        &lines(&["one", "two", "three"]),
    )
    .unwrap();
    let good = fs::read(&place.path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x04;
        fs::write(&place.path, &bad).unwrap();
        let (contents, found) = read_all(&place);
        let merged = good[at] == b'\n';
        let left = match merged && at + 1 < good.len() {
            true => 1,
            false => 2,
        };
        assert_eq!(contents.len(), left, "octet {at}: {contents:?}");
        // The last line may be torn; any other is damaged.
        let last = at >= good.len() - "xxxxxxxx three\n".len();
        let torn = last || (merged && left == 1 && contents == ["one"]);
        assert_eq!(found.damaged, usize::from(!torn), "octet {at}");
    }
}

#[test]
fn a_line_without_end_is_not_kept_in_memory() {
    let place = journal();
    let long = [b"x".repeat(10 * READ_OCTETS), b"\n".to_vec()].concat();
    fs::write(&place.path, long).unwrap();
    append(&Disk::default(), &place.file, &lines(&["one"])).unwrap();
    let (contents, found) = read_all(&place);
    assert_eq!(contents, ["one"]);
    assert_eq!(found.damaged, 1);
}

#[test]
fn octets_outside_the_visible_ones_are_escaped() {
    let mut out = Vec::new();
    escape(b"a%b c\n\xff.d", &mut out);
    assert_eq!(out, b"a%25b%20c%0a%ff.d");
    for wrong in ["%", "%2", "%2g", "%25%", "%0A", "%61", "a b", "%+1"] {
        assert_eq!(unescape(wrong.as_bytes()), None, "{wrong}");
    }
}

proptest! {
    #[test]
    fn escaping_is_undone(octets in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut text = Vec::new();
        escape(&octets, &mut text);
        prop_assert!(text.iter().all(|octet| (0x21..=0x7E).contains(octet)));
        prop_assert_eq!(unescape(&text), Some(octets));
    }

    /// PRJ-SEC-1: whatever the file holds, it is read without panic, and appending works.
    #[test]
    fn prj_sec_1_any_octets_are_read(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        let place = journal();
        fs::write(&place.path, &octets).unwrap();
        let _ = read_all(&place);
        append(&Disk::default(), &place.file, &lines(&["one"])).unwrap();
        let (contents, _) = read_all(&place);
        prop_assert_eq!(contents.last().map(String::as_str), Some("one"));
    }
}
