//! What a server is told when it is made.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ipnet::IpNet;
use restante_maildrop::{Policy, Shows};

use crate::ConnectionLimits;

/// What a server is told when it is made; the defaults are those of the configuration file.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// What the protocol machine is told: timeouts of the session, capabilities, bounds.
    pub session: restante_proto::server::Settings,
    /// Whether passwords may cross the wire without TLS.
    pub cleartext_login: CleartextLogin,
    /// Offers APOP with timestamps of this host, if there is one; the authenticator must accept
    /// APOP too (PRJ-APOP-8).
    pub apop_host: Option<String>,
    /// Where proxies connect from. Connections from there begin with a PROXY header, and the
    /// address in it is the client's; no other connection is read for one (PROXY-CFG-1).
    pub proxies: Vec<IpNet>,
    /// How long a PROXY header may take; the specification wants three seconds at least.
    pub proxy_header_timeout: Duration,
    /// What programs that do not say UTF8 are sent of internationalized headers.
    pub utf8_headers: Utf8Headers,
    /// Whose DELE counts and when mail leaves, for accounts that have not chosen otherwise.
    pub policy: Policy,
    /// How soon after a login an account may be opened again that has no delay of its own.
    pub login_delay: Duration,
    /// What is shown of a mailbox, for accounts that have not chosen otherwise.
    pub shows: Shows,
    /// How long a login waits for another session of the same view to end.
    pub in_use_wait: Duration,
    /// How long a TLS handshake may take, on connecting or after STLS.
    pub handshake_timeout: Duration,
    /// How long a peer may take no octet of an answer before it is cut off (PRJ-TIMER-5).
    pub write_timeout: Duration,
    /// How long the server takes to stop at most (PRJ-SEC-6). For three quarters of it sessions
    /// that are at work go on, then no new command begins, and at its end all are cut off.
    pub drain_timeout: Duration,
    /// How many connections there may be (PRJ-SEC-5).
    pub limits: ConnectionLimits,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            session: restante_proto::server::Settings::default(),
            cleartext_login: CleartextLogin::Loopback,
            apop_host: None,
            proxies: Vec::new(),
            proxy_header_timeout: Duration::from_secs(5),
            utf8_headers: Utf8Headers::Raw,
            policy: Policy::default(),
            login_delay: Duration::ZERO,
            shows: Shows::default(),
            in_use_wait: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(30),
            limits: ConnectionLimits::default(),
        }
    }
}

impl ServerSettings {
    /// Whether a connection from `peer` must begin with a PROXY header.
    pub(crate) fn is_proxy(&self, peer: IpAddr) -> bool {
        // A dual-stack socket shows IPv4 peers as ::ffff:a.b.c.d.
        let peer = peer.to_canonical();
        self.proxies.iter().any(|network| network.contains(&peer))
    }
}

/// What a program that has not said UTF8 is sent of a message with an internationalized header.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Utf8Headers {
    /// What is stored, as every deployed server does: a program that deletes what it has fetched
    /// keeps the only copy, and that must not be an altered one (R6856-UTF8-2, the deviation).
    #[default]
    Raw,
    /// A surrogate in ASCII (RFC 6858). LIST tells the size of what is stored, as RFC 6858 §4
    /// allows: the size of a surrogate shows only when it is made.
    Surrogate,
}

/// Where logins that show the password to the network are accepted without TLS: USER and PASS,
/// PLAIN and LOGIN (R2595-POL-1, R5034-PLAIN-1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum CleartextLogin {
    /// Nowhere.
    Never,
    /// From this very machine.
    #[default]
    Loopback,
    /// Everywhere: passwords can be read on the way.
    Always,
}

impl CleartextLogin {
    /// Whether a connection from `peer` may log in so without TLS.
    #[must_use]
    pub fn allows(self, peer: SocketAddr) -> bool {
        match self {
            Self::Never => false,
            Self::Loopback => peer.ip().to_canonical().is_loopback(),
            Self::Always => true,
        }
    }
}
