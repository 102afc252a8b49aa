//! What is known of a mailbox's files, as columns: 100,000 messages make eight allocations.

use std::sync::{
    Arc,
    atomic::{AtomicU8, AtomicU32, Ordering},
};

use restante_proto::{Form, Octets};

use super::{
    layout::Folder,
    name::{FileName, OrderKey},
};
use crate::{disk::Facts, message_table::Sizes, tagging::TAGGING_OCTETS_MAX};

/// Rows in message order, twins (files of one base name) by inode. All that can change is that
/// sizes become known.
#[derive(Debug)]
pub(crate) struct Columns {
    names: Arc<[u8]>,
    name_ends: Box<[u32]>,
    folders: Box<[Folder]>,
    inodes: Box<[u64]>,
    octets: Box<[u64]>,
    modified: Box<[i64]>,
    sizes: Sizes,
    /// What stands behind each size, as [`Size::code`] has it.
    codes: Box<[AtomicU8]>,
    /// Where the cache file holds exactly this row; [`UNSAVED`] where it does not.
    saved: Box<[AtomicU32]>,
}

/// No cache file holds this row as it is.
const UNSAVED: u32 = u32::MAX;

/// Collects [`Columns`], row by row.
#[derive(Debug, Default)]
pub(crate) struct ColumnsBuilder {
    names: Vec<u8>,
    name_ends: Vec<u32>,
    folders: Vec<Folder>,
    inodes: Vec<u64>,
    octets: Vec<u64>,
    modified: Vec<i64>,
    sizes: Vec<Option<Octets>>,
    codes: Vec<AtomicU8>,
    saved: Vec<AtomicU32>,
}

/// One message's file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'n> {
    pub(crate) folder: Folder,
    pub(crate) name: FileName<'n>,
    pub(crate) stored: Stored,
    pub(crate) size: Size,
    /// Its row in the cache file, if that holds exactly this.
    pub(crate) saved: Option<u32>,
}

/// What must still be true of a file for cached facts to be true of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stored {
    pub(crate) inode: u64,
    pub(crate) octets: u64,
    /// Nanoseconds since 1970.
    pub(crate) modified: i64,
}

/// What is known of the size that RETR sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Size {
    /// Nothing yet.
    Unknown,
    /// The name says so, and nothing speaks against it.
    Claimed(Octets),
    /// The file was read.
    Measured(Measurement),
    /// The file could not be read: it is listed with 0 octets, and reading it says why.
    Unmeasurable,
}

/// What reading a file has shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Measurement {
    pub(crate) octets: Octets,
    pub(crate) form: Form,
    pub(crate) packing: Packing,
}

/// How a file's octets are packed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Packing {
    /// They are the message.
    Plain,
    /// RFC 1952, one member or several.
    Gzip,
    /// RFC 8878, one frame or several.
    Zstd,
}

/// The mailbox has more names than 32 bits can address.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("mailbox has too many messages")]
pub(crate) struct TooMany;

impl<'n> Row<'n> {
    /// Where the row stands: no two have the same place.
    pub(crate) fn place(&self) -> (OrderKey<'n>, u64) {
        (self.name.order(), self.stored.inode)
    }
}

impl Stored {
    pub(crate) fn of(facts: &Facts) -> Self {
        Self {
            inode: facts.inode,
            octets: facts.octets,
            modified: facts.modified,
        }
    }
}

impl Size {
    /// What a name says of the size: `W=` is believed only if `S=` is the file's size, and if it
    /// is possible at all: a line end grows by one octet, a missing one by two.
    pub(crate) fn claimed(name: FileName<'_>, stored: u64) -> Self {
        let believed = name.stored_octets() == Some(stored);
        let wire = name
            .wire_octets()
            .filter(|&wire| believed && is_possible(wire, stored));
        wire.map_or(Self::Unknown, |wire| Self::Claimed(Octets(wire)))
    }

    pub(crate) fn octets(self) -> Option<Octets> {
        match self {
            Self::Unknown => None,
            Self::Claimed(octets) => Some(octets),
            Self::Measured(measurement) => Some(measurement.octets),
            Self::Unmeasurable => Some(Octets(0)),
        }
    }

