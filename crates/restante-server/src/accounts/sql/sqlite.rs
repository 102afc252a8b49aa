//! Queries to a SQLite file of somebody else's, on threads for blocking work.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, OpenFlags, params_from_iter, types::ValueRef};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};
use zeroize::Zeroizing;

use super::{Ask, Failure, Row, Rows, Value};

/// How many steps of SQLite's machine pass between two looks at the clock.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;
/// How much longer than its deadline a query is waited for: the clock is looked at inside.
const GRACE: Duration = Duration::from_millis(500);

/// A pool of connections that read.
pub(super) struct Sqlite {
    path: PathBuf,
    timeout: Duration,
    places: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Open>>>,
}

/// A connection, and which file it is.
struct Open {
    connection: Connection,
    file: (u64, u64),
}

/// Why a query failed.
#[derive(Debug, thiserror::Error)]
enum SqliteFailure {
    #[error("cannot open `{}`", path.display())]
    File { path: PathBuf, cause: io::Error },
    #[error("database failed")]
    Database(#[from] rusqlite::Error),
    #[error("column `{name}` is neither text nor a number")]
    Column { name: String },
    #[error("query has parameters that nothing is bound to")]
    Parameters,
}

impl Sqlite {
    pub(super) fn new(path: PathBuf, connections_max: usize, timeout: Duration) -> Self {
        Self {
            path,
            timeout,
            places: Arc::new(Semaphore::new(connections_max)),
            idle: Arc::default(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Asks one after the other, on one connection.
    pub(super) async fn ask(&self, asks: Vec<Ask>) -> Result<Vec<Rows>, Failure> {
        let deadline = Instant::now() + self.timeout;
        let place = Arc::clone(&self.places).acquire_owned();
        let place = timeout(self.timeout, place)
            .await
            .map_err(|_| Failure::timeout())?
            .map_err(Failure::temporary)?;
        let (path, idle) = (self.path.clone(), Arc::clone(&self.idle));
        // A thread that hangs in the disk keeps its place, so that there are never more of them.
        let asked = spawn_blocking(move || {
            let answered = answer(&path, &idle, &asks, deadline);
            drop(place);
            answered
        });
        match timeout(self.timeout + GRACE, asked).await {
            Ok(Ok(answered)) => answered.map_err(Failure::from),
            Ok(Err(panic)) => Err(Failure::temporary(panic)),
            Err(_) => Err(Failure::timeout()),
        }
    }
}

fn answer(
    path: &Path,
    idle: &Mutex<Vec<Open>>,
    asks: &[Ask],
    deadline: Instant,
) -> Result<Vec<Rows>, SqliteFailure> {
    let failed = |cause| SqliteFailure::File {
        path: path.into(),
        cause,
    };
    let file = fs::metadata(path)
        .map(|metadata| (metadata.dev(), metadata.ino()))
        .map_err(failed)?;
    let lock = || idle.lock().unwrap_or_else(PoisonError::into_inner);
    // Somebody may have put another file in its place.
    let rested = lock().pop().filter(|open| open.file == file);
    let mut open = match rested {
        Some(open) => open,
        None => open_file(path, file)?,
    };
    let remaining = deadline.saturating_duration_since(Instant::now());
    open.connection.busy_timeout(remaining)?;
    let is_late = move || Instant::now() >= deadline;
    open.connection
        .progress_handler(STEPS_BETWEEN_LOOKS, Some(is_late))?;
    let answered = asks.iter().map(|ask| rows(&open.connection, ask));
    let answered = answered.collect();
    lock().push(open);
    answered
}

fn open_file(path: &Path, file: (u64, u64)) -> Result<Open, SqliteFailure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // A sandboxed server reaches no directory for temporary files.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // A damaged or hostile file cannot make functions or triggers of its own run.
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(Open { connection, file })
}

fn rows(connection: &Connection, ask: &Ask) -> Result<Rows, SqliteFailure> {
    let mut statement = connection.prepare_cached(&ask.query.text)?;
    if statement.parameter_count() != ask.query.parameters.len() {
        return Err(SqliteFailure::Parameters);
    }
    let columns: Vec<String> = statement
        .column_names()
        .map(|name| name.to_ascii_lowercase())
        .collect();
    let mut found = statement.query(params_from_iter(&ask.values))?;
    let mut rows = Vec::new();
    while rows.len() < ask.rows_max
        && let Some(row) = found.next()?
    {
        let mut fields: Row = Vec::new();
        for (index, name) in columns.iter().enumerate() {
            let value = match row.get_ref(index)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => Value::Number(number),
                ValueRef::Text(octets) => {
                    let text = str::from_utf8(octets).map_err(|_| no_text(name))?;
                    Value::Text(Zeroizing::new(text.to_owned()))
                }
                _ => return Err(no_text(name)),
            };
            fields.push((name.clone(), value));
        }
        rows.push(fields);
    }
    Ok(rows)
}

fn no_text(name: &str) -> SqliteFailure {
    SqliteFailure::Column {
        name: name.to_owned(),
    }
}

impl From<SqliteFailure> for Failure {
    /// A query that makes no sense needs a person; what is missing, busy or slow may pass.
    fn from(failure: SqliteFailure) -> Self {
        let permanent = match &failure {
            SqliteFailure::File { .. } => false,
            SqliteFailure::Column { .. } | SqliteFailure::Parameters => true,
            SqliteFailure::Database(rusqlite::Error::SqlInputError { .. }) => true,
            SqliteFailure::Database(error) => matches!(
                error.sqlite_error_code(),
                // `Unknown` is SQLITE_ERROR: no such table.
                Some(ErrorCode::Unknown | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            ),
        };
        match permanent {
            true => Self::permanent(failure),
            false => Self::temporary(failure),
        }
    }
}
