//! Which directories are known to be on stable storage, so that each is made sure of once.

use std::{
    collections::HashSet,
    io,
    os::fd::AsFd,
    sync::{Mutex, PoisonError},
};

use rustix::{
    fs::{self, AtFlags, StatxFlags},
    io::Errno,
};

use super::{Call, Disk};

/// Beyond so many it is forgotten what was known, and the disk is asked again.
const KNOWN_MAX: usize = 100_000;

/// What this process has brought to stable storage, or found there.
#[derive(Debug, Default)]
pub(super) struct Confirmed {
    known: Mutex<HashSet<Identity>>,
}

/// A directory of this machine. An inode number comes again when its directory is removed; its
/// moment of birth does not.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Identity {
    device: (u32, u32),
    inode: u64,
    born: (i64, u32),
}

impl Disk {
    /// Brings an open directory to stable storage with `sync`, unless that was done before.
    ///
    /// # Errors
    /// Those of looking at it and of `sync`: then it counts as not done.
    pub(crate) fn confirm(
        &self,
        directory: impl AsFd,
        sync: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let identity = self.identity(directory)?;
        if identity.is_some_and(|identity| self.confirmed.holds(identity)) {
            return Ok(());
        }
        sync()?;
        if let Some(identity) = identity {
            self.confirmed.add(identity);
        }
        Ok(())
    }

    /// Which directory it is; `None` if the file system does not tell when it was made. Then the
    /// disk is asked each time.
    fn identity(&self, directory: impl AsFd) -> io::Result<Option<Identity>> {
        self.pass(Call::Facts, directory.as_fd(), b"")?;
        let wanted = StatxFlags::INO | StatxFlags::BTIME;
        let told = match fs::statx(directory, c"", AtFlags::EMPTY_PATH, wanted) {
            // Old kernels and sandboxes do not know the call.
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => return Ok(None),
            told => told?,
        };
        let all = StatxFlags::from_bits_retain(told.stx_mask).contains(wanted);
        Ok(all.then_some(Identity {
            device: (told.stx_dev_major, told.stx_dev_minor),
            inode: told.stx_ino,
            born: (told.stx_btime.tv_sec, told.stx_btime.tv_nsec),
        }))
    }
}

impl Confirmed {
    fn holds(&self, identity: Identity) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(&identity)
    }

    fn add(&self, identity: Identity) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(identity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_made_sure_of_once_and_a_failure_does_not_count() {
        let place = tempfile::tempdir().unwrap();
        let disk = Disk::default();
        let directory = disk.open_root(place.path()).unwrap();
        let failed = disk.confirm(&directory, || Err(io::ErrorKind::Other.into()));
        assert!(failed.is_err());
        let mut synced = 0;
        for _ in 0..3 {
            let confirmed = disk.clone().confirm(&directory, || {
                synced += 1;
                Ok(())
            });
            confirmed.unwrap();
        }
        let tells = disk.identity(&directory).unwrap().is_some();
        assert_eq!(synced, if tells { 1 } else { 3 });
        // Another disk knows nothing of it.
        let other = Disk::default();
        assert!(
            other
                .confirm(&directory, || Err(io::ErrorKind::Other.into()))
                .is_err()
        );
    }

    #[test]
    fn memory_is_bounded() {
        let confirmed = Confirmed::default();
        for inode in 0..=KNOWN_MAX as u64 {
            confirmed.add(Identity {
                device: (0, 0),
                inode,
                born: (0, 0),
            });
        }
        assert_eq!(confirmed.known.lock().unwrap().len(), 1);
    }
}
