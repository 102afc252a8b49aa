//! Why a command ended without doing what was asked, in words for the person who asked.

use std::{error::Error, fmt};

use crate::{configuration::problem::Problems, exit_code::ExitCode, quantity::counted};

/// A failure as it is shown: what went wrong with what, why, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    code: ExitCode,
    /// Stands before the error, in lines of its own.
    details: String,
    what: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
    hint: Option<String>,
}

impl Failure {
    /// `what` names the thing and the deed that failed, lower case, without full stop.
    pub(crate) fn new(code: ExitCode, what: impl Into<String>) -> Self {
        Self {
            code,
            details: String::new(),
            what: what.into(),
            cause: None,
            hint: None,
        }
    }

    /// Adds the error behind it; its own sources are shown too.
    pub(crate) fn caused_by(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds what the reader can do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Ends the program with another code.
    pub(crate) fn with_code(mut self, code: ExitCode) -> Self {
        self.code = code;
        self
    }

    /// What went wrong and why, in one clause.
    pub(crate) fn clause(&self) -> String {
        let mut clause = self.what.clone();
        let mut cause = self
            .cause
            .as_ref()
            .map(|cause| &**cause as &(dyn Error + 'static));
        while let Some(error) = cause {
            clause.push_str(": ");
            clause.push_str(&error.to_string());
            cause = error.source();
        }
        clause
    }

    /// How the program ends because of it.
    pub(crate) fn code(&self) -> ExitCode {
        self.code
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        let count = counted(problems.list.len(), "problem");
        Self {
            details: format!("{problems}\n"),
            ..Self::new(
                ExitCode::Configuration,
                format!("nothing was done: the configuration has {count}"),
            )
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}error: {}", self.details, self.clause())?;
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_failure_shows_what_why_and_what_to_do() {
        let failure = Failure::new(ExitCode::Io, "cannot read `a.pem`")
            .caused_by(io::Error::other("disk on fire"))
            .hint("put it out");
        assert_eq!(
            failure.to_string(),
            "error: cannot read `a.pem`: disk on fire\nhint: put it out"
        );
        assert_eq!(failure.code() as u8, 74);
    }
}
