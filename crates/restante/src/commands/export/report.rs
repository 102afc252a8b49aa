//! What is said of each mailbox: data to stdout, refusals and the summary to stderr.
//!
//! Names of files are strangers' words; they are shown escaped.

use std::{fmt::Write as _, path::Path};

use restante_maildrop::{Export, ExportError, Left};
use serde_json::{Value, json};

use super::is_about_data;
use crate::{
    commands::spool::{Telling, differs, shown},
    console,
    exit_code::ExitCode,
    failure::Failure,
    flags::{ExportInto, Talk},
    quantity::counted,
};

/// What was found so far.
pub(super) struct Report {
    pub(super) telling: Telling,
    count: Count,
}

#[derive(Default)]
struct Count {
    same: usize,
    different: usize,
    empty: usize,
    written: usize,
}

impl Report {
    pub(super) fn new(into: &ExportInto, talk: Talk) -> Self {
        Self {
            telling: Telling::new(into.dry_run, into.json, talk),
            count: Count::default(),
        }
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
            Err(error) => {
                let is_about_data = is_about_data(&error);
                self.telling.left(name, error, is_about_data)
            }
        }
    }

    fn exported(&mut self, name: &str, export: &Export) -> Result<(), Failure> {
        match export.left.is_empty() {
            true => self.count.same += 1,
            false => self.count.different += 1,
        }
        self.count.written += export.unwritten;
        console::print(match self.telling.json {
            true => self.object(name, export).to_string(),
            false => self.text(name, export),
        })
    }

    /// How many mailboxes there were of each kind.
    pub(super) fn summary(&self) -> String {
        let count = &self.count;
        let same = (count.same, "listed there as here");
        let mut summary = self
            .telling
            .summary(same, &[(count.different, "not in all")]);
        if count.empty > 0 {
            let _ = write!(summary, ", {} with nothing to write", count.empty);
        }
        let _ = match self.telling.dry_run {
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
        self.telling.verdict("written")?;
        if count.same + count.different == 0 {
            let what = format!("there is no mail at `{}`", root.display());
            return Err(Failure::new(ExitCode::Data, what)
                .hint("is it where the other server keeps its mail?"));
        }
        if self.telling.dry_run && count.different > 0 {
            return Err(differs(count.different, "not be listed as here"));
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
                let what = if self.telling.dry_run { planned } else { done };
                let _ = write!(text, "; {} {what}", counted(count, noun));
            }
        }
        self.telling
            .differences(&mut text, export.left.iter().map(sentence));
        text
    }

    fn object(&self, name: &str, export: &Export) -> Value {
        let left: Vec<Value> = export.left.iter().map(object).collect();
        let (written, renamed) = match self.telling.dry_run {
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
