//! Unique-ids by the rule, by the file, and when the file is damaged.

use std::fs;

use proptest::prelude::*;

use super::*;
use crate::disk::Disk;

struct Place {
    place: tempfile::TempDir,
    mailbox: Mailbox,
}

impl Place {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let mailbox = Mailbox::open(&Disk::default(), place.path()).unwrap();
        Self { place, mailbox }
    }

    /// What a session lists: (name, inode, known).
    fn ids(&self, listed: &[(&str, u64, bool)]) -> Vec<String> {
        let listed = listed.iter().map(|&(name, inode, known)| Listed {
            name: FileName::new(name.as_bytes()).unwrap(),
            inode,
            known,
        });
        let mut ids = UniqueIds::read(&self.mailbox).unwrap();
        ids.settle(&self.mailbox, listed.clone()).unwrap();
        let list: Vec<String> = listed
            .map(|one| String::from_utf8(ids.of(one.name, one.inode)).unwrap())
            .collect();
        for id in &list {
            assert!(UniqueId::new(id.as_bytes()).is_ok(), "{id}");
            assert_eq!(
                list.iter().filter(|other| *other == id).count(),
                1,
                "{list:?}"
            );
        }
        list
    }

    fn import(&self, present: &[&str], pairs: &[(&str, &str)]) -> Result<usize, String> {
        self.import_telling(present, pairs).map(|(count, _)| count)
    }

    /// Also whether anything was stored.
    fn import_telling(
        &self,
        present: &[&str],
        pairs: &[(&str, &str)],
    ) -> Result<(usize, bool), String> {
        let listed = present.iter().map(|name| Listed {
            name: FileName::new(name.as_bytes()).unwrap(),
            inode: 1,
            known: false,
        });
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, id)| (name.as_bytes().to_vec(), id.as_bytes().to_vec()))
            .collect();
        let mut ids = UniqueIds::read(&self.mailbox).unwrap();
        ids.import(&self.mailbox, listed, &pairs).unwrap()
    }

    fn file(&self) -> std::path::PathBuf {
        self.place.path().join("restante/state/unique-ids")
    }
}

#[test]
fn mdir_store_4_the_rule_takes_the_base_name_without_sizes() {
    let place = Place::new();
    let names = [
        ("1.M2P3.host,S=4,W=5:2,S", 1, false),
        ("2.M2P3.host,W=5", 2, false),
        ("3.x,U=7,S=4,y:2,", 3, false),
        ("=evil", 4, false),
        ("5 space", 5, false),
    ];
    let ids = place.ids(&names);
    assert_eq!(ids[..3], ["1.M2P3.host", "2.M2P3.host", "3.x,U=7,y"]);
    assert_eq!(ids[3], "=141e91e87eceac88cc531934097ea84d9772162b");
    assert_eq!((ids[3].len(), ids[4].len()), (41, 41));
    // Nothing of it needs a file.
    assert!(!place.file().exists());
    assert_eq!(place.ids(&names), ids);
}

#[test]
fn r1939_uidl_3_the_longest_base_name_that_is_an_id_has_70_octets() {
    let place = Place::new();
    let long = "1".repeat(71);
    let ids = place.ids(&[(&long, 1, false), (&long[1..], 2, false)]);
    assert!(ids[0].starts_with('=') && ids[0].len() == 41);
    assert_eq!(ids[1], long[1..]);
}

#[test]
fn prj_uidl_6_files_of_one_base_name_differ_and_keep_their_ids() {
    let place = Place::new();
    let first = place.ids(&[("1.a,S=1:2,", 10, false)]);
    // The one that was listed keeps its id, wherever the other sorts.
    let both = place.ids(&[("1.a", 11, false), ("1.a,S=1:2,", 10, true)]);
    assert_eq!(both[1], first[0]);
    assert!(both[0].starts_with("=~"));
    // From here on the file remembers, not the cache.
    let again = place.ids(&[("1.a,S=1:2,S", 10, false), ("1.a:2,", 11, false)]);
    assert_eq!(again, [both[1].clone(), both[0].clone()]);
    assert_eq!(place.ids(&[("1.a:2,", 11, false)]), [both[0].clone()]);
}

