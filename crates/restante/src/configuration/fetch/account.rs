//! `[[account]]`: where mail is, whose it is, and what is wanted of it.

use std::{sync::Arc, time::Duration};

use restante_client::{Octets, Pin, Proxy, Security, Server, Tls, TlsError};
use restante_fetch::{
    Account, AccountName, Assignment, Keep, Larger, Nameless, Policy, Secret, Source,
};
use rustls_pki_types::DnsName;
use secrecy::SecretString;
use toml::{Spanned, de::DeValue};

use super::{
    FetchAccount, deliver, keyring,
    section::Section,
    words::{self, wrong},
};
use crate::configuration::{
    Surroundings,
    problem::Problem,
    value::{self, Means, Wrong},
};

const TIMEOUT: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_secs(5 * 60);
const KEEP: Keep = Keep::For(Duration::from_secs(14 * 24 * 60 * 60));
const MESSAGE_OCTETS_MAX: u64 = 200 << 20;
/// A server may announce a message as smaller than it is; so much larger it may be.
const SIZE_ERROR_MAX: u64 = 1 << 20;

/// Reads accounts.
pub(super) struct Reader<'r> {
    pub(super) text: &'r str,
    pub(super) surroundings: &'r Surroundings,
    /// Others than its owner can read the file: no password may stand in it.
    pub(super) open_to_others: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Protection {
    Implicit,
    Stls,
    None,
}

impl<'r> Reader<'r> {
    /// An account, if everything about it makes sense.
    pub(super) fn read(
        &self,
        value: Spanned<DeValue<'r>>,
        problems: &mut Vec<Problem>,
    ) -> Option<FetchAccount> {
        let mut section = match Section::of_value(self.text, "account.", value) {
            Ok(section) => section,
            Err(problem) => {
                problems.push(problem);
                return None;
            }
        };
        let name = section.need("name", "\"work\"", account_name);
        let user = section.need("user", "\"me@example.com\"", value::text);
        let server = self.server(&mut section);
        let host = server.as_ref().map(|server| server.host.as_str());
        let secret = self.secret(&mut section, host, user.as_deref());
        let policy = policy(&mut section);
        let apop = section.take("apop", value::truth).unwrap_or_default();
        let received = section.take("received", value::truth).unwrap_or_default();
        let interval = section.take("interval", words::seconds).unwrap_or(INTERVAL);
        let places = deliver::read(self, &mut section);
        let found = section.finish();
        let sound = found.is_empty();
        problems.extend(found);
        let (name, user, mut server, places) = (name?, user?, server?, places?);
        let limit = policy.message_octets_max.saturating_add(SIZE_ERROR_MAX);
        server.limits.message_octets_max = Octets(limit);
        let asks = secret.is_none();
        let account_name = name.as_str().to_owned();
        let account = Account {
            name,
            apop: apop || matches!(server.security, Security::CleartextWithoutPassword),
            server,
            user,
            secret: secret.unwrap_or(Secret::Password(Source::Known(SecretString::default()))),
            policy,
            received,
            interval,
        };
        sound.then(|| FetchAccount {
            assignment: Assignment {
                account,
                destinations: Arc::new(move |state| {
                    places
                        .iter()
                        .filter_map(|place| place.open(state, &account_name))
                        .collect()
                }),
            },
            asks,
        })
    }

