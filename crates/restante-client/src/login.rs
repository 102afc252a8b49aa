//! Logging in: the strongest way that the server offers and that is safe here (PRJ-AUTH-7).

use std::collections::VecDeque;

use md5::{Digest as _, Md5};
use restante_proto::{
    Auth, Command, ResponseCode,
    client::{Event, RequestError, StatusLine},
};
use restante_sasl::{
    ChannelBinding, Mechanism,
    client::{Bearer, ClientError, Exchange},
    line::{decode_response, encode_initial_response, encode_response},
};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};

use crate::{Client, Connection, Error, Listing, LoginVerdict, Security, tls::Bindings};

/// Who logs in, and how.
#[derive(Clone, Debug)]
pub struct Login {
    /// Who.
    pub credentials: Credentials,
    /// The only mechanisms that may be used; `None`: the strongest that is safe, CRAM-MD5 not among
    /// them, then USER and PASS. Empty: no mechanism, only USER and PASS, or APOP where that is
    /// allowed.
    pub mechanisms: Option<Vec<Mechanism>>,
    /// Whether APOP may be used where nothing stronger is offered. MD5 is weak: off, unless asked
    /// for (PRJ-APOP-7).
    pub apop: bool,
    /// Whether to say UTF8 where the server knows it, so that messages with internationalized
    /// headers come as they are (PRJ-DOWN-6).
    pub utf8: bool,
}

/// What proves who logs in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Credentials {
    /// Name and password.
    Password {
        /// The mailbox's name.
        name: String,
        /// The password.
        password: SecretString,
    },
    /// An OAuth access token (RFC 7628). It goes over TLS alone, by OAUTHBEARER or XOAUTH2.
    Token {
        /// The mailbox's name.
        name: String,
        /// The token, as the issuer gave it.
        token: SecretString,
    },
}

impl Login {
    /// A login by name and password, the strongest way.
    #[must_use]
    pub fn password(name: &str, password: &str) -> Self {
        Self::new(Credentials::Password {
            name: name.into(),
            password: password.into(),
        })
    }

    /// A login by name and access token.
    #[must_use]
    pub fn token(name: &str, token: &str) -> Self {
        Self::new(Credentials::Token {
            name: name.into(),
            token: token.into(),
        })
    }

    /// A login in the strongest way.
    #[must_use]
    pub const fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            mechanisms: None,
            apop: false,
            utf8: true,
        }
    }
}

/// One way to log in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    Sasl(Mechanism),
    /// -PLUS, bound to what TLS has exported.
    Exporter(Mechanism),
    /// -PLUS, bound to the server's certificate.
    EndPoint(Mechanism),
    Apop,
    UserPass,
}

impl Way {
    fn is_unbound_scram(&self) -> bool {
        matches!(self, Self::Sasl(mechanism) if mechanism.scram_hash().is_some())
    }

    /// Whether `line` refuses the binding and not the password: it says so, or it answers the
    /// first message, in which there is nothing yet that a password makes. `marks_passwords`: the
    /// server announces that it says so wherever it refuses those.
    fn is_unbound_by(self, line: &StatusLine, is_first: bool, marks_passwords: bool) -> bool {
        let at_once = match (self, &line.code) {
            (Self::Exporter(_), None) => marks_passwords,
            // Quirk: servers that know other types over TLS 1.2 call this one a failed login.
            (Self::EndPoint(_), None | Some(ResponseCode::Auth)) => true,
            _ => false,
        };
        let is_bound = matches!(self, Self::Exporter(_) | Self::EndPoint(_));
        is_bound && (is_first && at_once || is_misunderstood(line))
    }

    /// The ways to use `mechanism` on a connection that has these bindings, strongest first.
    fn with(mechanism: Mechanism, bindings: &Bindings) -> impl Iterator<Item = Self> {
        let ways = match mechanism.needs_channel_binding() {
            true => [
                bindings.exporter.map(|_| Self::Exporter(mechanism)),
                bindings
                    .end_point
                    .as_ref()
                    .map(|_| Self::EndPoint(mechanism)),
            ],
            false => [Some(Self::Sasl(mechanism)), None],
        };
        ways.into_iter().flatten()
    }
}

