//! What QUIT does: the marked messages leave the mailbox for the trash, durably.
//!
//! Under the mailbox lock, each marked message is renamed into the trash (or unlinked, if nothing
//! is kept there). A message that another program has renamed is found again by its base name; one
//! that is gone counts as deleted. Then `new/`, `cur/` and the trash are synced, and only then the
//! update is answered. A failure part-way is answered truthfully and stops none of the others.
//!
//! No file is touched but that of a marked message (R1939-QUIT-4): the file must have the listed
//! base name, and the listed inode or be the only one of that base name, now and when listed.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    ops::ControlFlow,
};

use super::{
    layout::{Folder, Mailbox},
    lock::MailboxLock,
    maildirsize::{self, Change},
    name::FileName,
    onlookers::{Alone, Asker},
    retention::Retention,
    trash::Trash,
};
use crate::{Clock, Durable, UpdateError, Updated};

/// How often the mailbox is listed before a message counts as gone: a listing can miss a file
/// that is being renamed.
const LISTINGS: usize = 3;

/// A message that a session has marked, as it was listed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marked<'m> {
    /// Where it was.
    pub(crate) folder: Folder,
    /// Its file's name.
    pub(crate) name: FileName<'m>,
    /// Its file's inode.
    pub(crate) inode: u64,
    /// Whether another listed message has the same base name.
    pub(crate) twin: bool,
    /// The folders that it may leave, wherever other programs have moved it meanwhile.
    pub(crate) homes: Homes,
}

/// Some of INBOX and the folders that are looked at with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Homes(u16);

impl Homes {
    /// All of them.
    pub(crate) const ALL: Self = Self(u16::MAX);

    /// Those for which it is true: INBOX, then the folders besides it.
    pub(crate) fn of(homes: impl Iterator<Item = bool>) -> Self {
        let bits = homes.take(u16::BITS as usize).enumerate();
        Self(bits.fold(0, |all, (at, home)| all | u16::from(home) << at))
    }

    /// Whether the directory is in one of them.
    pub(crate) fn have(self, folder: Folder) -> bool {
        let home = folder.besides().map_or(0, |beside| beside + 1);
        let bit = u32::try_from(home)
            .ok()
            .and_then(|home| self.0.checked_shr(home));
        bit.is_some_and(|bit| bit & 1 == 1)
    }
}

/// A run of removals, under the mailbox lock.
#[derive(Debug)]
pub(crate) struct Removal<'m> {
    mailbox: &'m Mailbox,
    trash: Option<Trash<'m>>,
    /// While what is removed is gone at once.
    alone: Option<Alone>,
    now: u64,
    change: Change,
    removed: usize,
    touched: BTreeSet<Folder>,
}

/// What became of one message.
enum Outcome {
    Removed,
    Missing,
    /// It is where it may not leave.
    Waits,
}

/// A file that may be a missing message.
#[derive(Clone, Debug)]
struct Candidate {
    folder: Folder,
    name: Vec<u8>,
    inode: u64,
}

