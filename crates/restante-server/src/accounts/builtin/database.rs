//! The database file: its schema, the ways from older ones, and who may read it.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, chown},
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::BuiltinError;

/// How long a command or a login waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Marks the file as ours: "Rest".
const APPLICATION_ID: i32 = 0x5265_7374;

/// What leads from each version of the schema to the next: the first from an empty file to
/// version 1. A step that has been in a release never changes.
///
/// Revisions are drawn from one counter, so that an account that is removed and made again does
/// not repeat one.
const STEPS: [&str; 6] = [
    "
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
    ",
    // Whether the account may be opened by POP3: 1 or 0.
    "ALTER TABLE account ADD COLUMN pop INTEGER NOT NULL DEFAULT 1;",
    // Credentials that are a device's.
    "
    CREATE TABLE device (
        account   TEXT NOT NULL,
        name      TEXT NOT NULL,
        added     INTEGER NOT NULL,
        read_only INTEGER NOT NULL,
        PRIMARY KEY (account, name),
        FOREIGN KEY (account, name) REFERENCES credential (account, name) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    ",
    // What an account has chosen for itself; NULL: as for everybody.
    "
    ALTER TABLE account ADD COLUMN delete_mode TEXT;
    ALTER TABLE account ADD COLUMN keep TEXT;
    ",
    // Seconds between two logins; NULL: as for everybody.
    "ALTER TABLE account ADD COLUMN login_delay INTEGER;",
    // What is shown of the mailbox, the same way.
    "
    ALTER TABLE account ADD COLUMN folders TEXT;
    ALTER TABLE account ADD COLUMN show_last TEXT;
    ",
];

/// The version that this code reads and writes.
pub(super) const VERSION: usize = STEPS.len();

/// An open database, and which file it is.
pub(super) struct Database {
    pub(super) connection: Connection,
    pub(super) file: (u64, u64),
}

/// What a file is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Nothing is in it yet.
    Blank,
    /// Ours, of this version of the schema.
    Ours(usize),
    /// Another program's.
    Foreign,
}

impl Database {
    /// Opens the file, which must exist, and brings it to this version.
    pub(super) fn open(path: &Path) -> Result<Self, BuiltinError> {
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
        if state(&connection)? != State::Ours(VERSION) {
            // Another process may be at it at this moment: look again under the write lock.
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let from = match state(&transaction)? {
                State::Blank => 0,
                State::Ours(version) if version <= VERSION => version,
                State::Ours(_) => return Err(BuiltinError::Newer { path: path.into() }),
                State::Foreign => return Err(BuiltinError::Foreign { path: path.into() }),
            };
            bring_up(&transaction, from)?;
            transaction.commit()?;
        }
        Ok(Self { connection, file })
    }
}

/// Takes the steps from version `from` to this one.
fn bring_up(transaction: &Transaction<'_>, from: usize) -> rusqlite::Result<()> {
    for step in STEPS.iter().skip(from) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION as i32)
}

fn state(connection: &Connection) -> rusqlite::Result<State> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    if application == APPLICATION_ID {
        // A negative version is nobody's.
        return Ok(usize::try_from(version).map_or(State::Foreign, State::Ours));
    }
    let blank = connection.query_row(
        "SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)",
        [],
        |row| row.get(0),
    )?;
    Ok(match blank {
        true => State::Blank,
        false => State::Foreign,
    })
}

/// Makes an empty file with mode 0600, unless there is one. SQLite would let the umask decide.
pub(super) fn make_file(path: &Path) -> io::Result<()> {
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

pub(super) fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}
