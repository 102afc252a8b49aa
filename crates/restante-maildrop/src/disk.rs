//! Every call of the Maildir store to the operating system's files, in one place.
//!
//! A [`Disk`] opens nothing by a full path but a mailbox's root: all other calls name one entry
//! of an open directory and follow no link there. Names are octets without `/` and NUL. The calls
//! block; callers on an asynchronous thread hand them to a blocking one.
//!
//! With feature `testing` a disk can be told to fail at its n-th call (`Faults`); without it
//! this is a thin layer over the system calls.

mod confirmed;
#[cfg(feature = "testing")]
mod faults;
mod reading;
mod seam;

use std::{
    fs::File,
    io,
    ops::ControlFlow,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::Arc,
};

use rustix::{
    fs::{self, AtFlags, FlockOperation, Mode, OFlags, RenameFlags, Stat},
    io::{Errno, retry_on_intr},
    process::{Gid, Uid},
};

use crate::Figures;

#[cfg(feature = "testing")]
pub use faults::{Fault, Faults, Passed, Room};
pub use reading::Entry;

/// How files are opened that anybody may have put there: no link, no waiting for a pipe's other
/// end, no terminal of ours.
const NEVER_WAIT: OFlags = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Stands for the file system's own now where a time is set.
const FILE_SYSTEMS_NOW: fs::Timespec = fs::Timespec {
    tv_sec: 0,
    tv_nsec: fs::UTIME_NOW,
};

/// The way to the disk. A clone shares what is known to be on stable storage, what is counted, and
/// the fault plan if there is one.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    confirmed: Arc<confirmed::Confirmed>,
    figures: Arc<Figures>,
    #[cfg(feature = "testing")]
    faults: Option<Arc<Faults>>,
}

/// What kind of call a disk was asked for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is the method of the same name")]
pub enum Call {
    OpenRoot,
    OpenDirectory,
    MakeDirectory,
    ReadDirectory,
    OpenRead,
    OpenAppend,
    CreateNew,
    Facts,
    Read,
    Write,
    Truncate,
    Adopt,
    Touch,
    Lock,
    SyncFile,
    SyncDirectory,
    Link,
    RenameNoReplace,
    RenameReplace,
    Unlink,
    RemoveDirectory,
}

/// What an entry of a directory is, as far as the directory tells.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, a device, a pipe, a socket.
    Other,
    /// The file system does not say; [`Disk::facts_at`] does.
    Unknown,
}

/// What the file system says of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Facts {
    /// What it is; never [`Kind::Unknown`].
    pub kind: Kind,
    /// The file system it is on.
    pub device: u64,
    /// Its inode number.
    pub inode: u64,
    /// Its size in octets.
    pub octets: u64,
    /// When its content changed last, in nanoseconds since 1970.
    pub modified: i64,
    /// When its content, name or facts changed last, in nanoseconds since 1970; cannot be set.
    pub changed: i64,
    /// Permission bits (`0o7777`).
    pub mode: u32,
    /// The user who owns it.
    pub owner: u32,
    /// The group that owns it.
    pub group: u32,
}

