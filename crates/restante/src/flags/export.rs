//! What can be typed behind `restante export`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::import::DovecotSettings;

/// `restante export`.
#[derive(Debug, Subcommand)]
pub(crate) enum Export {
    /// Write them into Dovecot's lists (`dovecot-uidlist`).
    ///
    /// All of Dovecot must be stopped, IMAP and delivery too. Messages that Dovecot knows keep their
    /// UIDs. What is said of unique-ids in its configuration has to be said here too, as for
    /// `restante import dovecot`.
    Dovecot(ExportDovecot),

    /// Write them into the lists of Courier's POP3 server (`courierpop3dsizelist`).
    ///
    /// All of Courier must be stopped, IMAP too. Courier can list a message by its file's name, but
    /// only by all of it: where the name has sizes in it (`,S=`, `,W=`), the file is renamed and
    /// loses them. What IMAP knows by its name is not renamed, and comes once more.
    Courier(ExportInto),
}

/// `restante export dovecot`.
#[derive(Args, Debug)]
pub(crate) struct ExportDovecot {
    #[command(flatten)]
    pub(crate) into: ExportInto,

    #[command(flatten)]
    pub(crate) settings: DovecotSettings,
}

/// Where unique-ids are to be written, and how that is told.
#[derive(Args, Debug)]
pub(crate) struct ExportInto {
    /// A Maildir, or a directory below which there are some.
    pub(crate) path: PathBuf,

    /// Write nothing: show what would be written, and end with 0 only if then nothing would be
    /// listed otherwise.
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    /// Write the unique-ids of this server also for messages that the other one had listed itself.
    ///
    /// Without it those keep what they have there. Needed only where nothing was imported, or
    /// something could not be kept, and mail programs have polled this server since.
    #[arg(long)]
    pub(crate) all: bool,

    /// Print one JSON object a line for each mailbox.
    #[arg(long)]
    pub(crate) json: bool,
}
