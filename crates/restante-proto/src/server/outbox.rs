//! What the machine has to say and to ask for, until the driver fetches it.

use alloc::vec::Vec;
use core::mem;

use super::Action;
use crate::{Language, response::Response};

/// Response lines and at most one action. The lines come before the action.
#[derive(Default)]
pub(super) struct Outbox {
    pub(super) language: Language,
    octets: Vec<u8>,
    action: Option<Action>,
}

impl Outbox {
    pub(super) fn say(&mut self, response: Response) {
        response.write(self.language, &mut self.octets);
    }

    pub(super) fn act(&mut self, action: Action) {
        self.action = Some(action);
    }

    /// For answers that are not from the table of texts.
    pub(super) const fn octets(&mut self) -> &mut Vec<u8> {
        &mut self.octets
    }

    /// Moves the lines to `out`.
    pub(super) fn flush(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.octets);
    }

    pub(super) const fn take_action(&mut self) -> Option<Action> {
        self.action.take()
    }

    /// Gives memory back; an idle session holds none.
    pub(super) fn release(&mut self) {
        if self.octets.is_empty() {
            mem::take(&mut self.octets);
        }
    }
}
