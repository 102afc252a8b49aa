//! The lock of an mbox: a dotlock, then the record lock of `fcntl`, always in this order.

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    os::fd::OwnedFd,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use restante_maildrop::disk::{Disk, Facts, Kind};
use rustix::{
    io::Errno,
    process::{Pid, test_kill_process},
};

use super::place::Place;

/// How long a dotlock that does not tell whose it is must have been left untouched before it is
/// taken for a dead program's: the practice of liblockfile.
const STALE_AFTER: Duration = Duration::from_secs(300);

/// How long to wait between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// How often the mbox may be replaced by another file while it is being locked.
const REPLACED_MAX: usize = 10;

/// What is read of a dotlock at most.
const OWNER_OCTETS_MAX: usize = 256;

/// The dotlocks of this process, by device and inode.
static HELD: Mutex<BTreeSet<(u64, u64)>> = Mutex::new(BTreeSet::new());

/// A dotlock of this process, which others of its accounts know to be in use.
struct Held((u64, u64));

impl Held {
    fn new(dotlock: &Facts) -> Self {
        let identity = (dotlock.device, dotlock.inode);
        Self::all().insert(identity);
        Self(identity)
    }

    fn all() -> MutexGuard<'static, BTreeSet<(u64, u64)>> {
        HELD.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        Self::all().remove(&self.0);
    }
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub(super) enum LockError {
    /// Another program has it.
    #[error("another program has locked it")]
    Busy,
    /// A call failed.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// An mbox that nobody else writes, as far as other programs keep to the locks. Dropping it frees
/// it; so does the death of the process, the dotlock apart, which the next program finds stale.
pub(super) struct LockedMbox<'p> {
    place: &'p Place,
    pub(super) at: OwnedFd,
    pub(super) file: File,
    /// The file was made for this.
    pub(super) new: bool,
    /// Held open, so that no other file can be taken for it.
    dotlock: File,
    dotlock_name: Vec<u8>,
    _held: Held,
}

impl<'p> LockedMbox<'p> {
    /// Locks the mbox of `place`, and makes it if there is none.
    ///
    /// # Errors
    /// [`LockError`]; nothing is locked.
    pub(super) fn lock(place: &'p Place) -> Result<Self, LockError> {
        let until = Instant::now() + place.lock_wait;
        let disk = &place.disk;
        let at = place.open()?;
        let dotlock_name = [place.name.as_slice(), b".lock"].concat();
        let (dotlock, held) = take_dotlock(place, &at, &dotlock_name, until)?;
        let locked = open_locked(place, &at, until);
        match locked {
            Ok((file, new)) => Ok(Self {
                place,
                at,
                file,
                new,
                dotlock,
                dotlock_name,
                _held: held,
            }),
            Err(error) => {
                free_dotlock(disk, &at, &dotlock_name, &dotlock);
                Err(error)
            }
        }
    }

    /// Shows to other programs that the lock is in use still.
    pub(super) fn refresh(&self) {
        // It is a help against those who judge by age alone, and nothing depends on it.
        let _ = self.place.disk.touch(&self.dotlock);
    }
}

impl Drop for LockedMbox<'_> {
    fn drop(&mut self) {
        // The record lock goes with the descriptor, after this.
        let disk = &self.place.disk;
        free_dotlock(disk, &self.at, &self.dotlock_name, &self.dotlock);
    }
}

