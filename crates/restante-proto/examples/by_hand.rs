//! A whole POP3 server for one connection, by hand: `cargo run --example by_hand`, then type at
//! the port it names (`nc -C 127.0.0.1 PORT`): `USER me`, `PASS too`, `LIST`, `RETR 1`, `QUIT`.
#![expect(clippy::print_stderr, reason = "a program for people to type at")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::{sync::Arc, time::Instant};

use restante_proto::server::{
    Action, Login, LoginRefusal, Opened, Output, Security, Session, Settings,
};
use restante_proto::{Form, MessageNumber, Messages, Mode, Octets, UniqueId};
use secrecy::ExposeSecret;

/// Two messages that need nothing done to them: CRLF line ends, no line begins with a dot.
struct Maildrop([(&'static str, &'static str); 2]);

const MAILDROP: Maildrop = Maildrop([
    ("id-1", "Subject: one\r\n\r\nHello\r\n"),
    ("id-2", "Subject: two\r\n\r\nHello again\r\n"),
]);

impl Messages for Maildrop {
    fn count(&self) -> u32 {
        2
    }

    fn octets(&self, number: MessageNumber, _: Mode) -> Option<Octets> {
        Some(Octets(self.0.get(number.index())?.1.len() as u64))
    }

    fn unique_id(&self, number: MessageNumber) -> UniqueId<'_> {
        UniqueId::new(self.0[number.index()].0.as_bytes()).expect("legal")
    }
}

fn main() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    eprintln!("listening on {}", listener.local_addr()?);
    serve(&listener.accept()?.0)
}

/// Serves one connection to its end. Nothing below knows a command or an answer of POP3.
pub(crate) fn serve(mut stream: &TcpStream) -> io::Result<()> {
    let (settings, mut security) = (Arc::new(Settings::default()), Security::default());
    security.cleartext_login = true;
    let clock = Instant::now();
    let mut session = Session::new(settings, security, clock.elapsed());
    let mut out = Vec::new();
    loop {
        let now = clock.elapsed();
        let output = session.poll_output(now, &mut out);
        stream.write_all(&out)?;
        out.clear();
        match output {
            Output::Flush => {}
            Output::Close(_) => return Ok(()),
            Output::Action(action) => act(&mut session, action, &clock, &mut out),
            Output::Wait { deadline } => {
                let patience = deadline.map(|at| at.saturating_sub(now));
                stream.set_read_timeout(patience.filter(|time| !time.is_zero()))?;
                let mut input = vec![0; session.input_room().min(4096)];
                let read = stream.read(&mut input);
                let now = clock.elapsed();
                match read {
                    Ok(0) => session.handle_end_of_input(now),
                    Ok(octets) => _ = session.handle_input(now, &input[..octets]),
                    Err(e) if e.kind() == ErrorKind::WouldBlock => session.handle_timeout(now),
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

fn act(session: &mut Session, action: Action, clock: &Instant, out: &mut Vec<u8>) {
    let now = clock.elapsed();
    match action {
        Action::Login(Login::Password { password, .. }) if password.expose_secret() == b"too" => {
            session.authenticated(now);
        }
        Action::Login(_) => session.login_refused(now, LoginRefusal::Credentials),
        Action::Open => session.opened(now, Opened::new(Arc::new(MAILDROP))),
        Action::Retrieve { number, .. } => {
            let body = MAILDROP.0[number.index()].1.as_bytes();
            let octets = Octets(body.len() as u64);
            let mut encoder = session.message_opened(now, Form::Wire, octets, out);
            let _ = encoder.encode(body, out);
            encoder.finish(out).expect("the size is right");
            session.message_sent(now);
        }
        // These messages stay for the next caller.
        Action::Update { deleted, .. } if deleted.is_empty() => session.updated(now),
        Action::Update { .. } => session.update_failed(now),
        // Sizes are known, and neither TLS nor SASL was offered.
        _ => session.measure_failed(now),
    }
}
