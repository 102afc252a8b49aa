//! Which unique-ids another server has given to the messages of a Maildir, read off the file in
//! which that server keeps them. Everything here is a function over octets: what the file says,
//! and what the other server would list for the messages that are there.
//!
//! ```text
//! octets of the file ─► parse ─► records ─► listing: base name and unique-id, in the order in
//!                         │                          which the other server numbers them
//!                         └► Damage: the line, and what is wrong with it
//! ```
//!
//! And the way back: what the file has to say so that the other server lists messages under the
//! unique-ids that they have here (`Entry`).

mod courier;
mod dovecot;
mod entry;
mod uidl_format;

use std::io;

pub use entry::Misfit;
pub(crate) use entry::{Entry, Weigh, Weight};
#[cfg(feature = "testing")]
pub use uidl_format::fuzz_uidl_format;
pub use uidl_format::{UidlFormat, UidlFormatError};

use crate::maildir::FileName;

/// Whose unique-ids are to be kept.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Origin {
    /// Dovecot's: `dovecot-uidlist` and what its configuration makes of it.
    Dovecot(DovecotUidls),
    /// Those of Courier's POP3 server: `courierpop3dsizelist`.
    Courier,
}

/// What Dovecot's configuration says about unique-ids; the default is Dovecot's own.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DovecotUidls {
    /// `pop3_uidl_format`.
    pub format: UidlFormat,
    /// `pop3_uidl_duplicates`.
    pub duplicates: Duplicates,
    /// `pop3_reuse_xuidl`.
    pub reuse_xuidl: bool,
}

/// What Dovecot does with a unique-id that an earlier message of the listing has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Duplicates {
    /// It lists the unique-id twice.
    #[default]
    Allow,
    /// It appends `-2`, `-3` and so on.
    Rename,
}

/// What becomes of messages that have been listed here, since an earlier import, under another
/// unique-id than the one which the other server's file has for them now.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Later {
    /// They keep it: the other server goes on for IMAP alone, say.
    #[default]
    Kept,
    /// The other server has served POP3 again: its unique-ids count.
    Replaced,
}

/// What becomes of messages that the other server has listed itself, under other unique-ids than
/// they have here.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Earlier {
    /// What it had listed before the import stays. What it has listed since was seen by IMAP alone:
    /// POP3 was served here.
    #[default]
    Kept,
    /// What is listed here counts, for all of them.
    Replaced,
}

/// A file that another server would not have written so.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{what}")]
pub struct Damage {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    #[source]
    pub what: DamageKind,
}

/// What is wrong with a line of another server's file.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DamageKind {
    /// There is nothing in the file.
    #[error("the file is empty")]
    Empty,
    /// The first line is not that of such a file.
    #[error("this is not the first line of such a file")]
    Header,
    /// The file is of a version that is not known.
    #[error("the file is of version {0}, which is not known")]
    Version(u64),
    /// The line has no end: the file is cut off, or being written.
    #[error("the line is cut off")]
    CutOff,
    /// The line is not a record.
    #[error("this is not a message's line")]
    Record,
    /// Its UID is 0, or no message can have it.
    #[error("no message can have this UID")]
    Uid,
    /// UIDs only grow from line to line.
    #[error("the UID {uid} comes after {before}")]
    UidOrder {
        /// This line's.
        uid: u32,
        /// An earlier line's.
        before: u32,
    },
    /// A field is not what its key promises.
    #[error("the field `{0}` makes no sense")]
    Field(char),
    /// What stands for the file's name is none.
    #[error("the name cannot be that of a message's file")]
    Name,
    /// Two lines give the same message different unique-ids.
    #[error("line {0} has the same message")]
    Again(usize),
}

/// What the other server's file says.
#[derive(Debug)]
pub(crate) enum List<'f> {
    Dovecot(dovecot::Uidlist<'f>, &'f DovecotUidls),
    Courier(courier::SizeList<'f>),
}

/// One message as the other server lists it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Given {
    /// The message, by its file's base name.
    pub base: Vec<u8>,
    /// Whatever the other server says: it need not be legal.
    pub unique_id: Vec<u8>,
}

/// Finds the value of the first `X-UIDL` of the message with this base name.
pub(crate) type FindXuidl<'x> = &'x mut dyn FnMut(&[u8]) -> io::Result<Option<Vec<u8>>>;

