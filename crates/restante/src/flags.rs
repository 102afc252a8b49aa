//! What can be typed: the commands and their flags. Reading them touches nothing.

mod export;
mod fetch;
mod import;

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use restante_maildrop::{DeleteMode, Keep, Show, ShownFolders, Span};

use crate::configuration::parse_duration;

pub(crate) use self::{
    export::{Export, ExportInto},
    fetch::{Fetch, FetchCommand},
    import::{Import, ImportFrom, ImportHow, ImportPop3, TlsMode},
};

const ABOUT: &str = "Restante keeps mail until it is fetched: a POP3 server for Maildirs.";

const LONG_ABOUT: &str = "\
Restante keeps mail until it is fetched: a POP3 server for Maildirs.

To try it, run `restante serve`. Without a configuration it listens on this machine only, makes \
one account with a letter in it, and prints what to type into a mail program.";

const AFTER_HELP: &str = "\
Exit codes: 0 done, 64 usage, 65 bad input, 67 unknown account, 69 something needed is \
unavailable, 70 a bug in Restante, 74 reading or writing failed, 75 try again later, 76 another \
server breaks the protocol, 77 it refuses the login, 78 wrong configuration.";

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
    /// The configuration file. Without it /etc/restante/restante.toml is used, if it exists, or
    /// else the built-in defaults.
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
    /// Run the server in the foreground; the log goes to stderr.
    ///
    /// Prints the settings for a mail program to stdout, then one line `ready` to stderr once
    /// every listener accepts connections. SIGTERM or Ctrl-C lets running commands finish and
    /// stops; a second one stops at once. SIGHUP reads the configuration and the certificates
    /// again.
    Serve(Serve),

    /// Deliver one message from stdin into an account's mailbox
    ///
    /// Ends with 0 only when the message is on stable storage, with 67 if there is no such
    /// account, and with 75 if trying again later may help; a wrong configuration is 75 too, so
    /// that a mail server keeps the message until it is mended. The server need not be running,
    /// and may be. In a `.forward` file:
    ///
    ///     "|/usr/bin/restante deliver --config /etc/restante.toml me@example.com"
    #[command(verbatim_doc_comment)]
    Deliver(Deliver),

    /// Collect mail from other POP3 servers: nothing lost, nothing twice.
    ///
    /// What to collect, and where it goes, is in `fetch.toml` (docs/fetch.md), by default
    /// ~/.config/restante/fetch.toml. A message leaves its server only when it is on stable storage
    /// here; a run may be interrupted at any time. 75 means that the next run goes on, 77 that a
    /// login is refused and never tried again by itself.
    Fetch(Fetch),

    /// Keep the unique-ids that another server has given, so that nobody downloads mail twice
    ///
    /// Reads what the other server has left in the Maildirs and stores the unique-ids; of the
    /// other server's files none is changed. Do it when the other server has stopped and before
    /// the first mail program polls this one. Needs no configuration. It may be interrupted and
    /// run again; a mailbox whose file is damaged, cut off or another mailbox's is refused and
    /// left as it was, and the others go on (exit code 65).
    #[command(subcommand)]
    Import(Import),

    /// Give another server the unique-ids of what came meanwhile, so that nobody downloads mail twice
    ///
    /// For the way back to the server from which the unique-ids were imported. Writes them into the
    /// list that the other server keeps in each Maildir; lists nothing else, and moves no mail. Do
    /// it when Restante has stopped and before the other server starts. Needs no configuration. It
    /// may be interrupted and run again; a mailbox whose list is damaged, cut off or another
    /// mailbox's is refused and left as it was, and the others go on (exit code 65).
    #[command(subcommand)]
    Export(Export),

    /// Look at the configuration.
    #[command(subcommand)]
    Config(Config),

    /// Manage the built-in accounts.
    ///
    /// Changes take effect at once, whether the server is running or not: it is told, and ends the
    /// sessions that the change concerns. They remove nothing.
    #[command(subcommand)]
    Account(Account),

    /// Look into an account's mailbox and its trash, and put back what was deleted.
    ///
    /// The server need not be running, and may be. No session is disturbed: what is put back
    /// appears in the next one.
    #[command(subcommand)]
    Mail(Mail),

    /// Look at whom the running server turns away after failed logins, and release them.
    #[command(subcommand)]
    Bans(Bans),

    /// Make manual pages and shell completions, for packages and installations by hand.
    #[command(subcommand)]
    Generate(Generate),
}