    fn server(&self, section: &mut Section<'_>) -> Option<Server> {
        let host = section.need("server", "\"pop.example.com\"", host);
        let choices = [
            ("implicit", Means::Now(Protection::Implicit)),
            ("stls", Means::Now(Protection::Stls)),
            ("none", Means::Now(Protection::None)),
        ];
        let protection = section.take("tls", |value| value::choice(value, choices));
        let protection = protection.unwrap_or(Protection::Implicit);
        let port = section.take("port", words::port);
        let cleartext = section.take("allow_cleartext", value::truth);
        let timeout = section.take("timeout", words::seconds).unwrap_or(TIMEOUT);
        let proxy = section.take("proxy", |value| self.proxy(value));
        let tls = self.tls(section, protection);
        let host = host?;
        let security = match (protection, tls) {
            (Protection::Implicit, Some(tls)) => Security::Tls(tls),
            (Protection::Stls, Some(tls)) => Security::Stls(tls),
            (Protection::None, _) if words::is_loopback(&host) => Security::Loopback,
            (Protection::None, _) if cleartext == Some(true) => Security::CleartextWithoutPassword,
            (Protection::None, _) => {
                let problem =
                    Problem::new("`account.tls` is `\"none\"`: everybody could read along");
                section.object(problem.hint(
                    "write `tls = \"implicit\"`; `allow_cleartext = true` allows it, though no \
                     password is sent then, only APOP or SCRAM",
                ));
                return None;
            }
            _ => return None,
        };
        let port = port.unwrap_or(match protection {
            Protection::Implicit => 995,
            Protection::Stls | Protection::None => 110,
        });
        let mut server = Server::new(&host, port, security);
        server.proxy = proxy;
        server.timeouts.connect = timeout;
        server.timeouts.handshake = timeout;
        server.limits.greeting_duration_max = timeout.max(server.limits.greeting_duration_max);
        server.limits.silence_duration_max = timeout;
        Some(server)
    }

    /// Whom to believe; made even without TLS, so that wrong keys are told.
    fn tls(&self, section: &mut Section<'_>, protection: Protection) -> Option<Tls> {
        let ca_file = section.take("ca_file", |value| words::path(value, self.surroundings));
        let pins = section.take("pins", pins);
        let mail_domain = section.take("mail_domain", mail_domain);
        let verifies = protection != Protection::None && pins.is_none();
        if mail_domain.is_some() && !verifies {
            let problem = Problem::new("`account.mail_domain` does nothing here");
            section.object(problem.hint("with `pins`, or without TLS, no name is verified"));
        }
        if protection == Protection::None {
            return None;
        }
        let tls: Result<Tls, TlsError> = match (&pins, &ca_file) {
            (Some(pins), _) => Tls::pinned(pins),
            (None, Some(path)) => Tls::with_ca_file(path),
            (None, None) => Tls::platform(),
        };
        let tls = tls.and_then(|tls| match &mail_domain {
            Some(domain) => tls.with_mail_domain(domain),
            None => Ok(tls),
        });
        tls.map_err(|error| {
            let causes = restante_fetch::Causes(&error).to_string();
            section.object(Problem::new(format!("`account.ca_file`: {causes}")));
        })
        .ok()
    }

    /// `None`: a person is asked.
    fn secret(
        &self,
        section: &mut Section<'r>,
        host: Option<&str>,
        user: Option<&str>,
    ) -> Option<Secret> {
        let mut sources = Vec::new();
        if let Some(password) = self.password(section, "password") {
            sources.push(Secret::Password(Source::Known(password)));
        }
        if let Some(command) = section.take("password_command", value::text) {
            sources.push(Secret::Password(Source::Command(command)));
        }
        let file = section.take("password_file", |value| {
            words::path(value, self.surroundings)
        });
        sources.extend(file.map(|file| Secret::Password(Source::File(file))));
        let item = section.take("password_keyring", |value| keyring::item(value, host, user));
        sources.extend(item.flatten().map(Secret::Password));
        if let Some((place, value)) = section.take_any("oauth") {
            match Section::of_value(self.text, "account.oauth.", value) {
                Ok(mut oauth) => {
                    let example = "\"my-token-program\"";
                    let command = oauth.need("token_command", example, value::text);
                    sources.extend(command.map(|it| Secret::Token(Source::Command(it))));
                    oauth
                        .finish()
                        .into_iter()
                        .for_each(|problem| section.object(problem));
                }
                Err(problem) => section.object(problem.at(place)),
            }
        }
        if sources.len() > 1 {
            let problem = Problem::new("the account has more than one password");
            section.object(problem.hint(
                "keep one of `password`, `password_command`, `password_file`, `password_keyring`, \
                 `[account.oauth]`",
            ));
        }
        sources.pop()
    }

    /// A password that stands in the file.
    pub(super) fn password(
        &self,
        section: &mut Section<'_>,
        key: &'static str,
    ) -> Option<SecretString> {
        section.take(key, |value| {
            if self.open_to_others {
                return Err(wrong(
                    value,
                    "is here for everybody to read: others than you can read this file",
                    "`chmod 600` it, or use `password_command` or `password_file`",
                ));
            }
            value::text(value).map(SecretString::from)
        })
    }

