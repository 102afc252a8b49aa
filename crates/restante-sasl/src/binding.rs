//! What this side can say about the TLS connection underneath.

use core::fmt;

/// This side's channel binding (RFC 5802 §6, RFC 9266).
///
/// Only `tls-exporter` is known. Its data are the 32 octets that TLS exports under the label
/// `EXPORTER-Channel-Binding` with a zero-length context (R9266-CB-1); on TLS 1.2 it may be used
/// only with extended master secret (R9266-CB-2, R7677-CB-3), which is for the caller to see to.
#[derive(Clone, Eq, PartialEq)]
pub enum ChannelBinding {
    /// This side cannot bind: no TLS, or a TLS without exporter. A client says `n`.
    None,
    /// This side could bind, but the server does not advertise -PLUS here. A client says `y`.
    Unused,
    /// Server: -PLUS is advertised on this connection. Client: the server advertised it and the
    /// client uses it.
    TlsExporter([u8; 32]),
}

impl ChannelBinding {
    /// The name of the only binding type there is.
    pub(crate) const TYPE: &'static str = "tls-exporter";
}

impl fmt::Debug for ChannelBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Unused => "Unused",
            Self::TlsExporter(_) => "TlsExporter([REDACTED])",
        })
    }
}
