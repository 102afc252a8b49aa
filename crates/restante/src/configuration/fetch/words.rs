//! How values are written in `fetch.toml`.

use std::{path::PathBuf, time::Duration};

use restante_fetch::Keep;
use toml::{Spanned, de::DeValue};

use crate::configuration::{
    Surroundings,
    meaning::expand,
    value::{self, Wrong, parse_duration},
};

type Value<'v> = Spanned<DeValue<'v>>;

const SIZE_UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

pub(super) fn wrong(value: &Value<'_>, text: impl Into<String>, hint: impl Into<String>) -> Wrong {
    Wrong {
        span: value.span(),
        text: text.into(),
        hint: Some(hint.into()),
    }
}

/// A path: `~/` is the user's home, anything else relative to the file's directory.
pub(super) fn path(value: &Value<'_>, surroundings: &Surroundings) -> Result<PathBuf, Wrong> {
    let text = value::text(value)?;
    expand(&text, surroundings).map_err(|problem| Wrong {
        span: value.span(),
        text: format!("is {}", problem.text),
        hint: problem.hint,
    })
}

/// A size: a whole number and a unit, `"50MiB"`.
pub(super) fn size(value: &Value<'_>) -> Result<u64, Wrong> {
    let text = value::text(value)?;
    parse_size(&text).ok_or_else(|| {
        wrong(
            value,
            format!("is `{text}`, which is not a size"),
            "write a whole number and one of `B`, `kB`, `MB`, `GB`, `KiB`, `MiB`, `GiB`: `\"50MiB\"`",
        )
    })
}

fn parse_size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, octets) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    let number: u64 = number.parse().ok()?;
    number.checked_mul(*octets).filter(|size| *size > 0)
}

/// How long mail stays on its server: `"delete"`, a duration, `"forever"`.
pub(super) fn keep(value: &Value<'_>) -> Result<Keep, Wrong> {
    let text = value::text(value)?;
    match text.as_str() {
        "delete" => Ok(Keep::Delete),
        "forever" => Ok(Keep::Forever),
        duration => parse_duration(duration).map(Keep::For).ok_or_else(|| {
            wrong(
                value,
                format!("is `\"{text}\"`"),
                "write `\"delete\"`, `\"forever\"`, or how long mail stays on the server: `\"14d\"`",
            )
        }),
    }
}

/// A port.
pub(super) fn port(value: &Value<'_>) -> Result<u16, Wrong> {
    let number = value::count(value)?;
    u16::try_from(number).map_err(|_| {
        let text = format!("is {number}, which is no port");
        wrong(value, text, "write a number from 1 to 65535")
    })
}

/// A duration of at least one second.
pub(super) fn seconds(value: &Value<'_>) -> Result<Duration, Wrong> {
    let duration = value::duration(value)?;
    if duration < Duration::from_secs(1) {
        return Err(wrong(value, "is too short", "write at least `\"1s\"`"));
    }
    Ok(duration)
}

/// `host:port`, the port with a default; an IPv6 address stands in brackets.
pub(super) fn host_and_port(text: &str, port: u16) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            let port = match rest {
                "" => port,
                rest => rest.strip_prefix(':')?.parse().ok()?,
            };
            (host, port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (text, port),
        },
    };
    let sound = !host.is_empty() && port > 0 && !host.contains(['/', ' ', '@']);
    sound.then(|| (host.to_owned(), port))
}

/// Whether a name or address is this machine's, whoever is asked.
pub(super) fn is_loopback(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|it| it.is_loopback())
}
