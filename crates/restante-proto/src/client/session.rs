//! The machine: requests and octets in, octets and events out.

mod reading;

use alloc::{collections::VecDeque, string::String, sync::Arc, vec::Vec};
use core::time::Duration;

use secrecy::{ExposeSecret as _, SecretSlice};

use self::reading::Reading;
use super::{
    Capabilities, Cleartext, Output, RequestError, SessionError, Settings,
    buffer::InputBuffer,
    request::{Body, Request, initial_response_fits},
    window::Window,
};
use crate::{Command, Keyword, MessageNumber, Octets};

/// One POP3 session from greeting to close, the client's side, without I/O.
///
/// The story in order: make one when a connection is ready, in the clear or under TLS. Queue
/// commands with [`Session::request`], hand over what was received with [`Session::handle_input`],
/// and **after each call, call [`Session::poll_output`] until it says [`Output::Wait`]**, writing
/// what it appends. [`Output::Close`] and an error are the end.
///
/// Every command is answered by exactly one [`Event::Answered`](super::Event::Answered), in the
/// order in which they were queued. They are pipelined as far as the server allows it and
/// [`Limits`](super::Limits) say (R2449-PIPE-3); otherwise each waits for the answer to the one
/// before. Back-pressure is the driver's: while it does not read, nothing comes.
///
/// Nothing is deleted unless DELE and QUIT were requested: dropping a session says nothing to the
/// server. Any cutting of the input gives the same events, pieces of messages apart; the work is
/// linear and the memory bounded.
///
/// `now` is the time since any fixed moment, the same for all calls; it never goes back.
pub struct Session {
    settings: Arc<Settings>,
    tls: bool,
    state: State,
    input: InputBuffer,
    reading: Reading,
    queue: VecDeque<Request>,
    in_flight: VecDeque<InFlight>,
    window: Window,
    exchange: Option<Exchange>,
    /// What the caller says inside an exchange, with CRLF.
    response: Option<SecretSlice<u8>>,
    capabilities: Option<Capabilities>,
    /// From the greeting; APOP is on offer with it alone.
    timestamp: Option<String>,
    end_of_input: bool,
    failed: Option<SessionError>,
    /// When the server was last heard of, or first had something to answer.
    active: Duration,
    /// Something has come since `active`.
    progress: bool,
}

/// How far the session is (RFC 1939 §3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Greeting,
    Authorization(Authorization),
    /// STLS was accepted: not an octet more in the clear.
    StartingTls,
    Transaction,
    /// QUIT was queued.
    Quitting,
    Closed,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Authorization {
    /// The last command was an accepted USER (R1939-PASS-3).
    user_accepted: bool,
    /// UTF8 was accepted (R6856-UTF8-4).
    utf8: bool,
}

/// A command that was sent and is not answered.
struct InFlight {
    keyword: Keyword,
    number: Option<MessageNumber>,
    body: Body,
    /// What of its answer has not come.
    expected: u64,
    line_octets: usize,
}

impl InFlight {
    /// The exchange that begins when this is the oldest command without an answer.
    fn exchange(&self) -> Option<Exchange> {
        let begins = self.keyword == Keyword::Auth && self.body == Body::None;
        begins.then(Exchange::default)
    }
}

/// Where an exchange inside AUTH is.
#[derive(Clone, Copy, Debug, Default)]
struct Exchange {
    rounds: u32,
    /// A challenge is unanswered.
    ours: bool,
    cancelled: bool,
}

impl Session {
    /// A session on a connection in the clear; the server speaks first.
    #[must_use]
    pub fn new(settings: Arc<Settings>, now: Duration) -> Self {
        Self::in_state(settings, State::Greeting, false, now)
    }

    /// A session on a connection whose TLS handshake has succeeded (R8314-TLS-1).
    #[must_use]
    pub fn under_tls(settings: Arc<Settings>, now: Duration) -> Self {
        Self::in_state(settings, State::Greeting, true, now)
    }

    /// The session that goes on under TLS after STLS: a fresh one, without greeting. Nothing that
    /// was said in the clear comes along, neither octets (PRJ-INJ-3) nor capabilities
    /// (R2595-STLS-5) nor the greeting's timestamp.
    #[must_use]
    pub fn after_tls(settings: Arc<Settings>, now: Duration) -> Self {
        let state = State::Authorization(Authorization::default());
        Self::in_state(settings, state, true, now)
    }

