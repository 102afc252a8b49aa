//! `[accounts.sql]`.

use std::time::Duration;

use toml::{Spanned, de::DeValue};

use super::path;
use crate::configuration::{
    DatabaseUrl, SqlAccounts, Surroundings,
    document::Document,
    problem::Problem,
    value::{self, Wrong},
};

const DATABASE: &str = "accounts.sql.database";
const PASSWORD_QUERY: &str = "accounts.sql.password_query";
const TIMEOUT: &str = "accounts.sql.timeout";
const CONNECTIONS: &str = "accounts.sql.connections";

/// More is a slip, and more than databases let one program have.
const CONNECTIONS_MAX: u32 = 1000;

/// Reads the table; `None` if the file has none of it.
pub(super) fn read(
    document: &mut Document<'_>,
    surroundings: &Surroundings,
) -> Option<SqlAccounts> {
    let database = document.read(DATABASE, value::text);
    let password_query = document.read(PASSWORD_QUERY, query);
    let user_query = document.read("accounts.sql.user_query", query);
    let list_query = document.read("accounts.sql.list_query", query);
    let ca_file = path(document, "accounts.sql.ca_file", surroundings);
    let connections = document.read(CONNECTIONS, value::count);
    let timeout = document.read(TIMEOUT, value::duration);
    if connections.is_some_and(|count| count > CONNECTIONS_MAX) {
        let problem = Problem::new(format!("`{CONNECTIONS}` is above {CONNECTIONS_MAX}"));
        document.object(CONNECTIONS, problem.hint("`8` suits most"));
    }
    let allowed = Duration::from_millis(100)..=Duration::from_secs(30);
    if timeout.is_some_and(|timeout| !allowed.contains(&timeout)) {
        let problem = Problem::new(format!("`{TIMEOUT}` is not between 100ms and 30s"));
        document.object(TIMEOUT, problem.hint("`\"5s\"` suits most"));
    }
    Some(SqlAccounts {
        database: DatabaseUrl(database?.into()),
        ca_file,
        password_query: password_query?,
        user_query,
        list_query,
        connections: connections.unwrap_or(8),
        timeout: timeout.unwrap_or(Duration::from_secs(5)),
    })
}

/// Text that may have several lines.
fn query(value: &Spanned<DeValue<'_>>) -> Result<String, Wrong> {
    let lines = value.get_ref().as_str().filter(|text| {
        let is_odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
        !text.trim().is_empty() && !text.contains(is_odd)
    });
    match lines {
        Some(lines) => Ok(lines.to_owned()),
        None => value::text(value),
    }
}
