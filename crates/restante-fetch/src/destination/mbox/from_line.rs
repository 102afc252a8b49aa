//! The line that begins a message in an mbox (RFC 4155 App. A).

use std::time::SystemTime;

use crate::destination::sender::Sender;
use time::{OffsetDateTime, format_description::FormatItem, macros::format_description};

/// Who sent it, where nobody did or nobody can tell.
const NOBODY: &str = "MAILER-DAEMON";

/// `asctime`: the day padded with a space.
const ASCTIME: &[FormatItem<'_>] = format_description!(
    "[weekday repr:short] [month repr:short] [day padding:space] [hour]:[minute]:[second] [year]"
);

/// The line, LF included, of a message that begins with `head`, in UTC.
///
/// The sender is that of `Return-Path:`, else of `From:`; it is one word of printable ASCII, so that
/// no reader takes part of it for the date.
pub(super) fn from_line(head: &[u8], arrival: SystemTime) -> String {
    let sender = Sender::of(head);
    let sender = sender.path.or(sender.author);
    let sender = sender.as_deref().unwrap_or(NOBODY);
    let date = OffsetDateTime::from(arrival).format(ASCTIME);
    // A year that asctime cannot write comes from a clock that is wrong anyway.
    let date = date.unwrap_or_else(|_| "Thu Jan  1 00:00:00 1970".to_owned());
    format!("From {sender} {date}\n")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn line(head: &str) -> String {
        from_line(
            head.as_bytes(),
            UNIX_EPOCH + Duration::from_secs(820_631_194),
        )
    }

    #[test]
    fn the_sender_is_the_return_path_else_the_author_else_nobody() {
        let date = "Wed Jan  3 01:06:34 1996\n";
        let cases = [
            (
                "Return-Path: <a@b.example>\r\nFrom: c@d.example\r\n\r\n",
                "a@b.example",
            ),
            ("From: \"D, C\" (why) <c@d.example>\r\n\r\n", "c@d.example"),
            ("Return-Path: <>\r\nFrom: c@d.example\r\n\r\n", NOBODY),
            ("Subject: none\r\n\r\n", NOBODY),
            ("From: undisclosed\r\n\r\n", NOBODY),
            ("", NOBODY),
            ("\0\u{ff}", NOBODY),
        ];
        for (head, sender) in cases {
            assert_eq!(line(head), format!("From {sender} {date}"), "{head:?}");
        }
    }

    #[test]
    fn a_sender_never_brings_words_lines_or_escapes_of_its_own() {
        for bad in [
            "Return-Path: <a@b Sat Jan  3 01:05:34 1996>\r\n\r\n",
            "Return-Path: <a\x1b[2J@b>\r\n\r\n",
            "From: \"x y\"@example\r\n\r\n",
            &format!("Return-Path: <{}@b>\r\n\r\n", "a".repeat(300)),
        ] {
            let line = line(bad);
            assert_eq!(line.split_whitespace().count(), 7, "{line:?}");
            assert_eq!(line.lines().count(), 1, "{line:?}");
            assert!(
                line.trim_end()
                    .bytes()
                    .all(|octet| octet == b' ' || octet.is_ascii_graphic())
            );
        }
    }
}
