//! What Courier can say of a message, and what is read back.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::foreign::{Origin, Weight};

const LIST: &str = "/3 9 16\n1.a,S=2:2,S 4 1:16:0\n2.b:2, 5 2:16:1\n";

fn said(name: &str, id: &str) -> Result<String, Misfit> {
    let list = SizeList::parse(LIST.as_bytes()).unwrap();
    let name = FileName::new(name.as_bytes()).unwrap();
    let entry = list.entry(name, id.as_bytes())?;
    assert_eq!(entry.base, name.base());
    Ok(String::from_utf8(entry.name).unwrap())
}

fn rewritten(list: &str, entries: &[Entry]) -> String {
    let weigh = &mut |entry: &Entry| {
        Ok(Weight {
            octets: entry.base.len() as u64,
            eight_bit_header: entry.base.ends_with(b"8"),
        })
    };
    let octets = list.as_bytes();
    let new = SizeList::parse(octets).unwrap();
    let new = new.rewritten(octets, entries, weigh).unwrap();
    String::from_utf8(new).unwrap()
}

#[test]
fn names_and_numbers_can_be_said_and_nothing_else() {
    for (name, id, expected) in [
        ("3.c", "3.c", Ok("3.c:2,")),
        ("3.c:2,RS", "3.c", Ok("3.c:2,RS")),
        // The sizes have to go.
        ("3.c,S=1,W=2:2,S", "3.c", Ok("3.c:2,S")),
        ("3.c,S=1,W=2", "3.c", Ok("3.c:2,")),
        ("3.c,S=1", "3.c,S=1", Ok("3.c,S=1:2,")),
        ("3.c,S=1", "UID3-16", Ok("3.c,S=1:2,")),
        ("3.c", "UID3", Ok("3.c:2,")),
        ("3.c", "UID99-15", Ok("3.c:2,")),
        ("UID03-16", "UID03-16", Ok("UID03-16:2,")),
        ("3.c", "UID9-16", Err(Misfit::ToCome)),
        ("3.c", "UID0-16", Err(Misfit::Unsayable)),
        ("3.c", "UID03-16", Err(Misfit::Unsayable)),
        ("3.c", "UID3-0", Err(Misfit::Unsayable)),
        ("3.c", "UID3-", Err(Misfit::Unsayable)),
        ("3.c", "UID18446744073709551616", Err(Misfit::Unsayable)),
        ("3.c", "=0123", Err(Misfit::Unsayable)),
        ("3.c+d", "3.c+d", Err(Misfit::Unsayable)),
        ("3.c+d", "3.c+2Bd", Ok("3.c+d:2,")),
        ("3.c\nd", "UID3-16", Err(Misfit::Unsayable)),
    ] {
        let expected = expected.map(ToOwned::to_owned);
        assert_eq!(said(name, id), expected, "{name} {id}");
    }
    let long = format!("3.{}", "c".repeat(251));
    let id = said(&long, &long);
    assert_eq!(id, Err(Misfit::Unsayable), "no room for `:2,`");
}

#[test]
fn entries_follow_and_other_lines_stay() {
    let entry = |base: &str, name: &str, id: &str| Entry {
        base: base.into(),
        name: name.into(),
        unique_id: id.into(),
    };
    let entries = [
        entry("1.a,S=2", "1.a:2,S", "1.a"),
        entry("3.8", "3.8:2,", "UID7-15"),
    ];
    assert_eq!(
        rewritten(LIST, &entries),
        "/3 9 16\n2.b:2, 5 2:16:1\n1.a:2,S 7 0:0:0\n3.8:2, 3 7:15:1\n"
    );
    assert_eq!(rewritten(LIST, &[]), LIST);
    let old = "/2 9 16\n1.a:2,S 4 1:16\n";
    assert_eq!(
        rewritten(old, &entries[1..]),
        "/2 9 16\n1.a:2,S 4 1:16\n3.8:2, 3 7:15:1\n"
    );
}

fn messages() -> impl Strategy<Value = BTreeMap<String, (bool, Option<u8>)>> {
    let base = "[0-9]{1,3}\\.[ -.0-9;-~]{1,6}(,S=[0-9]{1,3})?";
    let number = prop::option::of(any::<u8>());
    prop::collection::btree_map(base, (any::<bool>(), number), 0..12)
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(messages in messages()) {
        let mut list = "/3 500 16\n".to_owned();
        let mut meant = BTreeMap::new();
        let mut wanted = Vec::new();
        for ((base, (listed, number)), uid) in messages.iter().zip(1..) {
            if *listed {
                list.push_str(&format!("{base}:2,S 9 {uid}:16:0\n"));
                meant.insert(base.clone(), format!("UID{uid}-16"));
            }
            match number {
                // Half of them have their own names.
                Some(number) if *number >= 128 => wanted.push((base, base.clone())),
                Some(number) => wanted.push((base, format!("UID{}-{number}", number + 1))),
                None => {}
            }
        }
        let old = SizeList::parse(list.as_bytes()).unwrap();
        let mut entries = Vec::new();
        for (base, id) in wanted {
            let name = FileName::new(base.as_bytes()).unwrap();
            if let Ok(entry) = old.entry(name, id.as_bytes()) {
                meant.remove(base);
                let new_base = String::from_utf8(entry.new_base().to_vec()).unwrap();
                meant.insert(new_base, id);
                entries.push(entry);
            }
        }
        let new = rewritten(&list, &entries);
        let new = Origin::Courier.parse(new.as_bytes()).unwrap();
        let listing = new.listing(|_| true, &mut |_| Ok(None)).unwrap();
        let text = |octets| String::from_utf8(octets).unwrap();
        let read = listing.into_iter().map(|one| (text(one.base), text(one.unique_id)));
        prop_assert_eq!(read.collect::<BTreeMap<_, _>>(), meant);
    }
}
