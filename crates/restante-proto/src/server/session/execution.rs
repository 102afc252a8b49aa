//! Taking lines and carrying out commands.

use alloc::vec::Vec;
use core::{mem, time::Duration};

use super::{
    super::{
        Action, Answered, CloseReason,
        authorization::{Rules, Verdict},
        listings::{Sink, Written},
        state::{State, TransactionStep},
    },
    Session,
};
use crate::{
    Command, CommandError, Keyword, Language, LanguageRange, Mode, ResponseCode, StatusIndicator,
    capability::Capabilities,
    language::Text,
    line::LineError,
    multiline::TERMINATION_LINE,
    response::{Response, ResponseLine},
};

impl Session {
    /// Does the next thing that can be done without the driver; `false` if there is none.
    pub(super) fn advance(&mut self, now: Duration, out: &mut Vec<u8>, full: usize) -> bool {
        if self.state.awaits_answer() {
            return false;
        }
        if self.is_listing() {
            self.write_listing(out, full);
            return true;
        }
        if self.shutting_down {
            self.end(Response::coded(ResponseCode::SysTemp, Text::ShuttingDown));
            return true;
        }
        let took_line = if self.in_exchange() {
            self.take_exchange_line(now)
        } else {
            self.take_command(now)
        };
        if !took_line && self.end_of_input && !self.more_input {
            self.state.close(CloseReason::EndOfInput);
            return true;
        }
        took_line
    }

