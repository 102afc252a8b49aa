//! Making sense of what the server says: by the oldest unanswered command, never by the looks of
//! the text (PRJ-ML-10, R2449-PIPE-3).

use alloc::{string::String, vec::Vec};

use super::{Authorization, InFlight, Session, State};
use crate::{
    Keyword, MessageNumber, MultiLineDecoder, Octets, StatusIndicator,
    client::{
        Answer, Capabilities, Event, Limits, ServerText, SessionError, StatusLine, Success, apop,
        buffer::LineError,
        listing::{drop_listing, scan_listing, unique_id_listing},
        request::Body,
        status::words,
    },
};

/// What the next octets are.
pub(super) enum Reading {
    /// A status line or a challenge.
    Status,
    /// Lines of a listing.
    Lines {
        /// How many have come.
        count: u32,
        /// How many octets they had.
        octets: u64,
        /// What they say, if they are capabilities. It counts when the last has come.
        capabilities: Capabilities,
    },
    /// A message.
    Message(MultiLineDecoder),
    /// A message that has come to its end, whose last piece was given out.
    MessageEnd(Octets),
}

/// What became of the input at hand.
enum Step {
    Event(Event),
    /// Something was made sense of that is no event; there may be more.
    Again,
    /// More input is needed.
    Starved,
}

impl Session {
    /// The next event that the input holds.
    pub(super) fn read(&mut self) -> Result<Option<Event>, SessionError> {
        loop {
            let step = match (&self.state, &self.reading) {
                (State::StartingTls, _) => Step::Starved,
                (State::Greeting, _) => self.read_greeting()?,
                (_, Reading::Status) => self.read_status()?,
                (_, Reading::Lines { .. }) => self.read_line()?,
                (_, Reading::Message(_)) => self.read_message()?,
                (_, &Reading::MessageEnd(octets)) => self.answered(Ok(Success::Message { octets })),
            };
            match step {
                Step::Event(event) => return Ok(Some(event)),
                Step::Again => self.progress = true,
                Step::Starved => return Ok(None),
            }
        }
    }

    fn read_greeting(&mut self) -> Result<Step, SessionError> {
        let max = self.settings.limits.status_octets_max;
        let line = self.input.next_line(max);
        let Some(line) = line.map_err(|error| refusal(error, max))? else {
            return Ok(Step::Starved);
        };
        let Some(status) = StatusLine::parse(line) else {
            let line = ServerText::new(line);
            return Err(SessionError::NotPop3 { line });
        };
        if status.indicator == StatusIndicator::Err {
            return Err(SessionError::Refused(status));
        }
        self.timestamp = apop::timestamp(status.text.as_bytes());
        self.state = State::Authorization(Authorization::default());
        Ok(Step::Event(Event::Greeting(status)))
    }

    fn read_status(&mut self) -> Result<Step, SessionError> {
        let limits = &self.settings.limits;
        let max = match self.exchange {
            Some(_) => limits.challenge_octets_max,
            None => limits.status_octets_max,
        };
        let line = self.input.next_line(max);
        let Some(line) = line.map_err(|error| refusal(error, max))? else {
            return Ok(Step::Starved);
        };
        let ours = self.exchange.is_some_and(|exchange| exchange.ours);
        let Some(front) = self.in_flight.front().filter(|_| !ours) else {
            // PRJ-INJ-4.
            let line = ServerText::new(line);
            return Err(SessionError::Unsolicited { line });
        };
        if let Some(exchange) = &mut self.exchange {
            // PRJ-CHAL-2: `+` alone is an empty challenge, too.
            let challenge = line.strip_prefix(b"+ ").or((line == b"+").then_some(b""));
            if let Some(challenge) = challenge {
                exchange.rounds += 1;
                exchange.ours = true;
                let max = limits.sasl_rounds_max;
                if exchange.rounds > max {
                    return Err(SessionError::TooManyChallenges { max });
                }
                return Ok(Step::Event(Event::Challenge(challenge.into())));
            }
        }
        let Some(status) = StatusLine::parse(line) else {
            return Err(SessionError::NoIndicator {
                keyword: front.keyword,
                line: ServerText::new(line),
            });
        };
        self.obey(status)
    }

