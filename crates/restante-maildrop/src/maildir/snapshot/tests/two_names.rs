//! One file under two names is one message, and stays in sight whichever name goes.

use super::*;

/// A program that moves a message by linking and unlinking, and changes its mind.
#[test]
fn a_message_is_seen_when_the_listed_one_of_its_two_names_goes() {
    let place = place();
    place.put("new/1.a", "a: b\n");
    place.put("cur/2.b:2,", "a: b\n");
    fs::hard_link(place.path("new/1.a"), place.path("cur/1.a:2,S")).unwrap();
    let found = place.load_first(LATER);
    assert_eq!(listed(&found), ["cur/1.a:2,S", "cur/2.b:2,"]);
    // This leaves no trace in `new/`.
    fs::remove_file(place.path("cur/1.a:2,S")).unwrap();
    assert_eq!(
        listed(&place.load_again(&found, LATER)),
        ["new/1.a", "cur/2.b:2,"]
    );
    assert_eq!(listed(&place.load_first(LATER)), ["new/1.a", "cur/2.b:2,"]);
}

#[test]
fn a_known_message_is_seen_when_its_second_name_comes_and_goes() {
    let place = place();
    place.put("new/1.a", "a: b\n");
    place.put("cur/2.b:2,", "a: b\n");
    let found = place.load_first(LATER);
    // Linking leaves no trace in `new/` either.
    fs::hard_link(place.path("new/1.a"), place.path("cur/1.a:2,S")).unwrap();
    let linked = place.load_again(&found, LATER);
    assert_eq!(ids(&linked), ["1.a", "2.b"]);
    fs::remove_file(place.path("cur/1.a:2,S")).unwrap();
    assert_eq!(ids(&place.load_again(&linked, LATER)), ["1.a", "2.b"]);
    assert_eq!(ids(&place.load_first(LATER)), ["1.a", "2.b"]);
}

/// Two hard links of one file that differ in `,S=` alone made the mailbox impossible to open.
#[test]
fn prj_uidl_6_two_names_of_one_stem_and_file_are_one_message() {
    let place = place();
    place.put("cur/1.a:2,", "a: b\n");
    // Between the two in message order.
    place.put("cur/1.a+x:2,", "a: b\n");
    for name in ["cur/1.a,S=5:2,", "new/1.a,S=5,W=6"] {
        fs::hard_link(place.path("cur/1.a:2,"), place.path(name)).unwrap();
    }
    let found = place.load_first(LATER);
    assert_eq!(ids(&found), ["1.a+x", "1.a"]);
    assert_eq!(listed(&found)[1], "new/1.a,S=5,W=6");
    assert_eq!(found.unlisted().aliases.len(), 2);
    // The one that was listed stays listed, and none of its names is forgotten.
    let (again, lines) = said(|| place.load_again(&found, LATER));
    assert_eq!((listed(&again), lines.len()), (listed(&found), 0));
    assert_eq!(again.unlisted().aliases.len(), 2);
    assert_eq!(listed(&place.load_first(LATER)), listed(&found));
    for (gone, left) in [("new/1.a,S=5,W=6", 1), ("cur/1.a,S=5:2,", 0)] {
        fs::remove_file(place.path(gone)).unwrap();
        for now in [place.load_again(&again, LATER), place.load_first(LATER)] {
            let mut all = ids(&now);
            all.sort();
            assert_eq!(
                (all, now.unlisted().aliases.len()),
                (vec!["1.a".to_owned(), "1.a+x".to_owned()], left)
            );
        }
    }
}

#[test]
fn a_file_under_names_of_two_stems_is_two_messages() {
    let place = place();
    place.put("cur/1.a:2,", "a: b\n");
    // As Dovecot copies messages: each copy is deleted by itself.
    fs::hard_link(place.path("cur/1.a:2,"), place.path("cur/2.b:2,")).unwrap();
    let found = place.load_first(LATER);
    assert_eq!(ids(&found), ["1.a", "2.b"]);
    assert!(found.unlisted().aliases.is_empty());
    assert!(Arc::ptr_eq(&found, &place.load_again(&found, LATER)));
}