impl Connection {
    /// Logs in.
    ///
    /// One attempt is made, in the strongest way that the server offers, that `login` allows, and
    /// that does not show the password to others: a refused password is not tried again in a
    /// weaker way. A server that offers a binding to the connection and then does not understand
    /// ours gets SCRAM without it, and nothing weaker ([`Error::Unbound`]).
    ///
    /// # Errors
    /// [`Error::Login`] says by its [`LoginVerdict`] whether the password is to be doubted. The
    /// connection is closed.
    pub async fn log_in(mut self, login: &Login) -> Result<Client, Error> {
        self.authenticate(login).await?;
        // R2449-CAPA-6: it tells the user's own values.
        if self.capabilities().vary_by_user() {
            self.learn().await?;
        }
        Ok(self.logged_in())
    }

    /// Logs in and lists, as [`Connection::log_in`] and [`Client::listing`] do, with one turn less
    /// where the server announces PIPELINING and values that differ from user to user.
    ///
    /// # Errors
    /// As of both.
    pub async fn log_in_and_list(mut self, login: &Login) -> Result<(Client, Listing), Error> {
        self.authenticate(login).await?;
        let varies = self.capabilities().vary_by_user();
        let mut client = self.logged_in();
        let listing = match varies {
            true => client.capabilities_and_listing().await?,
            false => client.listing().await?,
        };
        Ok((client, listing))
    }

    fn logged_in(self) -> Client {
        Client::new(self.driver, self.server.timeouts)
    }

    async fn authenticate(&mut self, login: &Login) -> Result<(), Error> {
        let utf8 = self.capabilities().utf8.is_some() && login.utf8;
        if utf8 {
            // A refusal changes nothing. Only AUTH goes out before it is known.
            self.driver.request(&Command::Utf8)?;
        }
        let mut ways = VecDeque::from(self.ways(login));
        let mut why = Error::NoMechanism;
        while let Some(way) = ways.pop_front() {
            let begun = match way {
                Way::Sasl(mechanism) | Way::Exporter(mechanism) | Way::EndPoint(mechanism) => {
                    self.sasl(mechanism, way, login).await
                }
                Way::Apop => self.apop(login).await,
                Way::UserPass => self.user_pass(login).await,
            };
            match begun {
                Ok(()) => return Ok(()),
                // Nothing was sent: the name or the password does not fit this way.
                Err(
                    error @ (Error::Sasl(
                        ClientError::Unpreparable { .. } | ClientError::Field { .. },
                    )
                    | Error::Request(
                        RequestError::Field(_)
                        | RequestError::NonAscii(_)
                        | RequestError::LineTooLong { .. },
                    )),
                ) => why = error,
                // The password was not judged. Another binding may be understood: behind a proxy
                // that ends TLS, a server knows its certificate at most. Without binding, the same
                // is as safe as with a server that offers none; anything weaker is not tried.
                Err(Error::Unbound { mechanism, line }) => {
                    let is_another = |other: &Way| {
                        let may_be = matches!(way, Way::Exporter(_)) && !is_misunderstood(&line);
                        may_be && matches!(other, Way::EndPoint(_))
                    };
                    ways.retain(|other| is_another(other) || other.is_unbound_scram());
                    why = Error::Unbound { mechanism, line };
                }
                Err(error) => return Err(error),
            }
        }
        Err(why)
    }

    /// What is offered, allowed and safe, strongest first.
    fn ways(&self, login: &Login) -> Vec<Way> {
        let capabilities = self.capabilities();
        let passwords = !matches!(self.server.security, Security::CleartextWithoutPassword);
        let allowed = |mechanism: &Mechanism| match &login.mechanisms {
            Some(mechanisms) => mechanisms.contains(mechanism),
            // As APOP: MD5 is weak.
            None => *mechanism != Mechanism::CramMd5,
        };
        let tls = matches!(self.server.security, Security::Tls(_) | Security::Stls(_));
        let is_password = matches!(login.credentials, Credentials::Password { .. });
        let usable = |mechanism: &Mechanism| match login.credentials {
            Credentials::Password { .. } => {
                mechanism.takes_password() && (passwords || !mechanism.is_plaintext())
            }
            // R7628-OAB-1.
            Credentials::Token { .. } => mechanism.is_bearer() && tls,
        };
        let offered = |mechanism: &Mechanism| capabilities.mechanism(mechanism.name());
        let strongest_first = Mechanism::ALL.into_iter().rev();
        let mut ways: Vec<Way> = strongest_first
            .filter(|mechanism| offered(mechanism) && allowed(mechanism) && usable(mechanism))
            .flat_map(|mechanism| Way::with(mechanism, &self.bindings))
            .collect();
        if is_password && login.apop && self.driver.session.apop_timestamp().is_some() {
            // Stronger than showing the password, weaker than SCRAM.
            let shown = |way: &Way| matches!(way, Way::Sasl(mechanism) if mechanism.is_plaintext());
            let at = ways.iter().position(shown).unwrap_or(ways.len());
            ways.insert(at, Way::Apop);
        }
        if is_password && passwords && login.mechanisms.as_ref().is_none_or(Vec::is_empty) {
            ways.push(Way::UserPass);
        }
        ways
    }

