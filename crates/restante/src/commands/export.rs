//! `restante export`: our unique-ids, for another server that comes back.
//!
//! Each mailbox is done by itself, and what is done is seen by looking: an interrupted run is
//! simply run again.

mod report;

use std::path::Path;

use restante_maildrop::{
    ExportError, MailboxId, Maildir, MaildirSettings, SurveyError,
    foreign::{Earlier, Origin},
};

use self::report::Report;
use super::spool::{self, Progress};
use crate::{
    console,
    exit_code::ExitCode,
    failure::Failure,
    flags::{Export, ExportInto, Talk},
    mailboxes,
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
    let store = store()?;
    let mut report = Report::new(into, talk);
    for (directory, error) in &tree.unreadable {
        report.telling.unreadable(directory, error);
    }
    progress.expect(tree.maildirs.len());
    for maildir in &tree.maildirs {
        let outcome = hand_over(&store, &origin, into, maildir);
        progress.done();
        let name = spool::shown(maildir.as_os_str().as_encoded_bytes());
        progress.aside(|| report.mailbox(&name, outcome))?;
    }
    progress.end();
    if !talk.quiet {
        console::tell(report.summary());
    }
    report.verdict(&root)
}

fn store() -> Result<Maildir, Failure> {
    // Every mailbox is named by its own place; the store's rule is never asked.
    let store = Maildir::new(MaildirSettings {
        author: mailboxes::operator(),
        ..MaildirSettings::new("/{user}")
    });
    store.map_err(|error| Failure::new(ExitCode::Io, "cannot start").caused_by(error))
}

/// Does one mailbox: what it was like before; `None` if there is nothing to write and no list.
fn hand_over(
    store: &Maildir,
    origin: &Origin,
    into: &ExportInto,
    maildir: &Path,
) -> Result<Option<restante_maildrop::Export>, ExportError> {
    let mailbox = MailboxId {
        account: maildir.to_string_lossy().into_owned(),
        home: None,
        location: Some(maildir.to_owned()),
    };
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
