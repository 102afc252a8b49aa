//! One SASL exchange, so that the driver of a connection needs to know nothing of SASL.

use std::{fmt, sync::Arc};

use restante_sasl::{
    ChannelBinding, Mechanism, line,
    server::{Exchange, ExchangeError, Step},
};
use secrecy::{ExposeSecret as _, SecretSlice};

use super::{
    Attempt, Authenticated, Authenticator, Claim, Client, Refusal, RefusalCause, Refused,
    hashing::Turn, scram::ScramLogin, token::TokenLogin,
};

/// A SASL login on its way.
///
/// Give the client's lines to [`step`](Self::step) until it says anything but
/// [`SaslOutcome::Challenge`]. Dropping it cancels the exchange.
pub struct SaslLogin {
    authenticator: Arc<Authenticator>,
    client: Client,
    exchange: Exchange,
    has_begun: bool,
    scram: Option<ScramLogin>,
    /// The proof was right; the client has yet to acknowledge the server's signature.
    verified: Option<Authenticated>,
}

/// What a line of the exchange came to.
#[derive(Debug)]
#[must_use]
pub enum SaslOutcome {
    /// Send `+ `, this base64 (it may be empty), CRLF; give the answer to [`SaslLogin::step`].
    Challenge(Vec<u8>),
    /// Verified; the exchange is over.
    Authenticated(Authenticated),
    /// Refused; the exchange is over.
    Refused(Refused),
    /// Refused, and the mechanism has a way to say why: send it as a challenge. Whatever the
    /// client answers, [`SaslLogin::step`] then gives [`SaslOutcome::Dismissed`].
    Doomed {
        /// In base64.
        challenge: Vec<u8>,
        /// What to log now: the client may never answer.
        refused: Refused,
    },
    /// The client has heard why it was refused; the exchange is over.
    Dismissed(Refusal),
}

impl SaslLogin {
    pub(super) fn new(
        authenticator: Arc<Authenticator>,
        client: Client,
        mechanism: Mechanism,
        binding: ChannelBinding,
    ) -> Result<Self, Refused> {
        let mut nonce = [0; 18];
        getrandom::fill(&mut nonce).map_err(|_| Refused::new(RefusalCause::NoRandomness, None))?;
        let mut exchange = Exchange::new(mechanism, binding, nonce);
        exchange.set_host(&authenticator.settings.host);
        Ok(Self {
            authenticator,
            client,
            exchange,
            has_begun: false,
            scram: None,
            verified: None,
        })
    }

    /// Takes a line of the client without its CRLF: at first the initial response as it stood in
    /// the command (base64, or `=`), `None` if there was none; then one base64 line each time.
    ///
    /// A refusal of credentials comes at the time when failures are answered.
    pub async fn step(&mut self, line: Option<SecretSlice<u8>>) -> SaslOutcome {
        let turn = Turn::stranger(self.client.address);
        let attempt = Attempt::begin(self.authenticator.settings.failure_time, turn);
        let result = match self.decoded(line) {
            Ok(step) => self.follow(attempt, step).await,
            Err(cause) => Err(Refused::new(cause, None)),
        };
        result.unwrap_or_else(SaslOutcome::Refused)
    }

    /// Feeds the line to the exchange. The inner error is the exchange's.
    fn decoded(
        &mut self,
        line: Option<SecretSlice<u8>>,
    ) -> Result<Result<Step, ExchangeError>, RefusalCause> {
        if std::mem::replace(&mut self.has_begun, true) {
            let line = line.unwrap_or_default();
            let response =
                line::decode_response(line.expose_secret()).map_err(RefusalCause::Line)?;
            return Ok(self.exchange.respond(response.expose_secret()));
        }
        let decode = |line: SecretSlice<u8>| line::decode_initial_response(line.expose_secret());
        let initial = line.map(decode).transpose().map_err(RefusalCause::Line)?;
        Ok(self
            .exchange
            .start(initial.as_ref().map(|octets| octets.expose_secret())))
    }

