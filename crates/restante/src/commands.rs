//! What each command does.

mod config_check;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the store it delivers into is to land")
)]
mod deliver;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the server it starts is to land")
)]
mod serve;

use crate::{
    configuration::Configuration,
    failure::Failure,
    flags::{Command, Config, Flags},
};

/// Does what was typed.
///
/// # Errors
/// What is to be shown, and the exit code.
pub(crate) fn run(flags: &Flags) -> Result<(), Failure> {
    let configuration = Configuration::load(flags.config.as_deref())?;
    match &flags.command {
        Command::Config(Config::Check) => config_check::run(&configuration, flags.talk),
    }
}