    fn in_state(settings: Arc<Settings>, state: State, tls: bool, now: Duration) -> Self {
        Self {
            settings,
            tls,
            state,
            input: InputBuffer::default(),
            reading: Reading::Status,
            queue: VecDeque::new(),
            in_flight: VecDeque::new(),
            window: Window::default(),
            exchange: None,
            response: None,
            capabilities: None,
            timestamp: None,
            end_of_input: false,
            failed: None,
            active: now,
            progress: false,
        }
    }

    /// What the server said it can do, if it was asked on this side of TLS. A server that answers
    /// CAPA with `-ERR` has said that it knows no extensions (R2449-CAPA-4).
    #[must_use]
    pub const fn capabilities(&self) -> Option<&Capabilities> {
        self.capabilities.as_ref()
    }

    /// The timestamp of the greeting, if APOP is on offer: a valid msg-id or nothing (PRJ-APOP-7).
    #[must_use]
    pub fn apop_timestamp(&self) -> Option<&str> {
        self.timestamp.as_deref()
    }

    /// Whether `AUTH mechanism` may carry an initial response of so many octets in base64
    /// (R5034-IR-4): SASL was announced and the line is short enough.
    #[must_use]
    pub fn takes_initial_response(&self, mechanism: &str, base64_octets: usize) -> bool {
        let sasl = self
            .capabilities
            .as_ref()
            .is_some_and(|capabilities| capabilities.sasl.is_some());
        sasl && initial_response_fits(mechanism, base64_octets)
    }

    /// How many more commands can be queued.
    #[must_use]
    pub fn request_room(&self) -> usize {
        let queued = self.queue.len();
        self.settings.limits.requests_max.saturating_sub(queued)
    }

    /// Queues a command.
    ///
    /// # Errors
    /// [`RequestError`]: nothing was queued, and the session goes on.
    pub fn request(&mut self, command: &Command) -> Result<(), RequestError> {
        self.queue_request(command, None)
    }

    /// Queues RETR of a message whose size was listed: what may be on its way at once is
    /// reckoned by it. A size that turns out wrong does no harm.
    ///
    /// # Errors
    /// [`RequestError`]: nothing was queued, and the session goes on.
    pub fn retrieve(
        &mut self,
        number: MessageNumber,
        announced: Octets,
    ) -> Result<(), RequestError> {
        self.queue_request(&Command::Retr(number), Some(announced))
    }

    fn queue_request(
        &mut self,
        command: &Command,
        announced: Option<Octets>,
    ) -> Result<(), RequestError> {
        self.check(command)?;
        if self.request_room() == 0 {
            return Err(RequestError::TooMany);
        }
        let none = Capabilities::default();
        let known = self.capabilities.as_ref().unwrap_or(&none);
        let request = Request::new(command, announced, known)?;
        if request.keyword == Keyword::Quit {
            self.state = State::Quitting;
        }
        self.queue.push_back(request);
        Ok(())
    }

