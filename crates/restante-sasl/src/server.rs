//! The server's role.

mod scram;

use alloc::{borrow::ToOwned as _, string::String, vec::Vec};
use core::fmt;

use secrecy::SecretSlice;

use self::scram::Scram;
use crate::{
    ChannelBinding, Mechanism, plain, prepare,
    scram::{ScramHash, ScramParameters, ScramProof, ServerKey, base64, message::MessageError},
};

/// One authentication exchange, the server's side.
///
/// Call [`start`](Self::start) once, then [`respond`](Self::respond) for each response of the
/// client; both give a [`Step`] that says what has to happen next. After any error, and after
/// [`Step::Authenticated`], the exchange is over and every call errs.
///
/// **`VerifyPassword`, `LookUpScram` and `VerifyProof` are questions: the client hears nothing
/// until the caller has answered them** (by accepting and dropping the exchange, by
/// [`scram_parameters`](Self::scram_parameters), by [`proof_accepted`](Self::proof_accepted)) or
/// has dropped the exchange and refused. Whoever does not exist gets parameters too: made-up but
/// stable ones (PRJ-SCRAM-8).
pub struct Exchange {
    mechanism: Mechanism,
    binding: ChannelBinding,
    state: State,
}

/// Where an exchange stands.
enum State {
    /// Nothing has happened. Holds the server's part of the nonce, in base64.
    Fresh(String),
    /// PLAIN: the empty challenge is out.
    Plain,
    /// LOGIN: `Username:` is out.
    LoginName,
    /// LOGIN: `Password:` is out.
    LoginPassword { name: String },
    /// SCRAM has its own states.
    Scram(Scram),
    /// Authenticated, failed, or handed to the caller for good.
    Over,
}

/// What has to happen next.
#[derive(Debug)]
#[must_use]
pub enum Step {
    /// Send this to the client, in base64, and give its answer to [`Exchange::respond`].
    Challenge(Vec<u8>),
    /// PLAIN and LOGIN: verify the password; the exchange has no more to say.
    VerifyPassword {
        /// On whose behalf the client wants to act, prepared; `None` if it did not say
        /// (R4422-AUTHZ-1). Unless it is permitted for `name`, fail.
        authorization: Option<String>,
        /// Who the client claims to be, prepared; 1–1024 octets.
        name: String,
        /// The password as sent: UTF-8 without NUL, 1–1024 octets, and not empty after
        /// preparation either. Compare with prepared passwords through [`prepare()`]; hashes that
        /// other programs have made are of the password as it was typed.
        password: SecretSlice<u8>,
    },
    /// SCRAM: find salt and iteration count, then [`Exchange::scram_parameters`].
    LookUpScram {
        /// Who the client claims to be, prepared.
        name: String,
        /// As in [`Step::VerifyPassword`].
        authorization: Option<String>,
        /// Which kind of keys the mechanism needs.
        hash: ScramHash,
    },
    /// SCRAM: try this on each stored key; then [`Exchange::proof_accepted`], or fail.
    VerifyProof(ScramProof),
    /// SCRAM: the client has seen the server's signature. All is done.
    Authenticated,
}

/// Why an exchange failed. None of these says anything about the password.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The client's message is not what the mechanism's grammar wants.
    #[error("malformed {part}")]
    Malformed {
        /// Which part of it; our words, nothing of the client's.
        part: &'static str,
    },
    /// A name cannot be prepared: nobody can have it (R5034-PREP-1).
    #[error("name or authorization identity cannot be prepared")]
    Unpreparable,
    /// The client insists on an extension that we do not know: `m=` (R5802-SCRAM-5).
    #[error("mandatory extension not supported")]
    MandatoryExtension,
    /// A -PLUS mechanism where this side cannot bind.
    #[error("channel binding not available")]
    BindingUnavailable,
    /// The gs2 flag does not fit the mechanism, or names a type that we do not know
    /// (R5802-PLUS-2).
    #[error("channel binding flag or type does not fit")]
    BindingUnsupported,
    /// The client believes that we do not offer -PLUS, but we do: somebody changed the list
    /// (R5802-PLUS-2).
    #[error("the client did not see that -PLUS is offered")]
    BindingDowngraded,
    /// `c=` is not what this connection demands: two TLS connections, one in the middle
    /// (R5802-SCRAM-3).
    #[error("channel binding does not match")]
    BindingMismatch,
    /// The final nonce is not the one of this exchange (R5802-SCRAM-3).
    #[error("nonce does not match")]
    NonceMismatch,
    /// The client goes on after the end, or the caller gave an answer that was not asked for.
    #[error("out of turn")]
    OutOfTurn,
}

impl Exchange {
    /// A new exchange. `nonce` is 18 fresh random octets; `binding` says what this connection
    /// can do and whether -PLUS is advertised on it (R5802-PLUS-2).
    #[must_use]
    pub fn new(mechanism: Mechanism, binding: ChannelBinding, nonce: [u8; 18]) -> Self {
        Self {
            mechanism,
            binding,
            state: State::Fresh(base64(&nonce)),
        }
    }

