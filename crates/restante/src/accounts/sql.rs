//! Accounts in somebody else's database, as the configuration names it.

use std::{fs, sync::Arc};

use restante_server::accounts::{DirectoryError, Sql, SqlError, SqlQuery, SqlSettings};

use crate::{
    configuration::{Configuration, SqlAccounts, problem::Problems},
    exit_code::ExitCode,
    failure::Failure,
};

/// Reads the settings; connects to nobody.
///
/// # Errors
/// What is wrong with them, at its line of the configuration.
pub(super) fn open(
    configuration: &Configuration,
    accounts: &SqlAccounts,
) -> Result<Arc<Sql>, Problems> {
    let refused = |key: &str, text: String, hint: &str| {
        let problem = configuration
            .problem(key, format!("`{key}` {text}"))
            .hint(hint);
        Problems::new(configuration.file.clone(), vec![problem])
    };
    const CA_FILE: &str = "accounts.sql.ca_file";
    const CA_HINT: &str = "it is a PEM file with the certificate of who has signed the database's";
    let authority = match &accounts.ca_file {
        None => None,
        Some(path) => Some(fs::read(path).map_err(|error| {
            let text = format!("cannot be read: `{}`: {error}", path.display());
            refused(CA_FILE, text, CA_HINT)
        })?),
    };
    let settings = SqlSettings {
        database: accounts.database.0.clone(),
        authority,
        password_query: accounts.password_query.clone(),
        user_query: accounts.user_query.clone(),
        list_query: accounts.list_query.clone(),
        connections_max: usize::try_from(accounts.connections).unwrap_or(usize::MAX),
        timeout: accounts.timeout,
        uid: super::serving_user(configuration),
    };
    let sql = Sql::new(&settings).map_err(|error| match &error {
        SqlError::Query(which, query) => {
            let key = match which {
                SqlQuery::Password => "accounts.sql.password_query",
                SqlQuery::User => "accounts.sql.user_query",
                SqlQuery::List => "accounts.sql.list_query",
            };
            refused(key, query.to_string(), query.remedy())
        }
        SqlError::Authority(cause) => refused(CA_FILE, format!("is of no use: {cause}"), CA_HINT),
        _ => refused(
            "accounts.sql.database",
            error.to_string(),
            "write `sqlite:///path/to/file` or `postgres://user:password@host/database`",
        ),
    });
    sql.map(Arc::new)
}

/// What there is to say of the database and its queries, a line each.
///
/// # Errors
/// They need a person.
pub(super) fn survey(
    configuration: &Configuration,
    accounts: &SqlAccounts,
) -> Result<Vec<String>, Failure> {
    let sql = open(configuration, accounts)?;
    let place = sql.place();
    let checked = block_on(async {
        sql.check().await?;
        sql.list().await
    })?;
    match checked {
        Ok(None) => Ok(vec![place]),
        Ok(Some(names)) => Ok(vec![format!("{place}, {}", super::counted(names.len()))]),
        // A server would start, and serve as soon as it comes back.
        Err(DirectoryError::Temporary(cause)) => Ok(vec![
            place,
            format!(
                "NOT AVAILABLE NOW, logins are answered [SYS/TEMP]: {}",
                causes(&*cause)
            ),
        ]),
        Err(error) => Err(Failure::new(
            ExitCode::Configuration,
            format!("{place}: cannot be used"),
        )
        .caused_by(error)
        .hint("the queries below `[accounts.sql]` must fit the tables")),
    }
}

/// The names of all accounts.
///
/// # Errors
/// There is no query for it, or no answer.
pub(super) fn list(
    configuration: &Configuration,
    accounts: &SqlAccounts,
) -> Result<Vec<String>, Failure> {
    let sql = open(configuration, accounts)?;
    let listed = block_on(sql.list())?.map_err(|error| {
        Failure::new(ExitCode::TryLater, "cannot list the accounts").caused_by(error)
    })?;
    listed.ok_or_else(|| {
        Failure::new(
            ExitCode::Configuration,
            "nothing says how to list the accounts",
        )
        .hint("add `list_query = \"SELECT …\"` below `[accounts.sql]`")
    })
}

fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(ExitCode::Unavailable, "cannot start").caused_by(error))?;
    Ok(runtime.block_on(work))
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
