//! What can be typed behind `restante fetch`.

use clap::{Args, Subcommand};

/// `restante fetch`.
#[derive(Args, Debug)]
pub(crate) struct Fetch {
    #[command(subcommand)]
    pub(crate) command: Option<FetchCommand>,

    /// Collect once, and end. This is what is done anyway.
    #[arg(long, conflicts_with = "watch")]
    pub(crate) once: bool,

    /// Collect again and again, each account at its own `interval`.
    #[arg(long)]
    pub(crate) watch: bool,

    /// Show what would be done, and change nothing, here or on the server.
    #[arg(long, conflicts_with = "watch")]
    pub(crate) dry_run: bool,

    /// Tell what happens in lines of JSON on stdout.
    #[arg(long)]
    pub(crate) json: bool,

    /// Only these accounts.
    #[arg(value_name = "ACCOUNT")]
    pub(crate) accounts: Vec<String>,
}

/// `restante fetch …`.
#[derive(Debug, Subcommand)]
pub(crate) enum FetchCommand {
    /// Show what came of each account's last run.
    Status(FetchWhich),

    /// Show what is known of each message.
    Seen(FetchWhich),
}

/// Of which accounts.
#[derive(Args, Debug)]
pub(crate) struct FetchWhich {
    /// Tell it in lines of JSON.
    #[arg(long)]
    pub(crate) json: bool,

    /// Only these accounts.
    #[arg(value_name = "ACCOUNT")]
    pub(crate) accounts: Vec<String>,
}
