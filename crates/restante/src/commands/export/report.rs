//! What is said of each mailbox: data to stdout, refusals and the summary to stderr.
//!
//! Names of files are strangers' words; they are shown escaped.

use std::{fmt::Write as _, io, path::Path};

use restante_maildrop::{Export, ExportError, Left};
use serde_json::{Value, json};

use super::is_about_data;
use crate::{
    commands::spool::shown,
    console,
    exit_code::ExitCode,
    failure::Failure,
    flags::{ExportInto, Talk},
    quantity::counted,
};

/// Messages that are shown of one mailbox, unless all are asked for.
const SHOWN_MAX: usize = 20;

/// What was found so far.
pub(super) struct Report {
    dry_run: bool,
    json: bool,
    shown_max: usize,
    count: Count,
}

#[derive(Default)]
struct Count {
    same: usize,
    different: usize,
    empty: usize,
    refused: usize,
    unreadable: usize,
    written: usize,
}

impl Report {
    pub(super) fn new(into: &ExportInto, talk: Talk) -> Self {
        Self {
            dry_run: into.dry_run,
            json: into.json,
            shown_max: match into.json || talk.verbose > 0 {
                true => usize::MAX,
                false => SHOWN_MAX,
            },
            count: Count::default(),
        }
    }

    /// A directory that could not be looked into.
    pub(super) fn unreadable(&mut self, directory: &Path, error: &io::Error) {
        self.count.unreadable += 1;
        let directory = shown(directory.as_os_str().as_encoded_bytes());
        console::tell(format_args!("error: `{directory}`: {error}"));
    }

    /// Tells of one mailbox.
    ///
    /// # Errors
    /// Stdout cannot be written.
    pub(super) fn mailbox(
        &mut self,
        name: &str,
        outcome: Result<Option<Export>, ExportError>,
    ) -> Result<(), Failure> {
        match outcome {
            Ok(None) => {
                self.count.empty += 1;
                Ok(())
            }
            Ok(Some(export)) => self.exported(name, &export),
            Err(error) => self.refused(name, error),
        }
    }

    fn exported(&mut self, name: &str, export: &Export) -> Result<(), Failure> {
        match export.left.is_empty() {
            true => self.count.same += 1,
            false => self.count.different += 1,
        }
        self.count.written += export.unwritten;
        console::print(match self.json {
            true => self.object(name, export).to_string(),
            false => self.text(name, export),
        })
    }

    fn refused(&mut self, name: &str, error: ExportError) -> Result<(), Failure> {
        match is_about_data(&error) {
            true => self.count.refused += 1,
            false => self.count.unreadable += 1,
        }
        let failure = Failure::new(ExitCode::Data, format!("`{name}` is left as it was"));
        let why = failure.caused_by(error).to_string();
        console::tell(&why);
        match self.json {
            true => {
                let object = json!({"mailbox": name, "status": "refused", "error": why});
                console::print(object)
            }
            false => Ok(()),
        }
    }

    /// How many mailboxes there were of each kind.
    pub(super) fn summary(&self) -> String {
        let count = &self.count;
        let mut summary = format!("{} listed there as here", counted(count.same, "mailbox"));
        for (count, what) in [
            (count.different, "not in all"),
            (count.refused, "refused"),
            (count.unreadable, "not to be read or written"),
            (count.empty, "with nothing to write"),
        ] {
            if count > 0 {
                let _ = write!(summary, ", {count} {what}");
            }
        }
        let _ = match self.dry_run {
            true => write!(summary, "; nothing was written"),
            false => {
                let ids = counted(count.written, "unique-id");
                write!(summary, "; {ids} written")
            }
        };
        summary
    }

    /// How the run ends.
    ///
    /// # Errors
    /// Not everything is as it was asked for.
    pub(super) fn verdict(&self, root: &Path) -> Result<(), Failure> {
        let count = &self.count;
        let again = "mend what is said above and run it again: what is done stays";
        if count.unreadable > 0 {
            let places = counted(count.unreadable, "place");
            let what = format!("{places} could not be read or written");
            return Err(Failure::new(ExitCode::Io, what).hint(again));
        }
        if count.refused > 0 {
            let mailboxes = counted(count.refused, "mailbox");
            let what = format!("nothing was written for {mailboxes}");
            return Err(Failure::new(ExitCode::Data, what).hint(again));
        }
        if count.same + count.different == 0 {
            let what = format!("there is no mail at `{}`", root.display());
            return Err(Failure::new(ExitCode::Data, what)
                .hint("is it where the other server keeps its mail?"));
        }
        if self.dry_run && count.different > 0 {
            let mailboxes = counted(count.different, "mailbox");
            let what = format!("{mailboxes} would not be listed as here");
            return Err(Failure::new(ExitCode::Data, what)
                .hint("docs/migrate.md says what each difference means for mail programs"));
        }
        Ok(())
    }

    fn text(&self, name: &str, export: &Export) -> String {
        let mut text = format!("{name}: {} as here", counted(export.kept, "message"));
        if !export.left.is_empty() {
            let _ = write!(text, ", {} listed otherwise", export.left.len());
        }
        if export.unlisted > 0 {
            let _ = write!(text, ", {} new", export.unlisted);
        }
        if let Some([first, last]) = &export.ends {
            let _ = write!(text, "; `{}` to `{}`", shown(first), shown(last));
        }
        for (count, noun, planned, done) in [
            (export.unwritten, "unique-id", "to write", "written"),
            (export.renamed, "file", "to rename", "renamed"),
        ] {
            if count > 0 {
                let what = if self.dry_run { planned } else { done };
                let _ = write!(text, "; {} {what}", counted(count, noun));
            }
        }
        for left in export.left.iter().take(self.shown_max) {
            text.push_str("\n  ");
            text.push_str(&sentence(left));
        }
        let hidden = export.left.len().saturating_sub(self.shown_max);
        if hidden > 0 {
            let _ = write!(text, "\n  … and {hidden} more; `--verbose` shows all");
        }
        text
    }

    fn object(&self, name: &str, export: &Export) -> Value {
        let left: Vec<Value> = export.left.iter().map(object).collect();
        let (written, renamed) = match self.dry_run {
            true => ("to_write", "to_rename"),
            false => ("written", "renamed"),
        };
        json!({
            "mailbox": name,
            "status": match left.is_empty() {
                true => "same",
                false => "different",
            },
            "messages": export.kept,
            "first": export.ends.as_ref().map(|[first, _]| shown(first)),
            "last": export.ends.as_ref().map(|[_, last]| shown(last)),
            "new": export.unlisted,
            written: export.unwritten,
            renamed: export.renamed,
            "differences": left,
        })
    }
}

fn sentence(left: &Left) -> String {
    let there = left.there.as_deref();
    format!(
        "{}: unique-id `{}` becomes {}: {}",
        shown(&left.base),
        shown(&left.here),
        there.map_or("a new one".to_owned(), |id| format!("`{}`", shown(id))),
        left.why,
    )
}

fn object(left: &Left) -> Value {
    json!({
        "kind": "unique-id",
        "name": shown(&left.base),
        "old": shown(&left.here),
        "new": left.there.as_deref().map(shown),
        "why": left.why.to_string(),
    })
}
