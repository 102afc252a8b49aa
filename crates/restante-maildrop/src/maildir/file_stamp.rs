//! The state of a file in `restante/state/`: what it says need not be read again while that is the
//! same.

use std::{fs::File, io};

use super::layout::Mailbox;
use crate::disk::Facts;

/// The state of a file; all zero if there is none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct FileStamp {
    inode: u64,
    pub(crate) octets: u64,
    modified: i64,
    changed: i64,
}

impl FileStamp {
    /// That of the file `name`, as its directory has it now.
    ///
    /// # Errors
    /// Those of looking.
    pub(crate) fn now(mailbox: &Mailbox, name: &[u8]) -> io::Result<Self> {
        let Some(state) = mailbox.state_if_there()? else {
            return Ok(Self::default());
        };
        match mailbox.disk().facts_at(state, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            facts => facts.map(Self::from),
        }
    }

    /// That of an open file.
    ///
    /// # Errors
    /// Those of looking.
    pub(crate) fn of(mailbox: &Mailbox, file: &File) -> io::Result<Self> {
        mailbox.disk().facts(file).map(Self::from)
    }
}

impl From<Facts> for FileStamp {
    fn from(facts: Facts) -> Self {
        Self {
            inode: facts.inode,
            octets: facts.octets,
            modified: facts.modified,
            changed: facts.changed,
        }
    }
}
