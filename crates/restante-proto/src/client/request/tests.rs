//! Tests of the lines of commands.

use alloc::{string::String, vec, vec::Vec};

use super::*;
use crate::client::Utf8Capability;

fn line(command: &Command) -> Result<Vec<u8>, RequestError> {
    line_with(command, &Capabilities::default())
}

fn line_with(command: &Command, known: &Capabilities) -> Result<Vec<u8>, RequestError> {
    let mut out = Vec::new();
    Request::new(command, None, known)?.write(&mut out);
    Ok(out)
}

fn user(name: &str) -> Command {
    Command::User(name.into())
}

fn pass(password: &[u8]) -> Command {
    Command::Pass(password.to_vec().into())
}

// R1939-FRAME-1, R1939-FRAME-3, PRJ-NUM-7: and what is written is what the server's side reads.
#[test]
fn r1939_frame_3_lines_are_keyword_and_words_with_one_space() {
    let second = MessageNumber::new(2).expect("not 0");
    for (command, wanted) in [
        (Command::Capa, "CAPA\r\n"),
        (Command::AuthList, "AUTH\r\n"),
        (Command::Lang(None), "LANG\r\n"),
        (Command::List(None), "LIST\r\n"),
        (Command::List(Some(second)), "LIST 2\r\n"),
        (Command::Uidl(Some(second)), "UIDL 2\r\n"),
        (Command::Retr(second), "RETR 2\r\n"),
        (
            Command::Top {
                number: second,
                lines: 0,
            },
            "TOP 2 0\r\n",
        ),
        (Command::Dele(second), "DELE 2\r\n"),
        (user("tim"), "USER tim\r\n"),
        (pass(b" a  b "), "PASS  a  b \r\n"),
        (Command::Quit, "QUIT\r\n"),
    ] {
        let line = line(&command).expect("legal");
        assert_eq!(String::from_utf8_lossy(&line), wanted);
        let text = line.strip_suffix(b"\r\n").expect("CRLF");
        let parsed = Command::parse(text).expect("a command");
        // R1939-FRAME-4.
        assert_eq!(parsed.keyword(), command.keyword());
    }
}

// R2449-LEN-2: n − 1, n, n + 1.
#[test]
fn r2449_len_2_no_line_exceeds_255_octets() {
    for (octets, fits) in [(254, true), (255, true), (256, false), (10_000, false)] {
        let name = "x".repeat(octets - "USER \r\n".len());
        let wanted = RequestError::LineTooLong {
            keyword: Keyword::User,
            octets,
        };
        match line(&user(&name)) {
            Ok(line) => assert!(fits && line.len() == octets),
            Err(error) => assert_eq!((fits, error), (false, wanted)),
        }
        assert_eq!(line(&pass(&vec![b'x'; octets - 7])).is_ok(), fits);
    }
    assert!(initial_response_fits(
        "PLAIN",
        255 - "AUTH PLAIN \r\n".len()
    ));
    assert!(!initial_response_fits(
        "PLAIN",
        256 - "AUTH PLAIN \r\n".len()
    ));
}

#[test]
fn prj_pass_6_line_ends_and_nuls_are_refused() {
    for octets in [&b"a\r\nDELE 1"[..], b"a\n", b"a\r", b"a\0", b""] {
        let refused = Err(RequestError::Field(Keyword::Pass));
        assert_eq!(line(&pass(octets)), refused, "{}", octets.escape_ascii());
    }
    for name in ["", "a b", "a\r\nQUIT", "a\n", "a\0", "a\tb", "a\u{85}b"] {
        let refused = Err(RequestError::Field(Keyword::User));
        assert_eq!(line(&user(name)), refused, "{name:?}");
    }
}

// R6856-USER-2
#[test]
fn r6856_user_2_beyond_ascii_only_where_announced() {
    let announced = Capabilities {
        utf8: Some(Utf8Capability { user: true }),
        ..Capabilities::default()
    };
    let without_user = Capabilities {
        utf8: Some(Utf8Capability { user: false }),
        ..Capabilities::default()
    };
    let jorg = user("jörg");
    let refused = Err(RequestError::NonAscii(Keyword::User));
    assert_eq!(line(&jorg), refused);
    assert_eq!(line_with(&jorg, &without_user), refused);
    assert_eq!(line_with(&jorg, &announced), Ok("USER jörg\r\n".into()));
    let latin1 = pass(b"stra\xdfe");
    let refused = Err(RequestError::NonAscii(Keyword::Pass));
    assert_eq!(line(&latin1), refused);
    assert_eq!(line_with(&latin1, &announced), refused);
}
