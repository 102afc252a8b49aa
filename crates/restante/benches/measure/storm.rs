//! What working programs notice of an attack: 10,000 silent connections, guesses at passwords from
//! many addresses, and 10,000 programs within a minute whose passwords no cache knows.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use argon2::{Argon2, PasswordHasher as _};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use crate::corpus::Letter;
use crate::process::kilobytes;
use crate::programs::{Outcome, Programs};
use crate::server::{Keys, PASSWORD, Server, Site, USER};
use crate::wire::{Wire, status};
use crate::{Figure, Scale};

/// How much slower a poll may become.
const RATIO_MAX: f64 = 1.2;
/// The same for a short run, whose machine may be doing anything.
const RATIO_MAX_SHORT: f64 = 3.0;
/// How much slower a new login may become while thousands of others have their mailboxes opened
/// for the first time: it has its share of the processors and of the disk, and no more.
const RATIO_MAX_AMONG_LOGINS: f64 = 6.0;

const AMONG_LOGINS: &str = "in the storm of logins";

/// Who is logged in all the time.
const SESSION: &str = "session@example.com";

const SILENT: usize = 10_000;
/// Within the default of `limits.connections_per_address`.
const SILENT_PER_ADDRESS: usize = 50;
const GUESSERS: usize = 64;
const POLLS: usize = 400;
/// Quiet and beside silent connections by turns: from one second to the next, with nothing else to
/// do, machines differ from themselves by a fifth.
const ROUNDS: usize = 8;
const PAUSE: Duration = Duration::from_millis(500);

const LIMITS: Keys = Keys {
    pop3: "login_timeout = \"10m\"",
    failure_time: "2s",
    tables: "[limits]\nconnections = 12000\n[log]\nlevel = \"warn\"",
};

/// Accounts of programs that poll in one minute.
const PROGRAMS: usize = 10_000;
const MINUTE: Duration = Duration::from_secs(60);
/// Different hashes of the one password; to make one takes as long as to verify it.
const HASHES: usize = 32;

/// Measures; the error is that a poll became too slow, or that somebody who is logged in has to
/// wait.
pub(crate) fn measure(scale: Scale) -> (Vec<Figure>, Result<(), String>) {
    let letters = vec![Letter::new("letter", "Subject: a letter\n\ntext\n"); 50];
    let site = Site::configured(&letters, &LIMITS);
    let programs = accounts(&site, scale.of(PROGRAMS));
    let server = Server::at(site);
    // A directory that changed a moment ago is read again, lest a delivery be missed.
    thread::sleep(Duration::from_millis(2500));
    let mut witness = Witness::new(&server);
    witness.poll(20);
    let polls = scale.of(POLLS);
    let memory = || kilobytes(server.process_id(), "VmRSS");
    let mut figures = vec![Figure::new("memory before", megabytes(memory()))];
    let (mut quiet, mut beside_silent, mut silent) = (Vec::new(), Vec::new(), Vec::new());
    let rounds = if scale.is_short() { 2 } else { ROUNDS };
    for _ in 0..rounds {
        drop(silent);
        thread::sleep(PAUSE);
        quiet.push(witness.poll(polls));
        silent = silent_connections(&server, scale.of(SILENT));
        thread::sleep(PAUSE);
        beside_silent.push(witness.poll(polls));
    }
    let mut seen = vec![("among silent connections", Seen::mean(&beside_silent))];
    figures.push(Figure::new(
        format!("memory with {} silent connections", silent.len()),
        megabytes(memory()),
    ));
    let storm = Storm::begin(&server, scale.of(GUESSERS));
    // Long enough for hashes to be queued.
    thread::sleep(Duration::from_secs(3));
    let guessed = witness.poll_for_long(rounds, polls);
    seen.push(("in the storm of guesses", Seen::mean(&guessed)));
    figures.push(Figure::new(
        "memory with a storm of guesses beside them",
        megabytes(memory()),
    ));
    let (guesses, time) = storm.end();
    drop(silent);
    quiet.extend(witness.poll_for_long(rounds, polls));
    let (polled, logins, highest) = storm_of_logins(&server, programs, &mut witness, scale);
    seen.push((AMONG_LOGINS, polled));
    quiet.extend(witness.poll_for_long(rounds, polls));
    let quiet = Seen::mean(&quiet);
    figures.extend([
        Figure::new("memory in a storm of logins, highest", megabytes(highest)),
        Figure::new(
            "guesses answered",
            format!("{:.0} a second", guesses as f64 / time.as_secs_f64()),
        ),
    ]);
    figures.extend(shown(&logins));
    figures.push(Figure::new("quiet, mean of all times", quiet.to_string()));
    for (when, seen) in &seen {
        figures.push(Figure::new(*when, seen.beside(&quiet)));
    }
    let verdict = judge(&quiet, &seen, &logins, scale);
    (figures, verdict)
}

