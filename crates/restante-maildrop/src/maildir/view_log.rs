//! `restante/state/views`: what the views of the mailbox have done, as a [journal](super::journal)
//! of [events](crate::views).
//!
//! ```text
//! <CRC-32> restante views 1 <edition>
//! <CRC-32> met default 1769860000
//! <CRC-32> hidden default 1769860805.M7P4711R0f3KzX9.mx1 1769860811.M2P4712R3.mx1
//! ```
//!
//! It is appended to under the mailbox lock, and synced before a session's end is answered: the
//! cost of an update follows what it changes. Whoever has read it once reads only what is new; a
//! poll asks the disk whether there is anything, with one call, however much is hidden. When it
//! has doubled since it was written last, it is written anew without the messages that are gone.
//!
//! **Damage** costs the lines it touches: those messages are shown again. But a line that named a
//! device may have been among them, so for as long as a device may be unused no message leaves
//! because everyone has deleted it: whoever is active has come again by then.

use std::{collections::HashSet, fs::File, io, ops::ControlFlow, sync::Arc};

use super::{
    file_stamp::FileStamp, journal, layout::Mailbox, lock::MailboxLock, name::FileName, trash,
    unique_ids::UniqueIds,
};
use crate::{
    Clock,
    disk::{Kind, takes_nothing_new},
    views::{self, Event, Parsing, Views},
};

const FILE: &[u8] = b"views";
/// Where a damaged file lies.
const DAMAGED: &[u8] = b"views-damaged";
/// Where a file is written before it replaces the old one.
const DRAFT: &[u8] = b"views-draft";
const EDITION_OCTETS: usize = 8;
/// The first line is no longer.
const TITLE_OCTETS_MAX: usize = 64;
/// Ten million messages.
const FILE_OCTETS_MAX: u64 = 512 << 20;
/// A file that has grown by so much since it was written anew is left alone.
const GROWTH_MIN: u64 = 64 * 1024;

/// What the file says, and how far it was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct ViewLog {
    stamp: FileStamp,
    edition: Vec<u8>,
    /// The next line begins here.
    read: u64,
    /// So many octets were written when it was written anew.
    compacted: u64,
    views: Views,
}

impl ViewLog {
    /// What the file says now; `earlier` spares reading again what it had said then. Takes the
    /// mailbox lock if there is anything new. Blocks.
    ///
    /// # Errors
    /// Those of reading and of the lock; `InvalidData` if a newer version wrote it.
    pub(crate) fn look(
        mailbox: &Mailbox,
        clock: &Clock,
        earlier: &Arc<Self>,
    ) -> io::Result<Arc<Self>> {
        let stamp = FileStamp::now(mailbox, FILE)?;
        if let Some(known) = Self::known(stamp, earlier) {
            return Ok(known);
        }
        // What is being appended is neither whole nor certain to stay.
        let _lock = MailboxLock::acquire(mailbox)?;
        Self::read(mailbox, clock, earlier)
    }

    /// As [`ViewLog::look`], for a caller who holds the mailbox lock.
    ///
    /// # Errors
    /// As [`ViewLog::look`].
    pub(crate) fn read(
        mailbox: &Mailbox,
        clock: &Clock,
        earlier: &Arc<Self>,
    ) -> io::Result<Arc<Self>> {
        let stamp = FileStamp::now(mailbox, FILE)?;
        if let Some(known) = Self::known(stamp, earlier) {
            return Ok(known);
        }
        let Some(file) = open(mailbox)? else {
            let nothing = Self::default();
            return nothing.set_aside(mailbox, clock, None).map(Arc::new);
        };
        let title = read_title(mailbox, &file)?;
        let continues = title.is_some() && title.as_deref() == Some(&earlier.edition);
        let log = match continues && stamp.octets >= earlier.read {
            true => Self {
                stamp,
                ..Self::clone(earlier)
            },
            false => Self {
                stamp,
                edition: title.unwrap_or_default(),
                ..Self::default()
            },
        };
        log.read_on(mailbox, clock, &file).map(Arc::new)
    }

