//! What goes wrong, and whose fault it is.

use std::{io, time::Duration};

use restante_proto::{
    Keyword, ResponseCode,
    client::{RequestError, SessionError, StatusLine},
};
use restante_sasl::client::ClientError;
use rustls::CertificateError;

use crate::TlsError;

/// Why something was not done. [`Error::fault`] says whose fault it is, [`Error::connection_lost`]
/// whether the session goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server's or the proxy's name has no address.
    #[error("cannot find {host}")]
    NoAddress {
        /// Whose.
        host: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// No connection could be made.
    #[error("cannot connect to {host}")]
    Connect {
        /// To whom.
        host: String,
        /// Why; of several addresses, the last.
        #[source]
        cause: io::Error,
    },
    /// No connection in time.
    #[error("no connection to {host} within {} s", after.as_secs())]
    ConnectTimeout {
        /// To whom.
        host: String,
        /// How long was waited.
        after: Duration,
    },
    /// The proxy does not connect us.
    #[error("the proxy {host} does not connect")]
    Proxy {
        /// Which.
        host: String,
        /// Why.
        #[source]
        cause: tokio_socks::Error,
    },
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    /// The certificate is not to be believed: it has expired, holds another name, comes from an
    /// unknown authority, or is not the pinned one.
    #[error("the certificate of {host} {doubt}")]
    Certificate {
        /// Whose.
        host: String,
        /// What is wrong with it.
        doubt: Doubt,
        /// Why not.
        #[source]
        cause: rustls::Error,
    },
    /// The TLS handshake failed.
    #[error("the TLS handshake with {host} failed")]
    Handshake {
        /// With whom.
        host: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The TLS handshake took too long.
    #[error("no TLS handshake with {host} within {} s", after.as_secs())]
    HandshakeTimeout {
        /// With whom.
        host: String,
        /// How long was waited.
        after: Duration,
    },
    /// STLS was asked for, and the server does not offer it, or refuses it. Nobody can tell that
    /// from an attack.
    #[error("the server does not offer STLS")]
    NoStls,
    /// Nobody can be believed.
    #[error("TLS cannot be used")]
    Tls(#[from] TlsError),
    /// The name cannot be in a certificate.
    #[error("{host} is no name of a server")]
    Name {
        /// Which.
        host: String,
    },
    /// A clear connection is for loopback alone, and this address is another.
    #[error("{address} is not on this machine, and passwords are not sent in the clear")]
    NotLoopback {
        /// Which.
        address: std::net::IpAddr,
    },
    /// The server broke the protocol, fell silent or ended the connection.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The server said `-ERR`. The session goes on.
    #[error("the server refuses {keyword}: {}", line.text)]
    Refused {
        /// What was asked.
        keyword: Keyword,
        /// What it said.
        line: StatusLine,
    },
    /// The server said `-ERR` to the login.
    #[error("the server refuses the login: {}", line.text)]
    Login {
        /// What it means.
        verdict: LoginVerdict,
        /// What it said.
        line: StatusLine,
    },
    /// The server offers a mechanism that binds the login to the connection, and does not know the
    /// binding that this connection has; and there is no other way. The password is not to be
    /// doubted.
    #[error("the server offers {mechanism} and does not understand it: {}", line.text)]
    Unbound {
        /// Which.
        mechanism: &'static str,
        /// What it said.
        line: StatusLine,
    },
    /// The server refuses the token: it has expired, or lacks a right. Get a new one; the same is
    /// not to be repeated.
    #[error("the server refuses the token: {status}")]
    Token {
        /// The issuer's word for why, printable.
        status: String,
        /// What the server said in the end.
        line: StatusLine,
    },
    /// There is no way to log in that the server offers and that is safe here.
    #[error("no way to log in that the server offers is allowed here")]
    NoMechanism,
    /// The exchange failed on our side: the server is not the right one, or what it asks for is
    /// not acceptable.
    #[error("the login was given up")]
    Sasl(#[source] ClientError),
    /// A challenge is not base64.
    #[error("a challenge of the server is not base64")]
    Challenge(#[source] restante_sasl::line::LineError),
    /// What was asked for cannot be sent. The session goes on.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The operating system gives no random numbers.
    #[error("no random numbers")]
    Random(#[source] getrandom::Error),
}

/// What is wrong with a certificate. None of it is mended by believing it all the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Doubt {
    /// It has expired, or is not valid yet; or the clock here is wrong.
    #[error("is not valid at this time")]
    Time,
    /// It is for other names.
    #[error("is not for that name")]
    Name,
    /// Nobody who is believed has signed it.
    #[error("is signed by nobody who is believed here")]
    Issuer,
    /// It is not a pinned one.
    #[error("is not the pinned one")]
    Pin,
    /// It is damaged, or made for something else.
    #[error("is not to be believed")]
    Form,
}

impl Doubt {
    pub(crate) const fn of(error: &CertificateError) -> Self {
        use CertificateError as It;
        match error {
            // Pins alone are ours to verify.
            It::ApplicationVerificationFailure => Self::Pin,
            It::Expired | It::ExpiredContext { .. } => Self::Time,
            It::NotValidYet | It::NotValidYetContext { .. } => Self::Time,
            It::NotValidForName | It::NotValidForNameContext { .. } => Self::Name,
            // The second names an authority that is believed, and was not signed by it.
            It::UnknownIssuer | It::BadSignature => Self::Issuer,
            _ => Self::Form,
        }
    }
}

/// Whose fault an [`Error`] is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// The line, or something on it.
    Network,
    /// The server does not do what the protocol wants, or has a trouble of its own.
    Server,
    /// The server does what it is for: it refuses.
    Refusal,
    /// The other end is not who it should be, or somebody is in between.
    Trust,
    /// What was asked for, or the settings.
    Caller,
}

/// What a refused login means (R3206-AUTH-4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum LoginVerdict {
    /// The name or the password is wrong, or may not be used here: ask for another, and do not
    /// repeat this one.
    Credentials,
    /// The same will be right later: another session has the maildrop, the last login is too
    /// recent, or the server has a trouble that passes.
    Later,
    /// The server has a trouble that needs a person.
    Permanent,
}

impl LoginVerdict {
    /// `auth_resp_code`: the server announces that every failure of credentials says so. Then
    /// what does not say so is none, and the password is not to be thrown away.
    pub(crate) fn of(line: &StatusLine, auth_resp_code: bool) -> Self {
        match line.code {
            Some(ResponseCode::Auth) => Self::Credentials,
            Some(ResponseCode::InUse | ResponseCode::LoginDelay | ResponseCode::SysTemp) => {
                Self::Later
            }
            Some(ResponseCode::SysPerm) => Self::Permanent,
            _ if auth_resp_code => Self::Later,
            _ => Self::Credentials,
        }
    }
}

impl Error {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::NoAddress { .. }
            | Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Proxy { .. }
            | Self::Broken(_)
            | Self::HandshakeTimeout { .. } => Fault::Network,
            Self::Certificate { .. }
            | Self::NoStls
            | Self::Sasl(_)
            | Self::Unbound { .. }
            | Self::Session(SessionError::PlaintextAfterStls) => Fault::Trust,
            Self::Session(SessionError::Refused(_))
            | Self::Token { .. }
            | Self::Refused { .. }
            | Self::Login { .. } => Fault::Refusal,
            Self::Handshake { .. } | Self::Session(_) | Self::Challenge(_) => Fault::Server,
            Self::Tls(_)
            | Self::Name { .. }
            | Self::NotLoopback { .. }
            | Self::NoMechanism
            | Self::Request(_)
            | Self::Random(_) => Fault::Caller,
        }
    }

    /// Whether the connection is of no use any more. Otherwise the session goes on.
    #[must_use]
    pub const fn connection_lost(&self) -> bool {
        !matches!(self, Self::Refused { .. } | Self::Request(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // R3206-AUTH-4
    #[test]
    fn r3206_auth_4_only_auth_failures_discard_a_password_where_the_server_tells_them() {
        let verdict = |line: &[u8], auth_resp_code| {
            let line = StatusLine::parse(line).expect("a status line");
            LoginVerdict::of(&line, auth_resp_code)
        };
        for told in [true, false] {
            assert_eq!(verdict(b"-ERR [AUTH] no", told), LoginVerdict::Credentials);
            assert_eq!(verdict(b"-ERR [IN-USE] no", told), LoginVerdict::Later);
            assert_eq!(verdict(b"-ERR [LOGIN-DELAY] no", told), LoginVerdict::Later);
            assert_eq!(verdict(b"-ERR [SYS/TEMP] no", told), LoginVerdict::Later);
            assert_eq!(
                verdict(b"-ERR [SYS/PERM] no", told),
                LoginVerdict::Permanent
            );
        }
        assert_eq!(verdict(b"-ERR no", true), LoginVerdict::Later);
        assert_eq!(verdict(b"-ERR no", false), LoginVerdict::Credentials);
    }
}
