//! A Maildir's directories, opened once; everything else is reached from there and follows no
//! link.
//!
//! ```text
//! Maildir/
//! ├── cur/  new/  tmp/      shared with every other program
//! ├── .Junk/                so are the folders of a Maildir++; none is ever made here
//! │   └── cur/  new/  tmp/
//! └── restante/             ours, made when it is first needed
//!     ├── cache/            may be deleted at any time
//!     ├── state/            may not: locks, unique-ids
//!     └── trash/            may not: messages that can be restored
//! ```
//!
//! A directory that is found need not last: whoever made it may have failed to sync its parent, or
//! not have come to it yet. So whoever is about to acknowledge what he has put into one confirms
//! it first, with the way to it; that asks the disk once for each directory and process.

mod besides;

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use super::location::Place;
use crate::{
    ShownFolder,
    disk::{Disk, Facts},
};

use self::besides::Beside;
pub(crate) use self::besides::Folder;

/// Permission bits of a Maildir that we make.
const NEW_MAILDIR_MODE: u32 = 0o700;
const GROUP_BITS: u32 = 0o070;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_BITS: u32 = 0o007;
const ROOT: u32 = 0;

/// An open Maildir.
#[derive(Debug)]
pub(crate) struct Mailbox {
    disk: Disk,
    path: PathBuf,
    /// So many directories at the end of the path may be ours or another delivery's making.
    made_max: usize,
    root: OwnedFd,
    /// What the file system said of the root when it was opened.
    facts: Facts,
    /// As whom we are opening it.
    user: u32,
    new: OwnedFd,
    cur: OwnedFd,
    /// The folders that are looked at besides INBOX.
    besides: Vec<Beside>,
    /// Those that were asked for, whether or not they are there.
    wanted: Vec<ShownFolder>,
    tmp: OnceLock<OwnedFd>,
    ours: OnceLock<OwnedFd>,
    cache: OnceLock<OwnedFd>,
    besides_cache: OnceLock<OwnedFd>,
    state: OnceLock<OwnedFd>,
    trash: OnceLock<OwnedFd>,
}

/// Which Maildir of this machine it is, whatever path led to it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct MaildirIdentity {
    device: u64,
    inode: u64,
}

impl MaildirIdentity {
    /// The file system it is on.
    pub(crate) fn device(self) -> u64 {
        self.device
    }

    /// A Maildir that does not exist.
    #[cfg(test)]
    pub(crate) fn for_tests(inode: u64) -> Self {
        Self {
            device: u64::MAX,
            inode,
        }
    }
}

impl Mailbox {
    /// Opens the Maildir at `path`, and makes those of `cur`, `new` and `tmp` that are missing.
    ///
    /// # Errors
    /// `NotFound` if there is nothing at `path`; else those of opening.
    pub(crate) fn open(disk: &Disk, path: &Path) -> io::Result<Self> {
        Self::open_by(disk, path, |root, facts, name| {
            open_or_make(disk, root, facts, name)
        })
    }

    /// Opens the Maildir at `path` and makes nothing.
    ///
    /// # Errors
    /// `NotFound` if there is nothing at `path`, or no `cur` or `new` in it; else those of
    /// opening.
    pub(crate) fn open_existing(disk: &Disk, path: &Path) -> io::Result<Self> {
        Self::open_by(disk, path, |root, _, name| disk.open_directory(root, name))
    }

