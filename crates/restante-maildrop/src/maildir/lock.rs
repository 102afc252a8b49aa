//! The two locks of a Maildir: a view's session lock, held for the session, and the mailbox lock,
//! held for milliseconds by whoever changes state. Who needs both takes the session lock first.
//!
//! Both are the operating system's `flock` on a file in `restante/state/`: a process that dies
//! frees them, and two descriptors of one process exclude each other too. The files stay: to
//! remove one while another waits for it would give the lock to both.
//!
//! Mail can be read on a disk that is full or read-only. There a file that exists is locked as it
//! is, opened for reading only; and where there is none and none can be made, which is so in a
//! mailbox that nobody has used yet, a directory of the Maildir is locked in its stead. It keeps
//! out everybody who cannot make the file either; when room comes meanwhile, a second session may
//! be let in. That is against the rule, and harms no mail: an update removes nothing but the very
//! files that its session has listed and marked.

use std::{
    fs::File,
    io,
    os::fd::BorrowedFd,
    thread,
    time::{Duration, Instant},
};

use super::layout::Mailbox;
use crate::{
    Durations, ViewName,
    disk::{Disk, takes_nothing_new},
};

/// How long whoever holds the mailbox lock may keep others waiting, before they give up.
const MAILBOX_WAIT: Duration = Duration::from_secs(30);
/// Waiting begins with short looks and ends with long ones.
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LAST_LOOK: Duration = Duration::from_millis(200);
/// A lock file that is replaced again and again is an attack or a fault, not bad luck.
const REPLACED_MAX: usize = 8;
/// Directories that are locked where a lock's file cannot be made: two, because a session that
/// has one of them needs the mailbox lock too.
const INSTEAD_OF_SESSION: &[u8] = b".";
const INSTEAD_OF_MAILBOX: &[u8] = b"cur";
/// Older than anything: nothing that is seen at this time is trusted later.
pub(crate) const NO_TIME: i64 = i64::MIN;

/// The lock of one view of a mailbox; free when dropped.
#[derive(Debug)]
pub(crate) struct SessionLock {
    file: File,
}

/// The lock of a mailbox; free when dropped.
#[derive(Debug)]
pub(crate) struct MailboxLock {
    _file: File,
}

/// The moments at which to look again whether a lock is free.
#[derive(Debug)]
pub(crate) struct Looks {
    left: Duration,
    pause: Duration,
    /// When it was found that looking once does not do.
    waiting_since: Option<Instant>,
}

impl SessionLock {
    /// The view whose lock's file is called so.
    pub(crate) fn view_of(file: &[u8]) -> Option<ViewName> {
        let name = file.strip_prefix(b"session-")?.strip_suffix(b".lock")?;
        ViewName::new(std::str::from_utf8(name).ok()?)
    }

    /// Takes the lock of `view`, or `None` if another session holds it. Blocks only as the disk
    /// does.
    ///
    /// # Errors
    /// Those of making and locking the file.
    pub(crate) fn try_acquire(mailbox: &Mailbox, view: &ViewName) -> io::Result<Option<Self>> {
        let name = format!("session-{}.lock", view.as_str());
        let file = try_lock(mailbox, name.as_bytes(), INSTEAD_OF_SESSION)?;
        Ok(file.map(|file| Self { file }))
    }

    /// Frees the lock, even if somebody still looks at its file.
    pub(crate) fn release(&self, disk: &Disk) {
        if let Err(error) = disk.unlock(&self.file) {
            // Then it is free when the last descriptor is closed.
            tracing::warn!(%error, "session lock not freed");
        }
    }

    /// The file system's own clock, in nanoseconds since 1970: the time of the lock's file, which
    /// is touched. Where it cannot be, a time before all others, so that no listing is trusted.
    ///
    /// # Errors
    /// Those of looking at the file.
    pub(crate) fn now(&self, disk: &Disk) -> io::Result<i64> {
        match disk.touch(&self.file) {
            Ok(()) => Ok(disk.facts(&self.file)?.modified),
            Err(_) => Ok(NO_TIME),
        }
    }
}