    /// What a file in this state says, if it need not be read for that.
    fn known(stamp: FileStamp, earlier: &Arc<Self>) -> Option<Arc<Self>> {
        if stamp == earlier.stamp {
            return Some(Arc::clone(earlier));
        }
        (stamp == FileStamp::default()).then(Arc::default)
    }

    /// What the views have done.
    pub(crate) fn views(&self) -> &Views {
        &self.views
    }

    /// How many octets of memory it takes.
    pub(crate) fn memory_octets(&self) -> usize {
        size_of::<Self>() + self.views.memory_octets()
    }

    /// Appends events and brings them to stable storage. The caller holds the mailbox lock and
    /// has read all that there is.
    ///
    /// # Errors
    /// Those of writing and syncing: then nothing of it counts.
    pub(crate) fn append(&self, mailbox: &Mailbox, events: &[Event]) -> io::Result<Arc<Self>> {
        let mut log = self.clone();
        if !events.iter().all(|event| log.views.apply(event)) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the mailbox does not know the device, or has too many",
            ));
        }
        let mut lines: Vec<Vec<u8>> = events.iter().flat_map(Event::lines).collect();
        mailbox.confirm_state()?;
        let state = mailbox.state()?;
        let file = mailbox.open_append(state, FILE)?;
        if mailbox.disk().facts(&file)?.octets == 0 {
            log.edition = new_edition()?;
            lines.insert(0, views::title(&log.edition));
            mailbox.disk().sync_directory(state)?;
        }
        journal::append(mailbox.disk(), &file, &lines)?;
        // It is durable, whatever the disk says now: at worst all is read again.
        log.stamp = FileStamp::of(mailbox, &file).unwrap_or_default();
        log.read = log.stamp.octets;
        if log.stamp == FileStamp::default() {
            log.edition.clear();
        }
        Ok(Arc::new(log))
    }

    /// Writes the file anew if it has grown much since, without the messages that are gone. The
    /// caller holds the mailbox lock. A failure is logged: the file says what it said before.
    pub(crate) fn compact_if_large(self: Arc<Self>, mailbox: &Mailbox, clock: &Clock) -> Arc<Self> {
        if self.stamp.octets <= 2 * self.compacted + GROWTH_MIN {
            return self;
        }
        let compacted =
            kept_ids(mailbox).and_then(|kept| self.rewrite(mailbox, |id| kept.contains(id)));
        let read = compacted.and_then(|()| Self::read(mailbox, clock, &self));
        read.unwrap_or_else(|error| {
            tracing::warn!(
                mailbox = %mailbox.path().display(),
                %error,
                "state/views not written anew: it stays long"
            );
            self
        })
    }

    /// Reads the file's lines from where it was left.
    fn read_on(mut self, mailbox: &Mailbox, clock: &Clock, file: &File) -> io::Result<Self> {
        if self.stamp.octets > FILE_OCTETS_MAX {
            self.views = Views::default();
            return self.set_aside(mailbox, clock, None);
        }
        let mut parsing = Parsing {
            views: std::mem::take(&mut self.views),
            newer: false,
        };
        let mut compacted = 0;
        let mut reader = journal::Reader::new(|line: &[u8]| {
            if views::is_compacted(line) {
                compacted += line.len() as u64;
            }
            parsing.take_line(line)
        });
        let disk = mailbox.disk();
        journal::feed(disk, file, self.read..u64::MAX, &mut reader)?;
        // Whoever wrote it may have died before his sync.
        match disk.sync_file(file) {
            Err(error) if !takes_nothing_new(&error) => return Err(error),
            _ => {}
        }
        let settled = reader.settled();
        let found = reader.finish();
        self.read += settled;
        self.compacted += compacted;
        if parsing.newer {
            let why = "state/views was written by a newer version";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        self.views = parsing.views;
        let foreign = self.edition.is_empty() && found.good == 0 && self.stamp.octets > 0;
        if found.damaged > 0 || foreign {
            return self.set_aside(mailbox, clock, Some(file));
        }
        Ok(self)
    }

    /// Keeps a damaged file beside, and writes anew what could be read of it.
    fn set_aside(
        mut self,
        mailbox: &Mailbox,
        clock: &Clock,
        file: Option<&File>,
    ) -> io::Result<Self> {
        tracing::warn!(
            mailbox = %mailbox.path().display(),
            "state/views is damaged and set aside: devices may be shown again what they have \
             deleted, and for a time nothing leaves because all have deleted it"
        );
        self.views.damage(clock.now().as_secs());
        let ids = match file {
            Some(file) => read_ids(mailbox, file)?,
            None => HashSet::new(),
        };
        let replaced = put_beside(mailbox).and_then(|()| self.replace(mailbox, &ids));
        match replaced {
            Ok(()) => {
                let Some(file) = open(mailbox)? else {
                    return Ok(self);
                };
                self.stamp = FileStamp::of(mailbox, &file)?;
                self.edition = read_title(mailbox, &file)?.unwrap_or_default();
                self.read = self.stamp.octets;
                self.compacted = self.stamp.octets;
            }
            Err(error) => tracing::warn!(
                mailbox = %mailbox.path().display(),
                %error,
                "state/views cannot be written anew"
            ),
        }
        Ok(self)
    }

    fn rewrite(&self, mailbox: &Mailbox, keep: impl Fn(&[u8]) -> bool) -> io::Result<()> {
        let Some(file) = open(mailbox)? else {
            return Ok(());
        };
        let mut ids = read_ids(mailbox, &file)?;
        ids.retain(|id| keep(id));
        self.replace(mailbox, &ids)
    }

    /// Puts a new file in the place of the old one, durably.
    fn replace(&self, mailbox: &Mailbox, ids: &HashSet<Vec<u8>>) -> io::Result<()> {
        let mut lines = views::compacted(&self.views, ids.iter().map(Vec::as_slice));
        lines.insert(0, views::title(&new_edition()?));
        mailbox.confirm_state()?;
        let (disk, state) = (mailbox.disk(), mailbox.state()?);
        disk.unlink_if_there(state, DRAFT)?;
        let draft = mailbox.create_new_own(state, DRAFT)?;
        journal::append(disk, &draft, &lines)?;
        disk.rename_replace(state, DRAFT, state, FILE)?;
        disk.sync_directory(state)
    }
}

