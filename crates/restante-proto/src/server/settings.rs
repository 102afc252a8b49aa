//! What the operator decides, and what is true of one connection.

use alloc::{string::String, vec::Vec};
use core::time::Duration;

use crate::{ExpireCapability, Language, Limits, LoginDelayCapability};

/// The shortest inactivity timer after login that RFC 1939 §3 allows (R1939-TIMER-1).
const IDLE_TIMEOUT_MIN: Duration = Duration::from_mins(10);

/// What the operator decides for all sessions of a listener. [`Settings::default`] is sensible.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Shown by CAPA after login (RFC 2449 §6.9); `None`: not at all.
    pub implementation: Option<String>,
    /// Whether USER and PASS exist. Where [`Security::cleartext_login`] is false they are refused
    /// all the same.
    pub user: bool,
    /// Whether UTF8 exists (RFC 6856 §2).
    pub utf8: bool,
    /// Announced before login; a user's own value comes with `Opened`.
    pub expire: Option<ExpireCapability>,
    /// Announced before login; a user's own value comes with `Opened`.
    pub login_delay: Option<LoginDelayCapability>,
    /// How long a logged-in client may be silent. Less than 10 minutes count as 10 minutes.
    pub idle_timeout: Duration,
    /// How long a client may be silent before it has logged in (PRJ-TIMER-6).
    pub login_timeout: Duration,
    /// What `LANG *` selects (R6856-LANG-4).
    pub language: Language,
    /// Whether a LF without CR ends a command line (PRJ-ERR-7).
    pub bare_lf: bool,
    /// The bounds of everything.
    pub limits: Limits,
}

impl Settings {
    pub(super) fn idle_timeout(&self) -> Duration {
        self.idle_timeout.max(IDLE_TIMEOUT_MIN)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            implementation: None,
            user: true,
            utf8: true,
            expire: None,
            login_delay: None,
            idle_timeout: IDLE_TIMEOUT_MIN,
            login_timeout: Duration::from_mins(1),
            language: Language::Default,
            bare_lf: true,
            limits: Limits::default(),
        }
    }
}

/// What is true of one connection as it stands.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// TLS is active.
    pub tls: bool,
    /// A client may send a reusable secret here: USER/PASS, and mechanisms such as PLAIN.
    pub cleartext_login: bool,
    /// STLS can be offered: there is a certificate. Counts only while `tls` is false.
    pub stls: bool,
    /// SASL mechanisms usable now, in upper case, in the order in which CAPA lists them. The
    /// machine leaves out those that send a password while `cleartext_login` is false, and those
    /// that send a token while `tls` is.
    pub mechanisms: Vec<String>,
    /// Offers APOP: a msg-id `<…@…>`, different for every connection (R1939-APOP-1).
    pub apop_timestamp: Option<String>,
}

/// Mechanisms in which the client sends the password as it is.
const REVEALING_MECHANISMS: [&str; 2] = ["PLAIN", "LOGIN"];

/// Mechanisms with a token, which opens more than mailboxes: never without TLS, whatever else is
/// allowed there (R7628-OAB-1, XOAUTH2-1).
const BEARER_MECHANISMS: [&str; 2] = ["OAUTHBEARER", "XOAUTH2"];

impl Security {
    /// The mechanisms that may be used now (R5034-PLAIN-1, R2595-POL-1).
    pub(super) fn usable_mechanisms(&self) -> impl Iterator<Item = &str> {
        self.mechanisms
            .iter()
            .map(String::as_str)
            .filter(|name| self.cleartext_login || !REVEALING_MECHANISMS.contains(name))
            .filter(|name| self.tls || !BEARER_MECHANISMS.contains(name))
    }
}
