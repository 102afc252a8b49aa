//! The capability list as it comes from servers (RFC 2449 §5–6 and the RFCs behind it).

use alloc::{string::String, vec::Vec};
use core::time::Duration;

use super::{ServerText, status::words};
use crate::{Expire, command::decimal};

/// What a server says it can do. Tags compare without regard to case; what is not known, and
/// parameters that make no sense, are ignored (R2449-CAPA-2).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Capabilities {
    /// TOP works.
    pub top: bool,
    /// UIDL works.
    pub uidl: bool,
    /// USER and PASS can be used as things stand.
    pub user: bool,
    /// STLS would be accepted now.
    pub stls: bool,
    /// Commands may be sent before earlier ones are answered (RFC 2449 §6.6).
    pub pipelining: bool,
    /// Every text that begins with `[` is a response code (RFC 2449 §6.4).
    pub resp_codes: bool,
    /// Every failure of credentials carries `[AUTH]` (RFC 3206 §6).
    pub auth_resp_code: bool,
    /// UTF8 is known; what RFC 6856 §2 says of its argument.
    pub utf8: Option<Utf8Capability>,
    /// LANG works.
    pub lang: bool,
    /// The mechanisms that AUTH takes, in upper case, if SASL is announced at all.
    pub sasl: Option<Vec<String>>,
    /// How long mail may stay.
    pub expire: Option<Varying<Expire>>,
    /// The time between a login and the next.
    pub login_delay: Option<Varying<Duration>>,
    /// For people alone: nothing here depends on it (R2449-IMPL-2).
    pub implementation: Option<ServerText>,
}

/// What `UTF8` promises (RFC 6856 §2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Utf8Capability {
    /// Names and passwords of USER, PASS and APOP may be UTF-8 (RFC 6856 §2.2).
    pub user: bool,
}

/// A value that the user's own may differ from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Varying<T> {
    /// The value.
    pub value: T,
    /// It came with ` USER`: CAPA after login tells the user's own value (R2449-CAPA-6).
    pub varies: bool,
}

impl Capabilities {
    /// Whether AUTH takes `mechanism`, whatever the case of its letters.
    #[must_use]
    pub fn mechanism(&self, mechanism: &str) -> bool {
        let mechanisms = self.sasl.iter().flatten();
        mechanisms
            .into_iter()
            .any(|name| name.eq_ignore_ascii_case(mechanism))
    }

    /// Whether another CAPA after login may tell more (R2449-CAPA-6).
    #[must_use]
    pub fn vary_by_user(&self) -> bool {
        self.expire.is_some_and(|expire| expire.varies)
            || self.login_delay.is_some_and(|delay| delay.varies)
    }

    /// Takes the next line of the answer to CAPA, without dot-stuffing and CRLF.
    pub(super) fn add(&mut self, line: &[u8]) {
        let mut parameters = words(line);
        let Some(tag) = parameters.next() else {
            return;
        };
        let is = |name: &str| tag.eq_ignore_ascii_case(name.as_bytes());
        if is("TOP") {
            self.top = true;
        } else if is("UIDL") {
            self.uidl = true;
        } else if is("USER") {
            self.user = true;
        } else if is("STLS") {
            self.stls = true;
        } else if is("PIPELINING") {
            self.pipelining = true;
        } else if is("RESP-CODES") {
            self.resp_codes = true;
        } else if is("AUTH-RESP-CODE") {
            self.auth_resp_code = true;
        } else if is("LANG") {
            self.lang = true;
        } else if is("UTF8") {
            let user = parameters.any(is_user);
            self.utf8 = Some(Utf8Capability { user });
        } else if is("SASL") {
            let names = parameters.filter_map(mechanism_name);
            self.sasl.get_or_insert_default().extend(names);
        } else if is("EXPIRE") {
            self.expire = varying(parameters, expire);
        } else if is("LOGIN-DELAY") {
            let seconds = |word: &[u8]| decimal(word).map(Duration::from_secs);
            self.login_delay = varying(parameters, seconds);
        } else if is("IMPLEMENTATION") {
            let text = line.get(tag.len()..).unwrap_or_default();
            self.implementation = Some(ServerText::new(text.trim_ascii()));
        }
    }
}

fn is_user(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"USER")
}

/// RFC 4422 §3.1; anything else is no mechanism that could be asked for.
fn mechanism_name(word: &[u8]) -> Option<String> {
    let legal = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    let name = core::str::from_utf8(word).ok()?;
    word.iter().all(legal).then(|| name.to_ascii_uppercase())
}

fn expire(word: &[u8]) -> Option<Expire> {
    if word.eq_ignore_ascii_case(b"NEVER") {
        return Some(Expire::Never);
    }
    let days = decimal(word)?;
    // More days than fit are more than anybody lives.
    Some(Expire::Days(u32::try_from(days).unwrap_or(u32::MAX)))
}

fn varying<'l, T>(
    mut parameters: impl Iterator<Item = &'l [u8]>,
    parse: impl Fn(&[u8]) -> Option<T>,
) -> Option<Varying<T>> {
    let value = parse(parameters.next()?)?;
    let varies = parameters.next().is_some_and(is_user);
    Some(Varying { value, varies })
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn parse(lines: &[&str]) -> Capabilities {
        let mut capabilities = Capabilities::default();
        for line in lines {
            capabilities.add(line.as_bytes());
        }
        capabilities
    }

    #[test]
    fn r2449_capa_2_tags_in_any_case_unknown_ones_ignored() {
        let capabilities = parse(&[
            "top",
            "Uidl now",
            "X-SECRET a b c",
            "",
            "  ",
            "pipelining",
            "sasl plain Scram-Sha-256  x\u{fc}",
            "SASL LOGIN",
            "utf8 user",
            "TOPS",
            "expire 30 user",
            "Login-Delay 900",
            "Implementation  Some thing ",
        ]);
        assert_eq!(
            capabilities,
            Capabilities {
                top: true,
                uidl: true,
                pipelining: true,
                sasl: Some(vec!["PLAIN".into(), "SCRAM-SHA-256".into(), "LOGIN".into()]),
                utf8: Some(Utf8Capability { user: true }),
                expire: Some(Varying {
                    value: Expire::Days(30),
                    varies: true
                }),
                login_delay: Some(Varying {
                    value: Duration::from_secs(900),
                    varies: false
                }),
                implementation: Some(ServerText::new(b"Some thing")),
                ..Capabilities::default()
            }
        );
        assert!(capabilities.mechanism("scram-sha-256"));
        assert!(!capabilities.mechanism("SCRAM-SHA-1"));
        assert!(capabilities.vary_by_user());
    }

    #[test]
    fn parameters_that_make_no_sense_are_ignored() {
        let capabilities = parse(&["EXPIRE", "LOGIN-DELAY soon", "SASL", "UTF8"]);
        assert_eq!(capabilities.expire, None);
        assert_eq!(capabilities.login_delay, None);
        assert_eq!(capabilities.sasl, Some(vec![]));
        assert_eq!(capabilities.utf8, Some(Utf8Capability { user: false }));
        assert!(!capabilities.vary_by_user());
        let capabilities = parse(&["EXPIRE 99999999999", "LOGIN-DELAY 18446744073709551616"]);
        assert_eq!(
            capabilities.expire.map(|it| it.value),
            Some(Expire::Days(u32::MAX))
        );
        assert_eq!(capabilities.login_delay, None);
        let never = parse(&["EXPIRE never"]).expire;
        assert_eq!(never.map(|it| it.value), Some(Expire::Never));
    }
}