    /// One octet that tells all but the number of octets. It stands in files: never renumber.
    pub(crate) fn code(self) -> u8 {
        let Self::Measured(Measurement { form, packing, .. }) = self else {
            return match self {
                Self::Claimed(_) => 1,
                Self::Unmeasurable => 2,
                _ => 0,
            };
        };
        let form = match form {
            Form::Stored => 0,
            Form::Crlf => 1,
            Form::Wire => 2,
        };
        let packing = match packing {
            Packing::Plain => 1,
            Packing::Gzip => 2,
            Packing::Zstd => 3,
        };
        packing << 4 | form
    }

    /// The size that has this code; `None` if there is no such code.
    pub(crate) fn of_code(code: u8, octets: Option<Octets>) -> Option<Self> {
        let packing = match code >> 4 {
            0 => {
                return match (code, octets) {
                    (0, None) => Some(Self::Unknown),
                    (1, Some(octets)) => Some(Self::Claimed(octets)),
                    (2, Some(Octets(0))) => Some(Self::Unmeasurable),
                    _ => None,
                };
            }
            1 => Packing::Plain,
            2 => Packing::Gzip,
            3 => Packing::Zstd,
            _ => return None,
        };
        let form = match code & 0x0F {
            0 => Form::Stored,
            1 => Form::Crlf,
            2 => Form::Wire,
            _ => return None,
        };
        Some(Self::Measured(Measurement {
            octets: octets?,
            form,
            packing,
        }))
    }

    /// Whether a file of `stored` octets can have this size.
    pub(crate) fn is_possible(self, stored: u64) -> bool {
        match self {
            Self::Unknown | Self::Unmeasurable => true,
            Self::Claimed(octets) => is_possible(octets.0, stored),
            Self::Measured(found) => match found.packing {
                Packing::Plain => is_possible_tagged(found.octets.0, stored),
                Packing::Gzip | Packing::Zstd => found.octets.0 <= PACKED_WIRE_OCTETS_MAX,
            },
        }
    }
}

/// No packed message is larger unpacked, all of it line feeds.
pub(crate) const UNPACKED_OCTETS_MAX: u64 = 1 << 30;
const PACKED_WIRE_OCTETS_MAX: u64 = 2 * UNPACKED_OCTETS_MAX + 2 + TAGGING_OCTETS_MAX;

fn is_possible(wire: u64, stored: u64) -> bool {
    (stored..=stored.saturating_mul(2).saturating_add(2)).contains(&wire) && wire != u64::MAX
}

/// As [`is_possible`], where the message may have been given a tag.
fn is_possible_tagged(wire: u64, stored: u64) -> bool {
    let max = stored.saturating_mul(2).saturating_add(2);
    (stored..=max.saturating_add(TAGGING_OCTETS_MAX)).contains(&wire) && wire != u64::MAX
}

impl ColumnsBuilder {
    /// Room for so many rows, whose names have so many octets together: growing column by column
    /// would leave twice as much memory behind, in pieces.
    pub(crate) fn with_capacity(rows: usize, octets_of_names: usize) -> Self {
        Self {
            names: Vec::with_capacity(octets_of_names),
            name_ends: Vec::with_capacity(rows),
            folders: Vec::with_capacity(rows),
            inodes: Vec::with_capacity(rows),
            octets: Vec::with_capacity(rows),
            modified: Vec::with_capacity(rows),
            sizes: Vec::with_capacity(rows),
            codes: Vec::with_capacity(rows),
            saved: Vec::with_capacity(rows),
        }
    }

    /// Adds the next row.
    ///
    /// # Errors
    /// [`TooMany`]: it does not fit.
    pub(crate) fn push(&mut self, row: Row<'_>) -> Result<(), TooMany> {
        let end = self.names.len() + row.name.as_bytes().len();
        self.name_ends
            .push(u32::try_from(end).map_err(|_| TooMany)?);
        self.names.extend_from_slice(row.name.as_bytes());
        self.folders.push(row.folder);
        self.inodes.push(row.stored.inode);
        self.octets.push(row.stored.octets);
        self.modified.push(row.stored.modified);
        self.sizes.push(row.size.octets());
        self.codes.push(AtomicU8::new(row.size.code()));
        self.saved
            .push(AtomicU32::new(row.saved.unwrap_or(UNSAVED)));
        Ok(())
    }