#[test]
fn r1939_uidl_5_a_stored_id_is_never_given_to_another_message() {
    let place = Place::new();
    assert_eq!(
        place.import(&["1.a", "2.b"], &[("1.a", "3.c"), ("2.b", "x")]),
        Ok(2)
    );
    assert_eq!(
        place.ids(&[("1.a", 1, false), ("2.b", 2, false)]),
        ["3.c", "x"]
    );
    // 1.a is gone for long; a message arrives whose base name is the id it had.
    let ids = place.ids(&[("3.c", 3, false)]);
    assert!(ids[0].starts_with("=~"), "{ids:?}");
    assert_eq!(place.ids(&[("3.c", 33, false)]), ids);
}

#[test]
fn mdir_store_4_an_import_overrides_an_import_but_not_another_message() {
    let place = Place::new();
    assert_eq!(place.import(&["1.a,S=1"], &[("1.a,S=1", "one")]), Ok(1));
    // The same again stores nothing.
    let again = place.import_telling(&["1.a,S=1"], &[("1.a,S=1", "one")]);
    assert_eq!(again, Ok((1, false)));
    // Other sizes in the name do not make it another message.
    assert_eq!(place.ids(&[("1.a,S=2,W=3:2,S", 1, false)]), ["one"]);
    assert_eq!(place.import(&["1.a"], &[("1.a", "two")]), Ok(1));
    assert_eq!(place.ids(&[("1.a", 1, false)]), ["two"]);
    assert_eq!(place.import(&["1.a"], &[("1.a", "one")]), Ok(1));
    for (pairs, why) in [
        (&[("2.b", "two")][..], "was another's"),
        (&[("2.b", "1.c")], "is another's by the rule"),
        (&[("2.b", "x"), ("1.c", "x")], "twice"),
        (&[("2.b", "x"), ("2.b,S=1", "y")], "two ids"),
        (&[("2.b", "x"), ("1.c", "")], "illegal"),
        (&[("2.b", "x"), ("a/b", "y")], "no name"),
    ] {
        let before = fs::read(place.file()).unwrap();
        assert!(
            place.import(&["1.a", "2.b", "1.c"], pairs).is_err(),
            "{why}"
        );
        assert_eq!(fs::read(place.file()).unwrap(), before, "{why}");
    }
}

#[test]
fn names_of_any_octets_survive_the_file() {
    let place = Place::new();
    let name = "1.a b\n%é";
    assert_eq!(place.import(&[name], &[(name, "id")]), Ok(1));
    assert_eq!(place.ids(&[(name, 1, false)]), ["id"]);
    let text = fs::read_to_string(place.file()).unwrap();
    assert!(
        text.contains(" import id - 1.a%20b%0a%25%c3%a9\n"),
        "{text}"
    );
}

#[test]
fn mdir_store_4_damage_never_gives_one_message_the_id_of_another() {
    let place = Place::new();
    let a = place.ids(&[("1.a", 10, false)]);
    let both = place.ids(&[("1.a", 10, true), ("1.a", 11, false)]);
    // Lines behind it, so that the damage is not a torn end.
    assert_eq!(place.import(&["9.z"], &[("9.z", "z")]), Ok(1));
    let text = fs::read_to_string(place.file()).unwrap();
    fs::write(place.file(), text.replace(&both[1], "=~0")).unwrap();
    // Which of the two had `1.a` is forgotten, so neither gets it.
    let ids = place.ids(&[("1.a", 10, false), ("1.a", 11, false)]);
    assert!(!ids.contains(&a[0]) && !ids.contains(&both[1]), "{ids:?}");
    // What another line says stays, and so does what was stored after the damage.
    assert_eq!(place.ids(&[("9.z", 9, false)]), ["z"]);
    assert_eq!(
        place.ids(&[("1.a", 11, false), ("1.a", 10, false)]),
        [ids[1].clone(), ids[0].clone()]
    );
}

/// Another program's file of the same base name comes after the cache was lost: nothing tells
/// which of the two programs know by this id, and a wrong guess would hide unread mail.
#[test]
fn r1939_uidl_5_of_two_files_that_nothing_tells_apart_neither_gets_the_id() {
    let place = Place::new();
    assert_eq!(place.ids(&[("1.a:2,", 20, false)]), ["1.a"]);
    let both = place.ids(&[("1.a", 10, false), ("1.a:2,", 20, false)]);
    assert!(both.iter().all(|id| id.starts_with("=~")), "{both:?}");
    // Both were listed, and the file that told them apart was put back from an older backup.
    fs::remove_file(place.file()).unwrap();
    let both = place.ids(&[("1.a", 10, true), ("1.a:2,", 20, true)]);
    assert!(both.iter().all(|id| id.starts_with("=~")), "{both:?}");
}

