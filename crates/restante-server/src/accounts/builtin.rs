//! Restante's own directory: one SQLite database, written by `restante account`, read by the
//! server. Both may have it open; a change is seen by the next login.
//!
//! The journal is SQLite's rollback journal, not WAL: a reader needs no write permission and no
//! files beside the database, so that an administrator's command run as root leaves nothing
//! behind that the server cannot open. `synchronous = EXTRA` makes a commit durable with the
//! directory entry of its journal.

mod choices;
mod database;
mod devices;
mod stored;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use restante_maildrop::MailboxId;
use restante_sasl::scram::{Keys, ScramHash};
use rusqlite::{
    ErrorCode, OptionalExtension as _, Row, Transaction, TransactionBehavior, params,
    types::ValueRef,
};
use secrecy::SecretString;
use zeroize::Zeroizing;

pub use self::choices::ChangedChoices;
use self::{
    database::{Database, identity, make_file},
    stored::{Origin, Stored, read_verifier, shared_parameters},
};
use super::{
    Access, Account, Choices, Credential, DirectoryError, Obstacle, RevisionKey,
    authenticator::ScramShape, device, login_names,
};

/// How often a password is hashed anew because the account has changed meanwhile.
const ATTEMPTS_MAX: usize = 3;

/// An account and everything that opens it.
const LOOK_UP: &str = "
    SELECT account.pop, credential.name, revision, password, scram_sha_256,
           device.name, device.added, device.read_only,
           account.delete_mode, account.keep, account.login_delay,
           account.folders, account.show_last
    FROM account
    LEFT JOIN credential ON credential.account = account.name
    LEFT JOIN device ON device.account = account.name AND device.name = credential.name
    WHERE account.name = ?1
    ORDER BY credential.name";

/// The built-in directory.
pub struct Builtin {
    path: PathBuf,
    revision_key: RevisionKey,
    database: Mutex<Database>,
}

/// One line of a listing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BuiltinListing {
    /// The account's name.
    pub name: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// When its own password was changed last, in seconds since 1970.
    pub changed: u64,
    /// Whether it may be opened by POP3.
    pub pop: bool,
    /// The names of its credentials, sorted.
    pub credentials: Vec<String>,
}

