//! The accounts that the configuration names.

mod sql;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use restante_maildrop::MailboxId;
use restante_server::accounts::{
    Account, Builtin, BuiltinError, Directory, LoginNames, PasswdFile, PasswdFileSettings,
};

use crate::{
    configuration::{AccountSource, Configuration, problem::Problems},
    exit_code::ExitCode,
    failure::Failure,
    quantity,
    rights::Rights,
    settings::Who,
};

/// Where the built-in accounts are, under `data`.
pub(crate) fn database(configuration: &Configuration) -> PathBuf {
    configuration.data.join("accounts.sqlite")
}

/// How names as typed become account names.
pub(crate) fn names(configuration: &Configuration) -> LoginNames {
    LoginNames::new(configuration.accounts.default_domain.as_deref())
}

/// Sees that a passwd-file can be read, and that the settings of a database make sense; whether it
/// answers is another matter.
///
/// # Errors
/// That it cannot, at its line of the configuration.
pub(crate) fn check(configuration: &Configuration) -> Result<(), Problems> {
    const KEY: &str = "accounts.passwd_file";
    let path = match &configuration.accounts.source {
        AccountSource::Builtin => return Ok(()),
        AccountSource::Sql(accounts) => return sql::open(configuration, accounts).map(drop),
        AccountSource::PasswdFile(path) => path,
    };
    match passwd_file(configuration, path).and_then(|file| file.survey()) {
        Ok(_) => Ok(()),
        Err(error) => {
            let problem = configuration
                .problem(
                    KEY,
                    format!("`{KEY}`: cannot read `{}`: {error}", path.display()),
                )
                .hint("the file must exist and be readable to the user that runs the server");
            Err(Problems::new(configuration.file.clone(), vec![problem]))
        }
    }
}

/// Opens the directory of accounts; the built-in one is made if it is missing.
///
/// # Errors
/// It cannot be opened.
pub(crate) fn open(configuration: &Configuration) -> Result<Directory, Failure> {
    match &configuration.accounts.source {
        AccountSource::Builtin => Ok(Directory::Builtin(Arc::new(open_builtin(configuration)?))),
        AccountSource::PasswdFile(path) => {
            let file = passwd_file(configuration, path).map_err(|error| {
                Failure::new(ExitCode::Unavailable, "the system gives no randomness")
                    .caused_by(error)
            })?;
            Ok(Directory::PasswdFile(Arc::new(file)))
        }
        AccountSource::Sql(accounts) => Ok(Directory::Sql(sql::open(configuration, accounts)?)),
    }
}

/// Opens the built-in accounts; they are made if they are missing.
///
/// # Errors
/// They cannot be opened, or are not in use.
pub(crate) fn open_builtin(configuration: &Configuration) -> Result<Builtin, Failure> {
    Builtin::open(&database(configuration)).map_err(explain)
}

/// Finds the mailbox of a name as a mail server writes it.
///
/// # Errors
/// There is no such account ([`ExitCode::UnknownUser`]), or it cannot be found out now.
pub(crate) async fn find(
    configuration: &Configuration,
    address: &str,
) -> Result<MailboxId, Failure> {
    let (_, account) = look_up(configuration, address).await?;
    account.mailbox.map_err(|obstacle| {
        Failure::new(
            ExitCode::TryLater,
            format!("account `{address}` has no usable mailbox"),
        )
        .caused_by(obstacle)
        .hint("`restante config check` says what to change")
    })
}

/// Finds the account of a name as somebody has written it, and where it was found.
///
/// # Errors
/// There is no such account ([`ExitCode::UnknownUser`]), or it cannot be found out now.
pub(crate) async fn look_up(
    configuration: &Configuration,
    address: &str,
) -> Result<(Directory, Account), Failure> {
    let unknown = || {
        Failure::new(
            ExitCode::UnknownUser,
            format!("there is no account `{address}`"),
        )
        .hint(match &configuration.accounts.source {
            AccountSource::Builtin => {
                format!("`{} account list` shows them", configuration.program())
            }
            AccountSource::PasswdFile(path) => format!("accounts are in `{}`", path.display()),
            AccountSource::Sql(_) => {
                "`password_query` below `[accounts.sql]` finds none".to_owned()
            }
        })
    };
    let is_builtin = configuration.accounts.source == AccountSource::Builtin;
    // Looking must not make a database, perhaps as another user than the server's.
    if is_builtin && !database(configuration).exists() {
        return Err(unknown());
    }
    let directory = open(configuration)?;
    let found = directory
        .find(address, &names(configuration))
        .await
        .map_err(|error| {
            Failure::new(ExitCode::TryLater, format!("cannot look up `{address}`")).caused_by(error)
        })?;
    Ok((directory, found.ok_or_else(unknown)?))
}

