//! The names of the mechanisms.

use core::fmt;

use crate::scram::ScramHash;

/// A SASL mechanism that this crate knows, weakest first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Mechanism {
    /// `LOGIN`, draft-murchison-sasl-login-00: sends the password as it is.
    Login,
    /// `PLAIN`, RFC 4616: sends the password as it is.
    Plain,
    /// `CRAM-MD5`, RFC 2195: for old programs; needs the password as it is on both sides.
    CramMd5,
    /// `XOAUTH2`, Google's and Microsoft's: sends a bearer token as it is.
    Xoauth2,
    /// `OAUTHBEARER`, RFC 7628: sends a bearer token as it is.
    OauthBearer,
    /// `SCRAM-SHA-1`, RFC 5802.
    ScramSha1,
    /// `SCRAM-SHA-256`, RFC 7677.
    ScramSha256,
    /// `SCRAM-SHA-1-PLUS`: bound to the TLS connection.
    ScramSha1Plus,
    /// `SCRAM-SHA-256-PLUS`: bound to the TLS connection.
    ScramSha256Plus,
    /// `EXTERNAL`, RFC 4422 App. A: the TLS client certificate says who it is.
    External,
}

impl Mechanism {
    /// All of them, weakest first.
    pub const ALL: [Self; 10] = [
        Self::Login,
        Self::Plain,
        Self::CramMd5,
        Self::Xoauth2,
        Self::OauthBearer,
        Self::ScramSha1,
        Self::ScramSha256,
        Self::ScramSha1Plus,
        Self::ScramSha256Plus,
        Self::External,
    ];

    /// The mechanism of that name, whatever the case of its letters (R5034-AUTH-1).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }

    /// The registered name, in upper case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Login => "LOGIN",
            Self::Plain => "PLAIN",
            Self::CramMd5 => "CRAM-MD5",
            Self::Xoauth2 => "XOAUTH2",
            Self::OauthBearer => "OAUTHBEARER",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha1Plus => "SCRAM-SHA-1-PLUS",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::External => "EXTERNAL",
        }
    }

    /// Whether it proves that both ends see the same TLS connection.
    #[must_use]
    pub fn needs_channel_binding(self) -> bool {
        matches!(self, Self::ScramSha1Plus | Self::ScramSha256Plus)
    }

    /// Whether it shows the password to whoever reads the connection (R5034-PLAIN-1).
    #[must_use]
    pub fn is_plaintext(self) -> bool {
        matches!(self, Self::Plain | Self::Login)
    }

    /// Whether it is about a name and a password, whatever it sends of them.
    #[must_use]
    pub fn takes_password(self) -> bool {
        !self.is_bearer() && self != Self::External
    }

    /// Whether it is about a bearer token, which whoever reads the connection could use too.
    #[must_use]
    pub fn is_bearer(self) -> bool {
        matches!(self, Self::Xoauth2 | Self::OauthBearer)
    }

    /// The hash function, if this is a mechanism of the SCRAM family.
    #[must_use]
    pub fn scram_hash(self) -> Option<ScramHash> {
        match self {
            Self::ScramSha1 | Self::ScramSha1Plus => Some(ScramHash::Sha1),
            Self::ScramSha256 | Self::ScramSha256Plus => Some(ScramHash::Sha256),
            Self::Plain
            | Self::Login
            | Self::CramMd5
            | Self::Xoauth2
            | Self::OauthBearer
            | Self::External => None,
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // R5034-AUTH-1
    #[test]
    fn r5034_auth_1_names_compare_in_any_case() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::from_name(mechanism.name()), Some(mechanism));
            let lower = mechanism.name().to_ascii_lowercase();
            assert_eq!(Mechanism::from_name(&lower), Some(mechanism));
        }
        // PRJ-MECH-1: these are not offered.
        for name in ["", "PLAI", "PLAIN ", "DIGEST-MD5", "NTLM", "ANONYMOUS"] {
            assert_eq!(Mechanism::from_name(name), None, "{name}");
        }
    }
}
