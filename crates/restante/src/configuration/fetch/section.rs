//! One table of the file, taken apart key by key.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::configuration::{
    document::article,
    key::nearest_of,
    problem::{Place, Problem},
    value::Wrong,
};

/// A table, of which keys are taken until none is left.
pub(super) struct Section<'t> {
    text: &'t str,
    /// What stands before its keys in messages: `account.`, or nothing.
    prefix: String,
    span: Range<usize>,
    entries: Vec<Entry<'t>>,
    known: Vec<&'static str>,
    problems: Vec<Problem>,
}

struct Entry<'t> {
    name: String,
    span: Range<usize>,
    value: Spanned<DeValue<'t>>,
}

impl<'t> Section<'t> {
    pub(super) fn new(text: &'t str, prefix: &str, table: Spanned<DeTable<'t>>) -> Self {
        let span = table.span();
        let entries = table.into_inner().into_iter().map(|(name, value)| Entry {
            span: name.span(),
            name: name.into_inner().into_owned(),
            value,
        });
        Self {
            text,
            prefix: prefix.into(),
            span,
            entries: entries.collect(),
            known: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// A value as a table; otherwise what is wrong with it.
    pub(super) fn of_value(
        text: &'t str,
        prefix: &str,
        value: Spanned<DeValue<'t>>,
    ) -> Result<Self, Problem> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => {
                let table = Spanned::new(span, table);
                Ok(Self::new(text, prefix, table))
            }
            other => {
                let name = prefix.trim_end_matches('.');
                let what = format!("`{name}` is a table, not {}", article(&other));
                Err(Problem::new(what).at(Place::of(text, span.start)))
            }
        }
    }

    /// Takes a key with `parse`; `None`: it is not there, or wrong, which is then a problem.
    pub(super) fn take<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&Spanned<DeValue<'_>>) -> Result<T, Wrong>,
    ) -> Option<T> {
        let (_, value) = self.take_any(key)?;
        match parse(&value) {
            Ok(value) => Some(value),
            Err(wrong) => {
                let place = Place::of(self.text, wrong.span.start);
                let text = format!("`{}{key}` {}", self.prefix, wrong.text);
                let mut problem = Problem::new(text).at(place);
                problem.hint = wrong.hint;
                self.problems.push(problem);
                None
            }
        }
    }

    /// As [`Section::take`], of a key that must be there.
    pub(super) fn need<T>(
        &mut self,
        key: &'static str,
        example: &str,
        parse: impl FnOnce(&Spanned<DeValue<'_>>) -> Result<T, Wrong>,
    ) -> Option<T> {
        if !self.has(key) {
            self.known.push(key);
            let problem = Problem::new(format!("`{}{key}` is missing", self.prefix));
            let problem = problem.hint(format!("write `{key} = {example}`"));
            self.object(problem);
            return None;
        }
        self.take(key, parse)
    }

    /// Takes a key's value as it is, and where it stands.
    pub(super) fn take_any(&mut self, key: &'static str) -> Option<(Place, Spanned<DeValue<'t>>)> {
        self.known.push(key);
        let at = self.entries.iter().position(|entry| entry.name == key)?;
        let entry = self.entries.remove(at);
        Some((Place::of(self.text, entry.span.start), entry.value))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.name == key)
    }

    /// Where the table stands.
    pub(super) fn place(&self) -> Place {
        Place::of(self.text, self.span.start)
    }

    /// Adds a problem; without a place it is the table's.
    pub(super) fn object(&mut self, problem: Problem) {
        let place = problem.place.unwrap_or_else(|| self.place());
        self.problems.push(problem.at(place));
    }

    /// All that was wrong; a key that nobody has taken is unknown.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        for entry in self.entries {
            let near = nearest_of(&entry.name, self.known.iter().copied());
            let hint = near.map_or_else(
                || "all keys are in docs/fetch.md".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            let problem = Problem::new(format!("unknown key `{}{}`", self.prefix, entry.name));
            let place = Place::of(self.text, entry.span.start);
            self.problems.push(problem.at(place).hint(hint));
        }
        self.problems
    }
}
