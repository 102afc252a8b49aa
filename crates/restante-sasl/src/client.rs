//! The client's role.

mod scram;

use alloc::{string::String, vec::Vec};
use core::{fmt, ops::RangeInclusive};

use secrecy::{ExposeSecret as _, SecretSlice, SecretString};

use self::scram::Scram;
use crate::{
    ChannelBinding, Mechanism, bearer, cram, plain,
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

/// Who logs in with an OAuth token.
#[derive(Clone, Debug)]
pub struct Bearer {
    /// Whose mailbox to open; not empty.
    pub user: String,
    /// The access token as the issuer gave it.
    pub token: SecretString,
    /// The host that the connection leads to, as it was asked for. OAUTHBEARER says it to the
    /// server, so that nobody can pass the message on to another one.
    pub host: Option<String>,
    /// The port, likewise.
    pub port: Option<u16>,
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
    state: State,
}

enum State {
    /// There is one message, and nothing sent.
    Message(SecretSlice<u8>),
    /// LOGIN: nothing sent.
    LoginName(Credentials),
    /// LOGIN: the name was sent.
    LoginPassword(SecretString),
    /// CRAM-MD5: waiting for the challenge.
    Cram(Credentials),
    Scram(Scram, Credentials),
    /// All is said; the rest is the server's.
    Said,
    /// The server has refused the token; its word for why.
    Refused(String),
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
    /// The mechanism is not about what was given: a password, a token or a certificate.
    #[error("mechanism needs credentials of another kind")]
    Kind,
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
    /// The server said that it fails, and why; its word for it, at most 256 printable characters.
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
    /// `binding`: what to bind to with a -PLUS mechanism, and only with one; [`Unused`](ChannelBinding::Unused) if this side could but the server does not
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
        if mechanism.needs_channel_binding() != binding.is_usable() {
            return Err(ClientError::Binding);
        }
        let state = match (mechanism.scram_hash(), mechanism) {
            (Some(hash), _) => {
                let scram = Scram::new(hash, &credentials, &binding, nonce)?;
                State::Scram(scram, credentials)
            }
            (None, Mechanism::Login) => State::LoginName(credentials),
            (None, Mechanism::CramMd5) => State::Cram(credentials),
            (None, Mechanism::Plain) => State::Message(plain_message(&credentials)),
            (None, _) => return Err(ClientError::Kind),
        };
        Ok(Self { mechanism, state })
    }

    /// A new exchange with a token: [`Mechanism::OauthBearer`] or [`Mechanism::Xoauth2`].
    ///
    /// Over TLS alone (R7628-OAB-1), to a server whose certificate was verified: whoever reads
    /// the token can use it.
    ///
    /// # Errors
    /// [`ClientError::Field`], [`ClientError::Kind`]: nothing was sent.
    pub fn with_token(mechanism: Mechanism, bearer: &Bearer) -> Result<Self, ClientError> {
        check_words("name", &bearer.user)?;
        if !bearer::is_token(bearer.token.expose_secret()) {
            return Err(ClientError::Field { field: "token" });
        }
        if let Some(host) = &bearer.host {
            check_words("host", host)?;
        }
        let message = match mechanism {
            Mechanism::OauthBearer => {
                let (host, port) = (bearer.host.as_deref(), bearer.port);
                bearer::write_oauthbearer(&bearer.user, host, port, &bearer.token)
            }
            Mechanism::Xoauth2 => bearer::write_xoauth2(&bearer.user, &bearer.token),
            _ => return Err(ClientError::Kind),
        };
        let state = State::Message(message.into());
        Ok(Self { mechanism, state })
    }

    /// A new exchange with [`Mechanism::External`]: the certificate that TLS has shown says who
    /// logs in. `authorization` says whose mailbox to open, if the certificate does not.
    ///
    /// # Errors
    /// [`ClientError::Field`]: nothing was sent.
    pub fn external(authorization: Option<&str>) -> Result<Self, ClientError> {
        if let Some(authorization) = authorization {
            check_field("authorization identity", authorization)?;
        }
        let message = Vec::from(authorization.unwrap_or_default());
        Ok(Self {
            mechanism: Mechanism::External,
            state: State::Message(message.into()),
        })
    }

    /// Accepts these iteration counts instead of 4096 to 10,000,000 (PRJ-SCRAM-9). The upper end
    /// bounds the time that a hostile server can cost; counts above 10,000,000 stay refused.
    pub fn accept_iterations(&mut self, iterations: RangeInclusive<u32>) {
        if let State::Scram(scram, _) = &mut self.state {
            scram.accept_iterations(iterations);
        }
    }

    /// The initial response, raw; `None` if the mechanism has none or it was asked for before.
    ///
    /// In POP3 it may travel with AUTH if the line stays within 255 octets (R5034-IR-4).
    /// Otherwise do not call this: the server's empty challenge, given to
    /// [`respond`](Self::respond), brings it out.
    pub fn initial_response(&mut self) -> Option<SecretSlice<u8>> {
        match core::mem::replace(&mut self.state, State::Failed) {
            State::Message(message) => {
                self.state = State::Said;
                Some(message)
            }
            mut state => {
                let first = match &mut state {
                    State::Scram(scram, _) => scram.client_first(),
                    _ => None,
                };
                self.state = state;
                first
            }
        }
    }

    /// Takes a challenge, decoded, and gives the response, raw; it may be empty.
    ///
    /// # Errors
    /// [`ClientError`]: send `*`.
    pub fn respond(&mut self, challenge: &[u8]) -> Result<SecretSlice<u8>, ClientError> {
        match core::mem::replace(&mut self.state, State::Failed) {
            State::Message(message) if challenge.is_empty() => {
                self.state = State::Said;
                Ok(message)
            }
            State::Message(_) => Err(ClientError::Malformed { part: "challenge" }),
            // The text of LOGIN's challenges differs from server to server; the order does not.
            State::LoginName(credentials) => {
                self.state = State::LoginPassword(credentials.password);
                Ok(credentials.name.into_bytes().into())
            }
            State::LoginPassword(password) => {
                self.state = State::Said;
                Ok(password.expose_secret().as_bytes().to_vec().into())
            }
            // An empty challenge would get a digest that is good at any time.
            State::Cram(_) if challenge.is_empty() => {
                Err(ClientError::Malformed { part: "challenge" })
            }
            State::Cram(credentials) => {
                self.state = State::Said;
                let password = credentials.password.expose_secret().as_bytes();
                Ok(cram::respond(&credentials.name, password, challenge).into())
            }
            State::Scram(mut scram, credentials) => {
                let response = scram.respond(&credentials, challenge)?;
                self.state = State::Scram(scram, credentials);
                Ok(response)
            }
            State::Said if self.mechanism.is_bearer() => {
                let status = bearer::parse_refusal(challenge)
                    .ok_or(ClientError::Malformed { part: "challenge" })?;
                self.state = State::Refused(status);
                Ok(match self.mechanism {
                    // R7628-OAB-4: a message that says nothing.
                    Mechanism::OauthBearer => b"\x01".to_vec().into(),
                    _ => SecretSlice::default(),
                })
            }
            State::Said | State::Refused(_) | State::Failed => Err(ClientError::OutOfTurn),
        }
    }

    /// To be called when the server has said that the login succeeded; or that it failed, to
    /// learn why.
    ///
    /// # Errors
    /// The exchange was not complete: above all, SCRAM's server has not proven itself
    /// (R5802-SCRAM-4). Close the connection. [`ClientError::Server`]: the token was refused.
    pub fn finish(self) -> Result<(), ClientError> {
        match self.state {
            State::Said => Ok(()),
            State::Scram(scram, _) if scram.is_server_verified() => Ok(()),
            State::Scram(..) => Err(ClientError::Unproven),
            State::Refused(status) => Err(ClientError::Server(status)),
            _ => Err(ClientError::OutOfTurn),
        }
    }

    /// The mechanism of this exchange.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }
}

fn plain_message(credentials: &Credentials) -> SecretSlice<u8> {
    let authorization = credentials.authorization.as_deref().unwrap_or_default();
    let password = credentials.password.expose_secret().as_bytes();
    plain::encode(authorization, &credentials.name, password)
}

/// As [`check_field`], and no control characters: they have a meaning between the pairs.
fn check_words(field: &'static str, text: &str) -> Result<(), ClientError> {
    match text.chars().any(char::is_control) {
        true => Err(ClientError::Field { field }),
        false => check_field(field, text),
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
