//! An account: from which server, as whom, and what is wanted of it.

use std::{fmt, time::Duration};

use restante_client::Server;

use crate::{password::Secret, plan::Policy};

/// An account.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its name: letters, digits, `.`, `_`, `@`, `+` and `-`, the first a letter or a digit. It
    /// names the files of its state.
    pub name: AccountName,
    /// Where its mail is.
    pub server: Server,
    /// Who logs in.
    pub user: String,
    /// What proves it.
    pub secret: Secret,
    /// Whether APOP may be used where nothing stronger is offered.
    pub apop: bool,
    /// What is wanted.
    pub policy: Policy,
    /// Whether a `Received` line is put before each message; otherwise copies are exact.
    pub received: bool,
    /// How long until the next run, with `--watch`.
    pub interval: Duration,
}

/// A name that can be a part of a file's name.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AccountName(String);

impl AccountName {
    /// The longest name.
    pub const OCTETS_MAX: usize = 100;

    /// `None`: it cannot be a part of a file's name everywhere.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"._@+-".contains(&octet);
        let sound = name.len() <= Self::OCTETS_MAX
            && name.starts_with(|first: char| first.is_ascii_alphanumeric())
            && name.bytes().all(allowed);
        sound.then(|| Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
