//! Replies as servers send them, and as they should not.

use proptest::prelude::*;

use super::*;

fn read(octets: &[u8], cuts: usize) -> Result<Vec<Reply>, ReplyError> {
    let mut reader = ReplyReader::default();
    let mut replies = Vec::new();
    for mut piece in octets.chunks(cuts.max(1)) {
        while let Some(reply) = reader.read(&mut piece)? {
            replies.push(reply);
        }
    }
    Ok(replies)
}

fn reply(code: u16, lines: &[&str]) -> Reply {
    let lines = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
    Reply { code, lines }
}

#[test]
fn replies_are_read_however_they_are_cut() {
    let octets = b"220 here\r\n250-one\r\n250-\r\n250 two\r\n354\r\n450 4.2.1 x\n";
    let replies = [
        reply(220, &["here"]),
        reply(250, &["one", "", "two"]),
        reply(354, &[""]),
        reply(450, &["4.2.1 x"]),
    ];
    for cuts in 1..octets.len() {
        assert_eq!(read(octets, cuts).as_deref(), Ok(&replies[..]));
    }
}

#[test]
fn a_reply_of_two_codes_is_none() {
    // 250 then 550 must not be taken for a message that was taken over.
    for bad in [
        &b"250-ok\r\n550 no\r\n"[..],
        b"\r\n",
        b"25\r\n",
        b"2x0 \r\n",
        b"250+x\r\n",
        b"150 x\r\n",
        b"600 x\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"+OK\r\n",
    ] {
        assert_eq!(read(bad, 100), Err(ReplyError::Malformed), "{bad:?}");
    }
}

#[test]
fn a_reply_without_end_is_given_up() {
    let line = |octets: usize| [b"250 ".as_slice(), &vec![b'x'; octets - 6], b"\r\n"].concat();
    assert!(read(&line(LINE_OCTETS_MAX), 1000).is_ok());
    assert_eq!(
        read(&line(LINE_OCTETS_MAX + 1), 1000),
        Err(ReplyError::TooLong)
    );
    assert_eq!(
        read(&[b'2'; LINE_OCTETS_MAX + 1], 1000),
        Err(ReplyError::TooLong)
    );
    let lines = |count: usize| [b"250-x\r\n".repeat(count - 1), b"250 x\r\n".to_vec()].concat();
    assert!(read(&lines(LINES_MAX), 1000).is_ok());
    assert_eq!(read(&lines(LINES_MAX + 1), 1000), Err(ReplyError::TooLong));
}

#[test]
fn the_enhanced_code_counts_only_if_its_class_does() {
    for (code, text, expected) in [
        (550, "5.1.1 no such user", Some((1, 1))),
        (452, "4.2.2 <a@b> full", Some((2, 2))),
        (550, "4.1.1 mixed", None),
        (550, "no such user", None),
        (550, "5.1", None),
        (550, "5.1.1.1 x", None),
        (550, "", None),
    ] {
        assert_eq!(reply(code, &[text]).enhanced(), expected, "{text}");
    }
}

#[test]
fn what_a_server_says_is_printable_and_short() {
    let said = reply(550, &["\u{1b}[2Jno\r", "\0", &"x".repeat(10_000)]).to_string();
    assert!(said.len() < 500);
    assert!(!said.contains(char::is_control), "{said:?}");
}

#[test]
fn extensions_are_read_without_regard_to_case() {
    let lines = [
        "mx.example greets",
        "pipelining",
        "SIZE 1000",
        "8bitMIME",
        "AUTH  LOGIN plain",
        "STARTTLS",
        "X",
    ];
    assert_eq!(
        Extensions::of(&reply(250, &lines)),
        Extensions {
            size: Some(Some(1000)),
            eight_bit: true,
            pipelining: true,
            starttls: true,
            auth_plain: true,
        }
    );
    for (line, size) in [
        ("SIZE", Some(None)),
        ("SIZE 0", Some(None)),
        ("SIZE x", Some(None)),
        ("", None),
    ] {
        assert_eq!(Extensions::of(&reply(250, &["mx", line])).size, size);
    }
    // The first line is the server's name, whatever it is called.
    assert_eq!(
        Extensions::of(&reply(250, &["STARTTLS"])),
        Extensions::default()
    );
}

proptest! {
    #[test]
    fn any_octets_give_the_same_however_they_are_cut(
        octets in proptest::collection::vec(prop_oneof![Just(b'2'), Just(b'5'), Just(b'0'), Just(b'-'), Just(b' '), Just(b'\r'), Just(b'\n'), any::<u8>()], 0..200),
        cuts in 1_usize..20,
    ) {
        prop_assert_eq!(read(&octets, cuts), read(&octets, octets.len()));
    }
}
