//! Which time may be trusted: clocks jump, and a jump must not make mail leave.
//!
//! **What is known** is only what the clock showed when somebody looked, in the order of looking.
//! So a moment counts as past only when two looks in a row, a day apart, have both shown it: the
//! *trusted* time is that of the earlier look. A clock that jumps a year ahead and is put right
//! within a day moves nothing; one that is ahead for longer cannot be told from time that has
//! passed. The price is that what is due leaves a day or two later.
//!
//! **A clock that was behind** has dated mail too early, and so it has what devices did; nobody
//! knows for how long. When it is right again, all mail that is there counts as having arrived just
//! now, and all devices as used just now.

use std::time::Duration;

/// Two looks are so far apart before the earlier is believed.
const APART_SECONDS: u64 = 24 * 60 * 60;
/// A clock is put right by so much all the time.
const SLACK_SECONDS: u64 = 60 * 60;

/// What looks at the clock have shown, in Unix seconds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Times {
    /// The latest look that is believed.
    pub(super) trusted: Option<u64>,
    /// The look that is believed when the clock has gone on for a day.
    pub(super) seen: Option<u64>,
    /// The latest time that ever was trusted; 0: none was.
    pub(super) highest: u64,
    /// What a clock showed that is behind.
    pub(super) behind: Option<u64>,
    /// When a clock that had been behind was right again.
    pub(super) righted: u64,
}

impl Times {
    /// Whether a look at the clock that shows `now` tells something new.
    pub(super) fn want(&self, now: u64) -> bool {
        self.seen.is_none_or(|seen| {
            now >= seen.saturating_add(APART_SECONDS) || now.saturating_add(SLACK_SECONDS) < seen
        })
    }

    /// Takes in what the clock shows.
    pub(super) fn observe(&mut self, now: u64) {
        // Where nothing is trusted yet, the last look is all there is.
        let floor = match self.highest {
            0 => self.seen.unwrap_or_default(),
            highest => highest,
        };
        if now.saturating_add(SLACK_SECONDS) < floor {
            (self.behind, self.highest) = (Some(now), floor);
        } else if self.behind.take().is_some() {
            self.righted = now;
        }
        match self.seen {
            None => self.seen = Some(now),
            Some(seen) if now >= seen.saturating_add(APART_SECONDS) => {
                (self.trusted, self.seen) = (Some(seen), Some(now));
                self.highest = self.highest.max(seen);
            }
            Some(seen) if now.saturating_add(SLACK_SECONDS) < seen => {
                self.seen = Some(now);
                self.trusted = self.trusted.map(|trusted| trusted.min(now));
            }
            Some(_) => {}
        }
    }

    /// What may be believed while the clock shows `now`: nothing later.
    pub(super) fn at(self, now: u64) -> Self {
        Self {
            trusted: self.trusted.map(|trusted| trusted.min(now)),
            ..self
        }
    }

    /// Whether `after` has surely passed since `moment`.
    pub(super) fn is_past(&self, moment: u64, after: Duration) -> bool {
        let end = moment.saturating_add(after.as_secs());
        self.trusted.is_some_and(|trusted| trusted >= end)
    }

    /// When something happened at the latest, that seems to have happened then.
    pub(super) fn at_latest(&self, seems: u64) -> u64 {
        seems.max(self.righted)
    }
}
