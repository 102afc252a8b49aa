//! A driver without sockets, whose every decision depends on the octets alone.

use std::{sync::Arc, time::Duration};

use restante_proto::{
    Form, MessageNumber, MessageSet, Messages, Mode, Octets, UniqueId,
    server::{
        Action, CloseReason, Login, LoginRefusal, MessageRefusal, OpenRefusal, Opened, Output,
        Security, Session, Settings,
    },
};
use secrecy::ExposeSecret;

const ZERO: Duration = Duration::ZERO;

const BODIES: [&[u8]; 3] = [b"A: b\r\n\r\n1\r\n2\r\n", b".\r\n..\r\n", b""];

/// Everything the outside world sees of a session.
#[derive(Debug, Eq, PartialEq)]
pub struct Seen {
    /// What was sent.
    pub out: Vec<u8>,
    /// Why it was closed, if it was.
    pub closed: Option<CloseReason>,
    /// Deleted and retrieved, by update.
    pub updates: Vec<(MessageSet, MessageSet)>,
}

struct Maildrop;

impl Messages for Maildrop {
    fn count(&self) -> u32 {
        3
    }

    fn octets(&self, number: MessageNumber, _: Mode) -> Option<Octets> {
        let body = BODIES.get(number.index())?;
        Some(Octets(body.len() as u64))
    }

    fn unique_id(&self, number: MessageNumber) -> UniqueId<'_> {
        let names = [&b"a"[..], b"b", b"c"];
        UniqueId::new(names[number.index()]).expect("legal")
    }
}

/// Runs a session over `input`, cut into pieces of `length`; fails where a bound is broken.
pub fn run(input: &[u8], length: usize, settings: &Arc<Settings>) -> Seen {
    // STLS is not on offer: after it, what comes depends on when it comes (PRJ-INJ-1).
    let security = Security {
        tls: true,
        cleartext_login: true,
        mechanisms: vec!["PLAIN".into(), "X".into()],
        apop_timestamp: Some("<1.2@example.com>".into()),
        ..Security::default()
    };
    let mut session = Session::new(settings.clone(), security, ZERO);
    let mut seen = Seen {
        out: Vec::new(),
        closed: None,
        updates: Vec::new(),
    };
    poll(&mut session, &mut seen);
    for piece in input.chunks(length) {
        let mut rest = piece;
        while !rest.is_empty() && seen.closed.is_none() {
            let taken = session.handle_input(ZERO, rest);
            assert!(
                0 < taken && taken <= 128 * 1024,
                "takes too little or too much"
            );
            rest = &rest[taken..];
            poll(&mut session, &mut seen);
        }
    }
    session.handle_end_of_input(ZERO);
    poll(&mut session, &mut seen);
    assert!(seen.closed.is_some(), "goes on after the end");
    seen
}

fn poll(session: &mut Session, seen: &mut Seen) {
    loop {
        let before = seen.out.len();
        let output = session.poll_output(ZERO, &mut seen.out);
        assert!(seen.out.len() - before <= 17 * 1024, "too much at once");
        match output {
            Output::Flush => {}
            Output::Wait { .. } => return,
            Output::Close(reason) => {
                seen.closed = Some(reason);
                return;
            }
            Output::Action(action) => act(session, action, seen),
        }
    }
}

fn act(session: &mut Session, action: Action, seen: &mut Seen) {
    match action {
        Action::Login(Login::Password { name, password }) => {
            assert!(!password.expose_secret().is_empty(), "PRJ-PASS-5");
            verdict(session, name.as_bytes());
        }
        Action::Login(Login::Apop { digest, .. }) => verdict(session, digest.expose_secret()),
        Action::Login(Login::Sasl {
            initial_response, ..
        }) => match initial_response {
            Some(response) => verdict(session, response.expose_secret()),
            None => session.sasl_challenge(ZERO, b""),
        },
        Action::SaslResponse(line) => verdict(session, line.expose_secret()),
        Action::Open if seen.out.len() % 5 == 4 => session.open_refused(ZERO, OpenRefusal::InUse),
        Action::Open => session.opened(ZERO, Opened::new(Arc::new(Maildrop))),
        Action::Retrieve { number, .. } => retrieve(session, number, &mut seen.out),
        Action::Update { deleted, retrieved } => {
            seen.updates.push((deleted, retrieved));
            session.updated(ZERO);
        }
        Action::Measure { .. } => session.measured(ZERO),
        _ => {}
    }
}

fn verdict(session: &mut Session, octets: &[u8]) {
    match octets.first() {
        Some(b'a'..=b'm') => session.authenticated(ZERO),
        Some(b'n') => session.login_refused(ZERO, LoginRefusal::Temporary),
        Some(b'A'..=b'Z') => session.sasl_challenge(ZERO, b"eA=="),
        _ => session.login_refused(ZERO, LoginRefusal::Credentials),
    }
    // Where a challenge makes no sense, the question is still open.
    session.login_refused(ZERO, LoginRefusal::Malformed);
}

fn retrieve(session: &mut Session, number: MessageNumber, out: &mut Vec<u8>) {
    let body = BODIES[number.index()];
    if out.len() % 7 == 6 {
        return session.message_refused(ZERO, MessageRefusal::Gone);
    }
    let octets = Octets(body.len() as u64);
    let mut encoder = session.message_opened(ZERO, Form::Crlf, octets, out);
    for piece in body.chunks(5) {
        let _ = encoder.encode(piece, out);
    }
    match encoder.finish(out) {
        Ok(_) => session.message_sent(ZERO),
        Err(_) => session.message_broken(ZERO),
    }
}
