//! Tests of commands: known answers, and what no command may do.

use alloc::{format, string::ToString, vec::Vec};

use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;

fn shown(line: &[u8]) -> alloc::string::String {
    match Command::parse(line) {
        Ok(command) => format!("{command:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn r1939_frame_2_and_frame_4_keywords() {
    for keyword in Keyword::ALL {
        let name = keyword.as_str().as_bytes();
        // R1939-FRAME-2: in any case. R1939-FRAME-4: neither longer nor shorter.
        let mixed: Vec<u8> = name
            .iter()
            .enumerate()
            .map(|(at, octet)| match at % 2 {
                0 => octet.to_ascii_lowercase(),
                _ => octet.to_ascii_uppercase(),
            })
            .collect();
        let given = match Command::parse(&mixed) {
            Ok(command) => Some(command.keyword()),
            Err(error) => error.keyword(),
        };
        assert_eq!(given, Some(keyword));
        for wrong in [
            [name, b"X"].concat(),
            name[1..].to_vec(),
            [b" ", name].concat(),
        ] {
            let error = Command::parse(&wrong).expect_err("no keyword");
            assert_eq!(error, CommandError::Unknown, "{wrong:?}");
            assert_eq!(error.keyword(), None);
        }
    }
}

#[test]
fn known_answers() {
    for (line, wanted) in [
        (&b"STAT"[..], "Stat"),
        (b"list", "List(None)"),
        (b"LIST 7", "List(Some(MessageNumber(7)))"),
        (b"RETR 4294967295", "Retr(MessageNumber(4294967295))"),
        (b"TOP 1 0", "Top { number: MessageNumber(1), lines: 0 }"),
        (
            b"TOP 1 18446744073709551615",
            "Top { number: MessageNumber(1), lines: 18446744073709551615 }",
        ),
        (b"TOP 1 18446744073709551616", "invalid line count for TOP"),
        (b"TOP 1 ", "missing argument to Top"),
        (b"LIST ", "missing argument to List"),
        (b"AUTH", "AuthList"),
        (b"AUTH ", "AuthList"),
        (b"LANG", "Lang(None)"),
        (b"LANG *", "Lang(Some(LanguageRange(\"*\")))"),
        (b"USER a@b", "User(\"a@b\")"),
        (b"PASS", "missing argument to Pass"),
        (b"", "unknown command"),
        (b" ", "unknown command"),
    ] {
        assert_eq!(shown(line), wanted, "{line:?}");
    }
}

// PRJ-NUM-3, PRJ-NUM-4.
#[test]
fn prj_num_2_numbers_of_any_length() {
    let zeros = alloc::vec![b'0'; 300];
    let nines = alloc::vec![b'9'; 300];
    assert_eq!(decimal(&zeros), Some(0));
    assert_eq!(decimal(&[&zeros[..], b"10"].concat()), Some(10));
    assert_eq!(decimal(&nines), None);
    assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
    assert_eq!(decimal(b"18446744073709551616"), None);
    for wrong in [&b""[..], b"+1", b"-1", b"1x", b"1.0", b"0x1", b" 1", b"1 "] {
        assert_eq!(decimal(wrong), None, "{wrong:?}");
    }
}

#[test]
fn r1939_pass_2_the_argument_is_the_rest_of_the_line() {
    for rest in [&b""[..], b" ", b"  a  b  ", b"\xff\xfe"] {
        let line = [b"PASS ", rest].concat();
        let Ok(Command::Pass(password)) = Command::parse(&line) else {
            panic!("{line:?}");
        };
        assert_eq!(password.expose_secret(), rest);
    }
}

#[test]
fn prj_sec_2_secrets_are_not_shown() {
    for line in [
        &b"PASS tanstaaf"[..],
        b"AUTH PLAIN tanstaaf",
        b"APOP tim 7a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a",
        b"PASS",
        b"AUTH PL?IN tanstaaf",
    ] {
        let shown = shown(line);
        for secret in ["tanstaaf", "6a6a", "116, 97"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

proptest! {
    // PRJ-SEC-1: any line is a command or an error.
    #[test]
    fn prj_sec_1_any_line_is_a_command_or_an_error(
        keyword in proptest::option::of(0..Keyword::ALL.len()),
        rest in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let line = match keyword {
            Some(index) => [Keyword::ALL[index].as_str().as_bytes(), b" ", &rest].concat(),
            None => rest,
        };
        let _ = Command::parse(&line);
    }

    #[test]
    fn prj_num_4_numbers_are_never_wrapped(number in any::<u128>(), zeros in 0_usize..30) {
        let text = format!("{}{number}", "0".repeat(zeros));
        prop_assert_eq!(decimal(text.as_bytes()), u64::try_from(number).ok());
        let line = format!("DELE {text}");
        let wanted = u32::try_from(number).ok().and_then(MessageNumber::new);
        match Command::parse(line.as_bytes()) {
            Ok(Command::Dele(given)) => prop_assert_eq!(Some(given), wanted),
            Err(CommandError::MessageNumber(Keyword::Dele)) => prop_assert_eq!(wanted, None),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
