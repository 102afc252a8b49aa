//! Messages of an mbox, changed and unchanged.

use proptest::prelude::*;

use super::*;

fn digests(mbox: &[u8], cuts: usize) -> Vec<Digest> {
    let mut scanner = Scanner::new();
    let mut found = Vec::new();
    for piece in mbox.chunks(cuts.max(1)) {
        scanner.write(piece, |digest| found.push(digest));
    }
    scanner.finish(|digest| found.push(digest));
    found
}

fn one(message: &str) -> Digest {
    let found = digests(message.as_bytes(), 7);
    assert_eq!(found.len(), 1, "{message:?}");
    found[0]
}

const LETTER: &str = "From a@b Wed Jan  3 01:06:34 1996\nSubject: one\nTo: c\n\nbody\n\nmore\n\n";

#[test]
fn marks_of_mail_programs_change_nothing() {
    for changed in [
        "From a@b Wed Jan  3 01:06:34 1996\nSubject: one\nTo: c\nStatus: RO\n\nbody\n\nmore\n\n",
        "From a@b Wed Jan  3 01:06:34 1996\nX-IMAPbase: 1 2\n keys\n\tmore\nSubject: one\nTo: c\nContent-Length: 11\nLines: 3\n\nbody\n\nmore\n\n",
        "From a@b Wed Jan  3 01:06:34 1996\nx-uid: 5\nSubject: one\nTo: c\n\nbody\n\nmore\n",
        "From a@b Wed Jan  3 01:06:34 1996\nSubject: one\nTo: c\n\nbody\n\nmore\n\n\n\n",
    ] {
        assert_eq!(one(LETTER), one(changed), "{changed:?}");
    }
}

#[test]
fn another_message_is_another() {
    for other in [
        "From a@b Wed Jan  3 01:06:35 1996\nSubject: one\nTo: c\n\nbody\n\nmore\n\n",
        "From a@b Wed Jan  3 01:06:34 1996\nSubject: two\nTo: c\n\nbody\n\nmore\n\n",
        "From a@b Wed Jan  3 01:06:34 1996\nSubject: one\nTo: c\n\nbody\nmore\n\n",
        "From a@b Wed Jan  3 01:06:34 1996\nSubject: one\nTo: c\n\nbody\n\nmor\n\n",
        "From a@b Wed Jan  3 01:06:34 1996\nSubject: one\nTo: c\n\nStatus: body\n\nmore\n\n",
        "From a@b Wed Jan  3 01:06:34 1996\nSubject: one\nTo: c\nX-Status-Report: 1\n\nbody\n\nmore\n\n",
    ] {
        assert_ne!(one(LETTER), one(other), "{other:?}");
    }
    let in_body = "From a@b Wed Jan  3 01:06:34 1996\n\nStatus: R\nbody\n\n";
    let not = "From a@b Wed Jan  3 01:06:34 1996\n\nbody\n\n";
    assert_ne!(one(in_body), one(not));
}

#[test]
fn a_message_begins_behind_an_empty_line_alone() {
    let two = format!("{LETTER}{LETTER}");
    assert_eq!(digests(two.as_bytes(), 3), vec![one(LETTER); 2]);
    let prose = "From a@b Wed Jan  3 01:06:34 1996\n\nbody\nFrom here on\n\n";
    assert_eq!(digests(prose.as_bytes(), 100).len(), 1);
    // What is before the first message belongs to none.
    let behind = format!("noise\n\n{LETTER}");
    assert_eq!(digests(behind.as_bytes(), 4), [one(LETTER)]);
    assert!(digests(b"noise\n\nFrom", 100).is_empty());
    assert_eq!(digests(b"noise\n\nFrom ", 100).len(), 1);
}

proptest! {
    #[test]
    fn pieces_of_any_size_give_the_same_messages(
        lines in proptest::collection::vec("(\n|From x|Status: y\n|a\n| b\n|[ -~]{0,30}\n)", 0..40),
        cuts in 1_usize..40,
    ) {
        let mbox = lines.concat();
        prop_assert_eq!(digests(mbox.as_bytes(), cuts), digests(mbox.as_bytes(), mbox.len()));
    }
}