/// `restante serve`.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Serve {
    /// Take the place of the server that runs on the same `data`, so that nobody is refused.
    ///
    /// The running server passes its sockets on, accepts nothing more once this one is ready, and
    /// ends when its sessions have (`pop3.drain_timeout`). If this one cannot start, the running
    /// one goes on as it was. If none runs, this one starts as always. Under systemd, `systemctl
    /// restart` with a socket unit does the same.
    #[arg(long)]
    pub(crate) take_over: bool,
}

/// `restante deliver`.
#[derive(Args, Debug)]
pub(crate) struct Deliver {
    /// The account, by its login name.
    pub(crate) address: String,

    /// The envelope sender: adds a `Return-Path` line. Empty means the null sender `<>`.
    #[arg(short, long, value_name = "SENDER")]
    pub(crate) from: Option<String>,
}

/// `restante config`.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Explain what `serve` would run, or say what is wrong in which line (exit code 78).
    Check,
}

/// `restante account`.
#[derive(Debug, Subcommand)]
pub(crate) enum Account {
    /// Add an account. Asks for its password.
    Add(AccountPassword),
    /// Change the password of an account. Sessions that the old one has opened end.
    Passwd(AccountPassword),
    /// Change what an account may do.
    Set(AccountSet),
    /// Show an account, wherever accounts come from: what it may do, where its mail is and how
    /// much.
    Show {
        /// The account, by its login name.
        address: String,
        /// Print a JSON object instead of rows.
        #[arg(long)]
        json: bool,
    },
    /// List the accounts.
    List {
        /// Print a JSON array of objects instead of one name a line.
        #[arg(long)]
        json: bool,
    },
    /// Remove an account. Its sessions end; its mail stays where it is.
    Remove {
        /// The account, by its login name.
        address: String,
    },
    /// Give each device a password of its own.
    #[command(subcommand)]
    Device(Device),
}

/// `restante account device`.
#[derive(Debug, Subcommand)]
pub(crate) enum Device {
    /// Add a device. Its password is made, and shown this once with the settings to type.
    Add(DeviceAdd),
    /// List the devices of an account.
    List {
        /// The account, by its login name.
        address: String,
        /// Print a JSON array of objects; times are seconds since 1970.
        #[arg(long)]
        json: bool,
    },
    /// Show everything again to a device that begins empty, under the old unique-ids.
    ///
    /// For a program that has lost its mail. One that has not will fetch everything once more, or
    /// delete unread what it remembers.
    Reset {
        /// The account, by its login name.
        address: String,
        /// The device, by its name; `default` for the account's own password.
        name: String,
    },
    /// Remove a device. Its sessions end, and its password opens nothing any more.
    ///
    /// Mail that waited for it alone goes to the trash, if each device has a view of its own.
    Remove {
        /// The account, by its login name.
        address: String,
        /// The device, by its name.
        name: String,
    },
}

/// `restante account device add`.
#[derive(Args, Debug)]
pub(crate) struct DeviceAdd {
    /// The account, by its login name.
    pub(crate) address: String,

    /// What its owner calls it: `phone`, `Anna's laptop`.
    pub(crate) name: String,

    /// What it sees of the mail that is there already: `all`, what arrived in the last days
    /// (`30d`), or only what comes from now on (`new`).
    ///
    /// Matters only where each device has a view of its own (`delete = "per-device"`).
    #[arg(long, default_value_t)]
    pub(crate) show: Show,

