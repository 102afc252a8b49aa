//! The first line of a response, as it comes from servers (RFC 1939 §3, RFC 2449 §8, RFC 3206).

use super::ServerText;
use crate::{ResponseCode, StatusIndicator};

/// A status line: whether it succeeded, a response code that is known, and the words.
///
/// The indicator alone decides (R1939-STATUS-2); a bare one is enough (R1957-STATUS-4).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StatusLine {
    /// `+OK` or `-ERR`.
    pub indicator: StatusIndicator,
    /// The code, if there is one that is known.
    pub code: Option<ResponseCode>,
    /// What follows the indicator and a code that is known.
    pub text: ServerText,
}

impl StatusLine {
    /// Parses a line, given without its CRLF; `None` if it begins with neither indicator.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let (indicator, rest) = match (line.strip_prefix(b"+OK"), line.strip_prefix(b"-ERR")) {
            (Some(rest), _) => (StatusIndicator::Ok, rest),
            (None, Some(rest)) => (StatusIndicator::Err, rest),
            (None, None) => return None,
        };
        let rest = rest.trim_ascii_start();
        let (code, text) = match split_code(rest) {
            Some((code, text)) => (Some(code), text),
            None => (None, rest),
        };
        Some(Self {
            indicator,
            code,
            text: ServerText::new(text),
        })
    }

    /// The text's first word, for answers that carry a value.
    pub(super) fn words(&self) -> impl Iterator<Item = &[u8]> {
        words(self.text.as_bytes())
    }
}

/// A response code that is known and the text behind it.
///
/// Codes compare without regard to case, level by level, and levels that are not known do not
/// count: `[SYS/TEMP/DB]` is SYS/TEMP (R2449-CODE-2).
fn split_code(text: &[u8]) -> Option<(ResponseCode, &[u8])> {
    let inside = text.strip_prefix(b"[")?;
    let end = memchr::memchr(b']', inside)?;
    let (levels, after) = inside.split_at(end);
    let mut levels = levels.split(|&octet| octet == b'/');
    let (first, second) = (levels.next()?, levels.next().unwrap_or_default());
    let is = |level: &[u8], name: &str| level.eq_ignore_ascii_case(name.as_bytes());
    let code = if is(first, "AUTH") {
        ResponseCode::Auth
    } else if is(first, "IN-USE") {
        ResponseCode::InUse
    } else if is(first, "LOGIN-DELAY") {
        ResponseCode::LoginDelay
    } else if is(first, "UTF8") {
        ResponseCode::Utf8
    } else if is(first, "SYS") && is(second, "PERM") {
        ResponseCode::SysPerm
    } else if is(first, "SYS") && is(second, "TEMP") {
        ResponseCode::SysTemp
    } else {
        return None;
    };
    Some((code, after.get(1..).unwrap_or_default().trim_ascii_start()))
}

/// The words of a line, whatever number of blanks stands between them.
pub(super) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let blank = |octet: &u8| matches!(octet, b' ' | b'\t');
    line.split(blank).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    fn parse(line: &[u8]) -> (StatusIndicator, Option<ResponseCode>, alloc::string::String) {
        let line = StatusLine::parse(line).expect("a status line");
        (line.indicator, line.code, line.text.to_string())
    }

    #[test]
    fn r1957_status_4_bare_indicators_are_enough() {
        assert_eq!(parse(b"+OK"), (StatusIndicator::Ok, None, "".into()));
        assert_eq!(parse(b"-ERR"), (StatusIndicator::Err, None, "".into()));
        assert_eq!(parse(b"+OK "), (StatusIndicator::Ok, None, "".into()));
    }

    // R1939-STATUS-2
    #[test]
    fn r1939_status_2_the_indicator_alone_decides() {
        let said = parse(b"+OK error: -ERR no");
        assert_eq!(said, (StatusIndicator::Ok, None, "error: -ERR no".into()));
        let said = parse(b"-ERR +OK");
        assert_eq!(said, (StatusIndicator::Err, None, "+OK".into()));
        for line in [
            &b""[..],
            b"+ok",
            b"OK",
            b"* OK",
            b" +OK",
            b"+",
            b"-ER",
            b"220 x",
        ] {
            assert_eq!(StatusLine::parse(line), None, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn r2449_code_2_codes_in_any_case_level_by_level() {
        for (text, code) in [
            ("[SYS/TEMP] x", Some(ResponseCode::SysTemp)),
            ("[sys/Temp/DB] x", Some(ResponseCode::SysTemp)),
            ("[SYS/PERM] x", Some(ResponseCode::SysPerm)),
            ("[in-use] x", Some(ResponseCode::InUse)),
            ("[Login-Delay/900] x", Some(ResponseCode::LoginDelay)),
            ("[AUTH]x", Some(ResponseCode::Auth)),
            ("[UTF8] x", Some(ResponseCode::Utf8)),
        ] {
            let line = ["-ERR ", text].concat();
            let wanted = (StatusIndicator::Err, code, "x".into());
            assert_eq!(parse(line.as_bytes()), wanted, "{text}");
        }
        for text in [
            "[SYS]",
            "[SYS/OTHER] x",
            "[AUTHENTICATE] x",
            "[AUTH",
            "AUTH] x",
            "x [AUTH]",
        ] {
            let line = ["-ERR ", text].concat();
            let wanted = (StatusIndicator::Err, None, text.into());
            assert_eq!(parse(line.as_bytes()), wanted, "{text}");
        }
    }
}
