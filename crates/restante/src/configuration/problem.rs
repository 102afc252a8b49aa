//! What is wrong with a configuration, where, and what to do about it.

use std::{fmt, path::PathBuf};

/// A position in the configuration file, both counted from 1; columns count characters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Place {
    /// The line.
    pub(crate) line: usize,
    /// The character in the line.
    pub(crate) column: usize,
}

impl Place {
    /// The place of the octet at `offset` of `text`.
    pub(crate) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Problem {
    /// Where; `None` if it is about a key that the file does not have.
    pub(crate) place: Option<Place>,
    /// What: lower case, one clause, the key in backticks.
    pub(crate) text: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl Problem {
    /// A problem without a place yet.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            place: None,
            text: text.into(),
            hint: None,
        }
    }

    /// Says where it is.
    pub(crate) fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Says what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// All that is wrong with a configuration, in the order of the file. Never empty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Problems {
    /// The file; `None` when the built-in defaults are in force.
    pub(crate) file: Option<PathBuf>,
    /// At least one.
    pub(crate) list: Vec<Problem>,
}

impl Problems {
    /// The problems of `file`, sorted by place.
    pub(crate) fn new(file: Option<PathBuf>, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| problem.place);
        Self { file, list }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            match &self.file {
                Some(file) => write!(f, "{}:", file.display())?,
                None => write!(f, "built-in configuration:")?,
            }
            if let Some(Place { line, column }) = problem.place {
                write!(f, "{line}:{column}:")?;
            }
            write!(f, " error: {}", problem.text)?;
            if let Some(hint) = &problem.hint {
                write!(f, "\n  hint: {hint}")?;
            }
        }
        Ok(())
    }
}