    /// Let it fetch mail, but delete none: DELE is refused.
    ///
    /// Nobody waits for it to delete: it is done with a message when it has fetched it.
    #[arg(long)]
    pub(crate) read_only: bool,

    /// Print a JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `restante mail`.
#[derive(Debug, Subcommand)]
pub(crate) enum Mail {
    /// List the messages of a mailbox: number, octets on disk, arrival, unique-id.
    List {
        /// The account, by its login name.
        address: String,

        /// List what lies in the trash instead: octets on disk, arrival, deletion, unique-id.
        #[arg(long)]
        trash: bool,

        /// Print a JSON array of objects; times are seconds since 1970.
        #[arg(long)]
        json: bool,
    },

    /// Show who has retrieved or deleted what, when, and from where, and what was done besides.
    ///
    /// Each session that retrieved a message whole or deleted one is shown, oldest first, for 90
    /// days, and so is what was put back, purged, or left because it was due, and which devices
    /// were added, reset and removed. Sessions that only looked are in the server's log alone.
    Log {
        /// The account, by its login name.
        address: String,

        /// Print a JSON array of objects; times are seconds since 1970.
        #[arg(long)]
        json: bool,
    },

    /// Put messages back that lie in the trash.
    ///
    /// They come back at their old places under new unique-ids: mail programs would take the old
    /// ones for something they have already seen, and delete them.
    Restore(Restore),

    /// Remove for good what lies in the trash: all of it, or what is named.
    Purge(Purge),
}

/// `restante mail restore`.
#[derive(Args, Debug)]
pub(crate) struct Restore {
    /// The account, by its login name.
    pub(crate) address: String,

    #[command(flatten)]
    pub(crate) which: Which,

    /// Show them to this device alone: `default` for the account's own password.
    #[arg(long, value_name = "NAME")]
    pub(crate) device: Option<String>,
}

/// Which messages come back.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct Which {
    /// All that lies in the trash.
    #[arg(long)]
    pub(crate) all: bool,

    /// What was deleted since then: `2h` or `3d` ago, a day in UTC like `2026-01-31`, or a time
    /// like `2026-01-31T10:00:00+01:00`.
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,

    /// What this device has deleted, where each has a view of its own.
    #[arg(long, value_name = "NAME")]
    pub(crate) deleted_by: Option<String>,

    /// The messages that had these unique-ids, as `mail list --trash` shows them.
    #[arg(value_name = "UNIQUE-ID")]
    pub(crate) unique_ids: Vec<String>,
}

/// `restante mail purge`.
#[derive(Args, Debug)]
pub(crate) struct Purge {
    /// The account, by its login name.
    pub(crate) address: String,

    /// Only what was deleted before then; written as for `mail restore --since`.
    #[arg(long, value_name = "WHEN", conflicts_with = "unique_ids")]
    pub(crate) before: Option<String>,

    /// Only the messages that had these unique-ids, as `mail list --trash` shows them.
    #[arg(value_name = "UNIQUE-ID")]
    pub(crate) unique_ids: Vec<String>,
}

/// `restante bans`.
#[derive(Debug, Subcommand)]
pub(crate) enum Bans {
    /// List the bans: address or name, and how long each still lasts.
    List {
        /// Print a JSON array of objects instead of lines.
        #[arg(long)]
        json: bool,
    },
    /// Release an address or a name, and forget its failures.
    Release {
        /// The address or the login name.
        #[arg(value_name = "ADDRESS|NAME")]
        who: String,
    },
}

/// `restante generate`.
#[derive(Debug, Subcommand)]
pub(crate) enum Generate {
    /// Write the manual pages: one for each command, and restante.toml(5) for the configuration.
    Man {
        /// The directory to write them into; it must exist.
        directory: PathBuf,
    },
    /// Print the completions for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// An account and where its new password comes from.
#[derive(Args, Debug)]
pub(crate) struct AccountPassword {
    /// The login name: `user@example.com` or `user`.
    pub(crate) address: String,

    /// Read the password from the first line of stdin instead of asking.
    #[arg(long, conflicts_with = "generate")]
    pub(crate) password_stdin: bool,

