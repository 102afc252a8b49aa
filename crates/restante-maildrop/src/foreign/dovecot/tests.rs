//! Files as Dovecot writes them, and as nobody should.

use super::*;

const LIST: &[u8] = b"3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1 Xmore\n\
    25006 :1276528487.M364837P9451.kurkku,S=1355,W=1394\n\
    25017 W2481 P000061ae4c0907b0 :1276533073.M242911P3632.kurkku\n\
    25018 P S9  Gthe-guid :3.c:2,S\n\
    25020 O2 :4.d\n\
    25021 O1 Pa:b :5.e\n";

fn listing(octets: &[u8], uidls: &DovecotUidls) -> Vec<(String, String)> {
    let list = Uidlist::parse(octets).unwrap();
    let mut xuidl = |base: &[u8]| Ok((base == b"4.d").then(|| b"from the header".to_vec()));
    let given = list.listing(uidls, |base| base != b"gone", &mut xuidl);
    let text = |octets| String::from_utf8(octets).unwrap();
    let given = given.unwrap().into_iter();
    given
        .map(|one| (text(one.base), text(one.unique_id)))
        .collect()
}

fn ids(octets: &[u8], uidls: &DovecotUidls) -> Vec<String> {
    let listing = listing(octets, uidls).into_iter();
    listing.map(|(_, id)| id).collect()
}

fn uidls(format: &str) -> DovecotUidls {
    DovecotUidls {
        format: format.parse().unwrap(),
        ..DovecotUidls::default()
    }
}

#[test]
fn records_are_listed_by_order_and_uid_with_their_own_ids() {
    let expected = [
        ("5.e", "a:b"),
        ("4.d", "000061bc4c0907b0"),
        (
            "1276528487.M364837P9451.kurkku,S=1355,W=1394",
            "000061ae4c0907b0",
        ),
        ("1276533073.M242911P3632.kurkku", "000061ae4c0907b0"),
        ("3.c", "3.c"),
    ];
    let expected = expected.map(|(base, id)| (base.to_owned(), id.to_owned()));
    assert_eq!(listing(LIST, &DovecotUidls::default()), expected);
}

#[test]
fn the_format_is_for_records_without_an_id_of_their_own() {
    assert_eq!(
        ids(LIST, &uidls("%v.%u")),
        [
            "a:b",
            "1275660208.25020",
            "1275660208.25006",
            "000061ae4c0907b0",
            "3.c"
        ]
    );
    let guids = b"3 V1 N9\n1 Gone :1.a\n2 :2.b\n3 G :3.c\n";
    assert_eq!(ids(guids, &uidls("%g")), ["one", "2.b", "3.c"]);
}

#[test]
fn a_header_of_the_message_may_have_the_id() {
    let reuse = DovecotUidls {
        reuse_xuidl: true,
        ..DovecotUidls::default()
    };
    assert_eq!(ids(LIST, &reuse)[1], "from the header");
    assert_eq!(ids(LIST, &reuse)[2], "000061ae4c0907b0");
}

#[test]
fn repeated_ids_are_renamed_by_uid() {
    let list = b"3 V1 N9\n1 O9 Px :1.a\n2 Px :2.b\n3 Px-2 :3.c\n4 Px :4.d\n5 Px :gone\n";
    let rename = DovecotUidls {
        duplicates: Duplicates::Rename,
        ..DovecotUidls::default()
    };
    // By UID: x, x-2, x-2-2, x-3.
    assert_eq!(ids(list, &rename), ["x", "x-2", "x-2-2", "x-3"]);
    assert_eq!(
        ids(list, &DovecotUidls::default()),
        ["x", "x", "x-2", "x"],
        "Dovecot's default lists them twice"
    );
}

#[test]
fn version_1_is_read_too() {
    let list = b"1 1275660208 4\n1 1.a:2,S\n3 2.b c\n";
    let expected = [("1.a", "000000014c0907b0"), ("2.b c", "000000034c0907b0")];
    let expected = expected.map(|(base, id)| (base.to_owned(), id.to_owned()));
    assert_eq!(listing(list, &DovecotUidls::default()), expected);
}

