//! The AUTHORIZATION state: who the client is (RFC 1939 §4, §7, RFC 5034).

use alloc::vec::Vec;

use secrecy::{ExposeSecret, SecretSlice};

use super::{
    Action, CloseReason, Login, LoginRefusal, OpenRefusal, Security, Settings,
    outbox::Outbox,
    state::{Authorization, AuthorizationStep, LoginKind},
};
use crate::{
    Command, Mode, ResponseCode,
    command::Auth,
    language::Text,
    line::{Line, LineError},
    response::Response,
};

/// What the rest of the session is to know after a step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Nothing: it was a command.
    GoOn,
    /// Nothing yet: whether a login was worth the trouble is still to be seen.
    Undecided,
    /// The line was no command; how many of these may come is limited.
    Bad(Text),
    /// An answer is queued; close after it.
    Close(CloseReason),
}

/// The operator's wishes and the connection's nature.
pub(super) struct Rules<'s> {
    pub(super) settings: &'s Settings,
    pub(super) security: &'s Security,
}

impl Authorization {
    /// Carries out a command that this state alone allows; STLS apart.
    pub(super) fn execute(
        &mut self,
        command: Command,
        rules: &Rules<'_>,
        outbox: &mut Outbox,
    ) -> Verdict {
        // PRJ-PASS-4: whatever comes of it, the name is gone.
        let name = self.name.take();
        let cleartext = rules.security.cleartext_login;
        match command {
            Command::User(_) | Command::Pass(_) if !rules.settings.user => {
                outbox.say(Response::err(Text::LoginUnavailable));
                Verdict::GoOn
            }
            // R1939-USER-3, R8314-CODE-2: before anything is looked at, so that the answer is the
            // same for every name and every password.
            Command::User(_) | Command::Pass(_) if !cleartext => {
                outbox.say(Response::err(Text::CleartextRefused));
                Verdict::GoOn
            }
            Command::User(name) => {
                // R1939-USER-2: whether the name exists is not looked up.
                self.name = Some(name);
                outbox.say(Response::ok(Text::SendPassword));
                Verdict::GoOn
            }
            Command::Pass(password) => match name {
                None => Verdict::Bad(Text::UserFirst),
                Some(_) if !is_password(&password) => self.fail(rules, outbox),
                Some(name) => {
                    self.verify(LoginKind::OneStep);
                    outbox.act(Action::Login(Login::Password { name, password }));
                    Verdict::Undecided
                }
            },
            Command::Apop { name, digest } => {
                if rules.security.apop_timestamp.is_none() {
                    return Verdict::Bad(Text::UnknownCommand);
                }
                self.verify(LoginKind::OneStep);
                outbox.act(Action::Login(Login::Apop { name, digest }));
                Verdict::Undecided
            }
            Command::Auth(auth) => self.auth(auth, rules, outbox),
            Command::Utf8 if rules.settings.utf8 => {
                self.mode = Mode::Utf8;
                outbox.say(Response::ok(Text::Utf8Mode));
                Verdict::GoOn
            }
            Command::Utf8 => Verdict::Bad(Text::UnknownCommand),
            // The table of states lets no other command come here.
            _ => Verdict::Bad(Text::WrongState),
        }
    }

    /// One line of the client inside an exchange; not a command (PRJ-AUTH-6).
    pub(super) fn exchange_line(
        &mut self,
        line: &Result<Line<'_>, LineError>,
        outbox: &mut Outbox,
    ) -> Verdict {
        let AuthorizationStep::Exchange { rounds } = self.step else {
            return Verdict::GoOn;
        };
        match line {
            // R5034-CANCEL-1. Exchanges cost more than other commands, so those that are begun
            // and cancelled in a row are counted like commands that are none.
            Ok(line) if &**line == b"*" => {
                self.cancel(outbox);
                Verdict::Bad(Text::Cancelled)
            }
            Ok(line) => {
                self.verify(LoginKind::Sasl { rounds });
                outbox.act(Action::SaslResponse(SecretSlice::from(Vec::from(&**line))));
                Verdict::Undecided
            }
            Err(LineError::ControlOctet) => {
                self.cancel(outbox);
                Verdict::Bad(Text::Malformed)
            }
            Err(LineError::TooLong) => self.exchange_too_long(outbox),
        }
    }

    /// PRJ-LINE-2.
    pub(super) fn exchange_too_long(&mut self, outbox: &mut Outbox) -> Verdict {
        self.cancel(outbox);
        outbox.say(Response::err(Text::ExchangeTooLong));
        Verdict::Close(CloseReason::InputTooLong)
    }

