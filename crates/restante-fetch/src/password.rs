//! Where passwords and tokens come from.

#[cfg(feature = "keyring")]
mod keyring;

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use restante_client::Credentials;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{io::AsyncReadExt as _, process::Command, time::timeout};
use zeroize::Zeroizing;

#[cfg(feature = "keyring")]
pub use self::keyring::KeyringItem;
use crate::trouble::Trouble;

/// No password or token is longer.
const OCTETS_MAX: u64 = 64 * 1024;
/// So long may a command take: it may ask a person, or a server.
const COMMAND_DURATION_MAX: Duration = Duration::from_secs(120);

/// What proves who logs in.
#[derive(Clone, Debug)]
pub enum Secret {
    /// A password.
    Password(Source),
    /// An OAuth access token, new for each run.
    Token(Source),
}

/// Where a password or a token comes from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Source {
    /// It is known.
    Known(SecretString),
    /// The first line that this command of the shell writes.
    Command(String),
    /// The first line of this file, which only its owner may read.
    File(PathBuf),
    /// An item of the desktop's keyring.
    #[cfg(feature = "keyring")]
    Keyring(KeyringItem),
}

impl Secret {
    /// Who logs in, with what.
    ///
    /// # Errors
    /// [`Trouble::Password`].
    pub async fn credentials(&self, user: &str) -> Result<Credentials, Trouble> {
        let name = user.to_owned();
        Ok(match self {
            Self::Password(source) => Credentials::Password {
                name,
                password: source.read().await?,
            },
            Self::Token(source) => Credentials::Token {
                name,
                token: source.read().await?,
            },
        })
    }
}

impl Source {
    async fn read(&self) -> Result<SecretString, Trouble> {
        match self {
            Self::Known(secret) => Ok(secret.clone()),
            Self::Command(command) => of_command(command).await,
            #[cfg(feature = "keyring")]
            Self::Keyring(item) => item.read().await,
            Self::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || of_file(&path)).await;
                read.unwrap_or_else(|stopped| Err(no(stopped.to_string(), true)))
            }
        }
    }
}

fn no(why: impl Into<String>, later: bool) -> Trouble {
    let why = why.into();
    Trouble::Password { why, later }
}

async fn of_command(command: &str) -> Result<SecretString, Trouble> {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command).kill_on_drop(true);
    shell.stdin(Stdio::null()).stdout(Stdio::piped());
    let started = shell.spawn();
    let mut child =
        started.map_err(|error| no(format!("cannot start the command: {error}"), true))?;
    let out = child.stdout.take();
    let mut read = Zeroizing::new(Vec::new());
    let all = async {
        if let Some(out) = out {
            out.take(OCTETS_MAX).read_to_end(&mut read).await?;
        }
        child.wait().await
    };
    let ended = timeout(COMMAND_DURATION_MAX, all).await;
    let status = ended
        .map_err(|_| no("the command takes too long", true))?
        .map_err(|error| no(format!("the command cannot be read: {error}"), true))?;
    if !status.success() {
        // A locked keyring, a server that does not answer: another time it may do.
        return Err(no(format!("the command failed ({status})"), true));
    }
    first_line(&read).ok_or_else(|| no("the command wrote none", false))
}

fn of_file(path: &Path) -> Result<SecretString, Trouble> {
    let at = |error: io::Error| no(format!("{}: {error}", path.display()), false);
    let mut file = File::open(path).map_err(at)?;
    let facts = file.metadata().map_err(at)?;
    if facts.mode() & 0o077 != 0 {
        let why = format!("{} can be read by others: chmod 600 it", path.display());
        return Err(no(why, false));
    }
    let mut read = Zeroizing::new(Vec::new());
    file.by_ref()
        .take(OCTETS_MAX)
        .read_to_end(&mut read)
        .map_err(at)?;
    let none = || no(format!("{} has none", path.display()), false);
    first_line(&read).ok_or_else(none)
}

/// Without its line end; `None`: it is empty, or no text.
fn first_line(octets: &[u8]) -> Option<SecretString> {
    let text = std::str::from_utf8(octets).ok()?;
    let line = text.split('\n').next().unwrap_or_default();
    let line = SecretString::from(line.strip_suffix('\r').unwrap_or(line));
    (!line.expose_secret().is_empty()).then_some(line)
}
