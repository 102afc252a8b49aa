//! Which of our unique-ids the other server's list can take, message by message.

use std::{
    collections::{HashMap, HashSet},
    io,
};

use memchr::memchr;

use super::{Earlier, Entry, Given, Left, Misfit};
use crate::{
    foreign::List,
    maildir::{
        columns::Columns,
        layout::Mailbox,
        survey::{self, Present},
        unique_ids::{Listed, UniqueIds},
    },
};

/// Where IMAP servers keep messages by their files' names.
const KNOWN_BY_NAME: [&[u8]; 2] = [b"courierimapuiddb", b"dovecot-uidlist"];
const NAMES_OCTETS_MAX: usize = 256 << 20;

/// What the other server's list and the mailbox hold already.
pub(super) struct Fitting<'f> {
    columns: &'f Columns,
    list: &'f List<'f>,
    /// What the other server lists, by base name.
    there: HashMap<&'f [u8], &'f [u8]>,
    /// What an import would take over of it, by base name.
    legal: HashMap<Vec<u8>, Vec<u8>>,
    given: HashSet<&'f [u8]>,
    /// How many files have each base name, or will have it.
    names: HashMap<Vec<u8>, usize>,
    known_by_name: HashSet<Vec<u8>>,
}

/// What becomes of each message.
#[derive(Debug, Default)]
pub(super) struct Fitted {
    /// What is to be written.
    pub(super) entries: Vec<Entry>,
    /// The row of each entry.
    pub(super) rows: Vec<usize>,
    /// How many the other server lists as we do.
    pub(super) same: usize,
    /// How many nobody has listed.
    pub(super) unlisted: usize,
    pub(super) left: Vec<Left>,
}

impl<'f> Fitting<'f> {
    /// Looks around in the mailbox.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) fn new(
        mailbox: &Mailbox,
        columns: &'f Columns,
        list: &'f List<'f>,
        old: &'f [Given],
    ) -> io::Result<Self> {
        let there = old.iter().map(|one| (&*one.base, &*one.unique_id));
        let mut names = HashMap::new();
        for index in 0..columns.len() {
            let base = columns.name(index).base().to_vec();
            *names.entry(base).or_insert(0) += 1;
        }
        Ok(Self {
            columns,
            list,
            there: there.collect(),
            legal: survey::wishes(old).pairs.into_iter().collect(),
            given: old.iter().map(|one| &*one.unique_id).collect(),
            names,
            known_by_name: match list {
                List::Courier(_) => known_by_name(mailbox)?,
                // It renames nothing.
                List::Dovecot(..) => HashSet::new(),
            },
        })
    }

    /// Looks at each message.
    pub(super) fn fit(
        mut self,
        present: &Present<'_>,
        ids: &UniqueIds,
        earlier: Earlier,
    ) -> Fitted {
        let columns = self.columns;
        let listed = (0..columns.len()).map(|index| Listed {
            name: columns.name(index),
            inode: columns.stored(index).inode,
            known: true,
        });
        let unsettled = ids.unsettled_rows(listed);
        let mut fitted = Fitted::default();
        for index in 0..columns.len() {
            let name = columns.name(index);
            let is_listed = present.listed.get(name.base()) == Some(&index);
            let there = self.there.get(name.base()).filter(|_| is_listed).copied();
            if unsettled.contains(&index) {
                fitted.unlisted += 1;
                continue;
            }
            let here = ids.of(name, columns.stored(index).inode);
            if there == Some(&*here) {
                fitted.same += 1;
                continue;
            }
            let since = || {
                let given = self.legal.get(name.base());
                ids.are_imported() && given.is_some_and(|given| *given != here)
            };
            let entry = match there {
                Some(_) if earlier == Earlier::Kept && !since() => Err(Misfit::Listed),
                _ => self.entry(index, &here, there.is_some()),
            };
            match entry {
                Ok(entry) => {
                    fitted.entries.push(entry);
                    fitted.rows.push(index);
                }
                Err(why) => fitted.left.push(Left {
                    base: name.base().to_vec(),
                    here,
                    there: there.map(<[u8]>::to_vec),
                    why,
                }),
            }
        }
        fitted
    }

    /// What the list has to say for the message of this row.
    fn entry(&mut self, index: usize, here: &[u8], is_listed: bool) -> Result<Entry, Misfit> {
        let name = self.columns.name(index);
        if !is_listed && self.names.get(name.base()).is_some_and(|&files| files > 1) {
            return Err(Misfit::SameName);
        }
        if self.given.contains(here) {
            return Err(Misfit::Taken);
        }
        let entry = self.list.entry(name, here)?;
        if entry.new_base() != name.base() {
            if self.known_by_name.contains(name.base()) {
                return Err(Misfit::KnownByName);
            }
            let files = self.names.entry(entry.new_base().to_vec()).or_insert(0);
            if *files > 0 {
                return Err(Misfit::SameName);
            }
            *files += 1;
        }
        Ok(entry)
    }
}

/// The base names by which IMAP servers know messages, as far as that can be read: any line that
/// ends in a name counts.
fn known_by_name(mailbox: &Mailbox) -> io::Result<HashSet<Vec<u8>>> {
    let disk = mailbox.disk();
    let mut known = HashSet::new();
    for file in KNOWN_BY_NAME {
        let file = match disk.open_read(mailbox.root(), file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        let octets = disk.read_whole(&file, NAMES_OCTETS_MAX)?;
        for line in octets.split(|&octet| octet == b'\n').skip(1) {
            let name = memchr::memmem::find(line, b" :").map(|at| at + 2);
            let name = name.or_else(|| memchr(b' ', line).map(|at| at + 1));
            let name = name.and_then(|at| line.get(at..)).unwrap_or_default();
            known.insert(name[..memchr(b':', name).unwrap_or(name.len())].to_vec());
        }
    }
    Ok(known)
}