    async fn user_pass(&mut self, login: &Login) -> Result<(), Error> {
        let Credentials::Password { name, password } = &login.credentials else {
            return Err(Error::NoMechanism);
        };
        let password = SecretSlice::from(password.expose_secret().as_bytes().to_vec());
        let user = self.driver.command(&Command::User(name.clone())).await;
        user.map_err(|error| self.refused(error))?;
        let pass = self.driver.command(&Command::Pass(password)).await;
        pass.map_err(|error| self.refused(error))?;
        Ok(())
    }

    /// R1939-APOP-3.
    async fn apop(&mut self, login: &Login) -> Result<(), Error> {
        let Credentials::Password { name, password } = &login.credentials else {
            return Err(Error::NoMechanism);
        };
        let Some(timestamp) = self.driver.session.apop_timestamp() else {
            return Err(Error::NoMechanism);
        };
        let digest = apop_digest(timestamp, password);
        let name = name.clone();
        let apop = self.driver.command(&Command::Apop { name, digest }).await;
        apop.map_err(|error| self.refused(error))?;
        Ok(())
    }

    async fn sasl(&mut self, mechanism: Mechanism, way: Way, login: &Login) -> Result<(), Error> {
        let mut exchange = self.exchange(mechanism, way, login)?;
        // XOAUTH2-3: one large provider takes a token on a line of its own alone, and tokens are
        // longer than a command may be. The empty challenge brings it out.
        let mut first = match mechanism.is_bearer() {
            true => None,
            false => exchange.initial_response(),
        }
        .map(|response| encode_initial_response(response.expose_secret()));
        let length = |response: &SecretSlice<u8>| response.expose_secret().len();
        let session = &self.driver.session;
        let carried =
            first.take_if(|first| session.takes_initial_response(mechanism.name(), length(first)));
        self.driver.request(&Command::Auth(Auth {
            mechanism: mechanism.name().into(),
            initial_response: carried,
        }))?;
        self.driver.settle_all_but_last().await?;
        let marks_passwords = self.capabilities().auth_resp_code;
        let mut given_up = None;
        // Whether the server has heard no more than our first message.
        let mut is_first = true;
        loop {
            let event = match self.driver.event().await {
                Ok(event) => event,
                // What made us give up says more than that the server then went away.
                Err(error) => return Err(given_up.unwrap_or(error)),
            };
            match event {
                Event::Challenge(base64) => match respond(&mut exchange, &base64, &mut first) {
                    Ok(line) => {
                        is_first &= base64.is_empty();
                        self.driver.session.sasl_response(line.expose_secret())?;
                    }
                    Err(error) => {
                        given_up = Some(error);
                        self.driver.session.sasl_cancel()?;
                    }
                },
                Event::Answered(answer) => {
                    return match (answer.outcome, given_up) {
                        // R5034-CANCEL-1.
                        (_, Some(error)) => Err(error),
                        // R5802-SCRAM-4: only now it is known to be the right server.
                        (Ok(_), None) => exchange.finish().map_err(Error::Sasl),
                        (Err(line), None) => Err(match exchange.finish() {
                            Err(ClientError::Server(status)) if mechanism.is_bearer() => {
                                Error::Token { status, line }
                            }
                            _ if way.is_unbound_by(&line, is_first, marks_passwords) => {
                                let mechanism = mechanism.name();
                                Error::Unbound { mechanism, line }
                            }
                            _ => self.login_refused(line),
                        }),
                    };
                }
                _ => {}
            }
        }
    }

