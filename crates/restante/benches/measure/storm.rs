//! What a working program notices of an attack: 10,000 silent connections, and guesses at passwords
//! from many addresses.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use crate::corpus::Letter;
use crate::process::kilobytes;
use crate::server::{Keys, Server, Site, USER};
use crate::wire::{Wire, status};
use crate::{Figure, Scale};

/// How much slower a poll may become.
const RATIO_MAX: f64 = 1.2;
/// The same for a short run, whose machine may be doing anything.
const RATIO_MAX_SHORT: f64 = 3.0;

const SILENT: usize = 10_000;
/// Within the default of `limits.connections_per_address`.
const SILENT_PER_ADDRESS: usize = 50;
const GUESSERS: usize = 64;
const POLLS: usize = 400;

const LIMITS: Keys = Keys {
    pop3: "login_timeout = \"10m\"",
    failure_time: "2s",
    tables: "[limits]\nconnections = 12000\n[log]\nlevel = \"warn\"",
};

/// Measures; the error is that a poll became too slow.
pub(crate) fn measure(scale: Scale) -> (Vec<Figure>, Result<(), String>) {
    let letters = vec![Letter::new("letter", "Subject: a letter\n\ntext\n"); 50];
    let server = Server::at(Site::configured(&letters, &LIMITS));
    // A directory that changed a moment ago is read again, lest a delivery be missed.
    thread::sleep(Duration::from_millis(2500));
    median_poll(&server, 20);
    let polls = scale.of(POLLS);
    let quiet_before = median_poll(&server, polls);
    let memory = || kilobytes(server.process_id(), "VmRSS");
    let mut figures = vec![Figure::new("memory before", megabytes(memory()))];
    let count = scale.of(SILENT);
    let silent: Vec<TcpStream> = (0..count)
        .map(|number| from(host(1, number / SILENT_PER_ADDRESS), server.plain))
        .collect();
    greeted(&silent);
    figures.push(Figure::new(
        format!("memory with {count} silent connections"),
        megabytes(memory()),
    ));
    let with_silent = median_poll(&server, polls);
    let storm = Storm::begin(&server, scale.of(GUESSERS));
    // Long enough for hashes to be queued.
    thread::sleep(Duration::from_secs(3));
    let in_storm = median_poll(&server, polls);
    figures.push(Figure::new(
        "memory with a storm of guesses beside them",
        megabytes(memory()),
    ));
    let (guesses, time) = storm.end();
    drop(silent);
    thread::sleep(Duration::from_secs(1));
    let quiet_after = median_poll(&server, polls);
    let quiet = (quiet_before + quiet_after) / 2;
    let ratio = |of: Duration| of.as_secs_f64() / quiet.as_secs_f64();
    let polled = |of: Duration| format!("{} µs", of.as_micros());
    figures.extend([
        Figure::new("a poll, quiet, before and after", polled(quiet)),
        Figure::new("a poll among silent connections", polled(with_silent)),
        Figure::new("a poll in the storm", polled(in_storm)),
        Figure::new(
            "guesses answered",
            format!("{:.0} a second", guesses as f64 / time.as_secs_f64()),
        ),
        Figure::new(
            "slower among silent connections",
            format!("{:.2}", ratio(with_silent)),
        ),
        Figure::new("slower in the storm", format!("{:.2}", ratio(in_storm))),
    ]);
    let bound = if scale.is_short() {
        RATIO_MAX_SHORT
    } else {
        RATIO_MAX
    };
    let slowest = ratio(with_silent).max(ratio(in_storm));
    let verdict = match slowest <= bound {
        true => Ok(()),
        false => Err(format!(
            "a poll takes {slowest:.2} times as long, more than {bound}"
        )),
    };
    (figures, verdict)
}

fn megabytes(kilobytes: u64) -> String {
    format!("{:.1} MB", kilobytes as f64 * 1024.0 / 1e6)
}

/// An address of this machine.
fn host(network: u8, number: usize) -> Ipv4Addr {
    let [.., high, low] = u32::try_from(number + 1).unwrap().to_be_bytes();
    Ipv4Addr::new(127, network, high, low)
}

fn from(host: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let stream = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&stream, &SocketAddr::from((host, 0))).unwrap();
    connect(&stream, &to).unwrap();
    TcpStream::from(stream)
}

/// Waits until the server has answered them all.
fn greeted(connections: &[TcpStream]) {
    for mut connection in connections {
        connection.read_exact(&mut [0; 3]).unwrap();
    }
}

/// How long a program polls: connect, log in, STAT, UIDL, QUIT.
fn median_poll(server: &Server, count: usize) -> Duration {
    let poll = || {
        let began = Instant::now();
        let mut wire = Wire::plain(server);
        wire.log_in(USER);
        assert!(wire.command("STAT").starts_with("+OK 50 "));
        wire.lines("UIDL");
        assert_eq!(status(&wire.command("QUIT")), "+OK");
        began.elapsed()
    };
    let mut times: Vec<_> = (0..count).map(|_| poll()).collect();
    times.sort();
    times[times.len() / 2]
}

/// Guessers at work, each from an address of its own.
struct Storm {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    threads: Vec<thread::JoinHandle<()>>,
    began: Instant,
}

impl Storm {
    fn begin(server: &Server, guessers: usize) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let address = server.plain;
        let guesser = |number| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            thread::spawn(move || guess(number, address, &stop, &answered))
        };
        Self {
            threads: (0..guessers).map(guesser).collect(),
            stop,
            answered,
            began: Instant::now(),
        }
    }

    /// How many guesses were answered, in which time.
    fn end(self) -> (usize, Duration) {
        let figures = (self.answered.load(Ordering::SeqCst), self.began.elapsed());
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().unwrap();
        }
        figures
    }
}

/// Three guesses a connection, under another name each time, half of them at somebody who exists.
fn guess(number: usize, server: SocketAddr, stop: &AtomicBool, answered: &AtomicUsize) {
    let mut round = 0_usize;
    while !stop.load(Ordering::SeqCst) {
        let mut connection = from(host(2, number), server);
        let mut heard = [0; 512];
        while connection.read(&mut heard).is_ok_and(|octets| octets > 0) {
            round += 1;
            let name = match round % 2 {
                0 => USER.to_owned(),
                _ => format!("guess{number}-{round}"),
            };
            let line = format!("USER {name}\r\nPASS guess{round}\r\n");
            if connection.write_all(line.as_bytes()).is_err() {
                break;
            }
            // The answer to USER; that to PASS is heard above.
            if connection.read(&mut heard).is_err() || stop.load(Ordering::SeqCst) {
                break;
            }
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}
