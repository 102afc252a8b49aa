//! The program `restante`: flags, configuration, commands, messages and exit codes.
//!
//! What was typed gets its meaning in two steps: [`flags`] says what the words are and touches
//! nothing, [`configuration`] says what the server shall be. A command then does its work and ends
//! in an exit code or a [`failure::Failure`]. Data goes to stdout, everything else to stderr.
mod accounts;
mod acme;
mod certificate;
mod commands;
mod configuration;
mod console;
mod data_directory;
mod exit_code;
mod failure;
mod flags;
mod host_name;
mod identity;
mod mailboxes;
mod oauth;
mod password;
mod private_file;
mod quantity;
mod rights;
mod sandbox;
mod secret;
mod settings;
mod shell;

use std::{
    panic::{self, PanicHookInfo},
    process,
};

use clap::{Parser as _, error::ErrorKind};

use crate::{exit_code::ExitCode, flags::Flags};

fn main() -> process::ExitCode {
    panic::set_hook(Box::new(admit_bug));
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(error) => return explain_usage(&error).into(),
    };
    let code = match panic::catch_unwind(|| commands::run(&flags)) {
        Ok(Ok(())) => ExitCode::Done,
        Ok(Err(failure)) => {
            console::tell(&failure);
            failure.code()
        }
        Err(_panic) => ExitCode::Bug,
    };
    code.into()
}

/// Help and version are data; everything else is a mistake in what was typed.
fn explain_usage(error: &clap::Error) -> ExitCode {
    // Nobody is left to be told that nobody can be told.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::Done,
        _ => ExitCode::Usage,
    }
}

/// Says whose fault a panic is. In the server it ends one connection, elsewhere the program.
fn admit_bug(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let place = info.location().map_or_else(String::new, |place| {
        format!(" ({}:{})", place.file(), place.line())
    });
    console::tell(format_args!(
        "error: this is a bug in restante {}: {message}{place}\n\
         hint: please report it, with what was done before; no mail is lost by it",
        env!("CARGO_PKG_VERSION"),
    ));
}
