//! Who may log in, with what, to which mailbox.
//!
//! ```text
//!  claimed name ──LoginNames──► candidates ──Directory──► Account { mailbox, credentials, access }
//!                                                             │
//!  password, APOP digest, SASL lines ──Authenticator──────────┴──► Authenticated | Refused
//! ```
//!
//! A [`Directory`] knows the accounts: a passwd-file as Dovecot has it ([`PasswdFile`]), or a
//! database of Restante's own ([`Builtin`]). It is asked anew at every login; only the slow
//! hashing of a password that was right before is spared. The [`Authenticator`] verifies, and sees
//! to it that a failure looks and lasts the same whatever the reason was.

mod access;
mod authenticator;
mod builtin;
mod device;
mod login_names;
pub mod oauth;
mod passwd_file;
pub mod schemes;
mod sql;

use std::{fmt, io, sync::Arc, time::Duration};

use hmac::{Hmac, KeyInit as _, Mac as _};
use restante_maildrop::{
    DeleteMode, FolderName, Keep, MailboxId, Policy, ShownFolders, Shows, Span,
};
use restante_sasl::{
    prepare,
    scram::{Keys, ScramHash},
};
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::Sha256;
use zeroize::Zeroizing;

#[cfg(feature = "testing")]
#[doc(hidden)]
pub use self::sql::fuzz_query;
pub use self::{
    access::Access,
    authenticator::{
        Authenticated, Authenticator, AuthenticatorSettings, BAN_RECORD_OCTETS_MAX, Ban,
        BanRecordError, BanSettings, Client, Culprit, Refusal, RefusalCause, Refused, SaslLogin,
        SaslOutcome,
    },
    builtin::{Builtin, BuiltinError, BuiltinListing, ChangedChoices},
    device::Device,
    login_names::LoginNames,
    passwd_file::{PasswdEntries, PasswdFile, PasswdFileSettings, PasswdSurvey, Problem},
    sql::{QueryError, Sql, SqlError, SqlQuery, SqlSettings},
};
use self::{
    authenticator::ScramShapes,
    schemes::{OutOfMemory, Verifier},
};

/// Where accounts are looked up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Directory {
    /// A passwd-file in Dovecot's format.
    PasswdFile(Arc<PasswdFile>),
    /// Restante's own database.
    Builtin(Arc<Builtin>),
    /// Somebody else's database.
    Sql(Arc<Sql>),
}

/// Why the directory gave no answer. Never the user's fault, and never `[AUTH]` (R3206-AUTH-2).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// Trying again later may help.
    #[error("accounts temporarily unavailable")]
    Temporary(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A person is needed.
    #[error("accounts unavailable")]
    Permanent(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// An account, as the directory has it at this moment.
#[derive(Clone, Debug)]
pub struct Account {
    /// The canonical name: the directory's own spelling.
    pub name: String,
    /// Its mailbox, or why nobody can open it or deliver to it.
    pub mailbox: Result<MailboxId, Obstacle>,
    /// Everything that opens it, or why nothing can be verified. An empty list matches nothing.
    pub credentials: Result<Vec<Credential>, Obstacle>,
    /// From where, and whether at all.
    pub access: Access,
    /// What it has chosen for itself.
    pub choices: Choices,
}

/// What an account has of its own of a mailbox's [`Policy`], of what is shown of it, and how it may
/// be used; `None`: as for everybody.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Choices {
    /// Whose DELE counts.
    pub delete: Option<DeleteMode>,
    /// When mail leaves.
    pub keep: Option<Keep>,
    /// How soon after a login it may be opened again, in whole seconds.
    pub login_delay: Option<Duration>,
    /// What is shown besides INBOX.
    pub folders: Option<ShownFolders>,
    /// How far back.
    pub show_last: Option<Span>,
}

/// What accounts have of their own, each once.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Chosen {
    /// When mail leaves.
    pub keeps: Vec<Keep>,
    /// How soon after a login they may be opened again.
    pub login_delays: Vec<Duration>,
}

/// Why an entry of the directory cannot be used: something that the administrator has to put
/// right. Holds no secret.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{what}")]
pub struct Obstacle {
    what: Arc<str>,
}

/// One way into an account: a password of its own.
#[derive(Clone)]
pub struct Credential {
    name: Arc<str>,
    revision: Revision,
    verifier: Verifier,
    /// Keys beside the verifier, made from the same password.
    scram: Option<Box<Keys>>,
    form: PasswordForm,
    /// Whose it is; `None` for the account's own password.
    device: Option<Arc<Device>>,
}