/// Makes the dotlock, by way of a link, so that it never exists without its owner's name in it.
fn take_dotlock(
    place: &Place,
    at: &OwnedFd,
    name: &[u8],
    until: Instant,
) -> Result<(File, Held), LockError> {
    let disk = &place.disk;
    let draft_name = place.unique_name()?;
    let draft = disk.create_new(at, &draft_name, 0o644)?;
    let linked = (|| {
        disk.write_all(&draft, owner().as_bytes())?;
        let held = Held::new(&disk.facts(&draft)?);
        loop {
            // Its time is that of the file system's own clock.
            disk.touch(&draft)?;
            match disk.link(at, &draft_name, at, name) {
                Ok(()) => return Ok(held),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
            if remove_if_stale(place, at, name, &disk.facts(&draft)?)? {
                continue;
            }
            if Instant::now() >= until {
                return Err(LockError::Busy);
            }
            thread::sleep(PAUSE);
        }
    })();
    let removed = disk.unlink(at, &draft_name);
    let held = linked?;
    if let Err(error) = removed {
        free_dotlock(disk, at, name, &draft);
        return Err(error.into());
    }
    Ok((draft, held))
}

fn free_dotlock(disk: &Disk, at: &OwnedFd, name: &[u8], ours: &File) {
    // Another program may have taken it for stale and put its own there.
    let ours = disk.facts(ours);
    let same = |found: Facts| ours.is_ok_and(|ours| is_same(&found, &ours));
    if disk.facts_at(at, name).is_ok_and(same) {
        // What remains is found stale by the next program.
        let _ = disk.unlink(at, name);
    }
}

fn is_same(one: &Facts, other: &Facts) -> bool {
    (one.device, one.inode) == (other.device, other.inode)
}

/// Opens the file and takes its record lock; again, if it was replaced meanwhile.
fn open_locked(place: &Place, at: &OwnedFd, until: Instant) -> Result<(File, bool), LockError> {
    let disk = &place.disk;
    for _ in 0..REPLACED_MAX {
        let new = match disk.facts_at(at, &place.name) {
            Ok(_) => false,
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(error.into()),
        };
        let file = disk.open_append(at, &place.name, 0o600)?;
        let facts = disk.facts(&file)?;
        if facts.kind != Kind::File {
            return Err(io::Error::other("it is no regular file").into());
        }
        while !disk.try_lock_record(&file)? {
            if Instant::now() >= until {
                return Err(LockError::Busy);
            }
            thread::sleep(PAUSE);
        }
        match disk.facts_at(at, &place.name) {
            Ok(now) if is_same(&now, &facts) => return Ok((file, new)),
            _ => {}
        }
    }
    Err(LockError::Busy)
}

/// Removes a dotlock whose owner is dead; whether it did, or somebody else has.
fn remove_if_stale(
    place: &Place,
    at: &OwnedFd,
    name: &[u8],
    now: &Facts,
) -> Result<bool, LockError> {
    let disk = &place.disk;
    let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let found = match disk.open_read(at, name) {
        Ok(found) => found,
        Err(error) if gone(&error) => return Ok(true),
        Err(error) => return Err(error.into()),
    };
    let facts = disk.facts(&found)?;
    let mut owner = [0; OWNER_OCTETS_MAX];
    let octets = disk.read_at(&found, &mut owner, 0)?;
    let age = now.modified.saturating_sub(facts.modified);
    let old = u64::try_from(age).is_ok_and(|age| Duration::from_nanos(age) >= STALE_AFTER);
    let stale = match lives(owner.get(..octets).unwrap_or_default(), &facts) {
        Some(lives) => !lives,
        None => old,
    };
    if !stale {
        return Ok(false);
    }
    // Another program may have come to the same conclusion, removed it and locked anew: what was
    // moved away is looked at before it is removed.
    let aside = place.unique_name()?;
    match disk.rename_no_replace(at, name, at, &aside) {
        Ok(()) => {}
        Err(error) if gone(&error) => return Ok(true),
        Err(error) => return Err(error.into()),
    }
    if is_same(&disk.facts_at(at, &aside)?, &facts) {
        disk.unlink(at, &aside)?;
        return Ok(true);
    }
    // If a third one has locked in this moment, the record lock still keeps them apart.
    if disk.rename_no_replace(at, &aside, at, name).is_err() {
        disk.unlink(at, &aside)?;
    }
    Ok(false)
}

/// What is written into a dotlock: the process, as liblockfile reads it, and its machine, as Dovecot
/// does.
fn owner() -> String {
    format!("{}:{}\n", std::process::id(), host())
}

fn host() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

/// Whether the owner of a dotlock lives; `None`: it does not tell, or is on another machine, or has
/// our number and is not us: in a container every process that is begun anew may have the same.
fn lives(owner: &[u8], dotlock: &Facts) -> Option<bool> {
    let owner = std::str::from_utf8(owner).ok()?.trim();
    let (process, elsewhere) = match owner.split_once(':') {
        Some((process, machine)) => (process, machine != host()),
        None => (owner, false),
    };
    let process = Pid::from_raw(process.parse().ok().filter(|&number: &i32| number > 0)?)?;
    let is_ours = Held::all().contains(&(dotlock.device, dotlock.inode));
    let has_our_number = process == rustix::process::getpid();
    if elsewhere || has_our_number && !is_ours {
        return None;
    }
    Some(test_kill_process(process) != Err(Errno::SRCH))
}

#[cfg(test)]
mod tests;
