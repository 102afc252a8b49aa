//! Moments as people write them, and as they are shown: in UTC, to the second.

use std::{fmt, time::Duration};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::configuration::parse_duration;

/// A second of the calendar.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Moment(u64);

impl Moment {
    /// The moment so many seconds after 1970 began.
    pub(crate) fn new(unix_seconds: u64) -> Self {
        Self(unix_seconds)
    }

    /// Reads `3d` (ago), `2026-01-31` (its beginning in UTC) or what RFC 3339 has.
    pub(crate) fn parse(written: &str, now: Duration) -> Option<Self> {
        if let Some(ago) = parse_duration(written) {
            return now.checked_sub(ago).map(|moment| Self(moment.as_secs()));
        }
        let of_day = || OffsetDateTime::parse(&format!("{written}T00:00:00Z"), &Rfc3339);
        let parsed = OffsetDateTime::parse(written, &Rfc3339).or_else(|_| of_day());
        let seconds = parsed.ok()?.unix_timestamp();
        u64::try_from(seconds).ok().map(Self)
    }

    pub(crate) fn unix_seconds(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.0).ok();
        let date = seconds.and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
        match date.and_then(|date| date.format(&Rfc3339).ok()) {
            Some(text) => f.pad(&text),
            // Beyond the year 9999: a clock or a name was wrong.
            None => write!(f, "@{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_764_108_603);

    fn parsed(written: &str) -> Option<String> {
        Moment::parse(written, NOW).map(|moment| moment.to_string())
    }

    #[test]
    fn moments_are_read_as_people_write_them() {
        for (written, shown) in [
            ("0s", "2025-11-25T22:10:03Z"),
            ("2h", "2025-11-25T20:10:03Z"),
            ("3d", "2025-11-22T22:10:03Z"),
            ("2025-11-25", "2025-11-25T00:00:00Z"),
            ("2025-11-25T10:00:00+01:00", "2025-11-25T09:00:00Z"),
            ("2025-11-25T10:00:00Z", "2025-11-25T10:00:00Z"),
        ] {
            assert_eq!(parsed(written).as_deref(), Some(shown), "{written}");
        }
    }

    #[test]
    fn what_is_no_moment_is_not_guessed() {
        for written in [
            "",
            "yesterday",
            "10",
            "2025-02-30",
            "2025-11-25T10:00:00",
            "25.11.2025",
            "99999w",
            "1969-12-31",
            "60y",
        ] {
            assert_eq!(parsed(written), None, "{written}");
        }
    }

    #[test]
    fn a_moment_beyond_the_calendar_is_shown_as_it_is() {
        assert_eq!(Moment::new(u64::MAX).to_string(), format!("@{}", u64::MAX));
    }
}
