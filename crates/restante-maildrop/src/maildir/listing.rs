//! Listing `new/` and `cur/`, and when a listing may be trusted.
//!
//! **What can go wrong.** A file that another program renames while a directory is read may be
//! missed or seen twice; one that moves between the directories too. And a directory's times have
//! a grain: a delivery in the same tick of the clock as a listing leaves no trace in them.
//!
//! **So** a listing is believed at once only if all directories stood still: their times are the
//! same before and after, and were at least two seconds old, by the file system's own clock, when
//! it began. Only such a listing is trusted by a later poll without reading the directory again.
//! Otherwise the directories are listed until two listings in a row miss nothing.

use std::{io, ops::ControlFlow};

use super::{
    layout::{Folder, Mailbox},
    name::FileName,
    notices::Notices,
};
use crate::disk::{Facts, Kind};

/// Coarser than the times of any file system (FAT: 2 s).
const GRAIN_NANOSECONDS: i64 = 2_000_000_000;
/// A mailbox in which files move all the time is listed so often; what was seen in the last
/// listing but one is then looked for by name.
const ROUNDS_MAX: usize = 5;
/// Odd files that get a line in the log each, at most, in one listing.
const ODD_MAX: usize = 20;
/// Ten times what the default quota allows; more would be an attack on our memory.
const MESSAGES_MAX: usize = 10_000_000;

/// The state of a directory when it was listed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Stamp {
    pub(crate) inode: u64,
    pub(crate) modified: i64,
    pub(crate) changed: i64,
    /// Whether an equal stamp proves that nothing has changed since.
    pub(crate) trusted: bool,
}

/// The states of the directories with messages, remembered apart.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Stamps(Vec<Stamp>);

/// Files of the directories that had to be listed, in message order; files of one base name by
/// inode, and those in `cur/` behind those in `new/`.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) stamps: Stamps,
    /// Which of the directories were listed; the others are as they were.
    listed: Vec<bool>,
    /// Whether the directories surely stood still: then nothing was missed.
    pub(crate) still: bool,
    names: Vec<u8>,
    entries: Vec<Listed>,
}

/// One entry of a [`Listing`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed {
    start: u32,
    octets: u8,
    pub(crate) folder: Folder,
    /// As the directory has it; on some file systems not what `stat` says.
    pub(crate) inode: u64,
}

impl Stamp {
    fn of(facts: &Facts, now: i64) -> Self {
        let newest = facts.modified.max(facts.changed);
        Self {
            inode: facts.inode,
            modified: facts.modified,
            changed: facts.changed,
            trusted: now.saturating_sub(newest) >= GRAIN_NANOSECONDS,
        }
    }

    /// Whether a directory with these facts surely is as it was listed.
    pub(crate) fn proves(&self, facts: &Facts) -> bool {
        let now = (facts.inode, facts.modified, facts.changed);
        self.trusted && (self.inode, self.modified, self.changed) == now
    }
}

impl Stamps {
    /// These, in the order of the directories.
    pub(crate) fn new(stamps: Vec<Stamp>) -> Self {
        Self(stamps)
    }

    /// That of the directory; one that proves nothing where none is known.
    pub(crate) fn of(&self, folder: Folder) -> Stamp {
        self.0.get(folder.index()).copied().unwrap_or_default()
    }

    /// From now on the directory has to be listed.
    pub(crate) fn doubt(&mut self, folder: Folder) {
        if let Some(stamp) = self.0.get_mut(folder.index()) {
            stamp.trusted = false;
        }
    }
}

impl Listing {
    /// Lists those directories of the mailbox that `known` does not prove unchanged; `None` if
    /// all are. `now` reads the file system's own clock, in nanoseconds since 1970.
    ///
    /// # Errors
    /// Those of reading directories; too many names.
    pub(crate) fn take(
        mailbox: &Mailbox,
        notices: &Notices,
        known: &Stamps,
        now: &mut dyn FnMut() -> io::Result<i64>,
    ) -> io::Result<Option<Self>> {
        let mut before = facts(mailbox)?;
        let mut previous: Option<Self> = None;
        for round in 1..=ROUNDS_MAX {
            let directories = || mailbox.folders().zip(&before);
            let listed: Vec<bool> = directories()
                .map(|(folder, facts)| !known.of(folder).proves(facts))
                .collect();
            if !listed.contains(&true) {
                return Ok(None);
            }
            let now = now()?;
            let stamps = directories().zip(&listed);
            let stamps = stamps.map(|((folder, facts), &listed)| match listed {
                true => Stamp::of(facts, now),
                false => known.of(folder),
            });
            let mut listing = Self {
                stamps: Stamps(stamps.collect()),
                listed,
                ..Self::default()
            };
            listing.read(mailbox, notices)?;
            let after = facts(mailbox)?;
            let still = before
                .iter()
                .zip(&after)
                .all(|(one, other)| same(one, other));
            let old = listing.stamps.0.iter().all(|stamp| stamp.trusted);
            listing.still = still && old;
            let settled = listing.still
                || previous.as_ref().is_some_and(|previous| {
                    previous.listed == listing.listed && listing.holds_all_of(previous)
                });
            if settled {
                return Ok(Some(listing));
            }
            if let Some(previous) = previous.filter(|_| round == ROUNDS_MAX) {
                listing.keep_what_exists(mailbox, &previous);
                return Ok(Some(listing));
            }
            previous = Some(listing);
            before = after;
        }
        Ok(previous)
    }

    /// Whether all directories surely are as they were when they had these stamps.
    ///
    /// # Errors
    /// Those of looking at them.
    pub(crate) fn is_proven(mailbox: &Mailbox, stamps: &Stamps) -> io::Result<bool> {
        let now = facts(mailbox)?;
        let mut directories = mailbox.folders().zip(&now);
        Ok(directories.all(|(folder, now)| stamps.of(folder).proves(now)))
    }

