//! Opening messages for sending: found wherever they have moved to, and checked on the very
//! descriptor that is sent.

use std::{
    collections::HashMap,
    fs::File,
    io,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, atomic::AtomicBool},
};

use bytes::Bytes;
use restante_proto::Octets;
use rustix::io::Errno;

use super::{
    ahead::Ahead,
    columns::{Measurement, Packing, Size, Stored},
    compressed::Unpacker,
    layout::{Folder, Mailbox},
    listing::{Listing, Stamps},
    lock::SessionLock,
    measure,
    notices::Notices,
    snapshot::Snapshot,
    trash, unpacking,
};
use crate::{
    Body, ReadError, Rest, Tag,
    disk::{Facts, Kind, is_shortage},
    tagging::Insertion,
};

/// Messages up to this size are read at once: most are, and the file is closed before it is sent.
pub(crate) const SMALL_OCTETS: u64 = 64 * 1024;
/// A message may be renamed while it is being looked for so often.
const SEARCHES_MAX: usize = 3;

/// What a session's messages are read with; shared with the threads that read for it.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) mailbox: Mailbox,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) notices: Arc<Notices>,
    pub(crate) lock: SessionLock,
    pub(crate) ahead: Ahead,
    moved: Mutex<Moved>,
    /// The same Maildir, with a folder that was made meanwhile.
    late: OnceLock<Mailbox>,
    /// The last message could not be had without waiting for the disk.
    pub(crate) waits: AtomicBool,
}

/// Where messages are that another program has renamed since they were listed.
#[derive(Debug, Default)]
struct Moved {
    to: HashMap<usize, (Folder, Box<[u8]>)>,
    /// Of the listing that has shown it.
    stamps: Stamps,
}

/// Whether to wait for the disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Patience {
    /// Only what is in memory; [`None`] stands for all else.
    AtOnce,
    /// As long as it takes; the answer is never [`None`].
    Wait,
}

impl Reading {
    pub(crate) fn new(
        mailbox: Mailbox,
        snapshot: Arc<Snapshot>,
        notices: Arc<Notices>,
        lock: SessionLock,
        ahead: Ahead,
    ) -> Self {
        Self {
            mailbox,
            snapshot,
            notices,
            lock,
            ahead,
            moved: Mutex::default(),
            late: OnceLock::new(),
            waits: AtomicBool::new(false),
        }
    }

    /// Where the message is, as far as is known, and its file's name there.
    pub(crate) fn place(&self, index: usize) -> (Folder, Box<[u8]>) {
        match self.moved().to.get(&index) {
            Some(moved) => moved.clone(),
            None => {
                let columns = self.snapshot.columns();
                let name = columns.name(index).as_bytes();
                (columns.folder(index), name.into())
            }
        }
    }

    /// The message's body if that needs nothing but memory, `None` otherwise.
    ///
    /// # Errors
    /// As [`Reading::body`], as far as they show without waiting.
    pub(crate) fn body_at_once(&self, index: usize) -> Result<Option<Body>, ReadError> {
        let size = self.snapshot.columns().size(index);
        let stored = self.snapshot.columns().stored(index);
        let plain = match size {
            Size::Measured(found) => found.packing == Packing::Plain,
            Size::Claimed(_) | Size::Unknown => stored.octets <= SMALL_OCTETS,
            Size::Unmeasurable => false,
        };
        if !plain {
            return Ok(None);
        }
        let (folder, name) = self.place(index);
        let disk = self.mailbox.disk();
        let file = match disk.open_read_at_once(self.whole().folder(folder), &name) {
            Ok(Some(file)) => Arc::new(file),
            // Whoever waits finds out.
            Ok(None) | Err(_) => return Ok(None),
        };
        if !self.is_as_listed(index, &file) {
            return Ok(None);
        }
        self.body_of(index, file, Patience::AtOnce)
    }

