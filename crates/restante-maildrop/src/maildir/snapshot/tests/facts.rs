//! What is known of files, believed, corrected and remembered.

use super::*;
use crate::maildir::layout::Folder;

#[test]
fn mdir_store_3_a_moved_or_flagged_message_keeps_what_is_known_of_it() {
    let place = place();
    place.put("new/1.a", "a: b\n");
    place.put("cur/2.b:2,", "a: b\n");
    let found = place.load_first(LATER);
    for index in 0..2 {
        let measured = Size::Measured(Measurement {
            octets: Octets(6),
            form: Form::Stored,
            packing: Packing::Plain,
        });
        assert!(found.measured(index, measured));
    }
    place.rename("new/1.a", "cur/1.a:2,S");
    place.rename("cur/2.b:2,", "cur/2.b:2,RS");
    let (again, cost) = place.cost(|| place.load_again(&found, LATER));
    assert_eq!(cost, [2, 0, 0]);
    assert_eq!(listed(&again), ["cur/1.a:2,S", "cur/2.b:2,RS"]);
    assert_eq!(sizes(&again), [Some(6), Some(6)]);
    assert_eq!(ids(&again), ids(&found));
    let (fresh, cost) = place.cost(|| place.load_first(LATER));
    assert_eq!((sizes(&fresh), cost), (sizes(&again), [0, 0, 0]));
}

#[test]
fn another_file_under_a_known_name_is_looked_at() {
    let place = place();
    place.put("cur/1.a,S=5,W=6:2,", "a: b\n");
    let found = place.load_first(LATER);
    place.put("tmp/x", "a: b\nc: d\n");
    place.rename("tmp/x", "cur/1.a,S=5,W=6:2,");
    let again = place.load_again(&found, LATER);
    assert_eq!((sizes(&found), sizes(&again)), (vec![Some(6)], vec![None]));
}

#[test]
fn mdir_store_5_a_size_in_a_name_is_believed_if_the_other_is_right() {
    let place = place();
    for (name, content) in [
        ("1.a,S=5,W=6", "a: b\n"),
        ("2.b,S=5", "a: b\n"),
        ("3.c,W=6", "a: b\n"),
        // PRJ-SIZE-6: the stored size is not the size on the wire.
        ("4.d,S=6,W=6", "a: b\n"),
        ("5.e,S=5,W=4", "a: b\n"),
        ("6.f,S=5,W=99999", "a: b\n"),
        ("7.g,S=5,W=18446744073709551615", "a: b\n"),
        ("8.h,S=0,W=0", ""),
    ] {
        place.put(&format!("new/{name}"), content);
    }
    let found = place.load_first(LATER);
    let believed = [Some(6), None, None, None, None, None, None, Some(0)];
    assert_eq!(sizes(&found), believed);
}

#[test]
fn prj_size_5_what_was_wrong_is_right_in_the_next_session() {
    let place = place();
    place.put("cur/1.a,S=5,W=7:2,", "a: b\n");
    place.put("cur/2.b,S=5,W=6:2,", "a: b\n");
    let found = place.load_first(LATER);
    assert_eq!(sizes(&found), [Some(7), Some(6)]);
    let right = Size::Measured(Measurement {
        octets: Octets(6),
        form: Form::Stored,
        packing: Packing::Plain,
    });
    assert!(!found.measured(0, right));
    // This session has told the other size.
    assert_eq!(sizes(&found), [Some(7), Some(6)]);
    let (again, cost) = place.cost(|| place.load_again(&found, LATER));
    assert_eq!((sizes(&again), cost), (vec![Some(6), Some(6)], [0, 0, 0]));
    assert_eq!(again.columns().size(0), right);
    assert_eq!(sizes(&place.load_first(LATER)), [Some(6), Some(6)]);
}

