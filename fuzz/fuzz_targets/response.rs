//! A status line is read or not, by its indicator alone; a code does not depend on case; and what
//! is shown of the text cannot drive a terminal (R1939-STATUS-2, R2449-CODE-2).
#![no_main]

use libfuzzer_sys::fuzz_target;
use restante_proto::client::StatusLine;

fuzz_target!(|line: &[u8]| {
    let parsed = StatusLine::parse(line);
    let indicated = line.starts_with(b"+OK") || line.starts_with(b"-ERR");
    assert_eq!(parsed.is_some(), indicated);
    let Some(parsed) = parsed else { return };
    assert!(line.ends_with(parsed.text.as_bytes()));
    assert!(!parsed.text.to_string().contains(|c: char| c.is_control()));
    let (indicator, text) = line.split_at(if line[0] == b'+' { 3 } else { 4 });
    let lower = [indicator, &text.to_ascii_lowercase()].concat();
    let lower = StatusLine::parse(&lower).expect("the same indicator");
    assert_eq!((lower.indicator, lower.code), (parsed.indicator, parsed.code));
});
