//! The base64 of SASL lines (RFC 5034 §4, RFC 4648 §4), strictly read.

use alloc::{string::String, vec, vec::Vec};

use base64::{DecodeError, DecodeSliceError, Engine as _, engine::general_purpose::STANDARD};
use secrecy::SecretSlice;
use zeroize::Zeroizing;

/// How many octets a decoded line may have at most (PRJ-LINE-2).
pub const DECODED_OCTETS_MAX: usize = 64 * 1024;

/// Why a line is not base64. Server: `-ERR`; client: cancel with `*` (R5034-B64-1).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// It would decode to more than [`DECODED_OCTETS_MAX`] octets.
    #[error("line of {octets} octets is too long")]
    TooLong {
        /// How many octets of base64 there were.
        octets: usize,
    },
    /// An octet outside the alphabet, or `=` other than as end padding.
    #[error("octet {at} is not base64")]
    BadOctet {
        /// Where, from 0.
        at: usize,
    },
    /// Missing characters or padding at the end.
    #[error("incomplete base64")]
    BadLength,
    /// Bits beyond the last octet are not zero (PRJ-B64-2).
    #[error("non-zero trailing bits in base64")]
    TrailingBits,
    /// The initial response is empty where `=` would say so.
    #[error("empty initial response")]
    Empty,
}

/// Decodes the initial response of an AUTH command: base64, or `=` alone for a present but
/// empty one (R5034-IR-1).
///
/// # Errors
/// [`LineError`]: answer `-ERR`.
pub fn decode_initial_response(base64: &[u8]) -> Result<SecretSlice<u8>, LineError> {
    match base64 {
        b"=" => Ok(SecretSlice::default()),
        b"" => Err(LineError::Empty),
        _ => decode_response(base64),
    }
}

/// Decodes a response or challenge: a line without its CRLF. The empty line is the empty
/// response; `=` is invalid here (PRJ-B64-2).
///
/// # Errors
/// [`LineError`]: a server answers `-ERR`, a client cancels with `*`.
pub fn decode_response(base64: &[u8]) -> Result<SecretSlice<u8>, LineError> {
    if base64.len() > DECODED_OCTETS_MAX.div_ceil(3) * 4 {
        return Err(LineError::TooLong {
            octets: base64.len(),
        });
    }
    let mut decoded = Zeroizing::new(vec![0; base64.len().div_ceil(4) * 3]);
    let octets = match STANDARD.decode_slice(base64, &mut decoded) {
        Ok(octets) => octets,
        Err(DecodeSliceError::DecodeError(error)) => return Err(error.into()),
        Err(DecodeSliceError::OutputSliceTooSmall) => {
            return Err(LineError::TooLong {
                octets: base64.len(),
            });
        }
    };
    if octets > DECODED_OCTETS_MAX {
        return Err(LineError::TooLong {
            octets: base64.len(),
        });
    }
    // A copy of exact capacity: shrinking in place could leave the secret behind.
    Ok(SecretSlice::from(
        decoded.get(..octets).unwrap_or_default().to_vec(),
    ))
}

/// Encodes a challenge, or a response that holds no secret. Empty stays empty.
#[must_use]
pub fn encode(octets: &[u8]) -> Vec<u8> {
    STANDARD.encode(octets).into_bytes()
}

/// Encodes a response that may hold a secret. Empty stays empty (R5034-RESP-1).
#[must_use]
pub fn encode_response(octets: &[u8]) -> SecretSlice<u8> {
    let mut text = String::with_capacity(octets.len().div_ceil(3) * 4);
    STANDARD.encode_string(octets, &mut text);
    SecretSlice::from(text.into_bytes())
}

/// Encodes an initial response: as [`encode_response`], but empty becomes `=` (R5034-IR-1).
#[must_use]
pub fn encode_initial_response(octets: &[u8]) -> SecretSlice<u8> {
    if octets.is_empty() {
        return SecretSlice::from(b"=".to_vec());
    }
    encode_response(octets)
}

impl From<DecodeError> for LineError {
    /// Drops the offending octet: it may be part of a secret.
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::InvalidByte(at, _) => Self::BadOctet { at },
            DecodeError::InvalidLastSymbol { .. } => Self::TrailingBits,
            DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => Self::BadLength,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    use super::*;

    fn decoded(base64: &[u8]) -> Result<Vec<u8>, LineError> {
        decode_response(base64).map(|octets| octets.expose_secret().to_vec())
    }

    fn initial(base64: &[u8]) -> Result<Vec<u8>, LineError> {
        decode_initial_response(base64).map(|octets| octets.expose_secret().to_vec())
    }

    // R5034-B64-1
    #[test]
    fn r5034_b64_1_anything_but_strict_base64_is_refused() {
        assert_eq!(
            decoded(b"AHRpbQB0YW5zdGFhZnRhbnN0YWFm"),
            Ok(b"\0tim\0tanstaaftanstaaf".into())
        );
        assert_eq!(decoded(b"YQ=="), Ok(b"a".into()));
        assert_eq!(decoded(b"YWI="), Ok(b"ab".into()));
        for bad in [
            &b"YQ="[..],
            b"YQ",
            b"Y",
            b"YQ===",
            b"=YQ=",
            b"YQ==YQ==",
            b"YW=I",
            b"YW I",
            b" YWI=",
            b"YWI= ",
            b"YW\0=",
            b"YW-_",
            b"YWI=\r",
            b"====",
            b"\xC3\xA4==",
        ] {
            assert!(decoded(bad).is_err(), "{}", bad.escape_ascii());
            assert!(initial(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    // PRJ-B64-2
    #[test]
    fn prj_b64_2_equals_sign_and_trailing_bits() {
        assert_eq!(initial(b"="), Ok(Vec::new()));
        assert!(decoded(b"=").is_err());
        assert_eq!(decoded(b"YR=="), Err(LineError::TrailingBits));
        assert_eq!(decoded(b"YWJ="), Err(LineError::TrailingBits));
    }

    // R5034-IR-1, R5034-RESP-1
    #[test]
    fn r5034_ir_1_empty_initial_response_is_written_as_equals_sign() {
        assert_eq!(encode_initial_response(b"").expose_secret(), b"=");
        assert_eq!(encode_response(b"").expose_secret(), b"");
        assert_eq!(decoded(b""), Ok(Vec::new()));
        assert_eq!(initial(b""), Err(LineError::Empty));
    }

    // PRJ-LINE-2: n − 1, n, n + 1.
    #[test]
    fn prj_line_2_decoded_octets_are_bounded() {
        for (octets, fits) in [
            (65_535, true),
            (65_536, true),
            (65_537, false),
            (1 << 20, false),
        ] {
            assert_eq!(
                decoded(&encode(&vec![b'x'; octets])).is_ok(),
                fits,
                "{octets}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn decoding_inverts_encoding(octets in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(decoded(&encode(&octets)), Ok(octets.clone()));
            let line = encode_initial_response(&octets);
            prop_assert_eq!(initial(line.expose_secret()), Ok(octets));
        }

        #[test]
        fn only_one_text_decodes_to_the_same_octets(text in "[A-Za-c+/=]{0,9}") {
            if let Ok(octets) = decoded(text.as_bytes()) {
                prop_assert_eq!(encode(&octets), text.as_bytes());
            }
        }
    }
}
