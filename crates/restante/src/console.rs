//! The two ways out to the person or program that ran us: data to stdout, the rest to stderr.

use std::{
    env, fmt,
    io::{self, Write as _},
};

use rustix::fs::fstat;

use crate::{exit_code::ExitCode, failure::Failure};

/// Prints data to stdout, with a line end.
///
/// # Errors
/// Stdout cannot be written: its reader has gone or the disk is full.
pub(crate) fn print(data: impl fmt::Display) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{data}")
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::new(ExitCode::Io, "cannot write to stdout").caused_by(error))
}

/// Tells a person something on stderr, with a line end.
pub(crate) fn tell(text: impl fmt::Display) {
    // Nobody is left to be told that nobody can be told.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether stdout is systemd's journal, which keeps what is printed and shows it to others
/// (`JOURNAL_STREAM`, systemd.exec(5)).
pub(crate) fn is_journal() -> bool {
    let (Ok(stream), Ok(stdout)) = (env::var("JOURNAL_STREAM"), fstat(io::stdout())) else {
        return false;
    };
    stream == format!("{}:{}", stdout.st_dev, stdout.st_ino)
}