/// Why the built-in directory could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuiltinError {
    /// There is such an account already.
    #[error("account `{name}` exists")]
    Exists {
        /// Its name.
        name: String,
    },
    /// There is no such account.
    #[error("no account `{name}`")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The account has a device of that name already.
    #[error("`{account}` has a device `{name}`")]
    DeviceExists {
        /// The account.
        account: String,
        /// The device.
        name: String,
    },
    /// The account has no such device.
    #[error("`{account}` has no device `{}`", name.escape_debug())]
    UnknownDevice {
        /// The account.
        account: String,
        /// The device.
        name: String,
    },
    /// No device can have this name.
    #[error("`{}` cannot be the name of a device", name.escape_debug())]
    DeviceName {
        /// The name.
        name: String,
    },
    /// No account can have this delay between logins.
    #[error("a delay between logins is whole seconds up to an hour")]
    LoginDelay,
    /// The account was changed by others all the time.
    #[error("the account is being changed by somebody else")]
    Busy,
    /// No account can have this name.
    #[error("`{}` cannot be the name of an account", name.escape_debug())]
    Name {
        /// The name.
        name: String,
    },
    /// The password is empty, longer than 1024 octets, or holds a character that mail programs
    /// cannot send reliably (RFC 4013).
    #[error("{what}")]
    Password {
        /// Which of these.
        what: &'static str,
    },
    /// The file is no database of ours.
    #[error("`{}` is not a database of accounts", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later version has changed the database in a way that this one does not know.
    #[error("`{}` was written by a later version", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be made or looked at.
    #[error("cannot open `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The database failed.
    #[error("account database failed")]
    Database(#[from] rusqlite::Error),
    /// Not enough memory to hash the password, or no random octets.
    #[error("cannot hash the password")]
    Hash(#[source] io::Error),
}

impl Builtin {
    /// Opens the database at `path`, making it if it is not there: with mode 0600, and owned by
    /// the owner of its directory if root makes it. Blocks.
    ///
    /// # Errors
    /// [`BuiltinError::File`], [`BuiltinError::Foreign`], [`BuiltinError::Database`].
    pub fn open(path: &Path) -> Result<Self, BuiltinError> {
        make_file(path).map_err(|cause| BuiltinError::File {
            path: path.into(),
            cause,
        })?;
        let database = Mutex::new(Database::open(path)?);
        Ok(Self {
            path: path.into(),
            revision_key: RevisionKey::new().map_err(BuiltinError::Hash)?,
            database,
        })
    }

    /// Makes an account with its password. `Ok` means durable. Slow: it hashes.
    ///
    /// # Errors
    /// [`BuiltinError::Exists`], [`BuiltinError::Name`], [`BuiltinError::Password`], or a failure.
    pub fn add(&self, name: &str, password: &SecretString) -> Result<(), BuiltinError> {
        if !login_names::is_possible(name) || name != name.to_ascii_lowercase() {
            return Err(BuiltinError::Name { name: name.into() });
        }
        let put = |transaction: &Transaction<'_>, stored: &Stored| {
            let made = transaction.execute(
                "INSERT OR IGNORE INTO account (name, created) VALUES (?1, ?2)",
                params![name, now()],
            )?;
            match made {
                0 => Err(BuiltinError::Exists { name: name.into() }),
                _ => Ok(stored.put(transaction, name, device::DEFAULT)?),
            }
        };
        self.store_password(name, device::DEFAULT, password, Origin::Chosen, put)
    }

    /// Changes the password of an account. `Ok` means durable. Slow: it hashes.
    ///
    /// # Errors
    /// [`BuiltinError::Unknown`], [`BuiltinError::Password`], or a failure.
    pub fn set_password(&self, name: &str, password: &SecretString) -> Result<(), BuiltinError> {
        let put = |transaction: &Transaction<'_>, stored: &Stored| {
            require(transaction, name)?;
            Ok(stored.put(transaction, name, device::DEFAULT)?)
        };
        self.store_password(name, device::DEFAULT, password, Origin::Chosen, put)
    }

    /// Hashes a password for a credential of `account` and lets `put` write it. `Ok` means
    /// durable.
    fn store_password(
        &self,
        account: &str,
        credential: &str,
        password: &SecretString,
        origin: Origin,
        put: impl Fn(&Transaction<'_>, &Stored) -> Result<(), BuiltinError>,
    ) -> Result<(), BuiltinError> {
        for _ in 0..ATTEMPTS_MAX {
            let shared = shared_parameters(&self.lock()?.connection, account, credential)?;
            // Nobody else has to wait meanwhile, so the account may change.
            let stored = Stored::make(password, origin, shared.clone())?;
            let mut database = self.lock()?;
            let transaction = database
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            if shared_parameters(&transaction, account, credential)? == shared {
                put(&transaction, &stored)?;
                transaction.commit()?;
                return Ok(());
            }
        }
        Err(BuiltinError::Busy)
    }

    /// Removes an account and its credentials; its mail stays where it is. `Ok` means durable.
    ///
    /// # Errors
    /// [`BuiltinError::Unknown`], or a failure.
    pub fn remove(&self, name: &str) -> Result<(), BuiltinError> {
        let database = self.lock()?;
        match database
            .connection
            .execute("DELETE FROM account WHERE name = ?1", [name])?
        {
            0 => Err(BuiltinError::Unknown { name: name.into() }),
            _ => Ok(()),
        }
    }

    /// Opens an account to POP3 or closes it; its mail is delivered all the same. `Ok` means
    /// durable.
    ///
    /// # Errors
    /// [`BuiltinError::Unknown`], or a failure.
    pub fn set_pop(&self, name: &str, pop: bool) -> Result<(), BuiltinError> {
        let database = self.lock()?;
        let changed = database.connection.execute(
            "UPDATE account SET pop = ?2 WHERE name = ?1",
            params![name, pop],
        )?;
        match changed {
            0 => Err(BuiltinError::Unknown { name: name.into() }),
            _ => Ok(()),
        }
    }

    /// All accounts, sorted by name.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn list(&self) -> Result<Vec<BuiltinListing>, BuiltinError> {
        self.listed(None)
    }

    /// The names of all accounts, sorted.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn names(&self) -> Result<Vec<String>, BuiltinError> {
        let database = self.lock()?;
        let mut statement = database
            .connection
            .prepare("SELECT name FROM account ORDER BY name")?;
        let names = statement.query_map([], |row| row.get(0))?;
        Ok(names.collect::<Result<_, _>>()?)
    }

    /// The account of that exact name, as a listing has it.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn listing(&self, name: &str) -> Result<Option<BuiltinListing>, BuiltinError> {
        Ok(self.listed(Some(name))?.pop())
    }

    fn listed(&self, name: Option<&str>) -> Result<Vec<BuiltinListing>, BuiltinError> {
        let database = self.lock()?;
        let mut statement = database.connection.prepare(
            "SELECT account.name, created, pop, credential.name, changed
             FROM account LEFT JOIN credential ON credential.account = account.name
             WHERE ?1 IS NULL OR account.name = ?1
             ORDER BY account.name, credential.name",
        )?;
        let mut rows = statement.query([name])?;
        let mut listed: Vec<BuiltinListing> = Vec::new();
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            if listed.last().is_none_or(|last| last.name != name) {
                listed.push(BuiltinListing {
                    name,
                    created: moment(row.get(1)?),
                    changed: 0,
                    pop: row.get(2)?,
                    credentials: Vec::new(),
                });
            }
            if let (Some(last), Some(credential)) =
                (listed.last_mut(), row.get::<_, Option<String>>(3)?)
            {
                // A device's is made once and never changed.
                if credential == device::DEFAULT {
                    last.changed = moment(row.get(4)?);
                }
                last.credentials.push(credential);
            }
        }
        Ok(listed)
    }

    /// Whether there is no account yet.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn is_empty(&self) -> Result<bool, BuiltinError> {
        let database = self.lock()?;
        let any =
            database
                .connection
                .query_row("SELECT EXISTS (SELECT 1 FROM account)", [], |row| {
                    row.get::<_, bool>(0)
                })?;
        Ok(!any)
    }

    /// Looks up an exact name. Blocks, for microseconds unless the disk is slow or another
    /// process is writing.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn look_up(&self, name: &str) -> Result<Option<Account>, BuiltinError> {
        let database = self.lock()?;
        let mut statement = database.connection.prepare_cached(LOOK_UP)?;
        let mut rows = statement.query([name])?;
        let (mut found, mut damaged, mut credentials) = (None, false, Vec::new());
        while let Some(row) = rows.next()? {
            let choices = choices::read(row, 8)?;
            let access = Access {
                nologin: !row.get::<_, bool>(0)?,
                obstacle: choices.as_ref().err().cloned(),
                ..Access::default()
            };
            found = Some((access, choices.unwrap_or_default()));
            if row.get_ref(1)? != ValueRef::Null {
                match self.credential(row)? {
                    Some(credential) => credentials.push(credential),
                    None => damaged = true,
                }
            }
        }
        let credentials = match damaged {
            true => Err(Obstacle::new("damaged credential in the account database")),
            false => Ok(credentials),
        };
        Ok(found.map(|(access, choices)| Account {
            choices,
            ..account(name, credentials, access)
        }))
    }

    /// The credential in a row of [`LOOK_UP`]; `None` if it is damaged.
    fn credential(&self, row: &Row<'_>) -> rusqlite::Result<Option<Credential>> {
        let name = row.get::<_, String>(1)?;
        let revision = row.get::<_, i64>(2)?.to_be_bytes();
        let password = Zeroizing::new(row.get::<_, String>(3)?);
        let scram = Zeroizing::new(row.get::<_, String>(4)?);
        let device = devices::read(row, 5)?;
        // The number alone would come back with a backup that is restored, for another password.
        let stored = [&revision[..], password.as_bytes(), scram.as_bytes()];
        let revision = self.revision_key.revision(&stored);
        let keys = Keys::parse(ScramHash::Sha256, &scram);
        let (Some(verifier), Ok(keys)) = (read_verifier(&password), keys) else {
            return Ok(None);
        };
        let credential = Credential::ours(&name, revision, verifier, keys);
        Ok(match device {
            Some(device) => Some(credential.of_device(device)),
            // Whose it is got lost.
            None if name != device::DEFAULT => None,
            None => Some(credential),
        })
    }

    /// The first of these names that is an account's; all are looked up.
    pub(super) async fn first_of(
        self: &Arc<Self>,
        names: Vec<String>,
    ) -> Result<Option<Account>, DirectoryError> {
        let builtin = Arc::clone(self);
        let looked_up = tokio::task::spawn_blocking(move || {
            let found = names.iter().map(|name| builtin.look_up(name));
            let found: Result<Vec<_>, _> = found.collect();
            found.map(|found| found.into_iter().flatten().next())
        });
        match looked_up.await {
            Ok(found) => found.map_err(DirectoryError::from),
            Err(panic) => Err(DirectoryError::Temporary(Box::new(panic))),
        }
    }

    /// The connection; opened anew if somebody has put another file in the place of the old one,
    /// as restoring a backup does.
    fn lock(&self) -> Result<MutexGuard<'_, Database>, BuiltinError> {
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let file = identity(&self.path).map_err(|cause| BuiltinError::File {
            path: self.path.clone(),
            cause,
        })?;
        if database.file != file {
            *database = Database::open(&self.path)?;
        }
        Ok(database)
    }
}

