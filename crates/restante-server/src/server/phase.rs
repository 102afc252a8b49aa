//! How a server comes to its end, as its connections see it.

use std::{future::pending, time::Duration};

use tokio::{select, sync::watch, time::sleep};

/// A session of a stopping server is at work as long as its client does not pause for longer: a
/// program that fetches mail needs less, and a person who types may be sent away.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Whether connections go on.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Phase {
    /// They do.
    Running,
    /// Those that are at work do; new ones are not served.
    Draining,
    /// They end once the running command is done.
    Ending,
    /// They end now.
    Stopped,
}

/// Tells one session, once, that it is to end.
pub(crate) struct Stop {
    phase: watch::Receiver<Phase>,
    told: bool,
}

impl Stop {
    pub(crate) fn new(phase: watch::Receiver<Phase>) -> Self {
        Self { phase, told: false }
    }

    /// Completes when a session that waits for its client is to end, and never again after that.
    pub(crate) async fn requested(&mut self) {
        if self.told {
            return pending().await;
        }
        reached(&mut self.phase, Phase::Draining).await;
        select! {
            () = reached(&mut self.phase, Phase::Ending) => {}
            () = sleep(PAUSE_MAX) => {}
        }
        self.told = true;
    }

    /// Whether a session that does not wait is to end; `true` once.
    pub(crate) fn take(&mut self) -> bool {
        let now = !self.told && *self.phase.borrow() >= Phase::Ending;
        self.told |= now;
        now
    }
}

/// Completes when the server is in `phase` or beyond.
pub(crate) async fn reached(watched: &mut watch::Receiver<Phase>, phase: Phase) {
    // An error means that the server is gone, which is beyond everything.
    let _ = watched.wait_for(|&now| now >= phase).await;
}
