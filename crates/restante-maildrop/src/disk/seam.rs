//! Where a plan of failures takes hold of a disk's calls; without feature `testing`, nowhere.

use std::{io, os::fd::BorrowedFd};

use rustix::fs::Timespec;

use super::{Call, Disk, FILE_SYSTEMS_NOW, Facts, NameAt};

#[cfg(not(feature = "testing"))]
#[expect(clippy::unused_self, reason = "the fault plan is compiled out")]
impl Disk {
    pub(super) fn pass(&self, _: Call, _: BorrowedFd<'_>, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn pass_two(&self, _: Call, _: NameAt<'_>, _: NameAt<'_>) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn takes_new(&self, _: BorrowedFd<'_>, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn told(&self, facts: Facts) -> Facts {
        facts
    }

    pub(super) fn touch_time(&self) -> Timespec {
        FILE_SYSTEMS_NOW
    }

    pub(super) fn overlooks(&self, _: &[u8]) -> bool {
        false
    }

    pub(super) fn forbids(&self, _: BorrowedFd<'_>, _: &[u8]) -> bool {
        false
    }

    pub(super) fn listed_inode(&self, inode: u64) -> u64 {
        inode
    }

    pub(super) fn is_cold(&self) -> bool {
        false
    }

    pub(super) fn cut_short<'o>(&self, _: &'o [u8]) -> Option<&'o [u8]> {
        None
    }
}

#[cfg(feature = "testing")]
impl Disk {
    /// Counts a call, which may fail.
    pub(super) fn pass(&self, call: Call, at: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
        match &self.faults {
            Some(faults) => faults.pass(call, (at, name), None),
            None => Ok(()),
        }
    }

    /// Counts a call that concerns two names, and may fail.
    pub(super) fn pass_two(&self, call: Call, from: NameAt<'_>, to: NameAt<'_>) -> io::Result<()> {
        match &self.faults {
            Some(faults) => faults.pass(call, from, Some(to)),
            None => Ok(()),
        }
    }

    /// Fails if the entry would have to be made and there is no room.
    pub(super) fn takes_new(&self, at: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
        match &self.faults {
            Some(faults) => faults.takes_new((at, name)),
            None => Ok(()),
        }
    }

    /// The facts as this disk tells them.
    pub(super) fn told(&self, facts: Facts) -> Facts {
        let faults = self.faults.as_ref();
        faults.map_or(facts, |faults| faults.told(facts))
    }

    /// What a touched file's time becomes.
    pub(super) fn touch_time(&self) -> Timespec {
        let touched = self.faults.as_ref().and_then(|faults| faults.touched());
        touched.map_or(FILE_SYSTEMS_NOW, |time| Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or_default(),
            tv_nsec: time.subsec_nanos().into(),
        })
    }

    /// Whether a listing misses the entry.
    pub(super) fn overlooks(&self, name: &[u8]) -> bool {
        let faults = self.faults.as_ref();
        faults.is_some_and(|faults| faults.overlooks(name))
    }

    /// Whether even root may not read the entry.
    pub(super) fn forbids(&self, at: BorrowedFd<'_>, name: &[u8]) -> bool {
        const ANYBODY_READS: u32 = 0o444;
        let obeys = self.faults.as_ref().is_some_and(|one| one.obeys_modes());
        let stat = rustix::fs::statat(at, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
        obeys && stat.is_ok_and(|stat| stat.st_mode & ANYBODY_READS == 0)
    }

    /// The inode as a directory tells it.
    pub(super) fn listed_inode(&self, inode: u64) -> u64 {
        let faults = self.faults.as_ref();
        let strange = faults.is_some_and(|faults| faults.has_strange_inodes());
        if strange { !inode } else { inode }
    }

    /// Whether nothing is in memory.
    pub(super) fn is_cold(&self) -> bool {
        self.faults.as_ref().is_some_and(|faults| faults.is_cold())
    }

    /// What a write that is going to fail still writes: a full disk takes some of it.
    pub(super) fn cut_short<'o>(&self, octets: &'o [u8]) -> Option<&'o [u8]> {
        let faults = self.faults.as_ref()?;
        faults.fails_next().then(|| &octets[..octets.len() / 2])
    }
}
