//! Tests of responses.

use alloc::{format, string::String, vec::Vec};

use proptest::prelude::*;

use super::*;

fn line(text: &str) -> String {
    let mut out = Vec::new();
    ResponseLine::begin(StatusIndicator::Ok, &mut out)
        .text(text)
        .end();
    String::from_utf8(out).expect("UTF-8 stays UTF-8")
}

#[test]
fn r1939_status_1_and_r2449_code_1_the_beginning_of_a_line() {
    // R1957-STATUS-3: there is always some text. R2449-CODE-1: the code comes first.
    let mut out = Vec::new();
    Response::ok(Text::Goodbye).write(Language::Default, &mut out);
    Response::err(Text::UnknownCommand).write(Language::Default, &mut out);
    for code in [
        ResponseCode::Auth,
        ResponseCode::InUse,
        ResponseCode::LoginDelay,
        ResponseCode::SysPerm,
        ResponseCode::SysTemp,
    ] {
        Response::coded(code, Text::Temporary).write(Language::German, &mut out);
    }
    let wanted = "+OK goodbye\r\n-ERR unknown command\r\n\
        -ERR [AUTH] vorübergehende Störung, bitte später versuchen\r\n\
        -ERR [IN-USE] vorübergehende Störung, bitte später versuchen\r\n\
        -ERR [LOGIN-DELAY] vorübergehende Störung, bitte später versuchen\r\n\
        -ERR [SYS/PERM] vorübergehende Störung, bitte später versuchen\r\n\
        -ERR [SYS/TEMP] vorübergehende Störung, bitte später versuchen\r\n";
    assert_eq!(String::from_utf8(out).as_deref(), Ok(wanted));
}

#[test]
fn prj_code_4_and_r2449_resp_1_text_is_never_taken_for_a_code() {
    assert_eq!(line("[AUTH] x"), "+OK (AUTH] x\r\n");
    assert_eq!(line("a [b]"), "+OK a [b]\r\n");
}

#[test]
fn prj_err_9_no_text_ends_a_line() {
    assert_eq!(line("a\r\n+OK b\0\u{85}"), "+OK a??+OK b??\r\n");
}

#[test]
fn r2449_len_3_a_line_has_512_octets_at_most() {
    // "+OK " and CRLF are 6 octets.
    for (text, octets) in [(505, 511), (506, 512), (507, 512), (5000, 512)] {
        assert_eq!(line(&"x".repeat(text)).len(), octets);
    }
    // Cut between characters: 'ä' has two octets.
    let cut = line(&format!("{}ä", "x".repeat(505)));
    assert_eq!(cut.len(), 511);
    assert!(cut.ends_with("x\r\n"));
    let cut = line(&format!("{}ä", "x".repeat(504)));
    assert_eq!(cut.len(), 512);
    // Words are whole or not there.
    let mut out = Vec::new();
    let mut line = ResponseLine::data(&mut out);
    line.tag(b"SASL");
    for _ in 0..100 {
        line.word(b"SCRAM-SHA-256");
    }
    line.end();
    assert!(out.len() <= 512);
    assert!(out.ends_with(b" SCRAM-SHA-256\r\n"));
}

#[test]
fn r1939_ml_2_data_lines_are_stuffed() {
    let mut out = Vec::new();
    ResponseLine::data(&mut out).tag(b".x").end();
    assert_eq!(out, b"..x\r\n");
}

proptest! {
    #[test]
    fn prj_num_7_numbers_are_plain_decimal(number in any::<u64>()) {
        let mut digits = [0; DECIMAL_OCTETS_MAX];
        let wanted = format!("{number}");
        prop_assert_eq!(decimal(number, &mut digits), wanted.as_bytes());
    }

    #[test]
    fn r2449_len_3_any_text_gives_one_line(text in any::<String>()) {
        let line = line(&text);
        prop_assert!(line.len() <= RESPONSE_OCTETS_MAX);
        prop_assert!(line.starts_with("+OK ") && line.ends_with("\r\n"));
        prop_assert!(!line[4..line.len() - 2].contains(['\r', '\n']));
        prop_assert!(!line[4..].starts_with('['));
    }
}

#[test]
fn decimal_limits() {
    let mut digits = [0; DECIMAL_OCTETS_MAX];
    assert_eq!(decimal(0, &mut digits), b"0");
    assert_eq!(decimal(u64::MAX, &mut digits), b"18446744073709551615");
}