impl MailboxLock {
    /// Takes the lock; blocks until it is free, at most half a minute.
    ///
    /// # Errors
    /// `TimedOut` if it was not free for so long; those of making and locking the file.
    pub(crate) fn acquire(mailbox: &Mailbox) -> io::Result<Self> {
        let acquired = Self::try_acquire_within(mailbox, MAILBOX_WAIT)?;
        acquired.ok_or_else(|| io::ErrorKind::TimedOut.into())
    }

    /// Takes the lock, or `None` if it was not free within `wait`; blocks so long.
    ///
    /// # Errors
    /// Those of making and locking the file.
    pub(crate) fn try_acquire_within(
        mailbox: &Mailbox,
        wait: Duration,
    ) -> io::Result<Option<Self>> {
        let mut looks = Looks::within(wait);
        let file = loop {
            let file = try_lock(mailbox, b"mailbox.lock", INSTEAD_OF_MAILBOX)?;
            let pause = match file {
                None => looks.pause(),
                Some(_) => None,
            };
            let Some(pause) = pause else { break file };
            thread::sleep(pause);
        };
        looks.count(&mailbox.disk().figures().mailbox_lock_waits);
        Ok(file.map(|file| Self { _file: file }))
    }
}

impl Looks {
    /// Looks for the time `wait`.
    pub(crate) fn within(wait: Duration) -> Self {
        Self {
            left: wait,
            pause: FIRST_LOOK,
            waiting_since: None,
        }
    }

    /// How long to sleep before the next look; `None` when the time is over.
    pub(crate) fn pause(&mut self) -> Option<Duration> {
        let pause = self.pause.min(self.left);
        self.left -= pause;
        self.pause = LAST_LOOK.min(self.pause * 2);
        if pause.is_zero() {
            return None;
        }
        self.waiting_since.get_or_insert_with(Instant::now);
        Some(pause)
    }

    /// Counts the time that was waited, if it was not had at the first look.
    pub(crate) fn count(&self, waits: &Durations) {
        if let Some(since) = self.waiting_since {
            waits.count(since.elapsed());
        }
    }
}

/// Locks the file `name` of `restante/state/`, which is made if it is missing; where it cannot be,
/// the Maildir's directory `instead`. `None` if another has locked it.
fn try_lock(mailbox: &Mailbox, name: &[u8], instead: &[u8]) -> io::Result<Option<File>> {
    let disk = mailbox.disk();
    for _ in 0..REPLACED_MAX {
        let file = match open(mailbox, name) {
            Err(error) if takes_nothing_new(&error) => {
                let directory = disk.open_directory(mailbox.root(), instead)?;
                return Ok(disk.try_lock(&directory)?.then(|| directory.into()));
            }
            opened => opened?,
        };
        if !disk.try_lock(&file)? {
            return Ok(None);
        }
        // Somebody may have removed the file between opening and locking: then others lock
        // another file of this name, and this lock keeps nobody out.
        if is_called(disk, &file, mailbox.state()?, name)? {
            return Ok(Some(file));
        }
    }
    Err(io::Error::other("lock file is replaced again and again"))
}

/// Opens a lock's file; makes it if it is missing.
fn open(mailbox: &Mailbox, name: &[u8]) -> io::Result<File> {
    let (disk, state) = (mailbox.disk(), mailbox.state()?);
    match disk.open_existing(state, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // While there is room: whoever has none later can still move messages to the trash.
            let _ = mailbox.trash();
            mailbox.open_append(state, name)
        }
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            disk.open_read(state, name)
        }
        opened => opened,
    }
}

/// Whether the open file is the one that has this name now.
fn is_called(disk: &Disk, file: &File, at: BorrowedFd<'_>, name: &[u8]) -> io::Result<bool> {
    let ours = disk.facts(file)?;
    match disk.facts_at(at, name) {
        Ok(named) => Ok((named.device, named.inode) == (ours.device, ours.inode)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
