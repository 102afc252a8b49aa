//! What is written is what Dovecot would write, and what is read back.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::foreign::{DovecotUidls, Origin};

fn entry(base: &str, unique_id: &str) -> Entry {
    Entry {
        base: base.into(),
        name: base.into(),
        unique_id: unique_id.into(),
    }
}

fn rewritten(list: &str, entries: &[Entry]) -> Option<String> {
    let list = list.as_bytes();
    let new = Uidlist::parse(list).unwrap().rewritten(list, entries)?;
    Some(String::from_utf8(new).unwrap())
}

#[test]
fn new_messages_get_uids_and_others_keep_their_lines() {
    let list = "3 V16 N5 Gabc Xmore\n1 W9 :1.a\n3 S8  Gid Pold :2.b,S=8:2,S\n";
    let entries = [entry("3.c,S=4", "3.c"), entry("4.d", "x")];
    assert_eq!(
        rewritten(list, &entries).unwrap(),
        "3 V16 N7 Gabc Xmore\n1 W9 :1.a\n3 S8 Gid Pold :2.b,S=8\n5 P3.c :3.c,S=4\n6 Px :4.d\n"
    );
}

#[test]
fn a_message_with_a_uid_keeps_it_and_gets_the_id() {
    let list = "3 V16 N9\n1 W9 :1.a\n2 Pold O3 :2.b\n8 :3.c\n";
    let entries = [entry("1.a", "one"), entry("2.b", "two")];
    assert_eq!(
        rewritten(list, &entries).unwrap(),
        "3 V16 N9\n1 W9 Pone :1.a\n2 O3 Ptwo :2.b\n8 :3.c\n"
    );
}

#[test]
fn a_header_that_lags_behind_is_raised() {
    let entries = [entry("9.z", "z")];
    let list = "3 N2 V16\n1 :1.a\n7 :2.b\n";
    assert_eq!(
        rewritten(list, &entries).unwrap(),
        "3 N9 V16\n1 :1.a\n7 :2.b\n8 Pz :9.z\n"
    );
}

#[test]
fn version_1_becomes_version_3() {
    let entries = [entry("9.z", "z"), entry("1.a", "one")];
    assert_eq!(
        rewritten("1 16 4\n1 1.a:2,S\n3 2.b c\n", &entries).unwrap(),
        "3 V16 N5\n1 Pone :1.a\n3 :2.b c\n4 Pz :9.z\n"
    );
}

#[test]
fn each_message_stands_once() {
    let list = "3 V1 N9\n1 :1.a\n2 :2.b\n2 Psaved :2.b\n3 :1.a\n";
    assert_eq!(
        rewritten(list, &[entry("1.a", "one")]).unwrap(),
        "3 V1 N9\n2 Psaved :2.b\n3 Pone :1.a\n"
    );
}

#[test]
fn the_last_uid_is_not_given() {
    let list = format!("3 V1 N{}\n1 :1.a\n", u32::MAX - 2);
    assert!(rewritten(&list, &[entry("2.b", "b")]).is_some());
    let both = [entry("2.b", "b"), entry("3.c", "c")];
    assert_eq!(rewritten(&list, &both), None);
}

#[test]
fn what_cannot_stand_in_the_file_is_told() {
    let list = Uidlist::parse(b"3 V22 N9\n1 :1.a\n").unwrap();
    let format = UidlFormat::default();
    let entry = |name: &str, id: &str| {
        let name = FileName::new(name.as_bytes()).unwrap();
        list.entry(&format, name, id.as_bytes()).map(|_| ())
    };
    assert_eq!(entry("2.b,S=1:2,S", "2.b"), Ok(()));
    assert_eq!(entry("2.b\n", "2.b"), Err(Misfit::Unsayable));
    assert_eq!(entry("2\r.b", "2.b"), Err(Misfit::Unsayable));
    assert_eq!(entry("2.b", "0000000900000016"), Err(Misfit::ToCome));
    // That was the first message's.
    assert_eq!(entry("2.b", "0000000200000016"), Ok(()));
}

/// Base names, and which unique-ids they have here if that is not Dovecot's.
fn messages() -> impl Strategy<Value = BTreeMap<String, (bool, Option<String>)>> {
    let base = "[0-9]{1,3}\\.[ -.0-9;-~]{1,6}(,S=[0-9]{1,3})?";
    let id = prop::option::of("[!-~]{1,20}");
    prop::collection::btree_map(base, (any::<bool>(), id), 0..12)
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(messages in messages(), version in 0..2_u8) {
        let mut list = match version {
            0 => "1 22 500\n".to_owned(),
            _ => "3 V22 N5 Gabc\n".to_owned(),
        };
        let mut meant = BTreeMap::new();
        let mut entries = Vec::new();
        for ((base, (listed, id)), uid) in messages.iter().zip(1..) {
            if *listed {
                let colon = if version == 0 { "" } else { ":" };
                list.push_str(&format!("{uid} {colon}{base}\n"));
                meant.insert(base.clone(), format!("{uid:08x}{:08x}", 22));
            }
            if let Some(id) = id {
                entries.push(entry(base, id));
                meant.insert(base.clone(), id.clone());
            }
        }
        let new = rewritten(&list, &entries).unwrap();
        let origin = Origin::Dovecot(DovecotUidls::default());
        let new = origin.parse(new.as_bytes()).unwrap();
        let listing = new.listing(|_| true, &mut |_| Ok(None)).unwrap();
        let text = |octets| String::from_utf8(octets).unwrap();
        let read = listing.into_iter().map(|one| (text(one.base), text(one.unique_id)));
        prop_assert_eq!(read.collect::<BTreeMap<_, _>>(), meant);
    }
}