    /// Make a password and print it to stdout.
    #[arg(long)]
    pub(crate) generate: bool,
}

/// `restante account set`.
#[derive(Args, Debug)]
pub(crate) struct AccountSet {
    /// The account, by its login name.
    pub(crate) address: String,

    #[command(flatten)]
    pub(crate) changes: Changes,
}

/// What to change; at least one thing.
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
pub(crate) struct Changes {
    /// Whether the account may be opened by POP3. Mail is delivered to it all the same.
    #[arg(long, value_name = "SWITCH")]
    pub(crate) pop: Option<Switch>,

    /// Whether what one device deletes is gone for all (`shared`) or for that device alone
    /// (`per-device`); `default` for what the configuration says.
    #[arg(long, value_name = "MODE")]
    pub(crate) delete: Option<Choice<DeleteMode>>,

    /// When mail leaves: `until-deleted`, `until-fetched`, a time like `30d`, `forever`; `default`
    /// for what the configuration says.
    #[arg(long, value_name = "WHEN")]
    pub(crate) keep: Option<Choice<Keep>>,

    /// Shortest time between two logins, in whole seconds up to an hour; `default` for what the
    /// configuration says. Whoever comes sooner is refused with `[LOGIN-DELAY]`.
    #[arg(long, value_name = "TIME")]
    pub(crate) login_delay: Option<Choice<Delay>>,

    /// What is shown besides INBOX, separated by commas, each with a tag for the subject behind a
    /// `=` if it is to have one: `Lists,Junk=[junk]`. `none` for INBOX alone; `default` for what
    /// the configuration says.
    #[arg(long, value_name = "FOLDERS")]
    pub(crate) folders: Option<Choice<ShownFolders>>,

    /// How far back mail is shown: `all`, or a time like `30d`; `default` for what the
    /// configuration says.
    #[arg(long, value_name = "TIME")]
    pub(crate) show_last: Option<Choice<Span>>,
}

/// A time as it is written in the configuration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Delay(pub(crate) Duration);

impl FromStr for Delay {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_duration(text)
            .map(Self)
            .ok_or("a time like `30s` or `5m` is wanted")
    }
}

/// What an account chooses; `None`: nothing of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Choice<T>(pub(crate) Option<T>);

impl<T: FromStr> FromStr for Choice<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        match text {
            "default" => Ok(Self(None)),
            text => text.parse().map(|choice| Self(Some(choice))),
        }
    }
}

/// Whether something is on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
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
            ["restante", "--config", "a.toml", "serve"],
            ["restante", "serve", "--config", "a.toml"],
        ] {
            let flags = Flags::try_parse_from(words).unwrap();
            assert_eq!(flags.config, Some(PathBuf::from("a.toml")));
            assert!(matches!(flags.command, Command::Serve(_)));
        }
    }

    #[test]
    fn what_is_restored_has_to_be_said_in_one_way() {
        let parsed = |words: &[&str]| {
            let words = ["restante", "mail", "restore", "me"].iter().chain(words);
            Flags::try_parse_from(words).is_ok()
        };
        for one_way in [
            &["--all"][..],
            &["--since", "2h"],
            &["1.a"],
            &["1.a", "2.b"],
            &["--", "-1.a"],
        ] {
            assert!(parsed(one_way), "{one_way:?}");
        }
        for none_or_two in [
            &[][..],
            &["--all", "--since", "2h"],
            &["--all", "1.a"],
            &["--since", "2h", "1.a"],
        ] {
            assert!(!parsed(none_or_two), "{none_or_two:?}");
        }
    }

    #[test]
    fn quiet_and_verbose_exclude_each_other() {
        assert!(Flags::try_parse_from(["restante", "serve", "-q", "-v"]).is_err());
        assert!(
            Flags::try_parse_from([
                "restante",
                "account",
                "add",
                "me",
                "--generate",
                "--password-stdin"
            ])
            .is_err()
        );
    }
}