fn account(name: &str, credentials: Result<Vec<Credential>, Obstacle>, access: Access) -> Account {
    let mailbox = MailboxId {
        account: name.to_owned(),
        home: None,
        location: None,
    };
    Account {
        name: name.to_owned(),
        mailbox: Ok(mailbox),
        credentials,
        access,
        choices: Choices::default(),
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// Sees that there is such an account.
fn require(transaction: &Transaction<'_>, account: &str) -> Result<(), BuiltinError> {
    let known = transaction
        .query_row("SELECT 1 FROM account WHERE name = ?1", [account], |_| {
            Ok(())
        })
        .optional()?;
    known.ok_or_else(|| BuiltinError::Unknown {
        name: account.to_owned(),
    })
}

/// Seconds since 1970, as the database has them.
fn moment(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or_default()
}

impl From<BuiltinError> for DirectoryError {
    /// What a person has to repair is permanent; a full disk or a busy database passes.
    fn from(error: BuiltinError) -> Self {
        let permanent = match &error {
            BuiltinError::Database(database) => matches!(
                database.sqlite_error_code(),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            ),
            BuiltinError::Foreign { .. } | BuiltinError::Newer { .. } => true,
            _ => false,
        };
        match permanent {
            true => Self::Permanent(Box::new(error)),
            false => Self::Temporary(Box::new(error)),
        }
    }
}

impl fmt::Debug for Builtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builtin")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
