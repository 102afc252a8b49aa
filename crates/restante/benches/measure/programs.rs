//! Programs that poll all at once, each at an address and with an account of its own, and none of
//! them known to the server.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::server::PASSWORD;
use crate::storm::{from, host};

/// How often those who wait are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Programs that arrive one after the other.
pub(crate) struct Programs {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Outcome>,
}

/// What they came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// How many were served, and how long each took.
    pub(crate) served: Vec<Duration>,
    /// Told to try again later.
    pub(crate) put_off: usize,
    /// Told that something is wrong with them: none should be.
    pub(crate) refused: usize,
    /// Not answered when the storm was over.
    pub(crate) waiting: usize,
}

/// A program that has said all it has to say.
struct Poll {
    stream: TcpStream,
    began: Instant,
    heard: Vec<u8>,
}

impl Programs {
    /// Lets one program poll for each name, one after each time of `pause`.
    pub(crate) fn begin(server: SocketAddr, names: Vec<String>, pause: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || poll_all(server, &names, pause, &stopped));
        Self { stop, thread }
    }

    pub(crate) fn end(self) -> Outcome {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

fn poll_all(
    server: SocketAddr,
    names: &[String],
    pause: Duration,
    stopped: &AtomicBool,
) -> Outcome {
    let (began, mut looked) = (Instant::now(), Instant::now());
    let (mut outcome, mut polls) = (Outcome::default(), Vec::new());
    let mut names = names.iter().enumerate();
    let mut due = Duration::ZERO;
    while !stopped.load(Ordering::SeqCst) {
        if began.elapsed() >= due
            && let Some((number, name)) = names.next()
        {
            polls.push(begin(server, number, name));
            due += pause;
        }
        if looked.elapsed() >= LOOK_EVERY {
            polls.retain_mut(|poll| !has_ended(poll, &mut outcome));
            looked = Instant::now();
        }
        let left = due.saturating_sub(began.elapsed());
        thread::sleep(left.clamp(Duration::from_millis(1), LOOK_EVERY));
    }
    outcome.waiting = polls.len();
    outcome
}

/// Says everything at once, as a program that knows of PIPELINING.
fn begin(server: SocketAddr, number: usize, name: &str) -> Poll {
    let began = Instant::now();
    let mut stream = from(host(3, number), server);
    let said = format!("USER {name}\r\nPASS {PASSWORD}\r\nSTAT\r\nQUIT\r\n");
    stream.write_all(said.as_bytes()).unwrap();
    stream.set_nonblocking(true).unwrap();
    let heard = Vec::new();
    Poll {
        stream,
        began,
        heard,
    }
}

fn has_ended(poll: &mut Poll, outcome: &mut Outcome) -> bool {
    let mut octets = [0; 1024];
    loop {
        match poll.stream.read(&mut octets) {
            Ok(0) => break,
            Ok(count) => poll.heard.extend_from_slice(&octets[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(_) => break,
        }
    }
    let heard = String::from_utf8_lossy(&poll.heard);
    let answers: Vec<&str> = heard.lines().collect();
    match answers.get(2) {
        Some(answer) if answer.starts_with("+OK") => outcome.served.push(poll.began.elapsed()),
        Some(answer) if answer.starts_with("-ERR [SYS/TEMP]") => outcome.put_off += 1,
        _ => outcome.refused += 1,
    }
    true
}
