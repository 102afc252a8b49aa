//! The extra fields: what is understood, what is known to be harmless, and everything else,
//! which refuses the login because it may restrict it.

use super::{Obstacle, entry::Fault};
use crate::accounts::{Access, access::parse_networks};

/// What the extra fields of a line say.
#[derive(Debug, Default)]
pub(in crate::accounts) struct Fields {
    pub(in crate::accounts) access: Access,
    /// `mail`, unexpanded.
    pub(in crate::accounts) mail: Option<String>,
    /// `home`.
    pub(in crate::accounts) home: Option<String>,
}

/// Fields that change nothing for POP3. Those of the user database are listed without `userdb_`.
/// A name that ends in `*` stands for all that begin so.
const HARMLESS: [&str; 27] = [
    // Of the password database: a log text, texts for proxies, and answering a failure at once,
    // which we do not do.
    "reason",
    "forward_*",
    "event_*",
    "nodelay",
    // Of the user database: other protocols and services, and what delivery counts.
    "acl*",
    "fts*",
    "imap_*",
    "lda_*",
    "lmtp_*",
    "mail_log_*",
    "mailbox_list_index*",
    "managesieve*",
    "nice",
    "plugin/*",
    "quota*",
    "recipient_delimiter",
    "sieve*",
    "spam*",
    "submission_*",
    "trash*",
    "welcome_*",
    "zlib_save*",
    "mail_attribute*",
    "mail_cache_*",
    "mail_fsync",
    "mail_index_*",
    "mailbox_*_size_limit",
];

/// Splits at spaces. `key=value` or bare `key`; `userdb_` says which of Dovecot's databases a
/// field is for, which makes no difference here.
pub(super) fn parse(extra: &[u8], faults: &mut Vec<Fault>) -> Fields {
    let mut fields = Fields::default();
    for field in extra
        .split(|octet| matches!(octet, b' ' | b'\t'))
        .filter(|f| !f.is_empty())
    {
        let refused = match str::from_utf8(field) {
            Ok(field) => fields.take(field),
            Err(_) => Err(Fault::new("extra field is not UTF-8", "write it in UTF-8")),
        };
        if let Err(fault) = refused {
            let obstacle: Obstacle = fault.file(faults);
            fields.access.obstacle.get_or_insert(obstacle);
        }
    }
    fields
}

impl Fields {
    pub(in crate::accounts) fn take(&mut self, field: &str) -> Result<(), Fault> {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field, None),
        };
        let name = key.strip_prefix("userdb_").unwrap_or(key);
        match (key, name, value) {
            // Whatever its value: Dovecot looks at its presence.
            ("nologin", ..) => self.access.nologin = true,
            ("allow_nets", _, Some(value)) if self.access.networks.is_none() => {
                self.access.networks = Some(parse_networks(value).ok_or_else(|| {
                    let remedy = "write addresses and networks like `192.0.2.0/24`, with commas";
                    Fault::new("`allow_nets` is not understood", remedy)
                })?);
            }
            (_, "mail" | "mail_location" | "mail_path", Some(value)) if self.mail.is_none() => {
                self.mail = Some(match name {
                    // Dovecot 2.4 names driver and path apart.
                    "mail_path" => format!("maildir:{value}"),
                    _ => value.to_owned(),
                });
            }
            (_, "mail_driver", Some("maildir")) => {}
            (_, "home", Some(value)) if self.home.is_none() => self.home = Some(value.to_owned()),
            _ if is_harmless(name) => {}
            _ => return Err(not_understood(key)),
        }
        Ok(())
    }
}

pub(super) fn is_harmless(name: &str) -> bool {
    HARMLESS
        .iter()
        .any(|harmless| match harmless.split_once('*') {
            Some((start, end)) => {
                let middle = name
                    .strip_prefix(start)
                    .and_then(|rest| rest.strip_suffix(end));
                middle.is_some()
            }
            None => *harmless == name,
        })
}

/// The value is not repeated: it may be a password. The key only if it looks like one.
fn not_understood(key: &str) -> Fault {
    let like_a_key = |octet: u8| octet.is_ascii_alphanumeric() || b"-._/".contains(&octet);
    let remedy = "remove it if it restricts nothing; otherwise this account cannot be served";
    if key.len() <= 64 && key.bytes().all(like_a_key) {
        return Fault::new(
            format!("extra field `{key}` is not understood and may restrict"),
            remedy,
        );
    }
    Fault::new("an extra field is not understood and may restrict", remedy)
}
