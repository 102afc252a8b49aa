//! The message of PLAIN (RFC 4616 §2), read and written.

use alloc::vec::Vec;

use secrecy::SecretSlice;

/// How many octets a name or a password may have. RFC 4616 wants at least 255
/// (R4616-PLAIN-2); the bound keeps slow hashes of absurd passwords from being asked for.
pub(crate) const FIELD_OCTETS_MAX: usize = 1024;

/// The three fields, none of them checked but for the NULs.
pub(crate) struct Message<'m> {
    pub(crate) authorization: &'m [u8],
    pub(crate) name: &'m [u8],
    pub(crate) password: &'m [u8],
}

/// Reads
///
/// ```text
/// message   = [authzid] UTF8NUL authcid UTF8NUL passwd
/// ```
///
/// `None` unless there are exactly two NULs (R4616-PLAIN-2).
pub(crate) fn parse(message: &[u8]) -> Option<Message<'_>> {
    let mut fields = message.split(|&octet| octet == 0);
    let message = Message {
        authorization: fields.next()?,
        name: fields.next()?,
        password: fields.next()?,
    };
    fields.next().is_none().then_some(message)
}

/// Writes it. The caller has made sure that no field holds a NUL.
pub(crate) fn encode(authorization: &str, name: &str, password: &[u8]) -> SecretSlice<u8> {
    let octets = authorization.len() + name.len() + password.len() + 2;
    let mut message = Vec::with_capacity(octets);
    message.extend_from_slice(authorization.as_bytes());
    message.push(0);
    message.extend_from_slice(name.as_bytes());
    message.push(0);
    message.extend_from_slice(password);
    SecretSlice::from(message)
}
