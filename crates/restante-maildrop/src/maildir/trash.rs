//! `restante/trash/`: where messages rest after they have left the mailbox.
//!
//! ```text
//! trash/
//! ├── 2026-01-31/                                   the day of deletion, UTC
//! │   └── 120005.1769860805.M1P2R3.host,S=12:2,S    its time, and the file's name
//! ├── 2026-02-01.120005.1769860806.M4P2R5.host      beside the days
//! └── .Junk/                                        the same for what was in the folder Junk
//! ```
//!
//! A directory for each day keeps the number of directories small and lets a day go at once; the
//! time in the name is needed to restore "what was deleted since ten o'clock". On a full disk, or
//! over quota, the day's directory may not be possible: then what has lain here long enough goes,
//! and where that does not help, a message lies beside the days, which needs nothing but a rename.
//! A name that would get longer than 255 octets is cut and gets a hash; nothing is lost, because a
//! restored message gets a new base name anyway.

mod homes;

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    ops::ControlFlow,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use sha2::{Digest, Sha256};

use super::{layout::Mailbox, name::FileName};
use crate::{
    FolderName,
    disk::{Kind, takes_nothing_new},
};

pub(crate) use self::homes::folders;
use self::homes::{From, Home};

const DAY_SECONDS: u64 = 24 * 60 * 60;
/// `HHMMSS.`
const TIME_OCTETS: usize = 7;
/// `YYYY-MM-DD`
const DAY_OCTETS: usize = 10;
/// Octets of a hash in a name that had to be cut, two hex digits each.
const HASH_OCTETS: usize = 8;
/// Files of one name and one second, as in a mailbox with duplicates, go to the next seconds.
const SAME_SECOND_MAX: u64 = 16;
/// The year 9999 ends here; a clock beyond it is wrong.
const SECONDS_MAX: u64 = 253_402_300_799;
/// So many files are purged at once at most: somebody is waiting.
pub(crate) const PURGED_MAX: usize = 1000;

/// The trash of one mailbox, with today's directory open once something was put in.
#[derive(Debug)]
pub(crate) struct Trash<'m> {
    mailbox: &'m Mailbox,
    days: Vec<OpenDay>,
    /// Those of which something was put beside the days.
    beside: BTreeSet<Option<FolderName>>,
    /// What was deleted at or before this moment goes for good when there is no room.
    expired_by: Option<u64>,
}

/// Where in the trash a message lies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Shelf {
    InItsDay,
    BesideDays,
}

#[derive(Debug)]
struct OpenDay {
    folder: Option<FolderName>,
    day: u64,
    directory: OwnedFd,
}

/// One message in the trash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trashed<'t> {
    /// The directory it is in.
    pub(crate) directory: BorrowedFd<'t>,
    /// The file's name in it.
    pub(crate) entry: &'t [u8],
    /// The folder besides INBOX that it was in; `None`: INBOX.
    pub(crate) folder: Option<&'t FolderName>,
    /// The name it had in the mailbox.
    pub(crate) name: FileName<'t>,
    /// When it was deleted, in Unix seconds.
    pub(crate) deleted: u64,
}

impl<'m> Trash<'m> {
    /// The trash; what was deleted at or before `expired_by` is purged if there is no room.
    pub(crate) fn new(mailbox: &'m Mailbox, expired_by: Option<u64>) -> Self {
        Self {
            mailbox,
            days: Vec::new(),
            beside: BTreeSet::new(),
            expired_by,
        }
    }

    /// Moves the file `name` of the directory `from`, which is in that folder besides INBOX if it
    /// is in one, here. Nothing is durable before
    /// [`Trash::sync`] and a sync of `from`. The caller holds the mailbox lock.
    ///
    /// # Errors
    /// `NotFound` if there is no such file; otherwise it is where it was.
    pub(crate) fn put(
        &mut self,
        from: From<'_>,
        name: FileName<'_>,
        deleted: u64,
    ) -> io::Result<()> {
        let mut moved = self.put_on(Shelf::InItsDay, from, name, deleted);
        if lacks_room(&moved) && self.make_room() {
            moved = self.put_on(Shelf::InItsDay, from, name, deleted);
        }
        if lacks_room(&moved) {
            moved = self.put_on(Shelf::BesideDays, from, name, deleted);
        }
        if lacks_room(&moved) {
            // It goes back to INBOX then, which is better than not to go at all.
            moved = self.put_on(Shelf::BesideDays, (from.0, None), name, deleted);
        }
        moved
    }

