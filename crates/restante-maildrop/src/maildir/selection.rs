//! What one view lists of a mailbox: all messages but those that are hidden from it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use restante_proto::{MessageNumber, Messages as _, Mode};

use super::snapshot::Snapshot;
use crate::{
    MessageTable,
    message_table::{MessageTableBuilder, Sizes},
    views::{Eye, Views},
};

/// The messages of a snapshot that a view lists, shared by its sessions.
#[derive(Debug)]
pub(crate) struct Selection {
    table: Arc<MessageTable>,
    /// The row of each message; `None`: all rows are listed.
    rows: Option<Box<[u32]>>,
    /// All messages below this index have a size.
    measured: AtomicUsize,
}

impl Selection {
    /// What `eye` sees of the snapshot. What is hidden from nobody takes no memory of its own.
    pub(crate) fn of(snapshot: &Snapshot, eye: Eye, views: &Views) -> Self {
        let all = snapshot.table();
        let whole = Self {
            table: Arc::clone(all),
            rows: None,
            measured: AtomicUsize::new(0),
        };
        if views.hide_nothing() {
            return whole;
        }
        let numbers = (1..=all.count()).filter_map(MessageNumber::new);
        let shown = numbers.filter(|&number| !views.hide(eye, all.unique_id(number).as_bytes()));
        let shown: Vec<MessageNumber> = shown.collect();
        if shown.len() == all.count() as usize {
            return whole;
        }
        let columns = snapshot.columns();
        let mut table = MessageTableBuilder::beside(Arc::clone(columns.names()));
        for &number in &shown {
            table.push_id(all.unique_id(number), columns.name_start(number.index()));
        }
        let octets = |number: &MessageNumber| all.octets(*number, Mode::Plain);
        let table = table.build_with(Sizes::new(shown.iter().map(octets)));
        Self {
            table: Arc::new(table),
            rows: Some(shown.iter().map(|number| number.get() - 1).collect()),
            measured: AtomicUsize::new(0),
        }
    }

    /// The listing.
    pub(crate) fn table(&self) -> &Arc<MessageTable> {
        &self.table
    }

    /// How many messages are listed.
    pub(crate) fn len(&self) -> usize {
        self.table.count() as usize
    }

    /// Where the message at `index` of the listing stands in the snapshot.
    pub(crate) fn row(&self, index: usize) -> Option<usize> {
        match &self.rows {
            Some(rows) => rows.get(index).map(|&row| row as usize),
            None => (index < self.len()).then_some(index),
        }
    }

    /// The first message below `through` whose size is not known, by index. Sizes that another
    /// session has learned are taken over.
    pub(crate) fn first_unmeasured(&self, snapshot: &Snapshot, through: usize) -> Option<usize> {
        if self.rows.is_none() {
            return snapshot.first_unmeasured(through);
        }
        let sizes = snapshot.columns().sizes();
        let from = self.measured.load(Ordering::Relaxed);
        let through = through.min(self.len());
        let found = (from..through).find(|&index| {
            let Some(octets) = self.row(index).and_then(|row| sizes.at(row)) else {
                return true;
            };
            if let Some(number) = MessageNumber::from_index(index) {
                self.table.measured(number, octets);
            }
            false
        });
        self.measured
            .fetch_max(found.unwrap_or(through), Ordering::Relaxed);
        found
    }

    /// How many octets of memory it takes beside the snapshot.
    pub(crate) fn memory_octets(&self) -> usize {
        match &self.rows {
            // The names are the snapshot's.
            Some(rows) => size_of::<Self>() + size_of_val(&**rows) + 13 * rows.len(),
            None => 0,
        }
    }
}
