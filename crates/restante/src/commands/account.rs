//! `restante account`: the built-in accounts.

mod device;
mod show;

use std::error::Error as _;

use restante_server::{
    accounts::{Builtin, ChangedChoices},
    control::{self, Reply, Request},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use crate::{
    accounts,
    configuration::{AccountSource, Configuration},
    console, data_directory,
    exit_code::ExitCode,
    failure::Failure,
    flags::{Account, AccountPassword, AccountSet, Delay, Switch, Talk},
    mailboxes, password,
};

const NOT_BUILTIN: &str =
    "these commands manage the built-in accounts, and the configuration names others";

/// Does what was asked with the accounts.
///
/// # Errors
/// Nothing was changed.
pub(crate) fn run(
    configuration: &Configuration,
    account: &Account,
    talk: Talk,
) -> Result<(), Failure> {
    if let Account::Show { address, json } = account {
        return show::run(configuration, address, *json);
    }
    if let Account::List { json } = account
        && let Some(names) = accounts::list_sql(configuration)?
    {
        return print_names(names, *json);
    }
    refuse_other_sources(configuration)?;
    match account {
        Account::Add(add) => self::add(configuration, add, talk),
        Account::Passwd(passwd) => self::passwd(configuration, passwd, talk),
        Account::Set(set) => self::set(configuration, set, talk),
        Account::List { json } => list(configuration, *json),
        Account::Remove { address } => remove(configuration, address, talk),
        Account::Device(device) => device::run(configuration, device, talk),
        Account::Show { .. } => Ok(()),
    }
}

fn refuse_other_sources(configuration: &Configuration) -> Result<(), Failure> {
    match &configuration.accounts.source {
        AccountSource::Builtin => Ok(()),
        AccountSource::Sql(_) => {
            let hint = "change them in the database; a login sees it at once, an open session \
                        before it removes anything";
            Err(Failure::new(ExitCode::Configuration, NOT_BUILTIN).hint(hint))
        }
        AccountSource::PasswdFile(path) => {
            let hint = format!(
                "edit `{}`; the server reads it again when it changes",
                path.display()
            );
            Err(Failure::new(ExitCode::Configuration, NOT_BUILTIN).hint(hint))
        }
    }
}

fn print_names(names: Vec<String>, json: bool) -> Result<(), Failure> {
    if json {
        let objects: Vec<_> = names
            .iter()
            .map(|name| json!({ "address": name }))
            .collect();
        return console::print(json!(objects));
    }
    names.into_iter().try_for_each(console::print)
}

fn add(configuration: &Configuration, add: &AccountPassword, talk: Talk) -> Result<(), Failure> {
    let name = new_name(configuration, &add.address)?;
    // Whoever types a password learns before that it would be of no use.
    if let Some(builtin) = existing(configuration)?
        && builtin.look_up(&name).map_err(accounts::explain)?.is_some()
    {
        return Err(accounts::explain(accounts::exists(&name)));
    }
    let password = new_password(&name, add)?;
    data_directory::make(configuration)?;
    let builtin = accounts::open_builtin(configuration)?;
    builtin.add(&name, &password).map_err(accounts::explain)?;
    if !talk.quiet {
        let mailbox = accounts::mailbox(&name);
        let place = mailboxes::place(configuration, &mailbox);
        console::tell(format_args!(
            "account `{name}` added; its mail will be in {}",
            place.display()
        ));
    }
    reveal(add, &password)
}

fn passwd(
    configuration: &Configuration,
    passwd: &AccountPassword,
    talk: Talk,
) -> Result<(), Failure> {
    let (builtin, name) = known(configuration, &passwd.address)?;
    let password = new_password(&name, passwd)?;
    builtin
        .set_password(&name, &password)
        .map_err(accounts::explain)?;
    if !talk.quiet {
        console::tell(format_args!("password of `{name}` changed"));
    }
    tell_server(configuration, &name, talk);
    reveal(passwd, &password)
}

fn set(configuration: &Configuration, set: &AccountSet, talk: Talk) -> Result<(), Failure> {
    let (builtin, name) = known(configuration, &set.address)?;
    if let Some(pop) = set.changes.pop {
        let is_on = pop == Switch::On;
        builtin.set_pop(&name, is_on).map_err(accounts::explain)?;
        if !talk.quiet {
            let now = if is_on { "can be" } else { "cannot be" };
            console::tell(format_args!("account `{name}` {now} opened by POP3 now"));
        }
    }
    let changes = &set.changes;
    if let Some(delay) = changes.login_delay {
        let delay = delay.0.map(|Delay(delay)| delay);
        builtin
            .set_login_delay(&name, delay)
            .map_err(accounts::explain)?;
        if !talk.quiet {
            console::tell(format_args!(
                "delay between logins of `{name}` changed; it holds for the next login"
            ));
        }
    }
    let changed = ChangedChoices {
        delete: changes.delete.map(|choice| choice.0),
        keep: changes.keep.map(|choice| choice.0),
        folders: changes.folders.clone().map(|choice| choice.0),
        show_last: changes.show_last.map(|choice| choice.0),
    };
    if changed != ChangedChoices::default() {
        builtin.choose(&name, changed).map_err(accounts::explain)?;
        if !talk.quiet {
            console::tell(format_args!(
                "choices of `{name}` changed; they hold for sessions that begin from now on"
            ));
        }
    }
    tell_server(configuration, &name, talk);
    Ok(())
}

fn list(configuration: &Configuration, json: bool) -> Result<(), Failure> {
    let accounts = match existing(configuration)? {
        Some(builtin) => builtin.list().map_err(accounts::explain)?,
        None => Vec::new(),
    };
    if json {
        let objects: Vec<_> = accounts
            .iter()
            .map(|account| {
                let mailbox = accounts::mailbox(&account.name);
                let place = mailboxes::place(configuration, &mailbox);
                json!({
                    "address": account.name,
                    "created": account.created,
                    "pop": account.pop,
                    "maildir": place.to_string_lossy(),
                })
            })
            .collect();
        return console::print(json!(objects));
    }
    for account in accounts {
        console::print(account.name)?;
    }
    Ok(())
}

fn remove(configuration: &Configuration, address: &str, talk: Talk) -> Result<(), Failure> {
    let (builtin, name) = known(configuration, address)?;
    builtin.remove(&name).map_err(accounts::explain)?;
    if !talk.quiet {
        let place = mailboxes::place(configuration, &accounts::mailbox(&name));
        let place = place.display();
        console::tell(format_args!(
            "account `{name}` removed; its mail, if it had any, is still in {place}"
        ));
    }
    tell_server(configuration, &name, talk);
    Ok(())
}

/// Has the server that runs, if one does, end the sessions that the change concerns. The change
/// itself is made: without a server, or if it cannot be told, the sessions find out before they
/// remove anything.
fn tell_server(configuration: &Configuration, name: &str, talk: Talk) {
    let request = Request::AccountChanged {
        account: name.to_owned(),
    };
    let untold = |why: &dyn std::fmt::Display| {
        console::tell(format_args!(
            "warning: the change is made, but open sessions of `{name}` go on until they say QUIT, \
             which removes nothing: {why}"
        ));
    };
    match control::ask(&configuration.data, &request) {
        Ok(Some(Reply::SessionsEnded { sessions: 1.. })) if talk.quiet => {}
        Ok(Some(Reply::SessionsEnded { sessions: 1 })) => console::tell("1 session ended"),
        Ok(Some(Reply::SessionsEnded {
            sessions: count @ 2..,
        })) => {
            console::tell(format_args!("{count} sessions ended"));
        }
        Ok(Some(Reply::Refused { why, .. })) => untold(&why),
        Ok(_) => {}
        Err(error) => match error.source() {
            Some(cause) => untold(&format_args!("{error}: {cause}")),
            None => untold(&error),
        },
    }
}

/// The built-in accounts, if there are any: looking makes nothing.
fn existing(configuration: &Configuration) -> Result<Option<Builtin>, Failure> {
    let exists = accounts::database(configuration).exists();
    exists
        .then(|| accounts::open_builtin(configuration))
        .transpose()
}

/// An account that exists, by the name it was given.
fn known(configuration: &Configuration, address: &str) -> Result<(Builtin, String), Failure> {
    if let Some(builtin) = existing(configuration)? {
        for name in accounts::names(configuration).candidates(address) {
            if builtin.look_up(&name).map_err(accounts::explain)?.is_some() {
                return Ok((builtin, name));
            }
        }
    }
    Err(accounts::explain(accounts::unknown(address)))
}

/// The name that a new account gets. Stricter than what a passwd-file may hold: nothing that a
/// mail program, a shell or a URL would take apart.
fn new_name(configuration: &Configuration, address: &str) -> Result<String, Failure> {
    let plain = |c: char| !c.is_whitespace() && !":\"'`<>(){}[]|*?!$&;,\\".contains(c);
    let name = accounts::names(configuration).canonical(address);
    name.filter(|name| name.chars().all(plain) && name.matches('@').count() <= 1)
        .ok_or_else(|| {
            let what = format!(
                "`{}` cannot be the name of an account",
                address.escape_debug()
            );
            Failure::new(ExitCode::Data, what)
                .hint("write it like this: `somebody@example.com`, or without the domain")
        })
}

fn new_password(name: &str, wanted: &AccountPassword) -> Result<SecretString, Failure> {
    if wanted.generate {
        password::generate()
    } else if wanted.password_stdin {
        password::from_stdin()
    } else {
        password::ask(name)
    }
}

/// A password that was made is data; one that was typed is known already.
fn reveal(wanted: &AccountPassword, password: &SecretString) -> Result<(), Failure> {
    match wanted.generate {
        true => console::print(password.expose_secret()),
        false => Ok(()),
    }
}