    pub(crate) fn build(self) -> Columns {
        Columns {
            names: self.names.into(),
            name_ends: self.name_ends.into(),
            folders: self.folders.into(),
            inodes: self.inodes.into(),
            octets: self.octets.into(),
            modified: self.modified.into(),
            sizes: Sizes::new(self.sizes.into_iter()),
            codes: self.codes.into(),
            saved: self.saved.into(),
        }
    }
}

impl Default for Columns {
    fn default() -> Self {
        ColumnsBuilder::default().build()
    }
}

impl Columns {
    /// The same rows again, whose sizes become known on their own.
    pub(crate) fn copy(&self) -> Self {
        let mut columns = ColumnsBuilder::with_capacity(self.len(), self.octets_of_names());
        for row in self.rows() {
            columns.push(row).expect("as many names fit as before");
        }
        columns.build()
    }

    pub(crate) fn len(&self) -> usize {
        self.name_ends.len()
    }

    /// How many octets all names have together.
    pub(crate) fn octets_of_names(&self) -> usize {
        self.names.len()
    }

    /// The row at `index`, which must be below [`Columns::len`].
    pub(crate) fn row(&self, index: usize) -> Row<'_> {
        Row {
            folder: self.folders[index],
            name: self.name(index),
            stored: self.stored(index),
            size: self.size(index),
            saved: self.saved(index),
        }
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> + Clone {
        (0..self.len()).map(|index| self.row(index))
    }

    pub(crate) fn folder(&self, index: usize) -> Folder {
        self.folders[index]
    }

    pub(crate) fn name(&self, index: usize) -> FileName<'_> {
        let range = self.name_start(index)..self.name_ends[index] as usize;
        FileName::new(&self.names[range]).expect("only names were pushed")
    }

    /// Where the name begins in [`Columns::names`].
    pub(crate) fn name_start(&self, index: usize) -> usize {
        let before = index.checked_sub(1);
        before.map_or(0, |before| self.name_ends[before] as usize)
    }

    /// All names, one after the other.
    pub(crate) fn names(&self) -> &Arc<[u8]> {
        &self.names
    }

    pub(crate) fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    pub(crate) fn stored(&self, index: usize) -> Stored {
        Stored {
            inode: self.inodes[index],
            octets: self.octets[index],
            modified: self.modified[index],
        }
    }

    pub(crate) fn size(&self, index: usize) -> Size {
        // The code is written after the size: whoever sees the code sees the size.
        let code = self.codes[index].load(Ordering::SeqCst);
        Size::of_code(code, self.sizes.at(index)).unwrap_or(Size::Unknown)
    }

    /// Makes a size known. `false` if another size stands, which this session may have shown:
    /// then nothing is changed.
    pub(crate) fn set_size(&self, index: usize, size: Size) -> bool {
        let Some(octets) = size.octets() else {
            return false;
        };
        if self.sizes.measured(index, octets) != octets {
            return false;
        }
        self.codes[index].store(size.code(), Ordering::SeqCst);
        // Last: see `set_saved`.
        self.saved[index].store(UNSAVED, Ordering::SeqCst);
        true
    }

    /// Where the cache file holds exactly this row.
    pub(crate) fn saved(&self, index: usize) -> Option<u32> {
        let saved = self.saved[index].load(Ordering::Relaxed);
        (saved != UNSAVED).then_some(saved)
    }

    /// Says that the cache file holds this row, with this size, at `saved`.
    pub(crate) fn set_saved(&self, index: usize, saved: u32, size: Size) {
        self.saved[index].store(saved, Ordering::SeqCst);
        // It may have been measured since it was written. Whoever does so says `UNSAVED` after
        // changing the code: either that comes after this, or the change is seen here.
        if self.size(index) != size {
            self.saved[index].store(UNSAVED, Ordering::SeqCst);
        }
    }

    /// How many octets of memory the columns take, without what the message table counts.
    pub(crate) fn memory_octets(&self) -> usize {
        size_of_val(&*self.name_ends)
            + size_of_val(&*self.folders)
            + size_of_val(&*self.inodes)
            + size_of_val(&*self.octets)
            + size_of_val(&*self.modified)
            + size_of_val(&*self.codes)
            + size_of_val(&*self.saved)
    }
}
