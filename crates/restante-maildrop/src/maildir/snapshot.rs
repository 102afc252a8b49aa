//! What an open mailbox looks like, shared by all sessions that found it so.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use restante_proto::UniqueId;

use super::{
    cache::{self, Cached, Remembered, format::Edition},
    columns::{Columns, Size},
    file_stamp::FileStamp,
    layout::Mailbox,
    listing::Stamps,
    notices::Notices,
    scan::{self, Corrections, Known, Scanned, Unlisted},
    selection::{Lens, Selection},
    unique_ids::{Listed, UniqueIds},
    view_log::ViewLog,
};
use crate::{MessageTable, Policy, ShownFolders, message_table::MessageTableBuilder};

/// Sizes are written to the cache when so many more are known, at the latest when a session ends.
const UNSAVED_MAX: usize = 8192;

/// A mailbox's messages at one moment. Sizes become known; nothing else changes. What turns out
/// to be wrong is noted for the next snapshot.
#[derive(Debug)]
pub(crate) struct Snapshot {
    columns: Columns,
    table: Arc<MessageTable>,
    stamps: Stamps,
    has_besides: bool,
    /// The state of `state/unique-ids` that the table was made with.
    ids: FileStamp,
    corrections: Mutex<Corrections>,
    unlisted: Unlisted,
    cached: Mutex<InCache>,
    /// How many facts the cache does not have yet.
    unsaved: AtomicUsize,
    /// All messages below this index have a size.
    measured: AtomicUsize,
    seen: Mutex<Seen>,
}

/// What the mailbox's views have done, and what follows from it for these messages.
#[derive(Debug, Default)]
struct Seen {
    log: Arc<ViewLog>,
    /// By these policies no message has to leave, where an account shows these folders.
    settled: Vec<(Policy, ShownFolders)>,
    /// What views list.
    selections: Vec<(Lens, Arc<Selection>)>,
}

/// What the cache has of a snapshot.
#[derive(Clone, Debug, Default)]
struct InCache {
    /// Which `messages` the columns refer to.
    edition: Option<Edition>,
    stamps: Stamps,
}

/// Finds what the mailbox holds now, from what an earlier snapshot or the cache knew, and writes
/// to the cache what is new. `now` reads the file system's own clock. Blocks.
///
/// # Errors
/// Those of listing, of looking at files, and of settling unique-ids.
pub(crate) fn load(
    mailbox: &Mailbox,
    notices: &Notices,
    earlier: Option<Arc<Snapshot>>,
    now: &mut dyn FnMut() -> io::Result<i64>,
) -> io::Result<Arc<Snapshot>> {
    let ids = FileStamp::now(mailbox, UniqueIds::FILE)?;
    let figures = mailbox.disk().figures();
    let snapshot = match earlier {
        Some(earlier) => {
            figures.opened_from_memory.fetch_add(1, Ordering::Relaxed);
            // Before its rows are read: they must never refer to an older `messages` than this.
            // A save that comes between makes this one old, and the next one writes all rows.
            let cached = earlier.cached().clone();
            let known = Known {
                columns: &earlier.columns,
                stamps: &earlier.stamps,
                corrections: &earlier.corrections().clone(),
            };
            let found = match scan::scan(mailbox, notices, known, now)? {
                None if earlier.ids == ids => return Ok(earlier),
                None => Scanned::unchanged(earlier.columns.copy(), earlier.stamps.clone()),
                Some(found) => found,
            };
            let unsaved = earlier.unsaved.load(Ordering::Relaxed);
            let snapshot = Snapshot::new(mailbox, found, ids, cached, unsaved)?;
            snapshot.see(&earlier.view_log());
            snapshot
        }
        None => {
            let Cached {
                columns,
                stamps,
                edition,
            } = cache::load(mailbox);
            let opened = match edition {
                Some(_) => &figures.opened_from_file,
                None => &figures.opened_unknown,
            };
            opened.fetch_add(1, Ordering::Relaxed);
            let known = Known {
                columns: &columns,
                stamps: &stamps,
                corrections: &Corrections::new(),
            };
            let found = scan::scan(mailbox, notices, known, now)?;
            let found = found.unwrap_or_else(|| Scanned::unchanged(columns, stamps.clone()));
            Snapshot::new(mailbox, found, ids, InCache { edition, stamps }, 0)?
        }
    };
    if snapshot.unsaved.load(Ordering::Relaxed) > 0 {
        snapshot.save(mailbox);
    }
    Ok(Arc::new(snapshot))
}

