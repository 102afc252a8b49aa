//! The listing of an open maildrop as shared columns: no allocation per message.

use std::sync::atomic::{AtomicU64, Ordering};

use restante_proto::{MessageNumber, Messages, Mode, Octets, UniqueId};

/// Stands for a size that has not been measured; no message is this large.
const UNMEASURED: u64 = u64::MAX;

/// Sizes and unique-ids of a maildrop's messages, shared by its sessions.
#[derive(Debug, Default)]
pub struct MessageTable {
    octets: Box<[AtomicU64]>,
    /// All unique-ids, one after the other.
    unique_ids: Box<[u8]>,
    /// Where each unique-id ends.
    unique_id_ends: Box<[u32]>,
}

/// Collects a [`MessageTable`], message by message, in listing order.
#[derive(Debug, Default)]
pub struct MessageTableBuilder {
    octets: Vec<AtomicU64>,
    unique_ids: Vec<u8>,
    unique_id_ends: Vec<u32>,
}

impl MessageTableBuilder {
    /// Adds the next message; `octets` is `None` if it has not been measured.
    pub fn push(&mut self, unique_id: UniqueId<'_>, octets: Option<Octets>) {
        self.unique_ids.extend_from_slice(unique_id.as_bytes());
        let end = u32::try_from(self.unique_ids.len()).expect("2^32 / 70 messages have run out");
        self.unique_id_ends.push(end);
        self.octets
            .push(AtomicU64::new(octets.map_or(UNMEASURED, |octets| octets.0)));
    }

    /// The table of all messages that were pushed.
    #[must_use]
    pub fn build(self) -> MessageTable {
        MessageTable {
            octets: self.octets.into(),
            unique_ids: self.unique_ids.into(),
            unique_id_ends: self.unique_id_ends.into(),
        }
    }
}

impl MessageTable {
    /// Makes a size known. The first value stands: a session never reports two sizes for one
    /// message (PRJ-SIZE-5). Beyond the table it does nothing.
    pub fn measured(&self, number: MessageNumber, octets: Octets) {
        if let Some(slot) = self.octets.get(number.index()) {
            // A loser of the race has measured the same message; the listed value stays.
            let _ =
                slot.compare_exchange(UNMEASURED, octets.0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// How many octets of memory the table takes.
    #[must_use]
    pub fn memory_octets(&self) -> usize {
        size_of_val(&*self.octets) + self.unique_ids.len() + size_of_val(&*self.unique_id_ends)
    }
}

impl Messages for MessageTable {
    fn count(&self) -> u32 {
        u32::try_from(self.octets.len()).expect("pushed messages have u32 ends")
    }

    fn octets(&self, number: MessageNumber, _mode: Mode) -> Option<Octets> {
        let octets = self.octets.get(number.index())?.load(Ordering::Relaxed);
        (octets != UNMEASURED).then_some(Octets(octets))
    }

    fn unique_id(&self, number: MessageNumber) -> UniqueId<'_> {
        let index = number.index();
        let start = index
            .checked_sub(1)
            .map_or(0, |before| self.unique_id_ends[before]);
        let range = start as usize..self.unique_id_ends[index] as usize;
        UniqueId::new(&self.unique_ids[range]).expect("only unique-ids were pushed")
    }
}