/// Opens the file, which is there; `None` if something else has its name.
fn open(mailbox: &Mailbox) -> io::Result<Option<File>> {
    let (disk, state) = (mailbox.disk(), mailbox.state()?);
    if disk.facts_at(state, FILE)?.kind != Kind::File {
        return Ok(None);
    }
    let file = disk.open_read(state, FILE)?;
    Ok((disk.facts(&file)?.kind == Kind::File).then_some(file))
}

/// The edition in the file's first line, if that is whole.
fn read_title(mailbox: &Mailbox, file: &File) -> io::Result<Option<Vec<u8>>> {
    let mut head = [0; TITLE_OCTETS_MAX];
    let count = mailbox.disk().read_at(file, &mut head, 0)?;
    let mut edition = None;
    let mut first = true;
    let mut reader = journal::Reader::new(|line: &[u8]| {
        if std::mem::take(&mut first) {
            edition = views::edition(line).map(<[u8]>::to_vec);
        }
        true
    });
    reader.push(head.get(..count).unwrap_or_default());
    Ok(edition)
}

/// The unique-ids in the file.
fn read_ids(mailbox: &Mailbox, file: &File) -> io::Result<HashSet<Vec<u8>>> {
    let mut ids = HashSet::new();
    let mut reader = journal::Reader::new(|line: &[u8]| {
        for id in views::ids(line).filter(|id| !id.is_empty()) {
            if !ids.contains(id) {
                ids.insert(id.to_vec());
            }
        }
        true
    });
    journal::feed(mailbox.disk(), file, 0..u64::MAX, &mut reader)?;
    let _ = reader.finish();
    Ok(ids)
}

