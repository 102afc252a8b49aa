//! What a store counts, for whoever watches it. Counting is adding to an atomic number.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Upper bounds of the classes of durations, in seconds.
const CLASSES: [f64; 9] = [0.001, 0.004, 0.016, 0.064, 0.25, 1.0, 4.0, 16.0, 64.0];

/// What a store has counted since it was made.
#[derive(Debug, Default)]
pub struct Figures {
    /// How long those waited who found a session lock taken, also when in vain.
    pub session_lock_waits: Durations,
    /// How long those waited who found a mailbox lock taken, also when in vain.
    pub mailbox_lock_waits: Durations,
    /// Mailboxes of which memory still had a listing when they were opened.
    pub opened_from_memory: AtomicU64,
    /// Mailboxes of which a listing was read from the cache's files.
    pub opened_from_file: AtomicU64,
    /// Mailboxes of which nothing was known.
    pub opened_unknown: AtomicU64,
}

/// Durations, counted in classes.
#[derive(Debug, Default)]
pub struct Durations {
    /// By [`CLASSES`]; the last is for all that took longer.
    classes: [AtomicU64; CLASSES.len() + 1],
    microseconds: AtomicU64,
}

impl Durations {
    /// Counts one.
    pub fn count(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let class = CLASSES.partition_point(|bound| *bound < seconds);
        if let Some(counter) = self.classes.get(class) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        let microseconds = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.microseconds.fetch_add(microseconds, Ordering::Relaxed);
    }

    /// How many fell into each class, with its upper bound in seconds; the last has none.
    pub fn classes(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let bounds = CLASSES.into_iter().chain([f64::INFINITY]);
        let numbers = self.classes.iter();
        bounds.zip(numbers.map(|number| number.load(Ordering::Relaxed)))
    }

    /// All of them together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.microseconds.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_class_that_holds_them() {
        let durations = Durations::default();
        for milliseconds in [0, 1, 2, 250, 251, 100_000] {
            durations.count(Duration::from_millis(milliseconds));
        }
        let classes: Vec<(f64, u64)> = durations.classes().filter(|(_, n)| *n > 0).collect();
        let expected = [
            (0.001, 2),
            (0.004, 1),
            (0.25, 1),
            (1.0, 1),
            (f64::INFINITY, 1),
        ];
        assert_eq!(classes, expected);
        assert_eq!(durations.sum(), Duration::from_millis(100_504));
    }
}
