//! From a listing and what was known before to what is known now.
//!
//! A file that is listed under a known base name with the known inode keeps what was known of it:
//! nothing of it is looked at until it is sent, when the very descriptor is checked. Every other
//! file is looked at once.
//!
//! **One bad file** never refuses the mailbox. A file that cannot be looked at stays what it was
//! known to be, or is left out until it can be; either way its folder is listed again next time.
//!
//! **One file, one message.** A program that moves a message by linking and unlinking, or adds
//! `,S=` to its name so, shows it under two names of one stem for a moment, or for ever if it
//! dies. It is listed once; its other names are remembered, because whoever deletes the message
//! means all of them, and their folders are listed again, because one name may go without
//! leaving a trace in the folder of the other.

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
    io,
    ops::Range,
};

use super::{
    columns::{Columns, ColumnsBuilder, Row, Size, Stored, TooMany},
    layout::{Folder, Mailbox},
    listing::{self, Listed, Listing, Stamps},
    name::FileName,
    notices::Notices,
    unique_ids,
};
use crate::disk::{self, Facts, Kind};

/// A file may vanish between listing and looking so often, before it is taken for gone.
const ROUNDS_MAX: usize = 3;

/// What was known of a mailbox before a scan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'k> {
    pub(crate) columns: &'k Columns,
    pub(crate) stamps: &'k Stamps,
    /// What has turned out to be wrong in the columns, by index.
    pub(crate) corrections: &'k Corrections,
}

/// Rows of which something was not true; `None`: the file has to be looked at again.
pub(crate) type Corrections = HashMap<usize, Option<Size>>;

/// What a scan has found.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) columns: Columns,
    pub(crate) stamps: Stamps,
    /// For each row, whether an earlier listing had it.
    pub(crate) known: Vec<bool>,
    /// Rows that could not be looked at again, and still have to be.
    pub(crate) corrections: Corrections,
    pub(crate) unlisted: Unlisted,
    /// Whether any row is new, different or gone.
    pub(crate) changed: bool,
}

/// Names in the mailbox that stand in no row.
#[derive(Debug, Default)]
pub(crate) struct Unlisted {
    /// Further names of files that have a row.
    pub(crate) aliases: Vec<Unserved>,
    /// Files that could not be looked at or read.
    pub(crate) hidden: Vec<Unserved>,
}

impl Unlisted {
    /// The further names of the file that is listed under `name`.
    pub(crate) fn aliases_of(
        &self,
        name: FileName<'_>,
        inode: u64,
    ) -> impl Iterator<Item = &Unserved> {
        let of_file = self
            .aliases
            .iter()
            .filter(move |alias| alias.inode == inode);
        of_file.filter(move |alias| unique_ids::stem(alias.name()) == unique_ids::stem(name))
    }
}

/// A name that is not served.
#[derive(Clone, Debug)]
pub(crate) struct Unserved {
    pub(crate) folder: Folder,
    name: Box<[u8]>,
    pub(crate) inode: u64,
}

impl Unserved {
    fn new(folder: Folder, name: FileName<'_>, inode: u64) -> Self {
        Self {
            folder,
            name: name.as_bytes().into(),
            inode,
        }
    }

    pub(crate) fn name(&self) -> FileName<'_> {
        FileName::new(&self.name).expect("it was a name")
    }
}

/// Finds the mailbox's messages; `None` if nothing has changed. `now` reads the file system's own
/// clock.
///
/// # Errors
/// Those of listing; of looking, if nothing could be looked at; too many messages.
pub(crate) fn scan(
    mailbox: &Mailbox,
    notices: &Notices,
    known: Known<'_>,
    now: &mut dyn FnMut() -> io::Result<i64>,
) -> io::Result<Option<Scanned>> {
    let mut round = 1;
    loop {
        let listing = match Listing::take(mailbox, notices, known.stamps, now)? {
            Some(listing) => listing,
            None if known.corrections.is_empty() => return Ok(None),
            None => Listing::of_nothing(known.stamps.clone()),
        };
        let mut merge = Merge::new(mailbox, notices, known, &listing);
        merge.run()?;
        if !merge.vanished || round == ROUNDS_MAX {
            return merge.finish().map(Some);
        }
        round += 1;
    }
}