/// Connections that never say a word, greeted.
fn silent_connections(server: &Server, count: usize) -> Vec<TcpStream> {
    let connection = |number| from(host(1, number / SILENT_PER_ADDRESS), server.plain);
    let connections: Vec<TcpStream> = (0..count).map(connection).collect();
    greeted(&connections);
    connections
}

/// Gives those who are measured and `count` programs a password with a slow hash, and each a
/// mailbox. The names of the programs.
fn accounts(site: &Site, count: usize) -> Vec<String> {
    let hashes: Vec<String> = (0..HASHES).map(|_| slow_hash()).collect();
    let names: Vec<String> = (0..count)
        .map(|number| format!("program{number}@example.com"))
        .collect();
    let mut accounts = vec![(USER, hashes[0].as_str()), (SESSION, hashes[0].as_str())];
    let stored = hashes.iter().map(String::as_str).cycle();
    accounts.extend(names.iter().map(String::as_str).zip(stored));
    site.write_accounts(&accounts);
    let letter = [Letter::new("letter", "Subject: a letter\n\ntext\n")];
    for name in names.iter().map(String::as_str).chain([SESSION]) {
        crate::corpus::write_maildir(&site.maildir_of(name), &letter);
    }
    names
}

/// Of the one password, with a salt of its own, as `restante account` stores it.
fn slow_hash() -> String {
    let hash = Argon2::default().hash_password(PASSWORD.as_bytes());
    format!("{{ARGON2ID}}{}", hash.unwrap())
}

/// Programs log in within a minute whose passwords no cache knows; what the witness sees, what
/// became of them, and the most memory (in kB).
fn storm_of_logins(
    server: &Server,
    names: Vec<String>,
    witness: &mut Witness<'_>,
    scale: Scale,
) -> (Seen, Outcome, u64) {
    let pause = MINUTE / u32::try_from(PROGRAMS).unwrap();
    let time = pause * u32::try_from(names.len()).unwrap();
    let programs = Programs::begin(server.plain, names, pause);
    // Until there is a queue.
    thread::sleep(time / 4);
    let (mut seen, mut highest) = (Vec::new(), 0);
    let began = Instant::now();
    while began.elapsed() < time / 2 {
        seen.push(witness.poll(scale.of(POLLS) / 4));
        highest = highest.max(kilobytes(server.process_id(), "VmRSS"));
    }
    (Seen::mean(&seen), programs.end(), highest)
}

fn shown(logins: &Outcome) -> [Figure; 2] {
    let mut served = logins.served.clone();
    served.sort();
    let time = |part: usize| match served.get(served.len() * part / 100) {
        Some(time) => format!("{:.1} s", time.as_secs_f64()),
        None => "-".to_owned(),
    };
    [
        Figure::new(
            "programs with cold caches: served, put off with [SYS/TEMP], waiting",
            format!("{}, {}, {}", served.len(), logins.put_off, logins.waiting),
        ),
        Figure::new(
            "a program that is served waits: median, 90 of 100",
            format!("{}, {}", time(50), time(90)),
        ),
    ]
}