    /// What follows from the status line of the oldest unanswered command.
    fn obey(&mut self, status: StatusLine) -> Result<Step, SessionError> {
        let Some(front) = self.in_flight.front() else {
            return Ok(Step::Again);
        };
        let (keyword, number, body) = (front.keyword, front.number, front.body);
        if status.indicator == StatusIndicator::Err {
            // PRJ-ML-7: no termination line follows.
            if keyword == Keyword::Capa {
                // R2449-CAPA-4.
                self.capabilities = Some(Capabilities::default());
            }
            return Ok(self.answered(Err(status)));
        }
        match body {
            Body::None => self.obey_line(keyword, number, &status),
            Body::Message => {
                let max = self.settings.limits.message_octets_max;
                self.reading = Reading::Message(MultiLineDecoder::new(max));
                let number = number.unwrap_or(MessageNumber::FIRST);
                Ok(Step::Event(Event::MessageBegins(number)))
            }
            Body::Capabilities | Body::ScanListings | Body::UniqueIdListings | Body::Lines => {
                self.reading = Reading::Lines {
                    count: 0,
                    octets: 0,
                    capabilities: Capabilities::default(),
                };
                Ok(Step::Again)
            }
        }
    }

    /// A `+OK` that is the whole answer.
    fn obey_line(
        &mut self,
        keyword: Keyword,
        number: Option<MessageNumber>,
        status: &StatusLine,
    ) -> Result<Step, SessionError> {
        let malformed = || SessionError::Malformed {
            keyword,
            line: status.text.clone(),
        };
        let success = match keyword {
            Keyword::Stat => {
                let (messages, octets) = drop_listing(status.words()).ok_or_else(malformed)?;
                Success::DropListing { messages, octets }
            }
            Keyword::List => {
                let (of, octets) = scan_listing(status.words()).ok_or_else(malformed)?;
                if Some(of) != number {
                    return Err(malformed());
                }
                Success::ScanListing { octets }
            }
            Keyword::Uidl => {
                let line = status.text.as_bytes();
                let (of, unique_id) = unique_id_listing(line).ok_or_else(malformed)?;
                if Some(of) != number {
                    return Err(malformed());
                }
                Success::UniqueId(unique_id)
            }
            Keyword::Lang => {
                let tag = status.words().next().map(String::from_utf8_lossy);
                Success::Language(tag.map(Into::into))
            }
            Keyword::Stls => {
                // PRJ-INJ-2.
                if !self.input.is_empty() {
                    return Err(SessionError::PlaintextAfterStls);
                }
                self.state = State::StartingTls;
                self.in_flight.clear();
                return Ok(Step::Again);
            }
            Keyword::Auth if self.exchange.is_some_and(|exchange| exchange.cancelled) => {
                return Err(SessionError::CancelledAccepted);
            }
            _ => Success::Done,
        };
        Ok(self.answered(Ok(success)))
    }

    /// The oldest unanswered command has its answer.
    fn answered(&mut self, outcome: Result<Success, StatusLine>) -> Step {
        self.reading = Reading::Status;
        let Some(front) = self.in_flight.pop_front() else {
            return Step::Again;
        };
        let (keyword, number) = (front.keyword, front.number);
        self.window.answered(front.expected, front.line_octets);
        self.exchange = self.in_flight.front().and_then(InFlight::exchange);
        if let State::Authorization(authorization) = &mut self.state {
            authorization.user_accepted = keyword == Keyword::User && outcome.is_ok();
            authorization.utf8 |= keyword == Keyword::Utf8 && outcome.is_ok();
            let login = matches!(keyword, Keyword::Apop | Keyword::Auth | Keyword::Pass);
            if login && front.body == Body::None && outcome.is_ok() {
                self.state = State::Transaction;
            }
        }
        if keyword == Keyword::Quit {
            self.state = State::Closed;
        }
        Step::Event(Event::Answered(Answer {
            keyword,
            number,
            outcome,
        }))
    }