impl Scanned {
    /// What was known, all of it still true.
    pub(crate) fn unchanged(columns: Columns, stamps: Stamps) -> Self {
        Self {
            known: vec![true; columns.len()],
            columns,
            stamps,
            corrections: Corrections::new(),
            unlisted: Unlisted::default(),
            changed: false,
        }
    }
}

/// A row of a base name.
struct Found<'m> {
    row: Row<'m>,
    known: bool,
    /// It could not be looked at.
    unseen: bool,
}

/// Walks a listing and the known rows side by side: both are in message order.
struct Merge<'m> {
    mailbox: &'m Mailbox,
    notices: &'m Notices,
    before: Known<'m>,
    listing: &'m Listing,
    stamps: Stamps,
    rows: ColumnsBuilder,
    known: Vec<bool>,
    corrections: Corrections,
    unlisted: Unlisted,
    /// Rows of one base name.
    group: Vec<Found<'m>>,
    /// How many rows are known, and not found wrong.
    same: usize,
    /// One of them has another name or folder.
    renamed: bool,
    /// A listed file was not there when it was looked at.
    vanished: bool,
    /// Why files could not be looked at.
    failures: Vec<io::Error>,
}

impl<'m> Merge<'m> {
    fn new(
        mailbox: &'m Mailbox,
        notices: &'m Notices,
        before: Known<'m>,
        listing: &'m Listing,
    ) -> Self {
        Self {
            mailbox,
            notices,
            before,
            listing,
            stamps: listing.stamps.clone(),
            rows: ColumnsBuilder::default(),
            known: Vec::new(),
            corrections: Corrections::new(),
            unlisted: Unlisted::default(),
            group: Vec::new(),
            same: 0,
            renamed: false,
            vanished: false,
            failures: Vec::new(),
        }
    }

    fn run(&mut self) -> io::Result<()> {
        let listing = self.listing;
        let (mut listed, mut known) = (listing.entries(), 0..self.before.columns.len());
        loop {
            let next_listed = listed.first().map(|entry| listing.name(entry));
            let next_known = (!known.is_empty()).then(|| self.before.columns.name(known.start));
            let name = match (next_listed, next_known) {
                (None, None) => return Ok(()),
                (Some(name), None) | (None, Some(name)) => name,
                (Some(one), Some(other)) => one.min(other),
            };
            let same = |other: FileName<'_>| other.cmp(&name) == Ordering::Equal;
            let end = listed.iter().position(|entry| !same(listing.name(entry)));
            let (group, rest) = listed.split_at(end.unwrap_or(listed.len()));
            listed = rest;
            let columns = self.before.columns;
            let end = known.clone().find(|&index| !same(columns.name(index)));
            let end = end.unwrap_or(known.end);
            self.merge_group(group, known.start..end)?;
            known.start = end;
        }
    }

    /// Merges all files and all known rows of one base name.
    fn merge_group(&mut self, listed: &[Listed], known: Range<usize>) -> io::Result<()> {
        for (at, entry) in listed.iter().enumerate() {
            // On its way from one folder to the other: the last counts.
            if listed[at + 1..]
                .iter()
                .any(|other| other.inode == entry.inode)
            {
                self.add_alias(entry.folder, self.listing.name(entry), entry.inode);
                continue;
            }
            self.take_listed(entry, known.clone())?;
        }
        for index in known {
            let columns = self.before.columns;
            let row = columns.row(index);
            let elsewhere = listed.iter().any(|entry| entry.inode == row.stored.inode);
            if !elsewhere && self.is_still_there(&row)? {
                self.take_known(row, index)?;
            }
        }
        self.push_group()
    }

    /// Adds the rows of one base name by inode, each file once: where a directory tells other
    /// inodes than `stat`, a known file comes as a new one too.
    fn push_group(&mut self) -> io::Result<()> {
        self.group.sort_by_key(|found| found.row.stored.inode);
        self.group.dedup_by_key(|found| found.row.stored.inode);
        for found in self.group.drain(..) {
            if found.unseen {
                self.corrections.insert(self.known.len(), None);
            }
            self.known.push(found.known);
            let pushed = self.rows.push(found.row);
            pushed.map_err(|TooMany| io::Error::other(TooMany))?;
        }
        Ok(())
    }

