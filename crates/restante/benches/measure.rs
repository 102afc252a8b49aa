//! Measures what docs/performance.md shows, with a server in the release profile.
//!
//! `cargo xtask bench`, `soak` and `storm` call it: the first argument is `figures`, `fetch`, `crowd`
//! or `storm`; `--short` takes smaller numbers. Every part is bounded; the result is a Markdown table.
#![expect(
    clippy::unwrap_used,
    reason = "a measurement that cannot be taken ends the run"
)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the table goes to stdout, progress to stderr"
)]

#[path = "../tests/it/certificate.rs"]
mod certificate;
#[expect(dead_code, reason = "the fixture of the tests, used in part")]
#[path = "../tests/it/corpus.rs"]
mod corpus;
#[path = "measure/crowd.rs"]
mod crowd;
#[path = "measure/fetch.rs"]
mod fetch;
#[path = "measure/opening.rs"]
mod opening;
#[path = "measure/poll.rs"]
mod poll;
#[path = "measure/process.rs"]
mod process;
#[path = "measure/programs.rs"]
mod programs;
#[path = "measure/retrieval.rs"]
mod retrieval;
#[expect(dead_code, reason = "the fixture of the tests, used in part")]
#[path = "../tests/it/server.rs"]
mod server;
#[path = "measure/sessions.rs"]
mod sessions;
#[path = "measure/storm.rs"]
mod storm;
#[expect(dead_code, reason = "the fixture of the tests, used in part")]
#[path = "../tests/it/wire.rs"]
mod wire;

use std::process::ExitCode;

/// How large the numbers are.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    /// Divides every count.
    divisor: usize,
}

impl Scale {
    pub(crate) fn of(self, count: usize) -> usize {
        (count / self.divisor).max(1)
    }

    pub(crate) fn is_short(self) -> bool {
        self.divisor > 1
    }
}

/// How to connect, up to the greeting.
pub(crate) type Connect = fn(&server::Server) -> wire::Wire;

/// The two transports that are measured.
pub(crate) const WAYS: [(&str, Connect); 2] =
    [("plain", wire::Wire::plain), ("TLS 1.3", wire::Wire::tls)];

/// One line of the table.
pub(crate) struct Figure {
    what: String,
    value: String,
}

impl Figure {
    pub(crate) fn new(what: impl Into<String>, value: impl Into<String>) -> Self {
        let (what, value) = (what.into(), value.into());
        eprintln!("{what}: {value}");
        Self { what, value }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let short = arguments.iter().any(|argument| argument == "--short");
    let scale = Scale {
        divisor: if short { 10 } else { 1 },
    };
    process::raise_descriptor_limit();
    let figures = match arguments.first().map(String::as_str) {
        Some("figures") => [
            sessions::measure(scale),
            poll::measure(scale),
            retrieval::measure(scale),
            opening::measure(scale),
        ]
        .into_iter()
        .flatten()
        .collect(),
        Some("fetch") => fetch::measure(scale),
        Some("crowd") => crowd::measure(scale),
        Some("storm") => {
            let (figures, verdict) = storm::measure(scale);
            print_table(&figures);
            return match verdict {
                Ok(()) => ExitCode::SUCCESS,
                Err(why) => {
                    eprintln!("{why}");
                    ExitCode::FAILURE
                }
            };
        }
        _ => {
            eprintln!("called by `cargo xtask bench`, `soak` and `storm`");
            return ExitCode::from(64);
        }
    };
    print_table(&figures);
    ExitCode::SUCCESS
}

fn print_table(figures: &[Figure]) {
    println!("| measured | value |");
    println!("|---|---|");
    for figure in figures {
        println!("| {} | {} |", figure.what, figure.value);
    }
}
