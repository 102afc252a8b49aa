//! `[tls.acme]`, and what cannot stand beside it.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use restante_server::{accounts::oauth::Endpoint, acme::ChallengeKind};
use toml::{Spanned, de::DeValue};

use super::path;
use crate::configuration::{
    Acme, Pop3, Surroundings, Tls,
    document::Document,
    problem::Problem,
    value::{self, Means, Wrong},
};

const DOMAINS: &str = "tls.acme.domains";
const TERMS: &str = "tls.acme.terms_of_service_agreed";
const CONTACT: &str = "tls.acme.contact";
const DIRECTORY: &str = "tls.acme.directory";
const CA_FILE: &str = "tls.acme.ca_file";
const EAB_ID: &str = "tls.acme.eab_key_id";
const EAB_FILE: &str = "tls.acme.eab_hmac_key_file";
const CHALLENGE: &str = "tls.acme.challenge";
const LISTEN: &str = "tls.acme.listen";

const ALL: [&str; 9] = [
    DOMAINS, TERMS, CONTACT, DIRECTORY, CA_FILE, EAB_ID, EAB_FILE, CHALLENGE, LISTEN,
];

/// Let's Encrypt's, whose certificates every program trusts.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Let's Encrypt takes no more names into one certificate, and a mail server has a few.
const DOMAINS_MAX: usize = 100;

/// Reads `[tls.acme]`; `None` if the file does not have it, or if it makes no sense, which is then
/// among the problems.
pub(super) fn read(
    document: &mut Document<'_>,
    surroundings: &Surroundings,
    pop3: &Pop3,
) -> Option<Acme> {
    let first = ALL.into_iter().find(|key| document.has(key))?;
    let domains = document.read(DOMAINS, domains);
    let agreed = document.read(TERMS, value::truth);
    let directory = document.read(DIRECTORY, directory);
    let challenge = document.read(CHALLENGE, |value| {
        let choices = [
            ("tls-alpn-01", Means::Now(ChallengeKind::TlsAlpn01)),
            ("http-01", Means::Now(ChallengeKind::Http01)),
        ];
        value::choice(value, choices)
    });
    let challenge = challenge.unwrap_or(ChallengeKind::TlsAlpn01);
    let listen = document.read(LISTEN, value::addresses);
    let acme = Acme {
        directory: directory.or_else(|| Endpoint::new(LETS_ENCRYPT).ok())?,
        domains: domains.unwrap_or_default(),
        contact: document.read(CONTACT, contact).unwrap_or_default(),
        ca_file: path(document, CA_FILE, surroundings),
        external_account: external_account(document, surroundings),
        challenge,
        listen: listen.unwrap_or_else(|| everywhere(challenge)),
    };
    if !document.has(DOMAINS) {
        let problem = Problem::new("`[tls.acme]` needs `domains`");
        let hint = "add `domains = [\"pop.example.com\"]`: the names that programs connect to";
        document.object(first, problem.hint(hint));
    }
    if agreed != Some(true) {
        let problem = Problem::new("`[tls.acme]` needs your agreement to the terms of service");
        let hint = "read those of the certificate authority, then add \
                    `terms_of_service_agreed = true`";
        let key = if document.has(TERMS) { TERMS } else { first };
        document.object(key, problem.hint(hint));
    }
    check_alone(document);
    check_reachable(document, &acme, pop3);
    Some(acme)
}

/// Both or neither.
fn external_account(
    document: &mut Document<'_>,
    surroundings: &Surroundings,
) -> Option<(String, PathBuf)> {
    let id = document.read(EAB_ID, value::text);
    let file = path(document, EAB_FILE, surroundings);
    for (key, other) in [(EAB_ID, EAB_FILE), (EAB_FILE, EAB_ID)] {
        if document.has(key) && !document.has(other) {
            let problem = Problem::new(format!("`{key}` stands without `{other}`"));
            let hint = "the authority has given you both, or wants neither";
            document.object(key, problem.hint(hint));
        }
    }
    id.zip(file)
}

/// Sees that no address is to be used twice.
pub(super) fn check_addresses(document: &mut Document<'_>, tls: &Tls, http: &[SocketAddr]) {
    let Some(acme) = &tls.acme else { return };
    for address in acme.listen.iter().filter(|address| address.port() != 0) {
        if http.contains(address) {
            taken(document, "http.listen", address);
        }
    }
}

/// One certificate is the default, from one place.
fn check_alone(document: &mut Document<'_>) {
    if document.has("tls.certificate") {
        let problem = Problem::new("`tls.certificate` stands beside `[tls.acme]`");
        let hint = "both are shown by default: remove one of them, or write the certificate and \
                    its key below `[[tls.name]]`, for names that `[tls.acme]` does not have";
        document.object("tls.certificate", problem.hint(hint));
    }
}

