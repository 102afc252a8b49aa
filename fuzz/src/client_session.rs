//! A client that says the same whatever it hears, as far as it may, and what it hears.

use std::{sync::Arc, time::Duration};

use restante_proto::{
    Command,
    client::{Event, Output, Session, SessionError, Settings},
};

const ZERO: Duration = Duration::ZERO;

/// Everything that comes out of a client's session.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Seen {
    /// What came, pieces of a message put together.
    pub events: Vec<Event>,
    /// What was sent.
    pub out: Vec<u8>,
    /// Why it failed, if it did.
    pub error: Option<SessionError>,
    /// QUIT was answered.
    pub closed: bool,
}

/// Logs in with the well-behaved answers to it, then asks for `commands` and hears `wire`.
pub fn after_login(commands: &[Command], wire: &[u8], length: usize) -> Seen {
    let mut session = Session::under_tls(settings(), ZERO);
    let mut seen = Seen::default();
    for (line, command) in [
        (&b"+OK\r\n"[..], Some(&b"CAPA"[..])),
        (b"+OK\r\nPIPELINING\r\n.\r\n", Some(b"AUTH X")),
        (b"+OK\r\n", None),
    ] {
        hear(&mut session, line, line.len(), &mut seen, &mut |_, _| {});
        if let Some(command) = command {
            let command = Command::parse(command).expect("legal");
            session.request(&command).expect("has its place");
        }
        poll(&mut session, &mut seen, &mut |_, _| {});
    }
    seen = Seen::default();
    for command in commands {
        session.request(command).expect("has its place");
    }
    poll(&mut session, &mut seen, &mut |_, _| {});
    hear(&mut session, wire, length, &mut seen, &mut |_, _| {});
    seen
}

/// A whole session that hears nothing but `wire`, line by line, each in pieces of `length`: what
/// comes before it was asked for is refused, so that a piece of two lines makes a difference.
pub fn session(wire: &[u8], length: usize) -> Seen {
    let mut session = Session::under_tls(settings(), ZERO);
    let mut seen = Seen::default();
    let mut asked = 0;
    let mut go_on = |session: &mut Session, event: &Event| match event {
        Event::Challenge(base64) if base64.len() % 3 == 1 => session.sasl_cancel().expect("ours"),
        Event::Challenge(_) => session.sasl_response(b"YQ==").expect("ours"),
        Event::Greeting(_) | Event::Answered(_) => {
            // Refused or not: what has no place is not sent.
            for line in LINES.get(asked).copied().unwrap_or_default() {
                let _ = session.request(&Command::parse(line).expect("legal"));
            }
            asked += 1;
        }
        _ => {}
    };
    poll(&mut session, &mut seen, &mut go_on);
    for line in wire.split_inclusive(|&octet| octet == b'\n') {
        hear(&mut session, line, length, &mut seen, &mut go_on);
    }
    session.handle_end_of_input();
    poll(&mut session, &mut seen, &mut go_on);
    assert!(seen.closed || seen.error.is_some(), "goes on after the end");
    seen
}

/// What is asked after the greeting and after each answer.
const LINES: &[&[&[u8]]] = &[
    &[b"CAPA"],
    &[b"USER tim", b"AUTH X"],
    &[b"PASS x"],
    &[b"UTF8", b"CAPA"],
    &[b"STAT", b"UIDL", b"LIST", b"RETR 1", b"TOP 2 0"],
    &[b"DELE 1", b"LIST 1", b"UIDL 2"],
    &[b"LANG", b"NOOP"],
    &[],
    &[],
    &[b"RSET", b"QUIT"],
];

fn settings() -> Arc<Settings> {
    let mut settings = Settings::default();
    settings.limits.messages_max = 100;
    settings.limits.lines_max = 20;
    settings.into()
}

fn hear(
    session: &mut Session,
    wire: &[u8],
    length: usize,
    seen: &mut Seen,
    go_on: &mut impl FnMut(&mut Session, &Event),
) {
    for piece in wire.chunks(length.max(1)) {
        let mut rest = piece;
        while !rest.is_empty() && seen.error.is_none() && !seen.closed {
            let taken = session.handle_input(ZERO, rest);
            assert!(taken > 0, "takes nothing");
            rest = &rest[taken..];
            poll(session, seen, go_on);
        }
    }
}

fn poll(session: &mut Session, seen: &mut Seen, go_on: &mut impl FnMut(&mut Session, &Event)) {
    while seen.error.is_none() {
        match session.poll_output(ZERO, &mut seen.out) {
            Ok(Output::Event(Event::MessageData(data))) => match seen.events.last_mut() {
                Some(Event::MessageData(before)) => before.extend(data),
                _ => seen.events.push(Event::MessageData(data)),
            },
            Ok(Output::Event(event)) => {
                go_on(session, &event);
                seen.events.push(event);
            }
            Ok(Output::Wait { .. }) => return,
            Ok(Output::StartTls) => panic!("nobody asked for TLS"),
            Ok(Output::Close) => {
                seen.closed = true;
                return;
            }
            Err(error) => seen.error = Some(error),
        }
    }
}
