//! `restante/cache/`: what reading a mailbox has shown, so that it need not be read again.
//!
//! Two files. `messages` has a row for every message and is written seldom; `changes` has what is
//! different since, and the state of the directories that both together tell of. So the cost of
//! remembering a delivery does not grow with the mailbox. Both are replaced atomically and belong
//! together by checksum; a crash between the two leaves `messages` without stamps, which is known
//! facts about files that have to be listed again.
//!
//! Nothing here is needed: the directory may be deleted at any time. Nothing here is believed
//! beyond what it costs to be wrong: every fact is checked on the descriptor of the file that is
//! sent, names cannot lead out of the mailbox, and a file that is damaged or somebody else's is
//! logged and treated as absent. It is not synced: after a power failure the checksums tell.

pub(crate) mod format;
pub(crate) mod unused;

use std::{collections::HashSet, fs::File, io, os::fd::BorrowedFd, time::Duration};

use self::format::{Edition, FormatError, RowsEncoder};
use super::{
    columns::{Columns, ColumnsBuilder, Row, Size},
    layout::{Folder, Mailbox},
    listing::{Stamp, Stamps},
    lock::MailboxLock,
    scan::Corrections,
};
use crate::disk::{Disk, Kind};

const MESSAGES: &[u8] = b"messages";
const CHANGES: &[u8] = b"changes";
/// Where a file is written before it replaces the old one.
const DRAFT: &[u8] = b"draft";
/// Two million messages; beyond, nothing is remembered.
const FILE_OCTETS_MAX: usize = 256 << 20;
/// Changes are gathered until they are so many and an eighth of all rows.
const CHANGES_MIN: usize = 64;
const CHANGES_SHARE: usize = 8;
/// A busy mailbox is not worth waiting for: what is not saved is found out again.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// What the cache says of a mailbox; nothing if there is none that can be used.
#[derive(Debug, Default)]
pub(crate) struct Cached {
    pub(crate) columns: Columns,
    pub(crate) stamps: Stamps,
    /// Of the file that the rows refer to.
    pub(crate) edition: Option<Edition>,
}

/// What is to be remembered of a mailbox.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remembered<'r> {
    pub(crate) columns: &'r Columns,
    pub(crate) stamps: &'r Stamps,
    pub(crate) corrections: &'r Corrections,
}

#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(transparent)]
    Disk(#[from] io::Error),
}

/// Reads the cache. What cannot be used is logged.
pub(crate) fn load(mailbox: &Mailbox) -> Cached {
    let besides = mailbox.besides().len();
    let cached = load_from(mailbox, mailbox.cache(), besides);
    if besides == 0 || cached.edition.is_some() {
        return cached;
    }
    // These folders were never looked at together. What is known of INBOX is true all the same;
    // above all, that its messages are known and so keep their unique-ids.
    let mut inbox = load_from(mailbox, mailbox.inbox_cache(), 0);
    let mut columns = ColumnsBuilder::default();
    for row in inbox.columns.rows() {
        let row = Row { saved: None, ..row };
        columns.push(row).expect("as many names fit as before");
    }
    inbox.columns = columns.build();
    inbox.edition = None;
    inbox
}

fn load_from(mailbox: &Mailbox, at: io::Result<BorrowedFd<'_>>, besides: usize) -> Cached {
    let at = at.map_err(LoadError::from);
    let messages = at.and_then(|at| Ok((at, load_messages(mailbox, at, besides)?)));
    let messages = messages.inspect_err(|error| say_unusable(mailbox, MESSAGES, error));
    let Ok((at, Some((messages, edition)))) = messages else {
        return Cached::default();
    };
    let changes = load_changes(mailbox, (at, besides), &messages, edition);
    let changes = changes.inspect_err(|error| say_unusable(mailbox, CHANGES, error));
    let (changed, stamps) = changes.ok().flatten().unwrap_or_default();
    Cached {
        columns: changed.unwrap_or(messages),
        stamps,
        edition: Some(edition),
    }
}