    /// Whether a known file that was not listed is there nevertheless.
    fn is_still_there(&mut self, row: &Row<'_>) -> io::Result<bool> {
        if !self.listing.is_listed(row.folder) {
            return Ok(true);
        }
        if self.listing.still {
            return Ok(false);
        }
        let at = self.mailbox.folder(row.folder);
        match self.mailbox.disk().facts_at(at, row.name.as_bytes()) {
            Ok(facts) => Ok(facts.inode == row.stored.inode),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            // Nobody knows: then it is not gone.
            Err(error) => {
                self.note_unseen(row.folder, row.name, error)?;
                Ok(true)
            }
        }
    }

    fn take_listed(&mut self, entry: &Listed, known: Range<usize>) -> io::Result<()> {
        let listing = self.listing;
        let name = listing.name(entry);
        let columns = self.before.columns;
        let same = known
            .clone()
            .find(|&index| columns.stored(index).inode == entry.inode);
        let Some(index) = same else {
            let place = (entry.folder, name.as_bytes());
            let called_so = known
                .clone()
                .find(|&index| (columns.folder(index), columns.name(index).as_bytes()) == place);
            let before = called_so.map(|index| columns.row(index));
            return self.look(entry.folder, name, entry.inode, before);
        };
        let mut row = columns.row(index);
        if (row.folder, row.name.as_bytes()) != (entry.folder, name.as_bytes()) {
            if row.folder != entry.folder && !listing.is_listed(row.folder) {
                // Had it been renamed, its folder would have changed: it has this name too.
                self.add_alias(row.folder, row.name, row.stored.inode);
            }
            if self.mailbox.tag(row.folder) != self.mailbox.tag(entry.folder) {
                // With another tag before its subject it has another size.
                row.size = self.claimed(entry.folder, name, row.stored.octets);
            }
            (row.folder, row.name, row.saved) = (entry.folder, name, None);
            // As many rows, but not the same.
            self.renamed = true;
        }
        self.take_known(row, index)
    }

    /// Takes a known row over, as far as it was not found wrong.
    fn take_known(&mut self, mut row: Row<'m>, index: usize) -> io::Result<()> {
        match self.before.corrections.get(&index) {
            Some(None) => return self.look(row.folder, row.name, row.stored.inode, Some(row)),
            Some(&Some(size)) => (row.size, row.saved) = (size, None),
            None => self.same += 1,
        }
        self.group.push(Found {
            row,
            known: true,
            unseen: false,
        });
        Ok(())
    }

