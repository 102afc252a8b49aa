//! The TRANSACTION state: an open maildrop and what the client has done to it.

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};
use core::time::Duration;

use super::{
    Action, Opened,
    listings::{Listing, Totals, Written},
    outbox::Outbox,
    state::TransactionStep,
};
use crate::{
    Command, Expire, Form, Limits, MessageNumber, MessageSet, Messages, Mode, MultiLineEncoder,
    Octets, Part, StatusIndicator,
    language::Text,
    listing::UniqueIdListing,
    response::{Response, ResponseLine},
};

/// An open maildrop. Message numbers are those of `messages` and never move (R1939-MSG-1,
/// PRJ-LIST-6): DELE only puts numbers into `deleted`.
pub(super) struct Transaction {
    pub(super) messages: Arc<dyn Messages>,
    /// Fixed: UTF8 exists before login only (R6856-UTF8-1).
    pub(super) mode: Mode,
    pub(super) deleted: MessageSet,
    pub(super) retrieved: MessageSet,
    pub(super) totals: Totals,
    pub(super) expire: Option<Expire>,
    pub(super) login_delay: Option<Duration>,
    read_only: bool,
    pub(super) step: TransactionStep,
    /// Sizes told to the client before the listing knew them. They hold for the whole session,
    /// whatever the listing may learn later (PRJ-SIZE-5).
    announced: BTreeMap<MessageNumber, Octets>,
    /// How many messages the next `Measure` asks for.
    measure_next: u32,
    /// The last message of the latest `Measure`; 0 before the first and after a failed one.
    measured_through: u32,
}

impl Transaction {
    pub(super) fn new(opened: Opened, mode: Mode, limits: &Limits) -> Self {
        Self {
            messages: opened.messages,
            mode,
            deleted: MessageSet::new(),
            retrieved: MessageSet::new(),
            totals: Totals::default(),
            expire: opened.expire,
            login_delay: opened.login_delay,
            read_only: opened.read_only,
            step: TransactionStep::Command,
            announced: BTreeMap::new(),
            measure_next: limits.measure_first.max(1),
            measured_through: 0,
        }
    }

    /// Carries out a command that this state alone allows.
    pub(super) fn execute(&mut self, command: Command, outbox: &mut Outbox) {
        match command {
            Command::Dele(number) => match self.unmarked(number) {
                // Said at once: a client that hears of it at QUIT believes its mail to be gone.
                Ok(()) if self.read_only => outbox.say(Response::err(Text::ReadOnly)),
                Ok(()) => {
                    self.deleted.insert(number);
                    self.totals.mark(number, self.octets(number));
                    outbox.say(Response::ok(Text::Marked));
                }
                Err(text) => outbox.say(Response::err(text)),
            },
            Command::List(Some(number)) => self.begin(number, Listing::Scan(number), outbox),
            Command::List(None) => {
                self.step = TransactionStep::Listing(Listing::Scans {
                    next: Some(MessageNumber::FIRST),
                    begun: false,
                });
            }
            Command::Noop => outbox.say(Response::ok(Text::Nothing)),
            Command::Retr(number) => self.retrieve(number, Part::Whole, outbox),
            // R1939-RSET-2: the marks and nothing else. What was retrieved stays retrieved.
            Command::Rset => {
                self.deleted.clear();
                self.totals.unmark_all();
                outbox.say(Response::ok(Text::Unmarked));
            }
            Command::Stat => self.step = TransactionStep::Listing(Listing::Drop),
            Command::Top { number, lines } => {
                self.retrieve(number, Part::Top { lines }, outbox);
            }
            Command::Uidl(Some(number)) => match self.unmarked(number) {
                Ok(()) => {
                    let unique_id = self.messages.unique_id(number);
                    UniqueIdListing { number, unique_id }.write_response(outbox.octets());
                }
                Err(text) => outbox.say(Response::err(text)),
            },
            Command::Uidl(None) => {
                outbox.say(Response::ok(Text::UniqueIdListing));
                self.step = TransactionStep::Listing(Listing::UniqueIds {
                    next: Some(MessageNumber::FIRST),
                });
            }
            // The table of states lets no other command come here.
            _ => outbox.say(Response::err(Text::WrongState)),
        }
    }

    /// Answers Retrieving: writes the status line and gives the encoder for what follows it.
    pub(super) fn message_opened(
        &mut self,
        form: Form,
        octets: Octets,
        outbox: &Outbox,
        out: &mut Vec<u8>,
    ) -> Option<MultiLineEncoder> {
        let TransactionStep::Retrieving { number, part } = self.step else {
            return None;
        };
        let octets = match (part, self.octets(number)) {
            (Part::Top { .. }, _) => octets,
            // PRJ-SIZE-5: what was said once is said again; if it is not true, the encoder finds
            // out and there will be no termination line.
            (Part::Whole, Some(known)) => known,
            (Part::Whole, None) => {
                self.announced.insert(number, octets);
                octets
            }
        };
        Some(self.begin_message(number, part, form, octets, outbox, out))
    }