fn check_reachable(document: &mut Document<'_>, acme: &Acme, pop3: &Pop3) {
    let answered_elsewhere =
        acme.challenge == ChallengeKind::TlsAlpn01 && !pop3.listen_tls.is_empty();
    if acme.listen.is_empty() && !answered_elsewhere {
        let problem = Problem::new(format!("`{LISTEN}` is empty"));
        let hint = "the authority must find an answer: remove the line, or name an address";
        document.object(LISTEN, problem.hint(hint));
    }
    for address in acme.listen.iter().filter(|address| address.port() != 0) {
        let taken_by = [
            ("pop3.listen", &pop3.listen),
            ("pop3.listen_tls", &pop3.listen_tls),
        ];
        for (key, addresses) in taken_by {
            if addresses.contains(address) {
                taken(document, key, address);
            }
        }
    }
}

fn taken(document: &mut Document<'_>, key: &str, address: &SocketAddr) {
    let problem = Problem::new(format!("`{LISTEN}` and `{key}` both have `{address}`"));
    let hint = match key {
        "pop3.listen_tls" => {
            "`tls-alpn-01` is answered at `pop3.listen_tls` in any case: write `listen = []`"
        }
        _ => "each needs a port of its own",
    };
    document.object(LISTEN, problem.hint(hint));
}

/// The ports where an authority looks, at all addresses of this machine.
fn everywhere(challenge: ChallengeKind) -> Vec<SocketAddr> {
    let port = match challenge {
        ChallengeKind::TlsAlpn01 => 443,
        ChallengeKind::Http01 => 80,
    };
    vec![
        (Ipv4Addr::UNSPECIFIED, port).into(),
        (Ipv6Addr::UNSPECIFIED, port).into(),
    ]
}

fn domains(value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, Wrong> {
    let texts = value::texts(value)?;
    let wrong = |text: String, hint: &str| Wrong {
        span: value.span(),
        text,
        hint: Some(hint.to_owned()),
    };
    if !(1..=DOMAINS_MAX).contains(&texts.len()) {
        let text = format!("has {} names", texts.len());
        return Err(wrong(text, "a certificate is for 1 to 100 names"));
    }
    let mut domains: Vec<String> = Vec::new();
    for text in texts {
        let domain = text.to_lowercase();
        if domain.starts_with("*.") {
            let text = format!("has `{text}`");
            let hint = "a certificate for all names would have to be proven in the DNS, which is \
                        not supported: write each name";
            return Err(wrong(text, hint));
        }
        if !is_host_name(&domain) {
            let text = format!("has `{text}`, which is not a host name");
            let hint = "write the names that programs connect to: `\"pop.example.com\"`";
            return Err(wrong(text, hint));
        }
        if domains.contains(&domain) {
            return Err(wrong(format!("has `{text}` twice"), "remove one of them"));
        }
        domains.push(domain);
    }
    Ok(domains)
}

/// A name with a dot in it that DNS could hold, and no address.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let legal = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(legal)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253
        && name.contains('.')
        && name.split('.').all(is_label)
        && !last.bytes().all(|octet| octet.is_ascii_digit())
}

/// One address or several.
fn contact(value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, Wrong> {
    let contact = match value.get_ref().as_array() {
        Some(_) => value::texts(value)?,
        None => vec![value::text(value)?],
    };
    let is_address = |text: &&String| {
        let address = text.strip_prefix("mailto:");
        address.is_some_and(|address| address.contains('@') && !address.contains(['?', ',', ' ']))
    };
    match contact.iter().find(|text| !is_address(text)) {
        None => Ok(contact),
        Some(odd) => Err(Wrong {
            span: value.span(),
            text: format!("is `{odd}`, which is not a mail address as an authority wants it"),
            hint: Some("write it like this: `\"mailto:postmaster@example.com\"`".to_owned()),
        }),
    }
}

fn directory(value: &Spanned<DeValue<'_>>) -> Result<Endpoint, Wrong> {
    let text = value::text(value)?;
    let wrong = |why: String| Wrong {
        span: value.span(),
        text: format!("is `{text}`: {why}"),
        hint: Some(format!("write it like this: `\"{LETS_ENCRYPT}\"`")),
    };
    // RFC 8555 §6.1: over TLS alone, on this machine too.
    if !text.starts_with("https://") {
        return Err(wrong("it is not `https://`".to_owned()));
    }
    Endpoint::new(&text).map_err(|error| wrong(error.to_string()))
}
