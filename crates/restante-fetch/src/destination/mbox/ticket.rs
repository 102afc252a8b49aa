//! What a message of an mbox is found again by.
//!
//! ```text
//! version 1 (8 bits), nonce of the spool (16 octets), octets of the mbox before, place in the spool,
//! octets there (64 bits each), copies (32 bits), digest (32 octets); numbers little-endian
//! ```

use crate::Ticket;

use super::{group::NOTE_OCTETS, place::Nonce, scan::Digest};

const VERSION: u8 = 1;

/// A ticket, read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct MboxTicket {
    pub(super) nonce: Nonce,
    /// How large the mbox was before.
    pub(super) mbox_octets: u64,
    /// Where the message is in the spool.
    pub(super) from: u64,
    /// How many octets it has there.
    pub(super) octets: u64,
    /// How many messages of this digest the group has, up to this one: a server may have several
    /// of one content.
    pub(super) copies: u32,
    pub(super) digest: Digest,
}

impl MboxTicket {
    pub(super) fn encode(&self) -> Option<Ticket> {
        let mut octets = vec![VERSION];
        octets.extend_from_slice(&self.nonce);
        for number in [self.mbox_octets, self.from, self.octets] {
            octets.extend_from_slice(&number.to_le_bytes());
        }
        octets.extend_from_slice(&self.copies.to_le_bytes());
        octets.extend_from_slice(&self.digest);
        Ticket::new(octets)
    }

    /// `None` if it is not one of ours, or damaged.
    pub(super) fn decode(ticket: &Ticket) -> Option<Self> {
        let (&version, rest) = ticket.octets().split_first()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let (mbox_octets, rest) = rest.split_first_chunk()?;
        let (from, rest) = rest.split_first_chunk()?;
        let (octets, rest) = rest.split_first_chunk()?;
        let (copies, digest) = rest.split_first_chunk()?;
        let ticket = Self {
            nonce: *nonce,
            mbox_octets: u64::from_le_bytes(*mbox_octets),
            from: u64::from_le_bytes(*from),
            octets: u64::from_le_bytes(*octets),
            copies: u32::from_le_bytes(*copies),
            digest: digest.try_into().ok()?,
        };
        let sound = version == VERSION
            && ticket.from >= NOTE_OCTETS
            && ticket.from.checked_add(ticket.octets).is_some()
            && ticket.copies > 0;
        sound.then_some(ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_comes_back_and_a_damaged_one_is_refused() {
        let ticket = MboxTicket {
            nonce: [7; 16],
            mbox_octets: 5,
            from: 64,
            octets: 900,
            copies: 2,
            digest: [9; 32],
        };
        let encoded = ticket.encode().expect("small");
        assert_eq!(MboxTicket::decode(&encoded), Some(ticket));
        let octets = encoded.octets();
        for cut in 0..octets.len() {
            let cut = Ticket::new(&octets[..cut]).expect("small");
            assert_eq!(MboxTicket::decode(&cut), None);
        }
        let overflowing = MboxTicket {
            from: u64::MAX,
            ..ticket
        };
        let overflowing = overflowing.encode().expect("small");
        assert_eq!(MboxTicket::decode(&overflowing), None);
    }
}
