//! Which message there is which one here. A pure function of what is known of both.
//!
//! Numbers say nothing: the other server may number otherwise, and mail may be missing on either
//! side. A header and a size that exactly one message has on either side are enough. Where several
//! have the header, or the sizes differ, the whole message decides; messages that are equal octet
//! for octet are paired in their order, since nobody can tell them apart.

use std::collections::{HashMap, HashSet, VecDeque};

use super::digest::Digests;

/// A message that is here.
#[derive(Clone, Debug)]
pub(super) struct Here {
    pub(super) base: Vec<u8>,
    /// What a session would list, if that is settled.
    pub(super) unique_id: Option<Vec<u8>>,
    /// As RETR would send it.
    pub(super) octets: u64,
    pub(super) digests: Digests,
}

/// A message of the other server's listing, and what was learnt of it.
#[derive(Clone, Debug)]
pub(super) struct There {
    pub(super) octets: u64,
    pub(super) unique_id: Vec<u8>,
    pub(super) header: Header,
    /// The digest of the whole message, if it was asked for and came.
    pub(super) whole: Option<[u8; 32]>,
}

/// What TOP has shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Header {
    /// It was refused.
    Unknown,
    /// There is none.
    None,
    Digest([u8; 32]),
}

/// Whether both listings are the same already: numbers, sizes and unique-ids.
pub(super) fn are_equal(here: &[Here], there: &[There]) -> bool {
    here.len() == there.len()
        && here.iter().zip(there).all(|(here, there)| {
            here.octets == there.octets && here.unique_id.as_ref() == Some(&there.unique_id)
        })
}

/// The messages there that must be read whole, by index.
pub(super) fn doubtful(here: &[Here], there: &[There]) -> Vec<usize> {
    let groups = Groups::new(here, there);
    let is_doubtful = |&index: &usize| match there.get(index).map(|it| it.header) {
        // Without a header of its own, any message could be meant.
        Some(Header::Unknown | Header::None) => !here.is_empty(),
        Some(Header::Digest(header)) => {
            groups.is_here(&header) && groups.only(index, &header, here, there).is_none()
        }
        None => false,
    };
    (0..there.len()).filter(is_doubtful).collect()
}

/// For each message there the one here that is surely the same, by index.
pub(super) fn pair(here: &[Here], there: &[There]) -> Vec<Option<usize>> {
    let groups = Groups::new(here, there);
    let sure = |index: usize, it: &There| match it.header {
        Header::Digest(header) => groups.only(index, &header, here, there),
        Header::Unknown | Header::None => None,
    };
    let mut pairs: Vec<Option<usize>> = (0..).zip(there).map(|(at, it)| sure(at, it)).collect();
    let mut wholes: HashMap<[u8; 32], VecDeque<usize>> = HashMap::new();
    let taken: HashSet<usize> = pairs.iter().copied().flatten().collect();
    for (index, it) in here.iter().enumerate() {
        if !taken.contains(&index) {
            wholes.entry(it.digests.whole).or_default().push_back(index);
        }
    }
    for (pair, it) in pairs.iter_mut().zip(there) {
        if pair.is_none() {
            let same = it.whole.and_then(|whole| wholes.get_mut(&whole));
            *pair = same.and_then(VecDeque::pop_front);
        }
    }
    pairs
}

/// The messages by their headers.
struct Groups {
    here: HashMap<[u8; 32], Vec<usize>>,
    there: HashMap<[u8; 32], usize>,
}

impl Groups {
    fn new(here: &[Here], there: &[There]) -> Self {
        let mut groups = Self {
            here: HashMap::new(),
            there: HashMap::new(),
        };
        for (index, it) in here.iter().enumerate() {
            if let Some(header) = it.digests.header {
                groups.here.entry(header).or_default().push(index);
            }
        }
        for it in there {
            if let Header::Digest(header) = it.header {
                *groups.there.entry(header).or_default() += 1;
            }
        }
        groups
    }

    fn is_here(&self, header: &[u8; 32]) -> bool {
        self.here.contains_key(header)
    }

    /// The only message here with the header and the size of the only one there.
    fn only(
        &self,
        index: usize,
        header: &[u8; 32],
        here: &[Here],
        there: &[There],
    ) -> Option<usize> {
        let only = match self.here.get(header).map(Vec::as_slice) {
            Some([only]) if self.there.get(header) == Some(&1) => *only,
            _ => return None,
        };
        let is_as_long = here.get(only)?.octets == there.get(index)?.octets;
        is_as_long.then_some(only)
    }
}

#[cfg(test)]
mod tests;
