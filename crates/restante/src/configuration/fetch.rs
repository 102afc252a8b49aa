//! The collector's file, `fetch.toml`: read with the same care as the server's.
//!
//! Each table is taken apart key by key; what nobody has asked for is unknown, and said so with
//! its line and the key that may have been meant.

mod account;
mod deliver;
mod keyring;
mod section;
mod words;

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use restante_fetch::{Account, Assignment};
use toml::de::{DeTable, DeValue};

use self::section::Section;
use super::{
    FILE_OCTETS_MAX, Surroundings,
    problem::{Place, Problem, Problems},
    value,
};

/// So many accounts are collected at once, unless the file says otherwise.
const AT_ONCE: u32 = 4;

/// What is to be collected.
pub(crate) struct FetchFile {
    /// Where is kept what was seen.
    pub(crate) state: PathBuf,
    /// So many accounts are collected at once.
    pub(crate) at_once: usize,
    /// The accounts, in the order of the file.
    pub(crate) accounts: Vec<FetchAccount>,
}

/// One account of the file.
pub(crate) struct FetchAccount {
    /// The account, and where its mail goes.
    pub(crate) assignment: Assignment,
    /// Its password is not in the file: a person is asked.
    pub(crate) asks: bool,
}

impl FetchAccount {
    pub(crate) fn account(&self) -> &Account {
        &self.assignment.account
    }
}

/// The file that is read if none is named.
pub(crate) fn default_file() -> Option<PathBuf> {
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let config = config.filter(|path| path.is_absolute());
    let config = config.or_else(|| Some(std::env::home_dir()?.join(".config")));
    Some(config?.join("restante/fetch.toml"))
}

/// Reads the file.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub(crate) fn load(file: &Path) -> Result<FetchFile, Problems> {
    let unreadable = |error: io::Error| {
        let problem = Problem::new(format!("cannot be read: {error}"))
            .hint("`--config` names another file; docs/fetch.md shows what to write");
        Problems::new(Some(file.to_owned()), vec![problem])
    };
    let facts = fs::metadata(file).map_err(unreadable)?;
    if facts.len() > FILE_OCTETS_MAX {
        return Err(unreadable(io::Error::other("it is larger than 1 MiB")));
    }
    let text = fs::read_to_string(file).map_err(unreadable)?;
    let absolute = std::path::absolute(file).map_err(unreadable)?;
    let directory = absolute.parent().unwrap_or(Path::new("/"));
    let open_to_others = facts.permissions().mode() & 0o077 != 0;
    let surroundings = Surroundings::of_process(directory);
    read(&text, &surroundings, open_to_others)
        .map_err(|list| Problems::new(Some(file.to_owned()), list))
}

/// Gives text its meaning. `open_to_others`: others than its owner can read the file.
pub(crate) fn read(
    text: &str,
    surroundings: &Surroundings,
    open_to_others: bool,
) -> Result<FetchFile, Vec<Problem>> {
    let table = DeTable::parse(text).map_err(|error| {
        let place = Place::of(text, error.span().map_or(0, |span| span.start));
        vec![Problem::new(format!("not TOML: {}", error.message())).at(place)]
    })?;
    let mut problems = Vec::new();
    let mut section = Section::new(text, "", table);
    let state = section.take("state", |value| words::path(value, surroundings));
    let at_once = section.take("at_once", value::count);
    let mut accounts = Vec::new();
    if let Some((_, value)) = section.take_any("account") {
        match value.get_ref() {
            DeValue::Array(_) => {
                let DeValue::Array(array) = value.into_inner() else {
                    unreachable!("it was looked at");
                };
                for element in array {
                    let reader = account::Reader {
                        text,
                        surroundings,
                        open_to_others,
                    };
                    accounts.extend(reader.read(element, &mut problems));
                }
            }
            _ => {
                let place = Place::of(text, value.span().start);
                let problem = Problem::new("`account` is a list of tables").at(place);
                problems.push(problem.hint("write `[[account]]` and its keys below"));
            }
        }
    }
    check_names(&accounts, &mut problems);
    problems.extend(section.finish());
    if accounts.is_empty() && problems.is_empty() {
        let problem = Problem::new("there is no account in it");
        problems.push(problem.hint("write `[[account]]` and its keys below: docs/fetch.md"));
    }
    let state = state.or_else(|| default_state(surroundings));
    match state {
        Some(state) if problems.is_empty() => Ok(FetchFile {
            state,
            at_once: at_once.unwrap_or(AT_ONCE) as usize,
            accounts,
        }),
        Some(_) => Err(problems),
        None => {
            let problem = Problem::new("`state` has no default here: the user has no home");
            problems.push(problem.hint("write `state = \"/var/lib/restante-fetch\"`"));
            Err(problems)
        }
    }
}

fn default_state(surroundings: &Surroundings) -> Option<PathBuf> {
    let home = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = home.filter(|path| path.is_absolute());
    let home = home.or_else(|| Some(surroundings.home.as_ref()?.join(".local/state")));
    Some(home?.join("restante"))
}

/// Two accounts of one name would share what was seen.
fn check_names(accounts: &[FetchAccount], problems: &mut Vec<Problem>) {
    for (index, account) in accounts.iter().enumerate() {
        let name = account.account().name.as_str();
        let same = |other: &FetchAccount| other.account().name.as_str().eq_ignore_ascii_case(name);
        if accounts.iter().take(index).any(same) {
            let problem = Problem::new(format!("two accounts are named `{name}`"));
            problems.push(problem.hint("give each its own `name`: what was seen is kept by it"));
        }
    }
}

#[cfg(test)]
mod tests;
