//! How values are written: durations, addresses, choices, and what is said when they are not.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    ops::Range,
    str::FromStr,
    time::Duration,
};

use ipnet::IpNet;
use toml::{Spanned, de::DeValue};

use super::{document::article, key::nearest_of};

/// A longer duration is a slip, and would overflow a clock.
const DURATION_MAX: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

const UNITS: [(&str, u64); 6] = [
    ("w", 7 * 24 * 60 * 60 * 1000),
    ("d", 24 * 60 * 60 * 1000),
    ("h", 60 * 60 * 1000),
    ("m", 60 * 1000),
    ("s", 1000),
    ("ms", 1),
];

/// Why a value is refused.
#[derive(Debug)]
pub(super) struct Wrong {
    /// Which octets of the file.
    pub(super) span: Range<usize>,
    /// What follows the key's name in the message.
    pub(super) text: String,
    /// What to write instead.
    pub(super) hint: Option<String>,
}

/// One word of a choice and what it means.
pub(super) enum Means<T> {
    /// This version can do it.
    Now(T),
    /// Documented for a later version.
    Later,
}

type Value<'v> = Spanned<DeValue<'v>>;

fn wrong(value: &Value<'_>, text: impl Into<String>, hint: impl Into<String>) -> Wrong {
    Wrong {
        span: value.span(),
        text: text.into(),
        hint: Some(hint.into()),
    }
}

fn wrong_type(value: &Value<'_>, expected: &str, example: &str) -> Wrong {
    let text = format!("must be {expected}, not {}", article(value.get_ref()));
    wrong(value, text, format!("write it like this: `{example}`"))
}

/// The refusal of a word that a later version will understand.
pub(super) fn later_value(value: &Value<'_>, written: &str) -> Wrong {
    wrong(
        value,
        format!("= {written} is not supported by this version"),
        "remove the line: the default is all this version can do",
    )
}

/// Text that is not empty and has no control characters.
pub(super) fn text(value: &Value<'_>) -> Result<String, Wrong> {
    let Some(text) = value.get_ref().as_str() else {
        return Err(wrong_type(value, "text", "\"…\""));
    };
    if text.is_empty() {
        return Err(wrong(value, "is empty", "write a value or remove the line"));
    }
    if text.chars().any(char::is_control) {
        return Err(wrong(
            value,
            "contains a control character",
            "`'single quotes'` keep backslashes as they are",
        ));
    }
    Ok(text.to_owned())
}

/// A list of texts as [`text`] takes them.
pub(super) fn texts(value: &Value<'_>) -> Result<Vec<String>, Wrong> {
    let Some(array) = value.get_ref().as_array() else {
        return Err(wrong_type(value, "a list", "[\"…\"]"));
    };
    array.iter().map(text).collect()
}

/// `true` or `false`.
pub(super) fn truth(value: &Value<'_>) -> Result<bool, Wrong> {
    value
        .get_ref()
        .as_bool()
        .ok_or_else(|| wrong_type(value, "`true` or `false`", "true"))
}

/// A whole number of at least 1.
pub(super) fn count(value: &Value<'_>) -> Result<u32, Wrong> {
    let Some(integer) = value.get_ref().as_integer() else {
        return Err(wrong_type(value, "a whole number", "100"));
    };
    let number = u32::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(0);
    if number == 0 {
        let hint = format!("write a whole number from 1 to {}", u32::MAX);
        return Err(wrong(value, format!("is {}", integer.as_str()), hint));
    }
    Ok(number)
}

/// A text that means one of several things, and says itself which are wanted.
pub(super) fn spelled<T: FromStr<Err: fmt::Display>>(value: &Value<'_>) -> Result<T, Wrong> {
    let text = text(value)?;
    text.parse()
        .map_err(|error| wrong(value, format!("is `{text}`"), format!("{error}")))
}

/// A duration: a whole number and a unit, `"10m"`.
pub(super) fn duration(value: &Value<'_>) -> Result<Duration, Wrong> {
    let Some(text) = value.get_ref().as_str() else {
        return Err(wrong_type(value, "a duration", "\"10m\""));
    };
    parse_duration(text).ok_or_else(|| {
        wrong(
            value,
            format!("is `{text}`, which is not a duration"),
            "write a whole number and one of `ms`, `s`, `m`, `h`, `d`, `w`: `\"10m\"`",
        )
    })
}

/// Reads `10m`; `None` if it is no duration or longer than a century.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, milliseconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let number: u64 = number.parse().ok()?;
    let duration = Duration::from_millis(number.checked_mul(*milliseconds)?);
    (duration <= DURATION_MAX).then_some(duration)
}

/// Writes a duration as [`parse_duration`] reads it, in the largest unit that is exact.
pub(crate) fn format_duration(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if milliseconds == 0 {
        return "0s".to_owned();
    }
    let exact = |(_, unit): &&(&str, u64)| milliseconds.is_multiple_of(*unit);
    // People say 7 days and 60 days, not weeks.
    let (name, unit) = UNITS[1..]
        .iter()
        .find(exact)
        .expect("every duration is a whole number of milliseconds");
    format!("{}{name}", milliseconds / unit)
}