/// What there is to say of the accounts, a line each.
///
/// # Errors
/// They cannot be read.
pub(crate) fn survey(configuration: &Configuration) -> Result<Vec<String>, Failure> {
    match &configuration.accounts.source {
        AccountSource::Builtin => Ok(vec![survey_builtin(configuration)?]),
        AccountSource::PasswdFile(path) => survey_passwd_file(configuration, path),
        AccountSource::Sql(accounts) => sql::survey(configuration, accounts),
    }
}

fn survey_builtin(configuration: &Configuration) -> Result<String, Failure> {
    let path = database(configuration);
    if !path.exists() {
        return Ok(format!(
            "built-in, none yet: `restante account add` makes one, and so does the first start \
             unless systemd runs it; in {}",
            path.display()
        ));
    }
    let count = open_builtin(configuration)?.list().map_err(explain)?.len();
    Ok(format!(
        "built-in, {}, in {}",
        counted(count),
        path.display()
    ))
}

fn survey_passwd_file(configuration: &Configuration, path: &Path) -> Result<Vec<String>, Failure> {
    let unreadable = |error| {
        let what = format!("cannot read `{}`", path.display());
        Failure::new(ExitCode::Configuration, what).caused_by(error)
    };
    let survey = passwd_file(configuration, path)
        .and_then(|file| file.survey())
        .map_err(unreadable)?;
    let path = path.display();
    let mut lines = vec![format!("passwd-file {path}, {}", counted(survey.accounts))];
    for problem in survey.problems {
        let mut line = match problem.line {
            // It is about the file as a whole.
            0 => format!("{path}: "),
            number => format!("{path}:{number}: "),
        };
        if let Some(account) = problem.account {
            line.push_str(&format!("`{}`: ", account.escape_debug()));
        }
        lines.push(format!("{line}{}; hint: {}", problem.what, problem.remedy));
    }
    Ok(lines)
}

/// `no accounts`, `1 account`, `2 accounts`.
fn counted(count: usize) -> String {
    match count {
        0 => "no accounts".to_owned(),
        count => quantity::counted(count, "account"),
    }
}

fn passwd_file(configuration: &Configuration, path: &Path) -> std::io::Result<PasswdFile> {
    PasswdFile::new(PasswdFileSettings {
        path: path.to_owned(),
        uid: serving_user(configuration),
    })
}

/// The user under which mailboxes are served; `None` for root, who can serve everybody's files.
fn serving_user(configuration: &Configuration) -> Option<u32> {
    // A user who does not exist is the server's to complain about.
    let rights = Rights::of(configuration).ok().flatten();
    let user = rights.map_or_else(
        || rustix::process::geteuid().as_raw(),
        |rights| rights.user_id(),
    );
    (user != 0).then_some(user)
}

/// The names of all accounts of a database; `None` if accounts come from elsewhere.
///
/// # Errors
/// They cannot be listed.
pub(crate) fn list_sql(configuration: &Configuration) -> Result<Option<Vec<String>>, Failure> {
    match &configuration.accounts.source {
        AccountSource::Sql(accounts) => sql::list(configuration, accounts).map(Some),
        _ => Ok(None),
    }
}

/// The TCP ports to which looking up an account connects.
pub(crate) fn ports(configuration: &Configuration) -> Vec<u16> {
    let AccountSource::Sql(accounts) = &configuration.accounts.source else {
        return Vec::new();
    };
    // Settings that make no sense were complained about before.
    sql::open(configuration, accounts).map_or_else(|_| Vec::new(), |sql| sql.ports())
}

