//! Lines of listings: drop listing, scan listing, unique-id listing (RFC 1939 §5, §7).

use alloc::vec::Vec;

use crate::{
    MessageNumber, Octets, StatusIndicator, UniqueId,
    response::{DECIMAL_OCTETS_MAX, ResponseLine, decimal},
};

/// Answers STAT: how many messages, how many octets together (R1939-STAT-1). Nothing follows
/// the size (R1939-STAT-3).
pub(crate) struct DropListing {
    pub(crate) messages: u32,
    pub(crate) octets: Octets,
}

impl DropListing {
    /// `+OK count octets`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        ResponseLine::begin(StatusIndicator::Ok, out)
            .number(self.messages.into())
            .number(self.octets.0)
            .end();
    }
}

/// One message in the answer to LIST.
pub(crate) struct ScanListing {
    pub(crate) number: MessageNumber,
    pub(crate) octets: Octets,
}

impl ScanListing {
    /// `+OK number octets` (R1939-LIST-2).
    pub(crate) fn write_response(&self, out: &mut Vec<u8>) {
        ResponseLine::begin(StatusIndicator::Ok, out)
            .number(self.number.get().into())
            .number(self.octets.0)
            .end();
    }

    /// `number octets` (R1939-LIST-1).
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut digits = [0; DECIMAL_OCTETS_MAX];
        out.extend_from_slice(decimal(self.number.get().into(), &mut digits));
        out.push(b' ');
        out.extend_from_slice(decimal(self.octets.0, &mut digits));
        out.extend_from_slice(b"\r\n");
    }
}

/// One message in the answer to UIDL.
pub(crate) struct UniqueIdListing<'m> {
    pub(crate) number: MessageNumber,
    pub(crate) unique_id: UniqueId<'m>,
}

impl UniqueIdListing<'_> {
    /// `+OK number unique-id` (R1939-UIDL-2).
    pub(crate) fn write_response(&self, out: &mut Vec<u8>) {
        ResponseLine::begin(StatusIndicator::Ok, out)
            .number(self.number.get().into())
            .word(self.unique_id.as_bytes())
            .end();
    }

    /// `number unique-id` (R1939-UIDL-1).
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut digits = [0; DECIMAL_OCTETS_MAX];
        out.extend_from_slice(decimal(self.number.get().into(), &mut digits));
        out.push(b' ');
        out.extend_from_slice(self.unique_id.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}
