//! The binding to the server's certificate: `tls-server-end-point` (RFC 5929 §4).

use alloc::sync::Arc;
use core::fmt;

use sha2::{Digest as _, Sha224, Sha256, Sha384, Sha512};
use spki::{
    AlgorithmIdentifier, AlgorithmIdentifierRef, ObjectIdentifier,
    der::{
        self, Decode as _, Reader as _, SliceReader, TagMode, TagNumber,
        asn1::{AnyRef, BitStringRef},
    },
};

/// A certificate that is longer is none that anybody sends.
const CERTIFICATE_OCTETS_MAX: usize = 64 * 1024;

/// RSASSA-PSS (RFC 4055 §3.1), whose hash functions stand in its parameters.
const PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const SHA_1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");

/// The algorithm that makes a mask, whose parameter is a hash function.
type MaskAlgorithm<'d> = AlgorithmIdentifier<AlgorithmIdentifierRef<'d>>;

/// The hash of a server's certificate, with the hash function of the certificate's own signature
/// (RFC 5929 §4.1).
#[derive(Clone, Eq, PartialEq)]
pub struct EndPoint(Arc<[u8]>);

/// What the certificate is hashed with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl EndPoint {
    /// The binding to `certificate`, in DER, octet for octet as the server presents it
    /// (R5929-CB-4).
    ///
    /// `None` where the binding is not defined: the signature of the certificate uses no hash
    /// function of its own (Ed25519), several, or one that is not known here; and for what is no
    /// certificate.
    #[must_use]
    pub fn of_certificate(certificate: &[u8]) -> Option<Self> {
        if certificate.len() > CERTIFICATE_OCTETS_MAX {
            return None;
        }
        let algorithm = signature_algorithm(certificate).ok()?;
        Some(Self(match Hash::of_signature(algorithm)? {
            Hash::Sha224 => Sha224::digest(certificate).as_slice().into(),
            Hash::Sha256 => Sha256::digest(certificate).as_slice().into(),
            Hash::Sha384 => Sha384::digest(certificate).as_slice().into(),
            Hash::Sha512 => Sha512::digest(certificate).as_slice().into(),
        }))
    }

    /// The data of the binding.
    pub(crate) fn data(&self) -> &[u8] {
        &self.0
    }
}

/// ```text
/// Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue }
/// ```
fn signature_algorithm(certificate: &[u8]) -> der::Result<AlgorithmIdentifierRef<'_>> {
    let mut reader = SliceReader::new(certificate)?;
    let algorithm = reader.sequence(|parts| {
        AnyRef::decode(parts)?;
        let algorithm = AlgorithmIdentifierRef::decode(parts)?;
        BitStringRef::decode(parts)?;
        Ok::<_, der::Error>(algorithm)
    })?;
    reader.finish()?;
    Ok(algorithm)
}

impl Hash {
    /// Of a signature algorithm, if it uses a single one. MD5 and SHA-1 are too weak: SHA-256 is
    /// used in their stead.
    fn of_signature(algorithm: AlgorithmIdentifierRef<'_>) -> Option<Self> {
        if algorithm.oid == PSS {
            return Self::of_pss(algorithm);
        }
        // RFC 3279 §2.2, RFC 4055 §5, RFC 5758 §3; the arcs of RSA, DSA and ECDSA.
        let (_, hash) = [
            ("1.2.840.113549.1.1.4", Self::Sha256),
            ("1.2.840.113549.1.1.5", Self::Sha256),
            ("1.2.840.113549.1.1.11", Self::Sha256),
            ("1.2.840.113549.1.1.12", Self::Sha384),
            ("1.2.840.113549.1.1.13", Self::Sha512),
            ("1.2.840.113549.1.1.14", Self::Sha224),
            ("1.2.840.10040.4.3", Self::Sha256),
            ("2.16.840.1.101.3.4.3.1", Self::Sha224),
            ("2.16.840.1.101.3.4.3.2", Self::Sha256),
            ("1.2.840.10045.4.1", Self::Sha256),
            ("1.2.840.10045.4.3.1", Self::Sha224),
            ("1.2.840.10045.4.3.2", Self::Sha256),
            ("1.2.840.10045.4.3.3", Self::Sha384),
            ("1.2.840.10045.4.3.4", Self::Sha512),
        ]
        .into_iter()
        .find(|(oid, _)| is(&algorithm.oid, oid))?;
        Some(hash)
    }

    /// Of PSS, which hashes the message, and then a mask. With two functions the binding is not
    /// defined.
    fn of_pss(algorithm: AlgorithmIdentifierRef<'_>) -> Option<Self> {
        // RFC 4055 §3.1: in a certificate the parameters are there; what they do not say is SHA-1.
        let (hash, mask) = pss_hashes(algorithm.parameters?).ok()?;
        let hash = hash.map_or(SHA_1, |hash| hash.oid);
        let mask = mask.map_or(Some(SHA_1), |mask| Some(mask.parameters?.oid));
        if mask != Some(hash) {
            return None;
        }
        let (_, hash) = [
            ("1.3.14.3.2.26", Self::Sha256),
            ("2.16.840.1.101.3.4.2.1", Self::Sha256),
            ("2.16.840.1.101.3.4.2.2", Self::Sha384),
            ("2.16.840.1.101.3.4.2.3", Self::Sha512),
            ("2.16.840.1.101.3.4.2.4", Self::Sha224),
        ]
        .into_iter()
        .find(|(oid, _)| is(&hash, oid))?;
        Some(hash)
    }
}

/// ```text
/// RSASSA-PSS-params ::= SEQUENCE { [0] hashAlgorithm, [1] maskGenAlgorithm, … }
/// ```
fn pss_hashes(
    parameters: AnyRef<'_>,
) -> der::Result<(
    Option<AlgorithmIdentifierRef<'_>>,
    Option<MaskAlgorithm<'_>>,
)> {
    parameters.sequence(|parts| {
        let hash = parts.context_specific(TagNumber(0), TagMode::Explicit)?;
        let mask = parts.context_specific(TagNumber(1), TagMode::Explicit)?;
        // How much salt there is does not matter here.
        while !parts.is_finished() {
            AnyRef::decode(parts)?;
        }
        Ok((hash, mask))
    })
}

fn is(oid: &ObjectIdentifier, text: &str) -> bool {
    ObjectIdentifier::new(text).is_ok_and(|known| known == *oid)
}

impl fmt::Debug for EndPoint {
    /// A certificate is no secret; its hash is of no use in a log either.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndPoint(..)")
    }
}

#[cfg(test)]
mod tests;
