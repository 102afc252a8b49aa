//! What time it is, or what a test says it is.

mod watch;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

pub(crate) use self::watch::Watch;

/// A clock of the time of day. Clones of a clock moved by hand show the same time.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Absent: the system's clock is read.
    by_hand: Option<Arc<ByHand>>,
}

/// What a clock that is moved by hand shows, in nanoseconds.
#[derive(Debug)]
struct ByHand {
    /// Since 1970.
    shown: AtomicU64,
    /// That have passed.
    passed: AtomicU64,
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that shows `now`, counted from 1970, until it is advanced.
    #[must_use]
    pub fn by_hand(now: Duration) -> Self {
        Self {
            by_hand: Some(Arc::new(ByHand {
                shown: AtomicU64::new(nanoseconds(now)),
                passed: AtomicU64::new(0),
            })),
        }
    }

    /// The time since 1970; 0 if the system's clock stands before.
    #[must_use]
    pub fn now(&self) -> Duration {
        match &self.by_hand {
            Some(by_hand) => Duration::from_nanos(by_hand.shown.load(Ordering::Relaxed)),
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        }
    }

    /// How much time has passed since some moment, whatever the clock was set to meanwhile.
    #[must_use]
    pub fn passed(&self) -> Duration {
        static BEGIN: OnceLock<Instant> = OnceLock::new();
        match &self.by_hand {
            Some(by_hand) => Duration::from_nanos(by_hand.passed.load(Ordering::Relaxed)),
            None => BEGIN.get_or_init(Instant::now).elapsed(),
        }
    }

    /// Sets a clock that is moved by hand to another time, earlier or later: no time passes.
    pub fn set(&self, now: Duration) {
        if let Some(by_hand) = &self.by_hand {
            by_hand.shown.store(nanoseconds(now), Ordering::Relaxed);
        }
    }

    /// Lets time pass on a clock that is moved by hand; the system's clock stays as it is.
    pub fn advance(&self, by: Duration) {
        if let Some(by_hand) = &self.by_hand {
            let by = nanoseconds(by);
            by_hand.shown.fetch_add(by, Ordering::Relaxed);
            by_hand.passed.fetch_add(by, Ordering::Relaxed);
        }
    }
}

/// Nanoseconds, as far as 64 bits go: until the year 2554.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
