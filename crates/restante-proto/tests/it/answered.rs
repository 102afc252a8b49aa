//! What the machine tells of commands whose answers are complete.

use std::{sync::Arc, time::Duration};

use restante_proto::{
    Form, Keyword, MessageNumber, Messages, Mode, Octets, UniqueId,
    server::{Action, Answered, Opened, Output, Security, Session, Settings},
};

const BODY: &[u8] = b"Subject: x\r\n\r\ntext\r\n";
const SECOND: Duration = Duration::from_secs(1);

/// One message.
struct One;

impl Messages for One {
    fn count(&self) -> u32 {
        1
    }

    fn octets(&self, _: MessageNumber, _: Mode) -> Option<Octets> {
        Some(Octets(BODY.len() as u64))
    }

    fn unique_id(&self, _: MessageNumber) -> UniqueId<'_> {
        UniqueId::new(b"one").expect("legal")
    }
}

/// A session and its driver, for whom each action takes a second.
struct Driven {
    session: Session,
    now: Duration,
    told: Vec<Answered>,
    /// Whether messages break off.
    breaks: bool,
    is_closed: bool,
}

impl Driven {
    fn new() -> Self {
        let security = Security {
            cleartext_login: true,
            stls: true,
            mechanisms: vec!["PLAIN".into()],
            ..Security::default()
        };
        Self {
            session: Session::new(Arc::new(Settings::default()), security, Duration::ZERO),
            now: Duration::ZERO,
            told: Vec::new(),
            breaks: false,
            is_closed: false,
        }
    }

    /// Hands `input` over, and does what follows.
    fn say(&mut self, input: &[u8]) {
        assert_eq!(self.session.handle_input(self.now, input), input.len());
        loop {
            let mut out = Vec::new();
            let Self { session, told, .. } = self;
            let output = session.poll_output_telling(self.now, &mut out, |it| told.push(it));
            match output {
                Output::Flush => {}
                Output::Action(Action::StartTls) | Output::Wait { .. } => return,
                Output::Action(action) => self.perform(&action, &mut out),
                Output::Close(_) => {
                    self.is_closed = true;
                    return;
                }
            }
        }
    }

    fn perform(&mut self, action: &Action, out: &mut Vec<u8>) {
        self.now += SECOND;
        let (session, now) = (&mut self.session, self.now);
        match action {
            Action::Login(restante_proto::server::Login::Sasl { .. }) => {
                session.sasl_challenge(now, b"");
            }
            Action::Login(_) | Action::SaslResponse(_) => session.authenticated(now),
            Action::Open => session.opened(now, Opened::new(Arc::new(One))),
            Action::Retrieve { .. } => {
                let octets = Octets(BODY.len() as u64);
                let mut encoder = session.message_opened(now, Form::Wire, octets, out);
                let _ = encoder.encode(BODY, out);
                match self.breaks {
                    true => session.message_broken(now),
                    false => {
                        encoder.finish(out).expect("as announced");
                        session.message_sent(now);
                    }
                }
            }
            Action::Update { .. } => session.updated(now),
            action => panic!("{action:?}"),
        }
    }

    /// What was told, and so many seconds after the beginning each was taken.
    fn told(&self) -> Vec<(Option<&'static str>, u64)> {
        let seen = |it: &Answered| (it.keyword.map(Keyword::as_str), it.taken.as_secs());
        self.told.iter().map(seen).collect()
    }
}

#[test]
fn every_command_is_told_of_once_with_the_time_its_line_was_taken() {
    let mut driven = Driven::new();
    driven.say(b"CAPA\r\nUSER frank\r\nPASS secret\r\nSTAT\r\nLIST\r\nRETR 1\r\nTOP 1 0\r\n");
    driven.say(b"UIDL\r\nXYZZY\r\nSTLS\r\nDELE 2\r\nQUIT\r\n");
    let known = |name: &'static str, at| (Some(name), at);
    let expected = [
        known("CAPA", 0),
        known("USER", 0),
        known("PASS", 0),
        // A second each for the password and the maildrop.
        known("STAT", 2),
        known("LIST", 2),
        known("RETR", 2),
        known("TOP", 3),
        known("UIDL", 4),
        (None, 4),
        known("STLS", 4),
        known("DELE", 4),
        known("QUIT", 4),
    ];
    assert_eq!(driven.told(), expected);
}

#[test]
fn a_command_is_not_told_of_before_its_answer_is_there() {
    let mut driven = Driven::new();
    driven.say(b"USER frank\r\nPASS secret\r\n");
    driven.told.clear();
    driven.session.handle_input(driven.now, b"RETR 1\r\n");
    for _ in 0..3 {
        let (told, mut out) = (&mut driven.told, Vec::new());
        let output = driven
            .session
            .poll_output_telling(driven.now, &mut out, |it| told.push(it));
        assert!(!matches!(output, Output::Close(_)));
    }
    assert_eq!(driven.told(), []);
}

#[test]
fn each_line_of_an_exchange_is_told_of_as_auth() {
    let mut driven = Driven::new();
    driven.say(b"AUTH PLAIN\r\n");
    driven.now += 5 * SECOND;
    driven.say(b"AGZyYW5rAHNlY3JldA==\r\n");
    assert_eq!(driven.told(), [(Some("AUTH"), 0), (Some("AUTH"), 6)]);
}

#[test]
fn the_last_that_is_told_of_is_stls() {
    let mut driven = Driven::new();
    driven.say(b"STLS\r\n");
    assert_eq!(driven.told(), [(Some("STLS"), 0)]);
}

#[test]
fn a_message_that_breaks_off_is_no_answer() {
    let mut driven = Driven::new();
    driven.say(b"USER frank\r\nPASS secret\r\n");
    driven.told.clear();
    driven.breaks = true;
    driven.say(b"RETR 1\r\n");
    assert!(driven.is_closed);
    assert_eq!(driven.told(), []);
}
