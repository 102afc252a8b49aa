//! Accounts in somebody else's database: SQLite or PostgreSQL, asked with the operator's queries.
//!
//! What the login named is bound as a parameter, never written into the text of a query. A
//! database that is gone, slow or full of nonsense is our failure, in bounded time, and never a
//! wrong password (R3206-AUTH-2); it is asked anew at the next login.
//!
//! `password_query` gives one row for an account, none for nobody's name. Its columns, by name:
//!
//! | column | says |
//! |---|---|
//! | `password` | Dovecot's password field: `{SCHEME}data`; empty or NULL matches nothing |
//! | `user` | the canonical name; without it, the most complete spelling that is found |
//! | `home` | the home directory |
//! | `maildir` | the mailbox, as an absolute path |
//! | `nologin` | 1, true or text: nobody logs in |
//! | `allow_nets` | networks that logins come from |
//! | `uid`, `gid` | must be the serving user's |
//!
//! Dovecot's other names are taken as in a passwd-file's extra fields: `userdb_mail`,
//! `quota_rule` and the like. A column that is not understood refuses the login: it may restrict.
//! `user_query`, if there is one, gives `home`, `maildir` and the like instead.

mod account;
mod postgres;
mod query;
mod sqlite;

use std::{error::Error, fmt, io, path::PathBuf, sync::Arc, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

pub use self::query::QueryError;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub use self::query::fuzz_query;
use self::{
    postgres::Postgres,
    query::{Dialect, Query},
    sqlite::Sqlite,
};
use super::{Account, DirectoryError, RevisionKey};

/// How many names a list may have.
const LISTED_MAX: usize = 1_000_000;
/// Two rows for one account are one too many; more need not be fetched.
const ROWS_MAX: usize = 2;

/// Which database is asked what.
#[derive(Clone, Debug)]
pub struct SqlSettings {
    /// `sqlite:///path` or `postgres://user:password@host/database`.
    pub database: SecretString,
    /// PEM of the authority that has signed the server's certificate, instead of the system's.
    pub authority: Option<Vec<u8>>,
    /// Gives the password of an account.
    pub password_query: String,
    /// Gives the home directory and the mailbox of an account.
    pub user_query: Option<String>,
    /// Gives the names of all accounts.
    pub list_query: Option<String>,
    /// How many connections there may be.
    pub connections_max: usize,
    /// How long a look-up may take.
    pub timeout: Duration,
    /// The user id under which mailboxes are served; `None` accepts any.
    pub uid: Option<u32>,
}

impl SqlSettings {
    /// The default of `connections_max`.
    pub const CONNECTIONS_MAX: usize = 8;
    /// The default of `timeout`.
    pub const TIMEOUT: Duration = Duration::from_secs(5);
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqlError {
    /// No URL of a database that is known here. Its text is not repeated: it may hold a password.
    #[error("is no `sqlite:///…` or `postgres://…`")]
    Url,
    /// The authority's certificate cannot be used.
    #[error("no usable certificate of an authority")]
    Authority(#[source] Box<dyn Error + Send + Sync>),
    /// A query cannot be used.
    #[error("{0}")]
    Query(SqlQuery, #[source] QueryError),
    /// The pool of connections could not be made.
    #[error("no pool of connections")]
    Pool(#[source] Box<dyn Error + Send + Sync>),
    /// The system gave no random octets.
    #[error("no random octets")]
    Randomness(#[source] io::Error),
}

/// Which of the queries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SqlQuery {
    /// `password_query`.
    Password,
    /// `user_query`.
    User,
    /// `list_query`.
    List,
}

/// Accounts in a database.
pub struct Sql {
    backend: Backend,
    password_query: Arc<Query>,
    user_query: Option<Arc<Query>>,
    list_query: Option<Arc<Query>>,
    uid: Option<u32>,
    revision_key: RevisionKey,
}

enum Backend {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// A query with what is bound to it.
struct Ask {
    query: Arc<Query>,
    values: Vec<String>,
    rows_max: usize,
}

/// A column's value.
enum Value {
    Null,
    Text(Zeroizing<String>),
    Number(i64),
    Truth(bool),
}

/// Columns by name, in lower case.
type Row = Vec<(String, Value)>;
type Rows = Vec<Row>;

/// Why a database gave no answer.
struct Failure {
    is_permanent: bool,
    cause: Box<dyn Error + Send + Sync>,
}

/// It took longer than it may.
#[derive(Debug, thiserror::Error)]
#[error("database did not answer in time")]
struct TooSlow;

impl Sql {
    /// Reads the settings; connects to nobody, so that a server starts while its database is away.
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn new(settings: &SqlSettings) -> Result<Self, SqlError> {
        let url = settings.database.expose_secret();
        let (connections_max, timeout) = (settings.connections_max, settings.timeout);
        let (backend, dialect) = if let Some(path) = url.strip_prefix("sqlite://") {
            let path = Some(PathBuf::from(path)).filter(|path| path.is_absolute());
            let path = path.ok_or(SqlError::Url)?;
            let sqlite = Sqlite::new(path, connections_max, timeout);
            (Backend::Sqlite(sqlite), Dialect::Sqlite)
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let authority = settings.authority.as_deref();
            let postgres = Postgres::new(url, authority, connections_max, timeout)?;
            (Backend::Postgres(postgres), Dialect::Postgres)
        } else {
            return Err(SqlError::Url);
        };
        let one = |which, text: &str| {
            let query = Query::for_one(text, dialect).map(Arc::new);
            query.map_err(|error| SqlError::Query(which, error))
        };
        let list = |text: &String| {
            let query = Query::parse(text, dialect).map(Arc::new);
            query.map_err(|error| SqlError::Query(SqlQuery::List, error))
        };
        let user_query = settings.user_query.as_ref();
        Ok(Self {
            backend,
            password_query: one(SqlQuery::Password, &settings.password_query)?,
            user_query: user_query
                .map(|text| one(SqlQuery::User, text))
                .transpose()?,
            list_query: settings.list_query.as_ref().map(list).transpose()?,
            uid: settings.uid,
            revision_key: RevisionKey::new().map_err(SqlError::Randomness)?,
        })
    }

    /// Which database it is, for people: no password.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.backend {
            Backend::Sqlite(sqlite) => format!("SQLite {}", sqlite.path().display()),
            Backend::Postgres(postgres) => postgres.place().to_owned(),
        }
    }

    /// The TCP ports to which it connects.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        match &self.backend {
            Backend::Sqlite(_) => Vec::new(),
            Backend::Postgres(postgres) => postgres.ports().to_vec(),
        }
    }

    /// The names of all accounts, sorted; `None` without a `list_query`.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub async fn list(&self) -> Result<Option<Vec<String>>, DirectoryError> {
        let Some(query) = &self.list_query else {
            return Ok(None);
        };
        let ask = Ask {
            values: query.values(""),
            query: Arc::clone(query),
            rows_max: LISTED_MAX,
        };
        let rows = self.ask(vec![ask]).await?.pop().unwrap_or_default();
        let name = |row: Row| {
            row.into_iter()
                .next()
                .and_then(|(_, value)| value.into_text())
        };
        let mut names: Vec<_> = rows
            .into_iter()
            .filter_map(name)
            .map(|name| name.as_str().to_owned())
            .collect();
        names.sort();
        Ok(Some(names))
    }

    /// Asks for a name that nobody has, to see whether database and queries are in order.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub async fn check(&self) -> Result<(), DirectoryError> {
        self.first_of(&["restante-config-check@invalid".to_owned()])
            .await
            .map(drop)
    }

    /// The account that these names lead to; all are looked up, in one go. The first name that is
    /// somebody's counts if the database says how it is spelled. If it does not, the last one
    /// does: a query that compares without regard to case, or to the domain, finds one mailbox
    /// under several names, and each mailbox must have one name only.
    pub(super) async fn first_of(
        &self,
        names: &[String],
    ) -> Result<Option<Account>, DirectoryError> {
        let queries = || {
            [Some(&self.password_query), self.user_query.as_ref()]
                .into_iter()
                .flatten()
        };
        let ask = |name: &String| {
            let asks = queries().map(|query| Ask {
                values: query.values(name),
                query: Arc::clone(query),
                rows_max: ROWS_MAX,
            });
            asks.collect::<Vec<_>>()
        };
        let asks = names.iter().flat_map(ask).collect();
        let mut answers = self.ask(asks).await?.into_iter();
        let mut last = None;
        for name in names {
            let password = answers.next().unwrap_or_default();
            let user = self.user_query.as_ref().and_then(|_| answers.next());
            let user = user.unwrap_or_default();
            if password.is_empty() && user.is_empty() {
                continue;
            }
            let found = account::read(name, password, user, self.uid, &self.revision_key);
            if found.is_spelled {
                return Ok(Some(found.account));
            }
            last = Some(found.account);
        }
        Ok(last)
    }

    async fn ask(&self, asks: Vec<Ask>) -> Result<Vec<Rows>, DirectoryError> {
        let answered = match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.ask(asks).await,
            Backend::Postgres(postgres) => postgres.ask(asks).await,
        };
        answered.map_err(|failure| match failure.is_permanent {
            true => DirectoryError::Permanent(failure.cause),
            false => DirectoryError::Temporary(failure.cause),
        })
    }
}

impl Value {
    /// As text; `None` for NULL.
    fn into_text(self) -> Option<Zeroizing<String>> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(text),
            Self::Number(number) => Some(Zeroizing::new(number.to_string())),
            Self::Truth(truth) => Some(Zeroizing::new(u8::from(truth).to_string())),
        }
    }
}

impl Failure {
    fn permanent(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            is_permanent: true,
            cause: cause.into(),
        }
    }

    fn temporary(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            is_permanent: false,
            cause: cause.into(),
        }
    }

    fn timeout() -> Self {
        Self::temporary(TooSlow)
    }
}

impl fmt::Display for SqlQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password => "password_query",
            Self::User => "user_query",
            Self::List => "list_query",
        })
    }
}

impl fmt::Debug for Sql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sql")
            .field("place", &self.place())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
