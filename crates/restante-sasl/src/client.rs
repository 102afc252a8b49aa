//! The client's role.

mod scram;

use alloc::string::String;
use core::{fmt, ops::RangeInclusive};

use secrecy::{ExposeSecret as _, SecretSlice, SecretString};

use self::scram::Scram;
use crate::{
    ChannelBinding, Mechanism, plain,
    scram::{ITERATIONS_MAX, ITERATIONS_MIN, base64, message::MessageError},
};

/// Who logs in.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The name to log in as; not empty, no NUL.
    pub name: String,
    /// The password; not empty, no NUL.
    pub password: SecretString,
    /// On whose behalf to act, if not on one's own; not empty, no NUL.
    pub authorization: Option<String>,
}

/// One authentication exchange, the client's side.
///
/// Send [`initial_response`](Self::initial_response) with the command or, where that is not
/// possible, as the answer to an empty challenge; then give every challenge to
/// [`respond`](Self::respond) and send what it returns. When the server says that all is well,
/// **ask [`finish`](Self::finish): only its `Ok` means that this was the right server**
/// (R5802-SCRAM-4). After an error send `*`.
pub struct Exchange {
    mechanism: Mechanism,
    credentials: Credentials,
    state: State,
}

enum State {
    /// PLAIN: nothing sent.
    Plain,
    /// LOGIN: nothing sent.
    LoginName,
    /// LOGIN: the name was sent.
    LoginPassword,
    Scram(Scram),
    /// PLAIN and LOGIN: all is said; the rest is the server's.
    Said,
    /// An error ended it.
    Failed,
}

/// Why an exchange fails on the client's side. Send `*` and treat the login as failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A name or password is empty, holds a NUL, or exceeds 1024 octets: nothing was sent.
    #[error("{field} is empty, too long or holds a nul")]
    Field {
        /// Which one.
        field: &'static str,
    },
    /// A name or password holds characters that SASLprep does not allow: nothing was sent.
    /// PLAIN may still work.
    #[error("{field} holds characters that SCRAM does not allow")]
    Unpreparable {
        /// Which one.
        field: &'static str,
    },
    /// A -PLUS mechanism without channel binding, or the other way round (R5802-PLUS-3).
    #[error("channel binding does not fit the mechanism")]
    Binding,
    /// The server's message is not what the grammar wants.
    #[error("malformed {part} from the server")]
    Malformed {
        /// Which part; our words.
        part: &'static str,
    },
    /// The server insists on an extension that we do not know.
    #[error("mandatory extension not supported")]
    MandatoryExtension,
    /// The server's nonce does not begin with ours (R5802-SCRAM-4).
    #[error("the server's nonce does not continue ours")]
    Nonce,
    /// The server wants too few or too many iterations (PRJ-SCRAM-9).
    #[error("iteration count {iterations} is not acceptable")]
    Iterations {
        /// How many.
        iterations: u32,
    },
    /// The server said `e=`; its word for it, at most 64 printable characters.
    #[error("the server reported an error")]
    Server(String),
    /// The server does not know the password: not the right server (R5802-SCRAM-4).
    #[error("the server's signature is wrong")]
    ServerSignature,
    /// The server never proved that it knows the password (R5802-SCRAM-4).
    #[error("the server did not prove itself")]
    Unproven,
    /// A challenge after the end, or a call out of order.
    #[error("out of turn")]
    OutOfTurn,
}

impl Exchange {
    /// A new exchange. `nonce` is 18 fresh random octets.
    ///
    /// `binding`: [`TlsExporter`](ChannelBinding::TlsExporter) with a -PLUS mechanism, and only
    /// with one; [`Unused`](ChannelBinding::Unused) if this side could but the server does not
    /// offer -PLUS; [`None`](ChannelBinding::None) otherwise (R5802-PLUS-3).
    ///
    /// # Errors
    /// [`ClientError::Field`], [`ClientError::Unpreparable`], [`ClientError::Binding`]: nothing
    /// was sent.
    pub fn new(
        mechanism: Mechanism,
        credentials: Credentials,
        binding: ChannelBinding,
        nonce: [u8; 18],
    ) -> Result<Self, ClientError> {
        Self::with_nonce(mechanism, credentials, binding, base64(&nonce))
    }

