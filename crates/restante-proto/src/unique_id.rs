//! Unique-ids of messages (RFC 1939 §7, UIDL).

use core::fmt;

/// A message's unique-id: 1 to 70 octets, each 0x21 to 0x7E (R1939-UIDL-3).
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UniqueId<'a>(&'a [u8]);

/// Why octets are not a unique-id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UniqueIdError {
    /// It has none, or more than 70.
    #[error("unique-id of {octets} octets, not 1 to 70")]
    Length {
        /// How many it has.
        octets: usize,
    },
    /// An octet outside 0x21 to 0x7E.
    #[error("octet {octet:#04x} at {at} is not allowed in a unique-id")]
    Octet {
        /// The first such octet.
        octet: u8,
        /// Its position, from 0.
        at: usize,
    },
}

impl<'a> UniqueId<'a> {
    /// The longest a unique-id may be.
    pub const OCTETS_MAX: usize = 70;

    /// The unique-id made of these octets.
    ///
    /// # Errors
    /// [`UniqueIdError`] names what RFC 1939 §7 does not allow.
    pub fn new(octets: &'a [u8]) -> Result<Self, UniqueIdError> {
        if !(1..=Self::OCTETS_MAX).contains(&octets.len()) {
            return Err(UniqueIdError::Length {
                octets: octets.len(),
            });
        }
        match octets
            .iter()
            .position(|octet| !(0x21..=0x7E).contains(octet))
        {
            Some(at) => Err(UniqueIdError::Octet {
                octet: octets[at],
                at,
            }),
            None => Ok(Self(octets)),
        }
    }

    /// The octets, to be compared as they are.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Display for UniqueId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|&octet| fmt::Write::write_char(f, char::from(octet)))
    }
}

impl fmt::Debug for UniqueId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UniqueId({self})")
    }
}