    fn open_by(
        disk: &Disk,
        path: &Path,
        open: impl Fn(BorrowedFd<'_>, &Facts, &[u8]) -> io::Result<OwnedFd>,
    ) -> io::Result<Self> {
        let root = disk.open_root(path)?;
        let facts = disk.facts(&root)?;
        let open = |name: &[u8]| open(root.as_fd(), &facts, name);
        let (new, cur) = (open(b"new")?, open(b"cur")?);
        Ok(Self {
            disk: disk.clone(),
            path: path.to_owned(),
            made_max: 0,
            facts,
            user: rustix::process::geteuid().as_raw(),
            new,
            cur,
            besides: Vec::new(),
            wanted: Vec::new(),
            root,
            tmp: OnceLock::new(),
            ours: OnceLock::new(),
            cache: OnceLock::new(),
            besides_cache: OnceLock::new(),
            state: OnceLock::new(),
            trash: OnceLock::new(),
        })
    }

    /// Opens the Maildir at `place`, as [`Mailbox::open`] does.
    ///
    /// # Errors
    /// As for [`Mailbox::open`].
    pub(crate) fn open_place(disk: &Disk, place: &Place) -> io::Result<Self> {
        let mut mailbox = Self::open(disk, &place.path())?;
        mailbox.made_max = place.below.len();
        Ok(mailbox)
    }

    /// Opens the Maildir at `place`; makes it, and the directories between it and the operator's,
    /// durably, with mode 0700, if there is none.
    ///
    /// # Errors
    /// `NotFound` if the operator's directory does not exist: its volume may not be mounted.
    pub(crate) fn open_or_create(disk: &Disk, place: &Place) -> io::Result<Self> {
        match Self::open_place(disk, place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
        let mut reached = place.base.clone();
        let mut directory = disk.open_root(&reached)?;
        for name in &place.below {
            reached.push(name);
            directory = match disk.open_root(&reached) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Like its parent, but for the mode: what is above may be open to others.
                    let mut like = disk.facts(&directory)?;
                    like.mode = NEW_MAILDIR_MODE;
                    open_or_make(disk, &directory, &like, name.as_encoded_bytes())?
                }
                opened => opened?,
            };
        }
        let mailbox = Self::open_place(disk, place)?;
        mailbox.tmp()?;
        Ok(mailbox)
    }

    /// Closes what only opening and changing need; it is opened again when it is needed. There
    /// may be ten thousand sessions, each with its descriptors.
    pub(crate) fn rest(&mut self) {
        for directory in [
            &mut self.tmp,
            &mut self.ours,
            &mut self.cache,
            &mut self.besides_cache,
            &mut self.state,
            &mut self.trash,
        ] {
            directory.take();
        }
    }

    /// The way to the disk.
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The path it was opened by, for the log.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The user as whom we open its files.
    pub(crate) fn user(&self) -> u32 {
        self.user
    }

    /// Which Maildir it is.
    pub(crate) fn identity(&self) -> MaildirIdentity {
        MaildirIdentity {
            device: self.facts.device,
            inode: self.facts.inode,
        }
    }

