//! What the caller decides before a session.

use super::Limits;

/// What holds for a session from its beginning. The default is the safe choice.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Settings {
    /// What may be said before there is TLS.
    pub cleartext: Cleartext,
    /// Bounds.
    pub limits: Limits,
}

/// What may be said before there is TLS (R2595-POL-1, R8314-CONF-2).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Cleartext {
    /// CAPA, STLS and QUIT, nothing else: who listens learns nothing.
    #[default]
    Nothing,
    /// Everything, but logins only in ways that do not show the password: APOP and SCRAM. Mail
    /// itself can be read and changed by whoever is on the line.
    NoPasswords,
    /// Everything: for loopback, or a line that is known to be private.
    Everything,
}
