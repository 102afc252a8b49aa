//! What was asked and is not answered, in the order of the line.

use std::collections::VecDeque;

use crate::{chain::Tag, state::EntryId};

/// A command whose answer has not come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    Retrieve(Tag),
    /// To see who a message is.
    Top(Tag),
    /// To deliver its header.
    Header(Tag),
    Delete(Tag, EntryId),
    Quit,
}

/// Commands without an answer, oldest first.
///
/// Operations: one is added, the oldest is answered, and at each step it is asked how many of them
/// bring mail. Plan: a queue, and a count beside it.
#[derive(Default)]
pub(super) struct Unanswered {
    queue: VecDeque<Asked>,
    bringing: usize,
}

impl Asked {
    /// Whether its answer is a message or a header.
    const fn brings_mail(self) -> bool {
        matches!(self, Self::Retrieve(_) | Self::Top(_) | Self::Header(_))
    }
}

impl Unanswered {
    pub(super) fn push(&mut self, asked: Asked) {
        self.bringing += usize::from(asked.brings_mail());
        self.queue.push_back(asked);
    }

    pub(super) fn pop(&mut self) -> Option<Asked> {
        let asked = self.queue.pop_front()?;
        self.bringing -= usize::from(asked.brings_mail());
        Some(asked)
    }

    pub(super) fn oldest(&self) -> Option<Asked> {
        self.queue.front().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many of them bring messages or headers.
    pub(super) const fn bringing(&self) -> usize {
        self.bringing
    }

    /// Whether nothing can be asked any more.
    pub(super) fn ends(&self) -> bool {
        matches!(self.queue.back(), Some(Asked::Quit))
    }

    /// Whether a message's header is on its way that tells who it is.
    pub(super) fn identify(&self) -> bool {
        self.queue.iter().any(|it| matches!(it, Asked::Top(_)))
    }
}