    /// The message's body. Blocks.
    ///
    /// # Errors
    /// [`ReadError::Gone`] if it is neither in the mailbox nor in its trash;
    /// [`ReadError::Changed`] if it is not what was listed; those of reading.
    pub(crate) fn body(&self, index: usize) -> Result<Body, ReadError> {
        let file = self.open(index)?;
        let body = self.body_of(index, file, Patience::Wait)?;
        body.ok_or_else(|| ReadError::Temporary(io::ErrorKind::WouldBlock.into()))
    }

    /// Learns the message's size. Blocks.
    ///
    /// A message that cannot be measured gets size 0 and is logged.
    ///
    /// # Errors
    /// [`ReadError::Temporary`] for want of descriptors or memory, which says nothing of the
    /// message: its size stays unknown.
    pub(crate) fn measure(&self, index: usize) -> Result<(), ReadError> {
        let measured = self.open(index).and_then(|file| {
            let stored = self.snapshot.columns().stored(index);
            let tag = self.tag(index);
            let found = measure::measure(self.mailbox.disk(), &file, stored.octets, tag);
            self.checked_since(index, &file)?;
            found.map_err(ReadError::Temporary)
        });
        match measured {
            Ok(found) => {
                self.snapshot.measured(index, Size::Measured(found));
            }
            Err(ReadError::Temporary(error)) if is_shortage(&error) => {
                return Err(ReadError::Temporary(error));
            }
            Err(error) => {
                self.snapshot.measured(index, Size::Unmeasurable);
                tracing::warn!(
                    mailbox = %self.mailbox.path().display(),
                    name = %self.snapshot.columns().name(index).as_bytes().escape_ascii(),
                    error = &error as &dyn std::error::Error,
                    "message not measured: it is listed with 0 octets and cannot be read"
                );
            }
        }
        Ok(())
    }

    /// Opens the message's file, wherever it is now, and checks that it is what was listed.
    fn open(&self, index: usize) -> Result<Arc<File>, ReadError> {
        let mut changed = false;
        for search in 0..SEARCHES_MAX {
            if search > 0 {
                self.find_moved().map_err(ReadError::Temporary)?;
            }
            let (folder, name) = self.place(index);
            let at = self.whole().folder(folder);
            let file = match self.mailbox.disk().open_read(at, &name) {
                Ok(file) => Arc::new(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) if is_no_file(&error) => {
                    changed = true;
                    continue;
                }
                Err(error) => return Err(ReadError::Temporary(error)),
            };
            match self.check(index, &file)? {
                true => return Ok(file),
                false => changed = true,
            }
        }
        let columns = self.snapshot.columns();
        let inode = columns.stored(index).inode;
        let trashed = trash::open(&self.mailbox, columns.name(index), inode);
        if let Some(file) = trashed.map_err(ReadError::Temporary)? {
            let file = Arc::new(file);
            if self.check(index, &file)? {
                return Ok(file);
            }
            changed = true;
        }
        if changed {
            self.snapshot.look_again(index);
            return Err(ReadError::Changed);
        }
        Err(ReadError::Gone)
    }

    /// Whether the open file is what was listed.
    fn check(&self, index: usize, file: &File) -> Result<bool, ReadError> {
        let facts = self.mailbox.disk().facts(file);
        let facts = facts.map_err(ReadError::Temporary)?;
        Ok(is(&facts, self.snapshot.columns().stored(index)))
    }

    /// Whether the open file is what was listed, as far as can be told.
    pub(crate) fn is_as_listed(&self, index: usize, file: &File) -> bool {
        self.check(index, file).unwrap_or(false)
    }

    /// Makes sure that the file is still what was listed, after it was read.
    fn checked_since(&self, index: usize, file: &File) -> Result<(), ReadError> {
        if self.check(index, file)? {
            return Ok(());
        }
        self.snapshot.look_again(index);
        Err(ReadError::Changed)
    }

