//! From the rows of a database to an account.

use std::path::{Path, PathBuf};

use restante_maildrop::MailboxId;

use super::{Rows, Value};
use crate::accounts::{
    Access, Account, Choices, Credential, Obstacle, RevisionKey, login_names,
    passwd_file::{
        entry::{Fault, read_place},
        fields::Fields,
        location,
        owner::Owner,
    },
    schemes::Verifier,
};

/// An account, and whether the database has said how its name is spelled.
pub(super) struct Found {
    pub(super) account: Account,
    pub(super) is_spelled: bool,
}

/// What the columns of one row say.
#[derive(Default)]
struct Columns {
    password: Option<zeroize::Zeroizing<String>>,
    user: Option<String>,
    maildir: Option<String>,
    uid: String,
    gid: String,
    fields: Fields,
}

/// Reads the rows that were found for `name`. What cannot be used is in place of what it would
/// be: an account must not become open because its row is odd.
pub(super) fn read(
    name: &str,
    password: Rows,
    user: Rows,
    uid: Option<u32>,
    revision_key: &RevisionKey,
) -> Found {
    let is_known = !password.is_empty();
    let first = columns("password_query", password);
    let second = columns("user_query", user);
    let read = first.and_then(|first| Ok((first, second?)));
    let (mut first, second) = match read {
        Ok(read) => read,
        Err(fault) => return unusable(name, &Obstacle::new(fault.what)),
    };
    let is_spelled = first.user.is_some();
    let name = first.user.take().unwrap_or_else(|| name.to_owned());
    if !login_names::is_possible(&name) {
        return unusable(&name, &Obstacle::new("`user` that no account can have"));
    }
    let mut access = first.fields.access.clone();
    restrict(&mut access, &second.fields.access);
    let credentials = match &first.password {
        Some(password) if is_known => credentials(password.as_bytes(), revision_key),
        _ => Ok(Vec::new()),
    };
    let mailbox = mailbox(&name, &first, &second, uid);
    let account = Account {
        name,
        mailbox: mailbox.map_err(|fault| Obstacle::new(fault.what)),
        credentials: credentials.map_err(Obstacle::new),
        access,
        choices: Choices::default(),
    };
    Found {
        account,
        is_spelled,
    }
}

/// An account that nobody can use until its rows are put right.
fn unusable(name: &str, obstacle: &Obstacle) -> Found {
    let access = Access {
        obstacle: Some(obstacle.clone()),
        ..Access::default()
    };
    let account = Account {
        name: name.to_owned(),
        mailbox: Err(obstacle.clone()),
        credentials: Err(obstacle.clone()),
        access,
        choices: Choices::default(),
    };
    Found {
        account,
        is_spelled: false,
    }
}

fn credentials(
    field: &[u8],
    revision_key: &RevisionKey,
) -> Result<Vec<Credential>, crate::accounts::schemes::SchemeError> {
    let revision = revision_key.revision(&[field]);
    let verifier = Verifier::parse(field)?;
    let credential = verifier.map(|verifier| Credential::foreign("default", revision, verifier));
    Ok(Vec::from_iter(credential))
}

/// The more restrictive of both; what both restrict differently cannot be reconciled.
fn restrict(access: &mut Access, other: &Access) {
    access.nologin |= other.nologin;
    if access.networks.is_some() && other.networks.is_some() && access.networks != other.networks {
        let what = "`allow_nets` of two queries differ";
        access.obstacle.get_or_insert(Obstacle::new(what));
    }
    access.networks = access.networks.take().or_else(|| other.networks.clone());
    access.obstacle = access.obstacle.take().or_else(|| other.obstacle.clone());
}

fn mailbox(
    name: &str,
    first: &Columns,
    second: &Columns,
    uid: Option<u32>,
) -> Result<MailboxId, Fault> {
    let owner = Owner::new(uid);
    for columns in [first, second] {
        owner.check(columns.uid.as_bytes(), columns.gid.as_bytes())?;
    }
    let either =
        |of: fn(&Columns) -> &Option<String>| of(second).clone().or_else(|| of(first).clone());
    let fields = Fields {
        home: either(|columns| &columns.fields.home),
        mail: either(|columns| &columns.fields.mail),
        access: Access::default(),
    };
    let (home, mut place) = read_place(name, b"", &fields)?;
    if let Some(maildir) = either(|columns| &columns.maildir) {
        if !location::is_safe(Path::new(&maildir)) {
            let what = "`maildir` is not an absolute path without `..`";
            return Err(Fault::new(what, "write the whole path"));
        }
        place = Some(PathBuf::from(maildir));
    }
    Ok(MailboxId {
        account: name.to_owned(),
        home,
        location: place,
    })
}

/// Reads the only row there may be.
fn columns(query: &str, rows: Rows) -> Result<Columns, Fault> {
    let mut rows = rows.into_iter();
    let row = rows.next().unwrap_or_default();
    if rows.next().is_some() {
        let what = format!("`{query}` gives more than one row");
        return Err(Fault::new(what, "select by the whole name"));
    }
    let mut columns = Columns::default();
    for (name, value) in row {
        columns.take(&name, value)?;
    }
    Ok(columns)
}

impl Columns {
    fn take(&mut self, name: &str, value: Value) -> Result<(), Fault> {
        if name.strip_prefix("userdb_").unwrap_or(name) == "nologin" {
            self.fields.access.nologin |= is_true(&value);
            return Ok(());
        }
        let Some(text) = value.into_text() else {
            return Ok(());
        };
        let value = || text.as_str().to_owned();
        match name.strip_prefix("userdb_").unwrap_or(name) {
            "password" => self.password = Some(text),
            "user" | "username" => self.user = Some(value()),
            "maildir" => self.maildir = Some(value()),
            "uid" => self.uid = value(),
            "gid" => self.gid = value(),
            // An empty path says nothing; Dovecot reads it so too.
            "home" | "mail" if text.is_empty() => {}
            _ => {
                // A secret under an unexpected name must not get into a message.
                let field = zeroize::Zeroizing::new(format!("{name}={}", text.as_str()));
                if let Err(fault) = self.fields.take(&field) {
                    let obstacle = Obstacle::new(fault.what.replace("extra field", "column"));
                    self.fields.access.obstacle.get_or_insert(obstacle);
                }
            }
        }
        Ok(())
    }
}

/// Whether a restriction is in force.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null | Value::Number(0) | Value::Truth(false) => false,
        Value::Text(text) => {
            let text = text.trim().to_ascii_lowercase();
            !matches!(text.as_str(), "" | "0" | "n" | "no" | "f" | "false")
        }
        Value::Number(_) | Value::Truth(true) => true,
    }
}

/// As a passwd-file has no rows, so a test has no database.
#[cfg(test)]
pub(super) fn row(columns: &[(&str, &str)]) -> super::Row {
    let text = |value: &str| Value::Text(zeroize::Zeroizing::new(value.to_owned()));
    columns
        .iter()
        .map(|(name, value)| ((*name).to_owned(), text(value)))
        .collect()
}
