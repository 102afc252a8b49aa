//! The machine: octets and answers in, octets and actions out.

mod execution;

use alloc::{sync::Arc, vec::Vec};
use core::time::Duration;

use super::{
    Action, Answered, CloseReason, LoginRefusal, MessageRefusal, OpenRefusal, Opened, Output,
    Refusal, Security, Settings, Statistics,
    authorization::{Rules, Verdict},
    outbox::Outbox,
    state::{Authorization, AuthorizationStep, State, TransactionStep},
    transaction::Transaction,
};
use crate::{
    Form, Language, MultiLineEncoder, Octets, Part, ResponseCode, StatusIndicator,
    language::Text,
    line::LineBuffer,
    response::{Response, ResponseLine},
};

/// One POP3 session from greeting to close, without I/O.
///
/// The story in order: make one when a connection is ready, in the clear or under TLS. Then,
/// again and again: hand over what was received with [`Session::handle_input`], or what has
/// happened with one of the other methods, and **after each call, call [`Session::poll_output`]
/// until it says [`Output::Wait`]**, doing what it asks in between. [`Output::Close`] is the end.
///
/// Commands run strictly one after the other. While an action is unanswered the machine pauses:
/// [`Session::input_room`] is 0, and the rest of a pipeline waits in the transport. Any cutting of
/// the input gives the same output; the work is linear and the memory bounded by
/// [`Limits`](crate::Limits). An idle session holds no heap memory but what its state needs.
///
/// An answer that fits no unanswered action is ignored: an action may have been overtaken by the
/// end of the session.
///
/// `now` is the time since any fixed moment, the same for all calls; it never goes back.
pub struct Session {
    settings: Arc<Settings>,
    security: Security,
    state: State,
    lines: LineBuffer,
    /// The driver holds octets that there was no room for.
    more_input: bool,
    end_of_input: bool,
    shutting_down: bool,
    /// Commands in a row that were none.
    bad_commands: u32,
    /// The command whose answer is not complete yet.
    running: Option<Answered>,
    outbox: Outbox,
    began: Duration,
    /// When the client was last heard of, or last took something.
    active: Duration,
    statistics: Statistics,
}

impl Session {
    /// A session in AUTHORIZATION, its greeting queued (R1939-STATE-1, R1939-STATE-2).
    #[must_use]
    pub fn new(settings: Arc<Settings>, security: Security, now: Duration) -> Self {
        let mut session = Self::ungreeted(settings, security, now);
        let mut line = ResponseLine::begin(StatusIndicator::Ok, session.outbox.octets());
        line.text(Text::Greeting.in_language(Language::Default));
        // R1939-APOP-2: the timestamp is the only `<` that a greeting ever holds.
        if let Some(timestamp) = &session.security.apop_timestamp {
            line.word(timestamp.as_bytes());
        }
        line.end();
        session
    }

    /// The session that goes on under TLS after STLS: a fresh one without a greeting. Nothing of
    /// the old session comes along, so nothing said in the clear can count (R2595-STLS-6,
    /// PRJ-INJ-3). APOP is not on offer, since its timestamp was in the greeting.
    #[must_use]
    pub fn after_tls(settings: Arc<Settings>, security: Security, now: Duration) -> Self {
        let security = Security {
            apop_timestamp: None,
            ..security
        };
        Self::ungreeted(settings, security, now)
    }

    fn ungreeted(settings: Arc<Settings>, security: Security, now: Duration) -> Self {
        Self {
            lines: LineBuffer::new(settings.bare_lf),
            settings,
            security,
            state: State::Authorization(Authorization::default()),
            more_input: false,
            end_of_input: false,
            shutting_down: false,
            bad_commands: 0,
            running: None,
            outbox: Outbox::default(),
            began: now,
            active: now,
            statistics: Statistics::default(),
        }
    }