    /// Looks at a file of which nothing is known, or only what it was `before`.
    fn look(
        &mut self,
        folder: Folder,
        name: FileName<'m>,
        listed_inode: u64,
        before: Option<Row<'m>>,
    ) -> io::Result<()> {
        let at = self.mailbox.folder(folder);
        let disk = self.mailbox.disk();
        let facts = match disk.facts_at(at, name.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.vanished = true;
                self.stamps.doubt(folder);
                return Ok(());
            }
            Err(error) => {
                self.note_unseen(folder, name, error)?;
                match before {
                    Some(row) => self.group.push(Found {
                        row,
                        known: true,
                        unseen: true,
                    }),
                    None => self.hide(folder, name, listed_inode),
                }
                return Ok(());
            }
            Ok(facts) => facts,
        };
        if facts.kind != Kind::File {
            listing::say_odd(self.mailbox, self.notices, folder, name.as_bytes());
            return Ok(());
        }
        if !self.is_readable(folder, name, &facts)? {
            listing::say_odd(self.mailbox, self.notices, folder, name.as_bytes());
            self.hide(folder, name, facts.inode);
            return Ok(());
        }
        let row = Row {
            folder,
            name,
            stored: Stored::of(&facts),
            size: self.claimed(folder, name, facts.octets),
            saved: None,
        };
        self.group.push(Found {
            row,
            known: before.is_some(),
            unseen: false,
        });
        Ok(())
    }

    /// What a name says of a message's size, if it is sent as it is stored.
    fn claimed(&self, folder: Folder, name: FileName<'_>, stored: u64) -> Size {
        match self.mailbox.tag(folder) {
            None => Size::claimed(name, stored),
            Some(_) => Size::Unknown,
        }
    }

    fn is_readable(
        &mut self,
        folder: Folder,
        name: FileName<'_>,
        facts: &Facts,
    ) -> io::Result<bool> {
        const OWNER_READS: u32 = 0o400;
        const GROUP_READS: u32 = 0o040;
        const OTHERS_READ: u32 = 0o004;
        let all = OWNER_READS | GROUP_READS | OTHERS_READ;
        let ours = facts.owner == self.mailbox.user() && facts.mode & OWNER_READS != 0;
        if ours || facts.mode & all == all {
            return Ok(true);
        }
        let disk = self.mailbox.disk();
        match disk.may_read(self.mailbox.folder(folder), name.as_bytes()) {
            Ok(may) => Ok(may),
            // Renamed since, or the disk fails: whether it can be read shows when it is.
            Err(error) if disk::is_shortage(&error) => Err(error),
            Err(_) => Ok(true),
        }
    }

    /// Notes that a file could not be looked at.
    ///
    /// # Errors
    /// The same, if it says nothing of the file.
    fn note_unseen(
        &mut self,
        folder: Folder,
        name: FileName<'_>,
        error: io::Error,
    ) -> io::Result<()> {
        if disk::is_shortage(&error) {
            return Err(error);
        }
        let place = (folder, name.as_bytes());
        listing::say_unseen(self.mailbox, self.notices, place, &error);
        self.stamps.doubt(folder);
        self.failures.push(error);
        Ok(())
    }

    /// Leaves a file out that may be a message: when it can be read again, nothing of its folder
    /// need have changed.
    fn hide(&mut self, folder: Folder, name: FileName<'_>, inode: u64) {
        self.stamps.doubt(folder);
        let hidden = Unserved::new(folder, name, inode);
        self.unlisted.hidden.push(hidden);
    }

    /// Leaves out a further name of a file.
    fn add_alias(&mut self, folder: Folder, name: FileName<'_>, inode: u64) {
        self.stamps.doubt(folder);
        let alias = Unserved::new(folder, name, inode);
        self.unlisted.aliases.push(alias);
    }

    fn finish(mut self) -> io::Result<Scanned> {
        let mut columns = std::mem::take(&mut self.rows).build();
        // An empty listing would make programs forget what they have seen. But for one file that
        // is alone and bad, a person would rather see nothing than an error.
        if columns.len() == 0 && self.failures.len() > 1 {
            return Err(self.failures.swap_remove(0));
        }
        let superfluous = superfluous(&columns, &self.known);
        if !superfluous.is_empty() {
            columns = self.without(&columns, &superfluous);
        }
        let all = self.same == self.before.columns.len() && self.same == self.known.len();
        Ok(Scanned {
            changed: !all || self.renamed,
            columns,
            stamps: self.stamps,
            known: self.known,
            corrections: self.corrections,
            unlisted: self.unlisted,
        })
    }

    /// The rows but those that are further names of others.
    fn without(&mut self, columns: &Columns, superfluous: &HashSet<usize>) -> Columns {
        let mut rows = ColumnsBuilder::default();
        let (mut known, mut corrections) = (Vec::new(), Corrections::new());
        for (index, row) in columns.rows().enumerate() {
            let (was_known, correction) = (self.known[index], self.corrections.get(&index));
            if superfluous.contains(&index) {
                self.same -= usize::from(was_known && correction.is_none());
                self.add_alias(row.folder, row.name, row.stored.inode);
                continue;
            }
            corrections.extend(correction.map(|&correction| (known.len(), correction)));
            known.push(was_known);
            rows.push(row).expect("more rows have fitted");
        }
        (self.known, self.corrections) = (known, corrections);
        rows.build()
    }
}

/// The rows that are further names of a file which another row has under a name of the same stem.
/// The known name stays; of several the last: programs add a name before they take the other.
fn superfluous(columns: &Columns, known: &[bool]) -> HashSet<usize> {
    let mut by_inode: Vec<(u64, usize)> = (0..columns.len())
        .map(|index| (columns.stored(index).inode, index))
        .collect();
    by_inode.sort_unstable();
    let mut superfluous = HashSet::new();
    let same_inode = by_inode.chunk_by(|one, other| one.0 == other.0);
    for group in same_inode.filter(|group| group.len() > 1) {
        let mut kept: HashMap<Vec<u8>, usize> = HashMap::new();
        for &(_, index) in group {
            let stem = unique_ids::stem(columns.name(index));
            let Some(earlier) = kept.get_mut(&stem) else {
                kept.insert(stem, index);
                continue;
            };
            let stays = known[*earlier] && !known[index];
            superfluous.insert(if stays { index } else { *earlier });
            if !stays {
                *earlier = index;
            }
        }
    }
    superfluous
}
