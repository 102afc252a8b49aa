//! Where an mbox is, and the names beside it.

use std::{
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use restante_maildrop::disk::Disk;
use sha2::{Digest as _, Sha256};

use crate::DestinationError;

use super::lock::LockError;

/// An mbox and its directory.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) disk: Disk,
    pub(super) directory: PathBuf,
    /// The mbox's name in it.
    pub(super) name: Vec<u8>,
    /// What people are told.
    pub(super) label: String,
    /// How long another program may have it locked.
    pub(super) lock_wait: Duration,
    /// Which account's: it keeps the spools of several apart.
    owner: String,
    /// The directory's device and inode, since it was opened first.
    identity: OnceLock<(u64, u64)>,
}

/// The random part of a name beside the mbox.
pub(super) type Nonce = [u8; 16];

impl Place {
    /// The mbox at `path`; if that is a link, where it leads. `None` if it names no file.
    pub(super) fn new(path: &Path, account: &str, disk: Disk, lock_wait: Duration) -> Option<Self> {
        let label = format!("mbox:{}", path.display().to_string().escape_debug());
        // The locks of other programs are beside the file itself too.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let name = path.file_name()?.as_bytes().to_owned();
        let directory = match path.parent()? {
            parent if parent.as_os_str().is_empty() => PathBuf::from("."),
            parent => parent.to_owned(),
        };
        let digest = Sha256::digest(account.as_bytes());
        let owner = hex(digest.iter().take(8));
        Some(Self {
            disk,
            directory,
            name,
            label,
            lock_wait,
            owner,
            identity: OnceLock::new(),
        })
    }

    /// The directory, which is the same each time: a disk that went away meanwhile has left a bare
    /// one in its place, and there no mbox is made.
    pub(super) fn open(&self) -> io::Result<OwnedFd> {
        let directory = self.disk.open_root(&self.directory)?;
        let facts = self.disk.facts(&directory)?;
        let identity = (facts.device, facts.inode);
        match *self.identity.get_or_init(|| identity) == identity {
            true => Ok(directory),
            false => Err(io::Error::other(
                "its directory is not the one that it was before",
            )),
        }
    }

    /// How all names of this account's files beside the mbox begin. They are hidden: programs that
    /// show a directory of mboxes pass over them.
    pub(super) fn prefix(&self) -> Vec<u8> {
        [
            b".",
            self.name.as_slice(),
            b".restante-",
            self.owner.as_bytes(),
            b"-",
        ]
        .concat()
    }

    pub(super) fn name_of(&self, nonce: &Nonce) -> Vec<u8> {
        [self.prefix(), hex(nonce.iter()).into_bytes()].concat()
    }

    /// A name that nothing has.
    pub(super) fn unique_name(&self) -> io::Result<Vec<u8>> {
        Ok(self.name_of(&nonce()?))
    }

    pub(super) fn failed(&self, cause: io::Error) -> DestinationError {
        DestinationError::system(self.label.clone(), cause)
    }

    pub(super) fn not_locked(&self, error: LockError) -> DestinationError {
        match error {
            LockError::Busy => DestinationError::Later {
                place: self.label.clone(),
                said: error.to_string(),
            },
            LockError::System(cause) => self.failed(cause),
        }
    }
}

pub(super) fn nonce() -> io::Result<Nonce> {
    let mut nonce = Nonce::default();
    getrandom::fill(&mut nonce).map_err(io::Error::other)?;
    Ok(nonce)
}

fn hex<'o>(octets: impl Iterator<Item = &'o u8>) -> String {
    octets.map(|octet| format!("{octet:02x}")).collect()
}