    fn exchange(&self, mechanism: Mechanism, way: Way, login: &Login) -> Result<Exchange, Error> {
        let (name, password) = match &login.credentials {
            Credentials::Password { name, password } => (name, password),
            Credentials::Token { name, token } => {
                let bearer = Bearer {
                    user: name.clone(),
                    token: token.clone(),
                    host: Some(self.server.host.clone()),
                    port: Some(self.server.port),
                };
                return Exchange::with_token(mechanism, &bearer).map_err(Error::Sasl);
            }
        };
        let mut nonce = [0; 18];
        getrandom::fill(&mut nonce).map_err(Error::Random)?;
        // R5802-PLUS-3: a server that hides its -PLUS from us learns that we could.
        let Bindings {
            exporter,
            end_point,
        } = self.bindings.clone();
        let binding = match way {
            Way::Exporter(_) => ChannelBinding::with(exporter, None),
            Way::EndPoint(_) => ChannelBinding::with(None, end_point),
            _ if self.bindings.are_some() && !self.offers_plus() => ChannelBinding::Unused,
            _ => ChannelBinding::None,
        };
        let credentials = restante_sasl::client::Credentials {
            name: name.clone(),
            password: password.clone(),
            authorization: None,
        };
        Exchange::new(mechanism, credentials, binding, nonce).map_err(Error::Sasl)
    }

    fn offers_plus(&self) -> bool {
        let capabilities = self.capabilities();
        let plus = Mechanism::ALL
            .into_iter()
            .filter(|it| it.needs_channel_binding());
        plus.into_iter().any(|it| capabilities.mechanism(it.name()))
    }

    /// A refusal in the middle of logging in is one of the login.
    fn refused(&self, error: Error) -> Error {
        match error {
            Error::Refused { line, .. } => self.login_refused(line),
            error => error,
        }
    }

    fn login_refused(&self, line: StatusLine) -> Error {
        let auth_resp_code = self.capabilities().auth_resp_code;
        let verdict = LoginVerdict::of(&line, auth_resp_code);
        Error::Login { verdict, line }
    }
}

/// Quirk: Cyrus offers -PLUS over TLS 1.3, knows `tls-unique` alone, which TLS 1.3 does not have
/// (RFC 9266), and finds that out when the proof is there. It says then what libsasl2 says of an
/// exchange that it does not understand, and not what it says of a wrong password.
fn is_misunderstood(line: &StatusLine) -> bool {
    let text = line.text.to_string().to_ascii_lowercase();
    text.contains("bad protocol")
}

/// The line that answers a challenge. `first` is an initial response that AUTH did not carry.
fn respond(
    exchange: &mut Exchange,
    base64: &[u8],
    first: &mut Option<SecretSlice<u8>>,
) -> Result<SecretSlice<u8>, Error> {
    let challenge = decode_response(base64).map_err(Error::Challenge)?;
    let challenge = challenge.expose_secret();
    if challenge.is_empty()
        && let Some(first) = first.take()
    {
        // R5034-RESP-1: where a line of its own is empty, it is empty.
        let empty = first.expose_secret() == b"=";
        return Ok(if empty { SecretSlice::default() } else { first });
    }
    let response = exchange.respond(challenge).map_err(Error::Sasl)?;
    Ok(encode_response(response.expose_secret()))
}

/// MD5 of timestamp and password, in lower-case hexadecimal digits (R1939-APOP-3).
fn apop_digest(timestamp: &str, password: &SecretString) -> SecretSlice<u8> {
    let digest = Md5::new()
        .chain_update(timestamp)
        .chain_update(password.expose_secret())
        .finalize();
    let digits = digest.iter().flat_map(|octet| [octet >> 4, octet & 15]);
    let hexadecimal = digits.map(|digit| b"0123456789abcdef"[usize::from(digit)]);
    SecretSlice::from(hexadecimal.collect::<Vec<u8>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r1939_apop_3_the_digest_of_the_rfc() {
        let digest = apop_digest("<1896.697170952@dbc.mtview.ca.us>", &"tanstaaf".into());
        assert_eq!(digest.expose_secret(), b"c4c9334bac560ecc979e58001b3e22fb");
    }
}