impl Origin {
    /// The file's name in a Maildir.
    #[must_use]
    pub const fn file_name(&self) -> &'static str {
        match self {
            Self::Dovecot(_) => "dovecot-uidlist",
            Self::Courier => "courierpop3dsizelist",
        }
    }

    /// The file of a mailbox in which the other server has listed nothing yet, in `now`, Unix
    /// seconds: the moment tells its numbers from those of any other such file.
    pub(crate) fn empty_list(&self, now: u32) -> Vec<u8> {
        let list = match self {
            Self::Dovecot(_) => format!("3 V{now} N1\n"),
            Self::Courier => format!("/3 1 {now}\n"),
        };
        list.into_bytes()
    }

    /// What the other server's file says.
    ///
    /// # Errors
    /// The first line that makes no sense. Nothing of the file may be used then: the ids of a
    /// part of the messages would be lost without a word.
    pub(crate) fn parse<'f>(&'f self, octets: &'f [u8]) -> Result<List<'f>, Damage> {
        Ok(match self {
            Self::Dovecot(uidls) => List::Dovecot(dovecot::Uidlist::parse(octets)?, uidls),
            Self::Courier => List::Courier(courier::SizeList::parse(octets)?),
        })
    }
}

impl List<'_> {
    /// The base names that have a record.
    pub(crate) fn bases(&self) -> Box<dyn Iterator<Item = &[u8]> + '_> {
        match self {
            Self::Dovecot(list, _) => Box::new(list.bases()),
            Self::Courier(list) => Box::new(list.bases()),
        }
    }

    /// What the other server lists, in its order, of the messages that `is_present` knows and
    /// that have a record.
    ///
    /// # Errors
    /// Those of `xuidl`, which is asked only if the configuration wants it.
    pub(crate) fn listing(
        &self,
        is_present: impl Fn(&[u8]) -> bool,
        xuidl: FindXuidl<'_>,
    ) -> io::Result<Vec<Given>> {
        match self {
            Self::Dovecot(list, uidls) => list.listing(uidls, is_present, xuidl),
            Self::Courier(list) => Ok(list.listing(is_present)),
        }
    }

    /// How the other server is made to list the file of this name under this unique-id.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(crate) fn entry(&self, name: FileName<'_>, unique_id: &[u8]) -> Result<Entry, Misfit> {
        match self {
            Self::Dovecot(list, uidls) => list.entry(&uidls.format, name, unique_id),
            Self::Courier(list) => list.entry(name, unique_id),
        }
    }

    /// The file, whose `octets` they were, with these entries in it. What it says of other
    /// messages stays. `None`: the numbers that it gives are used up.
    ///
    /// # Errors
    /// Those of `weigh`, which is asked only by a server that keeps such things.
    pub(crate) fn rewritten(
        &self,
        octets: &[u8],
        entries: &[Entry],
        weigh: Weigh<'_>,
    ) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Dovecot(list, _) => Ok(list.rewritten(octets, entries)),
            Self::Courier(list) => list.rewritten(octets, entries, weigh).map(Some),
        }
    }
}

/// The lines of a file, numbered from 1; the last one must have an end too.
fn lines(octets: &[u8]) -> impl Iterator<Item = Result<(usize, &[u8]), Damage>> {
    let mut rest = octets;
    let mut line = 0;
    std::iter::from_fn(move || {
        line += 1;
        if rest.is_empty() {
            let what = DamageKind::Empty;
            return (line == 1).then_some(Err(Damage { line, what }));
        }
        let Some(end) = memchr::memchr(b'\n', rest) else {
            rest = &[];
            let what = DamageKind::CutOff;
            return Some(Err(Damage { line, what }));
        };
        let (content, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        Some(Ok((line, content)))
    })
}

/// The number that all of `digits` are; `None` if they are none, or too many.
fn number<N: TryFrom<u64>>(digits: &[u8]) -> Option<N> {
    if digits.is_empty() {
        return None;
    }
    let number = digits.iter().try_fold(0_u64, |number, &octet| {
        let digit = octet.is_ascii_digit().then(|| u64::from(octet - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })?;
    N::try_from(number).ok()
}

/// Reads what a stranger may have left as the file of each server, and panics if a promise is
/// broken: a damaged line is one of the file's; each message is listed once, under a name that
/// stays inside its directory; a file without its last octet is refused.
#[cfg(feature = "testing")]
pub fn fuzz_foreign_list(octets: &[u8]) {
    let dovecot = DovecotUidls {
        duplicates: Duplicates::Rename,
        ..DovecotUidls::default()
    };
    for origin in [Origin::Dovecot(dovecot), Origin::Courier] {
        let count = octets.split(|&octet| octet == b'\n').count();
        match origin.parse(octets) {
            Err(damage) => assert!((1..=count).contains(&damage.line)),
            Ok(list) => {
                let given = list.listing(|_| true, &mut |_| Ok(None));
                let given = given.expect("nothing is read");
                let mut bases: Vec<&[u8]> = list.bases().collect();
                assert_eq!(given.len(), bases.len());
                assert!(bases.iter().all(|base| !base.contains(&b'/')));
                bases.sort_unstable();
                bases.dedup();
                assert_eq!(given.len(), bases.len());
                let cut = octets.get(..octets.len().saturating_sub(1));
                assert!(origin.parse(cut.unwrap_or_default()).is_err());
            }
        }
    }
}