/// Replaces the cache's files as far as they say something else than `now`; `edition` is that of
/// `messages` which the rows refer to. Returns the edition that they refer to afterwards and the
/// stamps that are remembered, or `None` if the mailbox is busy or too large.
///
/// # Errors
/// Those of writing: the cache then says what it said before, or nothing.
pub(crate) fn save(
    mailbox: &Mailbox,
    now: Remembered<'_>,
    edition: Option<Edition>,
) -> io::Result<Option<(Edition, Stamps)>> {
    let Some(_lock) = MailboxLock::try_acquire_within(mailbox, LOCK_WAIT)? else {
        return Ok(None);
    };
    let cache = mailbox.cache()?;
    // Another session may have replaced the file that our rows refer to.
    let on_disk = read_edition(mailbox.disk(), cache);
    let mut edition = edition.filter(|edition| on_disk == Some(*edition));
    let changes = match edition {
        Some(edition) => Changes::since(now, edition),
        None => Changes::default(),
    };
    let few = CHANGES_MIN.max(now.columns.len() / CHANGES_SHARE);
    let changes = match changes.count() <= few && edition.is_some() {
        true => changes,
        false => {
            let replaced = replace_messages(mailbox, cache, now)?;
            edition = replaced.as_ref().map(|(edition, _)| *edition);
            Changes {
                left_out: replaced.map(|(_, left_out)| left_out).unwrap_or_default(),
                ..Changes::default()
            }
        }
    };
    let Some(edition) = edition else {
        return Ok(None);
    };
    let stamps = now.stamps(mailbox, &changes.left_out);
    let directories: Vec<Stamp> = mailbox.folders().map(|folder| stamps.of(folder)).collect();
    let file = format::encode_changes(edition, &directories, &changes.removed, &changes.added);
    replace(mailbox, cache, CHANGES, &file)?;
    Ok(Some((edition, stamps)))
}

/// The folders of which rows are not written.
type LeftOut = HashSet<Folder>;

/// How rows differ from an edition of `messages`.
#[derive(Debug, Default)]
struct Changes {
    left_out: LeftOut,
    removed: Vec<u32>,
    added: RowsEncoder,
}

impl Changes {
    fn since(now: Remembered<'_>, edition: Edition) -> Self {
        let mut there = vec![false; edition.rows()];
        let mut changes = Self::default();
        changes.left_out = now.each_row(|_, row| {
            let saved = row.saved.and_then(|saved| there.get_mut(saved as usize));
            match saved {
                Some(there) => *there = true,
                None => changes.added.push(row),
            }
        });
        let indices = there.iter().zip(0..);
        let removed = indices.filter(|(there, _)| !**there);
        changes.removed = removed.map(|(_, index)| index).collect();
        changes
    }

    fn count(&self) -> usize {
        self.removed.len() + self.added.count()
    }
}

