//! Who sent a message, by its header.

use mail_parser::{HeaderName, HeaderValue, MessageParser};

/// How much of a message is looked at.
pub(super) const HEAD_OCTETS_MAX: usize = 16 * 1024;

/// The longest sender (RFC 5321 §4.5.3.1.3: a path has 256 octets, `<` and `>` included).
const SENDER_OCTETS_MAX: usize = 254;

/// What the header tells of the sender.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Sender {
    /// Of `Return-Path:`; `None` if there is none, it is the null path of a report about delivery,
    /// or it is not one word of printable ASCII.
    pub(super) path: Option<String>,
    /// Of `From:`, if there is no `Return-Path:`.
    pub(super) author: Option<String>,
}

impl Sender {
    /// Of a message that begins with `head`.
    pub(super) fn of(head: &[u8]) -> Self {
        let mut sender = Self {
            path: None,
            author: None,
        };
        let Some(head) = MessageParser::new().parse_headers(head) else {
            return sender;
        };
        match head.header(HeaderName::ReturnPath) {
            Some(HeaderValue::Text(path)) => sender.path = word(path),
            Some(_) => {}
            None => {
                let author = head.from().and_then(|from| from.first());
                let address = author.and_then(|author| author.address.as_deref());
                sender.author = address.and_then(word);
            }
        }
        sender
    }
}

/// One word, so that nobody takes part of it for something else.
fn word(address: &str) -> Option<String> {
    let address = address.trim();
    let plain = |octet: u8| octet.is_ascii_graphic() && !matches!(octet, b'<' | b'>');
    let is_word =
        !address.is_empty() && address.len() <= SENDER_OCTETS_MAX && address.bytes().all(plain);
    is_word.then(|| address.to_owned())
}
