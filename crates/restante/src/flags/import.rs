//! What can be typed behind `restante import`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use restante_client::Pin;
use restante_maildrop::foreign::{DovecotUidls, Duplicates, UidlFormat};

/// `restante import`.
#[derive(Debug, Subcommand)]
pub(crate) enum Import {
    /// Keep what Dovecot has given (`dovecot-uidlist`).
    ///
    /// What is said of unique-ids in Dovecot's configuration has to be said here too: `doveconf
    /// pop3_uidl_format pop3_uidl_duplicates pop3_reuse_xuidl` shows it. What Dovecot has saved
    /// with a message (`pop3_save_uidl`) is kept whatever the format.
    Dovecot(ImportDovecot),

    /// Keep what Courier's POP3 server has given (`courierpop3dsizelist`).
    Courier(ImportFrom),

    /// Keep what a POP3 server lists, whichever it is, for mail that is here already.
    ///
    /// For each account it logs in there, and finds out which message is which: by the header and
    /// the size, or, where that leaves doubt, by the whole message; never by its number. It
    /// deletes nothing there. Which Maildirs the accounts have here, the configuration says.
    Pop3(ImportPop3),
}

/// `restante import pop3`.
#[derive(Args, Debug)]
pub(crate) struct ImportPop3 {
    /// The other server, by the name in its certificate.
    pub(crate) host: String,

    /// The file with the accounts and their passwords there, one a line: `ADDRESS:PASSWORD`.
    ///
    /// Whose login there is not their address: `ADDRESS`, login and password with tabs between
    /// them. Empty lines and those that begin with `#` do not count. Nobody but you may be able to
    /// read it.
    #[arg(long, value_name = "FILE")]
    pub(crate) accounts: PathBuf,

    /// How the connection is protected: `none` is for this machine alone.
    #[arg(long, value_enum, default_value = "implicit")]
    pub(crate) tls: TlsMode,

    /// The port, if it is not 995 with `--tls=implicit` and 110 otherwise.
    #[arg(long)]
    pub(crate) port: Option<u16>,

    /// Certificates of authorities to believe, beside those that the system believes.
    #[arg(long, value_name = "FILE", conflicts_with = "pin")]
    pub(crate) ca_file: Option<PathBuf>,

    /// The SHA-256 fingerprint of the server's certificate: believe this one alone, whatever its
    /// names and dates. May be given several times.
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) pin: Vec<Pin>,

    /// Log in as `LOGIN*MASTER` with the password of a master user; lines need none then.
    #[arg(long, value_name = "MASTER", requires = "master_password_file")]
    pub(crate) master: Option<String>,

    /// The file whose first line is the master user's password.
    #[arg(long, value_name = "FILE", requires = "master")]
    pub(crate) master_password_file: Option<PathBuf>,

    /// How many accounts are asked for at the same time.
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u8).range(1..=32))]
    pub(crate) connections: u8,

    #[command(flatten)]
    pub(crate) how: ImportHow,
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum TlsMode {
    /// TLS from the first octet.
    Implicit,
    /// STLS; a server that does not offer it is left.
    Stls,
    /// None: to a loopback address alone.
    None,
}

/// `restante import dovecot`.
#[derive(Args, Debug)]
pub(crate) struct ImportDovecot {
    #[command(flatten)]
    pub(crate) from: ImportFrom,

    #[command(flatten)]
    pub(crate) settings: DovecotSettings,
}

/// What Dovecot's configuration says of unique-ids.
#[derive(Args, Debug)]
pub(crate) struct DovecotSettings {
    /// `pop3_uidl_format`, in the words of any version.
    #[arg(long, value_name = "FORMAT", default_value = "%08Xu%08Xv")]
    uidl_format: UidlFormat,

    /// `pop3_uidl_duplicates`: what becomes of a unique-id that stands twice.
    #[arg(long, value_enum, default_value = "allow")]
    uidl_duplicates: UidlDuplicates,

    /// `pop3_reuse_xuidl`: a message's header X-UIDL is its unique-id.
    #[arg(long)]
    reuse_xuidl: bool,
}

impl DovecotSettings {
    /// The same, for whoever reads Dovecot's list.
    pub(crate) fn uidls(&self) -> DovecotUidls {
        DovecotUidls {
            format: self.uidl_format.clone(),
            duplicates: match self.uidl_duplicates {
                UidlDuplicates::Allow => Duplicates::Allow,
                UidlDuplicates::Rename => Duplicates::Rename,
            },
            reuse_xuidl: self.reuse_xuidl,
        }
    }
}

/// `pop3_uidl_duplicates` in Dovecot's words.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum UidlDuplicates {
    /// Dovecot lists it twice; here one of the messages keeps it.
    Allow,
    /// Dovecot appends `-2`, `-3` and so on.
    Rename,
}

/// Whence unique-ids are to be imported, and how that is told.
#[derive(Args, Debug)]
pub(crate) struct ImportFrom {
    /// A Maildir, or a directory below which there are some.
    pub(crate) path: PathBuf,

    #[command(flatten)]
    pub(crate) how: ImportHow,
}

/// What an import does with what it finds.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct ImportHow {
    /// Store nothing: show what would differ, and end with 0 only if nothing would.
    ///
    /// For each mailbox the listing of the other server, taken from it or made from its file alone,
    /// is set against the listing that sessions would get here.
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    /// Take the unique-ids of the other server also for messages that came after an earlier import.
    ///
    /// Without it those keep what they have here, whatever the other server says of them now. Needed only if the other server has served POP3 again in the meantime.
    #[arg(long)]
    pub(crate) again: bool,

    /// Print one JSON object a line for each mailbox.
    #[arg(long)]
    pub(crate) json: bool,
}
