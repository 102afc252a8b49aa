//! What keeping another server's unique-ids means for a mailbox, found without changing anything.
//!
//! ```text
//! the other server's file ─► its listing, old ──┐
//!            new/ and cur/ ─┤                   ├─► differences
//!      state/unique-ids ────┴► our listing, new ┘
//!                              as it is after the import
//! ```
//!
//! The two listings are made apart: the old one knows nothing of our rules, and the new one is
//! made by what makes the listings of sessions. Where they are equal, no program that goes by
//! unique-ids or by numbers sees that the server has changed.
//!
//! The old listing may also come off the wire, from the server itself ([`survey_listing`]).

use std::{
    collections::{HashMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use restante_proto::{Octets, UniqueId, UniqueIdError};

use super::{
    columns::{Columns, Row, Stored},
    compressed::{MAGIC_OCTETS, Unpacker, packing},
    layout::{Folder, Mailbox},
    listing::Stamps,
    name::FileName,
    notices::Notices,
    scan::{self, Corrections, Known},
    unique_ids::{Listed, UniqueIds, by_rule, stem},
};
use crate::{
    disk::{Facts, Kind},
    foreign::{Damage, Given, Later, List, Origin},
};

/// Two million messages, and more than any server could handle.
const LIST_OCTETS_MAX: usize = 256 << 20;
/// A header field that is looked for is found in so many octets, or not.
const HEADER_OCTETS_MAX: usize = 256 << 10;
const XUIDL: &[u8] = b"x-uidl";

/// What an import of another server's unique-ids means for a mailbox.
#[derive(Debug)]
#[must_use]
pub struct Survey {
    /// The other server's file, or the mailbox where its listing came off the wire.
    pub file: PathBuf,
    /// Messages that the other server has given a unique-id.
    pub given: usize,
    /// The first and the last unique-id that the other server lists, to be compared with what it
    /// really lists: its file does not say how it is configured.
    pub ends: Option<[Vec<u8>; 2]>,
    /// Messages that came after it had looked last: they are new to every mail program.
    pub arrived: usize,
    /// Messages of its file that are not here any more.
    pub gone: usize,
    /// Messages that keep a unique-id of ours because an import was made before ([`Later::Kept`]).
    pub later: usize,
    /// How many of its unique-ids are not stored yet.
    pub unstored: usize,
    /// Where the listings differ after the import: by number, and those of order last.
    pub differences: Vec<Difference>,
    /// What to hand to [`Edit::Import`](crate::Edit::Import).
    pub unique_ids: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Where the listing after an import is not that of the other server.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Difference {
    /// The message cannot keep its unique-id: mail programs will download it once more.
    UniqueId {
        /// The message.
        base: Vec<u8>,
        /// What the other server lists.
        old: Vec<u8>,
        /// What is listed instead; `None`: it is made when the mailbox is opened.
        new: Option<Vec<u8>>,
        /// Why.
        why: Obstacle,
    },
    /// The other server has looked since the message came, and yet does not have it in its file:
    /// mail programs may know it by another unique-id.
    Unlisted {
        /// The message.
        base: Vec<u8>,
        /// Its unique-id here.
        new: Option<Vec<u8>>,
    },
    /// A message of the other server's listing is not here.
    Absent {
        /// Its number there.
        number: u64,
        /// Its unique-id there.
        unique_id: Vec<u8>,
    },
    /// The message is listed with another size. Nobody knows messages by it.
    Size {
        /// The message.
        base: Vec<u8>,
        /// What the other server lists.
        old: Octets,
        /// What is listed here.
        new: Octets,
    },
    /// The message has another number among those that both servers list.
    Order {
        /// The message.
        base: Vec<u8>,
        /// From 1.
        old: usize,
        /// From 1.
        new: usize,
    },
}

/// Why a message cannot keep its unique-id.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Obstacle {
    /// RFC 1939 §7 does not allow it.
    #[error("it is not legal: {0}")]
    Illegal(UniqueIdError),
    /// The other server gave it to two messages.
    #[error("another message has it too")]
    Repeated,
    /// Here it is, or was, another message's.
    #[error("it is or was another message's")]
    Taken,
    /// Two files have the same name but for their sizes.
    #[error("another file has the same name")]
    SameName,
}

/// Why there is no survey. Nothing may be imported into the mailbox then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SurveyError {
    /// The other server's file is damaged, cut off, or of a version that is not known.
    #[error("{}:{}: {damage}", file.display(), damage.line)]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with which line.
        damage: Damage,
    },
    /// The file seems to be another mailbox's.
    #[error(
        "{}: none of its {records} messages is in this mailbox, and those that are here are not \
         new: it may be another mailbox's",
        file.display()
    )]
    OtherMailbox {
        /// The file.
        file: PathBuf,
        /// How many messages it lists.
        records: usize,
    },
    /// The file cannot be read.
    #[error("{} cannot be read", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The mailbox cannot be read.
    #[error("mailbox cannot be read")]
    Mailbox(#[source] io::Error),
}

