//! The octets of the cache's two files. Numbers are little-endian.
//!
//! ```text
//! messages   head 40                                changes   head 148
//! ┌──────────────────────────┐                      ┌──────────────────────────┐
//! │  0  "restante"           │                      │  0  "restante"           │
//! │  8  "messages"           │                      │  8  "changes "           │
//! │ 16  version          u32 │                      │ 16  version          u32 │
//! │ 20  rows n           u32 │                      │ 20  added rows a     u32 │
//! │ 24  octets of names  u64 │                      │ 24  octets of names  u64 │
//! │ 32  CRC-32 of body   u32 │◄─────────┐           │ 32  CRC-32 of body   u32 │
//! │ 36  CRC-32 of 0..36  u32 │◄───────┐ │           │ 36  removed rows r   u32 │
//! ├──────────────────────────┤        │ └───────────│ 40  of its messages  u32 │
//! │ rows                     │        └─────────────│ 44  of its messages  u32 │
//! └──────────────────────────┘                      │ 48  stamp of new/     48 │
//!                                                   │ 96  stamp of cur/     48 │
//! rows: n × end of name   u32                       │144  CRC-32 of 0..144 u32 │
//!       n × folder        u8  0 new, 1 cur, …       ├──────────────────────────┤
//!       n × size's kind   u8                        │ stamps of …              │
//!       n × inode         u64                       │ r × index of row     u32 │
//!                                                   │ rows                     │
//!       n × octets stored u64                       └──────────────────────────┘
//!       n × modified, ns  i64                       stamp: inode u64, modified i64,
//!       n × octets sent   u64  all ones: unknown           changed i64, trusted u64 0|1,
//!       names                                              16 octets of 0
//! ```
//!
//! Where folders besides INBOX are looked at, theirs are the numbers from 2 on, `new/` and `cur/` of
//! each, and their stamps stand before all else in the body of `changes`.
//!
//! Whatever is not exactly what [`encode_messages`] and [`encode_changes`] write is an error: rows
//! out of order, names with a slash, impossible sizes, an octet too many.

use restante_proto::Octets;

use super::super::{
    columns::{ColumnsBuilder, Row, Size, Stored},
    layout::Folder,
    listing::{Stamp, Stamps},
    name::{FileName, OrderKey},
};

const MESSAGES: &[u8; 16] = b"restantemessages";
const CHANGES: &[u8; 16] = b"restantechanges ";
const VERSION: u32 = 1;
/// Octets of the head of `messages`.
pub(crate) const MESSAGES_HEAD: usize = 40;
const CHANGES_HEAD: usize = 148;
const STAMP_OCTETS: usize = 48;
/// Those that stand in the head.
const STAMPS_OF_INBOX: usize = 2;
/// Octets of a row but its name.
const ROW_OCTETS: usize = 4 + 1 + 1 + 8 + 8 + 8 + 8;
const UNKNOWN: u64 = u64::MAX;

/// Names one state of the file `messages`: its two checksums, which cover the number of its rows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Edition {
    body: u32,
    head: u32,
    rows: u32,
}

/// What the file `changes` says of the file `messages`.
#[derive(Debug)]
pub(crate) struct Changes<'c> {
    /// The state of the directories that the cache tells of.
    pub(crate) stamps: Stamps,
    /// Rows that are no more, ascending.
    pub(crate) removed: Vec<u32>,
    /// Rows that are new or different.
    pub(crate) added: Rows<'c>,
}

/// Rows as they stand in a file, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'r> {
    ends: &'r [u8],
    folders: &'r [u8],
    codes: &'r [u8],
    inodes: &'r [u8],
    octets: &'r [u8],
    modified: &'r [u8],
    sizes: &'r [u8],
    names: &'r [u8],
    /// How many folders besides INBOX there are.
    besides: usize,
}

/// Why octets are not a cache.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum FormatError {
    #[error("it is not a cache file of this program")]
    Alien,
    #[error("it has version {0}")]
    Version(u32),
    #[error("its length is not what it says")]
    Length,
    #[error("its checksum is wrong")]
    Checksum,
    #[error("it tells of another state of `messages`")]
    OtherEdition,
    #[error("row {0} makes no sense")]
    Row(usize),
    #[error("its stamps or removals make no sense")]
    Head,
    #[error("its rows and those of `messages` are the same files")]
    Merge,
}

/// Collects rows in the form in which they stand in a file.
#[derive(Debug, Default)]
pub(crate) struct RowsEncoder {
    ends: Vec<u8>,
    folders: Vec<u8>,
    codes: Vec<u8>,
    inodes: Vec<u8>,
    octets: Vec<u8>,
    modified: Vec<u8>,
    sizes: Vec<u8>,
    names: Vec<u8>,
    count: u32,
}

