//! `password_keyring`: a password of the desktop's keyring, in programs that know one.

use restante_fetch::Source;
use toml::{Spanned, de::DeValue};

use crate::configuration::value::{self, Wrong};

/// Where the keyring has the password of this user at this server; `None`: it is not to be asked,
/// or it is not known for whom.
pub(super) fn item(
    value: &Spanned<DeValue<'_>>,
    host: Option<&str>,
    user: Option<&str>,
) -> Result<Option<Source>, Wrong> {
    match value::truth(value)? {
        true => wanted(value, host, user),
        false => Ok(None),
    }
}

#[cfg(feature = "keyring")]
fn wanted(
    _: &Spanned<DeValue<'_>>,
    host: Option<&str>,
    user: Option<&str>,
) -> Result<Option<Source>, Wrong> {
    let named = host.zip(user).map(|(host, user)| {
        Source::Keyring(restante_fetch::KeyringItem {
            host: host.into(),
            user: user.into(),
        })
    });
    Ok(named)
}

/// This program was built without it.
#[cfg(not(feature = "keyring"))]
fn wanted(
    value: &Spanned<DeValue<'_>>,
    host: Option<&str>,
    user: Option<&str>,
) -> Result<Option<Source>, Wrong> {
    let (host, user) = (host.unwrap_or("HOST"), user.unwrap_or("USER"));
    Err(super::words::wrong(
        value,
        "is not supported by this program, which was built without the feature `keyring`",
        format!(
            "build it with `--features keyring`, or write `password_command = \"secret-tool lookup \
             service pop3 host {host} user {user}\"`"
        ),
    ))
}