    fn put_on(
        &mut self,
        shelf: Shelf,
        (from, folder): From<'_>,
        name: FileName<'_>,
        deleted: u64,
    ) -> io::Result<()> {
        let mut deleted = deleted.min(SECONDS_MAX - SAME_SECOND_MAX);
        for _ in 0..SAME_SECOND_MAX {
            let entry = entry_name(shelf, name, deleted);
            let disk = self.mailbox.disk();
            let moved = match shelf {
                Shelf::InItsDay => {
                    let to = self.open_day(folder, deleted / DAY_SECONDS)?;
                    disk.rename_no_replace(from, name.as_bytes(), to, &entry)
                }
                Shelf::BesideDays => {
                    let to = Home::make(self.mailbox, folder)?;
                    self.beside.insert(folder.cloned());
                    disk.rename_no_replace(from, name.as_bytes(), to, &entry)
                }
            };
            match moved {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => deleted += 1,
                moved => return moved,
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Purges what may go for good, once. Whether there was any.
    fn make_room(&mut self) -> bool {
        let Some(expired_by) = self.expired_by.take() else {
            return false;
        };
        let purged = purge(self.mailbox, expired_by, PURGED_MAX);
        purged.is_ok_and(|purged| purged.count > 0)
    }

    /// Brings what was put in to stable storage.
    ///
    /// # Errors
    /// Those of syncing.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let disk = self.mailbox.disk();
        for day in &self.days {
            disk.sync_directory(&day.directory)?;
        }
        for folder in &self.beside {
            disk.sync_directory(Home::make(self.mailbox, folder.as_ref())?)?;
        }
        Ok(())
    }

    fn open_day(&mut self, folder: Option<&FolderName>, day: u64) -> io::Result<BorrowedFd<'_>> {
        let found = |open: &OpenDay| open.day == day && open.folder.as_ref() == folder;
        let position = match self.days.iter().position(found) {
            Some(position) => position,
            None => {
                let mailbox = self.mailbox;
                let home = Home::make(mailbox, folder)?;
                let directory = mailbox.own_directory(&home, day_name(day).as_bytes())?;
                mailbox.confirm_below_trash(directory.as_fd(), home.as_fd())?;
                self.days.push(OpenDay {
                    folder: folder.cloned(),
                    day,
                    directory,
                });
                self.days.len() - 1
            }
        };
        Ok(self.days[position].directory.as_fd())
    }
}

fn lacks_room(moved: &io::Result<()>) -> bool {
    moved.as_ref().is_err_and(takes_nothing_new)
}

/// Shows `each` every message in the trash whose day `wanted` wants, until it breaks. Days come
/// in order, messages of a day in none, those beside the days last.
///
/// # Errors
/// Those of reading, and of `each`.
pub(crate) fn walk(
    mailbox: &Mailbox,
    wanted: impl Fn(Day) -> bool,
    mut each: impl FnMut(Trashed<'_>) -> io::Result<ControlFlow<()>>,
) -> io::Result<()> {
    for folder in homes::all(mailbox)? {
        let Some(home) = Home::open(mailbox, folder.as_ref())? else {
            continue;
        };
        let walked = walk_home(mailbox, (home.as_fd(), folder.as_ref()), &wanted, &mut each)?;
        if walked.is_break() {
            break;
        }
    }
    Ok(())
}

fn walk_home(
    mailbox: &Mailbox,
    (home, folder): From<'_>,
    wanted: &impl Fn(Day) -> bool,
    each: &mut impl FnMut(Trashed<'_>) -> io::Result<ControlFlow<()>>,
) -> io::Result<ControlFlow<()>> {
    let disk = mailbox.disk();
    let Contents { days, beside } = contents(mailbox, home)?;
    for day in days.into_iter().filter(|&day| wanted(day)) {
        let directory = disk.open_directory(home, day_name(day.0).as_bytes())?;
        // Collected first: what `each` renames and removes would disturb the reading.
        let mut entries = Vec::new();
        disk.read_directory(&directory, |entry, _| {
            entries.push(entry.to_vec());
            ControlFlow::Continue(())
        })?;
        for entry in &entries {
            let Some((seconds, name)) = parse_entry(entry) else {
                continue;
            };
            let trashed = Trashed {
                directory: directory.as_fd(),
                entry,
                folder,
                name,
                deleted: day.begins() + seconds,
            };
            if each(trashed)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    for entry in &beside {
        let Some((day, seconds, name)) = parse_beside(entry).filter(|found| wanted(found.0)) else {
            continue;
        };
        let trashed = Trashed {
            directory: home,
            entry,
            folder,
            name,
            deleted: day.begins() + seconds,
        };
        if each(trashed)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Opens the trashed message that is the file of `inode` and had the base name of `name`: a
/// session whose message was moved here meanwhile still reads it. `None` if it is not here.
///
/// # Errors
/// Those of reading.
pub(crate) fn open(mailbox: &Mailbox, name: FileName<'_>, inode: u64) -> io::Result<Option<File>> {
    let mut found = None;
    // With other flags the name may have been short enough, or too long.
    let cut = cut_name(name);
    walk(
        mailbox,
        |_| true,
        |trashed| {
            if trashed.name != name && trashed.name.as_bytes() != cut {
                return Ok(ControlFlow::Continue(()));
            }
            let file = mailbox.disk().open_read(trashed.directory, trashed.entry)?;
            let facts = mailbox.disk().facts(&file)?;
            if facts.inode != inode || facts.kind != Kind::File {
                return Ok(ControlFlow::Continue(()));
            }
            found = Some(file);
            Ok(ControlFlow::Break(()))
        },
    )?;
    Ok(found)
}

/// What a purge has done and left.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Purged {
    /// So many messages are gone for good.
    pub(crate) count: usize,
    /// Of those that are left, none was deleted before this moment, in Unix seconds; `None` if
    /// none is left.
    pub(crate) left: Option<u64>,
}

/// Removes for good what was deleted at or before `deleted_by`, at most `files_max` files, and
/// the directories of days that are empty then. The caller holds the mailbox lock. Not synced:
/// what comes back after a power failure is purged again.
///
/// # Errors
/// Those of reading and removing; the rest stays.
pub(crate) fn purge(mailbox: &Mailbox, deleted_by: u64, files_max: usize) -> io::Result<Purged> {
    let mut purged = Purged::default();
    let keep = |left: &mut Option<u64>, deleted: u64| {
        *left = Some(left.map_or(deleted, |left| left.min(deleted)));
    };
    walk(
        mailbox,
        |day| day.begins() <= deleted_by,
        |trashed| {
            if trashed.deleted > deleted_by {
                keep(&mut purged.left, trashed.deleted);
                return Ok(ControlFlow::Continue(()));
            }
            if purged.count >= files_max {
                keep(&mut purged.left, trashed.deleted);
                return Ok(ControlFlow::Break(()));
            }
            let disk = mailbox.disk();
            disk.unlink_if_there(trashed.directory, trashed.entry)?;
            purged.count += 1;
            Ok(ControlFlow::Continue(()))
        },
    )?;
    for contents in remove_empty_days(mailbox, |day| day.ends() <= deleted_by)? {
        for day in contents.days().filter(|day| day.begins() > deleted_by) {
            keep(&mut purged.left, day.begins());
        }
    }
    Ok(purged)
}

/// Brings to stable storage what has left the trash's directories of those days, and removes those
/// that are empty.
///
/// # Errors
/// Those of syncing and removing.
pub(crate) fn sync_days(mailbox: &Mailbox, wanted: impl Fn(Day) -> bool) -> io::Result<()> {
    let disk = mailbox.disk();
    for folder in homes::all(mailbox)? {
        let Some(home) = Home::open(mailbox, folder.as_ref())? else {
            continue;
        };
        let days = contents(mailbox, home.as_fd())?.days;
        for day in days.into_iter().filter(|&day| wanted(day)) {
            disk.sync_directory(disk.open_directory(&home, day_name(day.0).as_bytes())?)?;
        }
        // For those beside the days.
        disk.sync_directory(&home)?;
    }
    remove_empty_days(mailbox, wanted)?;
    Ok(())
}

/// Returns what was there, by folder. A folder's home stays: who knows when it is needed again.
fn remove_empty_days(mailbox: &Mailbox, wanted: impl Fn(Day) -> bool) -> io::Result<Vec<Contents>> {
    let mut all = Vec::new();
    for folder in homes::all(mailbox)? {
        let Some(home) = Home::open(mailbox, folder.as_ref())? else {
            continue;
        };
        let contents = contents(mailbox, home.as_fd())?;
        for &day in contents.days.iter().filter(|&&day| wanted(day)) {
            let name = day_name(day.0);
            match mailbox.disk().remove_directory(&home, name.as_bytes()) {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                removed => removed?,
            }
        }
        all.push(contents);
    }
    Ok(all)
}

/// A day, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Day(u64);

impl Day {
    /// Its first second, in Unix seconds.
    pub(crate) fn begins(self) -> u64 {
        self.0 * DAY_SECONDS
    }

    /// Its last second, in Unix seconds.
    pub(crate) fn ends(self) -> u64 {
        self.begins() + (DAY_SECONDS - 1)
    }
}

/// What is in the trash's own directory.
#[derive(Debug, Default)]
struct Contents {
    /// Those that have a directory, in order.
    days: Vec<Day>,
    /// Messages that lie beside them.
    beside: Vec<Vec<u8>>,
}

impl Contents {
    /// The days of which there may be messages.
    fn days(&self) -> impl Iterator<Item = Day> {
        let beside = self.beside.iter().filter_map(|entry| parse_beside(entry));
        self.days.iter().copied().chain(beside.map(|found| found.0))
    }
}

fn contents(mailbox: &Mailbox, trash: BorrowedFd<'_>) -> io::Result<Contents> {
    let (mut days, mut beside) = (Vec::new(), Vec::new());
    mailbox.disk().read_directory(trash, |name, _| {
        days.extend(parse_day(name).map(Day));
        if parse_beside(name).is_some() {
            beside.push(name.to_vec());
        }
        ControlFlow::Continue(())
    })?;
    days.sort_unstable();
    Ok(Contents { days, beside })
}

/// The name a file gets here.
fn entry_name(shelf: Shelf, name: FileName<'_>, deleted: u64) -> Vec<u8> {
    let second = deleted % DAY_SECONDS;
    let (hours, minutes, seconds) = (second / 3600, second / 60 % 60, second % 60);
    let time = format!("{hours:02}{minutes:02}{seconds:02}.");
    let mut entry = match shelf {
        Shelf::InItsDay => time.into_bytes(),
        Shelf::BesideDays => format!("{}.{time}", day_name(deleted / DAY_SECONDS)).into_bytes(),
    };
    match entry.len() + name.as_bytes().len() <= FileName::OCTETS_MAX {
        true => entry.extend_from_slice(name.as_bytes()),
        false => entry.extend(cut_name(name)),
    }
    entry
}

/// As much of the base name as fits everywhere here, `~`, and a hash of the base name.
fn cut_name(name: FileName<'_>) -> Vec<u8> {
    let base = name.base();
    let before = DAY_OCTETS + 1 + TIME_OCTETS;
    let kept = FileName::OCTETS_MAX - before - 2 * HASH_OCTETS - 1;
    let mut cut = base.get(..kept).unwrap_or(base).to_vec();
    cut.push(b'~');
    for octet in Sha256::digest(base).iter().take(HASH_OCTETS) {
        cut.extend_from_slice(format!("{octet:02x}").as_bytes());
    }
    cut
}

/// The day and the second of it at which a message was deleted that lies beside the days, and the
/// name it had.
fn parse_beside(entry: &[u8]) -> Option<(Day, u64, FileName<'_>)> {
    let (day, rest) = entry.split_at_checked(DAY_OCTETS)?;
    let day = parse_day(day)?;
    let (second, name) = parse_entry(rest.strip_prefix(b".")?)?;
    Some((Day(day), second, name))
}

/// The second of the day at which an entry was deleted, and the name it had.
fn parse_entry(entry: &[u8]) -> Option<(u64, FileName<'_>)> {
    let (time, name) = entry.split_at_checked(TIME_OCTETS)?;
    let digits = time.strip_suffix(b".")?;
    let part = |from: usize| number(digits.get(from..from + 2)?);
    let (hours, minutes, seconds) = (part(0)?, part(2)?, part(4)?);
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    Some((hours * 3600 + minutes * 60 + seconds, FileName::new(name)?))
}

/// `YYYY-MM-DD` of a day counted from 1970-01-01 (Howard Hinnant's `civil_from_days`).
fn day_name(day: u64) -> String {
    let day = day.min(SECONDS_MAX / DAY_SECONDS) + 719_468;
    let era = day / 146_097;
    let of_era = day % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{of_month:02}")
}

/// The day that [`day_name`] gives this name.
fn parse_day(name: &[u8]) -> Option<u64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *name else {
        return None;
    };
    let year = number(&[y1, y2, y3, y4])?;
    let (month, of_month) = (number(&[m1, m2])?, number(&[d1, d2])?);
    if year < 1970 || !(1..=12).contains(&month) || of_month == 0 {
        return None;
    }
    let year = year - u64::from(month <= 2);
    let era = year / 400;
    let of_era = year % 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + of_month - 1;
    let day = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    let day = day.checked_sub(719_468)?;
    // 31 February is no day of ours.
    (day_name(day).as_bytes() == name).then_some(day)
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests;