fn judge(
    quiet: &Seen,
    seen: &[(&str, Seen)],
    logins: &Outcome,
    scale: Scale,
) -> Result<(), String> {
    let bound = match scale.is_short() {
        true => RATIO_MAX_SHORT,
        false => RATIO_MAX,
    };
    for (when, seen) in seen {
        let poll_bound = match *when {
            AMONG_LOGINS => RATIO_MAX_AMONG_LOGINS,
            _ => bound,
        };
        for (what, ratio, bound) in [
            ("a poll", ratio(seen.poll, quiet.poll), poll_bound),
            (
                "a command of a session",
                ratio(seen.command, quiet.command),
                bound,
            ),
        ] {
            if ratio > bound {
                let said = format!("{when} {what} takes {ratio:.2} times as long");
                return Err(format!("{said}, more than {bound}"));
            }
        }
    }
    if logins.refused > 0 || logins.served.is_empty() {
        return Err(format!(
            "{} programs refused, {} served",
            logins.refused,
            logins.served.len()
        ));
    }
    Ok(())
}

fn ratio(of: Duration, to: Duration) -> f64 {
    of.as_secs_f64() / to.as_secs_f64()
}

/// Somebody who only wants to get mail: a program that polls, its password in the cache as that of
/// any program which came before, and a session that is logged in all the time.
struct Witness<'s> {
    server: &'s Server,
    session: Wire,
}

/// What a poll and a command of the session took.
#[derive(Clone, Copy)]
struct Seen {
    /// Median.
    poll: Duration,
    /// Median.
    command: Duration,
    /// Of a hundred commands all but one were quicker.
    slow_command: Duration,
}

impl<'s> Witness<'s> {
    fn new(server: &'s Server) -> Self {
        let mut session = Wire::plain(server);
        session.log_in(SESSION);
        Self { server, session }
    }

    /// Polls again and again, with pauses.
    fn poll_for_long(&mut self, rounds: usize, count: usize) -> Vec<Seen> {
        let round = |_| {
            thread::sleep(PAUSE);
            self.poll(count)
        };
        (0..rounds).map(round).collect()
    }

    fn poll(&mut self, count: usize) -> Seen {
        let (mut polls, mut commands) = (Vec::new(), Vec::new());
        for _ in 0..count.max(4) {
            polls.push(self.poll_once());
            // Seldom enough that the server has gone to other work meanwhile.
            for command in ["STAT", "NOOP"] {
                let began = Instant::now();
                assert_eq!(status(&self.session.command(command)), "+OK");
                commands.push(began.elapsed());
            }
        }
        polls.sort();
        commands.sort();
        Seen {
            poll: polls[polls.len() / 2],
            command: commands[commands.len() / 2],
            slow_command: commands[commands.len() * 99 / 100],
        }
    }

    /// Connects, logs in, looks, and goes.
    fn poll_once(&self) -> Duration {
        let began = Instant::now();
        let mut wire = Wire::plain(self.server);
        wire.log_in(USER);
        assert!(wire.command("STAT").starts_with("+OK 50 "));
        wire.lines("UIDL");
        assert_eq!(status(&wire.command("QUIT")), "+OK");
        began.elapsed()
    }
}

impl Seen {
    fn mean(all: &[Self]) -> Self {
        let count = u32::try_from(all.len().max(1)).unwrap();
        let mean = |of: fn(&Self) -> Duration| all.iter().map(of).sum::<Duration>() / count;
        Self {
            poll: mean(|seen| seen.poll),
            command: mean(|seen| seen.command),
            slow_command: mean(|seen| seen.slow_command),
        }
    }

    fn beside(&self, quiet: &Self) -> String {
        format!(
            "{self}: {:.2}, {:.2}, {:.2} times",
            ratio(self.poll, quiet.poll),
            ratio(self.command, quiet.command),
            ratio(self.slow_command, quiet.slow_command),
        )
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "poll {} µs, command {} µs, 99 of 100 commands {} µs",
            self.poll.as_micros(),
            self.command.as_micros(),
            self.slow_command.as_micros(),
        )
    }
}

fn megabytes(kilobytes: u64) -> String {
    format!("{:.1} MB", kilobytes as f64 * 1024.0 / 1e6)
}

/// An address of this machine.
pub(crate) fn host(network: u8, number: usize) -> Ipv4Addr {
    let [.., high, low] = u32::try_from(number + 1).unwrap().to_be_bytes();
    Ipv4Addr::new(127, network, high, low)
}

pub(crate) fn from(host: Ipv4Addr, to: SocketAddr) -> TcpStream {
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
