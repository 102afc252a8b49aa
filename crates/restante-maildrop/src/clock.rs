//! What time it is, or what a test says it is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A clock of the time of day. Clones of a clock moved by hand show the same time.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Nanoseconds since 1970; absent: the system's clock is read.
    by_hand: Option<Arc<AtomicU64>>,
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
            by_hand: Some(Arc::new(AtomicU64::new(nanoseconds(now)))),
        }
    }

    /// The time since 1970; 0 if the system's clock stands before.
    #[must_use]
    pub fn now(&self) -> Duration {
        match &self.by_hand {
            Some(now) => Duration::from_nanos(now.load(Ordering::Relaxed)),
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        }
    }

    /// Lets a clock that is moved by hand show another time, earlier or later.
    pub fn set(&self, now: Duration) {
        if let Some(shown) = &self.by_hand {
            shown.store(nanoseconds(now), Ordering::Relaxed);
        }
    }

    /// Moves a clock that is moved by hand; the system's clock stays as it is.
    pub fn advance(&self, by: Duration) {
        if let Some(now) = &self.by_hand {
            now.fetch_add(nanoseconds(by), Ordering::Relaxed);
        }
    }
}

/// Nanoseconds, as far as 64 bits go: until the year 2554.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