#[test]
fn a_name_that_came_back_has_its_newer_uid_and_a_line_may_be_repeated() {
    let list = b"3 V1 N9\n1 :1.a\n2 :2.b\n2 Psaved :2.b\n3 :1.a\n";
    assert_eq!(ids(list, &uidls("%u")), ["saved", "3"]);
}

#[test]
fn bad_input_is_refused_with_its_line() {
    for (octets, line, what) in [
        (&b""[..], 1, DamageKind::Empty),
        (b"\n", 1, DamageKind::Header),
        (b"3\n", 1, DamageKind::Header),
        (b"3 V1 N2", 1, DamageKind::CutOff),
        (b"2 V1 N2\n", 1, DamageKind::Version(2)),
        (b"4 V1 N2\n", 1, DamageKind::Version(4)),
        (b"x V1 N2\n", 1, DamageKind::Header),
        (b"3 V1\n", 1, DamageKind::Header),
        (b"3 N2\n", 1, DamageKind::Header),
        (b"3 V0 N2\n", 1, DamageKind::Header),
        (b"3 V1 N0\n", 1, DamageKind::Header),
        (b"3 V4294967296 N2\n", 1, DamageKind::Header),
        (b"3 V1 N2 \x01\n", 1, DamageKind::Header),
        (b"1 1\n", 1, DamageKind::Header),
        (b"1 1 2 3\n", 1, DamageKind::Header),
        (b"1 1 x\n", 1, DamageKind::Header),
        (b"/3 1 2\n", 1, DamageKind::Header),
        (b"3 V1 N2\n\n", 2, DamageKind::Record),
        (b"3 V1 N2\nx :1.a\n", 2, DamageKind::Record),
        (b"3 V1 N2\n1:1.a\n", 2, DamageKind::Record),
        (b"3 V1 N2\n1 1.a\n", 2, DamageKind::Record),
        (b"3 V1 N2\n1 p :1.a\n", 2, DamageKind::Record),
        (b"3 V1 N2\n0 :1.a\n", 2, DamageKind::Uid),
        (b"3 V1 N2\n4294967295 :1.a\n", 2, DamageKind::Uid),
        (b"3 V1 N2\n9999999999 :1.a\n", 2, DamageKind::Uid),
        (b"1 1 2\n1 1.a\n2 2.b\n", 3, DamageKind::Uid),
        (b"3 V1 N2\n1 Ox :1.a\n", 2, DamageKind::Field('O')),
        (b"3 V1 N2\n1 :\n", 2, DamageKind::Name),
        (b"3 V1 N2\n1 ::2,S\n", 2, DamageKind::Name),
        (b"3 V1 N2\n1 :../../x\n", 2, DamageKind::Name),
        (b"3 V1 N2\n1 :.hidden\n", 2, DamageKind::Name),
        (b"3 V1 N2\n1 :a\0b\n", 2, DamageKind::Name),
        (b"3 V1 N2\n1 :1.a\n2 :2", 3, DamageKind::CutOff),
        (
            b"3 V1 N2\n5 :1.a\n4 :2.b\n",
            3,
            DamageKind::UidOrder { uid: 4, before: 5 },
        ),
        (
            b"3 V1 N2\n5 :1.a\n5 :2.b\n",
            3,
            DamageKind::UidOrder { uid: 5, before: 5 },
        ),
    ] {
        let damage = Uidlist::parse(octets).map(|list| list.records);
        let shown = octets.escape_ascii();
        assert_eq!(damage.unwrap_err(), Damage { line, what }, "{shown}");
    }
}

#[test]
fn every_cut_but_at_a_line_end_is_refused() {
    for end in 0..LIST.len() {
        let cut = &LIST[..end];
        let whole_lines = cut.ends_with(b"\n");
        assert_eq!(Uidlist::parse(cut).is_ok(), whole_lines, "{end}");
    }
    assert!(Uidlist::parse(LIST).is_ok());
}