    /// The Maildir itself.
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// `tmp/`, made if it is missing.
    pub(crate) fn tmp(&self) -> io::Result<BorrowedFd<'_>> {
        self.below(&self.tmp, self.root.as_fd(), b"tmp", &self.facts)
    }

    /// `restante/cache/`, made if it is missing; where other folders are looked at too, a
    /// directory in it that is theirs, for what is known of a message depends on its tag.
    pub(crate) fn cache(&self) -> io::Result<BorrowedFd<'_>> {
        if self.besides.is_empty() {
            return self.inbox_cache();
        }
        let name = self.besides_name();
        self.below(
            &self.besides_cache,
            self.inbox_cache()?,
            name.as_bytes(),
            &self.own(),
        )
    }

    /// `restante/cache/`, made if it is missing: what is known of INBOX alone.
    pub(crate) fn inbox_cache(&self) -> io::Result<BorrowedFd<'_>> {
        self.below(&self.cache, self.ours()?, b"cache", &self.own())
    }

    /// `restante/state/`, made if it is missing.
    pub(crate) fn state(&self) -> io::Result<BorrowedFd<'_>> {
        self.below(&self.state, self.ours()?, b"state", &self.own())
    }

    /// `restante/trash/`, made if it is missing.
    pub(crate) fn trash(&self) -> io::Result<BorrowedFd<'_>> {
        self.below(&self.trash, self.ours()?, b"trash", &self.own())
    }

    /// `restante/state/`, if it is there.
    pub(crate) fn state_if_there(&self) -> io::Result<Option<BorrowedFd<'_>>> {
        self.ours_if_there(&self.state, b"state")
    }

    /// `restante/trash/`, if it is there.
    pub(crate) fn trash_if_there(&self) -> io::Result<Option<BorrowedFd<'_>>> {
        self.ours_if_there(&self.trash, b"trash")
    }

    /// Makes sure that a synced entry of `folder` is there after a power failure.
    ///
    /// # Errors
    /// Those of syncing.
    pub(crate) fn confirm_folder(&self, folder: Folder) -> io::Result<()> {
        let root = || self.confirm_root();
        let Some(beside) = self.beside_name(folder) else {
            return self.confirm(self.folder(folder), self.root(), root);
        };
        let home = self.disk.open_directory(self.root(), &beside.directory())?;
        self.confirm(self.folder(folder), home.as_fd(), || {
            self.confirm(home.as_fd(), self.root(), root)
        })
    }

    /// As [`Mailbox::confirm_folder`], for an entry of `restante/state/`.
    ///
    /// # Errors
    /// Those of making and syncing.
    pub(crate) fn confirm_state(&self) -> io::Result<()> {
        self.confirm(self.state()?, self.ours()?, || self.confirm_ours())
    }

    /// As [`Mailbox::confirm_folder`], for an entry of `restante/trash/`.
    ///
    /// # Errors
    /// Those of making and syncing.
    pub(crate) fn confirm_trash(&self) -> io::Result<()> {
        self.confirm(self.trash()?, self.ours()?, || self.confirm_ours())
    }

    /// As [`Mailbox::confirm_folder`], for an entry of a directory of `restante/trash/`.
    ///
    /// # Errors
    /// Those of making and syncing.
    pub(crate) fn confirm_in_trash(&self, directory: BorrowedFd<'_>) -> io::Result<()> {
        self.confirm(directory, self.trash()?, || self.confirm_trash())
    }

    /// As [`Mailbox::confirm_in_trash`], for an entry of `directory`, which is in `home`, itself
    /// confirmed.
    ///
    /// # Errors
    /// Those of syncing.
    pub(crate) fn confirm_below_trash(
        &self,
        directory: BorrowedFd<'_>,
        home: BorrowedFd<'_>,
    ) -> io::Result<()> {
        self.confirm(directory, home, || Ok(()))
    }

    fn confirm_ours(&self) -> io::Result<()> {
        self.confirm(self.ours()?, self.root(), || self.confirm_root())
    }

    /// What is above the operator's directory is his.
    fn confirm_root(&self) -> io::Result<()> {
        self.disk.confirm(&self.root, || {
            for parent in self.path.ancestors().skip(1).take(self.made_max) {
                match self.disk.open_root(parent) {
                    // Whoever may not read it has made nothing in it.
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                    opened => self.disk.sync_directory(opened?)?,
                }
            }
            Ok(())
        })
    }

    /// Makes sure that `directory` stays in `at`; `way` does so for `at` itself.
    fn confirm(
        &self,
        directory: BorrowedFd<'_>,
        at: BorrowedFd<'_>,
        way: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        self.disk.confirm(directory, || {
            way()?;
            self.disk.sync_directory(at)
        })
    }

    /// The directory `name` of one below `restante/`, made durably if it is missing.
    ///
    /// # Errors
    /// Those of opening and making it.
    pub(crate) fn own_directory(&self, at: impl AsFd, name: &[u8]) -> io::Result<OwnedFd> {
        open_or_make(&self.disk, at, &self.own(), name)
    }

    /// Makes the file `name`, which must not exist, with owner, group and mode of the Maildir.
    ///
    /// # Errors
    /// Those of [`Disk::create_new`] and [`Disk::adopt`].
    pub(crate) fn create_new(&self, at: impl AsFd, name: &[u8]) -> io::Result<File> {
        self.create_new_like(at, name, self.facts)
    }

    /// As [`Mailbox::create_new`], with the owner, group and mode of another file.
    ///
    /// # Errors
    /// Those of [`Disk::create_new`] and [`Disk::adopt`].
    pub(crate) fn create_new_like(
        &self,
        at: impl AsFd,
        name: &[u8],
        like: Facts,
    ) -> io::Result<File> {
        let file = self.disk.create_new(at, name, 0o600)?;
        adopt_file(&self.disk, &file, like)?;
        Ok(file)
    }

    /// As [`Mailbox::create_new`], below `restante/`.
    ///
    /// # Errors
    /// Those of [`Disk::create_new`] and [`Disk::adopt`].
    pub(crate) fn create_new_own(&self, at: impl AsFd, name: &[u8]) -> io::Result<File> {
        let file = self.disk.create_new(at, name, 0o600)?;
        adopt_file(&self.disk, &file, self.own())?;
        Ok(file)
    }

    /// Opens the file `name` of a directory below `restante/` for reading and appending; makes it
    /// if there is none.
    ///
    /// # Errors
    /// Those of [`Disk::open_append`] and [`Disk::adopt`].
    pub(crate) fn open_append(&self, at: impl AsFd, name: &[u8]) -> io::Result<File> {
        let file = self.disk.open_append(at, name, 0o600)?;
        adopt_file(&self.disk, &file, self.own())?;
        Ok(file)
    }

    /// Owner, group and mode of what is below `restante/`: like the Maildir's, but closed to those
    /// who may not write there. Whoever can open a lock's file can hold the lock, and so keep the
    /// user out for ever; whoever may write the Maildir could as well remove the mail.
    fn own(&self) -> Facts {
        let mut own = self.facts;
        own.mode &= !OTHERS_BITS;
        if own.mode & GROUP_WRITES == 0 {
            own.mode &= !GROUP_BITS;
        }
        own
    }

    fn ours(&self) -> io::Result<BorrowedFd<'_>> {
        self.below(&self.ours, self.root.as_fd(), b"restante", &self.own())
    }

    fn ours_if_there<'m>(
        &'m self,
        opened: &'m OnceLock<OwnedFd>,
        name: &[u8],
    ) -> io::Result<Option<BorrowedFd<'m>>> {
        let Some(ours) = self.find(&self.ours, self.root.as_fd(), b"restante")? else {
            return Ok(None);
        };
        self.find(opened, ours, name)
    }

    /// As [`Mailbox::below`], but makes nothing.
    fn find<'m>(
        &'m self,
        opened: &'m OnceLock<OwnedFd>,
        at: BorrowedFd<'_>,
        name: &[u8],
    ) -> io::Result<Option<BorrowedFd<'m>>> {
        if let Some(directory) = opened.get() {
            return Ok(Some(directory.as_fd()));
        }
        match self.disk.open_directory(at, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            found => {
                let found = found?;
                Ok(Some(opened.get_or_init(|| found).as_fd()))
            }
        }
    }

    fn below<'m>(
        &'m self,
        opened: &'m OnceLock<OwnedFd>,
        at: BorrowedFd<'_>,
        name: &[u8],
        like: &Facts,
    ) -> io::Result<BorrowedFd<'m>> {
        if let Some(directory) = opened.get() {
            return Ok(directory.as_fd());
        }
        let directory = open_or_make(&self.disk, at, like, name)?;
        // Whoever comes second closes a descriptor of the same directory.
        Ok(opened.get_or_init(|| directory).as_fd())
    }
}