    /// As [`Transaction::message_opened`], but with a size that says nothing of the stored message.
    pub(super) fn surrogate_opened(
        &mut self,
        octets: Octets,
        outbox: &Outbox,
        out: &mut Vec<u8>,
    ) -> Option<MultiLineEncoder> {
        let TransactionStep::Retrieving { number, part } = self.step else {
            return None;
        };
        Some(self.begin_message(number, part, Form::Stored, octets, outbox, out))
    }

    fn begin_message(
        &mut self,
        number: MessageNumber,
        part: Part,
        form: Form,
        octets: Octets,
        outbox: &Outbox,
        out: &mut Vec<u8>,
    ) -> MultiLineEncoder {
        match part {
            // PRJ-RETR-3.
            Part::Whole => ResponseLine::begin(StatusIndicator::Ok, out)
                .number(octets.0)
                .text(Text::Octets.in_language(outbox.language))
                .end(),
            Part::Top { .. } => Response::ok(Text::TopFollows).write(outbox.language, out),
        }
        self.step = TransactionStep::Sending {
            number,
            part,
            octets,
        };
        MultiLineEncoder::new(form, part, Some(octets))
    }

    /// Answers Measuring; `false` where no sizes are awaited.
    pub(super) fn measured(&mut self) -> bool {
        match core::mem::replace(&mut self.step, TransactionStep::Command) {
            TransactionStep::Measuring(listing) => {
                self.step = TransactionStep::Listing(listing);
                true
            }
            other => {
                self.step = other;
                false
            }
        }
    }

    /// Listing or Measuring → Command: sizes could not be learned. They are asked for again when
    /// they are needed again.
    pub(super) fn measuring_failed(&mut self) {
        self.step = TransactionStep::Command;
        self.measured_through = 0;
    }

    /// The size as the client has been or will be told; `None` while it is not known.
    pub(super) fn octets(&self, number: MessageNumber) -> Option<Octets> {
        let announced = self.announced.get(&number).copied();
        announced.or_else(|| self.messages.octets(number, self.mode))
    }

    /// How many messages are not marked (R1939-STAT-2).
    pub(super) fn remaining(&self) -> u32 {
        let marked = u32::try_from(self.deleted.len()).unwrap_or(u32::MAX);
        self.messages.count().saturating_sub(marked)
    }

    /// The first message from `from` on that is not marked.
    pub(super) fn next_unmarked(&self, from: Option<MessageNumber>) -> Option<MessageNumber> {
        let number = self.deleted.next_absent(from?)?;
        (number.get() <= self.messages.count()).then_some(number)
    }

    /// What to do about message `number`, whose size is missing. The sizes of messages
    /// `1..=known` are not.
    pub(super) fn unmeasured(
        &mut self,
        number: MessageNumber,
        known: u32,
        limits: &Limits,
    ) -> Written {
        if number.get() <= self.measured_through {
            return Written::Unmeasurable;
        }
        let through = known
            .max(self.measured_through)
            .saturating_add(self.measure_next)
            .min(self.messages.count());
        self.measured_through = through;
        let doubled = self.measure_next.saturating_mul(2);
        self.measure_next = doubled.min(limits.measure_max.max(1));
        match MessageNumber::new(through) {
            Some(through) => Written::Unmeasured { through },
            None => Written::Unmeasurable,
        }
    }

    /// Whether the client has got part of an answer whose rest is still to come.
    pub(super) const fn is_answering(&self) -> bool {
        match &self.step {
            TransactionStep::Command | TransactionStep::Retrieving { .. } => false,
            TransactionStep::Listing(listing) | TransactionStep::Measuring(listing) => {
                listing.begun()
            }
            TransactionStep::Sending { .. } => true,
        }
    }

    fn begin(&mut self, number: MessageNumber, listing: Listing, outbox: &mut Outbox) {
        match self.unmarked(number) {
            Ok(()) => self.step = TransactionStep::Listing(listing),
            Err(text) => outbox.say(Response::err(text)),
        }
    }

    fn retrieve(&mut self, number: MessageNumber, part: Part, outbox: &mut Outbox) {
        match self.unmarked(number) {
            Ok(()) => {
                self.step = TransactionStep::Retrieving { number, part };
                outbox.act(Action::Retrieve {
                    number,
                    part,
                    mode: self.mode,
                });
            }
            Err(text) => outbox.say(Response::err(text)),
        }
    }

    /// R1939-DELE-3: a marked message is as good as missing.
    fn unmarked(&self, number: MessageNumber) -> Result<(), Text> {
        if number.get() > self.messages.count() {
            Err(Text::NoSuchMessage)
        } else if self.deleted.contains(number) {
            Err(Text::MessageDeleted)
        } else {
            Ok(())
        }
    }
}