/// Looks at the mailbox; `None` if the other server has left no file. Blocks.
///
/// # Errors
/// [`SurveyError`] says why nothing may be imported.
pub(crate) fn survey(
    mailbox: &Mailbox,
    origin: &Origin,
    later: Later,
) -> Result<Option<Survey>, SurveyError> {
    let file = mailbox.path().join(origin.file_name());
    let read = read_list(mailbox, origin).map_err(|cause| SurveyError::File {
        file: file.clone(),
        cause,
    })?;
    let Some((octets, facts)) = read else {
        return Ok(None);
    };
    let list = origin.parse(&octets).map_err(|damage| {
        let file = file.clone();
        SurveyError::Damaged { file, damage }
    })?;
    let columns = scan(mailbox).map_err(SurveyError::Mailbox)?;
    let present = Present::of_list(&columns, &list, &facts, &file)?;
    let old = present.old_listing(mailbox, &list);
    let old = old.map_err(SurveyError::Mailbox)?;
    compare(mailbox, &present, &old, later).map(|survey| Some(Survey { file, ..survey }))
}

/// Looks at the mailbox by what the other server has said it lists at `taken` (Unix seconds), in
/// its order. Blocks.
///
/// # Errors
/// [`SurveyError::Mailbox`].
pub(crate) fn survey_listing(
    mailbox: &Mailbox,
    given: &[Given],
    taken: u64,
    later: Later,
) -> Result<Survey, SurveyError> {
    let columns = scan(mailbox).map_err(SurveyError::Mailbox)?;
    let bases = given.iter().map(|given| &*given.base).collect();
    let present = Present::new(&columns, bases, taken);
    let is_present = |given: &&Given| present.listed.contains_key(&*given.base);
    let old: Vec<Given> = given.iter().filter(is_present).cloned().collect();
    compare(mailbox, &present, &old, later)
}

fn compare(
    mailbox: &Mailbox,
    present: &Present<'_>,
    old: &[Given],
    later: Later,
) -> Result<Survey, SurveyError> {
    let ids = UniqueIds::peek(mailbox).map_err(SurveyError::Mailbox)?;
    let ends = old.first().zip(old.last());
    let new = NewListing::after_import(present, ids, old, later);
    Ok(Survey {
        file: mailbox.path().to_owned(),
        given: old.len(),
        ends: ends.map(|(first, last)| [first, last].map(|given| given.unique_id.clone())),
        arrived: present.arrived.len(),
        // Two files may have the same name.
        gone: present.records.saturating_sub(old.len()),
        later: new.later.len(),
        unstored: new.unstored,
        differences: differences(present, old, &new),
        unique_ids: new.wishes,
    })
}

/// The octets of the other server's file, and what the disk says of it.
///
/// # Errors
/// Those of reading; `InvalidData` if it is no file.
pub(super) fn read_list(
    mailbox: &Mailbox,
    origin: &Origin,
) -> io::Result<Option<(Vec<u8>, Facts)>> {
    let disk = mailbox.disk();
    let file = match disk.open_read(mailbox.root(), origin.file_name().as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let facts = disk.facts(&file)?;
    if facts.kind != Kind::File {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "not a regular file",
        ));
    }
    Ok(Some((disk.read_whole(&file, LIST_OCTETS_MAX)?, facts)))
}

/// The messages, as a session would list them.
pub(super) fn scan(mailbox: &Mailbox) -> io::Result<Columns> {
    let known = Known {
        columns: &Columns::default(),
        stamps: &Stamps::default(),
        corrections: &Corrections::new(),
    };
    // Nothing is trusted that was seen once: at the beginning of time all stamps are young.
    let mut now = || Ok(0);
    let found = scan::scan(mailbox, &Notices::default(), known, &mut now)?;
    Ok(found.map(|found| found.columns).unwrap_or_default())
}

/// The messages that are there, by what the other server knows of them.
pub(super) struct Present<'c> {
    columns: &'c Columns,
    /// The first row of each base name that has a record.
    pub(super) listed: HashMap<&'c [u8], usize>,
    /// Rows without a record that are younger than the file, as far as can be told.
    arrived: Vec<usize>,
    /// Rows without a record that the other server should have known.
    unlisted: Vec<usize>,
    records: usize,
}

