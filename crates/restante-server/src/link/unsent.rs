//! How long commands take: from the line that was taken to the answer that was handed over.

use std::{sync::Arc, time::Duration};

use restante_proto::{Keyword, server::Answered};

use crate::{clock::Clock, metrics::Metrics};

/// How many commands are remembered. Who waits for each answer has one; an idle session holds the
/// room for all.
const COMMANDS_MAX: usize = 4;

/// Commands whose answers are complete and wait to be handed over. Times stand apart from what they
/// are of, because together they would take twice the room.
pub(crate) struct Unsent {
    metrics: Arc<Metrics>,
    clock: Clock,
    /// By the clock, in microseconds.
    taken: [u64; COMMANDS_MAX],
    /// `Some(None)` was no command.
    keywords: [Option<Option<Keyword>>; COMMANDS_MAX],
}

impl Unsent {
    /// No commands yet; `clock` is the one that the session has its times from.
    pub(crate) fn new(metrics: Arc<Metrics>, clock: Clock) -> Self {
        Self {
            metrics,
            clock,
            taken: [0; COMMANDS_MAX],
            keywords: [None; COMMANDS_MAX],
        }
    }

    /// The answer to one more is complete. In a long pipeline those before it are counted now,
    /// when they are about to be handed over together.
    pub(super) fn add(&mut self, command: Answered) {
        if self.keywords.iter().all(Option::is_some) {
            self.handed_over();
        }
        let mut places = self.keywords.iter_mut().zip(&mut self.taken);
        if let Some((keyword, taken)) = places.find(|(keyword, _)| keyword.is_none()) {
            *keyword = Some(command.keyword);
            *taken = microseconds(command.taken);
        }
    }

    /// All answers that were complete have been handed over.
    pub(super) fn handed_over(&mut self) {
        if self.keywords.iter().all(Option::is_none) {
            return;
        }
        let now = microseconds(self.clock.now());
        for (keyword, taken) in self.keywords.iter_mut().zip(&self.taken) {
            if let Some(keyword) = keyword.take() {
                let time = Duration::from_micros(now.saturating_sub(*taken));
                self.metrics.answered(keyword, time);
            }
        }
    }
}

/// Half a million years fit.
fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
