//! `restante import`: the unique-ids that another server has given.
//!
//! Each mailbox is done by itself, and what is done is seen by looking: an interrupted run is
//! simply run again.

mod pop3;
mod report;

use std::{
    io,
    path::{Path, PathBuf},
};

use restante_maildrop::{
    Edit, EditError, Maildir, Store as _, Survey, SurveyError,
    foreign::{Later, Origin},
};
use tokio::runtime::Runtime;

use self::report::Report;
use super::spool::{self, Progress};
use crate::{
    configuration::Configuration,
    console,
    exit_code::ExitCode,
    failure::Failure,
    flags::{Import, ImportFrom, Talk},
};

/// Imports the unique-ids of every Maildir at or below the path, or shows what that would mean.
///
/// # Errors
/// Some mailboxes were refused or could not be read, or, with `--dry-run`, something differs; all
/// others are done.
pub(crate) fn run(
    import: &Import,
    configuration: Result<Configuration, Failure>,
    talk: Talk,
) -> Result<(), Failure> {
    match import {
        Import::Dovecot(dovecot) => {
            let origin = Origin::Dovecot(dovecot.settings.uidls());
            run_on_files(origin, &dovecot.from, talk)
        }
        Import::Courier(from) => run_on_files(Origin::Courier, from, talk),
        Import::Pop3(pop3) => pop3::run(pop3, &configuration?, talk),
    }
}

fn run_on_files(origin: Origin, from: &ImportFrom, talk: Talk) -> Result<(), Failure> {
    let progress = Progress::begin(talk);
    let (root, tree) = spool::search(&from.path, &progress)?;
    let importer = Importer::new(origin, from)?;
    let mut report = Report::new(from.how, importer.origin.file_name(), talk);
    report.telling.unreadable(&tree);
    let each = |maildir: &Path| importer.take_over(maildir);
    spool::go_through(&tree, &progress, each, |name, outcome| {
        report.mailbox(name, outcome)
    })?;
    if !talk.quiet {
        console::tell(report.summary());
    }
    report.verdict(&root)
}

/// Why nothing was stored for a mailbox.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Survey(#[from] SurveyError),
    #[error("{}", mailbox.display())]
    Edit {
        mailbox: PathBuf,
        #[source]
        cause: EditError,
    },
    #[error("{} was changed meanwhile", .0.display())]
    Unstored(PathBuf),
}

impl Refusal {
    /// Whether the other server's file is to blame, and not the disk.
    fn is_about_data(&self) -> bool {
        matches!(
            self,
            Self::Survey(SurveyError::Damaged { .. } | SurveyError::OtherMailbox { .. })
                | Self::Edit {
                    cause: EditError::Refused(_),
                    ..
                }
        )
    }
}

struct Importer {
    store: Maildir,
    runtime: Runtime,
    origin: Origin,
    later: Later,
    dry_run: bool,
}

impl Importer {
    fn new(origin: Origin, from: &ImportFrom) -> Result<Self, Failure> {
        let cannot = |error: io::Error| Failure::new(ExitCode::Io, "cannot start").caused_by(error);
        let runtime = tokio::runtime::Builder::new_current_thread();
        Ok(Self {
            store: spool::store()?,
            runtime: { runtime }.build().map_err(cannot)?,
            origin,
            later: match from.how.again {
                true => Later::Replaced,
                false => Later::Kept,
            },
            dry_run: from.how.dry_run,
        })
    }

    /// Does one mailbox: what it was like before, but for the differences, which are as they are
    /// now; `None` if the other server has left nothing there.
    fn take_over(&self, maildir: &Path) -> Result<Option<Survey>, Refusal> {
        let mailbox = spool::mailbox(maildir);
        let survey = || self.store.survey(&mailbox, &self.origin, self.later);
        let Some(mut before) = survey()? else {
            return Ok(None);
        };
        if self.dry_run {
            return Ok(Some(before));
        }
        let edit = Edit::Import(std::mem::take(&mut before.unique_ids));
        let edited = self.runtime.block_on(self.store.edit(&mailbox, edit));
        let _ = edited.map_err(|cause| Refusal::Edit {
            mailbox: maildir.to_owned(),
            cause,
        })?;
        // What is on the disk now counts, not what was meant to be there.
        let after = survey()?.filter(|after| after.unstored == 0);
        let after = after.ok_or_else(|| Refusal::Unstored(maildir.to_owned()))?;
        before.differences = after.differences;
        Ok(Some(before))
    }
}