impl<'c> Present<'c> {
    /// The messages by what a list says, whose file the disk describes.
    ///
    /// # Errors
    /// [`SurveyError::OtherMailbox`].
    pub(super) fn of_list(
        columns: &'c Columns,
        list: &List<'_>,
        facts: &Facts,
        file: &Path,
    ) -> Result<Self, SurveyError> {
        let written = u64::try_from(facts.modified / 1_000_000_000).unwrap_or_default();
        let present = Self::new(columns, list.bases().collect(), written);
        match present.is_another_mailboxs() {
            false => Ok(present),
            true => Err(SurveyError::OtherMailbox {
                file: file.to_owned(),
                records: present.records,
            }),
        }
    }

    /// `bases` have a record; the other server has looked last at `written`.
    pub(super) fn new(columns: &'c Columns, bases: HashSet<&[u8]>, written: u64) -> Self {
        let mut present = Self {
            columns,
            listed: HashMap::new(),
            arrived: Vec::new(),
            unlisted: Vec::new(),
            records: bases.len(),
        };
        for (index, row) in columns.rows().enumerate() {
            let base = columns.name(index).base();
            if bases.contains(base) && !present.listed.contains_key(base) {
                present.listed.insert(base, index);
            } else if row.folder == Folder::CUR || row.name.order().seconds < written {
                // Some server has seen it, or it came before the file was written.
                present.unlisted.push(index);
            } else {
                present.arrived.push(index);
            }
        }
        present
    }

    /// A file whose messages are all gone is nothing special: they were fetched. But then what is
    /// there has come since.
    fn is_another_mailboxs(&self) -> bool {
        self.records > 0 && self.listed.is_empty() && !self.unlisted.is_empty()
    }

    /// What the other server lists.
    ///
    /// # Errors
    /// Those of reading messages.
    pub(super) fn old_listing(&self, mailbox: &Mailbox, list: &List<'_>) -> io::Result<Vec<Given>> {
        let mut xuidl = |base: &[u8]| self.xuidl(mailbox, base);
        list.listing(|base| self.listed.contains_key(base), &mut xuidl)
    }

    /// The value of the first `X-UIDL` of the message with this base name that has a record.
    ///
    /// # Errors
    /// Those of reading the message.
    pub(super) fn xuidl(&self, mailbox: &Mailbox, base: &[u8]) -> io::Result<Option<Vec<u8>>> {
        match self.listed.get(base) {
            Some(&index) => find_xuidl(mailbox, self.columns.row(index)),
            None => Ok(None),
        }
    }
}

/// What can be kept, and what stands in the way of the rest.
#[derive(Default)]
pub(super) struct Wishes {
    /// Base names and legal unique-ids, each once.
    pub(super) pairs: Vec<(Vec<u8>, Vec<u8>)>,
    /// By base name.
    obstacles: HashMap<Vec<u8>, Obstacle>,
}

/// What Restante lists after the import.
struct NewListing<'c> {
    columns: &'c Columns,
    ids: UniqueIds,
    /// Rows whose unique-id is made when the mailbox is opened.
    unsettled: HashSet<usize>,
    /// What is to be stored.
    wishes: Vec<(Vec<u8>, Vec<u8>)>,
    obstacles: HashMap<Vec<u8>, Obstacle>,
    /// Base names of messages that keep what they have.
    later: HashSet<Vec<u8>>,
    unstored: usize,
}

impl<'c> NewListing<'c> {
    fn after_import(
        present: &Present<'c>,
        mut ids: UniqueIds,
        old: &[Given],
        later: Later,
    ) -> Self {
        let columns = present.columns;
        let Wishes {
            mut pairs,
            mut obstacles,
        } = wishes(old);
        let listed = (0..columns.len()).map(|index| Listed {
            name: columns.name(index),
            inode: columns.stored(index).inode,
            known: true,
        });
        let mut kept = HashSet::new();
        if ids.are_imported() && later == Later::Kept {
            pairs.retain(|(base, id)| {
                let row = present.listed.get(&**base);
                let now = row.map(|&row| ids.of(columns.name(row), columns.stored(row).inode));
                let same = now.as_ref() == Some(id);
                same || !kept.insert(base.clone())
            });
        }
        // Those that are taken are left out: one message must not cost the others their ids.
        let plan = loop {
            let Ok(plan) = ids.plan(listed.clone(), &pairs) else {
                // It refuses nothing but what `wishes` leaves out.
                break Default::default();
            };
            if plan.taken.is_empty() {
                break plan;
            }
            let taken: HashSet<&[u8]> = plan.taken.iter().map(|id| &**id).collect();
            pairs.retain(|(base, id)| {
                let free = !taken.contains(&**id);
                if !free {
                    obstacles.insert(base.clone(), Obstacle::Taken);
                }
                free
            });
        };
        ids.pretend(&plan);
        Self {
            unsettled: ids.unsettled_rows(listed),
            columns,
            ids,
            wishes: pairs,
            obstacles,
            later: kept,
            unstored: plan.lines.len(),
        }
    }

