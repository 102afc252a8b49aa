//! An operator's query: its placeholders become parameters of the database, never text.

use std::str::FromStr;

/// Which database's SQL it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

/// What a placeholder stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Parameter {
    /// What stands before the last `@` of the name.
    User,
    /// What stands after it; empty if there is none.
    Domain,
    /// The whole name.
    Address,
}

/// A query with numbered parameters, as the database takes it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Query {
    pub(super) text: String,
    /// What is bound to the first, the second and so on.
    pub(super) parameters: Vec<Parameter>,
}

/// Why a query cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// A placeholder that nothing is known to put in place of.
    #[error("has `:{name}`")]
    Unknown {
        /// The name after the colon.
        name: String,
    },
    /// Parameters of the database's own kind, whose meaning nobody can know.
    #[error("has a parameter that is none of ours")]
    Numbered,
    /// The answer would be the same for everybody.
    #[error("asks for nobody in particular")]
    ForEverybody,
}

impl QueryError {
    /// What to write instead.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        "`:user`, `:domain` and `:address` stand for the parts of the login name, without quotes"
    }
}

impl FromStr for Parameter {
    type Err = QueryError;

    fn from_str(name: &str) -> Result<Self, QueryError> {
        match name {
            "user" => Ok(Self::User),
            "domain" => Ok(Self::Domain),
            "address" => Ok(Self::Address),
            _ => Err(QueryError::Unknown { name: name.into() }),
        }
    }
}

impl Query {
    /// Reads a query that asks for one account.
    pub(super) fn for_one(text: &str, dialect: Dialect) -> Result<Self, QueryError> {
        let query = Self::parse(text, dialect)?;
        match query.parameters.is_empty() {
            true => Err(QueryError::ForEverybody),
            false => Ok(query),
        }
    }

    /// Reads a query that may ask for all. Placeholders are known outside of string literals,
    /// quoted names and comments; anything else is left to the database.
    pub(super) fn parse(text: &str, dialect: Dialect) -> Result<Self, QueryError> {
        let mut query = Self {
            text: String::new(),
            parameters: Vec::new(),
        };
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let quoted = quoted_octets(rest, &query.text, dialect);
            let (octets, copied) = match first {
                _ if quoted > 0 => (quoted, true),
                // A cast, not a placeholder.
                ':' if rest.starts_with("::") => (2, true),
                ':' if name_octets(&rest[1..]) > 0 => {
                    let end = 1 + name_octets(&rest[1..]);
                    query.put(rest[1..end].parse()?, dialect);
                    (end, false)
                }
                '$' | '?' | '@' | '#' | ':' if is_own(rest, dialect) => {
                    return Err(QueryError::Numbered);
                }
                _ => (first.len_utf8(), true),
            };
            if copied {
                query.text.push_str(&rest[..octets]);
            }
            rest = &rest[octets..];
        }
        Ok(query)
    }

    /// The values to bind for the account `name`.
    pub(super) fn values(&self, name: &str) -> Vec<String> {
        let (user, domain) = name.rsplit_once('@').unwrap_or((name, ""));
        let value = |parameter: &Parameter| match parameter {
            Parameter::User => user,
            Parameter::Domain => domain,
            Parameter::Address => name,
        };
        self.parameters
            .iter()
            .map(|parameter| value(parameter).to_owned())
            .collect()
    }

    /// Writes a parameter; the same one gets the same number.
    fn put(&mut self, parameter: Parameter, dialect: Dialect) {
        let known = self.parameters.iter().position(|known| *known == parameter);
        let index = known.unwrap_or_else(|| {
            self.parameters.push(parameter);
            self.parameters.len() - 1
        });
        let sign = match dialect {
            Dialect::Sqlite => '?',
            Dialect::Postgres => '$',
        };
        self.text.push(sign);
        self.text.push_str(&(index + 1).to_string());
    }
}

