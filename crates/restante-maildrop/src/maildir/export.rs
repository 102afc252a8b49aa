//! Writing our unique-ids into another server's list, so that nobody downloads mail again when
//! that server comes back.
//!
//! ```text
//! the other server's file ─► its listing ──┐
//!            new/ and cur/ ─┤              ├─► entries ─► its file, anew ─► read back, compared
//!      state/unique-ids ────┴► our listing ┘          └─► files that must be renamed first
//! ```
//!
//! What the other server has listed keeps its line, but for what it has listed since the import:
//! that was for IMAP, and POP3 programs know the message by our unique-id.
//!
//! Renames come first, each harmless by itself; then the list is replaced whole. Whenever a crash
//! comes, the same may be asked for again.

mod fitting;
mod weight;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io,
    path::PathBuf,
};

use self::fitting::{Fitted, Fitting};
use super::{
    columns::Columns,
    layout::{Folder, Mailbox},
    survey::{self, Present, SurveyError},
    uidlist_lock::UidlistLock,
    unique_ids::UniqueIds,
    unique_name,
};
use crate::{
    Clock,
    disk::Facts,
    foreign::{Earlier, Entry, Given, List, Misfit, Origin, Weight},
};

/// Dovecot has been where one of these is.
const DOVECOTS: [&str; 2] = ["dovecot.index", "dovecot.index.log"];
/// Lists of servers of which one was here.
const LISTS: [&str; 2] = ["dovecot-uidlist", "courierpop3dsizelist"];

/// What an export of our unique-ids means for a mailbox.
#[derive(Debug)]
#[must_use]
pub struct Export {
    /// The other server's file.
    pub file: PathBuf,
    /// Whether there was none.
    pub is_new: bool,
    /// Messages that the other server will list as they are listed here.
    pub kept: usize,
    /// The first and the last unique-id that the other server will list.
    pub ends: Option<[Vec<u8>; 2]>,
    /// Messages that nobody has listed yet: the other server gives them unique-ids of its own.
    pub unlisted: usize,
    /// Unique-ids that have to be written.
    pub unwritten: usize,
    /// Files that have to be renamed for that.
    pub renamed: usize,
    /// Messages that the other server will list otherwise, by number here.
    pub left: Vec<Left>,
}

/// A message that the other server will not list as it is listed here: programs that know it will
/// download it once more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Left {
    /// The message.
    pub base: Vec<u8>,
    /// Its unique-id here.
    pub here: Vec<u8>,
    /// Its unique-id there; `None`: the other server has not listed it yet.
    pub there: Option<Vec<u8>>,
    /// Why.
    pub why: Misfit,
}

/// Why nothing was written for a mailbox.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The other server's file, or the mailbox, is not as it must be.
    #[error(transparent)]
    Survey(#[from] SurveyError),
    /// Dovecot has been here, and its file is not.
    #[error("{} is missing, though Dovecot has been here: it may keep it elsewhere", .0.display())]
    Elsewhere(PathBuf),
    /// Another server than the one that was named has left its list.
    #[error("{} is missing, and there is `{other}`: another server was here", file.display())]
    OtherServer {
        /// The file that is missing.
        file: PathBuf,
        /// The other one.
        other: &'static str,
    },
    /// The other server is at work.
    #[error("{} is locked: is Dovecot running?", .0.display())]
    Locked(PathBuf),
    /// The other server has no numbers left to give.
    #[error("{} has no UID left for new messages", .0.display())]
    UsedUp(PathBuf),
    /// What would be written does not say what it should. Nothing was written.
    #[error("{} would not list what it should", .0.display())]
    Unfaithful(PathBuf),
    /// The file cannot be written.
    #[error("{} cannot be written", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// What is to be done on the disk.
#[derive(Debug)]
struct Work {
    list: Vec<u8>,
    /// What the list before was like.
    like: Option<Facts>,
    renames: Vec<Rename>,
}

#[derive(Debug)]
struct Rename {
    folder: Folder,
    from: Vec<u8>,
    to: Vec<u8>,
}

/// One export.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exporting<'e> {
    pub(crate) mailbox: &'e Mailbox,
    pub(crate) origin: &'e Origin,
    pub(crate) earlier: Earlier,
    pub(crate) clock: &'e Clock,
}

