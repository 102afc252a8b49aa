//! Where to connect, and how.

use std::time::Duration;

use secrecy::SecretString;

use crate::{Limits, Tls};

/// A server, and how to reach it.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its name, which its certificate must hold, or its address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// A proxy to go through, if any.
    pub proxy: Option<Proxy>,
    /// Deadlines of what comes before the session.
    pub timeouts: Timeouts,
    /// Bounds of the session, the deadlines for its answers included.
    pub limits: Limits,
}

/// How a connection is protected.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Security {
    /// TLS from the first octet (RFC 8314), port 995.
    Tls(Tls),
    /// TLS by STLS, port 110. A server that does not offer it is refused, and nothing but CAPA and
    /// STLS goes over the line before (R8314-CONF-2).
    Stls(Tls),
    /// No TLS, but no password on the line: APOP and SCRAM alone. Whoever is on the line can read
    /// and change the mail.
    CleartextWithoutPassword,
    /// No TLS, and passwords as they are. Only to a loopback address; anything else is refused
    /// when the connection stands.
    Loopback,
}

/// What is known of the other end of a connection, and of who can read along.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Assurance {
    /// TLS, and authorities that are believed vouch for the server's name.
    Verified,
    /// TLS to whoever holds a certificate that somebody has looked at once. Not as much as
    /// [`Verified`](Self::Verified), and not to be shown as if it were (R8314-PIN-1).
    Pinned,
    /// No TLS.
    Cleartext,
}

impl Security {
    /// What it assures, once a connection stands.
    #[must_use]
    pub const fn assurance(&self) -> Assurance {
        match self {
            Self::Tls(tls) | Self::Stls(tls) if tls.is_pinned() => Assurance::Pinned,
            Self::Tls(_) | Self::Stls(_) => Assurance::Verified,
            Self::CleartextWithoutPassword | Self::Loopback => Assurance::Cleartext,
        }
    }
}

/// A SOCKS5 proxy (RFC 1928). It resolves the server's name.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Name and password (RFC 1929), if it wants any.
    pub credentials: Option<(String, SecretString)>,
}

/// How long what comes before the session may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timeouts {
    /// Looking the name up, and connecting, over all addresses together, the proxy included.
    pub connect: Duration,
    /// The TLS handshake.
    pub handshake: Duration,
    /// Saying goodbye in TLS after QUIT was answered.
    pub close: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            handshake: Duration::from_secs(30),
            close: Duration::from_secs(5),
        }
    }
}

impl Server {
    /// A server that speaks TLS from the first octet, on port 995.
    #[must_use]
    pub fn over_tls(host: &str, tls: Tls) -> Self {
        Self::new(host, 995, Security::Tls(tls))
    }

    /// A server that offers STLS, on port 110.
    #[must_use]
    pub fn over_stls(host: &str, tls: Tls) -> Self {
        Self::new(host, 110, Security::Stls(tls))
    }

    /// A server with the usual deadlines and bounds, and no proxy.
    #[must_use]
    pub fn new(host: &str, port: u16, security: Security) -> Self {
        Self {
            host: host.into(),
            port,
            security,
            proxy: None,
            timeouts: Timeouts::default(),
            limits: Limits::default(),
        }
    }
}