#[test]
fn a_file_that_turned_out_to_be_another_is_looked_at_again() {
    let place = place();
    place.put("cur/1.a,S=5,W=6:2,", "a: b\n");
    place.put("cur/2.b:2,", "a: b\n");
    let found = place.load_first(LATER);
    // In place: the directory does not show it.
    place.put("cur/1.a,S=5,W=6:2,", "a: b\nc: d\n");
    assert!(Arc::ptr_eq(&found, &place.load_again(&found, LATER)));
    found.look_again(0);
    let (again, cost) = place.cost(|| place.load_again(&found, LATER));
    assert_eq!(cost, [0, 1, 0]);
    assert_eq!(sizes(&again), [None, None]);
    // A process that was killed before the next session has left it in the cache.
    found.save(&place.mailbox);
    assert_eq!(sizes(&place.load_first(LATER)), [None, None]);
    assert_eq!(place.load_first(LATER).columns().stored(0).octets, 10);
}

#[test]
fn sizes_that_were_measured_are_remembered() {
    let place = place();
    for number in 1..=3 {
        place.put(&format!("cur/{number}.a:2,"), "a: b\n");
    }
    let found = place.load_first(LATER);
    assert_eq!(found.first_unmeasured(usize::MAX), Some(0));
    let measured = Size::Measured(Measurement {
        octets: Octets(6),
        form: Form::Stored,
        packing: Packing::Plain,
    });
    for index in [0, 1] {
        found.measured(index, measured);
    }
    found.measured(2, Size::Unmeasurable);
    assert_eq!(found.first_unmeasured(usize::MAX), None);
    assert_eq!(sizes(&found), [Some(6), Some(6), Some(0)]);
    found.save(&place.mailbox);
    // What could not be measured is tried again.
    assert_eq!(sizes(&place.load_first(LATER)), [Some(6), Some(6), None]);
    assert_eq!(
        sizes(&place.load_again(&found, LATER)),
        [Some(6), Some(6), None]
    );
}

#[test]
fn stored_unique_ids_that_change_are_listed_at_once() {
    let place = place();
    place.put("cur/1.a:2,", "a: b\n");
    let found = place.load_first(LATER);
    assert_eq!(ids(&found), ["1.a"]);
    let pairs = [(b"1.a".to_vec(), b"0001".to_vec())];
    let mut stored = UniqueIds::read(&place.mailbox).unwrap();
    let listing = found.columns().rows().map(|row| Listed {
        name: row.name,
        inode: row.stored.inode,
        known: false,
    });
    let imported = stored.import(&place.mailbox, listing, &pairs).unwrap();
    assert_eq!(imported, Ok((1, true)));
    let (again, cost) = place.cost(|| place.load_again(&found, LATER));
    assert_eq!((ids(&again), cost), (vec!["0001".to_owned()], [0, 0, 0]));
    assert_eq!(ids(&place.load_first(LATER)), ["0001"]);
}

#[test]
fn a_mailbox_of_100_000_messages_takes_at_most_16_mb() {
    let mut columns = ColumnsBuilder::default();
    for number in 0..100_000_u64 {
        let name = format!(
            "{}.M{:06}P12345.mail.example.com,S=123456,W=125678:2,RS",
            1_700_000_000 + number,
            number % 1_000_000
        );
        let stored = Stored {
            inode: number,
            octets: 123_456,
            modified: 5,
        };
        let name = FileName::new(name.as_bytes()).unwrap();
        let row = Row {
            folder: Folder::CUR,
            name,
            stored,
            size: Size::claimed(name, stored.octets),
            saved: None,
        };
        columns.push(row).unwrap();
    }
    let place = place();
    let found = Scanned::unchanged(columns.build(), Stamps::default());
    let ids = FileStamp::now(&place.mailbox, UniqueIds::FILE).unwrap();
    let snapshot = Snapshot::new(&place.mailbox, found, ids, InCache::default(), 0).unwrap();
    assert_eq!(snapshot.table().count(), 100_000);
    let octets = snapshot.memory_octets();
    assert!(octets <= 16_000_000, "{octets}");
}