impl Exporting<'_> {
    /// What it would mean; `None`: there is no list, and nothing to put into one. Changes nothing.
    /// Blocks.
    ///
    /// # Errors
    /// [`ExportError`] says why nothing may be written.
    pub(crate) fn look(self) -> Result<Option<Export>, ExportError> {
        Ok(self.plan()?.map(|(export, _)| export))
    }

    /// Does it. What it says is what it was like before. Blocks.
    ///
    /// # Errors
    /// [`ExportError`]. The list is the old or the new one.
    pub(crate) fn make(self) -> Result<Option<Export>, ExportError> {
        let write = |cause| ExportError::Write {
            file: self.file(),
            cause,
        };
        let _lock = match self.origin {
            Origin::Dovecot(_) => {
                let lock = UidlistLock::acquire(self.mailbox, self.clock).map_err(write)?;
                Some(lock.ok_or_else(|| ExportError::Locked(self.file()))?)
            }
            Origin::Courier => None,
        };
        let Some((export, work)) = self.plan()? else {
            return Ok(None);
        };
        if let Some(work) = work {
            self.write(&work).map_err(write)?;
        }
        Ok(Some(export))
    }

    fn file(self) -> PathBuf {
        self.mailbox.path().join(self.origin.file_name())
    }

    fn plan(self) -> Result<Option<(Export, Option<Work>)>, ExportError> {
        let (mailbox, origin, file) = (self.mailbox, self.origin, self.file());
        let (octets, like) = self.read_list()?;
        let list = origin.parse(&octets).map_err(|damage| {
            let file = file.clone();
            SurveyError::Damaged { file, damage }
        })?;
        let columns = survey::scan(mailbox).map_err(SurveyError::Mailbox)?;
        let present = match &like {
            Some(facts) => Present::of_list(&columns, &list, facts, &file)?,
            None => Present::new(&columns, HashSet::new(), 0),
        };
        let old = present.old_listing(mailbox, &list);
        let old = old.map_err(SurveyError::Mailbox)?;
        let ids = UniqueIds::peek(mailbox).map_err(SurveyError::Mailbox)?;
        let fitting = Fitting::new(mailbox, &columns, &list, &old);
        let fitting = fitting.map_err(SurveyError::Mailbox)?;
        let fitted = fitting.fit(&present, &ids, self.earlier);
        let entries = &fitted.entries;
        if like.is_none() && entries.is_empty() && fitted.left.is_empty() {
            return Ok(None);
        }
        let rewritten = self.rewrite(&list, &octets, &columns, &fitted)?;
        let new = self.read_back(&rewritten, &present, entries, &old);
        let new = new.map_err(SurveyError::Mailbox)?;
        let new = new.ok_or_else(|| ExportError::Unfaithful(file.clone()))?;
        let renames = renames(&fitted, &columns);
        let ends = new.first().zip(new.last());
        let export = Export {
            file,
            is_new: like.is_none(),
            kept: fitted.same + entries.len(),
            ends: ends.map(|(first, last)| [first, last].map(|given| given.unique_id.clone())),
            unlisted: fitted.unlisted,
            unwritten: entries.len(),
            renamed: renames.len(),
            left: fitted.left,
        };
        let work = (!fitted.entries.is_empty()).then_some(Work {
            list: rewritten,
            like,
            renames,
        });
        Ok(Some((export, work)))
    }

    /// The other server's list, and what its file is like, or an empty one.
    fn read_list(self) -> Result<(Vec<u8>, Option<Facts>), ExportError> {
        let read = survey::read_list(self.mailbox, self.origin);
        let read = read.map_err(|cause| SurveyError::File {
            file: self.file(),
            cause,
        })?;
        Ok(match read {
            Some((octets, facts)) => (octets, Some(facts)),
            None => (self.begin_list()?, None),
        })
    }

    fn rewrite(
        self,
        list: &List<'_>,
        octets: &[u8],
        columns: &Columns,
        fitted: &Fitted,
    ) -> Result<Vec<u8>, ExportError> {
        let entries = fitted.entries.iter().zip(&fitted.rows);
        let rows: HashMap<&[u8], usize> = entries
            .map(|(entry, &index)| (&*entry.base, index))
            .collect();
        let mut weigh = |entry: &Entry| match rows.get(&*entry.base) {
            Some(&index) => weight::weigh(self.mailbox, columns.row(index)),
            None => Ok(Weight::default()),
        };
        let rewritten = list.rewritten(octets, &fitted.entries, &mut weigh);
        let rewritten = rewritten.map_err(SurveyError::Mailbox)?;
        rewritten.ok_or_else(|| ExportError::UsedUp(self.file()))
    }

    /// The list of a mailbox that the other server has never opened.
    fn begin_list(self) -> Result<Vec<u8>, ExportError> {
        let exists = |name: &str| match self
            .mailbox
            .disk()
            .facts_at(self.mailbox.root(), name.as_bytes())
        {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            found => found.map(|_| true).map_err(SurveyError::Mailbox),
        };
        let file = self.file();
        for other in LISTS {
            if exists(other)? {
                return Err(ExportError::OtherServer { file, other });
            }
        }
        for trace in DOVECOTS {
            if exists(trace)? {
                return Err(ExportError::Elsewhere(file));
            }
        }
        let now = self.clock.now().as_secs();
        Ok(self
            .origin
            .empty_list(u32::try_from(now).unwrap_or(u32::MAX)))
    }

    /// What the other server will list by the new file; `None` if that is not what was meant.
    fn read_back(
        self,
        rewritten: &[u8],
        present: &Present<'_>,
        entries: &[Entry],
        old: &[Given],
    ) -> io::Result<Option<Vec<Given>>> {
        let Ok(list) = self.origin.parse(rewritten) else {
            return Ok(None);
        };
        let mut meant: HashMap<&[u8], &[u8]> = old
            .iter()
            .map(|given| (&*given.base, &*given.unique_id))
            .collect();
        for entry in entries {
            meant.remove(&*entry.base);
            meant.insert(entry.new_base(), &entry.unique_id);
        }
        let is_there = |base: &[u8]| meant.contains_key(base);
        let mut xuidl = |base: &[u8]| present.xuidl(self.mailbox, base);
        let new = list.listing(is_there, &mut xuidl)?;
        let as_meant = |given: &Given| meant.get(&*given.base) == Some(&&*given.unique_id);
        let faithful = new.len() == meant.len() && new.iter().all(as_meant);
        Ok(faithful.then_some(new))
    }

    fn write(self, work: &Work) -> io::Result<()> {
        let (mailbox, disk) = (self.mailbox, self.mailbox.disk());
        let mut touched = BTreeSet::new();
        for Rename { folder, from, to } in &work.renames {
            let at = mailbox.folder(*folder);
            disk.rename_no_replace(at, from, at, to)?;
            touched.insert(*folder);
        }
        for folder in touched {
            disk.sync_directory(mailbox.folder(folder))?;
        }
        let tmp = mailbox.tmp()?;
        let name = unique_name::for_arrival(self.clock, self.origin.file_name())?;
        let file = match work.like {
            Some(like) => mailbox.create_new_like(tmp, &name, like),
            None => mailbox.create_new(tmp, &name),
        };
        let written = file.and_then(|file| {
            disk.write_all(&file, &work.list)?;
            disk.sync_file(&file)?;
            let list = self.origin.file_name().as_bytes();
            disk.rename_replace(tmp, &name, mailbox.root(), list)
        });
        if let Err(error) = written {
            let _ = disk.unlink(tmp, &name);
            return Err(error);
        }
        disk.sync_directory(mailbox.root())
    }
}

/// Which files must have another name for that.
fn renames(fitted: &Fitted, columns: &Columns) -> Vec<Rename> {
    let entries = fitted.entries.iter().zip(&fitted.rows);
    let renames = entries.filter_map(|(entry, &index)| {
        let row = columns.row(index);
        let from = row.name.as_bytes();
        // What is in `new/` gets its `:2,` when the other server sees it.
        let to = match row.folder.is_cur() {
            true => entry.name.clone(),
            false => [entry.new_base(), row.name.info()].concat(),
        };
        (to != from).then(|| Rename {
            folder: row.folder,
            from: from.to_vec(),
            to,
        })
    });
    renames.collect()
}

#[cfg(test)]
mod tests;