/// The mailboxes of accounts that say themselves where they are.
pub(crate) fn own_mailboxes(configuration: &Configuration) -> Vec<MailboxId> {
    let AccountSource::PasswdFile(path) = &configuration.accounts.source else {
        return Vec::new();
    };
    let mailboxes = passwd_file(configuration, path).and_then(|file| file.mailboxes());
    // That the file cannot be read was complained about before.
    mailboxes.unwrap_or_default()
}

/// Whom to show to people who start the server: the account that the first start has made, if it
/// is still there, or the only one.
///
/// # Errors
/// The built-in accounts cannot be read.
pub(crate) fn who(configuration: &Configuration, directory: &Directory) -> Result<Who, Failure> {
    let builtin = match directory {
        Directory::Builtin(builtin) => builtin,
        Directory::PasswdFile(file) => return Ok(Who::OneOf(file.path().display().to_string())),
        Directory::Sql(sql) => return Ok(Who::OneOf(sql.place())),
        _ => return Ok(Who::OneOf("the directory".to_owned())),
    };
    let first = first_name(configuration);
    let mut names = builtin
        .list()
        .map_err(explain)?
        .into_iter()
        .map(|account| account.name);
    Ok(match (names.next(), names.next()) {
        (None, _) => Who::Nobody,
        (Some(only), None) => Who::Account(only),
        _ if builtin.look_up(&first).map_err(explain)?.is_some() => Who::Account(first),
        _ => Who::OneOf(format!("`{} account list`", configuration.program())),
    })
}

/// The name of the account that a first start makes. It is the same for everybody, whoever runs
/// the program: a default that depended on that could not be documented.
pub(crate) fn first_name(configuration: &Configuration) -> String {
    let domain = configuration.accounts.default_domain.as_deref();
    format!("you@{}", domain.unwrap_or("localhost"))
}

/// The mailbox of a built-in account.
pub(crate) fn mailbox(name: &str) -> MailboxId {
    MailboxId {
        account: name.to_owned(),
        home: None,
        location: None,
    }
}

/// That a name is taken.
pub(crate) fn exists(name: &str) -> BuiltinError {
    BuiltinError::Exists {
        name: name.to_owned(),
    }
}

/// That a name is nobody's.
pub(crate) fn unknown(name: &str) -> BuiltinError {
    BuiltinError::Unknown {
        name: name.to_owned(),
    }
}

/// What to tell about a failure of the built-in accounts.
pub(crate) fn explain(error: BuiltinError) -> Failure {
    const PLACE: &str =
        "run the command as the user that runs the server; `data` names the directory";
    let (code, hint) = match &error {
        BuiltinError::Exists { .. } => (
            ExitCode::Data,
            "nothing was changed; `restante account passwd` changes its password",
        ),
        BuiltinError::Unknown { .. } => (
            ExitCode::UnknownUser,
            "`restante account list` shows all accounts",
        ),
        BuiltinError::DeviceExists { .. } => (
            ExitCode::Data,
            "nothing was changed; remove it first, or choose another name",
        ),
        BuiltinError::UnknownDevice { .. } => (
            ExitCode::UnknownUser,
            "`restante account device list` shows all devices of an account",
        ),
        BuiltinError::DeviceName { .. } => (
            ExitCode::Data,
            "1 to 64 characters that can be shown, and not `default`",
        ),
        BuiltinError::Name { .. } => (
            ExitCode::Data,
            "write it like this: `somebody@example.com`, or without the domain",
        ),
        BuiltinError::Password { .. } | BuiltinError::LoginDelay => {
            (ExitCode::Data, "nothing was changed")
        }
        BuiltinError::Foreign { .. } => (
            ExitCode::Configuration,
            "nothing was changed in it; `data` names the directory",
        ),
        BuiltinError::Newer { .. } => (
            ExitCode::Configuration,
            "run the version that has written it, or restore a copy from before",
        ),
        BuiltinError::File { .. } => (ExitCode::Io, PLACE),
        _ => (ExitCode::TryLater, PLACE),
    };
    let failure = match code {
        // What was typed is at fault, and the error says it all.
        ExitCode::Data | ExitCode::UnknownUser => Failure::new(code, error.to_string()),
        _ => Failure::new(code, "the accounts cannot be used").caused_by(error),
    };
    failure.hint(hint)
}
