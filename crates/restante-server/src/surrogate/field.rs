//! One header field in ASCII.

use std::borrow::Cow;

use mail_builder::headers::{
    Header,
    address::{Address, EmailAddress, GroupedAddresses},
    content_type::ContentType,
    text::Text,
};
use mail_parser::{Addr, HeaderValue, parsers::MessageStream};

/// Nobody's address: `.invalid` never resolves (RFC 6858 §2.1, RFC 2606).
const INVALID_ADDRESS: &str = "invalid@internationalized-address.invalid";

/// Fields of addresses (RFC 6858 §2.1).
const ADDRESSES: [&str; 14] = [
    "bcc",
    "cc",
    "from",
    "reply-to",
    "resent-bcc",
    "resent-cc",
    "resent-from",
    "resent-reply-to",
    "resent-sender",
    "resent-to",
    "return-path",
    "sender",
    "to",
    "disposition-notification-to",
];

/// Fields of a value and parameters (RFC 6858 §2.2).
const PARAMETERS: [&str; 2] = ["content-disposition", "content-type"];

/// Fields of nothing but text (RFC 6858 §2.3, RFC 2047 §5).
const TEXTS: [&str; 3] = ["comments", "content-description", "subject"];

/// Appends what can be shown of a field that is not ASCII, with CRLF line ends; nothing if
/// nothing can be shown (RFC 6858 §2.4).
pub(super) fn append_surrogate(field: &[u8], out: &mut Vec<u8>) {
    let Some(colon) = memchr::memchr(b':', field) else {
        return;
    };
    let (name, value) = field.split_at(colon);
    let Ok(name) = str::from_utf8(name) else {
        return;
    };
    let kind = name.trim_end_matches([' ', '\t']).to_ascii_lowercase();
    let value = text_of(value.get(1..).unwrap_or_default());
    let mut written = Vec::new();
    let column = name.len() + 2;
    if ADDRESSES.contains(&kind.as_str()) {
        addresses(&value).write_header(&mut written, column);
    } else if PARAMETERS.contains(&kind.as_str()) {
        match parameters(&value) {
            Some(shown) => shown.write_header(&mut written, column),
            None => return,
        }
    } else if TEXTS.contains(&kind.as_str()) {
        Text::new(text(&value)).write_header(&mut written, column);
    } else {
        return;
    }
    // What the library writes is ASCII; should it ever not be, nothing is shown.
    if name.is_ascii() && written.is_ascii() {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(&written);
    }
}

/// The octets as text, ended as the parsers want it. What is not UTF-8 was never internationalized
/// mail but a program's mistake; its octets are read as the first 256 characters, so that ASCII
/// words stay readable and nothing is lost.
fn text_of(octets: &[u8]) -> String {
    let mut text = match str::from_utf8(octets) {
        Ok(text) => text.to_owned(),
        Err(_) => octets.iter().map(|&octet| char::from(octet)).collect(),
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// The addresses, those that are not ASCII replaced (RFC 6858 §2.1).
fn addresses(value: &str) -> Address<'_> {
    let parsed = MessageStream::new(value.as_bytes()).parse_address();
    match parsed {
        HeaderValue::Address(mail_parser::Address::List(list)) => {
            Address::List(list.into_iter().map(address).collect())
        }
        HeaderValue::Address(mail_parser::Address::Group(groups)) => {
            let group = |group: mail_parser::Group<'_>| {
                Address::Group(GroupedAddresses {
                    name: group.name.map(owned),
                    addresses: group.addresses.into_iter().map(address).collect(),
                })
            };
            Address::List(groups.into_iter().map(group).collect())
        }
        // A field that holds no address still says that there was somebody.
        _ => Address::new_address(Some(value.trim().to_owned()), INVALID_ADDRESS),
    }
}

fn address(parsed: Addr<'_>) -> Address<'static> {
    let address = parsed.address.unwrap_or_default();
    let name = parsed.name.filter(|name| !name.trim().is_empty());
    let shown = if address.is_ascii() && !address.is_empty() {
        EmailAddress {
            name: name.map(owned),
            email: owned(address),
        }
    } else {
        // The reader sees who it was; no program can answer to it by mistake.
        let who = match name {
            Some(name) if address.is_empty() => name.into_owned(),
            Some(name) => format!("{name} <{address}>"),
            None => address.into_owned(),
        };
        EmailAddress {
            name: Some(who.into()),
            email: INVALID_ADDRESS.into(),
        }
    };
    Address::Address(shown)
}

/// The value with those parameters that can be shown exactly: RFC 2231 writes every text in
/// ASCII, but not every name (R6858-DOWN-2).
fn parameters(value: &str) -> Option<ContentType<'static>> {
    let parsed = MessageStream::new(value.as_bytes()).parse_content_type();
    let HeaderValue::ContentType(parsed) = parsed else {
        return None;
    };
    let kind = match &parsed.c_subtype {
        Some(subtype) => format!("{}/{subtype}", parsed.c_type),
        None => parsed.c_type.into_owned(),
    };
    kind.is_ascii().then_some(())?;
    let mut shown = ContentType::new(kind);
    for attribute in parsed.attributes.into_iter().flatten() {
        if attribute.name.is_ascii() {
            shown = shown.attribute(owned(attribute.name), owned(attribute.value));
        }
    }
    Some(shown)
}

/// The text, with encoded words decoded: they are encoded again with all else.
fn text(value: &str) -> String {
    match MessageStream::new(value.as_bytes()).parse_unstructured() {
        HeaderValue::Text(text) => text.into_owned(),
        _ => value.trim().to_owned(),
    }
}

fn owned(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}
