//! The configuration file as a document: its keys checked against the table, its values read with
//! the place of whatever is wrong.

use std::{collections::BTreeMap, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    key::{self, Acts, Known},
    problem::{Place, Problem},
    value::Wrong,
};

/// A file that was read, and all that was found wrong with it so far.
pub(super) struct Document<'t> {
    text: &'t str,
    entries: BTreeMap<&'static str, Spanned<DeValue<'t>>>,
    problems: Vec<Problem>,
}

impl<'t> Document<'t> {
    /// Reads TOML text and checks every key: syntax, unknown keys, keys of later versions.
    pub(super) fn parse(text: &'t str) -> Self {
        let mut document = Self {
            text,
            entries: BTreeMap::new(),
            problems: Vec::new(),
        };
        match DeTable::parse(text) {
            Ok(table) => document.take_table("", table.into_inner()),
            Err(error) => {
                let place = Place::of(text, error.span().map_or(0, |span| span.start));
                let problem = Problem::new(format!("not TOML: {}", error.message())).at(place);
                document.problems.push(problem);
            }
        }
        document
    }

    /// Reads the value of a key with `parse`; `None` if the file does not have it or it is wrong,
    /// which is then among the problems.
    pub(super) fn read<T>(
        &mut self,
        path: &'static str,
        parse: impl FnOnce(&Spanned<DeValue<'_>>) -> Result<T, Wrong>,
    ) -> Option<T> {
        debug_assert!(
            matches!(key::find(path), Some(Known::Key(key)) if key.acts != Acts::Later),
            "`{path}` is not in the table of keys"
        );
        match parse(self.entries.get(path)?) {
            Ok(value) => Some(value),
            Err(wrong) => {
                let place = self.place(wrong.span);
                let mut problem = Problem::new(format!("`{path}` {}", wrong.text)).at(place);
                problem.hint = wrong.hint;
                self.problems.push(problem);
                None
            }
        }
    }

    /// Whether the file has this key, right or wrong.
    pub(super) fn has(&self, path: &str) -> bool {
        self.entries.contains_key(path)
    }

    /// Adds what was found out about a key after reading it.
    pub(super) fn object(&mut self, path: &'static str, problem: Problem) {
        let place = self.entries.get(path).map(|entry| self.place(entry.span()));
        self.problems.push(Problem { place, ..problem });
    }

    /// Where each key's value stands, and all problems.
    pub(super) fn finish(self) -> (BTreeMap<&'static str, Place>, Vec<Problem>) {
        let places = self
            .entries
            .iter()
            .map(|(path, value)| (*path, self.place(value.span())))
            .collect();
        (places, self.problems)
    }

    fn take_table(&mut self, prefix: &str, table: DeTable<'t>) {
        for (name, value) in table {
            let path = match prefix {
                "" => name.get_ref().to_string(),
                _ => format!("{prefix}.{}", name.get_ref()),
            };
            self.take_entry(&path, name.span(), value);
        }
    }

    fn take_entry(&mut self, path: &str, span: Range<usize>, value: Spanned<DeValue<'t>>) {
        let place = self.place(span);
        match key::find(path) {
            Some(Known::Key(key)) if key.acts == Acts::Later => {
                self.problems
                    .push(not_supported(&format!("`{path}`")).at(place));
            }
            Some(Known::Key(key)) => {
                self.entries.insert(key.path, value);
            }
            Some(Known::Table) => match value.into_inner() {
                DeValue::Table(table) => self.take_table(path, table),
                other => {
                    let text = format!("`{path}` is a table, not {}", article(&other));
                    let hint = format!("write `[{path}]` and its keys below");
                    self.problems.push(Problem::new(text).at(place).hint(hint));
                }
            },
            None => {
                let problem = Problem::new(format!("unknown key `{path}`")).at(place);
                let hint = key::nearest(path).map_or_else(
                    || "all keys are in docs/configuration.md".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
                self.problems.push(problem.hint(hint));
            }
        }
    }

    fn place(&self, span: Range<usize>) -> Place {
        Place::of(self.text, span.start)
    }
}

/// The problem with something that is documented for a later version.
pub(super) fn not_supported(what: &str) -> Problem {
    Problem::new(format!("{what} is not supported by this version"))
        .hint("remove it: nothing would act on it")
}

/// A value's type with its article, for messages.
pub(super) fn article(value: &DeValue<'_>) -> String {
    match value.type_str() {
        kind @ ("integer" | "array") => format!("an {kind}"),
        kind => format!("a {kind}"),
    }
}
