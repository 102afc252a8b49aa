//! The store that the configuration names.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use nix::unistd::{Uid, User};
use restante_maildrop::{MailboxId, Maildir, MaildirSettings};

use crate::{
    configuration::{Configuration, problem::Problems},
    exit_code::ExitCode,
    failure::Failure,
    private_file,
};

const KEY: &str = "mail.maildir";

/// Sees that the operator's part of the mailboxes' place exists. It is never made for them: a
/// volume that is not mounted must not be taken for empty mailboxes.
///
/// # Errors
/// What is wrong with it, at its line of the configuration.
pub(crate) fn check(configuration: &Configuration) -> Result<(), Problems> {
    if !configuration.sets(KEY) {
        return Ok(());
    }
    let Some(base) = base(&configuration.mail.maildir) else {
        return Ok(());
    };
    let wrong = match base.metadata() {
        Ok(facts) if facts.is_dir() => return Ok(()),
        Ok(_) => "is not a directory".to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => "does not exist".to_owned(),
        Err(error) => format!("cannot be looked at: {error}"),
    };
    let problem = configuration
        .problem(KEY, format!("`{KEY}`: `{}` {wrong}", base.display()))
        .hint("make it, owned by the user that runs the server; or mount what belongs there");
    Err(Problems::new(configuration.file.clone(), vec![problem]))
}

/// Opens the store for somebody who makes edits: the journals of mailboxes will tell who.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_to_edit(configuration: &Configuration) -> Result<Maildir, Failure> {
    open_as(configuration, operator())
}

/// Opens the store. The default place under `data` is made if it is missing.
///
/// # Errors
/// [`check`], or the default place cannot be made.
pub(crate) fn open(configuration: &Configuration) -> Result<Maildir, Failure> {
    open_as(configuration, "restante".to_owned())
}

/// Who runs this program, as journals will tell it: the user's name, and whose rights were
/// borrowed, as far as `sudo` says it.
pub(crate) fn operator() -> String {
    let uid = Uid::current();
    let user = User::from_uid(uid).ok().flatten();
    let name = user.map_or_else(|| format!("uid {uid}"), |user| user.name);
    match env::var("SUDO_USER") {
        Ok(sudoer) if uid.is_root() && !sudoer.is_empty() => format!("{sudoer} as {name}"),
        _ => name,
    }
}

fn open_as(configuration: &Configuration, author: String) -> Result<Maildir, Failure> {
    check(configuration)?;
    let mail = &configuration.mail;
    if let (false, Some(base)) = (configuration.sets(KEY), base(&mail.maildir)) {
        private_file::ensure_directory(&base).map_err(|error| {
            Failure::new(ExitCode::Io, format!("cannot make `{}`", base.display()))
                .caused_by(error)
                .hint("`data` in the configuration names another place")
        })?;
    }
    Maildir::new(MaildirSettings {
        undelete_for: mail.undelete_for,
        line_ends: mail.line_ends,
        author,
        ..MaildirSettings::new(mail.maildir.as_str())
    })
    .map_err(|error| {
        let problem = configuration
            .problem(KEY, format!("`{KEY}`: {error}"))
            .hint("write it like this: `\"/var/mail/{domain}/{user}\"`");
        Problems::new(configuration.file.clone(), vec![problem]).into()
    })
}

/// Where an account's Maildir is, for people.
pub(crate) fn place(configuration: &Configuration, mailbox: &MailboxId) -> PathBuf {
    if let Some(own) = &mailbox.location {
        return own.clone();
    }
    let account = &mailbox.account;
    let (user, domain) = account.rsplit_once('@').unwrap_or((account, ""));
    let home = mailbox.home.as_deref().unwrap_or(Path::new(""));
    let path = configuration.mail.maildir.replace("{address}", account);
    let path = path.replace("{user}", user).replace("{domain}", domain);
    path.replace("{home}", &home.to_string_lossy()).into()
}

/// What a Maildir holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Usage {
    /// Messages, new and old.
    pub(crate) messages: u64,
    /// Octets of their files.
    pub(crate) octets: u64,
}

/// How much mail is in a Maildir; one that is not made yet is empty. Opens no message and takes no
/// lock.
///
/// # Errors
/// It cannot be looked at.
pub(crate) fn usage(maildir: &Path) -> io::Result<Usage> {
    let mut usage = Usage::default();
    for folder in ["new", "cur"] {
        let entries = match fs::read_dir(maildir.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            match entry.metadata() {
                Ok(facts) if facts.is_file() && !is_hidden => {
                    usage.messages += 1;
                    usage.octets += facts.len();
                }
                // A session has removed it meanwhile.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(usage)
}

/// What stands before the first directory whose name is the account's; `None` if that is the
/// account's own home.
pub(crate) fn base(template: &str) -> Option<PathBuf> {
    let path = Path::new(template);
    let fixed = |component: &std::path::Component<'_>| {
        !component.as_os_str().to_string_lossy().contains('{')
    };
    path.is_absolute()
        .then(|| path.components().take_while(fixed).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_files_and_directories_are_no_mail() {
        let maildir = tempfile::tempdir().unwrap();
        assert_eq!(usage(maildir.path()).unwrap(), Usage::default());
        for folder in ["new", "cur", "tmp", "cur/directory"] {
            fs::create_dir(maildir.path().join(folder)).unwrap();
        }
        for (file, octets) in [
            ("new/1", 10),
            ("cur/2:2,S", 200),
            ("cur/.hidden", 1),
            ("tmp/3", 1),
        ] {
            fs::write(maildir.path().join(file), "x".repeat(octets)).unwrap();
        }
        let expected = Usage {
            messages: 2,
            octets: 210,
        };
        assert_eq!(usage(maildir.path()).unwrap(), expected);
    }

    #[test]
    fn the_operators_part_ends_where_the_accounts_begins() {
        assert_eq!(base("/var/mail/{domain}/{user}"), Some("/var/mail".into()));
        assert_eq!(base("/srv/x-{user}/Maildir"), Some("/srv".into()));
        assert_eq!(base("/{user}"), Some("/".into()));
        assert_eq!(base("{home}/Maildir"), None);
    }
}
