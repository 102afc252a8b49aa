//! What is said of each mailbox: data to stdout, refusals and the summary to stderr.
//!
//! Names of files are strangers' words; they are shown escaped.

use std::{fmt::Write as _, path::Path};

use restante_maildrop::{Difference, Survey};
use serde_json::{Value, json};

use super::Refusal;
use crate::{
    commands::spool::{Telling, differs, shown},
    console,
    exit_code::ExitCode,
    failure::Failure,
    flags::{ImportHow, Talk},
    quantity::counted,
};

/// What was found so far.
pub(super) struct Report {
    pub(super) telling: Telling,
    /// Where the other server's listing comes from: a file's name, or the server's.
    source: String,
    count: Count,
}

#[derive(Default)]
struct Count {
    same: usize,
    different: usize,
    without: usize,
}

impl Report {
    pub(super) fn new(how: ImportHow, source: &str, talk: Talk) -> Self {
        Self {
            telling: Telling::new(how.dry_run, how.json, talk),
            source: source.to_owned(),
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
        outcome: Result<Option<Survey>, Refusal>,
    ) -> Result<(), Failure> {
        match outcome {
            Ok(None) => self.count.without += 1,
            Ok(Some(survey)) => return self.surveyed(name, &survey),
            Err(refusal) => {
                let is_about_data = refusal.is_about_data();
                return self.telling.left(name, refusal, is_about_data);
            }
        }
        Ok(())
    }

    /// Tells what became of a mailbox.
    ///
    /// # Errors
    /// Stdout cannot be written.
    pub(super) fn surveyed(&mut self, name: &str, survey: &Survey) -> Result<(), Failure> {
        match survey.differences.is_empty() {
            true => self.count.same += 1,
            false => self.count.different += 1,
        }
        console::print(match self.telling.json {
            true => self.object(name, survey).to_string(),
            false => self.text(name, survey),
        })
    }

    /// How many mailboxes there were of each kind.
    pub(super) fn summary(&self) -> String {
        let Count {
            same,
            different,
            without,
        } = self.count;
        let same = (same, "listed as before");
        let mut summary = self
            .telling
            .summary(same, &[(different, "listed otherwise")]);
        if without > 0 {
            let _ = write!(summary, ", {without} without `{}`", self.source);
        }
        if self.telling.dry_run {
            summary.push_str("; nothing was stored");
        }
        summary
    }

    /// How the run ends.
    ///
    /// # Errors
    /// Not everything is as it was asked for.
    pub(super) fn verdict(&self, root: &Path) -> Result<(), Failure> {
        let count = &self.count;
        self.telling.verdict("stored")?;
        if count.same + count.different == 0 {
            let what = format!("no Maildir has `{}`", self.source);
            let hint = format!("is `{}` where the other server keeps it?", root.display());
            return Err(Failure::new(ExitCode::Data, what).hint(hint));
        }
        if self.telling.dry_run && count.different > 0 {
            return Err(differs(count.different, "be listed otherwise"));
        }
        Ok(())
    }

    fn text(&self, name: &str, survey: &Survey) -> String {
        let mut text = format!("{name}: {}", counted(survey.given, "message"));
        match survey.differences.len() {
            0 => text.push_str(" as before"),
            count => _ = write!(text, ", {count} listed otherwise"),
        }
        if survey.arrived > 0 {
            let _ = write!(text, ", {} new", survey.arrived);
        }
        if let Some([first, last]) = &survey.ends {
            let _ = write!(text, "; `{}` to `{}`", shown(first), shown(last));
        }
        if survey.later > 0 {
            let _ = write!(
                text,
                "; unchanged since an earlier import: {}",
                survey.later
            );
        }
        if survey.unstored > 0 {
            let done = match self.telling.dry_run {
                true => "to store",
                false => "stored",
            };
            let _ = write!(text, "; {} {done}", counted(survey.unstored, "unique-id"));
        }
        let differences = survey.differences.iter();
        let sentences = differences.map(|difference| self.sentence(difference));
        self.telling.differences(&mut text, sentences);
        text
    }

    fn sentence(&self, difference: &Difference) -> String {
        match difference {
            Difference::UniqueId {
                base,
                old,
                new,
                why,
            } => format!(
                "{}: unique-id `{}` becomes {}: {why}",
                shown(base),
                shown(old),
                new_id(new.as_deref()),
            ),
            Difference::Unlisted { base, new } => format!(
                "{}: not in `{}`, though it is older; unique-id {}",
                shown(base),
                self.source,
                new_id(new.as_deref()),
            ),
            Difference::Order { base, old, new } => {
                format!("{}: message {old} becomes message {new}", shown(base))
            }
            Difference::Absent { number, unique_id } => format!(
                "message {number} there, `{}`: none that is here is surely the same",
                shown(unique_id)
            ),
            Difference::Size { base, old, new } => {
                format!("{}: size {old} becomes {new}", shown(base))
            }
            other => format!("{other:?}"),
        }
    }

    fn object(&self, name: &str, survey: &Survey) -> Value {
        let differences: Vec<Value> = survey.differences.iter().map(object).collect();
        let stored = match self.telling.dry_run {
            true => "to_store",
            false => "stored",
        };
        json!({
            "mailbox": name,
            "status": match differences.is_empty() {
                true => "same",
                false => "different",
            },
            "messages": survey.given,
            "first": survey.ends.as_ref().map(|[first, _]| shown(first)),
            "last": survey.ends.as_ref().map(|[_, last]| shown(last)),
            "new": survey.arrived,
            "gone": survey.gone,
            "later": survey.later,
            stored: survey.unstored,
            "differences": differences,
        })
    }
}

fn object(difference: &Difference) -> Value {
    let id = |id: &Option<Vec<u8>>| id.as_deref().map(shown);
    match difference {
        Difference::UniqueId {
            base,
            old,
            new,
            why,
        } => json!({
            "kind": "unique-id",
            "name": shown(base),
            "old": shown(old),
            "new": id(new),
            "why": why.to_string(),
        }),
        Difference::Unlisted { base, new } => json!({
            "kind": "unlisted",
            "name": shown(base),
            "new": id(new),
        }),
        Difference::Order { base, old, new } => json!({
            "kind": "order",
            "name": shown(base),
            "old": old,
            "new": new,
        }),
        Difference::Absent { number, unique_id } => json!({
            "kind": "absent",
            "number": number,
            "old": shown(unique_id),
        }),
        Difference::Size { base, old, new } => json!({
            "kind": "size",
            "name": shown(base),
            "old": old.0,
            "new": new.0,
        }),
        other => json!({"kind": format!("{other:?}")}),
    }
}

fn new_id(id: Option<&[u8]>) -> String {
    id.map_or("a new one".to_owned(), |id| format!("`{}`", shown(id)))
}