impl Edition {
    /// How many rows the file has.
    pub(crate) fn rows(self) -> usize {
        self.rows as usize
    }
}

impl RowsEncoder {
    /// Adds a row; rows come in message order.
    pub(crate) fn push(&mut self, row: Row<'_>) {
        self.names.extend_from_slice(row.name.as_bytes());
        let end = u32::try_from(self.names.len()).expect("columns have 32-bit ends");
        self.count += 1;
        self.ends.extend_from_slice(&end.to_le_bytes());
        self.folders.push(row.folder.code());
        self.codes.push(row.size.code());
        self.inodes
            .extend_from_slice(&row.stored.inode.to_le_bytes());
        self.octets
            .extend_from_slice(&row.stored.octets.to_le_bytes());
        self.modified
            .extend_from_slice(&row.stored.modified.to_le_bytes());
        let size = row.size.octets().map_or(UNKNOWN, |octets| octets.0);
        self.sizes.extend_from_slice(&size.to_le_bytes());
    }

    /// How many rows were added.
    pub(crate) fn count(&self) -> usize {
        self.count as usize
    }

    fn append_to(&self, out: &mut Vec<u8>) {
        for column in [
            &self.ends,
            &self.folders,
            &self.codes,
            &self.inodes,
            &self.octets,
            &self.modified,
            &self.sizes,
            &self.names,
        ] {
            out.extend_from_slice(column);
        }
    }
}

/// The file `messages`, and its edition.
pub(crate) fn encode_messages(rows: &RowsEncoder) -> (Vec<u8>, Edition) {
    let mut out = begin(MESSAGES, rows);
    out.resize(MESSAGES_HEAD, 0);
    rows.append_to(&mut out);
    let body = seal(&mut out, MESSAGES_HEAD);
    let head = u32_at(&out, MESSAGES_HEAD - 4);
    let rows = rows.count;
    (out, Edition { body, head, rows })
}

/// The file `changes` beside that edition of `messages`; `stamps` has one for each directory.
pub(crate) fn encode_changes(
    edition: Edition,
    stamps: &[Stamp],
    removed: &[u32],
    added: &RowsEncoder,
) -> Vec<u8> {
    let mut out = begin(CHANGES, added);
    out.extend_from_slice(&[0; 4]);
    let count = u32::try_from(removed.len()).expect("no more rows than 32 bits number");
    for number in [count, edition.body, edition.head] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    let (inbox, besides) = stamps.split_at(STAMPS_OF_INBOX);
    inbox.iter().for_each(|stamp| encode_stamp(stamp, &mut out));
    out.extend_from_slice(&[0; 4]);
    besides
        .iter()
        .for_each(|stamp| encode_stamp(stamp, &mut out));
    for index in removed {
        out.extend_from_slice(&index.to_le_bytes());
    }
    added.append_to(&mut out);
    seal(&mut out, CHANGES_HEAD);
    out
}

/// The edition that a file `messages` begins with; only its head need be given.
///
/// # Errors
/// [`FormatError`] if it is no head of such a file.
pub(crate) fn decode_edition(file: &[u8]) -> Result<Edition, FormatError> {
    let head = check_head(file, MESSAGES, MESSAGES_HEAD)?;
    Ok(Edition {
        body: u32_at(head, 32),
        head: u32_at(head, MESSAGES_HEAD - 4),
        rows: u32_at(head, 20),
    })
}

fn encode_stamp(stamp: &Stamp, out: &mut Vec<u8>) {
    out.extend_from_slice(&stamp.inode.to_le_bytes());
    out.extend_from_slice(&stamp.modified.to_le_bytes());
    out.extend_from_slice(&stamp.changed.to_le_bytes());
    out.extend_from_slice(&u64::from(stamp.trusted).to_le_bytes());
    out.extend_from_slice(&[0; 16]);
}

/// The rows of a file `messages` of INBOX and so many folders besides, and its edition.
///
/// # Errors
/// [`FormatError`] if it is not exactly such a file.
pub(crate) fn decode_messages(
    file: &[u8],
    besides: usize,
) -> Result<(Rows<'_>, Edition), FormatError> {
    let edition = decode_edition(file)?;
    let body = check_body(file, MESSAGES_HEAD)?;
    Ok((Rows::new(file, body, besides)?, edition))
}