/// Removes the marked messages and answers when that is durable. Blocks.
///
/// # Errors
/// [`UpdateError::Incomplete`] if not all of them are known to be gone for good.
pub(crate) fn remove(
    mailbox: &Mailbox,
    retention: &Retention,
    asker: Asker<'_>,
    marked: &[Marked<'_>],
) -> Result<Updated, UpdateError> {
    if marked.is_empty() {
        return Ok(Updated {
            removed: 0,
            durable: Durable::proven(),
        });
    }
    let lock = MailboxLock::acquire(mailbox);
    let _lock = lock.map_err(|cause| UpdateError::Incomplete {
        marked: marked.len(),
        failed: marked.len(),
        cause,
    })?;
    remove_under_lock(mailbox, retention, asker, marked)
}

/// As [`remove`], for a caller who holds the mailbox lock.
///
/// # Errors
/// As for [`remove`].
pub(crate) fn remove_under_lock(
    mailbox: &Mailbox,
    retention: &Retention,
    asker: Asker<'_>,
    marked: &[Marked<'_>],
) -> Result<Updated, UpdateError> {
    let incomplete = |failed, cause| UpdateError::Incomplete {
        marked: marked.len(),
        failed,
        cause,
    };
    let late = mailbox.with_late_folders();
    let late = late.map_err(|error| incomplete(marked.len(), error))?;
    let mailbox = late.as_ref().unwrap_or(mailbox);
    let mut removal = Removal::new(mailbox, retention, asker);
    let failures = removal.remove_all(marked);
    // Nothing is known of any of them if what was done may not last.
    let durable = removal
        .finish(&retention.clock)
        .map_err(|error| incomplete(marked.len(), error))?;
    retention.purge(mailbox, asker);
    match failures.into_first() {
        None => Ok(Updated {
            removed: removal.removed,
            durable,
        }),
        Some((failed, cause)) => Err(incomplete(failed, cause)),
    }
}

/// How many removals failed, and the first failure.
#[derive(Debug, Default)]
struct Failures {
    count: usize,
    first: Option<io::Error>,
}

impl Failures {
    fn push(&mut self, error: io::Error) {
        self.count += 1;
        self.first.get_or_insert(error);
    }

    fn into_first(self) -> Option<(usize, io::Error)> {
        Some((self.count, self.first?))
    }
}

impl<'m> Removal<'m> {
    /// A run that moves to the trash, or unlinks if `retention` keeps nothing and nobody but the
    /// asker is looking.
    pub(crate) fn new(mailbox: &'m Mailbox, retention: &Retention, asker: Asker<'_>) -> Self {
        let alone = retention.alone(mailbox, asker);
        let trash = match (&alone, retention.undelete_for.is_zero()) {
            (Some(_), _) => None,
            (None, true) => Some(Trash::new(mailbox, None)),
            (None, false) => Some(Trash::new(mailbox, retention.expired_by())),
        };
        Self {
            mailbox,
            trash,
            alone,
            now: retention.clock.now().as_secs(),
            change: Change::default(),
            removed: 0,
            touched: BTreeSet::new(),
        }
    }

    /// Removes the file `name` of `folder`, which holds `octets`.
    ///
    /// # Errors
    /// `NotFound` if it is not there; otherwise it still is.
    pub(crate) fn remove_file(
        &mut self,
        folder: Folder,
        name: FileName<'_>,
        octets: u64,
    ) -> io::Result<()> {
        let at = self.mailbox.folder(folder);
        match &mut self.trash {
            Some(trash) => {
                let left = self.mailbox.beside_name(folder);
                trash.put((at, left), name, self.now)?;
            }
            None => self.mailbox.disk().unlink(at, name.as_bytes())?,
        }
        self.touch(folder);
        if self.mailbox.is_counted(folder) {
            self.change.subtract(name, octets);
        }
        self.removed += 1;
        Ok(())
    }

    /// Brings all removals to stable storage. Returns the proof.
    ///
    /// # Errors
    /// Those of syncing: then nothing is known of any removal.
    pub(crate) fn finish(&mut self, clock: &Clock) -> io::Result<Durable> {
        // The trash first: a message may be in two places for a moment, but not in none.
        if let Some(trash) = &self.trash {
            trash.sync()?;
        }
        for &folder in &self.touched {
            let disk = self.mailbox.disk();
            disk.sync_directory(self.mailbox.folder(folder))?;
        }
        let durable = Durable::proven();
        self.alone = None;
        maildirsize::enter(self.mailbox, clock, self.change);
        Ok(durable)
    }

    /// How many messages were removed.
    pub(crate) fn removed(&self) -> usize {
        self.removed
    }

    fn remove_all(&mut self, marked: &[Marked<'_>]) -> Failures {
        let mut failures = Failures::default();
        let mut missing = Vec::new();
        for &one in marked {
            // What another program has removed must stay removed too.
            self.touch(one.folder);
            match self.remove_listed(one) {
                Ok(Outcome::Removed | Outcome::Waits) => {}
                Ok(Outcome::Missing) => missing.push(one),
                Err(error) => failures.push(error),
            }
        }
        self.find_missing(missing, &mut failures);
        failures
    }

    /// Removes the message from where it was listed, if it is still there.
    fn remove_listed(&mut self, one: Marked<'_>) -> io::Result<Outcome> {
        if !one.homes.have(one.folder) {
            return Ok(Outcome::Missing);
        }
        let at = self.mailbox.folder(one.folder);
        let facts = match self.mailbox.disk().facts_at(at, one.name.as_bytes()) {
            Ok(facts) if facts.inode == one.inode => facts,
            Ok(_) => return Ok(Outcome::Missing),
            Err(error) => return missing_or(error),
        };
        match self.remove_file(one.folder, one.name, facts.octets) {
            Ok(()) => Ok(Outcome::Removed),
            Err(error) => missing_or(error),
        }
    }

    /// Lists the mailbox until each missing message is found and removed, or known to be gone.
    fn find_missing(&mut self, mut missing: Vec<Marked<'_>>, failures: &mut Failures) {
        for listing in 1..=LISTINGS {
            if missing.is_empty() {
                return;
            }
            self.touched = self.mailbox.folders().collect();
            let found = match self.candidates(&missing) {
                Ok(found) => found,
                Err(error) => {
                    failures.count += missing.len() - 1;
                    failures.push(error);
                    return;
                }
            };
            missing.retain(|one| {
                let candidates = found.get(one.name.base()).map_or(&[][..], Vec::as_slice);
                match self.remove_candidate(*one, candidates) {
                    Ok(Outcome::Removed | Outcome::Waits) => false,
                    Ok(Outcome::Missing) => {
                        let there = !candidates.is_empty() && !one.twin;
                        if listing == LISTINGS && there {
                            failures.push(io::ErrorKind::ResourceBusy.into());
                        }
                        true
                    }
                    Err(error) => {
                        failures.push(error);
                        false
                    }
                }
            });
        }
    }

    fn remove_candidate(
        &mut self,
        one: Marked<'_>,
        candidates: &[Candidate],
    ) -> io::Result<Outcome> {
        let may_leave = |other: &&Candidate| one.homes.have(other.folder);
        let mut same_file = candidates.iter().filter(|other| other.inode == one.inode);
        // Of several names of it, one that may go.
        let same_file = same_file
            .clone()
            .find(may_leave)
            .or_else(|| same_file.next());
        let chosen = match (same_file, candidates) {
            (Some(chosen), _) => chosen,
            (None, []) => return Ok(Outcome::Missing),
            // Another program has rewritten it under its name.
            (None, [only]) if !one.twin => only,
            // Its twin is not marked, or marked by itself.
            (None, _) if one.twin => return Ok(Outcome::Missing),
            // Removing the wrong one would be worse than removing none.
            (None, _) => return Err(io::Error::other("several files of one base name")),
        };
        // Chosen among all: a copy that may go is not the message because that may not.
        if !may_leave(&chosen) {
            return Ok(Outcome::Waits);
        }
        let Some(name) = FileName::new(&chosen.name) else {
            return Ok(Outcome::Missing);
        };
        let listed = Marked {
            folder: chosen.folder,
            name,
            inode: chosen.inode,
            ..one
        };
        self.remove_listed(listed)
    }

    /// The files that have the base names of `missing`.
    fn candidates(&self, missing: &[Marked<'_>]) -> io::Result<HashMap<Vec<u8>, Vec<Candidate>>> {
        let disk = self.mailbox.disk();
        let mut found: HashMap<Vec<u8>, Vec<Candidate>> = missing
            .iter()
            .map(|one| (one.name.base().to_vec(), Vec::new()))
            .collect();
        for folder in self.mailbox.folders() {
            let at = self.mailbox.folder(folder);
            let mut names = Vec::new();
            disk.read_directory(at, |name, _| {
                let base = FileName::new(name).map(FileName::base);
                if base.is_some_and(|base| found.contains_key(base)) {
                    names.push(name.to_vec());
                }
                ControlFlow::Continue(())
            })?;
            for name in names {
                let inode = match disk.facts_at(at, &name) {
                    Ok(facts) => facts.inode,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                };
                let base = FileName::new(&name).map(FileName::base).unwrap_or_default();
                if let Some(candidates) = found.get_mut(base) {
                    candidates.push(Candidate {
                        folder,
                        name,
                        inode,
                    });
                }
            }
        }
        Ok(found)
    }

    fn touch(&mut self, folder: Folder) {
        self.touched.insert(folder);
    }
}

fn missing_or(error: io::Error) -> io::Result<Outcome> {
    match error.kind() {
        io::ErrorKind::NotFound => Ok(Outcome::Missing),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests;
