//! Whose DELE counts, when a message leaves a mailbox, and what is shown of it: what an account
//! chooses.

use std::{fmt, str::FromStr, time::Duration};

use crate::{FolderName, ShownFolders};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What an account has chosen. The default is classic RFC 1939.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Policy {
    /// Whose DELE counts.
    pub delete: DeleteMode,
    /// When a message leaves the mailbox.
    pub keep: Keep,
    /// After how long mail leaves that nobody has retrieved or deleted; `None`: never.
    pub expire_unfetched: Option<Duration>,
    /// How long a device may be unused before nobody waits for it any more.
    pub device_inactive_after: Duration,
}

/// Whose DELE counts.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum DeleteMode {
    /// All credentials share one view: what one deletes is deleted for all.
    #[default]
    Shared,
    /// Each device has a view of its own: what one deletes, the others still get.
    PerDevice,
}

/// When a message leaves the mailbox for the trash.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Keep {
    /// When every active view has retrieved it whole, or deleted it, and said QUIT.
    UntilFetched,
    /// When every active view has deleted it.
    #[default]
    UntilDeleted,
    /// So long after it arrived, and only if some view has retrieved or deleted it.
    For(Duration),
    /// Never.
    Forever,
}

/// What a new device sees of the mail that is there already.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Show {
    /// All of it.
    All,
    /// What has arrived within this time.
    Last(Duration),
    /// Nothing: only what comes from now on.
    #[default]
    New,
}

/// What a device may do with the mail that it sees.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Access {
    /// Read it and delete it.
    #[default]
    Full,
    /// Read it. It cannot delete, so it is done with a message when it has retrieved it.
    ReadOnly,
}

/// How far back mail is shown.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Span {
    /// All of it.
    #[default]
    All,
    /// What has arrived within this time.
    Last(Duration),
}

/// What of a mailbox a view shows. The default is all of INBOX.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Shows {
    /// Only what has arrived within this time; `None`: all. What is too old is not listed, and
    /// stays: nobody has deleted it.
    pub last: Option<Duration>,
    /// What is shown besides INBOX. One that does not exist is empty.
    pub folders: ShownFolders,
    /// This folder and nothing else, as it is: who logs in has named it. `None`: INBOX and
    /// [`Shows::folders`].
    pub only: Option<FolderName>,
}

/// A text that says none of the choices there are.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{wanted} is wanted")]
pub struct ChoiceError {
    wanted: &'static str,
}

impl fmt::Display for DeleteMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shared => "shared",
            Self::PerDevice => "per-device",
        })
    }
}

impl FromStr for DeleteMode {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        match text {
            "shared" => Ok(Self::Shared),
            "per-device" => Ok(Self::PerDevice),
            _ => Err(ChoiceError {
                wanted: "`shared` or `per-device`",
            }),
        }
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UntilFetched => f.write_str("until-fetched"),
            Self::UntilDeleted => f.write_str("until-deleted"),
            Self::For(time) => write_time(*time, f),
            Self::Forever => f.write_str("forever"),
        }
    }
}

impl FromStr for Keep {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        match text {
            "until-fetched" => Ok(Self::UntilFetched),
            "until-deleted" => Ok(Self::UntilDeleted),
            "forever" => Ok(Self::Forever),
            _ => time(text).map(Self::For).ok_or(ChoiceError {
                wanted: "`until-fetched`, `until-deleted`, `forever` or a time like `30d`",
            }),
        }
    }
}

impl fmt::Display for Show {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Last(time) => write_time(*time, f),
            Self::New => f.write_str("new"),
        }
    }
}

impl FromStr for Show {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        match text {
            "all" => Ok(Self::All),
            "new" => Ok(Self::New),
            _ => time(text).map(Self::Last).ok_or(ChoiceError {
                wanted: "`all`, `new` or a time like `30d`",
            }),
        }
    }
}

impl Span {
    /// The time within which mail is shown; `None`: all of it is.
    #[must_use]
    pub fn last(self) -> Option<Duration> {
        match self {
            Self::All => None,
            Self::Last(time) => Some(time),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Last(time) => write_time(*time, f),
        }
    }
}

impl FromStr for Span {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        match text {
            "all" => Ok(Self::All),
            _ => time(text).map(Self::Last).ok_or(ChoiceError {
                wanted: "`all` or a time like `30d`",
            }),
        }
    }
}