impl Disk {
    /// A disk that obeys `faults`.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn with_faults(faults: Arc<Faults>) -> Self {
        Self {
            confirmed: Arc::default(),
            figures: Arc::default(),
            faults: Some(faults),
        }
    }

    /// What was counted on the way to this disk.
    #[must_use]
    pub fn figures(&self) -> &Arc<Figures> {
        &self.figures
    }

    /// Opens a mailbox's root directory. Links on the operator's path are followed.
    ///
    /// # Errors
    /// Those of `open`; `ENOTDIR` if it is not a directory.
    pub fn open_root(&self, path: &Path) -> io::Result<OwnedFd> {
        self.pass(Call::OpenRoot, fs::CWD, path.as_os_str().as_encoded_bytes())?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(retry_on_intr(|| fs::open(path, flags, Mode::empty()))?)
    }

    /// Opens the directory `name` of the directory `at`.
    ///
    /// # Errors
    /// Those of `openat`; `ENOTDIR` or `ELOOP` if it is a link or no directory.
    pub fn open_directory(&self, at: impl AsFd, name: &[u8]) -> io::Result<OwnedFd> {
        self.pass(Call::OpenDirectory, at.as_fd(), name)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(open_at(at.as_fd(), name, flags, Mode::empty())?)
    }

    /// Makes the directory `name` with the permission bits `mode`, less the process's umask.
    ///
    /// # Errors
    /// Those of `mkdirat`; `EEXIST` if there is anything of that name.
    pub fn make_directory(&self, at: impl AsFd, name: &[u8], mode: u32) -> io::Result<()> {
        self.pass(Call::MakeDirectory, at.as_fd(), name)?;
        Ok(fs::mkdirat(at, name, Mode::from_raw_mode(mode))?)
    }

    /// Gives the name and kind of each entry of the directory `at`, but `.` and `..`, in no
    /// order, until `entry` breaks.
    ///
    /// A directory that changes meanwhile may give an entry that is gone, or miss one that was
    /// renamed.
    ///
    /// # Errors
    /// Those of `openat` and `getdents`; entries given before were real.
    pub fn read_directory(
        &self,
        at: impl AsFd,
        mut entry: impl FnMut(&[u8], Kind) -> ControlFlow<()>,
    ) -> io::Result<()> {
        self.list_directory(at, |found| entry(found.name, found.kind))
    }

    /// Opens the file `name` for reading. It never waits for a pipe's other end, so that the
    /// caller can look at the descriptor's [`Disk::facts`] and refuse what is no regular file.
    ///
    /// # Errors
    /// Those of `openat`; `ELOOP` if it is a symbolic link.
    pub fn open_read(&self, at: impl AsFd, name: &[u8]) -> io::Result<File> {
        self.pass(Call::OpenRead, at.as_fd(), name)?;
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(open_at(at.as_fd(), name, flags, Mode::empty())?.into())
    }

    /// Opens the file `name` for reading and for writing at its end; makes it, with the
    /// permission bits `mode` less the umask, if there is none.
    ///
    /// # Errors
    /// Those of `openat`; `ELOOP` if it is a symbolic link.
    pub fn open_append(&self, at: impl AsFd, name: &[u8], mode: u32) -> io::Result<File> {
        self.pass(Call::OpenAppend, at.as_fd(), name)?;
        self.takes_new(at.as_fd(), name)?;
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | NEVER_WAIT;
        Ok(open_at(at.as_fd(), name, flags, Mode::from_raw_mode(mode))?.into())
    }

    /// As [`Disk::open_append`], but makes no file.
    ///
    /// # Errors
    /// Those of `openat`; `ENOENT` if there is none, `ELOOP` if it is a symbolic link.
    pub fn open_existing(&self, at: impl AsFd, name: &[u8]) -> io::Result<File> {
        self.pass(Call::OpenAppend, at.as_fd(), name)?;
        let flags = OFlags::RDWR | OFlags::APPEND | NEVER_WAIT;
        Ok(open_at(at.as_fd(), name, flags, Mode::empty())?.into())
    }

    /// Makes the file `name`, which must not exist, for reading and writing, with the permission
    /// bits `mode` less the umask.
    ///
    /// # Errors
    /// Those of `openat`; `EEXIST` if there is anything of that name, even a dangling link.
    pub fn create_new(&self, at: impl AsFd, name: &[u8], mode: u32) -> io::Result<File> {
        self.pass(Call::CreateNew, at.as_fd(), name)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        Ok(open_at(at.as_fd(), name, flags, Mode::from_raw_mode(mode))?.into())
    }

    /// What the file system says of an open file or directory.
    ///
    /// # Errors
    /// Those of `fstat`.
    pub fn facts(&self, file: impl AsFd) -> io::Result<Facts> {
        self.pass(Call::Facts, file.as_fd(), b"")?;
        Ok(self.told(Facts::of(&fs::fstat(file)?)))
    }

    /// What the file system says of the entry `name`; of a link itself, not of its target.
    ///
    /// # Errors
    /// Those of `fstatat`; `ENOENT` if there is none.
    pub fn facts_at(&self, at: impl AsFd, name: &[u8]) -> io::Result<Facts> {
        self.pass(Call::Facts, at.as_fd(), name)?;
        let stat = fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(self.told(Facts::of(&stat)))
    }

    /// Reads into `room` from `offset`; fewer octets than asked for, or 0 at the end of the file.
    ///
    /// # Errors
    /// Those of `pread`.
    pub fn read_at(&self, file: &File, room: &mut [u8], offset: u64) -> io::Result<usize> {
        self.pass(Call::Read, file.as_fd(), b"")?;
        Ok(retry_on_intr(|| {
            rustix::io::pread(file, &mut *room, offset)
        })?)
    }

    /// Reads a whole file of at most `octets_max`.
    ///
    /// # Errors
    /// Those of `pread`; `EFBIG` if the file is longer, nothing is given then.
    pub fn read_whole(&self, file: &File, octets_max: usize) -> io::Result<Vec<u8>> {
        self.pass(Call::Read, file.as_fd(), b"")?;
        let listed = usize::try_from(fs::fstat(file)?.st_size).unwrap_or(usize::MAX);
        if listed > octets_max {
            return Err(Errno::FBIG.into());
        }
        let mut octets = Vec::with_capacity(listed + 1);
        loop {
            octets.reserve(1);
            let before = octets.len();
            let room = rustix::buffer::spare_capacity(&mut octets);
            let at = before as u64;
            if rustix::io::pread(file, room, at)? == 0 {
                return Ok(octets);
            }
            if octets.len() > octets_max {
                return Err(Errno::FBIG.into());
            }
        }
    }

    /// Writes all of `octets` where the file's position is, or at its end if it was opened so.
    ///
    /// # Errors
    /// Those of `write`; some of the octets may be in the file.
    pub fn write_all(&self, file: &File, octets: &[u8]) -> io::Result<()> {
        let mut rest = self.cut_short(octets).unwrap_or(octets);
        while !rest.is_empty() {
            let written = retry_on_intr(|| rustix::io::write(file, rest))?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = rest.get(written..).unwrap_or_default();
        }
        self.pass(Call::Write, file.as_fd(), b"")
    }

    /// Cuts the file to `octets`.
    ///
    /// # Errors
    /// Those of `ftruncate`.
    pub fn truncate(&self, file: &File, octets: u64) -> io::Result<()> {
        self.pass(Call::Truncate, file.as_fd(), b"")?;
        Ok(retry_on_intr(|| fs::ftruncate(file, octets))?)
    }

    /// Gives the file or directory this owner and group, as far as they differ from `now`, and
    /// the permission bits `mode`.
    ///
    /// # Errors
    /// Those of `fchown` and `fchmod`.
    pub fn adopt(&self, file: impl AsFd, like: &Facts, mode: u32) -> io::Result<()> {
        self.pass(Call::Adopt, file.as_fd(), b"")?;
        let now = Facts::of(&fs::fstat(file.as_fd())?);
        let owner = (now.owner != like.owner).then(|| Uid::from_raw(like.owner));
        let group = (now.group != like.group).then(|| Gid::from_raw(like.group));
        if owner.is_some() || group.is_some() {
            fs::fchown(file.as_fd(), owner, group)?;
        }
        // After fchown, which may take set-id bits away.
        Ok(fs::fchmod(file, Mode::from_raw_mode(mode))?)
    }

    /// Sets the file's times to the file system's own now.
    ///
    /// # Errors
    /// Those of `futimens`.
    pub fn touch(&self, file: impl AsFd) -> io::Result<()> {
        self.pass(Call::Touch, file.as_fd(), b"")?;
        let now = self.touch_time();
        let times = fs::Timestamps {
            last_access: now,
            last_modification: now,
        };
        Ok(fs::futimens(file, &times)?)
    }

    /// Takes the operating system's exclusive lock on the file, waiting for it; it is free again
    /// when the last copy of the descriptor is closed, at the latest when the process dies.
    ///
    /// # Errors
    /// Those of `flock`.
    pub fn lock(&self, file: impl AsFd) -> io::Result<()> {
        self.pass(Call::Lock, file.as_fd(), b"")?;
        Ok(retry_on_intr(|| {
            fs::flock(file.as_fd(), FlockOperation::LockExclusive)
        })?)
    }

    /// As [`Disk::lock`], but does not wait: `false` if another holds it.
    ///
    /// # Errors
    /// Those of `flock`.
    pub fn try_lock(&self, file: impl AsFd) -> io::Result<bool> {
        self.pass(Call::Lock, file.as_fd(), b"")?;
        match retry_on_intr(|| fs::flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Frees the lock, whoever else has a copy of the descriptor.
    ///
    /// # Errors
    /// Those of `flock`.
    pub fn unlock(&self, file: impl AsFd) -> io::Result<()> {
        self.pass(Call::Lock, file.as_fd(), b"")?;
        Ok(fs::flock(file, FlockOperation::Unlock)?)
    }

    /// Takes the record lock of `fcntl` on the whole file, if nobody has it: what programs that
    /// share an mbox agree on. It belongs to the process, and is free when *any* of the process's
    /// descriptors of the file is closed: another lock must keep one thread from the other.
    ///
    /// # Errors
    /// Those of `fcntl`.
    pub fn try_lock_record(&self, file: impl AsFd) -> io::Result<bool> {
        self.pass(Call::Lock, file.as_fd(), b"")?;
        let exclusive = FlockOperation::NonBlockingLockExclusive;
        match retry_on_intr(|| fs::fcntl_lock(file.as_fd(), exclusive)) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK | Errno::ACCESS) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Brings a file's octets and size to stable storage.
    ///
    /// # Errors
    /// Those of `fsync`. After one nothing is known of what is stored: the caller must give the
    /// file up, not try again.
    pub fn sync_file(&self, file: &File) -> io::Result<()> {
        self.pass(Call::SyncFile, file.as_fd(), b"")?;
        Ok(retry_on_intr(|| fs::fsync(file))?)
    }

    /// Brings a directory's entries to stable storage.
    ///
    /// # Errors
    /// Those of `fsync`.
    pub fn sync_directory(&self, directory: impl AsFd) -> io::Result<()> {
        self.pass(Call::SyncDirectory, directory.as_fd(), b"")?;
        Ok(retry_on_intr(|| fs::fsync(directory.as_fd()))?)
    }

    /// Gives the file `name` of `at` the further name `new_name` in `new_at`.
    ///
    /// # Errors
    /// Those of `linkat`; `EEXIST` if there is anything of the new name.
    pub fn link(
        &self,
        at: impl AsFd,
        name: &[u8],
        new_at: impl AsFd,
        new_name: &[u8],
    ) -> io::Result<()> {
        self.pass_two(Call::Link, (at.as_fd(), name), (new_at.as_fd(), new_name))?;
        Ok(fs::linkat(at, name, new_at, new_name, AtFlags::empty())?)
    }

    /// Renames, and never replaces anything of the new name.
    ///
    /// On file systems without `RENAME_NOREPLACE` it links and unlinks; if the second step fails
    /// the first is undone.
    ///
    /// # Errors
    /// Those of `renameat2`; `EEXIST` if there is anything of the new name.
    pub fn rename_no_replace(
        &self,
        at: impl AsFd,
        name: &[u8],
        new_at: impl AsFd,
        new_name: &[u8],
    ) -> io::Result<()> {
        let from = (at.as_fd(), name);
        let to = (new_at.as_fd(), new_name);
        self.pass_two(Call::RenameNoReplace, from, to)?;
        let renamed = fs::renameat_with(
            at.as_fd(),
            name,
            new_at.as_fd(),
            new_name,
            RenameFlags::NOREPLACE,
        );
        match renamed {
            Err(Errno::INVAL | Errno::NOSYS) => Ok(rename_by_link(from, to)?),
            other => Ok(other?),
        }
    }

    /// Renames, and replaces a file of the new name: for caches and state files, never for mail.
    ///
    /// # Errors
    /// Those of `renameat`.
    pub fn rename_replace(
        &self,
        at: impl AsFd,
        name: &[u8],
        new_at: impl AsFd,
        new_name: &[u8],
    ) -> io::Result<()> {
        let from = (at.as_fd(), name);
        let to = (new_at.as_fd(), new_name);
        self.pass_two(Call::RenameReplace, from, to)?;
        Ok(fs::renameat(at.as_fd(), name, new_at.as_fd(), new_name)?)
    }

    /// Removes the file `name`.
    ///
    /// # Errors
    /// Those of `unlinkat`; `ENOENT` if there is none.
    pub fn unlink(&self, at: impl AsFd, name: &[u8]) -> io::Result<()> {
        self.pass(Call::Unlink, at.as_fd(), name)?;
        Ok(fs::unlinkat(at, name, AtFlags::empty())?)
    }

    /// As [`Disk::unlink`]; a file that is not there is as good as removed.
    ///
    /// # Errors
    /// Those of `unlinkat`, but for `ENOENT`.
    pub fn unlink_if_there(&self, at: impl AsFd, name: &[u8]) -> io::Result<()> {
        match self.unlink(at, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Removes the directory `name`, which must be empty.
    ///
    /// # Errors
    /// Those of `unlinkat`; `ENOTEMPTY` if it is not empty.
    pub fn remove_directory(&self, at: impl AsFd, name: &[u8]) -> io::Result<()> {
        self.pass(Call::RemoveDirectory, at.as_fd(), name)?;
        Ok(fs::unlinkat(at, name, AtFlags::REMOVEDIR)?)
    }
}

/// Whether the disk takes nothing new: it is full, the user is over quota, or it is read-only.
pub(crate) fn takes_nothing_new(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// Whether a call failed for want of descriptors or memory: that says nothing of the file, and
/// is over when others have closed theirs.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM))
}

/// A directory and the name of one of its entries.
type NameAt<'e> = (BorrowedFd<'e>, &'e [u8]);

fn open_at(at: BorrowedFd<'_>, name: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    retry_on_intr(|| fs::openat(at, name, flags, mode))
}

fn rename_by_link(from: NameAt<'_>, to: NameAt<'_>) -> Result<(), Errno> {
    fs::linkat(from.0, from.1, to.0, to.1, AtFlags::empty())?;
    fs::unlinkat(from.0, from.1, AtFlags::empty()).inspect_err(|_| {
        // Two names for one message would list it twice.
        let _ = fs::unlinkat(to.0, to.1, AtFlags::empty());
    })
}

impl Kind {
    fn of_entry(found: fs::FileType) -> Self {
        match found {
            fs::FileType::RegularFile => Self::File,
            fs::FileType::Directory => Self::Directory,
            fs::FileType::Unknown => Self::Unknown,
            _ => Self::Other,
        }
    }
}

impl Facts {
    fn of(stat: &Stat) -> Self {
        let kind = match fs::FileType::from_raw_mode(stat.st_mode) {
            fs::FileType::RegularFile => Kind::File,
            fs::FileType::Directory => Kind::Directory,
            _ => Kind::Other,
        };
        Self {
            kind,
            device: stat.st_dev,
            inode: stat.st_ino,
            octets: u64::try_from(stat.st_size).unwrap_or_default(),
            modified: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
            changed: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
            mode: stat.st_mode & 0o7777,
            owner: stat.st_uid,
            group: stat.st_gid,
        }
    }
}

fn nanoseconds(seconds: i64, nanoseconds: u64) -> i64 {
    let nanoseconds = i64::try_from(nanoseconds).unwrap_or_default();
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds)
}

#[cfg(test)]
mod tests;
