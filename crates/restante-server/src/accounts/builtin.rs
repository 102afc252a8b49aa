//! Restante's own directory: one SQLite database, written by `restante account`, read by the
//! server. Both may have it open; a change is seen by the next login.
//!
//! The journal is SQLite's rollback journal, not WAL: a reader needs no write permission and no
//! files beside the database, so that an administrator's command run as root leaves nothing
//! behind that the server cannot open. `synchronous = EXTRA` makes a commit durable with the
//! directory entry of its journal.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, chown},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use restante_maildrop::MailboxId;
use restante_sasl::{
    prepare_stored,
    scram::{Keys, ScramHash, ScramParameters},
};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, TransactionBehavior, params};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::{
    Access, Account, Credential, DirectoryError, Obstacle, Revision,
    authenticator::ScramShape,
    login_names,
    schemes::{Verifier, hash_password},
};

/// How long a command or a login waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Marks the file as ours: "Rest".
const APPLICATION_ID: i32 = 0x5265_7374;
/// The version of the schema below.
const SCHEMA_VERSION: i32 = 1;
/// The only credential that an account has in this version.
const DEFAULT_CREDENTIAL: &str = "default";
/// SASL carries no longer ones.
const PASSWORD_OCTETS_MAX: usize = 1024;

/// Revisions are drawn from one counter, so that an account that is removed and made again does
/// not repeat one.
const SCHEMA: &str = "
CREATE TABLE revision (last INTEGER NOT NULL) STRICT;
INSERT INTO revision VALUES (0);
CREATE TABLE account (
    name    TEXT NOT NULL PRIMARY KEY,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE credential (
    account       TEXT NOT NULL REFERENCES account (name) ON DELETE CASCADE,
    name          TEXT NOT NULL,
    revision      INTEGER NOT NULL,
    changed       INTEGER NOT NULL,
    password      TEXT NOT NULL,
    scram_sha_256 TEXT NOT NULL,
    PRIMARY KEY (account, name)
) STRICT, WITHOUT ROWID;
";

/// The built-in directory.
pub struct Builtin {
    path: PathBuf,
    database: Mutex<Database>,
}

/// An open database, and which file it is.
struct Database {
    connection: Connection,
    file: (u64, u64),
}

/// One line of a listing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BuiltinListing {
    /// The account's name.
    pub name: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
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
    /// The file is no database of ours, or of a later version.
    #[error("`{}` is not a database that this version knows", path.display())]
    Foreign {
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
        let stored = Stored::make(password)?;
        let mut database = self.lock()?;
        let transaction = database
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let made = transaction.execute(
            "INSERT OR IGNORE INTO account (name, created) VALUES (?1, ?2)",
            params![name, now()],
        )?;
        if made == 0 {
            return Err(BuiltinError::Exists { name: name.into() });
        }
        stored.put(&transaction, name)?;
        transaction.commit()?;
        Ok(())
    }

    /// Changes the password of an account. `Ok` means durable. Slow: it hashes.
    ///
    /// # Errors
    /// [`BuiltinError::Unknown`], [`BuiltinError::Password`], or a failure.
    pub fn set_password(&self, name: &str, password: &SecretString) -> Result<(), BuiltinError> {
        let stored = Stored::make(password)?;
        let mut database = self.lock()?;
        let transaction = database
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let known = transaction
            .query_row("SELECT 1 FROM account WHERE name = ?1", [name], |_| Ok(()))
            .optional()?;
        if known.is_none() {
            return Err(BuiltinError::Unknown { name: name.into() });
        }
        stored.put(&transaction, name)?;
        transaction.commit()?;
        Ok(())
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

    /// All accounts, sorted by name.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn list(&self) -> Result<Vec<BuiltinListing>, BuiltinError> {
        let database = self.lock()?;
        let mut statement = database.connection.prepare(
            "SELECT account.name, account.created, credential.name
             FROM account LEFT JOIN credential ON credential.account = account.name
             ORDER BY account.name, credential.name",
        )?;
        let mut rows = statement.query([])?;
        let mut listed: Vec<BuiltinListing> = Vec::new();
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            if listed.last().is_none_or(|last| last.name != name) {
                let created = u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default();
                listed.push(BuiltinListing {
                    name,
                    created,
                    credentials: Vec::new(),
                });
            }
            if let (Some(last), Some(credential)) = (listed.last_mut(), row.get(2)?) {
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
        let mut statement = database.connection.prepare_cached(
            "SELECT credential.name, revision, password, scram_sha_256
             FROM account LEFT JOIN credential ON credential.account = account.name
             WHERE account.name = ?1",
        )?;
        let mut rows = statement.query([name])?;
        let (mut found, mut damaged, mut credentials) = (false, false, Vec::new());
        while let Some(row) = rows.next()? {
            found = true;
            let Some(credential) = row.get::<_, Option<String>>(0)? else {
                continue;
            };
            let revision = Revision::new(row.get::<_, i64>(1)?.cast_unsigned());
            let password = Zeroizing::new(row.get::<_, String>(2)?);
            let scram = Zeroizing::new(row.get::<_, String>(3)?);
            match (
                read_verifier(&password),
                Keys::parse(ScramHash::Sha256, &scram),
            ) {
                (Some(verifier), Ok(keys)) => {
                    credentials.push(Credential::ours(&credential, revision, verifier, keys));
                }
                _ => damaged = true,
            }
        }
        let credentials = match damaged {
            true => Err(Obstacle::new("damaged credential in the account database")),
            false => Ok(credentials),
        };
        Ok(found.then(|| account(name, credentials)))
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

impl Database {
    fn open(path: &Path) -> Result<Self, BuiltinError> {
        let file = identity(path).map_err(|cause| BuiltinError::File {
            path: path.into(),
            cause,
        })?;
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "synchronous", "EXTRA")?;
        // A sandboxed server reaches no directory for temporary files.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        // What is deleted is overwritten: old hashes do not linger in free pages.
        connection.pragma_update(None, "secure_delete", true)?;
        // A damaged or hostile file cannot make functions or triggers of its own run.
        connection.pragma_update(None, "trusted_schema", false)?;
        if !is_ours(&connection)? {
            // Another process may be making it at this moment: look again under the write lock.
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if is_blank(&transaction)? {
                transaction.execute_batch(SCHEMA)?;
                transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
                transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            } else if !is_ours(&transaction)? {
                return Err(BuiltinError::Foreign { path: path.into() });
            }
            transaction.commit()?;
        }
        Ok(Self { connection, file })
    }
}

/// A password as it is kept.
struct Stored {
    password: SecretString,
    scram_sha_256: SecretString,
}

impl Stored {
    fn make(password: &SecretString) -> Result<Self, BuiltinError> {
        let password = password.expose_secret();
        let refused = |what| BuiltinError::Password { what };
        if password.is_empty() {
            return Err(refused("the password is empty"));
        }
        if password.len() > PASSWORD_OCTETS_MAX {
            return Err(refused("the password is longer than 1024 octets"));
        }
        // RFC 5802 §2.2: keys are made from a stored string. Argon2id takes the same one, so that
        // the password works everywhere or nowhere.
        let prepared = prepare_stored(password).map(Zeroizing::new).map_err(|_| {
            refused("the password holds a character that mail programs cannot send reliably")
        })?;
        let mut salts = [0; 32];
        getrandom::fill(&mut salts).map_err(|error| BuiltinError::Hash(error.into()))?;
        let (argon_salt, scram_salt) = salts.split_at(16);
        let argon_salt = argon_salt.try_into().expect("16 of 32 octets");
        let out_of_memory = |_| BuiltinError::Hash(io::ErrorKind::OutOfMemory.into());
        let hash = hash_password(prepared.as_bytes(), argon_salt).map_err(out_of_memory)?;
        let parameters = ScramParameters::new(scram_salt.to_vec(), ScramShape::OURS.iterations())
            .expect("our own shape is within the bounds");
        let keys = Keys::derive(ScramHash::Sha256, prepared.as_bytes(), &parameters);
        Ok(Self {
            password: hash,
            scram_sha_256: keys.format(),
        })
    }

    /// Writes it as the default credential, under a new revision.
    fn put(&self, transaction: &rusqlite::Transaction<'_>, name: &str) -> rusqlite::Result<()> {
        let revision: i64 = transaction.query_row(
            "UPDATE revision SET last = last + 1 RETURNING last",
            [],
            |row| row.get(0),
        )?;
        transaction.execute(
            "INSERT OR REPLACE INTO credential
             (account, name, revision, changed, password, scram_sha_256)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                name,
                DEFAULT_CREDENTIAL,
                revision,
                now(),
                self.password.expose_secret(),
                self.scram_sha_256.expose_secret(),
            ],
        )?;
        Ok(())
    }
}

fn account(name: &str, credentials: Result<Vec<Credential>, Obstacle>) -> Account {
    let mailbox = MailboxId {
        account: name.to_owned(),
        home: None,
        location: None,
    };
    Account {
        name: name.to_owned(),
        mailbox: Ok(mailbox),
        credentials,
        access: Access::default(),
    }
}

fn read_verifier(phc: &str) -> Option<Verifier> {
    let field = Zeroizing::new(format!("{{ARGON2ID}}{phc}"));
    Verifier::parse(field.as_bytes()).ok().flatten()
}

fn is_ours(connection: &Connection) -> rusqlite::Result<bool> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    Ok(pragma("application_id")? == APPLICATION_ID && pragma("user_version")? == SCHEMA_VERSION)
}

fn is_blank(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row(
        "SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)",
        [],
        |row| row.get(0),
    )
}

/// Makes an empty file with mode 0600, unless there is one. SQLite would let the umask decide.
fn make_file(path: &Path) -> io::Result<()> {
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    }
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let directory = fs::metadata(directory.unwrap_or(Path::new(".")))?;
    let made = fs::metadata(path)?;
    if made.uid() != directory.uid() {
        // Root makes it for the user who will serve. Anybody else may not give files away.
        match chown(path, Some(directory.uid()), Some(directory.gid())) {
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Seconds since 1970.
fn now() -> i64 {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

impl From<BuiltinError> for DirectoryError {
    /// What a person has to repair is permanent; a full disk or a busy database passes.
    fn from(error: BuiltinError) -> Self {
        let permanent = match &error {
            BuiltinError::Database(database) => matches!(
                database.sqlite_error_code(),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            ),
            BuiltinError::Foreign { .. } => true,
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