    /// Takes octets from the peer, as many as there is room for, and returns how many that was.
    /// The driver keeps the rest and reads no more until [`Session::poll_output`] says
    /// [`Output::Wait`] again.
    pub fn handle_input(&mut self, now: Duration, input: &[u8]) -> usize {
        // PRJ-QUIT-8: what comes after QUIT is taken and forgotten.
        if matches!(self.state, State::Update { .. } | State::Closed(_)) {
            return input.len();
        }
        let (taken, rest) = input.split_at(input.len().min(self.input_room()));
        self.more_input = !rest.is_empty();
        if !taken.is_empty() {
            self.lines.push(taken);
        }
        // R1939-TIMER-2: a command counts, a few octets of one do not.
        if memchr::memchr(b'\n', taken).is_some() {
            self.active = now;
        }
        taken.len()
    }

    /// How many octets [`Session::handle_input`] takes right now; 0: paused.
    #[must_use]
    pub fn input_room(&self) -> usize {
        if self.state.awaits_answer() || matches!(self.state, State::Closed(_)) {
            return 0;
        }
        let limits = &self.settings.limits;
        let longest = if self.in_exchange() {
            limits.sasl_line_octets_max()
        } else {
            limits.auth_octets_max.max(limits.command_octets_max)
        };
        let held_max = limits.input_octets_max.max(longest.saturating_add(1));
        held_max.saturating_sub(self.lines.len())
    }

    /// The peer has closed its side; everything it sent before has been handed over. Commands
    /// that came whole are still carried out, QUIT too (PRJ-QUIT-7); the end itself is never an
    /// update (R1939-TIMER-4).
    pub fn handle_end_of_input(&mut self, now: Duration) {
        self.active = now;
        self.end_of_input = true;
    }

