//! Where a tag goes.

use proptest::prelude::*;
use restante_proto::WireCounter;

use super::*;

fn tag() -> Tag {
    Tag::new("[junk] ").unwrap()
}

/// The message as it would be stored with its tag.
fn tagged(stored: &[u8]) -> Vec<u8> {
    match Insertion::of(&tag(), stored) {
        Some(insertion) => {
            let (before, after) = stored.split_at(insertion.at);
            [before, &insertion.text, after].concat()
        }
        None => stored.to_vec(),
    }
}

#[test]
fn a_tag_stands_before_the_first_subject() {
    for (stored, expected) in [
        ("Subject: a\n\nb\n", "Subject: [junk] a\n\nb\n"),
        (
            "A: b\r\nsUBJECT:\t a\r\n\r\n",
            "A: b\r\nsUBJECT:\t [junk] a\r\n\r\n",
        ),
        ("Subject : a\n\n", "Subject : [junk] a\n\n"),
        ("Subject:a\n\n", "Subject:[junk] a\n\n"),
        ("Subject:\n\n", "Subject:[junk] \n\n"),
        ("Subject:\n folded\n\n", "Subject:[junk] \n folded\n\n"),
        (
            "Subject: a\nSubject: b\n\n",
            "Subject: [junk] a\nSubject: b\n\n",
        ),
        (
            "X: y\n Subject: z\nSubject: a\n\n",
            "X: y\n Subject: z\nSubject: [junk] a\n\n",
        ),
        ("Subject: a", "Subject: [junk] a"),
        (
            "Subject: =?utf-8?q?=C3=BC?=\n\n",
            "Subject: [junk] =?utf-8?q?=C3=BC?=\n\n",
        ),
    ] {
        assert_eq!(
            tagged(stored.as_bytes()).escape_ascii().to_string(),
            expected.as_bytes().escape_ascii().to_string()
        );
    }
}

#[test]
fn a_message_without_a_subject_gets_one_at_the_end_of_its_header() {
    for (stored, expected) in [
        ("", "Subject: [junk]\r\n"),
        ("\nbody\n", "Subject: [junk]\r\n\nbody\n"),
        ("\r\n", "Subject: [junk]\r\n\r\n"),
        (
            "A: b\n\nSubject: c\n",
            "A: b\nSubject: [junk]\r\n\nSubject: c\n",
        ),
        ("A: b\n", "A: b\nSubject: [junk]\r\n"),
        ("A: b", "A: b\r\nSubject: [junk]\r\n"),
    ] {
        assert_eq!(
            tagged(stored.as_bytes()).escape_ascii().to_string(),
            expected.as_bytes().escape_ascii().to_string()
        );
    }
}

#[test]
fn a_subject_that_has_the_tag_stays() {
    for stored in [
        "Subject: [junk] a\n\n",
        "Subject:[junk]\n\n",
        "Subject:\n [junk] a\n\n",
        "Subject:\r\n\t [junk] a\r\n\r\n",
    ] {
        assert_eq!(Insertion::of(&tag(), stored.as_bytes()), None, "{stored:?}");
    }
    // That is another one, and this one is not at the beginning.
    for stored in ["Subject: [Junk] a\n\n", "Subject: re: [junk] a\n\n"] {
        assert!(Insertion::of(&tag(), stored.as_bytes()).is_some());
    }
}

#[test]
fn a_header_beyond_the_bound_stays_as_it_is() {
    let filler = "X: y\n".repeat(HEADER_OCTETS_MAX / 5 + 1);
    let far = format!("{filler}Subject: a\n\n");
    assert_eq!(Insertion::of(&tag(), far.as_bytes()), None);
    // What is there of the line may not be all of it.
    let cut = format!("{}Subject: a", "x".repeat(HEADER_OCTETS_MAX - 10));
    assert_eq!(Insertion::of(&tag(), cut.as_bytes()), None);
    let near = format!("Subject: a\n{filler}");
    assert_eq!(Insertion::of(&tag(), near.as_bytes()).unwrap().at, 9);
}

proptest! {
    #[test]
    fn whoever_knows_the_beginning_knows_it_all(
        stored in "(([Ss]ubject|To)?[:\r\n \t.]{1,3}(\\[junk\\])?x?){0,8}",
        more in "[\na:]{0,20}",
    ) {
        let stored = stored.as_bytes();
        let insertion = Insertion::of(&tag(), stored);
        if let Some(insertion) = &insertion {
            prop_assert!(insertion.at <= stored.len());
            prop_assert!(insertion.text.len() as u64 <= TAGGING_OCTETS_MAX);
            // The head and the rest are the tagged message.
            let mut all = WireCounter::new();
            all.update(&tagged(stored));
            let mut parts = WireCounter::new();
            parts.update(&insertion.head(stored));
            parts.update(&stored[insertion.at..]);
            prop_assert_eq!(all.finish().octets, parts.finish().octets);
        }
        let long = [stored, &vec![b'x'; HEADER_OCTETS_MAX], more.as_bytes()].concat();
        let cut = Insertion::of(&tag(), &long[..HEADER_OCTETS_MAX]);
        prop_assert_eq!(Insertion::of(&tag(), &long), cut);
    }

    #[test]
    fn a_tag_is_put_in_once(stored in "((Subject|To)?[:\r\n \t]{1,3}x?){0,8}") {
        let once = tagged(stored.as_bytes());
        prop_assert_eq!(tagged(&once), once);
    }
}
