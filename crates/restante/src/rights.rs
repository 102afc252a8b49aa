//! Whose rights the server keeps once it has bound its ports: `user` and `group`.

use std::{io, path::Path};

use nix::unistd::{Gid, Group, Uid, User, setgroups, setresgid, setresuid};

use crate::{
    configuration::{
        Configuration,
        problem::{Problem, Problems},
    },
    exit_code::ExitCode,
    failure::Failure,
};

/// A user and a group to become.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Rights {
    name: String,
    user: Uid,
    group: Gid,
}

impl Rights {
    /// Those that the configuration names, or `None` if it leaves them as they are.
    ///
    /// # Errors
    /// There is no such user or group.
    pub(crate) fn of(configuration: &Configuration) -> Result<Option<Self>, Problems> {
        let Some(name) = &configuration.user else {
            return Ok(None);
        };
        let wrong = |problem: Problem| Problems::new(configuration.file.clone(), vec![problem]);
        let unknown = |key: &str, name: &str| {
            let text = format!("`{key}` is `{name}`, and this machine has no such {key}");
            let hint = format!(
                "`getent {}` shows all",
                if key == "user" { "passwd" } else { "group" }
            );
            wrong(configuration.problem(key, text).hint(hint))
        };
        let user = User::from_name(name).ok().flatten();
        let user = user.ok_or_else(|| unknown("user", name))?;
        let group = match &configuration.group {
            None => user.gid,
            Some(name) => {
                let group = Group::from_name(name).ok().flatten();
                group.ok_or_else(|| unknown("group", name))?.gid
            }
        };
        Ok(Some(Self {
            name: name.clone(),
            user: user.uid,
            group,
        }))
    }

    /// The user's number.
    pub(crate) fn user_id(&self) -> u32 {
        self.user.as_raw()
    }

    /// Makes a directory theirs that root has made for them.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn give(&self, path: &Path) -> io::Result<()> {
        std::os::unix::fs::chown(path, Some(self.user.as_raw()), Some(self.group.as_raw()))
    }

    /// Whether this process has other rights than these and may take them on.
    pub(crate) fn can_be_taken_on(&self) -> bool {
        Uid::effective().is_root() && !self.are_held()
    }

    /// Becomes this user and group in all threads, for good, with no supplementary group.
    ///
    /// # Errors
    /// Only root can become somebody else.
    pub(crate) fn take_on(&self) -> Result<(), Failure> {
        if self.are_held() {
            return Ok(());
        }
        let become_them = || {
            setgroups(&[])?;
            setresgid(self.group, self.group, self.group)?;
            setresuid(self.user, self.user, self.user)
        };
        become_them().map_err(|error| {
            Failure::new(
                ExitCode::Configuration,
                format!("cannot become `{}`", self.name),
            )
            .caused_by(io::Error::from(error))
            .hint(format!(
                "`user` and `group` in the configuration can be taken on by root alone: start \
                     the server as root, or as `{}` from the beginning",
                self.name
            ))
        })
    }

    fn are_held(&self) -> bool {
        let is_user = Uid::current() == self.user && Uid::effective() == self.user;
        let is_group = Gid::current() == self.group && Gid::effective() == self.group;
        // Root that is to stay root still has groups to lose.
        is_user && is_group && !self.user.is_root()
    }
}
