//! The listing of an open maildrop as shared columns: no allocation per message.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use restante_proto::{MessageNumber, Messages, Mode, Octets, UniqueId};

/// Stands for a size that has not been measured; no message is this large.
const UNMEASURED: u64 = u64::MAX;

/// Sizes and unique-ids of a maildrop's messages, shared by its sessions.
#[derive(Debug)]
pub struct MessageTable {
    sizes: Sizes,
    /// Octets that many unique-ids are a part of; file names.
    names: Arc<[u8]>,
    /// The other unique-ids, one after the other.
    others: Box<[u8]>,
    /// Where each unique-id begins: in `names`, or behind it in `others`.
    starts: Box<[u32]>,
    /// How many octets each unique-id has.
    lengths: Box<[u8]>,
}

/// Collects a [`MessageTable`], message by message, in listing order.
#[derive(Debug)]
pub struct MessageTableBuilder {
    sizes: Vec<u64>,
    names: Arc<[u8]>,
    others: Vec<u8>,
    starts: Vec<u32>,
    lengths: Vec<u8>,
}

/// The sizes of messages, as they become known. A clone is the same sizes.
#[derive(Clone, Debug)]
pub(crate) struct Sizes(Arc<[AtomicU64]>);

impl Sizes {
    /// These sizes; `None` has not been measured.
    pub(crate) fn new(sizes: impl Iterator<Item = Option<Octets>>) -> Self {
        let code = |size: Option<Octets>| size.map_or(UNMEASURED, |size| size.0);
        Self(sizes.map(|size| AtomicU64::new(code(size))).collect())
    }

    /// How many messages there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The size of the message at `index`; `None` if it is not known, or there is none.
    pub(crate) fn at(&self, index: usize) -> Option<Octets> {
        let octets = self.0.get(index)?.load(Ordering::Acquire);
        (octets != UNMEASURED).then_some(Octets(octets))
    }

    /// Makes a size known and tells which one stands: the first (PRJ-SIZE-5: a session never
    /// reports two sizes for one message).
    pub(crate) fn measured(&self, index: usize, octets: Octets) -> Octets {
        let Some(slot) = self.0.get(index) else {
            return octets;
        };
        let exchanged =
            slot.compare_exchange(UNMEASURED, octets.0, Ordering::AcqRel, Ordering::Acquire);
        exchanged.map_or_else(Octets, |_| octets)
    }

    fn memory_octets(&self) -> usize {
        size_of_val(&*self.0)
    }
}

impl Default for MessageTableBuilder {
    fn default() -> Self {
        Self::beside(Arc::default())
    }
}

impl MessageTableBuilder {
    /// A table whose unique-ids may be parts of `names`, which it shares.
    pub(crate) fn beside(names: Arc<[u8]>) -> Self {
        Self {
            sizes: Vec::new(),
            names,
            others: Vec::new(),
            starts: Vec::new(),
            lengths: Vec::new(),
        }
    }

    /// Adds the next message; `octets` is `None` if it has not been measured.
    pub fn push(&mut self, unique_id: UniqueId<'_>, octets: Option<Octets>) {
        self.push_id(unique_id, usize::MAX);
        self.sizes
            .push(octets.map_or(UNMEASURED, |octets| octets.0));
    }

    /// Adds the next message's unique-id, which may stand in the shared names at `start`.
    pub(crate) fn push_id(&mut self, unique_id: UniqueId<'_>, start: usize) {
        let octets = unique_id.as_bytes();
        let shared = self.names.get(start..).unwrap_or_default();
        let start = match shared.starts_with(octets) {
            true => start,
            false => {
                self.others.extend_from_slice(octets);
                self.names.len() + self.others.len() - octets.len()
            }
        };
        self.starts
            .push(u32::try_from(start).expect("a table's names are bounded to 32 bits"));
        self.lengths
            .push(u8::try_from(octets.len()).expect("a unique-id has at most 70 octets"));
    }

    /// The table of all messages that were pushed.
    #[must_use]
    pub fn build(mut self) -> MessageTable {
        let sizes = std::mem::take(&mut self.sizes);
        self.build_with(Sizes(sizes.into_iter().map(AtomicU64::new).collect()))
    }

    /// The table of all messages whose unique-ids were pushed; `sizes` has as many.
    pub(crate) fn build_with(self, sizes: Sizes) -> MessageTable {
        debug_assert_eq!(sizes.len(), self.starts.len());
        MessageTable {
            sizes,
            names: self.names,
            others: self.others.into(),
            starts: self.starts.into(),
            lengths: self.lengths.into(),
        }
    }
}

impl MessageTable {
    /// Makes a size known. The first value stands: a session never reports two sizes for one
    /// message (PRJ-SIZE-5). Beyond the table it does nothing.
    pub fn measured(&self, number: MessageNumber, octets: Octets) {
        self.sizes.measured(number.index(), octets);
    }

    /// How many octets of memory the table takes, shared names included.
    #[must_use]
    pub fn memory_octets(&self) -> usize {
        self.sizes.memory_octets()
            + self.names.len()
            + self.others.len()
            + size_of_val(&*self.starts)
            + size_of_val(&*self.lengths)
    }
}

impl Messages for MessageTable {
    fn count(&self) -> u32 {
        u32::try_from(self.starts.len()).expect("pushed messages have u32 starts")
    }

    fn octets(&self, number: MessageNumber, _mode: Mode) -> Option<Octets> {
        self.sizes.at(number.index())
    }

    fn unique_id(&self, number: MessageNumber) -> UniqueId<'_> {
        let start = self.starts[number.index()] as usize;
        let range = start..start + usize::from(self.lengths[number.index()]);
        let octets = match range.start.checked_sub(self.names.len()) {
            None => &self.names[range],
            Some(start) => &self.others[start..start + range.len()],
        };
        UniqueId::new(octets).expect("only unique-ids were pushed")
    }
}

impl Default for MessageTable {
    fn default() -> Self {
        MessageTableBuilder::default().build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(number: u32) -> MessageNumber {
        MessageNumber::new(number).unwrap()
    }

    #[test]
    fn ids_are_found_in_shared_names_and_beside_them() {
        let names: Arc<[u8]> = (*b"one,S=1two").into();
        let mut builder = MessageTableBuilder::beside(names);
        for (id, start) in [
            ("one", 0),
            ("=other", 3),
            ("two", 7),
            ("last", 10),
            ("x", 99),
        ] {
            builder.push_id(UniqueId::new(id.as_bytes()).unwrap(), start);
        }
        let sizes = [None, Some(Octets(7)), None, None, None];
        let table = builder.build_with(Sizes::new(sizes.into_iter()));
        let ids: Vec<String> = (1..=5)
            .map(|at| table.unique_id(number(at)).to_string())
            .collect();
        assert_eq!(ids, ["one", "=other", "two", "last", "x"]);
        assert_eq!(table.octets(number(1), Mode::Plain), None);
        assert_eq!(table.octets(number(2), Mode::Utf8), Some(Octets(7)));
        assert_eq!(table.octets(number(6), Mode::Plain), None);
    }

    #[test]
    fn prj_size_5_the_first_size_stands() {
        let mut builder = MessageTableBuilder::default();
        builder.push(UniqueId::new(b"one").unwrap(), None);
        let table = builder.build();
        table.measured(number(1), Octets(10));
        table.measured(number(1), Octets(11));
        table.measured(number(2), Octets(12));
        assert_eq!(table.octets(number(1), Mode::Plain), Some(Octets(10)));
        assert_eq!(table.sizes.measured(0, Octets(12)), Octets(10));
    }
}