    pub(super) fn obey(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::GoOn => self.bad_commands = 0,
            Verdict::Undecided => {}
            Verdict::Bad(text) => self.bad_command(text),
            Verdict::Close(reason) => self.state.close(reason),
        }
    }

    fn take_exchange_line(&mut self, now: Duration) -> bool {
        let State::Authorization(authorization) = &mut self.state else {
            return false;
        };
        let limit = self.settings.limits.sasl_line_octets_max();
        let verdict = if let Some(line) = self.lines.next_line(|_| limit) {
            authorization.exchange_line(&line, &mut self.outbox)
        } else if self.lines.exceeds(limit) {
            // A line that cannot become short enough ends the exchange at once.
            authorization.exchange_too_long(&mut self.outbox)
        } else {
            return false;
        };
        self.begin(now, Some(Keyword::Auth));
        self.obey(verdict);
        true
    }

    fn take_command(&mut self, now: Duration) -> bool {
        let limits = &self.settings.limits;
        let limit = |line: &[u8]| {
            if is_auth(line) {
                limits.auth_octets_max
            } else {
                limits.command_octets_max
            }
        };
        let command = match self.lines.next_line(limit) {
            None => return false,
            Some(Ok(line)) => {
                Command::parse(&line).map_err(|error| (text_of(error), error.keyword()))
            }
            Some(Err(LineError::TooLong)) => Err((Text::LineTooLong, None)),
            Some(Err(LineError::ControlOctet)) => Err((Text::ControlOctet, None)),
        };
        let keyword = match &command {
            Ok(command) => Some(command.keyword()),
            Err((_, keyword)) => *keyword,
        };
        self.begin(now, keyword);
        self.statistics.commands = self.statistics.commands.saturating_add(1);
        self.execute(keyword, command.map_err(|(text, _)| text));
        true
    }

    /// A line has been taken.
    const fn begin(&mut self, now: Duration, keyword: Option<Keyword>) {
        self.active = now;
        self.running = Some(Answered {
            keyword,
            taken: now,
        });
    }

    fn execute(&mut self, keyword: Option<Keyword>, command: Result<Command, Text>) {
        let allowed = keyword.is_none_or(|keyword| self.state.allows(keyword));
        let command = match command {
            // R1939-ERR-2.
            _ if !allowed => Err(Text::WrongState),
            // R1939-ERR-1, PRJ-ERR-5.
            command => command,
        };
        // PRJ-PASS-4, R1939-PASS-1: PASS comes directly after USER or not at all.
        if let State::Authorization(authorization) = &mut self.state
            && !matches!(command, Ok(Command::Capa | Command::Pass(_)))
        {
            authorization.name = None;
        }
        let verdict = match command {
            Ok(command) => self.carry_out(command),
            Err(text) => Verdict::Bad(text),
        };
        self.obey(verdict);
    }

    fn carry_out(&mut self, command: Command) -> Verdict {
        match command {
            Command::AuthList => self.list_mechanisms(),
            Command::Capa => self.list_capabilities(),
            Command::Lang(None) => self.list_languages(),
            Command::Lang(Some(range)) => self.select_language(&range),
            Command::Quit => self.quit(),
            Command::Stls => return self.start_tls(),
            command => {
                let rules = Rules {
                    settings: &self.settings,
                    security: &self.security,
                };
                return match &mut self.state {
                    State::Authorization(authorization) => {
                        authorization.execute(command, &rules, &mut self.outbox)
                    }
                    State::Transaction(transaction) => {
                        transaction.execute(command, &mut self.outbox);
                        Verdict::GoOn
                    }
                    State::Update { .. } | State::Closed(_) => Verdict::GoOn,
                };
            }
        }
        Verdict::GoOn
    }

    /// PRJ-ERR-8.
    fn bad_command(&mut self, text: Text) {
        self.statistics.bad_commands = self.statistics.bad_commands.saturating_add(1);
        self.bad_commands = self.bad_commands.saturating_add(1);
        if self.bad_commands < self.settings.limits.bad_commands_max {
            self.outbox.say(Response::err(text));
        } else {
            self.outbox.say(Response::err(Text::TooManyBadCommands));
            self.state.close(CloseReason::TooManyBadCommands);
        }
    }

    /// Update comes before the answer (R1939-QUIT-2); without a maildrop there is none
    /// (R1939-QUIT-1).
    fn quit(&mut self) {
        self.lines.clear();
        match self.state.quit() {
            // Also when nothing is marked: the store is to release its lock in good order.
            Some(marks) => self.outbox.act(Action::Update {
                deleted: marks.deleted,
                retrieved: marks.retrieved,
            }),
            None => self.outbox.say(Response::ok(Text::Goodbye)),
        }
    }

    fn start_tls(&mut self) -> Verdict {
        let State::Authorization(authorization) = &mut self.state else {
            return Verdict::Bad(Text::WrongState);
        };
        let offered = offers_tls(&self.security, authorization.mode);
        if !offered {
            self.outbox.say(Response::err(Text::TlsUnavailable));
            return Verdict::GoOn;
        }
        // PRJ-INJ-1: whoever sends on before the handshake may have been tampered with.
        if !self.lines.is_empty() || self.more_input {
            self.outbox.say(Response::err(Text::PlaintextAfterStls));
            return Verdict::Close(CloseReason::PlaintextAfterStls);
        }
        authorization.start_tls();
        self.outbox.say(Response::ok(Text::BeginTls));
        self.outbox.act(Action::StartTls);
        Verdict::GoOn
    }

    fn list_capabilities(&mut self) {
        let (settings, security) = (&*self.settings, &self.security);
        let mut capabilities = Capabilities {
            utf8: settings.utf8,
            expire: settings.expire.map(|it| (it.smallest, it.varies)),
            login_delay: settings.login_delay.map(|it| (it.largest, it.varies)),
            // R2449-CAPA-3, R5034-SASL-2: these stay after login.
            user: settings.user && security.cleartext_login,
            stls: false,
            mechanisms: security.usable_mechanisms().collect(),
            implementation: None,
        };
        match &self.state {
            State::Authorization(authorization) => {
                capabilities.stls = offers_tls(security, authorization.mode);
            }
            State::Transaction(transaction) => {
                // R2449-EXPIRE-3, R2449-DELAY-2: the user's own value, without ` USER`.
                let expire = settings.expire.map(|it| it.smallest);
                capabilities.expire = transaction.expire.or(expire).map(|it| (it, false));
                let delay = settings.login_delay.map(|it| it.largest);
                capabilities.login_delay = transaction.login_delay.or(delay).map(|it| (it, false));
                capabilities.implementation = settings.implementation.as_deref();
            }
            State::Update { .. } | State::Closed(_) => {}
        }
        self.outbox.say(Response::ok(Text::Capabilities));
        capabilities.write(self.outbox.octets());
        self.outbox.octets().extend_from_slice(TERMINATION_LINE);
    }

    /// R1734-AUTH-5.
    fn list_mechanisms(&mut self) {
        self.outbox.say(Response::ok(Text::Mechanisms));
        let out = self.outbox.octets();
        for name in self.security.usable_mechanisms() {
            ResponseLine::data(out).tag(name.as_bytes()).end();
        }
        out.extend_from_slice(TERMINATION_LINE);
    }

    /// R6856-LANG-1.
    fn list_languages(&mut self) {
        self.outbox.say(Response::ok(Text::Languages));
        let out = self.outbox.octets();
        for language in Language::ALL {
            ResponseLine::data(out)
                .tag(language.tag().as_bytes())
                .text(language.description())
                .end();
        }
        out.extend_from_slice(TERMINATION_LINE);
    }

    /// R6856-LANG-2, R6856-LANG-3.
    fn select_language(&mut self, range: &LanguageRange) {
        let Some(language) = Language::find(range, self.settings.language) else {
            self.outbox.say(Response::err(Text::NoSuchLanguage));
            return;
        };
        self.outbox.language = language;
        ResponseLine::begin(StatusIndicator::Ok, self.outbox.octets())
            .word(language.tag().as_bytes())
            .text(Text::LanguageSelected.in_language(language))
            .end();
    }

    pub(super) const fn is_listing(&self) -> bool {
        match &self.state {
            State::Transaction(transaction) => {
                matches!(transaction.step, TransactionStep::Listing(_))
            }
            _ => false,
        }
    }

    fn write_listing(&mut self, out: &mut Vec<u8>, full: usize) {
        let State::Transaction(transaction) = &mut self.state else {
            return;
        };
        let step = mem::replace(&mut transaction.step, TransactionStep::Command);
        let TransactionStep::Listing(mut listing) = step else {
            return;
        };
        let language = self.outbox.language;
        let mut sink = Sink {
            out,
            full,
            language,
        };
        match listing.write(transaction, &mut sink, &self.settings.limits) {
            Written::Done => {}
            Written::Full => transaction.step = TransactionStep::Listing(listing),
            Written::Unmeasured { through } => {
                transaction.step = TransactionStep::Measuring(listing);
                let mode = transaction.mode;
                self.outbox.act(Action::Measure { through, mode });
            }
            Written::Unmeasurable => {
                transaction.measuring_failed();
                let begun = listing.begun();
                self.listing_failed(begun);
            }
        }
    }
}

/// Whether STLS would be accepted now: listed by CAPA if and only if it would (R2595-CAPA-1,
/// R2595-STLS-2). Not after UTF8, which would have to be forgotten (R6856-UTF8-4).
fn offers_tls(security: &super::Security, mode: Mode) -> bool {
    security.stls && !security.tls && mode == Mode::Plain
}

/// Whether a line has the limit of AUTH lines (PRJ-IR-5).
fn is_auth(line: &[u8]) -> bool {
    let keyword = line.get(..5);
    keyword.is_some_and(|keyword| keyword.eq_ignore_ascii_case(b"AUTH "))
}

const fn text_of(error: CommandError) -> Text {
    match error {
        CommandError::Unknown => Text::UnknownCommand,
        CommandError::Surplus(_) => Text::SurplusArgument,
        CommandError::Missing(_) => Text::MissingArgument,
        CommandError::MessageNumber(_) => Text::InvalidMessageNumber,
        CommandError::LineCount => Text::InvalidLineCount,
        CommandError::NotUtf8(_) => Text::NotUtf8,
        CommandError::Digest | CommandError::Mechanism | CommandError::LanguageRange => {
            Text::InvalidArgument
        }
    }
}