    /// A password may be in it.
    fn proxy(&self, value: &Spanned<DeValue<'_>>) -> Result<Proxy, Wrong> {
        let proxy = proxy(value)?;
        match proxy.credentials.is_some() && self.open_to_others {
            true => Err(wrong(
                value,
                "has a password for everybody to read: others than you can read this file",
                "`chmod 600` it",
            )),
            false => Ok(proxy),
        }
    }

    pub(super) fn surroundings(&self) -> &Surroundings {
        self.surroundings
    }
}

fn policy(section: &mut Section<'_>) -> Policy {
    let choices = [
        ("leave", Means::Now(Larger::Leave)),
        ("headers", Means::Now(Larger::Headers)),
    ];
    let of_nameless = [
        ("identify", Means::Now(Nameless::Identify)),
        ("delete", Means::Now(Nameless::Delete)),
    ];
    Policy {
        keep: section.take("keep", words::keep).unwrap_or(KEEP),
        message_octets_max: section
            .take("max_message_size", words::size)
            .unwrap_or(MESSAGE_OCTETS_MAX),
        larger: section
            .take("larger_messages", |value| value::choice(value, choices))
            .unwrap_or(Larger::Leave),
        nameless: section
            .take("without_unique_ids", |value| {
                value::choice(value, of_nameless)
            })
            .unwrap_or(Nameless::Identify),
    }
}

fn account_name(value: &Spanned<DeValue<'_>>) -> Result<AccountName, Wrong> {
    let text = value::text(value)?;
    AccountName::new(&text).ok_or_else(|| {
        wrong(
            value,
            format!("is `\"{text}\"`, which is no name for a file"),
            "write letters, digits, `.`, `_`, `@`, `+` and `-`, a letter or a digit first",
        )
    })
}

fn host(value: &Spanned<DeValue<'_>>) -> Result<String, Wrong> {
    let text = value::text(value)?;
    let address = text.parse::<std::net::IpAddr>().is_ok();
    if address || !text.contains([':', '/', ' ', '@']) {
        return Ok(text);
    }
    Err(wrong(
        value,
        format!("is `\"{text}\"`, which is no server's name"),
        "write its name alone, `\"pop.example.com\"`; `port` and `tls` say the rest",
    ))
}

/// What stands behind the `@`, as a name in the DNS.
fn mail_domain(value: &Spanned<DeValue<'_>>) -> Result<String, Wrong> {
    let text = value::text(value)?;
    if DnsName::try_from(text.as_str()).is_ok() {
        return Ok(text);
    }
    Err(wrong(
        value,
        format!("is `\"{}\"`, which is no domain", text.escape_debug()),
        "write what stands behind the `@`: `\"example.com\"`",
    ))
}

fn pins(value: &Spanned<DeValue<'_>>) -> Result<Vec<Pin>, Wrong> {
    let texts = value::texts(value)?;
    let pins: Result<Vec<Pin>, _> = texts.iter().map(|text| text.parse()).collect();
    match pins {
        Ok(pins) if !pins.is_empty() => Ok(pins),
        _ => Err(wrong(
            value,
            "is no list of fingerprints",
            "write the SHA-256 of a certificate in hexadecimal digits: `[\"ab12…\"]`",
        )),
    }
}

/// `socks5://[name:password@]host[:port]`.
fn proxy(value: &Spanned<DeValue<'_>>) -> Result<Proxy, Wrong> {
    const SOCKS_PORT: u16 = 1080;
    let text = value::text(value)?;
    let parsed = text.strip_prefix("socks5://").and_then(|rest| {
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login.split_once(':')?), place),
            None => (None, rest),
        };
        let (host, port) = words::host_and_port(place, SOCKS_PORT)?;
        let credentials = login.map(|(name, password)| (name.to_owned(), password.into()));
        Some(Proxy {
            host,
            port,
            credentials,
        })
    });
    parsed.ok_or_else(|| {
        wrong(
            value,
            "is no proxy",
            "write `\"socks5://localhost:9050\"`, or `\"socks5://name:password@host:1080\"`",
        )
    })
}
