//! The file with the accounts and their passwords on the other server.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use restante_client::Login;
use secrecy::{ExposeSecret as _, SecretString};

use crate::{exit_code::ExitCode, failure::Failure, flags::ImportPop3};

/// A million accounts with long passwords.
const FILE_OCTETS_MAX: u64 = 256 << 20;
/// Somebody else may read or write it.
const OPEN_TO_OTHERS: u32 = 0o077;

/// An account here, and how to log in there.
pub(super) struct Entry {
    pub(super) address: String,
    pub(super) login: Login,
}

/// Reads the accounts.
///
/// # Errors
/// A file cannot be read, is open to others, or has a line that makes no sense.
pub(super) fn read(flags: &ImportPop3) -> Result<Vec<Entry>, Failure> {
    let master = match (&flags.master, &flags.master_password_file) {
        (Some(name), Some(file)) => {
            let text = read_private(file)?;
            let password = text.expose_secret().lines().next().unwrap_or_default();
            if password.is_empty() {
                let what = format!("there is no password in `{}`", file.display());
                return Err(Failure::new(ExitCode::Data, what));
            }
            Some((name.clone(), SecretString::from(password)))
        }
        _ => None,
    };
    let text = read_private(&flags.accounts)?;
    let mut entries = Vec::new();
    for (number, line) in (1..).zip(text.expose_secret().lines()) {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let entry = entry(line, master.as_ref()).ok_or_else(|| {
            // The line itself is a secret.
            let what = format!(
                "{}:{number}: this is no account with a password",
                flags.accounts.display()
            );
            Failure::new(ExitCode::Data, what)
                .hint("write `ADDRESS:PASSWORD`, or address, login and password with tabs between")
        })?;
        entries.push(entry);
    }
    match entries.is_empty() {
        true => {
            let what = format!("there are no accounts in `{}`", flags.accounts.display());
            Err(Failure::new(ExitCode::Data, what))
        }
        false => Ok(entries),
    }
}

fn entry(line: &str, master: Option<&(String, SecretString)>) -> Option<Entry> {
    let (address, name, password) = match (line.split_once('\t'), master) {
        (Some((address, rest)), None) => {
            let (name, password) = rest.split_once('\t')?;
            (address, name, password)
        }
        (Some((address, name)), Some(_)) => (address, name, ""),
        (None, None) => {
            let (address, password) = line.split_once(':')?;
            (address, address, password)
        }
        (None, Some(_)) => (line, line, ""),
    };
    let (address, name) = (address.trim(), name.trim());
    if address.is_empty() || name.is_empty() || (password.is_empty() && master.is_none()) {
        return None;
    }
    let login = match master {
        Some((master, password)) => {
            Login::password(&format!("{name}*{master}"), password.expose_secret())
        }
        None => Login::password(name, password),
    };
    Some(Entry {
        address: address.to_owned(),
        login,
    })
}

/// Reads a file that holds passwords.
fn read_private(path: &Path) -> Result<SecretString, Failure> {
    let failed = |error: io::Error| {
        let what = format!("cannot read `{}`", path.display());
        Failure::new(ExitCode::Data, what).caused_by(error)
    };
    let file = File::open(path).map_err(failed)?;
    // Of the very file that is read.
    let facts = file.metadata().map_err(failed)?;
    if facts.is_file() && facts.mode() & OPEN_TO_OTHERS != 0 {
        let what = format!("`{}` is open to others", path.display());
        return Err(Failure::new(ExitCode::Data, what).hint(format!(
            "it holds passwords: `chmod 600 {}`",
            path.display()
        )));
    }
    let mut text = String::new();
    let mut bounded = file.take(FILE_OCTETS_MAX + 1);
    let octets = bounded.read_to_string(&mut text).map_err(failed)?;
    let text = SecretString::from(text);
    match octets as u64 > FILE_OCTETS_MAX {
        true => Err(failed(io::Error::other("it is too large"))),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use restante_client::Credentials;

    use super::*;

    fn parsed(line: &str, master: Option<&(String, SecretString)>) -> Option<[String; 3]> {
        let Entry { address, login } = entry(line, master)?;
        let Credentials::Password { name, password } = login.credentials else {
            return None;
        };
        Some([address, name, password.expose_secret().to_owned()])
    }

    #[test]
    fn lines_say_who_is_who() {
        for (line, expected) in [
            ("a@x:p", Some(["a@x", "a@x", "p"])),
            ("a@x:p:q =r ", Some(["a@x", "a@x", "p:q =r "])),
            ("a@x\tlogin\tp:q", Some(["a@x", "login", "p:q"])),
            ("a@x", None),
            ("a@x:", None),
            (":p", None),
            ("a@x\tlogin", None),
            ("a@x\t\tp", None),
        ] {
            let expected = expected.map(|fields| fields.map(str::to_owned));
            assert_eq!(parsed(line, None), expected, "{line}");
        }
        let master = ("root".to_owned(), SecretString::from("secret"));
        for (line, expected) in [
            ("a@x", Some(["a@x", "a@x*root", "secret"])),
            ("a@x\tlogin", Some(["a@x", "login*root", "secret"])),
            ("\tlogin", None),
        ] {
            let expected = expected.map(|fields| fields.map(str::to_owned));
            assert_eq!(parsed(line, Some(&master)), expected, "{line}");
        }
    }
}
