//! The server's role.

mod scram;

use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::fmt;

use secrecy::{SecretSlice, SecretString};

use self::scram::Scram;
use crate::{
    ChannelBinding, CramDigest, Mechanism, TokenRefusal, bearer, cram, plain, prepare,
    scram::{
        ScramHash, ScramParameters, ScramProof, ServerKey, base64,
        message::{BindingFlag, MessageError},
    },
};

/// One authentication exchange, the server's side.
///
/// Call [`start`](Self::start) once, then [`respond`](Self::respond) for each response of the
/// client; both give a [`Step`] that says what has to happen next. After any error, and after
/// [`Step::Authenticated`], the exchange is over and every call errs.
///
/// **The steps that begin with `Verify` or `LookUp` are questions: the client hears nothing until
/// the caller has answered them** (by accepting and dropping the exchange, by
/// [`scram_parameters`](Self::scram_parameters), by [`proof_accepted`](Self::proof_accepted), by
/// [`token_refused`](Self::token_refused)) or has dropped the exchange and refused. Whoever does not exist gets parameters too: made-up but
/// stable ones (PRJ-SCRAM-8).
pub struct Exchange {
    mechanism: Mechanism,
    binding: ChannelBinding,
    host: String,
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
    /// CRAM-MD5: this challenge is out.
    Cram { challenge: Vec<u8> },
    /// OAUTHBEARER and XOAUTH2: the empty challenge is out.
    Bearer,
    /// `Step::VerifyToken` is out.
    TokenVerdict,
    /// OAUTHBEARER and XOAUTH2: the client was told why it fails, and has to answer to that.
    TokenRefused,
    /// EXTERNAL: the empty challenge is out.
    External,
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
    /// CRAM-MD5: try this on each password that is stored as it is. The exchange has no more to
    /// say.
    VerifyDigest {
        /// Who the client claims to be, prepared.
        name: String,
        /// What only who knows the password can make.
        digest: CramDigest,
    },
    /// OAUTHBEARER and XOAUTH2: verify the token and whose it is. If it is accepted, the exchange
    /// has no more to say; otherwise [`Exchange::token_refused`].
    VerifyToken {
        /// Whose mailbox the client wants, prepared; `None` if that is for the token to say.
        /// Unless the token is for that account, fail (R7628-OAB-5).
        authorization: Option<String>,
        /// The host that the client believes to be connected to. If it is known to be another,
        /// fail (R7628-OAB-2).
        host: Option<String>,
        /// The port, likewise.
        port: Option<u16>,
        /// The token: at most 32 KiB of the characters that RFC 6750 allows.
        token: SecretString,
    },
    /// EXTERNAL: see whose certificate the client has presented in TLS; if there is none, fail.
    /// The exchange has no more to say.
    VerifyCertificate {
        /// Whose mailbox the client wants, prepared; `None` if that is for the certificate to say.
        authorization: Option<String>,
    },
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
    /// An initial response where the server speaks first (R5034-IR-3).
    #[error("initial response to a mechanism in which the server speaks first")]
    InitialResponse,
    /// The caller has refused the token, and the client has heard why.
    #[error("token refused")]
    TokenRefused,
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
            host: "localhost".to_owned(),
            state: State::Fresh(base64(&nonce)),
        }
    }

    /// Names the host in CRAM-MD5's challenge instead of `localhost`. What has no place in a
    /// host's name is left out.
    pub fn set_host(&mut self, host: &str) {
        let legal = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        let host: String = host.chars().filter(legal).collect();
        if !host.is_empty() {
            self.host = host;
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
        if self.mechanism.needs_channel_binding() && !self.binding.is_usable() {
            return Err(ExchangeError::BindingUnavailable);
        }
        // R5034-IR-2: without an initial response, the empty challenge asks for it.
        let (challenge, asking) = match (self.mechanism.scram_hash(), self.mechanism) {
            (Some(hash), _) => (Vec::new(), State::Scram(Scram::new(hash, nonce))),
            (None, Mechanism::Login) => (b"Username:".to_vec(), State::LoginName),
            (None, Mechanism::CramMd5) => {
                // R5034-IR-3: nothing can be said before the challenge is known.
                if initial.is_some() {
                    return Err(ExchangeError::InitialResponse);
                }
                let challenge = cram::challenge(&nonce, &self.host).into_bytes();
                (challenge.clone(), State::Cram { challenge })
            }
            (None, Mechanism::External) => (Vec::new(), State::External),
            (None, mechanism) if mechanism.is_bearer() => (Vec::new(), State::Bearer),
            (None, _) => (Vec::new(), State::Plain),
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
            State::Cram { challenge } => cram_response(challenge, response),
            State::Bearer => {
                let step = bearer_message(self.mechanism, response)?;
                self.state = State::TokenVerdict;
                Ok(step)
            }
            // R7628-OAB-3, XOAUTH2-2: whatever it says, it has heard why.
            State::TokenRefused => Err(ExchangeError::TokenRefused),
            State::External => external_message(response),
            State::Scram(mut scram) => {
                let step = scram.respond(self.mechanism, &self.binding, response)?;
                self.state = State::Scram(scram);
                Ok(step)
            }
            State::Fresh(_) | State::TokenVerdict | State::Over => Err(ExchangeError::OutOfTurn),
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

    /// Answers [`Step::VerifyToken`]: no. Gives the challenge that says so; the client's response
    /// to it leads to [`ExchangeError::TokenRefused`], whatever it is (R7628-OAB-3).
    ///
    /// # Errors
    /// [`ExchangeError::OutOfTurn`] if it was not asked.
    pub fn token_refused(&mut self, refusal: &TokenRefusal) -> Result<Step, ExchangeError> {
        let State::TokenVerdict = self.take_state() else {
            return Err(ExchangeError::OutOfTurn);
        };
        self.state = State::TokenRefused;
        Ok(Step::Challenge(refusal.write(self.mechanism)))
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

/// CRAM-MD5's only response.
fn cram_response(challenge: Vec<u8>, response: &[u8]) -> Result<Step, ExchangeError> {
    let response = cram::parse(response).ok_or(ExchangeError::Malformed { part: "response" })?;
    Ok(Step::VerifyDigest {
        name: prepared_name(response.name, "name")?,
        digest: CramDigest::new(challenge, response.digest),
    })
}

/// The only message of OAUTHBEARER and XOAUTH2.
fn bearer_message(mechanism: Mechanism, message: &[u8]) -> Result<Step, ExchangeError> {
    let message = match mechanism {
        Mechanism::Xoauth2 => bearer::parse_xoauth2(message)?,
        _ => bearer::parse_oauthbearer(message)?,
    };
    // RFC 7628 §3: there is no channel binding here.
    if let BindingFlag::Used(_) = message.flag {
        return Err(ExchangeError::BindingUnsupported);
    }
    let authorization = message.authorization;
    let prepared = |name: String| prepared_name(name.as_bytes(), "authorization identity");
    Ok(Step::VerifyToken {
        authorization: authorization.map(prepared).transpose()?,
        host: message.host.map(ToOwned::to_owned),
        port: message.port,
        token: message.token.into(),
    })
}

/// EXTERNAL's only message: an authorization identity, or nothing (RFC 4422 App. A.1).
fn external_message(message: &[u8]) -> Result<Step, ExchangeError> {
    let authorization = match message {
        b"" => None,
        identity => Some(prepared_name(identity, "authorization identity")?),
    };
    Ok(Step::VerifyCertificate { authorization })
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
            State::Cram { .. } => "Cram",
            State::Bearer => "Bearer",
            State::TokenVerdict => "TokenVerdict",
            State::TokenRefused => "TokenRefused",
            State::External => "External",
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