    fn with_nonce(
        mechanism: Mechanism,
        credentials: Credentials,
        binding: ChannelBinding,
        nonce: String,
    ) -> Result<Self, ClientError> {
        check_field("name", &credentials.name)?;
        check_field("password", credentials.password.expose_secret())?;
        if let Some(authorization) = &credentials.authorization {
            check_field("authorization identity", authorization)?;
        }
        let can_bind = matches!(binding, ChannelBinding::TlsExporter(_));
        if mechanism.needs_channel_binding() != can_bind {
            return Err(ClientError::Binding);
        }
        let state = match (mechanism.scram_hash(), mechanism) {
            (Some(hash), _) => State::Scram(Scram::new(hash, &credentials, &binding, nonce)?),
            (None, Mechanism::Login) => State::LoginName,
            (None, _) => State::Plain,
        };
        Ok(Self {
            mechanism,
            credentials,
            state,
        })
    }

    /// Accepts these iteration counts instead of 4096 to 10,000,000 (PRJ-SCRAM-9). The upper end
    /// bounds the time that a hostile server can cost; counts above 10,000,000 stay refused.
    pub fn accept_iterations(&mut self, iterations: RangeInclusive<u32>) {
        if let State::Scram(scram) = &mut self.state {
            scram.accept_iterations(iterations);
        }
    }

    /// The initial response, raw; `None` if the mechanism has none or it was asked for before.
    ///
    /// In POP3 it may travel with AUTH if the line stays within 255 octets (R5034-IR-4).
    /// Otherwise do not call this: the server's empty challenge, given to
    /// [`respond`](Self::respond), brings it out.
    pub fn initial_response(&mut self) -> Option<SecretSlice<u8>> {
        match &mut self.state {
            State::Plain => {
                self.state = State::Said;
                Some(self.plain_message())
            }
            State::Scram(scram) => scram.client_first(),
            State::LoginName | State::LoginPassword | State::Said | State::Failed => None,
        }
    }

    /// Takes a challenge, decoded, and gives the response, raw; it may be empty.
    ///
    /// # Errors
    /// [`ClientError`]: send `*`.
    pub fn respond(&mut self, challenge: &[u8]) -> Result<SecretSlice<u8>, ClientError> {
        match core::mem::replace(&mut self.state, State::Failed) {
            State::Plain if challenge.is_empty() => {
                self.state = State::Said;
                Ok(self.plain_message())
            }
            State::Plain => Err(ClientError::Malformed { part: "challenge" }),
            // The text of LOGIN's challenges differs from server to server; the order does not.
            State::LoginName => {
                self.state = State::LoginPassword;
                Ok(self.credentials.name.as_bytes().to_vec().into())
            }
            State::LoginPassword => {
                self.state = State::Said;
                Ok(self
                    .credentials
                    .password
                    .expose_secret()
                    .as_bytes()
                    .to_vec()
                    .into())
            }
            State::Scram(mut scram) => {
                let response = scram.respond(&self.credentials, challenge)?;
                self.state = State::Scram(scram);
                Ok(response)
            }
            State::Said | State::Failed => Err(ClientError::OutOfTurn),
        }
    }

    /// To be called when the server has said that the login succeeded.
    ///
    /// # Errors
    /// The exchange was not complete: above all, SCRAM's server has not proven itself
    /// (R5802-SCRAM-4). Close the connection.
    pub fn finish(self) -> Result<(), ClientError> {
        match self.state {
            State::Said => Ok(()),
            State::Scram(scram) if scram.is_server_verified() => Ok(()),
            State::Scram(_) => Err(ClientError::Unproven),
            _ => Err(ClientError::OutOfTurn),
        }
    }

    /// The mechanism of this exchange.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    fn plain_message(&self) -> SecretSlice<u8> {
        let authorization = self
            .credentials
            .authorization
            .as_deref()
            .unwrap_or_default();
        let password = self.credentials.password.expose_secret().as_bytes();
        plain::encode(authorization, &self.credentials.name, password)
    }
}

fn check_field(field: &'static str, text: &str) -> Result<(), ClientError> {
    let legal = (1..=plain::FIELD_OCTETS_MAX).contains(&text.len()) && !text.contains('\0');
    legal.then_some(()).ok_or(ClientError::Field { field })
}

impl From<MessageError> for ClientError {
    fn from(error: MessageError) -> Self {
        match error {
            MessageError::Malformed(part) => Self::Malformed { part },
            MessageError::MandatoryExtension => Self::MandatoryExtension,
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("mechanism", &self.mechanism)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
