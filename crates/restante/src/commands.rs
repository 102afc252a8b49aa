//! What each command does.

mod account;
mod bans;
mod config_check;
mod deliver;
mod device_name;
mod export;
mod fetch;
mod generate;
mod import;
mod mail;
mod moment;
mod serve;
mod spool;

use crate::{
    configuration::Configuration,
    data_directory,
    failure::Failure,
    flags::{Command, Config, Flags, Generate},
};

/// Does what was typed.
///
/// # Errors
/// What is to be shown, and the exit code.
pub(crate) fn run(flags: &Flags) -> Result<(), Failure> {
    if let Command::Fetch(typed) = &flags.command {
        // It has a file of its own.
        return fetch::run(flags.config.as_deref(), typed, flags.talk);
    }
    let file = flags.config.clone().or_else(Configuration::system_file);
    let configuration = Configuration::load(file.as_deref()).map_err(Failure::from);
    match &flags.command {
        Command::Serve(how) => serve::run(&configuration?, *how, flags.talk),
        Command::Deliver(deliver) => deliver::run(configuration, deliver),
        Command::Fetch(typed) => fetch::run(flags.config.as_deref(), typed, flags.talk),
        Command::Import(import) => import::run(import, configuration, flags.talk),
        Command::Export(export) => export::run(export, flags.talk),
        Command::Config(Config::Check) => config_check::run(&configuration?, flags.talk),
        Command::Account(account) => {
            let configuration = configuration?;
            data_directory::act_as_owner(&configuration)?;
            account::run(&configuration, account, flags.talk)
        }
        Command::Mail(mail) => {
            let configuration = configuration?;
            data_directory::act_as_owner(&configuration)?;
            mail::run(&configuration, mail, flags.talk)
        }
        Command::Bans(bans) => {
            let configuration = configuration?;
            data_directory::act_as_owner(&configuration)?;
            bans::run(&configuration, bans, flags.talk)
        }
        Command::Generate(Generate::Man { directory }) => generate::man(directory),
        Command::Generate(Generate::Completions { shell }) => generate::completions(*shell),
    }
}
