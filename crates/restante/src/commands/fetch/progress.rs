//! How far it has come, for a person at a terminal.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// In units of a thousand, as all other sizes are told.
const BAR: &str = "{wide_bar} {msg}, {decimal_bytes} of {decimal_total_bytes}, \
                   {decimal_bytes_per_sec}, {eta} left";

/// One bar for all accounts. It is drawn when there is something to fetch, and not before.
pub(super) struct Progress {
    bar: ProgressBar,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    /// Where the bar is drawn when there is something to show.
    target: Option<ProgressDrawTarget>,
    wanted: u64,
    arrived: u64,
    /// What is still to come of each account's last plan, in messages and in octets.
    left: HashMap<String, (u64, u64)>,
}

impl Progress {
    /// `target`: where it is drawn.
    pub(super) fn new(target: ProgressDrawTarget) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        bar.set_style(style());
        let counts = Counts {
            target: Some(target),
            ..Counts::default()
        };
        Self {
            bar,
            counts: Mutex::new(counts),
        }
    }

    /// So much of an account's mail is to come. A plan takes the place of the one before: what that
    /// has not brought is in this one.
    pub(super) fn planned(&self, account: &str, messages: u64, octets: u64) {
        let mut counts = self.counts();
        let left = counts.left.insert(account.to_owned(), (messages, octets));
        let (messages_before, octets_before) = left.unwrap_or_default();
        counts.wanted = (counts.wanted + messages).saturating_sub(messages_before);
        let length = self.bar.length().unwrap_or_default();
        let length = length.saturating_add(octets).saturating_sub(octets_before);
        self.bar.set_length(length);
        self.tell(&counts);
        // The first that is seen of it is true.
        if octets > 0
            && let Some(target) = counts.target.take()
        {
            self.bar.set_draw_target(target);
            self.bar.reset_elapsed();
        }
    }

    /// Octets of a message have come.
    pub(super) fn received(&self, account: &str, octets: u64) {
        if let Some((_, left)) = self.counts().left.get_mut(account) {
            *left = left.saturating_sub(octets);
        }
        self.bar.inc(octets);
    }

    /// A message has arrived.
    pub(super) fn arrived(&self, account: &str) {
        let mut counts = self.counts();
        counts.arrived += 1;
        if let Some((left, _)) = counts.left.get_mut(account) {
            *left = left.saturating_sub(1);
        }
        self.tell(&counts);
    }

    /// Shows something else for a moment.
    pub(super) fn suspend(&self, show: impl FnOnce()) {
        self.bar.suspend(show);
    }

    /// It is over.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn tell(&self, counts: &Counts) {
        let Counts {
            arrived, wanted, ..
        } = counts;
        self.bar
            .set_message(format!("{arrived} of {wanted} messages"));
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template(BAR).expect("a template of ours")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(progress: &Progress) -> (bool, u64, u64, String) {
        let bar = &progress.bar;
        let is_drawn = progress.counts().target.is_none();
        let length = bar.length().unwrap_or_default();
        (is_drawn, bar.position(), length, bar.message())
    }

    #[test]
    fn nothing_is_drawn_where_nothing_is_to_come() {
        let progress = Progress::new(ProgressDrawTarget::hidden());
        progress.planned("work", 0, 0);
        assert!(!shown(&progress).0);
        progress.planned("home", 2, 300);
        assert_eq!(
            shown(&progress),
            (true, 0, 300, "0 of 2 messages".to_owned())
        );
        progress.end();
    }

    #[test]
    fn what_a_broken_line_has_left_is_counted_once() {
        let progress = Progress::new(ProgressDrawTarget::hidden());
        progress.planned("work", 3, 300);
        progress.planned("home", 1, 50);
        progress.received("work", 100);
        progress.arrived("work");
        // Half of the second one is lost with the line.
        progress.received("work", 50);
        progress.planned("work", 2, 200);
        assert_eq!(
            shown(&progress),
            (true, 150, 400, "1 of 4 messages".to_owned())
        );
    }
}
