//! An open maildrop of the Maildir store.

use std::{
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use restante_proto::{MessageNumber, Mode, Part};
use tokio::{sync::Semaphore, task};

use super::{
    ahead,
    deliver::blocking,
    ending::Ending,
    onlookers::Asker,
    reading::Reading,
    retention::{Occasion, Retention},
    selection::Selection,
    visits,
};
use crate::{
    Access, Body, Lost, Maildrop, Marks, MessageTable, Policy, ReadError, Rest, ShownFolders,
    UpdateError, Updated, ViewName, VisitEnd,
};

/// A step of measuring reads at most so many octets (but one message at least), so that it ends
/// soon after nobody waits for it any more.
const STEP_OCTETS_MAX: u64 = 32 << 20;
const STEP_MESSAGES_MAX: usize = 512;

/// A snapshot of a Maildir under the lock of its view.
#[derive(Debug)]
pub struct MaildirMaildrop {
    reading: Arc<Reading>,
    /// What the view lists.
    selection: Arc<Selection>,
    seat: Seat,
    retention: Retention,
    /// What its end is to the trash.
    occasion: Occasion,
    /// So many threads measure at the same time.
    measuring: Arc<Semaphore>,
    released: AtomicBool,
}

/// Whose session it is.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub(super) view: ViewName,
    pub(super) policy: Policy,
    pub(super) access: Access,
    /// What the account shows besides INBOX.
    pub(super) shown: ShownFolders,
    /// Whether the mailbox knew the device when the session began.
    pub(super) known: bool,
}

impl Seat {
    /// Who sits there, and what it may do.
    pub(super) fn who(&self) -> (&ViewName, Access) {
        (&self.view, self.access)
    }
}

impl MaildirMaildrop {
    pub(super) fn new(
        reading: Reading,
        selection: Arc<Selection>,
        seat: Seat,
        retention: Retention,
        occasion: Occasion,
        measuring: Arc<Semaphore>,
    ) -> Self {
        Self {
            reading: Arc::new(reading),
            selection,
            seat,
            retention,
            occasion,
            measuring,
            released: AtomicBool::new(false),
        }
    }

    /// How many octets of memory the snapshot takes that this session shares with others.
    #[must_use]
    pub fn memory_octets(&self) -> usize {
        self.reading.snapshot.memory_octets()
    }

    /// The row of `number` in the snapshot, if it is in the listing.
    fn row(&self, number: MessageNumber) -> Result<usize, ReadError> {
        let row = self.selection.row(number.index());
        row.ok_or(ReadError::Gone)
    }

    /// What was opened ahead, if it is still what was listed.
    async fn ahead(&self, index: usize) -> Option<Body> {
        let body = self.reading.ahead.take(index).await?;
        match &body.rest {
            Rest::File { file, .. } => self.reading.is_as_listed(index, file).then_some(body),
            _ => Some(body),
        }
    }
}

impl Maildrop for MaildirMaildrop {
    fn messages(&self) -> &Arc<MessageTable> {
        self.selection.table()
    }

    async fn measure(&self, _mode: Mode, through: MessageNumber) -> Result<(), ReadError> {
        let through = through.get() as usize;
        let mut measured = false;
        let unmeasured = || {
            self.selection
                .first_unmeasured(&self.reading.snapshot, through)
        };
        while let Some(from) = unmeasured() {
            let permit = Arc::clone(&self.measuring).acquire_owned().await;
            let (reading, selection) = (Arc::clone(&self.reading), Arc::clone(&self.selection));
            let step = blocking(move || {
                let indices = from..through.min(selection.len());
                let done = measure_step(&reading, indices.filter_map(|at| selection.row(at)));
                drop(permit);
                done
            });
            step.await.map_err(ReadError::Temporary)??;
            measured = true;
        }
        let all = through >= self.selection.len();
        if measured && all && self.reading.snapshot.is_unsaved() {
            let reading = Arc::clone(&self.reading);
            let saved = blocking(move || reading.snapshot.save(&reading.mailbox));
            saved.await.map_err(ReadError::Temporary)?;
        }
        Ok(())
    }

