//! Failures on demand.

use std::{collections::HashMap, io, sync::Mutex};

use super::unpoisoned;

/// What can be made to fail.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// Opening a mailbox.
    Open,
    /// Measuring, as a whole.
    Measure,
    /// Opening a body.
    Read,
    /// One chunk of a body.
    Chunk,
    /// Removing one message in an update.
    Remove,
    /// Delivering to one recipient.
    Deliver,
    /// An operator's edit, before it begins.
    Edit,
    /// Looking at a mailbox from the operator's side.
    Look,
}

/// Which operations are to fail: for each, how many succeed before.
#[derive(Debug, Default)]
pub(super) struct Failures {
    planned: Mutex<HashMap<Operation, Vec<u32>>>,
}

impl Failures {
    pub(super) fn plan(&self, operation: Operation, succeeding: u32) {
        unpoisoned(&self.planned)
            .entry(operation)
            .or_default()
            .push(succeeding);
    }

    /// Counts the operation; fails if a plan says that it is the one.
    pub(super) fn check(&self, operation: Operation) -> io::Result<()> {
        let mut planned = unpoisoned(&self.planned);
        let Some(plans) = planned.get_mut(&operation) else {
            return Ok(());
        };
        let due = plans.contains(&0);
        plans.retain(|&succeeding| succeeding > 0);
        plans.iter_mut().for_each(|succeeding| *succeeding -= 1);
        match due {
            true => Err(io::Error::other("failure planned by the test")),
            false => Ok(()),
        }
    }
}