    /// Does what the exchange asks for until the client has to hear something.
    async fn follow(
        &mut self,
        attempt: Attempt,
        step: Result<Step, ExchangeError>,
    ) -> Result<SaslOutcome, Refused> {
        match step {
            Ok(Step::Challenge(octets)) => Ok(SaslOutcome::Challenge(line::encode(&octets))),
            Ok(Step::VerifyPassword {
                authorization,
                name,
                password,
            }) => {
                let claim = Claim::Password(&password);
                let authorization = authorization.as_deref();
                let verified =
                    self.authenticator
                        .verify_claim(&self.client, &name, authorization, claim);
                verified.await.map(SaslOutcome::Authenticated)
            }
            Ok(Step::VerifyDigest { name, digest }) => {
                let claim = Claim::Cram(&digest);
                let verified = self
                    .authenticator
                    .verify_claim(&self.client, &name, None, claim);
                verified.await.map(SaslOutcome::Authenticated)
            }
            Ok(Step::VerifyToken {
                authorization,
                host,
                token,
                ..
            }) => {
                let login = TokenLogin {
                    authorization,
                    host,
                    token,
                };
                self.verify_token(&login).await
            }
            Ok(Step::VerifyCertificate { authorization }) => {
                let authorization = authorization.as_deref();
                let verified = self
                    .authenticator
                    .verify_certificate(&self.client, authorization);
                verified.await.map(SaslOutcome::Authenticated)
            }
            // R7628-OAB-3, XOAUTH2-2: the log had it before.
            Err(ExchangeError::TokenRefused) => Ok(SaslOutcome::Dismissed(Refusal::Credentials)),
            Ok(Step::LookUpScram {
                name,
                authorization,
                hash,
            }) => {
                let found = self.authenticator.scram_parameters(&name, hash).await;
                let parameters = match found {
                    Ok(parameters) => parameters,
                    Err(cause) => {
                        attempt.wait().await;
                        return Err(Refused::new(cause, Some(name)));
                    }
                };
                let step = self.exchange.scram_parameters(&parameters);
                self.scram = Some(ScramLogin {
                    name,
                    authorization,
                    parameters,
                });
                challenge(step)
            }
            Ok(Step::VerifyProof(proof)) => {
                let scram = self.scram.take().ok_or_else(out_of_turn)?;
                let verified = self.authenticator.verify_proof(&self.client, &scram, proof);
                let (verified, server_key) = verified.await?;
                self.verified = Some(verified);
                challenge(self.exchange.proof_accepted(&server_key))
            }
            Ok(Step::Authenticated) => match self.verified.take() {
                Some(verified) => Ok(SaslOutcome::Authenticated(verified)),
                None => Err(out_of_turn()),
            },
            Err(error @ ExchangeError::Unpreparable) => {
                // A name that nobody can have fails like one that nobody has.
                let admission = self.authenticator.admit(&self.client, "").await?;
                let cause = RefusalCause::Exchange(error);
                let client = &self.client;
                let failed = self
                    .authenticator
                    .fail(client, attempt, admission, cause, "");
                Err(failed.await)
            }
            Err(error) => Err(Refused::new(
                RefusalCause::Exchange(error),
                self.claimed_name(),
            )),
        }
    }

    async fn verify_token(&mut self, login: &TokenLogin) -> Result<SaslOutcome, Refused> {
        let verified = self.authenticator.verify_token(&self.client, login).await;
        let refused = match verified {
            Ok(authenticated) => return Ok(SaslOutcome::Authenticated(authenticated)),
            Err(refused) => refused,
        };
        // What is our fault says nothing about the token: a program would throw it away.
        let oauth = self.authenticator.settings.oauth.as_ref();
        let Some(oauth) = oauth.filter(|_| refused.why == Refusal::Credentials) else {
            return Err(refused);
        };
        match self.exchange.token_refused(oauth.refusal()) {
            Ok(Step::Challenge(octets)) => Ok(SaslOutcome::Doomed {
                challenge: line::encode(&octets),
                refused,
            }),
            _ => Err(refused),
        }
    }

    fn claimed_name(&self) -> Option<String> {
        self.scram.as_ref().map(|scram| scram.name.clone())
    }
}

fn challenge(step: Result<Step, ExchangeError>) -> Result<SaslOutcome, Refused> {
    match step {
        Ok(Step::Challenge(octets)) => Ok(SaslOutcome::Challenge(line::encode(&octets))),
        Ok(_) => Err(out_of_turn()),
        Err(error) => Err(Refused::new(RefusalCause::Exchange(error), None)),
    }
}

fn out_of_turn() -> Refused {
    Refused::new(RefusalCause::Exchange(ExchangeError::OutOfTurn), None)
}

impl fmt::Debug for SaslLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaslLogin")
            .field("exchange", &self.exchange)
            .finish_non_exhaustive()
    }
}