/// How many octets at the start of `rest` are a literal, a quoted name or a comment. `before` is
/// what stands before it.
fn quoted_octets(rest: &str, before: &str, dialect: Dialect) -> usize {
    let until = |open: usize, close: &str| {
        let found = rest.get(open..).and_then(|inside| inside.find(close));
        // What has no end is the database's to complain of.
        found.map_or(rest.len(), |at| open + at + close.len())
    };
    match rest.as_bytes() {
        // A doubled quote ends one literal and begins the next: the same to us.
        [b'\'', ..] if dialect == Dialect::Postgres && has_escapes(before) => escaped_octets(rest),
        [b'\'', ..] => until(1, "'"),
        [b'"', ..] => until(1, "\""),
        [b'`', ..] if dialect == Dialect::Sqlite => until(1, "`"),
        [b'[', ..] if dialect == Dialect::Sqlite => until(1, "]"),
        [b'-', b'-', ..] => until(2, "\n"),
        [b'/', b'*', ..] if dialect == Dialect::Sqlite => until(2, "*/"),
        [b'/', b'*', ..] => nested_octets(rest),
        [b'$', ..] if dialect == Dialect::Postgres => {
            let tag = 1 + name_octets(&rest[1..]);
            match rest.as_bytes().get(tag) {
                Some(b'$') => until(tag + 1, &rest[..=tag]),
                _ => 0,
            }
        }
        _ => 0,
    }
}

