//! What can be typed: the commands and their flags. Reading them touches nothing.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

const ABOUT: &str = "Restante keeps mail until it is fetched: a POP3 server for Maildirs.";

const LONG_ABOUT: &str = "\
Restante keeps mail until it is fetched: a POP3 server for Maildirs.

To try it, run `restante serve`. Without a configuration it listens on this machine only, makes \
one account with a letter in it, and prints what to type into a mail program.";

const AFTER_HELP: &str = "\
Exit codes: 0 done, 64 usage, 65 bad input, 67 unknown account, 69 something needed is \
unavailable, 70 a bug in Restante, 74 reading or writing failed, 75 try again later, 78 wrong \
configuration.";

/// The command line as typed.
#[derive(Debug, Parser)]
#[command(
    name = "restante",
    version,
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_help = AFTER_HELP,
    max_term_width = 100,
    disable_help_subcommand = true,
)]
pub(crate) struct Flags {
    /// The configuration file. Without it the built-in defaults are used.
    #[arg(long, global = true, value_name = "FILE", env = "RESTANTE_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) talk: Talk,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How much the program says on stderr.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Talk {
    /// Say only what went wrong.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Say more: once for each step taken, twice for everything.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look at the configuration.
    #[command(subcommand)]
    Config(Config),
}

/// `restante config`.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Explain what `serve` would run, or say what is wrong in which line (exit code 78).
    Check,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_table_of_flags_is_sound() {
        Flags::command().debug_assert();
    }

    #[test]
    fn flags_stand_before_or_after_the_command() {
        for words in [
            &["restante", "--config", "a.toml", "config", "check"][..],
            &["restante", "config", "check", "--config", "a.toml"],
        ] {
            let flags = Flags::try_parse_from(words).unwrap();
            assert_eq!(flags.config, Some(PathBuf::from("a.toml")));
            assert!(matches!(flags.command, Command::Config(Config::Check)));
        }
    }

    #[test]
    fn quiet_and_verbose_exclude_each_other() {
        assert!(Flags::try_parse_from(["restante", "config", "check", "-q", "-v"]).is_err());
    }
}