    /// Begins. `initial` is the decoded initial response; `None` if the client sent none, which
    /// is not the same as an empty one.
    ///
    /// # Errors
    /// [`ExchangeError`]: answer `-ERR`; the exchange is over.
    pub fn start(&mut self, initial: Option<&[u8]>) -> Result<Step, ExchangeError> {
        let State::Fresh(nonce) = self.take_state() else {
            return Err(ExchangeError::OutOfTurn);
        };
        if self.mechanism.needs_channel_binding()
            && !matches!(self.binding, ChannelBinding::TlsExporter(_))
        {
            return Err(ExchangeError::BindingUnavailable);
        }
        // R5034-IR-2: without an initial response, the empty challenge asks for it.
        let asking = match (self.mechanism.scram_hash(), self.mechanism) {
            (Some(hash), _) => State::Scram(Scram::new(hash, nonce)),
            (None, Mechanism::Login) => State::LoginName,
            (None, _) => State::Plain,
        };
        let challenge = match asking {
            State::LoginName => b"Username:".to_vec(),
            _ => Vec::new(),
        };
        self.state = asking;
        match initial {
            Some(response) => self.respond(response),
            None => Ok(Step::Challenge(challenge)),
        }
    }

    /// Takes the client's response, decoded; it may be empty.
    ///
    /// # Errors
    /// [`ExchangeError`]: answer `-ERR`; the exchange is over.
    pub fn respond(&mut self, response: &[u8]) -> Result<Step, ExchangeError> {
        match self.take_state() {
            State::Plain => plain_message(response),
            State::LoginName => {
                let name = prepared_name(response, "name")?;
                self.state = State::LoginPassword { name };
                Ok(Step::Challenge(b"Password:".to_vec()))
            }
            State::LoginPassword { name } => {
                let password = checked_password(response)?;
                Ok(Step::VerifyPassword {
                    authorization: None,
                    name,
                    password,
                })
            }
            State::Scram(mut scram) => {
                let step = scram.respond(self.mechanism, &self.binding, response)?;
                self.state = State::Scram(scram);
                Ok(step)
            }
            State::Fresh(_) | State::Over => Err(ExchangeError::OutOfTurn),
        }
    }

    /// Answers [`Step::LookUpScram`]. Gives the challenge with nonce, salt and iteration count.
    ///
    /// # Errors
    /// [`ExchangeError::OutOfTurn`] if it was not asked.
    pub fn scram_parameters(
        &mut self,
        parameters: &ScramParameters,
    ) -> Result<Step, ExchangeError> {
        let State::Scram(mut scram) = self.take_state() else {
            return Err(ExchangeError::OutOfTurn);
        };
        let step = scram.parameters(parameters)?;
        self.state = State::Scram(scram);
        Ok(step)
    }

    /// Answers [`Step::VerifyProof`] with the server key that belongs to the stored key that
    /// matched. Gives the challenge with the server's signature; the client's empty response to
    /// it (R5802-SCRAM-6) leads to [`Step::Authenticated`].
    ///
    /// # Errors
    /// [`ExchangeError::OutOfTurn`] if it was not asked, or if the key is for another hash.
    pub fn proof_accepted(&mut self, server_key: &ServerKey) -> Result<Step, ExchangeError> {
        let State::Scram(mut scram) = self.take_state() else {
            return Err(ExchangeError::OutOfTurn);
        };
        let step = scram.proof_accepted(server_key)?;
        self.state = State::Scram(scram);
        Ok(step)
    }

    /// The mechanism of this exchange.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Leaves [`State::Over`] behind, so that an early return ends the exchange.
    fn take_state(&mut self) -> State {
        core::mem::replace(&mut self.state, State::Over)
    }
}

/// PLAIN's only message.
fn plain_message(message: &[u8]) -> Result<Step, ExchangeError> {
    let message = plain::parse(message).ok_or(ExchangeError::Malformed { part: "message" })?;
    // R4422-AUTHZ-1: empty means none.
    let authorization = match message.authorization {
        b"" => None,
        identity => Some(prepared_name(identity, "authorization identity")?),
    };
    let name = prepared_name(message.name, "name")?;
    let password = checked_password(message.password)?;
    Ok(Step::VerifyPassword {
        authorization,
        name,
        password,
    })
}

/// A name of 1–1024 octets, prepared.
fn prepared_name(octets: &[u8], part: &'static str) -> Result<String, ExchangeError> {
    let name = field(octets, part)?;
    prepare(name).map_err(|_| ExchangeError::Unpreparable)
}

/// A password of 1–1024 octets, as sent.
fn checked_password(octets: &[u8]) -> Result<SecretSlice<u8>, ExchangeError> {
    let password = field(octets, "password")?;
    // R4616-PLAIN-2: not empty after preparation either. A password with characters that
    // SASLprep prohibits may still be one that another program has hashed as typed.
    if let Err(crate::PrepareError::Empty) = prepare(password) {
        return Err(ExchangeError::Malformed { part: "password" });
    }
    Ok(octets.to_owned().into())
}

fn field<'f>(octets: &'f [u8], part: &'static str) -> Result<&'f str, ExchangeError> {
    let malformed = ExchangeError::Malformed { part };
    let text = core::str::from_utf8(octets).map_err(|_| malformed)?;
    let legal = (1..=plain::FIELD_OCTETS_MAX).contains(&text.len()) && !text.contains('\0');
    legal.then_some(text).ok_or(malformed)
}

impl From<MessageError> for ExchangeError {
    fn from(error: MessageError) -> Self {
        match error {
            MessageError::Malformed(part) => Self::Malformed { part },
            MessageError::MandatoryExtension => Self::MandatoryExtension,
        }
    }
}

impl fmt::Debug for Exchange {
    /// Says how far it is, never what was said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Fresh(_) => "Fresh",
            State::Plain => "Plain",
            State::LoginName => "LoginName",
            State::LoginPassword { .. } => "LoginPassword",
            State::Scram(_) => "Scram",
            State::Over => "Over",
        };
        f.debug_struct("Exchange")
            .field("mechanism", &self.mechanism)
            .field("binding", &self.binding)
            .field("state", &state)
            .finish()
    }
}

#[cfg(test)]
mod tests;
