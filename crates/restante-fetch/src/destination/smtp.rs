//! Servers that take mail over: LMTP (RFC 2033) and SMTP (RFC 5321).
//!
//! A driver of ours: no library streams a message, speaks LMTP, and tells one reply from the other.
//!
//! ```text
//! connect ─ greeting ─ (STARTTLS) ─ EHLO/LHLO ─ (AUTH)
//!    └► for each message: MAIL RCPT ─ DATA ─ message, dots stuffed ─ CRLF.CRLF ─ reply
//!         └► QUIT
//! ```
//!
//! There is one recipient. Who wants a message for several names several destinations: then the
//! state remembers which of them have it.

mod reply;
mod session;
mod transaction;
mod transport;

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use restante_client::Tls;
use secrecy::SecretString;

#[cfg(feature = "testing")]
pub use self::reply::fuzz_mail_server_replies;
use self::session::{Session, SessionError};
use super::handed::{Carrier, Handed, Letter, handed};
use crate::DestinationError;

/// An address that mail goes to: one word of printable ASCII with an `@` or without.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Address(String);

impl Address {
    /// The longest (RFC 5321 §4.5.3.1.3).
    const OCTETS_MAX: usize = 254;

    /// `None` if it cannot stand between `<` and `>` in a command.
    #[must_use]
    pub fn new(address: &str) -> Option<Self> {
        let plain = |octet: u8| octet.is_ascii_graphic() && !matches!(octet, b'<' | b'>');
        let sound = (1..=Self::OCTETS_MAX).contains(&address.len()) && address.bytes().all(plain);
        sound.then(|| Self(address.to_owned()))
    }
}

/// Where a server is.
#[derive(Clone, Debug)]
pub enum Peer {
    /// A socket of this machine.
    Unix(PathBuf),
    /// A name or address, and a port.
    Tcp {
        /// Its name, which its certificate must hold, or its address.
        host: String,
        /// Its port.
        port: u16,
        /// How the connection is protected.
        security: Security,
    },
}

/// How a connection is protected.
#[derive(Clone, Debug)]
pub enum Security {
    /// Not at all.
    None,
    /// TLS from the first octet (RFC 8314).
    Tls(Tls),
    /// STARTTLS; a server that does not offer it is left.
    Starttls(Tls),
}

/// Who logs in, with AUTH PLAIN.
#[derive(Clone, Debug)]
pub struct Login {
    /// The name.
    pub name: String,
    /// The password. It goes over a connection as it is: whoever makes the settings must see to it
    /// that there is TLS, or that the server is on this machine.
    pub password: SecretString,
}

/// How long is waited; RFC 5321 §4.5.3.2 names the least.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Deadlines {
    /// For a connection, and for the TLS handshake.
    pub connect: Duration,
    /// For the answer to a command, and for the greeting.
    pub command: Duration,
    /// For the answer to DATA.
    pub data: Duration,
    /// Until a piece of the message is taken.
    pub piece: Duration,
    /// For the answer to the whole message.
    pub message: Duration,
    /// For the answer to QUIT, which changes nothing.
    pub quit: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            command: Duration::from_secs(5 * 60),
            data: Duration::from_secs(2 * 60),
            piece: Duration::from_secs(3 * 60),
            message: Duration::from_secs(10 * 60),
            quit: Duration::from_secs(5),
        }
    }
}

/// A server, and for whom it gets mail.
#[derive(Clone, Debug)]
pub struct MailServerSettings {
    /// What it speaks.
    pub dialect: Dialect,
    /// Where it is.
    pub peer: Peer,
    /// Who logs in, if anybody.
    pub login: Option<Login>,
    /// For whom the mail is.
    pub recipient: Address,
    /// Who is named as the sender; `None`: whom the message's `Return-Path:` names, or nobody, so
    /// that no report about delivery is ever sent to an address that somebody has made up.
    pub sender: Option<Address>,
    /// How long is waited.
    pub deadlines: Deadlines,
}

/// Which of the two protocols.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dialect {
    /// SMTP (RFC 5321).
    Smtp,
    /// LMTP (RFC 2033).
    Lmtp,
}

/// A server and the session with it.
struct Mailer {
    settings: MailServerSettings,
    label: String,
    session: Option<Session>,
    /// So many messages in a row have ended their session.
    breaks: u32,
}

impl Mailer {
    fn new(settings: MailServerSettings) -> Self {
        let recipient = &settings.recipient.0;
        let scheme = match settings.dialect {
            Dialect::Smtp => "smtp",
            Dialect::Lmtp => "lmtp",
        };
        let label = match &settings.peer {
            Peer::Unix(path) => {
                let path = path.display().to_string();
                format!("{scheme}:unix:{}:{recipient}", path.escape_debug())
            }
            Peer::Tcp { host, port, .. } => format!("{scheme}:{host}:{port}:{recipient}"),
        };
        Self {
            settings,
            label,
            session: None,
            breaks: 0,
        }
    }

    fn later(&self, said: impl fmt::Display) -> DestinationError {
        DestinationError::Later {
            place: self.label.clone(),
            said: said.to_string(),
        }
    }

    fn closed(&self, said: impl fmt::Display) -> DestinationError {
        DestinationError::Closed {
            place: self.label.clone(),
            said: said.to_string(),
        }
    }

    /// What ends a session concerns the place. The session is of no use any more.
    fn broken(&mut self, error: &SessionError) -> DestinationError {
        self.session = None;
        match error {
            SessionError::Unfit(_) => self.closed(error),
            SessionError::Refused { reply, .. } if reply.is_permanent() => self.closed(error),
            _ => self.later(error),
        }
    }
}

impl Carrier for Mailer {
    fn label(&self) -> &str {
        &self.label
    }

    async fn open(&mut self) -> Result<(), DestinationError> {
        match Session::open(&self.settings).await {
            Ok(session) => {
                self.session = Some(session);
                Ok(())
            }
            Err(error) => Err(self.broken(&error)),
        }
    }

    async fn hand_on(&mut self, letter: Letter<'_>) -> Result<(), DestinationError> {
        self.transact(letter).await
    }

    async fn close(&mut self) {
        if let Some(session) = self.session.take() {
            session.quit().await;
        }
    }
}

handed! {
    /// A server that takes mail over: whoever delivers into mailboxes, on this machine most often.
    pub struct MailServer(Mailer);
}

impl MailServer {
    /// The server of these settings, for mail of `account`. What it has taken over is noted in
    /// `directory`, which is made if it is missing. Nothing is touched yet.
    #[must_use]
    pub fn new(settings: MailServerSettings, directory: &Path, account: &str) -> Self {
        Self(Handed::new(Mailer::new(settings), directory, account))
    }
}

#[cfg(test)]
mod tests;