/// What a file `changes` of INBOX and so many folders besides says of that edition of `messages`.
///
/// # Errors
/// [`FormatError`] if it is not exactly such a file.
pub(crate) fn decode_changes(
    file: &[u8],
    edition: Edition,
    besides: usize,
) -> Result<Changes<'_>, FormatError> {
    let head = check_head(file, CHANGES, CHANGES_HEAD)?;
    if (u32_at(head, 40), u32_at(head, 44)) != (edition.body, edition.head) {
        return Err(FormatError::OtherEdition);
    }
    let mut stamps = vec![decode_stamp(&head[48..])?, decode_stamp(&head[96..])?];
    let body = check_body(file, CHANGES_HEAD)?;
    let stamps_octets = besides * STAMPS_OF_INBOX * STAMP_OCTETS;
    let (others, body) = body
        .split_at_checked(stamps_octets)
        .ok_or(FormatError::Length)?;
    for stamp in others.chunks(STAMP_OCTETS) {
        stamps.push(decode_stamp(stamp)?);
    }
    let removed_octets = 4 * u32_at(head, 36) as usize;
    let (removed, rows) = body
        .split_at_checked(removed_octets)
        .ok_or(FormatError::Length)?;
    let removed: Vec<u32> = (0..removed.len() / 4)
        .map(|at| u32_at(removed, 4 * at))
        .collect();
    let ascending = removed.windows(2).all(|pair| pair[0] < pair[1]);
    if !ascending || removed.last().is_some_and(|&last| last >= edition.rows) {
        return Err(FormatError::Head);
    }
    Ok(Changes {
        stamps: Stamps::new(stamps),
        removed,
        added: Rows::new(file, rows, besides)?,
    })
}

impl<'r> Rows<'r> {
    fn new(head: &[u8], body: &'r [u8], besides: usize) -> Result<Self, FormatError> {
        let count = u32_at(head, 20) as usize;
        let names = usize::try_from(u64_at(head, 24)).map_err(|_| FormatError::Length)?;
        let octets = count
            .checked_mul(ROW_OCTETS)
            .and_then(|rows| rows.checked_add(names));
        if octets != Some(body.len()) {
            return Err(FormatError::Length);
        }
        let mut rest = body;
        let mut column = |width: usize| {
            let (column, after) = rest.split_at(count * width);
            rest = after;
            column
        };
        let rows = Self {
            ends: column(4),
            folders: column(1),
            codes: column(1),
            inodes: column(8),
            octets: column(8),
            modified: column(8),
            sizes: column(8),
            names: rest,
            besides,
        };
        rows.check()?;
        Ok(rows)
    }

    pub(crate) fn len(&self) -> usize {
        self.codes.len()
    }

    /// How many octets all names have together.
    pub(crate) fn octets_of_names(&self) -> usize {
        self.names.len()
    }

    /// The row at `index`, which must be below [`Rows::len`].
    pub(crate) fn row(&self, index: usize) -> Row<'r> {
        let before = self.start(index);
        self.checked_row(index, before)
            .expect("all rows were checked")
    }

    /// All rows, each with its index as the place where it is saved.
    pub(crate) fn to_columns(self) -> ColumnsBuilder {
        let mut columns = ColumnsBuilder::with_capacity(self.len(), self.octets_of_names());
        for (index, saved) in (0..self.len()).zip(0..) {
            let mut row = self.row(index);
            row.saved = Some(saved);
            columns.push(row).expect("a file's names have 32-bit ends");
        }
        columns
    }

    fn check(&self) -> Result<(), FormatError> {
        let mut before: Option<(OrderKey<'_>, u64)> = None;
        for index in 0..self.len() {
            let row = self.checked_row(index, self.start(index));
            let row = row.ok_or(FormatError::Row(index))?;
            let place = row.place();
            if before.is_some_and(|before| before >= place) {
                return Err(FormatError::Row(index));
            }
            before = Some(place);
        }
        let last = self.len().checked_sub(1).map_or(0, |last| self.end(last));
        match last == self.names.len() {
            true => Ok(()),
            false => Err(FormatError::Length),
        }
    }

    fn checked_row(&self, index: usize, start: usize) -> Option<Row<'r>> {
        let name = FileName::new(self.names.get(start..self.end(index))?)?;
        let folder = Folder::of_code(*self.folders.get(index)?, self.besides)?;
        let stored = Stored {
            inode: u64_at(self.inodes, 8 * index),
            octets: u64_at(self.octets, 8 * index),
            modified: i64::from_le_bytes(u64_at(self.modified, 8 * index).to_le_bytes()),
        };
        let octets = u64_at(self.sizes, 8 * index);
        let octets = (octets != UNKNOWN).then_some(Octets(octets));
        let size = Size::of_code(*self.codes.get(index)?, octets)?;
        (size != Size::Unmeasurable && size.is_possible(stored.octets)).then_some(Row {
            folder,
            name,
            stored,
            size,
            saved: None,
        })
    }

    fn start(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.end(before))
    }

    fn end(&self, index: usize) -> usize {
        u32_at(self.ends, 4 * index) as usize
    }
}

/// The head's beginning, the same in both files, up to the body's checksum.
fn begin(magic: &[u8; 16], rows: &RowsEncoder) -> Vec<u8> {
    let mut out = magic.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&rows.count.to_le_bytes());
    out.extend_from_slice(&(rows.names.len() as u64).to_le_bytes());
    out
}

