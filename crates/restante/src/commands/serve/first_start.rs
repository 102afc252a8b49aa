//! The first start: an account to try, with a letter in it.

use bytes::Bytes;
use restante_maildrop::{BodySource, Maildir, Recipient, Store as _};
use restante_server::accounts::Builtin;
use secrecy::SecretString;
use time::OffsetDateTime;

use super::letter::{self, Installation};
use crate::{
    accounts, configuration::Configuration, exit_code::ExitCode, failure::Failure, mailboxes,
    password,
};

/// The account that was made.
pub(crate) struct FirstAccount {
    /// Its login name.
    pub(crate) name: String,
    /// Its password, known to nobody yet.
    pub(crate) password: SecretString,
}

/// A letter that is in memory.
struct Letter(Option<Bytes>);

impl BodySource for Letter {
    async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        Ok(self.0.take())
    }
}

/// Makes the first account and delivers its letter.
///
/// # Errors
/// The accounts or the mailbox cannot be written.
pub(crate) async fn welcome(
    configuration: &Configuration,
    builtin: &Builtin,
    store: &Maildir,
) -> Result<FirstAccount, Failure> {
    let name = accounts::first_name(configuration);
    let password = password::generate()?;
    builtin.add(&name, &password).map_err(accounts::explain)?;
    let mailbox = accounts::mailbox(&name);
    let maildir = mailboxes::place(configuration, &mailbox);
    let letter = letter::write(
        Installation {
            account: &name,
            program: &configuration.program(),
            data: &configuration.data.to_string_lossy(),
            maildir: &maildir.to_string_lossy(),
        },
        OffsetDateTime::now_utc(),
        &password::random_word()?,
    );
    let recipient = Recipient {
        mailbox,
        prefix: Bytes::new(),
    };
    let delivered = store
        .deliver(&[recipient], Letter(Some(letter.into())))
        .await;
    for outcome in delivered {
        let _durable = outcome.map_err(|error| {
            Failure::new(
                ExitCode::Io,
                format!("cannot deliver the first letter to `{name}`"),
            )
            .caused_by(error)
        })?;
    }
    Ok(FirstAccount { name, password })
}
