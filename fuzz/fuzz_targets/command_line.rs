//! Any line is a command or an error, whatever the case of its keyword, and what is shown of it
//! holds no password (R1939-FRAME-2, PRJ-SEC-1, PRJ-SEC-2).
#![no_main]

use libfuzzer_sys::fuzz_target;
use restante_proto::Command;

fuzz_target!(|line: &[u8]| {
    let shown = format!("{:?}", Command::parse(line));
    let keyword = line.len().min(4);
    let lower = [&line[..keyword].to_ascii_lowercase(), &line[keyword..]].concat();
    assert_eq!(format!("{:?}", Command::parse(&lower)), shown);
    if lower.starts_with(b"pass ") {
        assert_eq!(shown, "Ok(Pass(SecretBox<[u8]>([REDACTED])))");
    }
});