/// Writes the checksums into a whole file; returns the body's.
fn seal(out: &mut [u8], head_octets: usize) -> u32 {
    let body = crc32fast::hash(&out[head_octets..]);
    out[32..36].copy_from_slice(&body.to_le_bytes());
    let head = crc32fast::hash(&out[..head_octets - 4]);
    out[head_octets - 4..head_octets].copy_from_slice(&head.to_le_bytes());
    body
}

fn check_head<'h>(
    file: &'h [u8],
    magic: &[u8; 16],
    octets: usize,
) -> Result<&'h [u8], FormatError> {
    if !file.starts_with(magic) {
        return Err(FormatError::Alien);
    }
    let head = file.get(..octets).ok_or(FormatError::Length)?;
    if u32_at(head, octets - 4) != crc32fast::hash(&head[..octets - 4]) {
        return Err(FormatError::Checksum);
    }
    match u32_at(head, 16) {
        VERSION => Ok(head),
        other => Err(FormatError::Version(other)),
    }
}

fn check_body(file: &[u8], head_octets: usize) -> Result<&[u8], FormatError> {
    let body = file.get(head_octets..).ok_or(FormatError::Length)?;
    match u32_at(file, 32) == crc32fast::hash(body) {
        true => Ok(body),
        false => Err(FormatError::Checksum),
    }
}

fn decode_stamp(octets: &[u8]) -> Result<Stamp, FormatError> {
    let padding = octets.get(32..STAMP_OCTETS).unwrap_or_default();
    let trusted = match u64_at(octets, 24) {
        0 => false,
        1 => true,
        _ => return Err(FormatError::Head),
    };
    if padding != [0; 16] {
        return Err(FormatError::Head);
    }
    Ok(Stamp {
        inode: u64_at(octets, 0),
        modified: i64::from_le_bytes(u64_at(octets, 8).to_le_bytes()),
        changed: i64::from_le_bytes(u64_at(octets, 16).to_le_bytes()),
        trusted,
    })
}

/// The number at `at`; 0 beyond the end, which no caller reaches.
fn u32_at(octets: &[u8], at: usize) -> u32 {
    let number = octets.get(at..).and_then(<[u8]>::first_chunk);
    number.map_or(0, |number| u32::from_le_bytes(*number))
}

fn u64_at(octets: &[u8], at: usize) -> u64 {
    let number = octets.get(at..).and_then(<[u8]>::first_chunk);
    number.map_or(0, |number| u64::from_le_bytes(*number))
}

/// Reads octets as each file of the cache, as they are and with the checksums put right, and
/// panics if a promise is broken: what is read is in order, cannot lead out of the mailbox, is
/// possible, and is exactly what would be written.
#[cfg(feature = "testing")]
pub fn fuzz_cache_file(octets: &[u8]) {
    check_promises(octets);
    for (magic, head) in [(MESSAGES, MESSAGES_HEAD), (CHANGES, CHANGES_HEAD)] {
        let mut file = [&magic[..], octets].concat();
        if file.len() >= head {
            seal(&mut file, head);
            check_promises(&file);
        }
    }
}

#[cfg(feature = "testing")]
fn check_promises(file: &[u8]) {
    (0..=2).for_each(|besides| check_promises_of(file, besides));
}

#[cfg(feature = "testing")]
fn check_promises_of(file: &[u8], besides: usize) {
    if let Ok((rows, edition)) = decode_messages(file, besides) {
        assert_eq!(encode_messages(&encoded(rows)), (file.to_vec(), edition));
        let columns = rows.to_columns().build();
        assert_eq!(columns.len(), rows.len());
    }
    let head = file.get(..CHANGES_HEAD).unwrap_or_default();
    let edition = Edition {
        body: u32_at(head, 40),
        head: u32_at(head, 44),
        rows: 1000,
    };
    if let Ok(changes) = decode_changes(file, edition, besides) {
        let added = encoded(changes.added);
        let stamps: Vec<Stamp> = Folder::all(besides)
            .map(|folder| changes.stamps.of(folder))
            .collect();
        let again = encode_changes(edition, &stamps, &changes.removed, &added);
        assert_eq!(again, file);
    }
}

#[cfg(feature = "testing")]
fn encoded(rows: Rows<'_>) -> RowsEncoder {
    let mut encoder = RowsEncoder::default();
    let mut before: Option<Row<'_>> = None;
    for row in (0..rows.len()).map(|index| rows.row(index)) {
        assert!(!row.name.as_bytes().contains(&b'/'));
        assert!(row.size.is_possible(row.stored.octets));
        assert!(before.is_none_or(|before| before.place() < row.place()));
        encoder.push(row);
        before = Some(row);
    }
    encoder
}

#[cfg(test)]
mod tests;
