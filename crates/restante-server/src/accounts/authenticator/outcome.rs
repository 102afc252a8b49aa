//! What a login came to.

use std::{net::IpAddr, sync::Arc};

use restante_maildrop::{FolderName, MailboxId};
use restante_sasl::server::ExchangeError;

use super::permission::Permitted;
use crate::accounts::{
    Account, Choices, Credential, Device, DirectoryError, Obstacle, Revision,
    oauth::{IssuerError, TokenFault},
};

/// A login that was verified.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Authenticated {
    /// The account's canonical name.
    pub account: String,
    /// Its mailbox.
    pub mailbox: MailboxId,
    /// The credential that opened it: `default`, or a device's; `token` or `certificate`, which no
    /// directory has.
    pub credential: String,
    /// The device whose password opened it; `None` for everything that is the account's own.
    pub device: Option<Arc<Device>>,
    /// What the account has chosen for itself.
    pub choices: Choices,
    /// The folder that the login named: nothing else is shown.
    pub folder: Option<FolderName>,
    /// The credential's state: a session ends if it changes. `None` if no password of the
    /// account's own opened it, but somebody else's word (a token, a certificate): then the
    /// session ends when the account is gone or closed.
    pub revision: Option<Revision>,
}

impl Authenticated {
    /// By something that the directory has stored.
    pub(super) fn with(account: &Account, permitted: Permitted, credential: &Credential) -> Self {
        Self {
            credential: credential.name().to_owned(),
            device: credential.device().cloned(),
            revision: Some(credential.revision()),
            ..Self::by_word(account, permitted, "")
        }
    }

    /// By somebody else's word, for which `credential` stands.
    pub(super) fn by_word(account: &Account, permitted: Permitted, credential: &str) -> Self {
        Self {
            account: account.name.clone(),
            mailbox: permitted.mailbox,
            credential: credential.to_owned(),
            device: None,
            choices: account.choices.clone(),
            folder: permitted.folder,
            revision: None,
        }
    }
}

/// A login that was refused.
#[derive(Debug)]
pub struct Refused {
    /// What the client may know.
    pub why: Refusal,
    /// What the log may know. Holds no secret.
    pub cause: RefusalCause,
    /// The name as claimed, if it came to that. A stranger wrote it.
    pub name: Option<String>,
}

/// What the client may know of a refusal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// The credentials were wrong, or are of no use from here (R3206-AUTH-1).
    Credentials,
    /// The client's side of the exchange was malformed.
    Malformed,
    /// The failure is ours and likely to pass (R3206-SYS-1).
    Temporary,
    /// The failure is ours and needs a person (R3206-SYS-2).
    Permanent,
    /// This way of logging in is not offered here (R5034-AUTH-2).
    Unavailable,
}

/// Why a login was refused, for the log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefusalCause {
    /// Nobody has this name.
    #[error("unknown user")]
    UnknownUser,
    /// The password, digest or proof is wrong, or none is stored that it could be verified with.
    #[error("wrong password")]
    WrongPassword,
    /// The token is not good here.
    #[error("token not accepted: {0}")]
    Token(TokenFault),
    /// Whether the token is good could not be found out.
    #[error("token not verified")]
    Issuer(#[source] IssuerError),
    /// The client's certificate is for nobody, for somebody else, or for several people.
    #[error("no certificate for this account")]
    Certificate,
    /// The account may not be used from this address, or not at all.
    #[error("login not permitted by nologin or allow_nets")]
    NotPermitted,
    /// Somebody wanted to act for somebody else.
    #[error("authorization identity not permitted")]
    AuthorizationIdentity,
    /// Something about the account has to be put right first.
    #[error("account needs attention: {0}")]
    Obstacle(Obstacle),
    /// The directory gave no answer.
    #[error(transparent)]
    Directory(DirectoryError),
    /// Not enough memory for the hash that is stored.
    #[error("not enough memory to verify the password")]
    OutOfMemory,
    /// Too many attempts have failed under this name or from this address; nothing was verified.
    #[error("too many failed attempts")]
    Throttled,
    /// So many attempts have failed that nothing is verified for a while.
    #[error("banned after failed attempts")]
    Banned,
    /// Too many logins wait to be verified; nothing was.
    #[error("too many logins wait to be verified")]
    Overloaded,
    /// The server is going down, or a thread of it has died.
    #[error("verification was broken off")]
    ShuttingDown,
    /// The system gave no random octets.
    #[error("no random octets")]
    NoRandomness,
    /// A line of the exchange is not base64.
    #[error("malformed SASL line")]
    Line(#[source] restante_sasl::line::LineError),
    /// The exchange itself failed.
    #[error("SASL exchange failed")]
    Exchange(#[source] ExchangeError),
    /// The mechanism, or APOP, is not offered here.
    #[error("way to log in not offered")]
    Unavailable,
}

impl Authenticated {
    /// Whether a login from `address` would be verified as this one was, the account being
    /// `current` by now.
    pub(crate) fn holds(&self, current: Option<&Account>, address: IpAddr) -> bool {
        let Some(account) = current.filter(|account| account.name == self.account) else {
            return false;
        };
        let is_open = account.access.permits(address) && account.access.obstacle.is_none();
        let credentials = account.credentials.as_deref().unwrap_or_default();
        let is_known = self.revision.is_none_or(|revision| {
            credentials.iter().any(|credential| {
                credential.name() == self.credential && credential.revision() == revision
            })
        });
        is_open && is_known
    }
}

impl RefusalCause {
    /// Whether nothing is broken: somebody tries too often, or too many try at once.
    pub(crate) fn is_defence(&self) -> bool {
        matches!(self, Self::Throttled | Self::Banned | Self::Overloaded)
    }
}

impl Refused {
    pub(super) fn new(cause: RefusalCause, name: Option<String>) -> Self {
        Self {
            why: Refusal::of(&cause),
            cause,
            name,
        }
    }
}

impl Refusal {
    fn of(cause: &RefusalCause) -> Self {
        match cause {
            RefusalCause::UnknownUser
            | RefusalCause::WrongPassword
            | RefusalCause::NotPermitted
            | RefusalCause::AuthorizationIdentity
            | RefusalCause::Token(_)
            | RefusalCause::Certificate
            | RefusalCause::Exchange(ExchangeError::TokenRefused)
            | RefusalCause::Exchange(ExchangeError::Unpreparable) => Self::Credentials,
            RefusalCause::Obstacle(_) | RefusalCause::Directory(DirectoryError::Permanent(_)) => {
                Self::Permanent
            }
            // R3206-AUTH-2: an outage is never the user's fault.
            RefusalCause::Directory(_)
            | RefusalCause::Issuer(_)
            | RefusalCause::OutOfMemory
            | RefusalCause::Throttled
            | RefusalCause::Banned
            | RefusalCause::Overloaded
            | RefusalCause::ShuttingDown
            | RefusalCause::NoRandomness => Self::Temporary,
            RefusalCause::Exchange(ExchangeError::BindingUnavailable)
            | RefusalCause::Unavailable => Self::Unavailable,
            RefusalCause::Line(_) | RefusalCause::Exchange(_) => Self::Malformed,
        }
    }
}
