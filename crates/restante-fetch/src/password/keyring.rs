//! Passwords from the keyring of a desktop: the Secret Service, over D-Bus.

use std::{collections::HashMap, time::Duration};

use secrecy::SecretString;
use secret_service::{EncryptionType, Error, SecretService};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{first_line, no};
use crate::trouble::Trouble;

/// So long may it take: a person may have to unlock the keyring first.
const DURATION_MAX: Duration = Duration::from_secs(120);
/// What an item of the keyring is for, as mpop names it too.
const SERVICE: &str = "pop3";

/// Which item of the keyring a password is: its attributes are `service` (`pop3`), `host` and
/// `user`, as `secret-tool store` writes them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyringItem {
    /// The server's name.
    pub host: String,
    /// Who logs in.
    pub user: String,
}

impl KeyringItem {
    pub(super) async fn read(&self) -> Result<SecretString, Trouble> {
        let found = timeout(DURATION_MAX, self.look_up()).await;
        let found = found.map_err(|_| no("the keyring does not answer", true))?;
        // No desktop, no service, a keyring that stays locked: another time it may do.
        let found = found.map_err(|error| no(printable(&error), true))?;
        let Some(secret) = found else {
            return Err(no(self.missing(), false));
        };
        first_line(&secret).ok_or_else(|| no("the keyring's is empty", false))
    }

    /// `None`: there is no such item.
    async fn look_up(&self) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        // Whoever listens on the bus does not learn it.
        let keyring = SecretService::connect(EncryptionType::Dh).await?;
        let (host, user) = (self.host.as_str(), self.user.as_str());
        let attributes = HashMap::from([("service", SERVICE), ("host", host), ("user", user)]);
        let found = keyring.search_items(attributes).await?;
        let item = match (found.unlocked.first(), found.locked.first()) {
            (Some(item), _) => item,
            (None, Some(item)) => {
                item.unlock().await?;
                item
            }
            (None, None) => return Ok(None),
        };
        Ok(Some(Zeroizing::new(item.get_secret().await?)))
    }

    fn missing(&self) -> String {
        let (host, user) = (self.host.escape_debug(), self.user.escape_debug());
        format!(
            "the keyring has none: `secret-tool store --label=restante service {SERVICE} \
             host {host} user {user}` adds it"
        )
    }
}

fn printable(error: &Error) -> String {
    format!("the keyring: {}", error.to_string().escape_debug())
}