    /// The deadline of [`Output::Wait`] has passed: the session ends without a word and without
    /// an update (R1939-TIMER-3, R1939-TIMER-4). Before the deadline nothing happens.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            let reason = match self.state {
                State::Transaction(_) => CloseReason::IdleTimeout,
                _ => CloseReason::LoginTimeout,
            };
            self.state.close(reason);
        }
    }

    /// Lets the running command finish, then ends the session without an update (PRJ-SEC-6).
    /// A QUIT that was received is carried out.
    pub fn shut_down(&mut self, now: Duration) {
        self.active = now;
        self.shutting_down = true;
    }

    /// Appends what is to be sent to `out`, about `Limits::output_octets_max` at most, and says
    /// what to do next.
    pub fn poll_output(&mut self, now: Duration, out: &mut Vec<u8>) -> Output {
        self.poll_output_telling(now, out, |_| {})
    }

    /// As [`Session::poll_output`], and tells `answered` of each command whose answer is complete:
    /// what has not been sent of it before is in `out`. A command whose answer breaks off is not
    /// told of.
    pub fn poll_output_telling(
        &mut self,
        now: Duration,
        out: &mut Vec<u8>,
        mut answered: impl FnMut(Answered),
    ) -> Output {
        let full = out
            .len()
            .saturating_add(self.settings.limits.output_octets_max.max(1));
        loop {
            self.outbox.flush(out);
            if let Some(action) = self.outbox.take_action() {
                // STLS has been answered, and this machine does nothing more.
                if matches!(action, Action::StartTls) {
                    self.running.take().into_iter().for_each(answered);
                }
                return Output::Action(action);
            }
            if let Some(command) = self.take_answered() {
                answered(command);
            }
            if let State::Closed(reason) = self.state {
                self.lines.clear();
                return Output::Close(reason);
            }
            if out.len() >= full {
                return Output::Flush;
            }
            if self.login_is_overdue(now) {
                self.state.close(CloseReason::LoginTimeout);
                continue;
            }
            if !self.advance(now, out, full) {
                self.outbox.release();
                let deadline = self.deadline();
                return Output::Wait { deadline };
            }
        }
    }

    /// Answers [`Action::Login`] and [`Action::SaslResponse`]: the mechanism goes on with this
    /// challenge, already in base64; empty for an empty one.
    pub fn sasl_challenge(&mut self, now: Duration, base64: &[u8]) {
        self.active = now;
        let State::Authorization(authorization) = &mut self.state else {
            return;
        };
        let rules = Rules {
            settings: &self.settings,
            security: &self.security,
        };
        let verdict = authorization.sasl_challenge(base64, &rules, &mut self.outbox);
        self.obey_answer(verdict);
    }

    /// Answers [`Action::Login`] and [`Action::SaslResponse`]: the client is who it says.
    /// [`Action::Open`] follows.
    pub fn authenticated(&mut self, now: Duration) {
        self.active = now;
        let State::Authorization(authorization) = &mut self.state else {
            return;
        };
        if !authorization.authenticate() {
            return;
        }
        if self.shutting_down {
            self.end(Response::coded(ResponseCode::SysTemp, Text::ShuttingDown));
        } else {
            self.outbox.act(Action::Open);
        }
    }

    /// Answers [`Action::Login`] and [`Action::SaslResponse`]: no. To be called at a time that
    /// tells nothing about why (PRJ-PASS-7).
    pub fn login_refused(&mut self, now: Duration, why: LoginRefusal) {
        self.active = now;
        let State::Authorization(authorization) = &mut self.state else {
            return;
        };
        let rules = Rules {
            settings: &self.settings,
            security: &self.security,
        };
        let verdict = authorization.refuse_login(why, &rules, &mut self.outbox);
        self.obey_answer(verdict);
    }

    /// Answers [`Action::Open`]: the maildrop is open and ours alone (R1939-LOCK-1).
    pub fn opened(&mut self, now: Duration, opened: Opened) {
        self.active = now;
        let limits = &self.settings.limits;
        let open = |mode| Transaction::new(opened, mode, limits);
        if self.state.open(open).is_none() {
            return;
        }
        if self.shutting_down {
            self.end(Response::coded(ResponseCode::SysTemp, Text::ShuttingDown));
        } else {
            self.bad_commands = 0;
            self.outbox.say(Response::ok(Text::LoggedIn));
        }
    }

    /// Answers [`Action::Open`]: no.
    pub fn open_refused(&mut self, now: Duration, why: OpenRefusal) {
        self.active = now;
        if let State::Authorization(authorization) = &mut self.state {
            authorization.refuse_open(why, &mut self.outbox);
        }
    }

    /// Answers [`Action::Measure`]: the sizes are known. One that still is not counts as failure.
    pub fn measured(&mut self, now: Duration) {
        self.active = now;
        if let State::Transaction(transaction) = &mut self.state {
            transaction.measured();
        }
    }

    /// Answers [`Action::Measure`]: the store does not answer.
    pub fn measure_failed(&mut self, now: Duration) {
        self.active = now;
        if let State::Transaction(transaction) = &mut self.state
            && let TransactionStep::Measuring(listing) = &transaction.step
        {
            let begun = listing.begun();
            transaction.measuring_failed();
            self.listing_failed(begun);
        }
    }

    /// Answers [`Action::Retrieve`]: appends the status line to `out` and gives the encoder for
    /// the body. `octets` is what RETR will send of the whole message. Then comes
    /// [`Session::message_sent`] or [`Session::message_broken`].
    ///
    /// Where no message is awaited any more, `out` stays as it is and the encoder's `finish`
    /// always fails.
    pub fn message_opened(
        &mut self,
        now: Duration,
        form: Form,
        octets: Octets,
        out: &mut Vec<u8>,
    ) -> MultiLineEncoder {
        self.active = now;
        self.outbox.flush(out);
        let encoder = match &mut self.state {
            State::Transaction(transaction) => {
                transaction.message_opened(form, octets, &self.outbox, out)
            }
            _ => None,
        };
        encoder.unwrap_or_else(MultiLineEncoder::refusing)
    }

    /// Answers [`Action::Retrieve`] with a surrogate instead of [`Session::message_opened`]
    /// (RFC 6858). `octets` is what RETR will send of it; what LIST has said or will say is the
    /// size of the stored message, as RFC 6858 §4 allows (R6856-SIZE-7).
    pub fn surrogate_opened(
        &mut self,
        now: Duration,
        octets: Octets,
        out: &mut Vec<u8>,
    ) -> MultiLineEncoder {
        self.active = now;
        self.outbox.flush(out);
        let encoder = match &mut self.state {
            State::Transaction(transaction) => {
                transaction.surrogate_opened(octets, &self.outbox, out)
            }
            _ => None,
        };
        encoder.unwrap_or_else(MultiLineEncoder::refusing)
    }

    /// Answers [`Action::Retrieve`]: one line of `-ERR`; every number stays (PRJ-LOCK-6).
    pub fn message_refused(&mut self, now: Duration, why: MessageRefusal) {
        self.active = now;
        let State::Transaction(transaction) = &mut self.state else {
            return;
        };
        if !matches!(transaction.step, TransactionStep::Retrieving { .. }) {
            return;
        }
        transaction.step = TransactionStep::Command;
        self.outbox.say(match why {
            MessageRefusal::Gone => Response::err(Text::MessageGone),
            MessageRefusal::Changed => Response::coded(ResponseCode::SysTemp, Text::MessageChanged),
            MessageRefusal::Temporary => Response::coded(ResponseCode::SysTemp, Text::Temporary),
        });
    }

    /// The message has been sent to its end: `MultiLineEncoder::finish` succeeded, and its octets
    /// are written or will be before anything else. Only now a message counts as retrieved
    /// (R1939-POLICY-2). A driver that finds out later that they never were hands no retrieved
    /// messages on.
    pub fn message_sent(&mut self, now: Duration) {
        self.active = now;
        let State::Transaction(transaction) = &mut self.state else {
            return;
        };
        let TransactionStep::Sending {
            number,
            part,
            octets,
        } = transaction.step
        else {
            return;
        };
        transaction.step = TransactionStep::Command;
        match part {
            Part::Whole => {
                transaction.retrieved.insert(number);
                self.statistics.retrieved += 1;
                self.statistics.retrieved_octets =
                    self.statistics.retrieved_octets.saturating_add(octets.0);
            }
            Part::Top { .. } => self.statistics.top += 1,
        }
    }

    /// Reading the message failed after its status line, or its size was another one: the
    /// connection closes, without termination line and without a word (PRJ-ML-8).
    pub fn message_broken(&mut self, now: Duration) {
        self.active = now;
        if let State::Transaction(transaction) = &self.state
            && matches!(transaction.step, TransactionStep::Sending { .. })
        {
            self.running = None;
            self.state.close(CloseReason::MessageBroken);
        }
    }

    /// Octets went out to the peer: it is alive (PRJ-TIMER-5).
    pub const fn progress(&mut self, now: Duration) {
        self.active = now;
    }

    /// Answers [`Action::Update`]: everything that was marked is gone, durably (PRJ-QUIT-6).
    pub fn updated(&mut self, now: Duration) {
        self.active = now;
        if let State::Update { deleted } = self.state {
            self.statistics.deleted = deleted;
            self.outbox.say(Response::ok(Text::Goodbye));
            self.state.close(CloseReason::Quit);
        }
    }

    /// Answers [`Action::Update`]: some or all of it is still there (R1939-QUIT-3).
    pub fn update_failed(&mut self, now: Duration) {
        self.active = now;
        if let State::Update { .. } = self.state {
            self.outbox
                .say(Response::coded(ResponseCode::SysTemp, Text::NotRemoved));
            self.state.close(CloseReason::QuitFailed);
        }
    }

    /// The maildrop is not ours any more: the session ends without an update, with `-ERR` unless
    /// the client is in the middle of an answer. An update that is under way goes on.
    pub fn lease_lost(&mut self, now: Duration) {
        self.active = now;
        if let State::Transaction(transaction) = &self.state {
            if transaction.is_answering() {
                self.running = None;
            } else {
                self.outbox
                    .say(Response::coded(ResponseCode::SysTemp, Text::LeaseLost));
            }
            self.state.close(CloseReason::LeaseLost);
        }
    }

    /// What the session was logged in with is not what it was: the session ends without an
    /// update, with `-ERR` unless the client is in the middle of an answer.
    ///
    /// It also answers [`Action::Update`], if the driver finds it out then: nothing was removed.
    pub fn credential_lost(&mut self, now: Duration) {
        self.active = now;
        let (ends, says) = match &self.state {
            State::Transaction(transaction) => (true, !transaction.is_answering()),
            State::Update { .. } => (true, true),
            _ => (false, false),
        };
        if says {
            self.outbox.say(Response::err(Text::CredentialLost));
        } else {
            self.running = None;
        }
        if ends {
            self.state.close(CloseReason::CredentialLost);
        }
    }

    /// What the session has done so far.
    #[must_use]
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The command that has just been answered whole.
    fn take_answered(&mut self) -> Option<Answered> {
        let goes_on = self.state.awaits_answer() || self.is_listing();
        self.running.take_if(|_| !goes_on)
    }

    const fn in_exchange(&self) -> bool {
        matches!(
            self.state,
            State::Authorization(Authorization {
                step: AuthorizationStep::Exchange { .. },
                ..
            })
        )
    }

    /// Whether the client had all the time there is for logging in. It is asked before each line,
    /// because a client that never stops sending never lets the driver wait for a deadline.
    fn login_is_overdue(&self, now: Duration) -> bool {
        let limit = self.settings.limits.authorization_duration_max;
        matches!(self.state, State::Authorization(_))
            && !self.state.awaits_answer()
            && now >= self.began.saturating_add(limit)
    }

    /// When the client will have been silent for too long; `None` while it is our turn.
    fn deadline(&self) -> Option<Duration> {
        if self.state.awaits_answer() {
            return None;
        }
        let settings = &self.settings;
        match self.state {
            State::Authorization(_) => {
                let silent = self.active.saturating_add(settings.login_timeout);
                let limit = settings.limits.authorization_duration_max;
                Some(silent.min(self.began.saturating_add(limit)))
            }
            State::Transaction(_) => Some(self.active.saturating_add(settings.idle_timeout())),
            State::Update { .. } | State::Closed(_) => None,
        }
    }

    /// Ends the session because the server stops, with a last line.
    fn end(&mut self, response: Response) {
        self.outbox.say(response);
        self.state.close(CloseReason::ShutDown);
    }

    /// A size could not be learned, in the middle of a listing (`begun`) or before it.
    fn listing_failed(&mut self, begun: bool) {
        if begun {
            self.running = None;
            self.state.close(CloseReason::MessageBroken);
        } else {
            self.outbox
                .say(Response::coded(ResponseCode::SysTemp, Text::Temporary));
        }
    }

    fn obey_answer(&mut self, verdict: Option<Verdict>) {
        if let Some(verdict) = verdict {
            self.obey(verdict);
        }
    }
}

/// The line for a connection that gets no session, CRLF included (PRJ-STATE-3, PRJ-SEC-5,
/// PRJ-SEC-6). Send it instead of a greeting, then close.
#[must_use]
pub fn refusal(why: Refusal) -> Vec<u8> {
    let response = match why {
        Refusal::TooManyConnections => {
            Response::coded(ResponseCode::SysTemp, Text::TooManyConnections)
        }
        Refusal::ShuttingDown => Response::coded(ResponseCode::SysTemp, Text::ShuttingDown),
        Refusal::Unavailable => Response::coded(ResponseCode::SysPerm, Text::Unavailable),
    };
    let mut line = Vec::new();
    response.write(Language::Default, &mut line);
    line
}

#[cfg(test)]
mod tests;