impl<'r> Remembered<'r> {
    /// Gives each row that is right, with its index. One that has to be looked at or measured
    /// again is left out, so that it is.
    ///
    /// Other threads may measure meanwhile: what was left out is only known from this very walk.
    fn each_row(self, mut give: impl FnMut(usize, Row<'r>)) -> LeftOut {
        let mut left_out = LeftOut::default();
        for (index, mut row) in self.columns.rows().enumerate() {
            let correction = self.corrections.get(&index);
            if let Some(&Some(size)) = correction {
                (row.size, row.saved) = (size, None);
            }
            match correction == Some(&None) || row.size == Size::Unmeasurable {
                true => {
                    left_out.insert(row.folder);
                }
                false => give(index, row),
            }
        }
        left_out
    }

    /// The stamps that are worth something: a folder of which a row is left out has to be listed,
    /// or its message would be missing.
    fn stamps(&self, mailbox: &Mailbox, left_out: &LeftOut) -> Stamps {
        let stamps = mailbox.folders().map(|folder| {
            let stamp = self.stamps.of(folder);
            match left_out.contains(&folder) || !stamp.trusted {
                true => Stamp::default(),
                false => stamp,
            }
        });
        Stamps::new(stamps.collect())
    }
}

/// Writes all rows to `messages`; returns what is left out, or `None` if they are too many to be
/// remembered.
fn replace_messages(
    mailbox: &Mailbox,
    cache: BorrowedFd<'_>,
    now: Remembered<'_>,
) -> io::Result<Option<(Edition, LeftOut)>> {
    let mut rows = RowsEncoder::default();
    let mut written = Vec::with_capacity(now.columns.len());
    let left_out = now.each_row(|index, row| {
        rows.push(row);
        written.push((index, row.size));
    });
    let (file, edition) = format::encode_messages(&rows);
    if file.len() > FILE_OCTETS_MAX {
        return Ok(None);
    }
    replace(mailbox, cache, MESSAGES, &file)?;
    for ((index, size), place) in written.into_iter().zip(0..) {
        // A corrected row stays different from what these columns say.
        if now.corrections.contains_key(&index) {
            continue;
        }
        now.columns.set_saved(index, place, size);
    }
    Ok(Some((edition, left_out)))
}

/// Puts a new file in the place of an old one. The caller holds the mailbox lock: the draft is
/// nobody else's.
fn replace(mailbox: &Mailbox, cache: BorrowedFd<'_>, name: &[u8], octets: &[u8]) -> io::Result<()> {
    let disk = mailbox.disk();
    disk.unlink_if_there(cache, DRAFT)?;
    let draft = mailbox.create_new_own(cache, DRAFT)?;
    disk.write_all(&draft, octets)?;
    disk.rename_replace(cache, DRAFT, cache, name)
}

fn load_messages(
    mailbox: &Mailbox,
    at: BorrowedFd<'_>,
    besides: usize,
) -> Result<Option<(Columns, Edition)>, LoadError> {
    let Some(file) = open(mailbox, at, MESSAGES)? else {
        return Ok(None);
    };
    let octets = mailbox.disk().read_whole(&file, FILE_OCTETS_MAX)?;
    let (rows, edition) = format::decode_messages(&octets, besides)?;
    Ok(Some((rows.to_columns().build(), edition)))
}

/// Applies the file `changes` to the rows of `messages`; `None` if there is none.
fn load_changes(
    mailbox: &Mailbox,
    (at, besides): (BorrowedFd<'_>, usize),
    messages: &Columns,
    edition: Edition,
) -> Result<Option<(Option<Columns>, Stamps)>, LoadError> {
    let Some(file) = open(mailbox, at, CHANGES)? else {
        return Ok(None);
    };
    let octets = mailbox.disk().read_whole(&file, FILE_OCTETS_MAX)?;
    let changes = format::decode_changes(&octets, edition, besides)?;
    if changes.removed.is_empty() && changes.added.len() == 0 {
        return Ok(Some((None, changes.stamps)));
    }
    let columns = merge(messages, &changes).ok_or(FormatError::Merge)?;
    Ok(Some((Some(columns), changes.stamps)))
}

/// The rows of `messages` but the removed ones, and the added ones, in message order; `None` if
/// one would stand twice.
fn merge(messages: &Columns, changes: &format::Changes<'_>) -> Option<Columns> {
    let (rows, names) = (messages.len(), messages.octets_of_names());
    let added = &changes.added;
    let mut columns =
        ColumnsBuilder::with_capacity(rows + added.len(), names + added.octets_of_names());
    let mut removed = changes.removed.iter().peekable();
    let mut added = (0..added.len()).map(|index| added.row(index)).peekable();
    for (row, place) in messages.rows().zip(0_u32..) {
        if removed.next_if(|&&index| index == place).is_some() {
            continue;
        }
        while let Some(before) = added.next_if(|added| added.place() < row.place()) {
            columns.push(before).ok()?;
        }
        if added
            .peek()
            .is_some_and(|added| added.place() == row.place())
        {
            return None;
        }
        columns.push(row).ok()?;
    }
    for row in added {
        columns.push(row).ok()?;
    }
    Some(columns.build())
}

/// Opens a file of the cache; `None` if there is none.
fn open(mailbox: &Mailbox, at: BorrowedFd<'_>, name: &[u8]) -> io::Result<Option<File>> {
    let disk = mailbox.disk();
    let file = match disk.open_read(at, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match disk.facts(&file)?.kind {
        Kind::File => Ok(Some(file)),
        _ => Err(io::Error::other("it is no regular file")),
    }
}

/// Which edition of `messages` lies on the disk; `None` if there is none that is ours and can be
/// read: it is replaced.
fn read_edition(disk: &Disk, cache: BorrowedFd<'_>) -> Option<Edition> {
    let file = disk.open_read(cache, MESSAGES).ok()?;
    let mut head = [0; format::MESSAGES_HEAD];
    let count = disk.read_at(&file, &mut head, 0).ok()?;
    format::decode_edition(head.get(..count)?).ok()
}

fn say_unusable(mailbox: &Mailbox, name: &[u8], error: &LoadError) {
    tracing::warn!(
        mailbox = %mailbox.path().display(),
        file = %name.escape_ascii(),
        %error,
        "cache file not used; it will be written anew"
    );
}

#[cfg(test)]
mod tests;