/// A list of addresses with ports, each once.
pub(super) fn addresses(value: &Value<'_>) -> Result<Vec<SocketAddr>, Wrong> {
    let Some(array) = value.get_ref().as_array() else {
        return Err(wrong_type(
            value,
            "a list of addresses",
            "[\"127.0.0.1:1110\"]",
        ));
    };
    let mut addresses = Vec::new();
    for element in array.iter() {
        let address = address(element)?;
        if address.port() != 0 && addresses.contains(&address) {
            let text = format!("has `{address}` twice");
            return Err(wrong(element, text, "remove one of them"));
        }
        addresses.push(address);
    }
    Ok(addresses)
}

fn address(value: &Value<'_>) -> Result<SocketAddr, Wrong> {
    let Some(text) = value.get_ref().as_str() else {
        return Err(wrong_type(
            value,
            "a list of addresses",
            "[\"0.0.0.0:110\"]",
        ));
    };
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let text_wrong = format!("has `{text}`, which is not an address with a port");
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let hint = if let Ok(address) = bare.parse::<IpAddr>() {
        format!("add the port: `\"{}\"`", SocketAddr::new(address, 110))
    } else if let Some(port) = text.strip_prefix(':').or(text.strip_prefix("*:")) {
        format!("for all addresses of this machine write `\"0.0.0.0:{port}\", \"[::]:{port}\"`")
    } else if let Some(port) = text.strip_prefix("localhost:") {
        format!("write `\"127.0.0.1:{port}\"` or `\"[::1]:{port}\"`")
    } else if text.starts_with("unix:") {
        "POP3 listens on TCP only: `\"127.0.0.1:110\"`".to_owned()
    } else {
        "write an IP address and a port: `\"192.0.2.1:110\"`, `\"[2001:db8::1]:110\"`".to_owned()
    };
    Err(wrong(value, text_wrong, hint))
}

/// A list of networks; an address is a network of one.
pub(super) fn networks(value: &Value<'_>) -> Result<Vec<IpNet>, Wrong> {
    let not_networks = || wrong_type(value, "a list of networks", "[\"10.0.0.0/8\"]");
    let array = value.get_ref().as_array().ok_or_else(not_networks)?;
    array.iter().map(network).collect()
}

fn network(value: &Value<'_>) -> Result<IpNet, Wrong> {
    let Some(text) = value.get_ref().as_str() else {
        return Err(wrong_type(value, "a list of networks", "[\"10.0.0.0/8\"]"));
    };
    let address = text.parse::<IpAddr>().map(IpNet::from);
    let network = address.or_else(|_| text.parse::<IpNet>()).ok();
    // Peers are compared in their plain form, which such a network does not contain.
    let plain = network.filter(|network| network.addr() == network.addr().to_canonical());
    match plain {
        Some(network) if network == network.trunc() => Ok(network),
        Some(network) => {
            let hint = format!(
                "write the network `\"{}\"`, or the address alone",
                network.trunc()
            );
            Err(wrong(
                value,
                format!("has `{text}`, an address in a network"),
                hint,
            ))
        }
        None => {
            let hint = "write an IP address, or a network: `\"10.0.0.0/8\"`, `\"2001:db8::/32\"`";
            Err(wrong(
                value,
                format!("has `{text}`, which is not a network"),
                hint,
            ))
        }
    }
}

/// One of some words.
pub(super) fn choice<T>(
    value: &Value<'_>,
    choices: impl IntoIterator<Item = (&'static str, Means<T>)>,
) -> Result<T, Wrong> {
    let Some(text) = value.get_ref().as_str() else {
        return Err(wrong_type(value, "text", "\"…\""));
    };
    let mut able = Vec::new();
    for (word, means) in choices {
        match means {
            Means::Now(meaning) if word == text => return Ok(meaning),
            Means::Later if word == text => return Err(later_value(value, &format!("\"{word}\""))),
            Means::Now(_) => able.push(word),
            Means::Later => {}
        }
    }
    let hint = nearest_of(text, able.iter().copied()).map_or_else(
        || format!("write {}", alternatives(&able)),
        |near| format!("did you mean `\"{near}\"`?"),
    );
    Err(wrong(value, format!("is `\"{text}\"`"), hint))
}

/// A list of words, each once, each one of `known`; those of `later` are for a later version.
pub(super) fn words(
    value: &Value<'_>,
    known: &[&'static str],
    later: &[&'static str],
) -> Result<Vec<&'static str>, Wrong> {
    let example = format!("[\"{}\"]", known.first().copied().unwrap_or_default());
    let Some(array) = value.get_ref().as_array() else {
        return Err(wrong_type(value, "a list", &example));
    };
    let mut words = Vec::new();
    for element in array.iter() {
        let choices = known.iter().map(|word| (*word, Means::Now(*word)));
        let later = later.iter().map(|word| (*word, Means::Later));
        let word = choice(element, choices.chain(later))?;
        if words.contains(&word) {
            return Err(wrong(
                element,
                format!("has `\"{word}\"` twice"),
                "remove one of them",
            ));
        }
        words.push(word);
    }
    Ok(words)
}

fn alternatives(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
    match quoted.split_last() {
        None => "nothing".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}
