//! What one view lists of a mailbox: all messages but those that are hidden from it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use restante_proto::{MessageNumber, Messages as _, Mode};

use super::{contents::arrived, layout::Mailbox, snapshot::Snapshot};
use crate::{
    Clock, MessageTable, Shows,
    message_table::{MessageTableBuilder, Sizes},
    views::{Eye, Views},
};

const HOUR_SECONDS: u64 = 60 * 60;

/// What a view looks through.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Lens {
    eye: Eye,
    /// What arrived before this hour is not shown, counted from 1970.
    from_hour: Option<u64>,
    place: Seen,
}

/// Of which folders messages are seen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Seen {
    /// Of all that are looked at.
    All,
    /// Of one of those besides INBOX; `None`: of INBOX.
    One(Option<usize>),
    /// The folder that was asked for does not exist.
    None,
}

impl Lens {
    /// The lens of a view of the mailbox for an hour: polls within it list the same.
    pub(crate) fn new(mailbox: &Mailbox, eye: Eye, shows: &Shows, clock: &Clock) -> Self {
        let begin = |last| clock.now().saturating_sub(last).as_secs() / HOUR_SECONDS;
        let place = match &shows.only {
            None => Seen::All,
            Some(only) if only.is_inbox() => Seen::One(None),
            Some(only) => match mailbox.besides().position(|one| one.name == *only) {
                Some(beside) => Seen::One(Some(beside)),
                None => Seen::None,
            },
        };
        Self {
            eye,
            from_hour: shows.last.map(begin),
            place,
        }
    }

    /// Whether both are of the same view, at two times perhaps.
    pub(crate) fn is_of_same_view(&self, other: &Self) -> bool {
        (self.eye, self.place) == (other.eye, other.place)
    }

    fn sees_all(&self, snapshot: &Snapshot, views: &Views) -> bool {
        let everywhere = match self.place {
            Seen::All => true,
            Seen::One(None) => !snapshot.has_besides(),
            Seen::One(_) | Seen::None => false,
        };
        everywhere && views.hide_nothing() && self.from_hour.is_none()
    }

    fn shows(&self, snapshot: &Snapshot, number: MessageNumber, views: &Views) -> bool {
        let columns = snapshot.columns();
        let row = number.index();
        let old = |from| {
            let arrived = arrived(columns.name(row), columns.stored(row).modified);
            arrived / HOUR_SECONDS < from
        };
        let here = match self.place {
            Seen::All => true,
            Seen::One(beside) => columns.folder(row).besides() == beside,
            Seen::None => false,
        };
        if !here {
            return false;
        }
        let id = snapshot.table().unique_id(number);
        !views.hide(self.eye, id.as_bytes()) && !self.from_hour.is_some_and(old)
    }
}

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
    /// What is seen of the snapshot. Where that is all, it takes no memory of its own.
    pub(crate) fn of(snapshot: &Snapshot, lens: Lens, views: &Views) -> Self {
        let all = snapshot.table();
        let whole = Self {
            table: Arc::clone(all),
            rows: None,
            measured: AtomicUsize::new(0),
        };
        if lens.sees_all(snapshot, views) {
            return whole;
        }
        let numbers = (1..=all.count()).filter_map(MessageNumber::new);
        let shown = numbers.filter(|&number| lens.shows(snapshot, number, views));
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
