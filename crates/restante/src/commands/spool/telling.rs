//! What a run through many mailboxes tells, whatever it does with them: how much of what differs,
//! and why one is left as it was.

use std::{error::Error, fmt::Write as _};

use serde_json::json;

use super::{Tree, shown};
use crate::{console, exit_code::ExitCode, failure::Failure, flags::Talk, quantity::counted};

/// Differences that are shown of one mailbox, unless all are asked for.
const SHOWN_MAX: usize = 20;

/// How a run tells of its mailboxes, and how many it has left as they were.
pub(crate) struct Telling {
    pub(crate) dry_run: bool,
    pub(crate) json: bool,
    shown_max: usize,
    refused: usize,
    unreadable: usize,
}

impl Telling {
    pub(crate) fn new(dry_run: bool, json: bool, talk: Talk) -> Self {
        Self {
            dry_run,
            json,
            shown_max: match json || talk.verbose > 0 {
                true => usize::MAX,
                false => SHOWN_MAX,
            },
            refused: 0,
            unreadable: 0,
        }
    }

    /// Tells which directories could not be looked into.
    pub(crate) fn unreadable(&mut self, tree: &Tree) {
        self.unreadable += tree.unreadable.len();
        for (directory, error) in &tree.unreadable {
            let directory = shown(directory.as_os_str().as_encoded_bytes());
            console::tell(format_args!("error: `{directory}`: {error}"));
        }
    }

    /// Tells why a mailbox is as it was. `is_about_data`: the other server is to blame, and not the
    /// disk.
    ///
    /// # Errors
    /// Stdout cannot be written.
    pub(crate) fn left(
        &mut self,
        name: &str,
        why: impl Into<Box<dyn Error + Send + Sync>>,
        is_about_data: bool,
    ) -> Result<(), Failure> {
        match is_about_data {
            true => self.refused += 1,
            false => self.unreadable += 1,
        }
        let failure = Failure::new(ExitCode::Data, format!("`{name}` is left as it was"));
        let failure = failure.caused_by(why);
        console::tell(&failure);
        if !self.json {
            return Ok(());
        }
        let error = failure.clause();
        console::print(json!({"mailbox": name, "status": "refused", "error": error}))
    }

    /// Puts below what is said of a mailbox how it differs, as much of it as is shown.
    pub(crate) fn differences(
        &self,
        text: &mut String,
        sentences: impl ExactSizeIterator<Item = String>,
    ) {
        let hidden = sentences.len().saturating_sub(self.shown_max);
        for sentence in sentences.take(self.shown_max) {
            text.push_str("\n  ");
            text.push_str(&sentence);
        }
        if hidden > 0 {
            let _ = write!(text, "\n  … and {hidden} more; `--verbose` shows all");
        }
    }

    /// `2 mailboxes listed as before, 1 refused`: what holds for `same`, and how many others there
    /// are. `others`: these come first.
    pub(crate) fn summary(&self, same: (usize, &str), others: &[(usize, &str)]) -> String {
        let mut summary = format!("{} {}", counted(same.0, "mailbox"), same.1);
        let left = [
            (self.refused, "refused"),
            (self.unreadable, "not to be read or written"),
        ];
        for (count, what) in others.iter().chain(&left) {
            if *count > 0 {
                let _ = write!(summary, ", {count} {what}");
            }
        }
        summary
    }

    /// How the run ends if some were left as they were: nothing was `done` with them.
    ///
    /// # Errors
    /// Some were.
    pub(crate) fn verdict(&self, done: &str) -> Result<(), Failure> {
        let again = "mend what is said above and run it again: what is done stays";
        if self.unreadable > 0 {
            let places = counted(self.unreadable, "place");
            let what = format!("{places} could not be read or written");
            return Err(Failure::new(ExitCode::Io, what).hint(again));
        }
        if self.refused > 0 {
            let mailboxes = counted(self.refused, "mailbox");
            let what = format!("nothing was {done} for {mailboxes}");
            return Err(Failure::new(ExitCode::Data, what).hint(again));
        }
        Ok(())
    }
}

/// How a dry run ends that has found differences.
pub(crate) fn differs(mailboxes: usize, how: &str) -> Failure {
    let mailboxes = counted(mailboxes, "mailbox");
    Failure::new(ExitCode::Data, format!("{mailboxes} would {how}"))
        .hint("docs/migrate.md says what each difference means for mail programs")
}