    /// Lists the mailbox to see what other names messages have now.
    fn find_moved(&self) -> io::Result<()> {
        if self.late.get().is_none()
            && let Some(late) = self.mailbox.with_late_folders()?
        {
            // Whoever comes second has found the same.
            let _ = self.late.set(late);
        }
        let (mailbox, disk) = (self.whole(), self.mailbox.disk());
        let seen = self.moved().stamps.clone();
        let mut now = || self.lock.now(disk);
        if Listing::is_proven(mailbox, &seen)? {
            return Ok(());
        }
        let all = Listing::take(mailbox, &self.notices, &Stamps::default(), &mut now)?;
        let listing = all.unwrap_or_default();
        let columns = self.snapshot.columns();
        let mut to = HashMap::new();
        let mut index = 0;
        for group in listing.groups() {
            let name = listing.name(&group[0]);
            while index < columns.len() && columns.name(index) < name {
                index += 1;
            }
            let end = (index..columns.len()).find(|&other| columns.name(other) != name);
            let rows = index..end.unwrap_or(columns.len());
            // Some file systems' directories tell other inodes than their files have.
            let sole = group.len() == 1 && rows.len() == 1;
            for row in rows {
                let inode = columns.stored(row).inode;
                // The last counts: in `cur/`, if it is on its way there.
                let file = group.iter().rfind(|file| sole || file.inode == inode);
                let here = (columns.folder(row), columns.name(row).as_bytes());
                let place = file.map(|file| (file.folder, listing.name(file).as_bytes()));
                if let Some((folder, name)) = place.filter(|place| *place != here) {
                    to.insert(row, (folder, name.into()));
                }
            }
        }
        let stamps = listing.stamps;
        *self.moved() = Moved { to, stamps };
        Ok(())
    }

    fn whole(&self) -> &Mailbox {
        self.late.get().unwrap_or(&self.mailbox)
    }

