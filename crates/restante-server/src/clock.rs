//! The protocol machine's time: how long its connection has lasted.

use std::time::Duration;

use tokio::time::Instant;

/// Counts from the moment a connection was accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// A clock that shows zero.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// What it shows.
    pub(crate) fn now(self) -> Duration {
        self.0.elapsed()
    }

    /// When it will show `time`.
    pub(crate) fn at(self, time: Duration) -> Instant {
        self.0 + time
    }
}
