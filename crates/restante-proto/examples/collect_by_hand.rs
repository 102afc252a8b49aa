//! Lists and shows the mail of an account, by hand and without any runtime:
//! `cargo run --example collect_by_hand -- HOST:PORT NAME PASSWORD` (in the clear: loopback only).

use std::io::{self, ErrorKind, Read, Write};
use std::{net::TcpStream, sync::Arc, time::Instant};

use restante_proto::client::{Cleartext, Event, Output, Session, Settings, Success};
use restante_proto::{Command, Keyword, MessageNumber};

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, name, password] = arguments.as_slice() else {
        return Err(io::Error::other("wanted: HOST:PORT NAME PASSWORD"));
    };
    let mail = collect(&TcpStream::connect(address)?, name, password)?;
    io::stdout().write_all(&mail)
}

/// All mail of the account, one message behind the other. Nothing is deleted.
pub(crate) fn collect(mut stream: &TcpStream, name: &str, password: &str) -> io::Result<Vec<u8>> {
    let settings = Settings {
        cleartext: Cleartext::Everything,
        ..Settings::default()
    };
    let clock = Instant::now();
    let mut session = Session::new(Arc::new(settings), clock.elapsed());
    let (mut mail, mut out, mut input) = (Vec::new(), Vec::new(), vec![0; 4096]);
    loop {
        let now = clock.elapsed();
        let output = session.poll_output(now, &mut out);
        match output.map_err(io::Error::other)? {
            Output::Event(Event::MessageData(data)) => mail.extend(data),
            Output::Event(event) => go_on(&mut session, event, name, password)?,
            Output::Close => return Ok(mail),
            Output::StartTls => return Err(io::Error::other("TLS was not asked for")),
            Output::Wait { deadline } => {
                stream.write_all(&out)?;
                out.clear();
                let patience = deadline.map(|at| at.saturating_sub(now));
                stream.set_read_timeout(patience.filter(|time| !time.is_zero()))?;
                let read = stream.read(&mut input);
                let now = clock.elapsed();
                match read {
                    Ok(0) => session.handle_end_of_input(),
                    Ok(octets) => _ = session.handle_input(now, &input[..octets]),
                    Err(e) if e.kind() == ErrorKind::WouldBlock => session.handle_timeout(now),
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

/// What is said next. Everything about the protocol is in the machine: order, pipelining, limits.
fn go_on(session: &mut Session, event: Event, name: &str, password: &str) -> io::Result<()> {
    let commands = match event {
        Event::Greeting(_) => vec![Command::Capa],
        Event::Answered(answer) => match (answer.keyword, answer.outcome) {
            // A server without extensions says -ERR.
            (Keyword::Capa, _) => vec![Command::User(name.into())],
            (Keyword::User, Ok(_)) => vec![Command::Pass(password.as_bytes().to_vec().into())],
            (Keyword::Pass, Ok(_)) => vec![Command::Stat],
            (Keyword::Stat, Ok(Success::DropListing { messages, .. })) => {
                let count = u32::try_from(messages).map_err(io::Error::other)?;
                let numbers = (1..=count).filter_map(MessageNumber::new);
                let retrieve = numbers.map(Command::Retr);
                retrieve.chain([Command::Quit]).collect()
            }
            (_, Err(line)) => return Err(io::Error::other(line.text.to_string())),
            _ => vec![],
        },
        _ => vec![],
    };
    for command in &commands {
        session.request(command).map_err(io::Error::other)?;
    }
    Ok(())
}
