//! Which views have hidden or fetched which message.
//!
//! Kept by a hash of the unique-id with keys of this process, so that 50,000 messages take two
//! megabytes and nobody can make two ids meet.

use std::{
    collections::{HashMap, hash_map},
    hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState},
    sync::OnceLock,
};

/// Marks by unique-id.
#[derive(Clone, Debug, Default)]
pub(super) struct Marked {
    by_id: HashMap<u128, Bits, BuildHasherDefault<Folded>>,
}

/// A bit for each view.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Bits {
    /// Not listed to these.
    pub(super) hidden: u64,
    /// Of those, who has not deleted it: the message was never meant for them.
    pub(super) skipped: u64,
    /// Retrieved by these.
    pub(super) fetched: u64,
}

/// A key is random already: half of it will do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Folded(u64);

impl Hasher for Folded {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        // Not used for keys of 128 bits.
        octets
            .iter()
            .for_each(|&octet| self.0 = self.0.rotate_left(8) ^ u64::from(octet));
    }

    fn write_u128(&mut self, key: u128) {
        let [.., a, b, c, d, e, f, g, h] = key.to_be_bytes();
        self.0 = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    }
}

impl Bits {
    /// Who has deleted it.
    pub(super) fn deleted(self) -> u64 {
        self.hidden & !self.skipped
    }

    /// Who has deleted or retrieved it.
    pub(super) fn touched(self) -> u64 {
        self.deleted() | self.fetched
    }

    fn is_none(self) -> bool {
        self == Self::default()
    }
}

impl Marked {
    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn of(&self, unique_id: &[u8]) -> Bits {
        if self.by_id.is_empty() {
            return Bits::default();
        }
        self.by_id.get(&key(unique_id)).copied().unwrap_or_default()
    }

    pub(super) fn entry(&mut self, unique_id: &[u8]) -> &mut Bits {
        match self.by_id.entry(key(unique_id)) {
            hash_map::Entry::Occupied(there) => there.into_mut(),
            hash_map::Entry::Vacant(free) => free.insert(Bits::default()),
        }
    }

    /// Hides from the view `to` what is hidden from the view `from`.
    pub(super) fn copy_hidden(&mut self, from: u64, to: u64) {
        for bits in self
            .by_id
            .values_mut()
            .filter(|bits| bits.deleted() & from != 0)
        {
            bits.hidden |= to;
        }
    }

    /// Takes all marks of a view away.
    pub(super) fn forget(&mut self, view: u64) {
        self.by_id.retain(|_, bits| {
            bits.hidden &= !view;
            bits.skipped &= !view;
            bits.fetched &= !view;
            !bits.is_none()
        });
    }

    /// Makes what one view has done what another has done.
    pub(super) fn hand_over(&mut self, from: u64, to: u64) {
        for bits in self.by_id.values_mut() {
            if bits.skipped & from != 0 {
                bits.skipped &= !from;
                bits.hidden &= !from;
            }
            for marks in [&mut bits.hidden, &mut bits.fetched] {
                if *marks & from != 0 {
                    *marks = *marks & !from | to;
                }
            }
        }
    }

    pub(super) fn memory_octets(&self) -> usize {
        // One octet of control for each place, and a key with its marks.
        self.by_id.capacity() * (size_of::<(u128, Bits)>() + 1)
    }
}

/// 128 bits that only this process can tell.
fn key(unique_id: &[u8]) -> u128 {
    static KEYS: OnceLock<[RandomState; 2]> = OnceLock::new();
    let [high, low] = KEYS.get_or_init(|| [RandomState::new(), RandomState::new()]);
    let half = |state: &RandomState| {
        let mut hasher = state.build_hasher();
        hasher.write(unique_id);
        u128::from(hasher.finish())
    };
    half(high) << 64 | half(low)
}