    /// Answers Verifying: the mechanism has a challenge. `None` where no exchange runs.
    pub(super) fn sasl_challenge(
        &mut self,
        base64: &[u8],
        rules: &Rules<'_>,
        outbox: &mut Outbox,
    ) -> Option<Verdict> {
        if self.challenge()? > rules.settings.limits.sasl_rounds_max {
            return Some(self.exchange_too_long(outbox));
        }
        // R5034-CHAL-1: the space is there also when nothing follows. Limits of line length do
        // not hold here (R5034-LINE-1).
        let out = outbox.octets();
        out.extend_from_slice(b"+ ");
        // What is not a visible character has no place in base64, and must not end the line.
        out.extend(base64.iter().filter(|octet| octet.is_ascii_graphic()));
        out.extend_from_slice(b"\r\n");
        Some(Verdict::Undecided)
    }

    /// Answers Verifying: no. `None` where no verdict is awaited.
    pub(super) fn refuse_login(
        &mut self,
        why: LoginRefusal,
        rules: &Rules<'_>,
        outbox: &mut Outbox,
    ) -> Option<Verdict> {
        let AuthorizationStep::Verifying(_) = self.step else {
            return None;
        };
        self.give_up();
        let response = match why {
            LoginRefusal::Credentials => return Some(self.fail(rules, outbox)),
            LoginRefusal::Malformed => return Some(Verdict::Bad(Text::Malformed)),
            LoginRefusal::LoginDelay => Response::coded(ResponseCode::LoginDelay, Text::LoginDelay),
            // R3206-AUTH-2: an outage is no reason to throw a password away.
            LoginRefusal::Temporary => Response::coded(ResponseCode::SysTemp, Text::Temporary),
            LoginRefusal::Permanent => Response::coded(ResponseCode::SysPerm, Text::Permanent),
            LoginRefusal::Unavailable => Response::err(Text::MechanismUnavailable),
        };
        outbox.say(response);
        Some(Verdict::GoOn)
    }

    /// Answers Opening: no. The client may log in once more (R1939-LOCK-2).
    pub(super) fn refuse_open(&mut self, why: OpenRefusal, outbox: &mut Outbox) {
        if self.step != AuthorizationStep::Opening {
            return;
        }
        self.give_up();
        outbox.say(match why {
            OpenRefusal::InUse => Response::coded(ResponseCode::InUse, Text::InUse),
            OpenRefusal::Temporary => Response::coded(ResponseCode::SysTemp, Text::Temporary),
            OpenRefusal::Permanent => Response::coded(ResponseCode::SysPerm, Text::Permanent),
        });
    }

    fn auth(&mut self, auth: Auth, rules: &Rules<'_>, outbox: &mut Outbox) -> Verdict {
        let Auth {
            mechanism,
            initial_response,
        } = auth;
        let mut usable = rules.security.usable_mechanisms();
        if !usable.any(|name| name == mechanism) {
            outbox.say(Response::err(Text::MechanismUnavailable));
            return Verdict::GoOn;
        }
        self.verify(LoginKind::Sasl { rounds: 0 });
        outbox.act(Action::Login(Login::Sasl {
            mechanism,
            initial_response,
        }));
        Verdict::Undecided
    }

    /// Credentials were wrong (R3206-AUTH-1, PRJ-SEC-4).
    fn fail(&mut self, rules: &Rules<'_>, outbox: &mut Outbox) -> Verdict {
        self.failed_logins = self.failed_logins.saturating_add(1);
        if self.failed_logins >= rules.settings.limits.failed_logins_max {
            outbox.say(Response::coded(
                ResponseCode::Auth,
                Text::TooManyFailedLogins,
            ));
            return Verdict::Close(CloseReason::TooManyFailedLogins);
        }
        outbox.say(Response::coded(
            ResponseCode::Auth,
            Text::AuthenticationFailed,
        ));
        Verdict::GoOn
    }

    fn cancel(&mut self, outbox: &mut Outbox) {
        self.give_up();
        outbox.act(Action::SaslCancelled);
    }
}

/// PRJ-PASS-5: nothing empty ever reaches a directory; R6856-USER-3: nothing but UTF-8.
fn is_password(password: &SecretSlice<u8>) -> bool {
    let password = password.expose_secret();
    !password.is_empty() && core::str::from_utf8(password).is_ok()
}