    /// A listing for which no directory was read.
    pub(crate) fn of_nothing(stamps: Stamps) -> Self {
        Self {
            stamps,
            ..Self::default()
        }
    }

    /// Whether the directory was listed; else it is as it was.
    pub(crate) fn is_listed(&self, folder: Folder) -> bool {
        self.listed.get(folder.index()).copied().unwrap_or(false)
    }

    pub(crate) fn entries(&self) -> &[Listed] {
        &self.entries
    }

    /// The entries of each base name, in message order.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &[Listed]> {
        let same = |one: &Listed, other: &Listed| self.name(one) == self.name(other);
        self.entries.chunk_by(same)
    }

    pub(crate) fn name(&self, entry: &Listed) -> FileName<'_> {
        let start = entry.start as usize;
        let range = start..start + usize::from(entry.octets);
        FileName::new(&self.names[range]).expect("only names were listed")
    }

    fn read(&mut self, mailbox: &Mailbox, notices: &Notices) -> io::Result<()> {
        for folder in mailbox.folders() {
            if self.is_listed(folder) {
                self.read_folder(mailbox, folder, notices)?;
            }
        }
        self.sort();
        Ok(())
    }

    fn read_folder(
        &mut self,
        mailbox: &Mailbox,
        folder: Folder,
        notices: &Notices,
    ) -> io::Result<()> {
        let mut odd = 0;
        let mut full = false;
        let at = mailbox.folder(folder);
        mailbox.disk().list_directory(at, |entry| {
            // MDIR-STORE-2: what begins with a dot is no message.
            if entry.name.starts_with(b".") {
                return ControlFlow::Continue(());
            }
            if let (Some(name), Kind::File | Kind::Unknown) =
                (FileName::new(entry.name), entry.kind)
            {
                full = !self.push(folder, name, entry.inode);
            } else {
                odd += 1;
                if odd <= ODD_MAX {
                    say_odd(mailbox, notices, folder, entry.name);
                }
            }
            match full {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        match full {
            true => Err(io::Error::other("mailbox has too many messages")),
            false => Ok(()),
        }
    }

    /// Adds an entry; `false` if there is no room for it.
    fn push(&mut self, folder: Folder, name: FileName<'_>, inode: u64) -> bool {
        let octets = name.as_bytes();
        if self.entries.len() >= MESSAGES_MAX {
            return false;
        }
        let (Ok(start), Ok(count)) = (u32::try_from(self.names.len()), octets.len().try_into())
        else {
            return false;
        };
        self.names.extend_from_slice(octets);
        self.entries.push(Listed {
            start,
            octets: count,
            folder,
            inode,
        });
        true
    }

    fn sort(&mut self) {
        let mut keyed: Vec<_> = self
            .entries
            .iter()
            .map(|entry| (self.name(entry).order(), entry.inode, entry.folder, *entry))
            .collect();
        keyed
            .sort_unstable_by(|one, other| (one.0, one.1, one.2).cmp(&(other.0, other.1, other.2)));
        let entries = keyed.into_iter().map(|(.., entry)| entry).collect();
        self.entries = entries;
    }

    /// Whether each message of `other` is here too, by base name.
    fn holds_all_of(&self, other: &Self) -> bool {
        self.missing_of(other).next().is_none()
    }

    /// The entries of `other` whose base names are not here.
    fn missing_of<'l>(&'l self, other: &'l Self) -> impl Iterator<Item = &'l Listed> {
        let mut here = self.entries.iter().peekable();
        other.entries.iter().filter(move |entry| {
            let name = other.name(entry);
            while here.next_if(|found| self.name(found) < name).is_some() {}
            here.peek().is_none_or(|found| self.name(found) != name)
        })
    }

    /// Adds what the previous listing had and is still there under its name.
    fn keep_what_exists(&mut self, mailbox: &Mailbox, previous: &Self) {
        let missing: Vec<Listed> = self.missing_of(previous).copied().collect();
        for entry in missing {
            let name = previous.name(&entry);
            let at = mailbox.folder(entry.folder);
            match mailbox.disk().facts_at(at, name.as_bytes()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // One that cannot be looked at may be there: whoever needs it finds out.
                _ => {
                    self.push(entry.folder, name, entry.inode);
                    self.stamps.doubt(entry.folder);
                }
            }
        }
        self.sort();
    }
}

fn facts(mailbox: &Mailbox) -> io::Result<Vec<Facts>> {
    let facts = |folder| mailbox.disk().facts(mailbox.folder(folder));
    mailbox.folders().map(facts).collect()
}

fn same(one: &Facts, other: &Facts) -> bool {
    (one.modified, one.changed) == (other.modified, other.changed)
}

/// Logs that something in a folder is not served, once.
pub(crate) fn say_odd(mailbox: &Mailbox, notices: &Notices, folder: Folder, name: &[u8]) {
    if notices.first((mailbox.identity(), folder, name)) {
        tracing::warn!(
            mailbox = %mailbox.path().display(),
            folder = folder.as_str(),
            name = %name.escape_ascii(),
            "not a message: only regular files that can be read are served"
        );
    }
}

/// Logs that a message's file could not even be looked at, once.
pub(crate) fn say_unseen(
    mailbox: &Mailbox,
    notices: &Notices,
    (folder, name): (Folder, &[u8]),
    error: &io::Error,
) {
    if notices.first((mailbox.identity(), folder, name, "unseen")) {
        tracing::warn!(
            mailbox = %mailbox.path().display(),
            folder = folder.as_str(),
            name = %name.escape_ascii(),
            %error,
            "file cannot be looked at: it is not served unless it was known, the others are"
        );
    }
}
