//! Names of message files.

use proptest::prelude::*;

use super::*;

fn name(octets: &str) -> FileName<'_> {
    FileName::new(octets.as_bytes()).unwrap()
}

fn stem(octets: &str) -> String {
    let parts: Vec<&[u8]> = name(octets).stem().collect();
    String::from_utf8(parts.concat()).unwrap()
}

#[test]
fn a_name_falls_into_its_parts() {
    let full = name("1700000000.M5P7.host,S=100,W=103:2,FS,x");
    assert_eq!(full.base(), b"1700000000.M5P7.host,S=100,W=103");
    assert_eq!(full.info(), b":2,FS,x");
    assert_eq!(full.flags(), b"FS");
    assert_eq!(full.stored_octets(), Some(100));
    assert_eq!(full.wire_octets(), Some(103));
    let bare = name("1.2.host");
    assert_eq!(
        (bare.base(), bare.info(), bare.flags()),
        (&b"1.2.host"[..], &b""[..], &b""[..])
    );
    assert_eq!((bare.stored_octets(), bare.wire_octets()), (None, None));
    assert_eq!(name("a:1,S").flags(), b"");
    assert_eq!(name("a:2,S:2,R").base(), b"a");
    assert_eq!(name(":2,S").base(), b"");
}

#[test]
fn mdir_store_2_what_cannot_be_a_message_has_no_name() {
    for illegal in ["", ".", "..", ".hidden", "a/b", "/", "a\0b"] {
        assert!(FileName::new(illegal.as_bytes()).is_none(), "{illegal:?}");
    }
    assert!(FileName::new(&[b'a'; 255]).is_some());
    assert!(FileName::new(&[b'a'; 256]).is_none());
    assert!(FileName::new(&[0xFF, 0x80, b'\n']).is_some());
}

#[test]
fn mdir_store_5_size_fields_are_read_in_any_order_first_one_wins() {
    let sizes = |octets: &'static str| (name(octets).stored_octets(), name(octets).wire_octets());
    assert_eq!(sizes("a,W=2,S=1"), (Some(1), Some(2)));
    assert_eq!(sizes("a,S=1,S=2,W=3,W=4"), (Some(1), Some(3)));
    assert_eq!(sizes("a,X=9,S=1:2,W=5"), (Some(1), None));
    // A field is valid only if it is digits up to a `,`, the `:` or the end.
    assert_eq!(sizes("a,S=,W=-1"), (None, None));
    assert_eq!(sizes("a,S=1x,W= 2"), (None, None));
    assert_eq!(sizes("a,S=1x,S=7"), (Some(7), None));
    assert_eq!(sizes("S=1,W=2"), (None, Some(2)));
    assert_eq!(sizes("a,S=18446744073709551615"), (Some(u64::MAX), None));
    assert_eq!(sizes("a,S=18446744073709551616"), (None, None));
}

#[test]
fn mdir_store_4_the_stem_has_neither_sizes_nor_flags() {
    assert_eq!(stem("1.M2.host,S=1,W=2:2,S"), "1.M2.host");
    assert_eq!(stem("1.M2.host,U=7,S=1,W=2:2,S"), "1.M2.host,U=7");
    assert_eq!(stem("1.M2.host,S=1,X=1,W=2"), "1.M2.host,X=1");
    assert_eq!(stem("1.M2.host,S=x"), "1.M2.host,S=x");
    assert_eq!(stem("S=1"), "S=1");
    assert_eq!(stem("a,"), "a,");
    assert_eq!(stem(":2,"), "");
}

#[test]
fn messages_are_in_order_of_arrival() {
    let ordered = [
        "no-number",
        "1.M0P9.host",
        "2.15_1.host",
        "2.zebra",
        "2.M5P1.a:2,S",
        "2.M5P1.b",
        "2.M40P1.a",
        "2.P1M100.a",
        "10.M1P1.a",
        "10.MxM2.a",
        "00000000000000000011.a",
        "99999999999999999999999.a",
    ];
    for pair in ordered.windows(2) {
        assert!(name(pair[0]) < name(pair[1]), "{pair:?}");
    }
    assert_eq!(name("2.M5.a:2,S"), name("2.M5.a"));
    // Microseconds are looked for before the host only.
    assert_eq!(name("1.x.M5").order().microseconds, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_octets_are_a_name_or_none(octets: Vec<u8>) {
        if let Some(name) = FileName::new(&octets) {
            prop_assert_eq!([name.base(), name.info()].concat(), name.as_bytes());
            let _ = (name.flags(), name.stored_octets(), name.wire_octets(), name.order());
            prop_assert!(name.stem().map(<[u8]>::len).sum::<usize>() <= name.base().len());
        }
    }

    #[test]
    fn mdir_store_2_flags_do_not_change_identity(
        base in "[0-9]{1,3}(\\.[MP0-9a-z]{0,4}){0,2}(,[SWX]=[0-9x]{0,3}){0,3}",
        flags in ":2,[A-Z]{0,3}",
        others in ":[12],[a-z,:]{0,5}",
    ) {
        let (one, other) = (format!("{base}{flags}"), format!("{base}{others}"));
        prop_assert_eq!(name(&one), name(&other));
        prop_assert_eq!(name(&one).cmp(&name(&base)), Ordering::Equal);
        prop_assert_eq!(stem(&one), stem(&base));
    }

    #[test]
    fn order_is_total(names in proptest::collection::vec("[0-9]{0,1}\\.?[M0-2a]{0,4}(,S=1)?(:2,S)?", 3)) {
        let all: Vec<_> = names.iter().filter_map(|octets| FileName::new(octets.as_bytes())).collect();
        for one in &all {
            for two in &all {
                prop_assert_eq!(one.cmp(two), two.cmp(one).reverse());
                prop_assert_eq!(one.cmp(two) == Ordering::Equal, one == two);
                for three in &all {
                    if one <= two && two <= three {
                        prop_assert!(one <= three);
                    }
                }
            }
        }
    }

    #[test]
    fn written_sizes_are_read_back(stored: u64, wire: u64, flags in "(:2,[A-Z]{0,3})?") {
        let octets = format!("1.M2P3.host,S={stored},W={wire}{flags}");
        prop_assert_eq!(name(&octets).stored_octets(), Some(stored));
        prop_assert_eq!(name(&octets).wire_octets(), Some(wire));
        prop_assert_eq!(stem(&octets), "1.M2P3.host");
    }
}