    fn moved(&self) -> MutexGuard<'_, Moved> {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn body_of(
        &self,
        index: usize,
        file: Arc<File>,
        patience: Patience,
    ) -> Result<Option<Body>, ReadError> {
        let stored = self.snapshot.columns().stored(index);
        let size = self.snapshot.columns().size(index);
        let packed = matches!(size, Size::Measured(found) if found.packing != Packing::Plain);
        let mut content = None;
        if stored.octets <= SMALL_OCTETS && !packed {
            content = self.read_small(&file, stored.octets, patience)?;
            // It may have been written to while it was read, or have become shorter.
            self.checked_since(index, &file)?;
            if content.is_none() {
                return Ok(None);
            }
        }
        let found = match size {
            Size::Measured(found) => found,
            _ => match self.verify(index, &file, content.as_deref(), patience)? {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        let (head, rest) = match (found.packing, content) {
            (Packing::Plain, Some(content)) => self.tagged_content(index, content.into()),
            (_, _) if patience == Patience::AtOnce && self.tag(index).is_some() => return Ok(None),
            (Packing::Plain, None) => self.tagged_file(index, file, stored.octets)?,
            (_, _) if patience == Patience::AtOnce => return Ok(None),
            (packing, _) => {
                let source = (file, stored.octets, packing);
                self.unpacked(index, source, found.octets)?
            }
        };
        Ok(Some(Body {
            octets: found.octets,
            head,
            rest,
            form: found.form,
        }))
    }

    /// What the message is marked with: where it was listed counts, not where it is now.
    fn tag(&self, index: usize) -> Option<&Tag> {
        self.mailbox.tag(self.snapshot.columns().folder(index))
    }

    /// What is put into the message that begins so, for its tag.
    fn insertion(&self, index: usize, start: &[u8]) -> Option<Insertion> {
        Insertion::of(self.tag(index)?, start)
    }

    fn tagged_content(&self, index: usize, content: Bytes) -> (Option<Bytes>, Rest) {
        match self.insertion(index, &content) {
            None => (None, Rest::Bytes(content)),
            Some(insertion) => {
                let head = insertion.head(&content);
                (Some(head), Rest::Bytes(content.slice(insertion.at..)))
            }
        }
    }

    fn tagged_file(
        &self,
        index: usize,
        file: Arc<File>,
        octets: u64,
    ) -> Result<(Option<Bytes>, Rest), ReadError> {
        let disk = self.mailbox.disk();
        let (mut head, mut begins) = (None, 0);
        if self.tag(index).is_some() {
            let unpacker = Unpacker::new(disk, Arc::clone(&file), octets, Packing::Plain);
            let start = unpacker.and_then(|mut unpacker| measure::read_start(&mut unpacker));
            let start = start.map_err(ReadError::Temporary)?;
            if let Some(insertion) = self.insertion(index, &start) {
                (head, begins) = (Some(insertion.head(&start)), insertion.at as u64);
            }
        }
        let rest = Rest::File {
            file,
            range: begins..octets,
            disk: disk.clone(),
        };
        Ok((head, rest))
    }

    /// Reads a small file whole, as far as it goes; `None` if that would need waiting.
    fn read_small(
        &self,
        file: &File,
        octets: u64,
        patience: Patience,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let disk = self.mailbox.disk();
        let octets = usize::try_from(octets).map_err(|_| ReadError::Changed)?;
        let mut content = vec![0; octets];
        let mut filled = 0;
        while filled < content.len() {
            let room = content.get_mut(filled..).unwrap_or_default();
            let count = match patience {
                Patience::AtOnce => disk.read_at_once(file, room, filled as u64),
                Patience::Wait => disk.read_at(file, room, filled as u64).map(Some),
            };
            match count.map_err(ReadError::Temporary)? {
                Some(0) => content.truncate(filled),
                Some(count) => filled += count,
                None => return Ok(None),
            }
        }
        Ok(Some(content))
    }

    /// Reads a message whose size is not known from reading it: a name may lie, or mean it
    /// differently (Dovecot's `W=` does not count the end that the last line lacks).
    fn verify(
        &self,
        index: usize,
        file: &Arc<File>,
        content: Option<&[u8]>,
        patience: Patience,
    ) -> Result<Option<Measurement>, ReadError> {
        let packed = content.is_none_or(measure::may_be_packed);
        let found = match content {
            Some(content) if !packed => measure::measure_octets(content, self.tag(index)),
            _ if patience == Patience::AtOnce => return Ok(None),
            _ => {
                let octets = self.snapshot.columns().stored(index).octets;
                let found = measure::measure(self.mailbox.disk(), file, octets, self.tag(index));
                self.checked_since(index, file)?;
                found.map_err(ReadError::Temporary)?
            }
        };
        match self.snapshot.measured(index, Size::Measured(found)) {
            true => Ok(Some(found)),
            false => Err(ReadError::Changed),
        }
    }

    /// What a packed file stands for, tagged: in memory if it is small, otherwise piece by piece.
    fn unpacked(
        &self,
        index: usize,
        (file, octets, packing): (Arc<File>, u64, Packing),
        unpacked: Octets,
    ) -> Result<(Option<Bytes>, Rest), ReadError> {
        let unpacker = || {
            let unpacker = Unpacker::new(self.mailbox.disk(), Arc::clone(&file), octets, packing);
            unpacker.map_err(ReadError::Temporary)
        };
        let read = |unpacker: &mut Unpacker, octets: usize| {
            let mut content = vec![0; octets];
            let count = unpacker.read(&mut content).map_err(ReadError::Temporary)?;
            content.truncate(count);
            Ok(content)
        };
        if unpacked.0 <= SMALL_OCTETS {
            // What is stored is never longer than what goes out.
            let octets = usize::try_from(unpacked.0).unwrap_or_default();
            let content = read(&mut unpacker()?, octets)?;
            return Ok(self.tagged_content(index, content.into()));
        }
        let mut rest = unpacker()?;
        let mut head = None;
        if self.tag(index).is_some() {
            let start = measure::read_start(&mut unpacker()?).map_err(ReadError::Temporary)?;
            if let Some(insertion) = self.insertion(index, &start) {
                read(&mut rest, insertion.at)?;
                head = Some(insertion.head(&start));
            }
        }
        Ok((head, Rest::Chunks(unpacking::chunks(rest))))
    }
}

fn is(facts: &Facts, stored: Stored) -> bool {
    facts.kind == Kind::File && Stored::of(facts) == stored
}

/// Whether opening failed because there is something else than a regular file now: a link, or a
/// socket.
fn is_no_file(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::LOOP | Errno::NXIO))
}