    /// Whether `command` makes sense now, and may be seen by whoever is on the line.
    fn check(&self, command: &Command) -> Result<(), RequestError> {
        let keyword = command.keyword();
        let authorization = match self.state {
            State::Authorization(authorization) => Some(authorization),
            State::Transaction => None,
            _ => return Err(RequestError::WrongState(keyword)),
        };
        if self.failed.is_some() {
            return Err(RequestError::WrongState(keyword));
        }
        let either = matches!(keyword, Keyword::Capa | Keyword::Lang | Keyword::Quit);
        let before_login = matches!(
            keyword,
            Keyword::Apop
                | Keyword::Auth
                | Keyword::Pass
                | Keyword::Stls
                | Keyword::User
                | Keyword::Utf8
        );
        if !either && before_login != authorization.is_some() {
            return Err(RequestError::WrongState(keyword));
        }
        let shown = match (self.tls, self.settings.cleartext) {
            (true, _) | (false, Cleartext::Everything) => false,
            (false, Cleartext::NoPasswords) => shows_password(command),
            // R8314-CONF-2.
            (false, Cleartext::Nothing) => {
                !matches!(keyword, Keyword::Capa | Keyword::Stls | Keyword::Quit)
            }
        };
        if shown {
            return Err(RequestError::Cleartext(keyword));
        }
        match (command, authorization) {
            (Command::Stls, Some(authorization)) => self.check_stls(authorization),
            (Command::Pass(_), Some(Authorization { user_accepted, .. })) if !user_accepted => {
                Err(RequestError::WrongState(keyword))
            }
            (Command::Apop { .. }, _) if self.timestamp.is_none() => {
                Err(RequestError::NotOffered(keyword))
            }
            (Command::Auth(auth), _) => match &auth.initial_response {
                Some(response) => {
                    let octets = response.expose_secret().len();
                    let fits = self.takes_initial_response(&auth.mechanism, octets);
                    fits.then_some(()).ok_or(RequestError::InitialResponse)
                }
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn check_stls(&self, authorization: Authorization) -> Result<(), RequestError> {
        if self.tls || authorization.utf8 {
            return Err(RequestError::TooLateForTls);
        }
        let offered = self.capabilities.as_ref().is_some_and(|known| known.stls);
        offered
            .then_some(())
            .ok_or(RequestError::NotOffered(Keyword::Stls))
    }

    /// Answers [`Event::Challenge`](super::Event::Challenge) with a line of base64; empty for an
    /// empty response (R5034-RESP-1).
    ///
    /// # Errors
    /// [`RequestError`] if no challenge is unanswered, or if this is not one line.
    pub fn sasl_response(&mut self, base64: &[u8]) -> Result<(), RequestError> {
        let legal = |octet: &u8| octet.is_ascii_alphanumeric() || b"+/=".contains(octet);
        if !base64.iter().all(legal) {
            return Err(RequestError::Response);
        }
        self.respond(base64)?;
        Ok(())
    }

    /// Answers [`Event::Challenge`](super::Event::Challenge) with `*`: the server answers `-ERR`
    /// (R5034-CANCEL-1).
    ///
    /// # Errors
    /// [`RequestError`] if no challenge is unanswered.
    pub fn sasl_cancel(&mut self) -> Result<(), RequestError> {
        self.respond(b"*")?.cancelled = true;
        Ok(())
    }

    fn respond(&mut self, line: &[u8]) -> Result<&mut Exchange, RequestError> {
        let exchange = self.exchange.as_mut().filter(|exchange| exchange.ours);
        let exchange = exchange.ok_or(RequestError::WrongState(Keyword::Auth))?;
        exchange.ours = false;
        self.response = Some(SecretSlice::from([line, b"\r\n"].concat()));
        Ok(exchange)
    }

    /// Takes octets from the server, as many as there is room for, and returns how many that was.
    pub fn handle_input(&mut self, _now: Duration, input: &[u8]) -> usize {
        if self.state == State::StartingTls && !input.is_empty() {
            self.failed = Some(SessionError::PlaintextAfterStls);
        }
        if self.failed.is_some() || self.state == State::Closed {
            return input.len();
        }
        let (taken, _) = input.split_at(input.len().min(self.input_room()));
        self.input.push(taken);
        taken.len()
    }

    /// How many octets [`Session::handle_input`] takes right now. Never 0 after
    /// [`Output::Wait`].
    #[must_use]
    pub fn input_room(&self) -> usize {
        let limits = &self.settings.limits;
        let longest = limits
            .status_octets_max
            .max(limits.challenge_octets_max)
            .max(limits.listing_line_octets_max);
        let held_max = limits.input_octets_max.max(longest.saturating_add(1));
        held_max.saturating_sub(self.input.len())
    }

    /// The server has closed its side; everything it sent before has been handed over.
    pub const fn handle_end_of_input(&mut self) {
        self.end_of_input = true;
    }

    /// The deadline of [`Output::Wait`] has passed. Before it nothing happens.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        let limits = &self.settings.limits;
        self.failed.get_or_insert(match self.in_flight.front() {
            None => SessionError::NoGreeting {
                after: limits.greeting_duration_max,
            },
            Some(front) => SessionError::Silence {
                keyword: front.keyword,
                after: limits.silence_duration_max,
            },
        });
    }

    /// Appends what is to be sent to `out`, and says what to do next. What was appended may hold
    /// a password: wipe it when it is written.
    ///
    /// # Errors
    /// [`SessionError`]: the session is over; close the connection. It stays the answer.
    pub fn poll_output(
        &mut self,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Result<Output, SessionError> {
        // What the caller did with the last event is no silence of the server.
        self.note_progress(now);
        let polled = match &self.failed {
            Some(error) => Err(error.clone()),
            None => self.advance(now, out),
        };
        if let Err(error) = &polled {
            self.failed.get_or_insert_with(|| error.clone());
            self.queue.clear();
        }
        polled
    }

    fn advance(&mut self, now: Duration, out: &mut Vec<u8>) -> Result<Output, SessionError> {
        if self.state == State::Closed {
            return Ok(Output::Close);
        }
        // Before what comes next is read: it may want another one.
        if let Some(response) = self.response.take() {
            out.extend_from_slice(response.expose_secret());
            self.active = now;
        }
        if let Some(event) = self.read()? {
            self.progress = true;
            return Ok(Output::Event(event));
        }
        self.note_progress(now);
        match self.state {
            State::StartingTls => return Ok(Output::StartTls),
            State::Closed => return Ok(Output::Close),
            _ => {}
        }
        if self.end_of_input {
            return Err(self.end_error());
        }
        self.send(now, out)?;
        let deadline = self.deadline();
        Ok(Output::Wait { deadline })
    }

    const fn note_progress(&mut self, now: Duration) {
        if self.progress {
            self.active = now;
            self.progress = false;
        }
    }

    fn end_error(&self) -> SessionError {
        match (&self.reading, self.in_flight.front()) {
            (Reading::Message(decoder), Some(InFlight { number, .. })) => {
                SessionError::MessageTruncated {
                    number: number.unwrap_or(MessageNumber::FIRST),
                    octets: decoder.octets(),
                }
            }
            (_, Some(InFlight { keyword, .. })) => SessionError::EndOfAnswer { keyword: *keyword },
            (_, None) => SessionError::EndOfInput,
        }
    }

    /// Sends what may be sent.
    fn send(&mut self, now: Duration, out: &mut Vec<u8>) -> Result<(), SessionError> {
        if self.state == State::Greeting {
            return Ok(());
        }
        while self.may_send() {
            let Some(request) = self.queue.pop_front() else {
                break;
            };
            if self.in_flight.is_empty() {
                // PRJ-INJ-4: what is there now answers nothing that was asked.
                if !self.input.is_empty() {
                    return Err(SessionError::Unsolicited {
                        line: super::ServerText::new(self.input.held()),
                    });
                }
                self.active = now;
                self.window.empty();
            }
            request.write(out);
            let line_octets = request.line_octets();
            self.window.sent(request.expected, line_octets);
            let sent = InFlight {
                keyword: request.keyword,
                number: request.number,
                body: request.body,
                expected: request.expected,
                line_octets,
            };
            if self.in_flight.is_empty() {
                self.exchange = sent.exchange();
            }
            self.in_flight.push_back(sent);
        }
        Ok(())
    }

    /// Whether the next command may go out now (R2449-PIPE-3, PRJ-PIPE-5).
    fn may_send(&mut self) -> bool {
        let Some(next) = self.queue.front() else {
            return false;
        };
        let Some(last) = self.in_flight.back() else {
            return true;
        };
        let pipelining = self.capabilities.as_ref().is_some_and(|it| it.pipelining);
        pipelining
            && may_follow(last.keyword, next.keyword)
            && self.window.admits(next, &self.settings.limits)
    }

    /// When the server is given up, if something is due from it.
    fn deadline(&self) -> Option<Duration> {
        let limits = &self.settings.limits;
        let ours = self.exchange.is_some_and(|exchange| exchange.ours);
        if self.state == State::Greeting {
            Some(self.active.saturating_add(limits.greeting_duration_max))
        } else if self.in_flight.is_empty() || ours {
            None
        } else {
            Some(self.active.saturating_add(limits.silence_duration_max))
        }
    }
}

/// Whether `next` may go out before `last` is answered.
const fn may_follow(last: Keyword, next: Keyword) -> bool {
    match (last, next) {
        // Whatever the answer to UTF8, AUTH is the same.
        (Keyword::Utf8, Keyword::Auth) => true,
        (_, Keyword::Quit) => !is_barrier(last),
        _ => !is_barrier(last) && !is_barrier(next),
    }
}

/// PRJ-PIPE-5. USER, too: a server that refuses the name has no use for the password.
const fn is_barrier(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::Apop
            | Keyword::Auth
            | Keyword::Lang
            | Keyword::Pass
            | Keyword::Quit
            | Keyword::Stls
            | Keyword::User
            | Keyword::Utf8
    )
}

/// Whether whoever reads `command` on the line knows the password or can use it. Mechanisms that
/// are not known here count as such.
fn shows_password(command: &Command) -> bool {
    match command {
        Command::Pass(_) | Command::User(_) => true,
        Command::Auth(auth) => {
            let hidden = ["SCRAM-", "CRAM-MD5", "EXTERNAL"];
            !hidden.iter().any(|name| auth.mechanism.starts_with(name))
        }
        _ => false,
    }
}
