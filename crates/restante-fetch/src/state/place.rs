//! How the state names a destination.

use std::{fmt, str::FromStr};

use crate::fingerprint::Digest;

/// Names a destination by its label, in a length that is always the same.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PlaceId(u64);

impl PlaceId {
    /// The name of the destination with this label.
    #[must_use]
    pub fn of(label: &str) -> Self {
        let digest = Digest::of(label.as_bytes());
        let first = digest.octets().first_chunk().copied().unwrap_or_default();
        Self(u64::from_be_bytes(first))
    }
}

impl fmt::Display for PlaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for PlaceId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let place = u64::from_str_radix(text, 16).map(Self).map_err(|_| ())?;
        match place.to_string() == text {
            true => Ok(place),
            false => Err(()),
        }
    }
}
