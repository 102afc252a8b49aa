//! The timestamp in a greeting (RFC 1939 §7, APOP).

use alloc::string::String;

/// The timestamp, brackets included, or `None` if the greeting holds none that is a msg-id.
///
/// ```abnf
/// msg-id = "<" 1*text "@" 1*text ">"    ; printable ASCII without SP, "<", ">", "@"
/// ```
///
/// Anything looser lets an attacker choose the octets that MD5 collisions are made of and read
/// the first characters of the password (PRJ-APOP-7, CVE-2007-1558).
pub(super) fn timestamp(greeting: &[u8]) -> Option<String> {
    let start = memchr::memchr(b'<', greeting)?;
    let from = greeting.get(start..)?;
    let end = memchr::memchr(b'>', from)?;
    let (inside, after) = (from.get(1..end)?, from.get(end + 1..)?);
    // One timestamp, or it is not clear which.
    if memchr::memchr2(b'<', b'>', after).is_some() {
        return None;
    }
    let mut sides = inside.split(|&octet| octet == b'@');
    let (left, right) = (sides.next()?, sides.next()?);
    let legal = |side: &[u8]| {
        !side.is_empty()
            && side
                .iter()
                .all(|octet| octet.is_ascii_graphic() && *octet != b'<')
    };
    if sides.next().is_some() || !legal(left) || !legal(right) {
        return None;
    }
    core::str::from_utf8(from.get(..=end)?).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    // PRJ-APOP-7
    #[test]
    fn prj_apop_7_a_timestamp_is_a_msg_id_or_none() {
        let known = "<1896.697170952@dbc.mtview.ca.us>";
        let greeting = ["POP3 server ready ", known].concat();
        assert_eq!(timestamp(greeting.as_bytes()).as_deref(), Some(known));
        assert_eq!(timestamp(b"<a@b> hello").as_deref(), Some("<a@b>"));
        for bad in [
            &b"ready"[..],
            b"<1896.697170952>",
            b"<@b>",
            b"<a@>",
            b"<a@b@c>",
            b"<a b@c>",
            b"<a\x80@c>",
            b"<a\x01@c>",
            b"<a\xc3\xa4@c>",
            b"<a@b",
            b"a@b>",
            b"<<a@b>",
            b"<<a@b>>",
            b"<a@b> <c@d>",
            b"><a@b",
        ] {
            assert_eq!(timestamp(bad), None, "{}", bad.escape_ascii());
        }
    }
}
