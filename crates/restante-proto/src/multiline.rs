//! Multi-line responses: line ends, byte-stuffing, the termination line (RFC 1939 §3, §11).

mod counter;
mod decoder;
mod encoder;

pub use counter::{Measured, WireCounter};
pub use decoder::{Decoded, MessageTooLarge, MultiLineDecoder};
pub use encoder::{MultiLineEncoder, Progress, SizeMismatch};

/// A single dot on a line: the end of every multi-line response (R1939-ML-1).
pub(crate) const TERMINATION_LINE: &[u8] = b".\r\n";