    async fn read(
        &self,
        number: MessageNumber,
        _mode: Mode,
        _part: Part,
    ) -> Result<Body, ReadError> {
        let index = self.row(number)?;
        if let Some(body) = self.ahead(index).await {
            return Ok(body);
        }
        if let Some(body) = self.reading.body_at_once(index)? {
            self.reading.waits.store(false, Ordering::Relaxed);
            return Ok(body);
        }
        self.reading.waits.store(true, Ordering::Relaxed);
        let reading = Arc::clone(&self.reading);
        let body = blocking(move || reading.body(index)).await;
        body.map_err(ReadError::Temporary)?
    }

    fn read_ahead(&self, next: RangeInclusive<MessageNumber>) {
        if self.reading.waits.load(Ordering::Relaxed) {
            let numbers = (next.start().index()..=next.end().index()).take(self.selection.len());
            ahead::begin(
                &self.reading,
                numbers.filter_map(|index| self.selection.row(index)),
            );
        }
    }

    fn distrust(&self, number: MessageNumber) {
        if let Ok(index) = self.row(number) {
            self.reading.snapshot.look_again(index);
        }
    }

    async fn lost(&self) -> Lost {
        // The operating system takes no lock away; credentials are the server's to watch.
        std::future::pending().await
    }

    async fn update(self, marks: Marks) -> Result<Updated, UpdateError> {
        let (reading, retention) = (Arc::clone(&self.reading), self.retention.clone());
        let marked = marks.deleted.len();
        let updated = blocking(move || {
            reading.ahead.close();
            if reading.snapshot.is_unsaved() {
                reading.snapshot.save(&reading.mailbox);
            }
            let ending = Ending {
                reading: &reading,
                selection: &self.selection,
                seat: &self.seat,
                retention: &retention,
            };
            let updated = ending.apply(&marks);
            // After the deletions are durable, or the journal might tell of what never was.
            let end = match &updated {
                Ok(_) => VisitEnd::Quit,
                Err(_) => VisitEnd::Incomplete,
            };
            self.record(end, &marks);
            if marked == 0 {
                let asker = Asker::View(&self.seat.view);
                retention.purge_if_due(&reading.mailbox, asker, self.occasion);
            }
            // Before anybody is told: the client may log in again at once.
            self.release();
            updated
        });
        updated.await.unwrap_or_else(|panicked| {
            Err(UpdateError::Incomplete {
                marked,
                failed: marked,
                cause: panicked,
            })
        })
    }

    async fn leave(self, mut marks: Marks) {
        marks.deleted.clear();
        if marks.are_none() {
            return;
        }
        let left = blocking(move || {
            self.record(VisitEnd::Left, &marks);
            self.release();
        });
        if let Err(panicked) = left.await {
            tracing::error!(error = %panicked, "a session's end panicked");
        }
    }
}

impl MaildirMaildrop {
    fn record(&self, end: VisitEnd, marks: &Marks) {
        let (mailbox, table) = (&self.reading.mailbox, self.selection.table());
        let (clock, view) = (&self.retention.clock, &self.seat.view);
        visits::record(mailbox, clock, view, end, (table, marks));
    }

    fn release(&self) {
        if !self.released.swap(true, Ordering::Relaxed) {
            self.reading.ahead.close();
            self.reading.lock.release(self.reading.mailbox.disk());
        }
    }
}

impl Drop for MaildirMaildrop {
    fn drop(&mut self) {
        self.release();
        if !self.reading.snapshot.is_unsaved() {
            return;
        }
        // What this session has learned is kept, without keeping anybody waiting.
        let reading = Arc::clone(&self.reading);
        let save = move || reading.snapshot.save(&reading.mailbox);
        match tokio::runtime::Handle::try_current() {
            Ok(_) => drop(task::spawn_blocking(save)),
            Err(_) => save(),
        }
    }
}

/// Measures messages of these rows that have no size, as far as one step goes.
fn measure_step(reading: &Reading, rows: impl Iterator<Item = usize>) -> Result<(), ReadError> {
    let columns = reading.snapshot.columns();
    let (mut octets, mut count) = (0, 0);
    for row in rows {
        if columns.sizes().at(row).is_some() {
            continue;
        }
        reading.measure(row)?;
        octets += columns.stored(row).octets;
        count += 1;
        if octets >= STEP_OCTETS_MAX || count >= STEP_MESSAGES_MAX {
            break;
        }
    }
    reading.snapshot.save_much(&reading.mailbox);
    Ok(())
}
