//! `restante export`: our unique-ids, for another server that comes back.
//!
//! Each mailbox is done by itself, and what is done is seen by looking: an interrupted run is
//! simply run again.

mod report;

use std::path::Path;

use restante_maildrop::{
    ExportError, Maildir, SurveyError,
    foreign::{Earlier, Origin},
};

use self::report::Report;
use super::spool::{self, Progress};
use crate::{
    console,
    failure::Failure,
    flags::{Export, ExportInto, Talk},
};

/// Writes the unique-ids of every Maildir at or below the path into the other server's lists, or
/// shows what that would mean.
///
/// # Errors
/// Some mailboxes were refused or could not be read or written, or, with `--dry-run`, something
/// would be listed otherwise; all others are done.
pub(crate) fn run(export: &Export, talk: Talk) -> Result<(), Failure> {
    let (origin, into) = match export {
        Export::Dovecot(dovecot) => (Origin::Dovecot(dovecot.settings.uidls()), &dovecot.into),
        Export::Courier(into) => (Origin::Courier, into),
    };
    let progress = Progress::begin(talk);
    let (root, tree) = spool::search(&into.path, &progress)?;
    let store = spool::store()?;
    let mut report = Report::new(into, talk);
    report.telling.unreadable(&tree);
    let each = |maildir: &Path| hand_over(&store, &origin, into, maildir);
    spool::go_through(&tree, &progress, each, |name, outcome| {
        report.mailbox(name, outcome)
    })?;
    if !talk.quiet {
        console::tell(report.summary());
    }
    report.verdict(&root)
}

/// Does one mailbox: what it was like before; `None` if there is nothing to write and no list.
fn hand_over(
    store: &Maildir,
    origin: &Origin,
    into: &ExportInto,
    maildir: &Path,
) -> Result<Option<restante_maildrop::Export>, ExportError> {
    let mailbox = spool::mailbox(maildir);
    let earlier = match into.all {
        true => Earlier::Replaced,
        false => Earlier::Kept,
    };
    match into.dry_run {
        true => store.plan_export(&mailbox, origin, earlier),
        false => store.export(&mailbox, origin, earlier),
    }
}

/// Whether the other server's file is to blame, and not the disk.
fn is_about_data(error: &ExportError) -> bool {
    match error {
        ExportError::Survey(SurveyError::Damaged { .. } | SurveyError::OtherMailbox { .. }) => true,
        ExportError::Survey(_) | ExportError::Write { .. } | ExportError::Locked(_) => false,
        _ => true,
    }
}