/// Gives the file a second name under which it stays.
fn put_beside(mailbox: &Mailbox) -> io::Result<()> {
    let (disk, state) = (mailbox.disk(), mailbox.state()?);
    if disk.facts_at(state, FILE)?.kind != Kind::File {
        return disk.rename_replace(state, FILE, state, DAMAGED);
    }
    disk.unlink_if_there(state, DAMAGED)?;
    disk.link(state, FILE, state, DAMAGED)
}

/// The unique-ids of all messages that are anywhere in the Maildir: in its other folders, from
/// where another program may move them back, and in the trash.
fn kept_ids(mailbox: &Mailbox) -> io::Result<HashSet<Vec<u8>>> {
    let ids = UniqueIds::read(mailbox)?;
    let disk = mailbox.disk();
    let mut kept = HashSet::new();
    // Twice: what another program moves meanwhile is missed in one of them at most.
    for _ in 0..2 {
        keep_listed(mailbox, &ids, &mut kept)?;
    }
    trash::walk(
        mailbox,
        |_| true,
        |trashed| {
            let facts = disk.facts_at(trashed.directory, trashed.entry)?;
            kept.insert(ids.of(trashed.name, facts.inode));
            Ok(ControlFlow::Continue(()))
        },
    )?;
    Ok(kept)
}

/// Adds the unique-ids of what is listed in INBOX and the Maildir's other folders.
fn keep_listed(mailbox: &Mailbox, ids: &UniqueIds, kept: &mut HashSet<Vec<u8>>) -> io::Result<()> {
    let disk = mailbox.disk();
    let mut folders = vec![Vec::from(b".")];
    disk.read_directory(mailbox.root(), |name, kind| {
        if name.starts_with(b".") && matches!(kind, Kind::Directory | Kind::Unknown) {
            folders.push(name.to_vec());
        }
        ControlFlow::Continue(())
    })?;
    for folder in folders {
        for messages in [&b"new"[..], b"cur"] {
            let at = disk.open_directory(mailbox.root(), &folder);
            let at = at.and_then(|at| disk.open_directory(at, messages));
            let at = match at {
                // No folder of messages.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => continue,
                opened => opened?,
            };
            disk.list_directory(at, |entry| {
                if let Some(name) = FileName::new(entry.name) {
                    kept.insert(ids.of(name, entry.inode));
                }
                ControlFlow::Continue(())
            })?;
        }
    }
    Ok(())
}

fn new_edition() -> io::Result<Vec<u8>> {
    let mut random = [0; EDITION_OCTETS];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let digits = random.iter().map(|octet| format!("{octet:02x}"));
    Ok(digits.collect::<String>().into_bytes())
}

/// Reads what a stranger may have written as `state/views`, as it is and with each line's checksum
/// put right, and panics if it breaks a promise: in any pieces the same; written anew it says the
/// same; what was cut off hides no more than the whole.
#[cfg(feature = "testing")]
pub fn fuzz_views_file(octets: &[u8]) {
    check_promises(octets);
    check_promises(&journal::with_checksums(octets));
}

#[cfg(feature = "testing")]
fn check_promises(octets: &[u8]) {
    let read = |octets: &[u8], piece: usize| {
        let mut parsing = Parsing::default();
        let mut ids = HashSet::new();
        let mut reader = journal::Reader::new(|line: &[u8]| {
            let sound = parsing.take_line(line);
            ids.extend(views::ids(line).filter(|_| sound).map(<[u8]>::to_vec));
            sound
        });
        octets.chunks(piece).for_each(|piece| reader.push(piece));
        assert!(reader.settled() <= octets.len() as u64);
        let _ = reader.finish();
        (parsing.views, ids)
    };
    let (views, ids) = read(octets, 7);
    assert_eq!(read(octets, 4096).0.known_devices(), views.known_devices());
    let mut again = Parsing::default();
    for line in views::compacted(&views, ids.iter().map(Vec::as_slice)) {
        assert!(line.len() < journal::CONTENT_OCTETS_MAX);
        assert!(again.take_line(&line), "{}", line.escape_ascii());
    }
    assert_eq!(again.views.known_devices(), views.known_devices());
    for id in &ids {
        assert_eq!(again.views.deleted_by(id), views.deleted_by(id));
    }
}

#[cfg(test)]
mod tests;
