//! How much may be on its way at once.

use super::{Limits, request::Request};

/// Counts what was asked for and has not come (R2449-PIPE-4, PRJ-FETCH-11).
///
/// Operations: a command is sent, a piece of an answer comes, an answer is complete. Goal: the line
/// is never idle, and little is lost when the session ends early. Plan: fill the window; once it
/// is full, let half of it drain before it is filled again, so that commands go out in few large
/// pieces instead of one after each answer.
#[derive(Default)]
pub(super) struct Window {
    /// Expected octets of answers.
    octets: u64,
    /// Octets of commands without a complete answer.
    command_octets: usize,
    draining: bool,
}

impl Window {
    /// Whether `request` may go out behind commands that are unanswered.
    pub(super) fn admits(&mut self, request: &Request, limits: &Limits) -> bool {
        let (octets_max, commands_max) =
            (limits.window_octets, limits.command_octets_in_flight_max);
        if self.draining && (self.octets > octets_max / 2 || self.command_octets > commands_max / 2)
        {
            return false;
        }
        let octets = self.octets.saturating_add(request.expected);
        let command_octets = self.command_octets.saturating_add(request.line_octets());
        self.draining = octets > octets_max || command_octets > commands_max;
        !self.draining
    }

    pub(super) fn sent(&mut self, expected: u64, command_octets: usize) {
        self.octets = self.octets.saturating_add(expected);
        self.command_octets = self.command_octets.saturating_add(command_octets);
    }

    /// These octets of what was expected are not expected any more.
    pub(super) const fn received(&mut self, octets: u64) {
        self.octets = self.octets.saturating_sub(octets);
    }

    pub(super) const fn answered(&mut self, expected: u64, command_octets: usize) {
        self.received(expected);
        self.command_octets = self.command_octets.saturating_sub(command_octets);
    }

    /// Nothing is unanswered any more.
    pub(super) const fn empty(&mut self) {
        self.octets = 0;
        self.command_octets = 0;
        self.draining = false;
    }
}
