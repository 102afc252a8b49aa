//! How far a long run is, on a terminal.

use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::flags::Talk;

const SEARCHING: &str = "{spinner} searching: {pos} mailboxes";
const GOING: &str = "{wide_bar} {pos} of {len} mailboxes, {eta} left";

/// A bar on stderr; nothing where stderr is no terminal or nothing is to be said.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(crate) fn begin(talk: Talk) -> Self {
        // It knows by itself that a pipe is no terminal.
        let target = match talk.quiet || !io::stderr().is_terminal() {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr(),
        };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(style(SEARCHING));
        Self { bar }
    }

    /// So many mailboxes were found until now.
    pub(crate) fn found(&self, count: usize) {
        self.bar.set_position(count as u64);
    }

    /// So many mailboxes are to be done.
    pub(crate) fn expect(&self, count: usize) {
        self.bar.set_style(style(GOING));
        self.bar.set_length(count as u64);
        self.bar.set_position(0);
        self.bar.reset_elapsed();
    }

    /// One mailbox more is done.
    pub(crate) fn done(&self) {
        self.bar.inc(1);
    }

    /// Lets `say` write while the bar is out of the way.
    pub(crate) fn aside<T>(&self, say: impl FnOnce() -> T) -> T {
        self.bar.suspend(say)
    }

    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("a template of ours")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_sound() {
        style(SEARCHING);
        style(GOING);
    }
}