impl Snapshot {
    fn new(
        mailbox: &Mailbox,
        found: Scanned,
        ids: FileStamp,
        cached: InCache,
        unsaved: usize,
    ) -> io::Result<Self> {
        let table = table(mailbox, &found, ids)?;
        let gained = |folder| {
            let stamp = found.stamps.of(folder);
            stamp.trusted && stamp != cached.stamps.of(folder)
        };
        let new = found.changed || mailbox.folders().any(gained);
        Ok(Self {
            columns: found.columns,
            table: Arc::new(table),
            stamps: found.stamps,
            has_besides: mailbox.besides().len() > 0,
            ids,
            corrections: Mutex::new(found.corrections),
            unlisted: found.unlisted,
            cached: Mutex::new(cached),
            unsaved: AtomicUsize::new(unsaved + usize::from(new)),
            measured: AtomicUsize::new(0),
            seen: Mutex::default(),
        })
    }

    /// What the mailbox's views have done, as far as it was looked at.
    pub(crate) fn view_log(&self) -> Arc<ViewLog> {
        Arc::clone(&self.seen().log)
    }

    /// Takes note of what the mailbox's views have done.
    pub(crate) fn see(&self, log: &Arc<ViewLog>) {
        let mut seen = self.seen();
        if !Arc::ptr_eq(&seen.log, log) {
            *seen = Seen {
                log: Arc::clone(log),
                ..Seen::default()
            };
        }
    }

    /// Whether it is known that no message has to leave by this choice.
    pub(crate) fn is_settled(&self, choice: &(Policy, ShownFolders)) -> bool {
        self.seen().settled.contains(choice)
    }

    /// Notes that no message has to leave, by what `log` says.
    pub(crate) fn settle(&self, choice: &(Policy, ShownFolders), log: &Arc<ViewLog>) {
        let mut seen = self.seen();
        if Arc::ptr_eq(&seen.log, log) && !seen.settled.contains(choice) {
            // Few choose twice while a mailbox stands still.
            seen.settled.truncate(1);
            seen.settled.push(choice.clone());
        }
    }

