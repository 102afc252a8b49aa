//! What this side can say about the TLS connection underneath.

use core::fmt;

use crate::EndPoint;

/// This side's channel binding (RFC 5802 §6).
///
/// `tls-exporter` (RFC 9266) is of this very connection. Its data are the 32 octets that TLS
/// exports under the label `EXPORTER-Channel-Binding` with a zero-length context (R9266-CB-1); on
/// TLS 1.2 it may be used only with extended master secret (R9266-CB-2, R7677-CB-3), which is for
/// the caller to see to.
///
/// `tls-server-end-point` (RFC 5929) is of the server's certificate: weaker, for it tells nothing
/// of the connection, but with every version of TLS, and known to whoever has the certificate
/// (R5929-CB-4).
#[derive(Clone, Eq, PartialEq)]
pub enum ChannelBinding {
    /// This side cannot bind: no TLS, or nothing of it to bind to. A client says `n`.
    None,
    /// This side could bind, but the server does not advertise -PLUS here. A client says `y`.
    Unused,
    /// Server: -PLUS is advertised on this connection. Client: the server advertised it and the
    /// client uses it.
    TlsExporter([u8; 32]),
    /// As [`TlsExporter`](Self::TlsExporter), with the certificate.
    TlsServerEndPoint(EndPoint),
    /// Either of them. A server takes the one that the client uses; a client uses the exporter.
    Either {
        /// For `tls-exporter`.
        exporter: [u8; 32],
        /// For `tls-server-end-point`.
        end_point: EndPoint,
    },
}

/// The registered names of the types.
const EXPORTER: &str = "tls-exporter";
const END_POINT: &str = "tls-server-end-point";

impl ChannelBinding {
    /// What there is to bind to, whether or not -PLUS is advertised.
    #[must_use]
    pub fn with(exporter: Option<[u8; 32]>, end_point: Option<EndPoint>) -> Self {
        match (exporter, end_point) {
            (Some(exporter), Some(end_point)) => Self::Either {
                exporter,
                end_point,
            },
            (Some(exporter), None) => Self::TlsExporter(exporter),
            (None, Some(end_point)) => Self::TlsServerEndPoint(end_point),
            (None, None) => Self::None,
        }
    }

    /// Whether this side has something to bind to, and -PLUS is advertised.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.strongest().is_some()
    }

    /// The type and the data that a client uses.
    pub(crate) fn strongest(&self) -> Option<(&'static str, &[u8])> {
        match self {
            Self::None | Self::Unused => None,
            Self::TlsExporter(exporter) | Self::Either { exporter, .. } => {
                Some((EXPORTER, exporter))
            }
            Self::TlsServerEndPoint(end_point) => Some((END_POINT, end_point.data())),
        }
    }

    /// The data of the type that a client has named; `None` if it is not known here.
    pub(crate) fn data(&self, name: &str) -> Option<&[u8]> {
        match (name, self) {
            (EXPORTER, Self::TlsExporter(exporter) | Self::Either { exporter, .. }) => {
                Some(exporter)
            }
            (END_POINT, Self::TlsServerEndPoint(end_point) | Self::Either { end_point, .. }) => {
                Some(end_point.data())
            }
            _ => None,
        }
    }
}

impl fmt::Debug for ChannelBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Unused => "Unused",
            Self::TlsExporter(_) => "TlsExporter([REDACTED])",
            Self::TlsServerEndPoint(_) => "TlsServerEndPoint(..)",
            Self::Either { .. } => "Either([REDACTED])",
        })
    }
}

#[cfg(test)]
mod tests;
