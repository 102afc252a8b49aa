//! Where in the trash a folder's messages lie: INBOX's in the trash itself, another folder's in a
//! directory that is called as in the Maildir, so that they can go back.

use std::{
    io,
    ops::ControlFlow,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::io::Errno;

use crate::{FolderName, disk::Kind, maildir::layout::Mailbox};

/// Beyond so many folders the others' mail is not found.
const FOLDERS_MAX: usize = 1000;

/// A directory with messages, and the folder besides INBOX that it is in.
pub(super) type From<'f> = (BorrowedFd<'f>, Option<&'f FolderName>);

/// Where what was in one folder lies.
#[derive(Debug)]
pub(super) enum Home<'m> {
    /// The trash itself.
    Trash(BorrowedFd<'m>),
    /// A directory in it.
    Below(OwnedFd),
}

impl AsFd for Home<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Trash(trash) => *trash,
            Self::Below(home) => home.as_fd(),
        }
    }
}

impl<'m> Home<'m> {
    /// Where what was in the folder lies, made and confirmed if it is missing.
    ///
    /// # Errors
    /// Those of making and syncing.
    pub(super) fn make(mailbox: &'m Mailbox, folder: Option<&FolderName>) -> io::Result<Self> {
        let trash = mailbox.trash()?;
        let Some(folder) = folder else {
            mailbox.confirm_trash()?;
            return Ok(Self::Trash(trash));
        };
        let home = mailbox.own_directory(trash, &folder.directory())?;
        mailbox.confirm_in_trash(home.as_fd())?;
        Ok(Self::Below(home))
    }

    /// Where what was in the folder lies; `None` if it is no directory of ours.
    ///
    /// # Errors
    /// Those of opening.
    pub(super) fn open(
        mailbox: &'m Mailbox,
        folder: Option<&FolderName>,
    ) -> io::Result<Option<Self>> {
        let Some(trash) = mailbox.trash_if_there()? else {
            return Ok(None);
        };
        let Some(folder) = folder else {
            return Ok(Some(Self::Trash(trash)));
        };
        match mailbox.disk().open_directory(trash, &folder.directory()) {
            // Not what we make, or removed just now.
            Err(error) if is_no_home(&error) => Ok(None),
            opened => Ok(Some(Self::Below(opened?))),
        }
    }
}

/// INBOX, and the other folders of which there may be something in the trash.
///
/// # Errors
/// Those of reading.
pub(super) fn all(mailbox: &Mailbox) -> io::Result<Vec<Option<FolderName>>> {
    let others = folders(mailbox)?.into_iter().map(Some);
    Ok([None].into_iter().chain(others).collect())
}

/// The folders besides INBOX of which there is something in the trash.
///
/// # Errors
/// Those of reading.
pub(crate) fn folders(mailbox: &Mailbox) -> io::Result<Vec<FolderName>> {
    let Some(trash) = mailbox.trash_if_there()? else {
        return Ok(Vec::new());
    };
    let mut folders = Vec::new();
    mailbox.disk().read_directory(trash, |name, kind| {
        if matches!(kind, Kind::Directory | Kind::Unknown) {
            folders.extend(FolderName::of_directory(name));
        }
        match folders.len() < FOLDERS_MAX {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    })?;
    folders.sort_unstable();
    Ok(folders)
}

fn is_no_home(error: &io::Error) -> bool {
    let link = Errno::from_io_error(error) == Some(Errno::LOOP);
    link || matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
