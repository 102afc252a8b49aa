//! Restante's development commands: `cargo xtask help` lists them.
//!
//! All automation lives here, in Rust; continuous integration calls `cargo xtask ci` and nothing
//! else. No command reads standard input.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program that reports to the person who called it"
)]

mod ci;
mod clean_root;
mod deb;
mod finding;
mod fuzz;
mod measure;
mod package;
mod process;
mod requirements;
mod test;
mod tidy;
mod tree;
mod trial;
mod unpacked;

use std::process::ExitCode;

use anyhow::{Result, bail};

const HELP: &str = "\
Restante's development commands.

  cargo xtask test [FILTER…]              installs what the tests need, then runs every test
                                          whose name contains a FILTER
  cargo xtask ci                          all that review will run
  cargo xtask tidy                        floors, file lengths, names, leftovers, links
  cargo xtask requirements [--update]     docs/requirements.md against the tests that cite it;
                                          --update marks planned rows that a test proves as proven
  cargo xtask fuzz [--seconds N] [TARGET] fuzzes everything that reads foreign octets (60 s each)
  cargo xtask bench [--short]             measures what docs/performance.md shows
  cargo xtask bench fetch [--short]       collectors side by side, over a slow line
  cargo xtask soak [--short]              10,000 connections that never log in
  cargo xtask storm [--short]             a working program's poll under attack
  cargo xtask package [--try] [--short]   the Debian package; --try installs, upgrades, restores and
                                          removes it on a clean Debian, --short takes the program
                                          as the tests build it
  cargo xtask help                        this text
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", arguments),
    };
    match command {
        "test" => test::run(rest),
        "ci" => none(rest).and_then(|()| ci::run()),
        "tidy" => none(rest).and_then(|()| tidy::run()),
        "requirements" => requirements::run(rest),
        "fuzz" => fuzz::run(rest),
        "bench" => measure::bench(rest),
        "soak" => measure::soak(rest),
        "package" => deb::run(rest),
        "storm" => measure::storm(rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        unknown => bail!("no command `{unknown}`; `cargo xtask help` lists them"),
    }
}

fn none(arguments: &[String]) -> Result<()> {
    match arguments.first() {
        None => Ok(()),
        Some(argument) => bail!("unexpected argument `{argument}`; see `cargo xtask help`"),
    }
}