    /// What a view lists, by what `log` says.
    pub(crate) fn selection(&self, lens: Lens, log: &Arc<ViewLog>) -> Arc<Selection> {
        {
            let seen = self.seen();
            let known = seen.selections.iter().find(|(other, _)| *other == lens);
            if let Some((_, selection)) = known.filter(|_| Arc::ptr_eq(&seen.log, log)) {
                return Arc::clone(selection);
            }
        }
        let selection = Arc::new(Selection::of(self, lens, log.views()));
        let mut seen = self.seen();
        if Arc::ptr_eq(&seen.log, log) {
            // A view looks through one lens at a time.
            seen.selections
                .retain(|(other, _)| !other.is_of_same_view(&lens));
            seen.selections.push((lens, Arc::clone(&selection)));
        }
        selection
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Whether messages may be elsewhere than in INBOX.
    pub(crate) fn has_besides(&self) -> bool {
        self.has_besides
    }

    /// Names of files that have no row.
    pub(crate) fn unlisted(&self) -> &Unlisted {
        &self.unlisted
    }

    pub(crate) fn table(&self) -> &Arc<MessageTable> {
        &self.table
    }

    /// How many octets of memory it takes.
    pub(crate) fn memory_octets(&self) -> usize {
        let seen = self.seen();
        let selections = seen.selections.iter();
        size_of::<Self>()
            + self.columns.memory_octets()
            + self.table.memory_octets()
            + seen.log.memory_octets()
            + selections
                .map(|(_, one)| one.memory_octets())
                .sum::<usize>()
    }

    /// The first message below `through` whose size is not known.
    pub(crate) fn first_unmeasured(&self, through: usize) -> Option<usize> {
        let from = self.measured.load(Ordering::Relaxed);
        let through = through.min(self.columns.len());
        let sizes = self.columns.sizes();
        let found = (from..through).find(|&index| sizes.at(index).is_none());
        self.measured
            .fetch_max(found.unwrap_or(through), Ordering::Relaxed);
        found
    }

    /// Notes what reading the message has shown. `false` if another size was listed: this session
    /// cannot have the message, the next one sees the truth (PRJ-SIZE-5).
    pub(crate) fn measured(&self, index: usize, size: Size) -> bool {
        if size == Size::Unmeasurable {
            self.look_again(index);
            // That it failed is no fact about the message: what was learned otherwise stands.
            return self.columns.set_size(index, size);
        }
        if self.columns.size(index) == size {
            return true;
        }
        self.unsaved.fetch_add(1, Ordering::Relaxed);
        let stands = self.columns.set_size(index, size);
        if !stands {
            self.corrections().insert(index, Some(size));
        }
        stands
    }

    /// Notes that the file is not what was listed: the next snapshot looks at it again.
    pub(crate) fn look_again(&self, index: usize) {
        self.corrections().insert(index, None);
        self.unsaved.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes to the cache what it does not have yet, if that is much. Blocks.
    pub(crate) fn save_much(&self, mailbox: &Mailbox) {
        if self.unsaved.load(Ordering::Relaxed) >= UNSAVED_MAX {
            self.save(mailbox);
        }
    }

    /// Writes to the cache what it does not have yet. Blocks.
    ///
    /// A failure is logged, and that is all: the cache is not needed.
    pub(crate) fn save(&self, mailbox: &Mailbox) {
        // One at a time; facts that come meanwhile count for the next time.
        let mut cached = self.cached();
        let unsaved = self.unsaved.swap(0, Ordering::Relaxed);
        if unsaved == 0 {
            return;
        }
        let now = Remembered {
            columns: &self.columns,
            stamps: &self.stamps,
            corrections: &self.corrections().clone(),
        };
        match cache::save(mailbox, now, cached.edition) {
            Ok(Some((edition, stamps))) => {
                *cached = InCache {
                    edition: Some(edition),
                    stamps,
                };
            }
            Ok(None) => {
                self.unsaved.fetch_add(unsaved, Ordering::Relaxed);
            }
            Err(error) => {
                tracing::warn!(
                    mailbox = %mailbox.path().display(),
                    %error,
                    "cache not written; the next session reads the mailbox again"
                );
            }
        }
    }

    /// Whether there is something that only [`Snapshot::save`] would keep.
    pub(crate) fn is_unsaved(&self) -> bool {
        self.unsaved.load(Ordering::Relaxed) > 0
    }

    fn corrections(&self) -> MutexGuard<'_, Corrections> {
        self.corrections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn cached(&self) -> MutexGuard<'_, InCache> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The listing with its unique-ids, settled durably.
fn table(mailbox: &Mailbox, found: &Scanned, ids: FileStamp) -> io::Result<MessageTable> {
    let columns = &found.columns;
    let mut unique_ids = match ids == FileStamp::default() {
        true => UniqueIds::default(),
        false => UniqueIds::read(mailbox)?,
    };
    let listed = (0..columns.len()).map(|index| Listed {
        name: columns.name(index),
        inode: columns.stored(index).inode,
        known: found.known.get(index).copied().unwrap_or(true),
    });
    // A message that is left out today must find its unique-id free when it is back.
    let hidden = found.unlisted.hidden.iter().map(|hidden| Listed {
        name: hidden.name(),
        inode: hidden.inode,
        known: false,
    });
    unique_ids.settle(mailbox, listed.chain(hidden))?;
    let mut table = MessageTableBuilder::beside(Arc::clone(columns.names()));
    for index in 0..columns.len() {
        let id = unique_ids.of(columns.name(index), columns.stored(index).inode);
        let id = UniqueId::new(&id).map_err(|error| {
            // Whoever makes them promises that they are legal.
            io::Error::new(io::ErrorKind::InvalidData, error)
        })?;
        table.push_id(id, columns.name_start(index));
    }
    Ok(table.build_with(columns.sizes().clone()))
}

#[cfg(test)]
mod tests;
