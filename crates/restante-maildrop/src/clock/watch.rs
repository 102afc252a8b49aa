//! A clock that jumps ahead is not believed for a day, in which it may be put right.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::Clock;

/// A clock is put right by so much all the time.
const JUMP: Duration = Duration::from_secs(60 * 60);
/// A clock that has jumped is believed after so long.
const DOUBTED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// What a clock has shown to this process, where something may go for good by it.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    last: Mutex<Option<Look>>,
}

/// What the clock showed when this process looked at it last.
#[derive(Clone, Copy, Debug)]
struct Look {
    shown: Duration,
    /// How much time had passed by then, whatever the clock showed.
    passed: Duration,
    /// When so much has passed it is believed.
    believed: Duration,
}

impl Watch {
    /// What the clock shows, since 1970, if it is believed: it has not gone on by more than the
    /// time that has passed since the last look.
    pub(crate) fn look(&self, clock: &Clock) -> Option<Duration> {
        let (shown, passed) = (clock.now(), clock.passed());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let believed = match *last {
            Some(last) if shown > last.shown + passed.saturating_sub(last.passed) + JUMP => {
                passed + DOUBTED_FOR
            }
            Some(last) => last.believed,
            None => passed,
        };
        *last = Some(Look {
            shown,
            passed,
            believed,
        });
        (passed >= believed).then_some(shown)
    }
}
