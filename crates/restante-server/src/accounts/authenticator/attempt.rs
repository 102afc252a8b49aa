//! The time of a failure.

use std::time::Duration;

use tokio::time::Instant;

use super::hashing::Turn;

/// One attempt to log in, from the moment when all that the client had to say had arrived.
pub(super) struct Attempt {
    began: Instant,
    failure_time: Duration,
    /// When a slow hash is computed for it.
    pub(super) turn: Turn,
    /// Tells it from other attempts, if it can be told.
    pub(super) fingerprint: Option<u64>,
    /// Whether a slow hash has been computed for it.
    pub(super) has_hashed: bool,
}

impl Attempt {
    pub(super) fn begin(failure_time: Duration, turn: Turn) -> Self {
        Self {
            began: Instant::now(),
            failure_time,
            turn,
            fingerprint: None,
            has_hashed: false,
        }
    }

    /// Waits until the failure may be answered: `failure_time` after the begin, or a multiple of
    /// it if the work took longer, so that even then the answer does not show how long.
    pub(super) async fn wait(self) {
        let step = self.failure_time.as_nanos().max(1);
        let steps = self.began.elapsed().as_nanos().div_ceil(step).max(1);
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        tokio::time::sleep_until(self.began + self.failure_time.saturating_mul(steps)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger() -> Turn {
        Turn::stranger([192, 0, 2, 1].into())
    }

    /// How long a failure takes whose work took `work` milliseconds.
    async fn answered_after(work: u64) -> u128 {
        let began = Instant::now();
        let attempt = Attempt::begin(Duration::from_secs(2), stranger());
        tokio::time::sleep(Duration::from_millis(work)).await;
        attempt.wait().await;
        began.elapsed().as_millis()
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_answered_at_multiples_of_the_failure_time() {
        for (work, answered) in [
            (0, 2000),
            (1, 2000),
            (1999, 2000),
            (2000, 2000),
            (2001, 4000),
        ] {
            assert_eq!(answered_after(work).await, answered, "{work}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_failure_time_means_no_delay() {
        let began = Instant::now();
        Attempt::begin(Duration::ZERO, stranger()).wait().await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