/// Opens the directory `name`; makes it durably, like `like`, if there is none.
fn open_or_make(disk: &Disk, at: impl AsFd, like: &Facts, name: &[u8]) -> io::Result<OwnedFd> {
    let at = at.as_fd();
    match disk.open_directory(at, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    match disk.make_directory(at, name, NEW_MAILDIR_MODE) {
        // Another session was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    let directory = disk.open_directory(at, name)?;
    adopt(disk, &directory, like)?;
    disk.sync_directory(at)?;
    Ok(directory)
}

fn adopt_file(disk: &Disk, file: &File, mut like: Facts) -> io::Result<()> {
    like.mode &= 0o666;
    adopt(disk, file, &like)
}

/// Gives what we have just made the owner (if we may), group and mode of the Maildir.
fn adopt(disk: &Disk, made: impl AsFd, like: &Facts) -> io::Result<()> {
    let now = disk.facts(made.as_fd())?;
    let mut like = *like;
    if now.owner != ROOT {
        like.owner = now.owner;
    }
    let same = (now.owner, now.group, now.mode) == (like.owner, like.group, like.mode);
    if same {
        return Ok(());
    }
    match disk.adopt(made.as_fd(), &like, like.mode) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            // We are not in the Maildir's group; what its group may do, ours must not.
            like.group = now.group;
            disk.adopt(made, &like, like.mode & !GROUP_BITS)
        }
        adopted => adopted,
    }
}

#[cfg(test)]
mod tests;
