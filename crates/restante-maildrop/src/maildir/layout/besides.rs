//! The directories with messages: those of INBOX, and of the folders that are looked at with it.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::Mailbox;
use crate::{
    FolderName, ShownFolder, Tag,
    maildir::{maildirsize, notices::Notices},
};

/// A folder that is looked at besides INBOX, open.
#[derive(Debug)]
pub(super) struct Beside {
    pub(super) shown: ShownFolder,
    pub(super) new: OwnedFd,
    pub(super) cur: OwnedFd,
}

/// One of the directories with messages: `new/` (delivered, not yet seen by a program that keeps
/// flags) or `cur/` of INBOX, or of a folder that was opened with it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Folder(u8);

impl Folder {
    /// INBOX's `new/`.
    pub(crate) const NEW: Self = Self(0);
    /// INBOX's `cur/`.
    pub(crate) const CUR: Self = Self(1);

    /// The directories of INBOX and so many folders besides, in the order in which they are
    /// searched: messages move from `new/` to `cur/`, so that one on its way is found in the
    /// second.
    pub(crate) fn all(besides: usize) -> impl Iterator<Item = Self> {
        let directories = 2 * (besides + 1);
        (0..u8::try_from(directories).unwrap_or(u8::MAX)).map(Self)
    }

    /// Where it stands among all.
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// As it stands in files: never renumber.
    pub(crate) fn code(self) -> u8 {
        self.0
    }

    /// The folder that stands so in a file, of so many besides INBOX.
    pub(crate) fn of_code(code: u8, besides: usize) -> Option<Self> {
        Self::all(besides).find(|folder| folder.0 == code)
    }

    /// Whether it is a `cur/`.
    pub(crate) fn is_cur(self) -> bool {
        self.0 % 2 == 1
    }

    /// The `new/`, or the `cur/`, of the same folder.
    pub(crate) fn beside_it(self, cur: bool) -> Self {
        Self(self.0 & !1 | u8::from(cur))
    }

    /// Which of the folders besides INBOX it belongs to; `None`: INBOX.
    pub(crate) fn besides(self) -> Option<usize> {
        usize::from(self.0 / 2).checked_sub(1)
    }

    /// The directory's name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self.0 % 2 {
            0 => "new",
            _ => "cur",
        }
    }
}

impl Mailbox {
    /// Opens what there is of these folders, so that they are looked at with INBOX. One that is
    /// not there is empty, and not made.
    ///
    /// # Errors
    /// Those of opening, where they say nothing of the folder.
    pub(crate) fn open_besides(
        &mut self,
        notices: &Notices,
        folders: impl IntoIterator<Item = ShownFolder>,
    ) -> io::Result<()> {
        self.besides.clear();
        self.wanted = folders.into_iter().collect();
        for shown in &self.wanted {
            match self.open_beside(shown) {
                Ok(beside) => self.besides.push(beside),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if is_no_folder(&error) => self.say_odd(notices, shown, &error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The Maildir with those of its folders that were wanted and not there, and are now: another
    /// program may have made one to move a listed message there. `None` if there is no such one.
    /// The directories that were open already are the same.
    ///
    /// # Errors
    /// Those of opening.
    pub(crate) fn with_late_folders(&self) -> io::Result<Option<Self>> {
        let open = |shown: &ShownFolder| self.besides().any(|one| one.name == shown.name);
        let mut found = Vec::new();
        for shown in self.wanted.iter().filter(|&shown| !open(shown)) {
            match self.open_beside(shown) {
                Ok(beside) => found.push(beside),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if is_no_folder(&error) => {}
                Err(error) => return Err(error),
            }
        }
        if found.is_empty() {
            return Ok(None);
        }
        let mut late = Self::open_existing(&self.disk, &self.path)?;
        if late.identity() != self.identity() {
            return Ok(None);
        }
        late.made_max = self.made_max;
        for shown in self.besides() {
            late.besides.push(late.open_beside(shown)?);
        }
        late.besides.append(&mut found);
        Ok(Some(late))
    }

    fn open_beside(&self, shown: &ShownFolder) -> io::Result<Beside> {
        let directory = shown.name.directory();
        let folder = self.disk.open_directory(self.root.as_fd(), &directory)?;
        let open = |name: &[u8]| {
            let opened = self.disk.open_directory(folder.as_fd(), name)?;
            // Nothing could be renamed from there to the trash, and inodes would be ambiguous.
            match self.disk.facts(&opened)?.device == self.facts.device {
                true => io::Result::Ok(opened),
                false => Err(io::ErrorKind::CrossesDevices.into()),
            }
        };
        Ok(Beside {
            shown: shown.clone(),
            new: open(b"new")?,
            cur: open(b"cur")?,
        })
    }

    fn say_odd(&self, notices: &Notices, shown: &ShownFolder, error: &io::Error) {
        if notices.first((self.identity(), shown.name.as_str(), "beside")) {
            tracing::warn!(
                mailbox = %self.path.display(),
                folder = shown.name.as_str(),
                %error,
                "folder not shown: it has to be a directory of the Maildir's own file system"
            );
        }
    }

    /// The folders that were opened besides INBOX, in the order of their directories.
    pub(crate) fn besides(&self) -> impl ExactSizeIterator<Item = &ShownFolder> {
        self.besides.iter().map(|beside| &beside.shown)
    }

    /// Its directories with messages, in the order in which they are searched.
    pub(crate) fn folders(&self) -> impl Iterator<Item = Folder> + use<> {
        Folder::all(self.besides.len())
    }

    /// What messages in this directory are marked with.
    pub(crate) fn tag(&self, folder: Folder) -> Option<&Tag> {
        self.beside(folder)?.shown.tag.as_ref()
    }

    /// The folder besides INBOX that the directory is in; `None`: INBOX.
    pub(crate) fn beside_name(&self, folder: Folder) -> Option<&FolderName> {
        self.beside(folder).map(|beside| &beside.shown.name)
    }

    /// Whether a Maildir++ quota counts what is in the directory: the trash is not, by convention.
    pub(crate) fn is_counted(&self, folder: Folder) -> bool {
        let name = self.beside_name(folder);
        name.is_none_or(|name| name.directory() != maildirsize::TRASH)
    }

    /// A directory with messages.
    pub(crate) fn folder(&self, folder: Folder) -> BorrowedFd<'_> {
        match (self.beside(folder), folder.is_cur()) {
            (None, false) => self.new.as_fd(),
            (None, true) => self.cur.as_fd(),
            (Some(beside), false) => beside.new.as_fd(),
            (Some(beside), true) => beside.cur.as_fd(),
        }
    }

    fn beside(&self, folder: Folder) -> Option<&Beside> {
        self.besides.get(folder.besides()?)
    }

    /// Tells the folders that are looked at, and their tags, from all others.
    pub(crate) fn besides_name(&self) -> String {
        const NAME_OCTETS: usize = 16;
        let mut hash = Sha256::new();
        for folder in self.besides() {
            let tag = folder.tag.as_ref().map_or("", Tag::as_str);
            // Neither can hold a line end.
            hash.update(format!("{}\n{tag}\n", folder.name.as_str()));
        }
        let digest = hash.finalize();
        let octets = digest.iter().take(NAME_OCTETS);
        octets.map(|octet| format!("{octet:02x}")).collect()
    }
}

/// Whether a folder could not be opened for what it is.
fn is_no_folder(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, NotADirectory, PermissionDenied};
    let link = Errno::from_io_error(error) == Some(Errno::LOOP);
    link || matches!(
        error.kind(),
        CrossesDevices | NotADirectory | PermissionDenied
    )
}