    /// The next line of a listing. A line of a single dot is its end; otherwise one dot at its
    /// start is stuffing (R1939-ML-3).
    fn read_line(&mut self) -> Result<Step, SessionError> {
        let limits = &self.settings.limits;
        let max = limits.listing_line_octets_max;
        let line = self.input.next_line(max);
        let Some(line) = line.map_err(|error| refusal(error, max))? else {
            return Ok(Step::Starved);
        };
        let Some(&InFlight { keyword, body, .. }) = self.in_flight.front() else {
            return Ok(Step::Again);
        };
        let Reading::Lines {
            count,
            octets,
            capabilities,
        } = &mut self.reading
        else {
            return Ok(Step::Again);
        };
        if line == b"." {
            if body == Body::Capabilities {
                self.capabilities = Some(core::mem::take(capabilities));
            }
            return Ok(self.answered(Ok(Success::Done)));
        }
        let line = line.strip_prefix(b".").unwrap_or(line);
        *count += 1;
        *octets = octets.saturating_add(line.len() as u64);
        check_lines(limits, (keyword, body), *count, *octets)?;
        let malformed = || SessionError::Malformed {
            keyword,
            line: ServerText::new(line),
        };
        Ok(match body {
            Body::ScanListings => {
                let (number, octets) = scan_listing(words(line)).ok_or_else(malformed)?;
                Step::Event(Event::ScanListing { number, octets })
            }
            Body::UniqueIdListings => {
                let (number, unique_id) = unique_id_listing(line).ok_or_else(malformed)?;
                Step::Event(Event::UniqueIdListing { number, unique_id })
            }
            Body::Capabilities => {
                capabilities.add(line);
                Step::Again
            }
            Body::None | Body::Lines | Body::Message => {
                Step::Event(Event::Line(ServerText::new(line)))
            }
        })
    }

    /// All of the message that the input holds, in one piece.
    fn read_message(&mut self) -> Result<Step, SessionError> {
        let Reading::Message(decoder) = &mut self.reading else {
            return Ok(Step::Again);
        };
        if self.input.is_empty() {
            return Ok(Step::Starved);
        }
        let Some(front) = self.in_flight.front_mut() else {
            return Ok(Step::Again);
        };
        let number = front.number.unwrap_or(MessageNumber::FIRST);
        let held = self.input.held();
        let (mut data, mut consumed) = (Vec::with_capacity(held.len()), 0);
        let mut end = false;
        while !end && consumed < held.len() {
            let rest = held.get(consumed..).unwrap_or_default();
            let decoded = decoder.decode(rest).map_err(|error| {
                let max = error.max;
                SessionError::MessageTooLarge { number, max }
            })?;
            data.extend_from_slice(decoded.data);
            consumed += decoded.consumed;
            end = decoded.end;
        }
        if end {
            self.reading = Reading::MessageEnd(decoder.octets());
        }
        self.input.consume(consumed);
        let received = (data.len() as u64).min(front.expected);
        front.expected -= received;
        self.window.received(received);
        Ok(if data.is_empty() {
            Step::Again
        } else {
            Step::Event(Event::MessageData(data))
        })
    }
}

/// Refuses an answer of too many lines, or of too many octets.
const fn check_lines(
    limits: &Limits,
    (keyword, body): (Keyword, Body),
    lines: u32,
    octets: u64,
) -> Result<(), SessionError> {
    let listed = matches!(body, Body::ScanListings | Body::UniqueIdListings);
    let (messages_max, octets_max) = (limits.messages_max, limits.listing_octets_max);
    if !listed && lines > limits.lines_max {
        let max = limits.lines_max;
        return Err(SessionError::TooManyLines { keyword, max });
    }
    if listed && lines > messages_max {
        let max = messages_max;
        return Err(SessionError::TooManyMessages { keyword, max });
    }
    if listed && octets > octets_max {
        let max = octets_max;
        return Err(SessionError::ListingTooLong { keyword, max });
    }
    Ok(())
}

/// Whose fault a line is that is none.
const fn refusal(error: LineError, max: usize) -> SessionError {
    match error {
        LineError::TooLong => SessionError::LineTooLong { max },
        LineError::BareLineFeed => SessionError::BareLineFeed,
    }
}