    /// `None` where the unique-id is only made when the mailbox is opened.
    fn unique_id(&self, index: usize) -> Option<Vec<u8>> {
        let id = self
            .ids
            .of(self.columns.name(index), self.columns.stored(index).inode);
        (!self.unsettled.contains(&index)).then_some(id)
    }
}

/// What can be kept of the other server's unique-ids, and why the rest cannot.
///
/// PRJ-UIDL-7: one that is not legal gets a replacement, always the same, which is stored.
pub(super) fn wishes(old: &[Given]) -> Wishes {
    let mut wishes = Wishes::default();
    let (mut ids, mut stems) = (HashSet::new(), HashSet::new());
    for Given { base, unique_id } in old {
        let mut id = unique_id.clone();
        if let Err(error) = UniqueId::new(unique_id) {
            wishes
                .obstacles
                .insert(base.clone(), Obstacle::Illegal(error));
            // Most programs have not seen the spaces around it.
            id = by_rule(id.trim_ascii().to_vec());
        }
        let Some(stem) = FileName::new(base).map(stem) else {
            continue;
        };
        if !stems.insert(stem) {
            wishes.obstacles.insert(base.clone(), Obstacle::SameName);
        } else if !ids.insert(id.clone()) {
            wishes.obstacles.insert(base.clone(), Obstacle::Repeated);
        } else {
            wishes.pairs.push((base.clone(), id));
        }
    }
    wishes
}

fn differences(present: &Present<'_>, old: &[Given], new: &NewListing<'_>) -> Vec<Difference> {
    let mut differences = Vec::new();
    for Given { base, unique_id } in old {
        let Some(&index) = present.listed.get(&**base) else {
            continue;
        };
        let now = new.unique_id(index);
        if now.as_ref() != Some(unique_id) && !new.later.contains(base) {
            let why = new.obstacles.get(base).cloned();
            differences.push(Difference::UniqueId {
                base: base.clone(),
                old: unique_id.clone(),
                new: now,
                why: why.unwrap_or(Obstacle::Taken),
            });
        }
    }
    for &index in &present.unlisted {
        differences.push(Difference::Unlisted {
            base: present.columns.name(index).base().to_vec(),
            new: new.unique_id(index),
        });
    }
    // Numbers of messages, of those that both list.
    let mut rows: Vec<usize> = present.listed.values().copied().collect();
    rows.sort_unstable();
    for (number, Given { base, .. }) in (1..).zip(old) {
        let row = present.listed.get(&**base);
        let place = row.and_then(|row| rows.binary_search(row).ok());
        if let Some(place) = place.filter(|place| place + 1 != number) {
            differences.push(Difference::Order {
                base: base.clone(),
                old: number,
                new: place + 1,
            });
        }
    }
    differences
}

/// The value of the message's first `X-UIDL`, unfolded.
fn find_xuidl(mailbox: &Mailbox, row: Row<'_>) -> io::Result<Option<Vec<u8>>> {
    let disk = mailbox.disk();
    let file = disk.open_read(mailbox.folder(row.folder), row.name.as_bytes())?;
    let Stored { octets, .. } = row.stored;
    let mut magic = [0; MAGIC_OCTETS];
    let count = disk.read_at(&file, &mut magic, 0)?;
    let packing = packing(magic.get(..count).unwrap_or_default());
    let mut unpacker = Unpacker::new(disk, Arc::new(file), octets, packing)?;
    let mut header = vec![0; HEADER_OCTETS_MAX];
    let count = unpacker.read(&mut header)?;
    header.truncate(count);
    Ok(xuidl_in(&header))
}

fn xuidl_in(header: &[u8]) -> Option<Vec<u8>> {
    let mut lines = header
        .split(|&octet| octet == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .take_while(|line| !line.is_empty());
    let value = lines.find_map(|line| {
        let (name, value) = line.split_at(memchr::memchr(b':', line)?);
        // RFC 5322 §4.5.8: old mail may have spaces before the colon.
        let named = name.trim_ascii_end().eq_ignore_ascii_case(XUIDL);
        named.then_some(value.get(1..)?)
    })?;
    let mut value = value.trim_ascii_start().to_vec();
    for line in lines.take_while(|line| line.starts_with(b" ") || line.starts_with(b"\t")) {
        value.extend_from_slice(line);
    }
    Some(value)
}

#[cfg(test)]
pub(super) mod tests;
