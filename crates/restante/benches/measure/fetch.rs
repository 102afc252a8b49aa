//! Collectors side by side: `restante fetch`, fetchmail, getmail6 and mpop empty the same mailbox
//! over a slow line.
//!
//! The server, `restante serve`, has its mail in the directory for temporary files, which
//! `cargo xtask bench fetch` puts into memory, and its account as `restante account add` makes it;
//! the collectors write into memory, onto a disk, and onto one that takes its time for each flush.

#[path = "fetch/collectors.rs"]
mod collectors;
#[path = "fetch/line.rs"]
mod line;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;

use self::collectors::{COLLECTORS, Collector, Cost};
use self::line::Line;
use crate::corpus::{Letter, large};
use crate::server::{PASSWORD, Server, Site, USER};
use crate::{Figure, Scale};

/// getmail6 6.18 sometimes misses that its own child has ended.
const FAILED: &str = "it has failed";

const MESSAGES: usize = 2000;
const MESSAGE_OCTETS: usize = 10_000;
const LARGE_OCTETS: usize = 200_000_000;

const ROUND_TRIP: Duration = Duration::from_millis(100);
const BITS_PER_SECOND: u64 = 50_000_000;

/// The least that emptying the mailbox can take: its octets, and a round trip each for TCP, the
/// greeting, CAPA, the login (two), the listing and QUIT.
const ROUND_TRIPS: u32 = 7;

/// What a flush takes at an ordinary disk without moving parts; those that take next to no time
/// keep what was written in memory of their own.
const FLUSH: Duration = Duration::from_millis(2);

/// Where a collector writes.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Medium {
    Memory,
    Disk,
    /// The same disk, with [`FLUSH`] added to each flush.
    SlowDisk,
}

impl Medium {
    const ALL: [Self; 3] = [Self::Memory, Self::Disk, Self::SlowDisk];

    fn name(self) -> String {
        match self {
            Self::Memory => "memory".into(),
            Self::Disk => "disk".into(),
            Self::SlowDisk => format!("disk that takes {} ms to flush", FLUSH.as_millis()),
        }
    }

    fn flush(self) -> Option<Duration> {
        (self == Self::SlowDisk).then_some(FLUSH)
    }

    fn directory(self) -> TempDir {
        let on_disk = Path::new(env!("CARGO_TARGET_TMPDIR"));
        fs::create_dir_all(on_disk).unwrap();
        match self {
            Self::Memory => tempfile::tempdir(),
            Self::Disk | Self::SlowDisk => tempfile::tempdir_in(on_disk),
        }
        .unwrap()
    }
}

pub(crate) fn measure(scale: Scale) -> Vec<Figure> {
    let mut figures = Vec::new();
    for collector in COLLECTORS {
        let count = scale.of(MESSAGES / collector.divisor());
        let letters = vec![Letter::new("usual", large(MESSAGE_OCTETS)); count];
        for medium in Medium::ALL {
            // The others wait for the line, not for the disk.
            if medium != Medium::SlowDisk || collector.divisor() == 1 {
                figures.extend(over_the_line(collector, &letters, medium));
            }
        }
        figures.push(flushes(collector, &letters));
    }
    let letter = Letter::new(
        "large",
        large(LARGE_OCTETS / if scale.is_short() { 10 } else { 1 }),
    );
    for collector in COLLECTORS {
        figures.push(memory_of_a_large_one(collector, &letter));
    }
    figures
}

/// A server whose account the operator has added, with SCRAM keys, and not a clear password.
fn server(letters: &[Letter]) -> Server {
    let site = Site::new(letters);
    let configuration = fs::read_to_string(site.configuration()).unwrap();
    let of_file = |line: &&str| line.starts_with("source = ") || line.starts_with("passwd_file = ");
    let lines: Vec<&str> = configuration
        .lines()
        .filter(|line| !of_file(line))
        .collect();
    fs::write(site.configuration(), lines.join("\n")).unwrap();
    let mut add = site.program(&["account", "add", USER, "--password-stdin"]);
    let mut adding = add
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    adding
        .stdin
        .take()
        .unwrap()
        .write_all(PASSWORD.as_bytes())
        .unwrap();
    assert!(adding.wait().unwrap().success());
    Server::at(site)
}

fn over_the_line(collector: Collector, letters: &[Letter], medium: Medium) -> Vec<Figure> {
    let octets: usize = letters.iter().map(|letter| letter.wire.len()).sum();
    let seconds = octets as f64 * 8.0 / BITS_PER_SECOND as f64;
    let least = Duration::from_secs_f64(seconds) + ROUND_TRIP * ROUND_TRIPS;
    let (name, directory) = (collector.name(), medium.directory());
    let onto = medium.name();
    let what = format!("{name}, {} messages onto {onto}: time", letters.len());
    let server = server(letters);
    let line = Line::to(server.plain, ROUND_TRIP, BITS_PER_SECOND);
    let cost = collector.empty(
        line.address,
        directory.path(),
        letters.len(),
        medium.flush(),
    );
    let Some(cost) = cost else {
        return vec![Figure::new(what, FAILED)];
    };
    let Cost {
        elapsed,
        processor,
        memory_kilobytes,
    } = cost;
    assert_eq!(server.site.message_files().len(), 0, "{name} left mail");
    let traffic = line.traffic();
    vec![
        Figure::new(
            what,
            format!(
                "{:.2} s, {:.2} times the least, {:.2} s",
                elapsed.as_secs_f64(),
                elapsed.as_secs_f64() / least.as_secs_f64(),
                least.as_secs_f64()
            ),
        ),
        Figure::new(
            format!("{name}, onto {onto}: processor time, most memory"),
            format!(
                "{:.2} s, {:.1} MiB",
                processor.as_secs_f64(),
                memory_kilobytes as f64 / 1024.0
            ),
        ),
        Figure::new(
            format!("{name}, onto {onto}: turns, octets sent"),
            format!("{}, {}", traffic.turns, traffic.octets_up),
        ),
    ]
}

/// Counted without the line between, for nothing but the number counts.
fn flushes(collector: Collector, letters: &[Letter]) -> Figure {
    let server = server(letters);
    let directory = Medium::Disk.directory();
    let flushes = collector.count_flushes(server.plain, directory.path(), letters.len());
    Figure::new(
        format!("{}: flushes for each message", collector.name()),
        match flushes {
            Some(flushes) => format!("{:.2}", flushes as f64 / letters.len() as f64),
            None => FAILED.into(),
        },
    )
}

fn memory_of_a_large_one(collector: Collector, letter: &Letter) -> Figure {
    let server = server(std::slice::from_ref(letter));
    let directory = Medium::Disk.directory();
    let cost = collector.empty(server.plain, directory.path(), 1, None);
    Figure::new(
        format!(
            "{}: most memory, one message of {} MB",
            collector.name(),
            letter.wire.len() / 1_000_000
        ),
        match cost {
            Some(cost) => format!(
                "{:.1} MiB ({:.1} s)",
                cost.memory_kilobytes as f64 / 1024.0,
                cost.elapsed.as_secs_f64()
            ),
            None => FAILED.into(),
        },
    )
}
