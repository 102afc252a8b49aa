//! `restante generate`: manual pages and shell completions, made from the tables that the program
//! itself reads, so that they cannot tell of anything else.

mod pages;

use std::{fs, io, path::Path};

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::{console, exit_code::ExitCode, failure::Failure, flags::Flags};

/// Writes the manual pages into a directory.
///
/// # Errors
/// A page cannot be written; those before it are there.
pub(crate) fn man(directory: &Path) -> Result<(), Failure> {
    for page in pages::all() {
        let path = directory.join(&page.file);
        fs::write(&path, page.text).map_err(|error| {
            let failure = Failure::new(ExitCode::Io, format!("cannot write `{}`", path.display()));
            let is_missing = error.kind() == io::ErrorKind::NotFound;
            let failure = failure.caused_by(error);
            match is_missing {
                true => failure.hint("the directory must exist"),
                false => failure,
            }
        })?;
    }
    Ok(())
}

/// Prints the completions for a shell.
///
/// # Errors
/// Stdout cannot be written.
pub(crate) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Flags::command(), "restante", &mut script);
    console::print(String::from_utf8_lossy(&script).trim_end())
}
