//! From a listing and what was known before to what is known now.
//!
//! A file that is listed under a known base name with the known inode keeps what was known of it:
//! nothing of it is looked at until it is sent, when the very descriptor is checked. Every other
//! file is looked at once.

use std::{cmp::Ordering, collections::HashMap, io, ops::Range};

use super::{
    columns::{Columns, ColumnsBuilder, Row, Size, Stored, TooMany},
    layout::{Folder, Mailbox},
    listing::{self, Listed, Listing, Stamps},
    name::FileName,
    notices::Notices,
};
use crate::disk::{Facts, Kind};

/// A file may vanish between listing and looking so often, before it is taken for gone.
const ROUNDS_MAX: usize = 3;

/// What was known of a mailbox before a scan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'k> {
    pub(crate) columns: &'k Columns,
    pub(crate) stamps: Stamps,
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
    /// Whether any row is new, different or gone.
    pub(crate) changed: bool,
}

/// Finds the mailbox's messages; `None` if nothing has changed. `now` reads the file system's own
/// clock.
///
/// # Errors
/// Those of listing and looking; too many messages.
pub(crate) fn scan(
    mailbox: &Mailbox,
    notices: &Notices,
    known: Known<'_>,
    now: &mut dyn FnMut() -> io::Result<i64>,
) -> io::Result<Option<Scanned>> {
    let mut round = 1;
    loop {
        let listing = match Listing::take(mailbox, notices, &known.stamps, now)? {
            Some(listing) => listing,
            None if known.corrections.is_empty() => return Ok(None),
            None => Listing::of_nothing(known.stamps),
        };
        let mut merge = Merge::new(mailbox, notices, known, &listing);
        merge.run()?;
        if !merge.vanished || round == ROUNDS_MAX {
            return Ok(Some(merge.finish()));
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
            changed: false,
        }
    }
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
    /// Rows of one base name, and whether they were known.
    group: Vec<(Row<'m>, bool)>,
    /// How many rows are known, and not found wrong.
    same: usize,
    /// One of them has another name or folder.
    renamed: bool,
    /// A listed file was not there when it was looked at.
    vanished: bool,
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
            stamps: listing.stamps,
            rows: ColumnsBuilder::default(),
            known: Vec::new(),
            group: Vec::new(),
            same: 0,
            renamed: false,
            vanished: false,
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
            // One file under two names, on its way from one folder to the other: the last counts.
            if listed[at + 1..]
                .iter()
                .any(|other| other.inode == entry.inode)
            {
                continue;
            }
            let same = known
                .clone()
                .find(|&index| self.before.columns.stored(index).inode == entry.inode);
            self.take_listed(entry, same)?;
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
        self.group.sort_by_key(|(row, _)| row.stored.inode);
        self.group.dedup_by_key(|(row, _)| row.stored.inode);
        for (row, known) in self.group.drain(..) {
            self.known.push(known);
            let pushed = self.rows.push(row);
            pushed.map_err(|TooMany| io::Error::other(TooMany))?;
        }
        Ok(())
    }

    /// Whether a known file that was not listed is there nevertheless.
    fn is_still_there(&self, row: &Row<'_>) -> io::Result<bool> {
        if !self.listing.listed[row.folder as usize] {
            return Ok(true);
        }
        if self.listing.still {
            return Ok(false);
        }
        let at = self.mailbox.folder(row.folder);
        match self.mailbox.disk().facts_at(at, row.name.as_bytes()) {
            Ok(facts) => Ok(facts.inode == row.stored.inode),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn take_listed(&mut self, entry: &Listed, known: Option<usize>) -> io::Result<()> {
        let listing = self.listing;
        let name = listing.name(entry);
        let Some(index) = known else {
            return self.look(entry.folder, name, false);
        };
        let columns = self.before.columns;
        let mut row = columns.row(index);
        if (row.folder, row.name.as_bytes()) != (entry.folder, name.as_bytes()) {
            (row.folder, row.name, row.saved) = (entry.folder, name, None);
            // As many rows, but not the same.
            self.renamed = true;
        }
        self.take_known(row, index)
    }

    /// Takes a known row over, as far as it was not found wrong.
    fn take_known(&mut self, mut row: Row<'m>, index: usize) -> io::Result<()> {
        match self.before.corrections.get(&index) {
            Some(None) => return self.look(row.folder, row.name, true),
            Some(&Some(size)) => (row.size, row.saved) = (size, None),
            None => self.same += 1,
        }
        self.group.push((row, true));
        Ok(())
    }

    /// Looks at a file of which nothing is known.
    fn look(&mut self, folder: Folder, name: FileName<'m>, known: bool) -> io::Result<()> {
        let at = self.mailbox.folder(folder);
        let disk = self.mailbox.disk();
        let facts = match disk.facts_at(at, name.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.vanished = true;
                return Ok(());
            }
            facts => facts?,
        };
        if facts.kind != Kind::File {
            listing::say_odd(self.mailbox, self.notices, folder, name.as_bytes());
            return Ok(());
        }
        if !self.is_readable(folder, name, &facts)? {
            // To be allowed again leaves no trace in the directory's times.
            self.stamps[folder as usize].trusted = false;
            listing::say_odd(self.mailbox, self.notices, folder, name.as_bytes());
            return Ok(());
        }
        let row = Row {
            folder,
            name,
            stored: Stored::of(&facts),
            size: Size::claimed(name, facts.octets),
            saved: None,
        };
        self.group.push((row, known));
        Ok(())
    }

    fn is_readable(&self, folder: Folder, name: FileName<'_>, facts: &Facts) -> io::Result<bool> {
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
            // Renamed since: whether it can be read shows when it is.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            may => may,
        }
    }

    fn finish(self) -> Scanned {
        let all = self.same == self.before.columns.len() && self.same == self.known.len();
        Scanned {
            changed: !all || self.renamed,
            columns: self.rows.build(),
            stamps: self.stamps,
            known: self.known,
        }
    }
}
