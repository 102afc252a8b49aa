//! One login at a time: brings the protocol machine and the accounts together.

use std::net::IpAddr;

use restante_proto::server::{Login, LoginRefusal};
use secrecy::SecretSlice;

use crate::accounts::{
    Authenticated, Authenticator, Client, Refusal, RefusalCause, Refused, SaslLogin, SaslOutcome,
};

/// What of a login outlives one line: a SASL exchange on its way.
pub(crate) struct Conversation {
    client: Client,
    /// As it stood in the greeting.
    apop_timestamp: Option<String>,
    exchange: Option<Box<SaslLogin>>,
    /// The way that was chosen last: a SASL mechanism, `APOP` or `USER`.
    mechanism: String,
}

/// What a line of a login came to.
pub(crate) enum Answer {
    /// The mechanism goes on; in base64.
    Challenge(Vec<u8>),
    Authenticated(Authenticated),
    Refused(Refused),
    /// Refused, which the mechanism has yet to say: in base64.
    Doomed(Vec<u8>, Refused),
    /// Refused, as it was told.
    Dismissed(Refusal),
}

impl Conversation {
    pub(crate) fn new(client: Client, apop_timestamp: Option<String>) -> Self {
        Self {
            client,
            apop_timestamp,
            exchange: None,
            mechanism: String::new(),
        }
    }

    /// Begins a login. A refusal of credentials comes at the time when failures are answered.
    pub(crate) async fn begin(
        &mut self,
        authenticator: &std::sync::Arc<Authenticator>,
        login: Login,
    ) -> Answer {
        let client = &self.client;
        match login {
            Login::Password { name, password } => {
                "USER".clone_into(&mut self.mechanism);
                let verdict = authenticator.password(client, &name, &password);
                verdict.await.into()
            }
            Login::Apop { name, digest } => {
                "APOP".clone_into(&mut self.mechanism);
                let timestamp = self.apop_timestamp.as_deref().unwrap_or_default();
                let verdict = authenticator.apop(client, &name, timestamp, &digest);
                verdict.await.into()
            }
            Login::Sasl {
                mechanism,
                initial_response,
            } => {
                self.mechanism = mechanism;
                match authenticator.sasl(client.clone(), &self.mechanism) {
                    Ok(exchange) => self.step(Box::new(exchange), initial_response).await,
                    Err(refused) => Answer::Refused(refused),
                }
            }
            _ => Answer::Refused(unavailable()),
        }
    }

    /// Takes the client's next line.
    pub(crate) async fn respond(&mut self, response: SecretSlice<u8>) -> Answer {
        match self.exchange.take() {
            Some(exchange) => self.step(exchange, Some(response)).await,
            None => Answer::Refused(unavailable()),
        }
    }

    /// Forgets the exchange that is on its way.
    pub(crate) fn cancel(&mut self) {
        self.exchange = None;
    }

    /// From where the client comes.
    pub(crate) fn address(&self) -> IpAddr {
        self.client.address
    }

    pub(crate) fn mechanism(&self) -> &str {
        &self.mechanism
    }

    async fn step(
        &mut self,
        mut exchange: Box<SaslLogin>,
        line: Option<SecretSlice<u8>>,
    ) -> Answer {
        match exchange.step(line).await {
            SaslOutcome::Challenge(base64) => {
                self.exchange = Some(exchange);
                Answer::Challenge(base64)
            }
            SaslOutcome::Authenticated(authenticated) => Answer::Authenticated(authenticated),
            SaslOutcome::Refused(refused) => Answer::Refused(refused),
            SaslOutcome::Doomed { challenge, refused } => {
                self.exchange = Some(exchange);
                Answer::Doomed(challenge, refused)
            }
            SaslOutcome::Dismissed(why) => Answer::Dismissed(why),
        }
    }
}

impl From<Result<Authenticated, Refused>> for Answer {
    fn from(verdict: Result<Authenticated, Refused>) -> Self {
        match verdict {
            Ok(authenticated) => Self::Authenticated(authenticated),
            Err(refused) => Self::Refused(refused),
        }
    }
}

fn unavailable() -> Refused {
    Refused {
        why: Refusal::Unavailable,
        cause: RefusalCause::Unavailable,
        name: None,
    }
}

impl From<Refusal> for LoginRefusal {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Credentials => Self::Credentials,
            Refusal::Malformed => Self::Malformed,
            Refusal::Temporary => Self::Temporary,
            Refusal::Permanent => Self::Permanent,
            Refusal::Unavailable => Self::Unavailable,
        }
    }
}
