//! Collectors side by side: `restante fetch`, fetchmail, getmail6 and mpop empty the same mailbox
//! over a slow line.
//!
//! The server, `restante serve`, has its mail in the directory for temporary files, which
//! `cargo xtask bench fetch` puts into memory; the collectors write into memory and onto a disk.

#[path = "fetch/collectors.rs"]
mod collectors;
#[path = "fetch/line.rs"]
mod line;

use std::fs;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use self::collectors::{COLLECTORS, Collector, Cost};
use self::line::Line;
use crate::corpus::{Letter, large};
use crate::server::Server;
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

pub(crate) fn measure(scale: Scale) -> Vec<Figure> {
    let mut figures = Vec::new();
    for collector in COLLECTORS {
        let count = scale.of(MESSAGES / collector.divisor());
        let letters = vec![Letter::new("usual", large(MESSAGE_OCTETS)); count];
        for (medium, directory) in media() {
            figures.extend(over_the_line(collector, &letters, medium, &directory));
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

/// A directory in memory and one on a disk.
fn media() -> [(&'static str, TempDir); 2] {
    let on_disk = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(on_disk).unwrap();
    [
        ("memory", tempfile::tempdir().unwrap()),
        ("disk", tempfile::tempdir_in(on_disk).unwrap()),
    ]
}

fn over_the_line(
    collector: Collector,
    letters: &[Letter],
    medium: &str,
    directory: &TempDir,
) -> Vec<Figure> {
    let octets: usize = letters.iter().map(|letter| letter.wire.len()).sum();
    let seconds = octets as f64 * 8.0 / BITS_PER_SECOND as f64;
    let least = Duration::from_secs_f64(seconds) + ROUND_TRIP * ROUND_TRIPS;
    let name = collector.name();
    let what = format!("{name}, {} messages onto {medium}: time", letters.len());
    let server = Server::with(letters);
    let line = Line::to(server.plain, ROUND_TRIP, BITS_PER_SECOND);
    let cost = collector.empty(line.address, directory.path(), letters.len());
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
                "{:.1} s, {:.2} times the least, {:.1} s",
                elapsed.as_secs_f64(),
                elapsed.as_secs_f64() / least.as_secs_f64(),
                least.as_secs_f64()
            ),
        ),
        Figure::new(
            format!("{name}, onto {medium}: processor time, most memory"),
            format!(
                "{:.2} s, {:.1} MiB",
                processor.as_secs_f64(),
                memory_kilobytes as f64 / 1024.0
            ),
        ),
        Figure::new(
            format!("{name}, onto {medium}: turns, octets sent"),
            format!("{}, {}", traffic.turns, traffic.octets_up),
        ),
    ]
}

/// Counted without the line between, for nothing but the number counts.
fn flushes(collector: Collector, letters: &[Letter]) -> Figure {
    let server = Server::with(letters);
    let [_, (_, directory)] = media();
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
    let server = Server::with(std::slice::from_ref(letter));
    let [_, (_, directory)] = media();
    let cost = collector.empty(server.plain, directory.path(), 1);
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
