//! A set of message-numbers, one bit each.

use alloc::vec::Vec;

use crate::MessageNumber;

const BITS: usize = u64::BITS as usize;

/// A set of message-numbers: one bit for each message up to the highest in the set.
#[derive(Clone, Debug, Default)]
pub struct MessageSet {
    words: Vec<u64>,
    len: usize,
}

impl MessageSet {
    /// The empty set; it allocates with the first message.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            words: Vec::new(),
            len: 0,
        }
    }

    /// How many messages are in the set.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether no message is in the set.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether `number` is in the set.
    #[must_use]
    pub fn contains(&self, number: MessageNumber) -> bool {
        let (word, bit) = position(number);
        self.words.get(word).is_some_and(|octets| octets & bit != 0)
    }

    /// Messages of the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = MessageNumber> + '_ {
        self.words.iter().enumerate().flat_map(|(word, &octets)| {
            (0..BITS)
                .filter(move |bit| octets & (1 << bit) != 0)
                .filter_map(move |bit| MessageNumber::from_index(word * BITS + bit))
        })
    }

    /// The first message from `from` on that is not in the set. Costs a step for each 64 messages
    /// that are, so that listing a maildrop whose messages are all marked stays cheap.
    pub(crate) fn next_absent(&self, from: MessageNumber) -> Option<MessageNumber> {
        let (first, bit) = position(from);
        // The messages of the first word that come before `from` do not count.
        let mut before = bit - 1;
        for (word, &bits) in self.words.iter().enumerate().skip(first) {
            let absent = !(bits | before);
            if absent != 0 {
                return MessageNumber::from_index(word * BITS + absent.trailing_zeros() as usize);
            }
            before = 0;
        }
        MessageNumber::from_index(from.index().max(self.words.len() * BITS))
    }

    /// Puts `number` in; `false` if it was there already.
    pub fn insert(&mut self, number: MessageNumber) -> bool {
        let (word, bit) = position(number);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.len += usize::from(new);
        new
    }

    /// Empties the set.
    pub fn clear(&mut self) {
        *self = Self::new();
    }
}

impl PartialEq for MessageSet {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl Eq for MessageSet {}

impl FromIterator<MessageNumber> for MessageSet {
    fn from_iter<I: IntoIterator<Item = MessageNumber>>(numbers: I) -> Self {
        let mut set = Self::new();
        for number in numbers {
            set.insert(number);
        }
        set
    }
}

const fn position(number: MessageNumber) -> (usize, u64) {
    (number.index() / BITS, 1 << (number.index() % BITS))
}

#[cfg(test)]
mod tests;
