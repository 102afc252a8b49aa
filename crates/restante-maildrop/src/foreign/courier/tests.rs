//! Files as Courier writes them, and as nobody should.

use super::*;

const LIST: &[u8] = b"/3 9 1795640410\n\
    1700000001.M10P1.host,S=18:2,S 21 2:1795640410:0\n\
    1700000001.M9P1.host 21 1:1795640410:1\n\
    99.old one:2, 7 0:0:0\n\
    100.\xe9+'\":2,RS 21 7:0\n\
    101.gone 21 8:1795640410:0\n";

fn listing(octets: &[u8]) -> Vec<(Vec<u8>, String)> {
    let list = SizeList::parse(octets).unwrap();
    let given = list.listing(|base| base != b"101.gone").into_iter();
    let text = |octets| String::from_utf8(octets).unwrap();
    given.map(|one| (one.base, text(one.unique_id))).collect()
}

#[test]
fn ids_are_printed_and_ordered_as_courier_does() {
    let expected = [
        (&b"99.old one"[..], "99.old+20one"),
        (b"100.\xe9+'\"", "UID7"),
        // The same second: by octets, so that 10 comes before 9.
        (b"1700000001.M10P1.host,S=18", "UID2-1795640410"),
        (b"1700000001.M9P1.host", "UID1-1795640410"),
    ];
    let expected = expected.map(|(base, id)| (base.to_vec(), id.to_owned()));
    assert_eq!(listing(LIST), expected);
    let nameless = b"/2 1 5\n100.\xe9+'\": 21 0:5\n";
    assert_eq!(listing(nameless)[0].1, "100.+E9+2B+27+22");
}

#[test]
fn a_name_and_its_beginning_are_ordered_with_the_colon() {
    let list = b"/3 3 5\n1.ab:2, 1 1:5:0\n1.a:2, 1 2:5:0\n1.a,S=1:2, 1 3:5:0\n";
    let ids: Vec<String> = listing(list).into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, ["UID3-5", "UID2-5", "UID1-5"]);
}

#[test]
fn bad_input_is_refused_with_its_line() {
    for (octets, line, what) in [
        (&b""[..], 1, DamageKind::Empty),
        (b"\n", 1, DamageKind::Header),
        (b"3 V1 N2\n", 1, DamageKind::Header),
        (b"/3\n", 1, DamageKind::Header),
        (b"/3 x\n", 1, DamageKind::Header),
        (b"/3 1 2 3\n", 1, DamageKind::Header),
        (b"/3 1 2", 1, DamageKind::CutOff),
        (b"/1 1 2\n", 1, DamageKind::Version(1)),
        (b"/4 1 2\n", 1, DamageKind::Version(4)),
        (b"/3 1 2\n\n", 2, DamageKind::Record),
        (b"/3 1 2\n1.a\n", 2, DamageKind::Record),
        (b"/3 1 2\n1.a 1:2:0\n", 2, DamageKind::Record),
        (b"/3 1 2\n1.a x 1:2:0\n", 2, DamageKind::Record),
        (b"/3 1 2\n1.a 9 1\n", 2, DamageKind::Record),
        (b"/3 1 2\n1.a 9 1:2:0:0\n", 2, DamageKind::Record),
        (b"/3 1 2\n1.a 9 1:x:0\n", 2, DamageKind::Record),
        (b"/3 1 2\n 9 1:2:0\n", 2, DamageKind::Name),
        (b"/3 1 2\n:2, 9 1:2:0\n", 2, DamageKind::Name),
        (b"/3 1 2\ncur/1.a 9 1:2:0\n", 2, DamageKind::Name),
        (b"/3 1 2\n1.a 9 1:2:0\n2.b 9 2:", 3, DamageKind::CutOff),
        (
            b"/3 1 2\n1.a 9 1:2:0\n2.b 9 2:2:0\n1.a:2,S 9 3:2:0\n",
            4,
            DamageKind::Again(2),
        ),
    ] {
        let damage = SizeList::parse(octets).map(|list| list.records.len());
        let shown = octets.escape_ascii();
        assert_eq!(damage, Err(Damage { line, what }), "{shown}");
    }
    let twice = b"/3 1 2\n1.a 9 1:2:0\n1.a:2,S 9 1:2:0\n";
    assert_eq!(listing(twice).len(), 1, "the same thing twice is no harm");
}