/// Tells one state of a credential from another: it changes whenever the password does, even to
/// the same password. Comparable within one run of one process.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Revision(u64);

/// Makes revisions that say nothing about what is stored: random, secret, and of one run of one
/// process.
#[derive(Clone)]
struct RevisionKey([u8; 32]);

/// Which form of a presented password the verifier was made from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum PasswordForm {
    /// As other programs hash it.
    AsSent,
    /// Prepared with SASLprep, as SCRAM and we do.
    Prepared,
}

/// A presented password in both forms. It is UTF-8, or it can be nobody's (R6856-USER-3).
struct Presented<'p> {
    as_sent: &'p [u8],
    prepared: Option<Zeroizing<String>>,
}

impl Directory {
    /// Looks up an exact name.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub async fn look_up(&self, name: &str) -> Result<Option<Account>, DirectoryError> {
        self.first_of(vec![name.to_owned()]).await
    }

    /// The names of all accounts; `None` if nothing says how to list them.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub async fn names(&self) -> Result<Option<Vec<String>>, DirectoryError> {
        let temporary = |error: io::Error| DirectoryError::Temporary(Box::new(error));
        let listed = match self {
            Self::Sql(sql) => return sql.list().await,
            Self::PasswdFile(file) => {
                let file = Arc::clone(file);
                tokio::task::spawn_blocking(move || file.names().map_err(temporary)).await
            }
            Self::Builtin(builtin) => {
                let builtin = Arc::clone(builtin);
                let names = move || Ok(builtin.names()?);
                tokio::task::spawn_blocking(names).await
            }
        };
        let names = listed.map_err(|panic| DirectoryError::Temporary(Box::new(panic)))?;
        names.map(Some)
    }

    /// What accounts have of their own, as far as it shows before login.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub(crate) async fn chosen(&self) -> Result<Chosen, DirectoryError> {
        let Self::Builtin(builtin) = self else {
            return Ok(Chosen::default());
        };
        let builtin = Arc::clone(builtin);
        match tokio::task::spawn_blocking(move || builtin.chosen()).await {
            Ok(chosen) => Ok(chosen?),
            Err(panic) => Err(DirectoryError::Temporary(Box::new(panic))),
        }
    }

    /// Looks up a name as a person or a mail server has written it: exactly first, then
    /// lower-cased, then with the default domain. The first that exists counts.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub async fn find(
        &self,
        claimed: &str,
        names: &LoginNames,
    ) -> Result<Option<Account>, DirectoryError> {
        self.first_of(names.candidates(claimed)).await
    }

    /// As [`Directory::find`], for a login: where nobody has the name, what stands before a `+` in
    /// it may be an account's, and what stands behind it a folder of its mailbox.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub async fn find_login(
        &self,
        claimed: &str,
        names: &LoginNames,
    ) -> Result<Option<(Account, Option<FolderName>)>, DirectoryError> {
        if let Some(account) = self.find(claimed, names).await? {
            return Ok(Some((account, None)));
        }
        for (user, folder) in names.folders(claimed) {
            if let Some(account) = self.find(&user, names).await? {
                return Ok(Some((account, Some(folder))));
            }
        }
        Ok(None)
    }

    /// An account whose name has the same canonical spelling as `claimed`, whether or not `claimed`
    /// leads to it.
    async fn find_alike(
        &self,
        claimed: &str,
        names: &LoginNames,
    ) -> Result<Option<Account>, DirectoryError> {
        let folders = names.folders(claimed).into_iter();
        let users = folders.map(|(user, _)| user);
        let user = names.canonical_login(claimed);
        for claimed in [claimed.to_owned()].into_iter().chain(users).chain(user) {
            let alike = names.alike(&claimed);
            let found = match self {
                Self::PasswdFile(file) => file.first_alike(&alike).await?,
                _ => self.first_of(alike).await?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Looks up all names, so that the time does not say which one exists.
    async fn first_of(&self, names: Vec<String>) -> Result<Option<Account>, DirectoryError> {
        match self {
            Self::PasswdFile(file) => file.first_of(&names).await,
            Self::Builtin(builtin) => builtin.first_of(names).await,
            Self::Sql(sql) => sql.first_of(&names).await,
        }
    }

    /// Whether every account can be verified with SCRAM and this hash.
    fn can_verify_scram(&self, hash: ScramHash) -> bool {
        match self {
            Self::PasswdFile(file) => file.can_verify_scram(hash),
            Self::Builtin(_) => hash == ScramHash::Sha256,
            // Nobody can tell without asking for all of them.
            Self::Sql(_) => false,
        }
    }

    /// What the SCRAM parameters of this directory's accounts look like, for the made-up ones.
    fn scram_shapes(&self, hash: ScramHash) -> ScramShapes {
        match self {
            Self::PasswdFile(file) => file.scram_shapes(hash),
            Self::Builtin(_) | Self::Sql(_) => ScramShapes::ours(),
        }
    }
}

impl Choices {
    /// What holds for the account, where `everybodys` holds for everybody else.
    #[must_use]
    pub fn over(&self, everybodys: Policy) -> Policy {
        Policy {
            delete: self.delete.unwrap_or(everybodys.delete),
            keep: self.keep.unwrap_or(everybodys.keep),
            ..everybodys
        }
    }

    /// What is shown to whoever logs in to the account, where `everybodys` holds for everybody
    /// else.
    #[must_use]
    pub fn shows_over(&self, everybodys: &Shows) -> Shows {
        let folders = self.folders.as_ref().unwrap_or(&everybodys.folders);
        let last = self.show_last.map_or(everybodys.last, Span::last);
        Shows {
            last,
            folders: folders.clone(),
            only: None,
        }
    }
}

impl Obstacle {
    pub(crate) fn new(what: impl fmt::Display) -> Self {
        Self {
            what: what.to_string().into(),
        }
    }
}

impl Credential {
    /// A credential from a stored field of another program's.
    fn foreign(name: &str, revision: Revision, verifier: Verifier) -> Self {
        let form = match verifier.scram_keys() {
            Some(_) => PasswordForm::Prepared,
            None => PasswordForm::AsSent,
        };
        Self {
            name: name.into(),
            revision,
            verifier,
            scram: None,
            form,
            device: None,
        }
    }

    /// A credential of ours: Argon2id and SCRAM keys of the same prepared password.
    fn ours(name: &str, revision: Revision, verifier: Verifier, keys: Keys) -> Self {
        let (scram, form) = (Some(Box::new(keys)), PasswordForm::Prepared);
        Self {
            name: name.into(),
            revision,
            verifier,
            scram,
            form,
            device: None,
        }
    }

    /// The same, as a device's.
    fn of_device(self, device: Device) -> Self {
        Self {
            device: Some(Arc::new(device)),
            ..self
        }
    }

    /// The device whose password it is; `None` for the account's own.
    #[must_use]
    pub fn device(&self) -> Option<&Arc<Device>> {
        self.device.as_ref()
    }

    /// The credential's name within its account: `default`, or a device's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Changes whenever the password does.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The keys for SCRAM with this hash, if they are stored.
    fn scram_keys(&self, hash: ScramHash) -> Option<&Keys> {
        let keys = self
            .scram
            .as_deref()
            .or_else(|| self.verifier.scram_keys())?;
        (keys.hash() == hash).then_some(keys)
    }

    /// Whether `password` opens the account. Blocks for as long as the scheme wants.
    fn verify(&self, password: &Presented<'_>) -> Result<bool, OutOfMemory> {
        let prepared = password.prepared.as_ref().map(|text| text.as_bytes());
        match self.form {
            PasswordForm::AsSent => self.verifier.verify(password.as_sent),
            PasswordForm::Prepared => self.verifier.verify(prepared.unwrap_or(password.as_sent)),
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("name", &self.name)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

impl Revision {
    #[cfg(test)]
    fn new(number: u64) -> Self {
        Self(number)
    }
}

impl RevisionKey {
    /// # Errors
    /// The system gave no random octets.
    fn new() -> io::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self(key))
    }

    /// A digest of what is stored: it changes when that does. Each part is preceded by its
    /// length, so that no two sets of parts look the same.
    fn revision(&self, stored: &[&[u8]]) -> Revision {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        for part in stored {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let digest = mac.finalize().into_bytes();
        let first = digest.first_chunk().copied().unwrap_or_default();
        Revision(u64::from_be_bytes(first))
    }
}

impl fmt::Debug for RevisionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RevisionKey([REDACTED])")
    }
}

impl<'p> Presented<'p> {
    fn new(password: &'p SecretSlice<u8>) -> Self {
        let as_sent = password.expose_secret();
        let prepared = str::from_utf8(as_sent)
            .ok()
            .and_then(|text| prepare(text).ok());
        Self {
            as_sent,
            prepared: prepared.map(Zeroizing::new),
        }
    }
}