/// An imported id is stored for a base name: of two files that have it, the known one was meant.
#[test]
fn r1939_uidl_5_a_file_that_comes_later_does_not_get_an_imported_id() {
    let place = Place::new();
    assert_eq!(place.import(&["1.a:2,"], &[("1.a", "0001")]), Ok(1));
    assert_eq!(place.ids(&[("1.a:2,", 20, true)]), ["0001"]);
    // The one that comes sorts first.
    let both = place.ids(&[("1.a", 10, false), ("1.a:2,", 20, true)]);
    assert_eq!(both[1], "0001");
    assert!(both[0].starts_with("=~"), "{both:?}");
    assert_eq!(
        place.ids(&[("1.a", 10, false), ("1.a:2,", 20, false)]),
        both
    );
}

#[test]
fn two_names_of_one_file_do_not_collide() {
    let place = Place::new();
    let listed = ["1.a", "1.a,S=5"].map(|name| Listed {
        name: FileName::new(name.as_bytes()).unwrap(),
        inode: 10,
        known: false,
    });
    let mut ids = UniqueIds::default();
    ids.settle(&place.mailbox, listed.into_iter()).unwrap();
    assert!(listed.iter().all(|one| ids.of(one.name, 10) == b"1.a"));
    assert!(!place.file().exists());
}

#[test]
fn mdir_store_4_a_lost_file_costs_downloads_not_mail() {
    let place = Place::new();
    assert_eq!(place.import(&["1.a"], &[("1.a", "one")]), Ok(1));
    fs::remove_file(place.file()).unwrap();
    assert_eq!(place.ids(&[("1.a", 1, false)]), ["1.a"]);
}

#[test]
fn a_file_of_a_newer_version_is_not_guessed_at() {
    let place = Place::new();
    let state = place.mailbox.state().unwrap();
    let file = place.mailbox.open_append(state, FILE).unwrap();
    let title = b"restante unique-ids 2".to_vec();
    journal::append(&Disk::default(), &file, &[title]).unwrap();
    let error = UniqueIds::read(&place.mailbox).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn a_line_that_gives_away_anothers_id_is_not_believed() {
    let mut ids = UniqueIds::default();
    assert!(ids.take_line(b"import x - 1.a").is_some());
    for wrong in [
        &b"import x - 2.b"[..],
        b"import y - 1.a more",
        b"import y 1.a",
        b"import  - 1.a",
        b"export y - 1.a",
        b"assign y -1 1.a",
        b"assign y 1.5 1.a",
        b"assign y - a%2fb",
        b"assign y - a/b",
        b"assign y",
        b"",
    ] {
        assert!(
            ids.take_line(wrong).is_none(),
            "{}",
            String::from_utf8_lossy(wrong)
        );
    }
    assert_eq!(ids.of(FileName::new(b"1.a").unwrap(), 7), b"x");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// PRJ-SEC-1: what the fuzz target looks for, briefly, in each run of the tests.
    #[test]
    fn prj_sec_1_any_file_keeps_the_promises(
        text in "(restante unique-ids [12]\n)?((import|assign) [a-c]{1,3} (-|[0-9]{1,2}) [d-f%.]{0,3}\n?){0,8}"
    ) {
        fuzz_state_file(text.as_bytes());
    }

    /// PRJ-UIDL-6, R1939-UIDL-4: whatever the names, ids differ, and stay while the files stay.
    #[test]
    fn prj_uidl_6_any_listing_settles(names in prop::collection::vec("[=a-c]{1,2}(,S=[12])?(:2,)?", 1..12)) {
        let place = Place::new();
        let listed: Vec<(&str, u64, bool)> =
            names.iter().zip(1..).map(|(name, inode)| (name.as_str(), inode, false)).collect();
        let ids = place.ids(&listed);
        prop_assert_eq!(&place.ids(&listed), &ids);
        for gone in 0..listed.len() {
            let left: Vec<_> = listed.iter().enumerate().filter(|(at, _)| *at != gone).map(|(_, one)| *one).collect();
            let left_ids: Vec<_> = ids.iter().enumerate().filter(|(at, _)| *at != gone).map(|(_, id)| id.clone()).collect();
            prop_assert_eq!(place.ids(&left), left_ids);
        }
    }
}