/// Whether a literal that follows is PostgreSQL's `E'…'`.
fn has_escapes(before: &str) -> bool {
    let mut backwards = before.chars().rev();
    let is_e = matches!(backwards.next(), Some('e' | 'E'));
    is_e && !backwards
        .next()
        .is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// A literal in which a backslash protects what follows.
fn escaped_octets(rest: &str) -> usize {
    let mut protected = false;
    for (at, octet) in rest.bytes().enumerate().skip(1) {
        match octet {
            _ if protected => protected = false,
            b'\\' => protected = true,
            b'\'' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A comment that may hold comments.
fn nested_octets(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(here) = rest.as_bytes().get(at..).filter(|here| !here.is_empty()) {
        let step = match here {
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            [b'*', b'/', ..] => {
                depth = depth.saturating_sub(1);
                2
            }
            _ => 1,
        };
        at += step;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// How many octets a name has that begins here; 0 if none does.
fn name_octets(text: &str) -> usize {
    if !text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return 0;
    }
    text.bytes()
        .take_while(|octet| octet.is_ascii_alphanumeric() || *octet == b'_')
        .count()
}

/// Whether a parameter of the database's own begins here, which nobody would bind. PostgreSQL's
/// `?`, `@`, `#` and `:` are no parameters.
fn is_own(rest: &str, dialect: Dialect) -> bool {
    let is_digit = rest[1..].starts_with(|c: char| c.is_ascii_digit());
    // What SQLite takes for a part of a name.
    let is_named = rest[1..]
        .starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii());
    match dialect {
        Dialect::Sqlite => rest.starts_with('?') || is_named,
        Dialect::Postgres => rest.starts_with('$') && is_digit,
    }
}

/// Whatever an operator writes: what a database takes of it has the parameters that are bound,
/// and no others; octets outside of placeholders stay as they are.
///
/// # Panics
/// If not.
#[cfg(feature = "testing")]
pub fn fuzz_query(octets: &[u8]) {
    assert_invariants(octets);
}

#[cfg(any(test, feature = "testing"))]
fn assert_invariants(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else {
        return;
    };
    for dialect in [Dialect::Sqlite, Dialect::Postgres] {
        let Ok(query) = Query::parse(text, dialect) else {
            continue;
        };
        assert_eq!(query.values("me@example.com").len(), query.parameters.len());
        if query.parameters.is_empty() {
            assert_eq!(query.text, text);
        }
        if dialect == Dialect::Sqlite {
            assert_as_sqlite_sees_it(&query);
        }
    }
}

#[cfg(any(test, feature = "testing"))]
fn assert_as_sqlite_sees_it(query: &Query) {
    // Of more than one statement it sees the first; at a NUL it stops.
    if query.text.contains([';', '\0']) {
        return;
    }
    let database = rusqlite::Connection::open_in_memory().expect("a database in memory");
    let made = database.execute_batch("CREATE TABLE u (user, domain, address, p)");
    made.expect("a table in memory");
    if let Ok(statement) = database.prepare(&query.text) {
        let seen = statement.parameter_count();
        assert_eq!(seen, query.parameters.len(), "{}", query.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postgres(text: &str) -> Result<String, QueryError> {
        Query::parse(text, Dialect::Postgres).map(|query| query.text)
    }

    fn sqlite(text: &str) -> Result<String, QueryError> {
        Query::parse(text, Dialect::Sqlite).map(|query| query.text)
    }

    #[test]
    fn placeholders_become_numbers_and_the_same_one_keeps_its_own() {
        let text = "SELECT p FROM u WHERE a = :user AND b = :domain OR c = :address||:user";
        let query = Query::parse(text, Dialect::Postgres).unwrap();
        assert_eq!(
            query.text,
            "SELECT p FROM u WHERE a = $1 AND b = $2 OR c = $3||$1"
        );
        use Parameter::{Address, Domain, User};
        assert_eq!(query.parameters, [User, Domain, Address]);
        assert_eq!(query.values("a@b@c"), ["a@b", "c", "a@b@c"]);
        assert_eq!(query.values("tim"), ["tim", "", "tim"]);
        assert_eq!(
            sqlite("x = :domain AND y=:user").unwrap(),
            "x = ?1 AND y=?2"
        );
    }

    #[test]
    fn what_is_quoted_or_a_comment_or_a_cast_is_left_alone() {
        for text in [
            "SELECT ':user', ''':user', \":user\" -- :user",
            "SELECT 1 /* :user */ + 2",
            "SELECT 1::text",
            "SELECT ':user",
            "SELECT \"ü:user\", 'é'",
        ] {
            assert_eq!(postgres(text).as_deref(), Ok(text));
            assert_eq!(sqlite(text).as_deref(), Ok(text));
        }
        for text in [
            "SELECT E'\\':user', e'\\\\'",
            "SELECT /* /* :user */ :user */ 1",
            "SELECT $$ :user $$, $x$ $$ :user $x$",
            "SELECT a ? 'b' AND c ?| d",
        ] {
            assert_eq!(postgres(text).as_deref(), Ok(text));
        }
        assert_eq!(
            postgres("SELECT name'\\' = :user").as_deref(),
            Ok("SELECT name'\\' = $1")
        );
        let text = "SELECT [:user], `:user`";
        assert_eq!(sqlite(text).as_deref(), Ok(text));
        assert_eq!(sqlite("/* /* */ :user").as_deref(), Ok("/* /* */ ?1"));
        assert_eq!(postgres(":user::text").as_deref(), Ok("$1::text"));
    }

    #[test]
    fn what_would_have_to_be_guessed_is_refused() {
        let unknown = |name: &str| Err(QueryError::Unknown { name: name.into() });
        assert_eq!(postgres("x = :password"), unknown("password"));
        assert_eq!(postgres("x = :users"), unknown("users"));
        assert_eq!(postgres("x = $1"), Err(QueryError::Numbered));
        for own in [
            "?", "?1", "$user", "$1", "@user", "@1", "#user", "#1", ":1", ":ü",
        ] {
            let text = format!("x = {own}");
            assert_eq!(sqlite(&text), Err(QueryError::Numbered), "{text}");
        }
        // Operators of PostgreSQL.
        for text in ["x @> y", "a @1", "a #1", "x[1:2]"] {
            assert_eq!(postgres(text).as_deref(), Ok(text));
        }
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            let everybody = Query::for_one("SELECT password FROM users", dialect);
            assert_eq!(everybody, Err(QueryError::ForEverybody));
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(512))]

        #[test]
        fn no_text_makes_it_panic_or_lose_octets(text in "[a:'$?E\\\\\"/*\\-\\[ü1u\n]{0,16}") {
            for dialect in [Dialect::Sqlite, Dialect::Postgres] {
                if let Ok(query) = Query::parse(&text, dialect) {
                    proptest::prop_assert_eq!(query.text, text.clone());
                }
            }
        }

        #[test]
        fn sqlite_sees_the_parameters_that_are_bound_and_no_others(
            parts in proptest::collection::vec(
                proptest::sample::select(vec![
                    "SELECT ", "p ", "FROM u ", "WHERE ", ":user", ":domain", ":address", "=", " ",
                    ",", "'", "\"", "`", "[", "]", "--", "\n", "/*", "*/", "::", ":", "$", "@", "?",
                    "#", "1", "a", "ü", "(", ")", "||", "E'", "\\", " AND ", "1",
                ]),
                0..14,
            )
        ) {
            assert_invariants(parts.concat().as_bytes());
            assert_invariants(format!("SELECT {}", parts.concat()).as_bytes());
        }
    }
}
