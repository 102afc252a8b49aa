//! Answers to STAT, LIST and UIDL, made piece by piece.

use alloc::vec::Vec;

use super::transaction::Transaction;
use crate::{
    Language, Limits, MessageNumber, Octets,
    language::Text,
    listing::{DropListing, ScanListing, UniqueIdListing},
    multiline::TERMINATION_LINE,
    response::Response,
};

/// An answer in the making.
pub(super) enum Listing {
    /// STAT.
    Drop,
    /// LIST with an argument.
    Scan(MessageNumber),
    /// LIST.
    Scans {
        /// The first message that may still have to be listed.
        next: Option<MessageNumber>,
        /// The status line is out; from here on there is no `-ERR` (PRJ-ML-8).
        begun: bool,
    },
    /// UIDL. Its status line is out.
    UniqueIds {
        /// The first message that may still have to be listed.
        next: Option<MessageNumber>,
    },
}

/// How far writing a listing has come.
pub(super) enum Written {
    /// To its end.
    Done,
    /// To the end of the piece.
    Full,
    /// To a message whose size is not known.
    Unmeasured {
        /// Messages up to this one are to be measured.
        through: MessageNumber,
    },
    /// To a message whose size cannot be learned.
    Unmeasurable,
}

/// Sizes that have been added up, so that a STAT costs the same however many messages there are
/// and however often it is asked for.
#[derive(Default)]
pub(super) struct Totals {
    /// Messages `1..=summed` are in `all`.
    summed: u32,
    all: u64,
    /// Those of them that are marked as deleted.
    deleted: u64,
}

impl Totals {
    /// A message was marked by DELE.
    pub(super) const fn mark(&mut self, number: MessageNumber, octets: Option<Octets>) {
        if let Some(Octets(octets)) = octets
            && number.get() <= self.summed
        {
            self.deleted = self.deleted.saturating_add(octets);
        }
    }

    /// RSET.
    pub(super) const fn unmark_all(&mut self) {
        self.deleted = 0;
    }

    /// PRJ-SIZE-4.
    const fn octets(&self) -> Octets {
        Octets(self.all.saturating_sub(self.deleted))
    }
}

impl Listing {
    /// Whether part of the answer has gone out, so that an error can only close the connection.
    pub(super) const fn begun(&self) -> bool {
        match self {
            Self::Drop | Self::Scan(_) => false,
            Self::Scans { begun, .. } => *begun,
            Self::UniqueIds { .. } => true,
        }
    }

    /// Appends to `out` until it holds `full` octets, the listing ends, or a size is missing.
    pub(super) fn write(
        &mut self,
        transaction: &mut Transaction,
        sink: &mut Sink<'_>,
        limits: &Limits,
    ) -> Written {
        match self {
            Self::Drop => write_drop_listing(transaction, sink, limits),
            Self::Scan(number) => match transaction.octets(*number) {
                Some(octets) => {
                    let number = *number;
                    ScanListing { number, octets }.write_response(sink.out);
                    Written::Done
                }
                None => transaction.unmeasured(*number, 0, limits),
            },
            Self::Scans { next, begun } => {
                write_scan_listings(next, begun, transaction, sink, limits)
            }
            Self::UniqueIds { next } => write_unique_id_listings(next, transaction, sink),
        }
    }
}

/// Where a listing goes.
pub(super) struct Sink<'o> {
    pub(super) out: &'o mut Vec<u8>,
    /// The length at which `out` is full.
    pub(super) full: usize,
    pub(super) language: Language,
}

impl Sink<'_> {
    pub(super) const fn is_full(&self) -> bool {
        self.out.len() >= self.full
    }
}

fn write_drop_listing(
    transaction: &mut Transaction,
    sink: &mut Sink<'_>,
    limits: &Limits,
) -> Written {
    let count = transaction.messages.count();
    while let Some(number) = MessageNumber::from_index(transaction.totals.summed as usize)
        && number.get() <= count
    {
        let Some(Octets(octets)) = transaction.octets(number) else {
            return transaction.unmeasured(number, number.get() - 1, limits);
        };
        let totals = &mut transaction.totals;
        totals.summed = number.get();
        totals.all = totals.all.saturating_add(octets);
        if transaction.deleted.contains(number) {
            totals.deleted = totals.deleted.saturating_add(octets);
        }
    }
    let listing = DropListing {
        messages: transaction.remaining(),
        octets: transaction.totals.octets(),
    };
    listing.write(sink.out);
    Written::Done
}

fn write_scan_listings(
    next: &mut Option<MessageNumber>,
    begun: &mut bool,
    transaction: &mut Transaction,
    sink: &mut Sink<'_>,
    limits: &Limits,
) -> Written {
    while let Some(number) = transaction.next_unmarked(*next) {
        if sink.is_full() {
            return Written::Full;
        }
        let Some(octets) = transaction.octets(number) else {
            return transaction.unmeasured(number, number.get() - 1, limits);
        };
        // Only now: as long as no size is known, the answer may still become `-ERR`.
        if !*begun {
            Response::ok(Text::ScanListing).write(sink.language, sink.out);
            *begun = true;
        }
        ScanListing { number, octets }.write(sink.out);
        *next = number.next();
    }
    if !*begun {
        Response::ok(Text::ScanListing).write(sink.language, sink.out);
    }
    sink.out.extend_from_slice(TERMINATION_LINE);
    Written::Done
}

fn write_unique_id_listings(
    next: &mut Option<MessageNumber>,
    transaction: &Transaction,
    sink: &mut Sink<'_>,
) -> Written {
    while let Some(number) = transaction.next_unmarked(*next) {
        if sink.is_full() {
            return Written::Full;
        }
        let unique_id = transaction.messages.unique_id(number);
        UniqueIdListing { number, unique_id }.write(sink.out);
        *next = number.next();
    }
    sink.out.extend_from_slice(TERMINATION_LINE);
    Written::Done
}