/// Units of time by their letters, in seconds, the largest first.
const UNITS: [(&str, u64); 5] = [
    ("w", 7 * 24 * 60 * 60),
    ("d", 24 * 60 * 60),
    ("h", 60 * 60),
    ("m", 60),
    ("s", 1),
];
/// Nobody keeps mail for longer without saying `forever`.
const CENTURY: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// Writes whole seconds in the largest unit that is exact; people say 14 days, not two weeks.
fn write_time(time: Duration, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let seconds = time.as_secs();
    let exact = UNITS
        .iter()
        .skip(1)
        .find(|(_, unit)| seconds.is_multiple_of(*unit));
    let (letter, unit) = exact.copied().unwrap_or(("s", 1));
    write!(f, "{}{letter}", seconds / unit)
}

/// Reads a whole number, not 0, and a unit.
fn time(text: &str) -> Option<Duration> {
    let (letter, unit) = UNITS.iter().find(|(letter, _)| text.ends_with(letter))?;
    let number = text.strip_suffix(letter)?;
    let is_number = number.bytes().all(|octet| octet.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| is_number)?;
    let time = Duration::from_secs(number.checked_mul(*unit)?);
    (!time.is_zero() && time <= CENTURY).then_some(time)
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            delete: DeleteMode::default(),
            keep: Keep::default(),
            expire_unfetched: None,
            device_inactive_after: 60 * DAY,
        }
    }
}

impl Policy {
    /// Whether DELE alone moves a message to the trash, at once: nothing has to be remembered.
    pub(crate) fn is_classic(&self) -> bool {
        self.delete == DeleteMode::Shared && self.keep == Keep::UntilDeleted
    }

    /// Whether it matters what a view has retrieved that may do so much.
    pub(crate) fn counts_retrieved(&self, access: Access) -> bool {
        let only_reads = self.delete == DeleteMode::PerDevice && access == Access::ReadOnly;
        match self.keep {
            Keep::UntilFetched | Keep::For(_) => true,
            Keep::UntilDeleted => only_reads || self.expire_unfetched.is_some(),
            Keep::Forever => false,
        }
    }

    /// Whether a message may leave because it is old.
    pub(crate) fn goes_by_age(&self) -> bool {
        let unfetched = self.keep != Keep::Forever && self.expire_unfetched.is_some();
        unfetched || matches!(self.keep, Keep::For(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(days: u64) -> Duration {
        Duration::from_secs(days * 24 * 60 * 60)
    }

    #[test]
    fn choices_are_written_as_they_are_read() {
        for (text, keep) in [
            ("until-fetched", Keep::UntilFetched),
            ("until-deleted", Keep::UntilDeleted),
            ("30d", Keep::For(days(30))),
            ("36h", Keep::For(Duration::from_secs(36 * 60 * 60))),
            ("90s", Keep::For(Duration::from_secs(90))),
            ("forever", Keep::Forever),
        ] {
            assert_eq!(text.parse(), Ok(keep));
            assert_eq!(keep.to_string(), text);
        }
        for (text, show) in [
            ("all", Show::All),
            ("new", Show::New),
            ("7d", Show::Last(days(7))),
        ] {
            assert_eq!(text.parse(), Ok(show));
            assert_eq!(show.to_string(), text);
        }
        for (text, span) in [("all", Span::All), ("30d", Span::Last(days(30)))] {
            assert_eq!(text.parse(), Ok(span));
            assert_eq!(span.to_string(), text);
        }
        for (text, mode) in [
            ("shared", DeleteMode::Shared),
            ("per-device", DeleteMode::PerDevice),
        ] {
            assert_eq!(text.parse(), Ok(mode));
            assert_eq!(mode.to_string(), text);
        }
        assert_eq!("48h".parse::<Keep>().unwrap().to_string(), "2d");
        assert_eq!("2w".parse::<Keep>().unwrap().to_string(), "14d");
    }

    #[test]
    fn what_is_no_choice_is_refused() {
        for text in [
            "",
            "d",
            "0d",
            "-1d",
            "+1d",
            "1",
            "1 d",
            "1y",
            "Forever",
            "36601d",
            "99999999999999999999d",
        ] {
            assert!(text.parse::<Keep>().is_err(), "{text:?}");
            assert!(text.parse::<Show>().is_err(), "{text:?}");
            assert!(text.parse::<Span>().is_err(), "{text:?}");
            assert!(text.parse::<DeleteMode>().is_err(), "{text:?}");
        }
    }
}
