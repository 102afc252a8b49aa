//! An append-only file of checksummed lines: how `restante/state/` remembers.
//!
//! ```text
//! 7d3f6c0a restante unique-ids 1⏎            what it is, and the format's version
//! 91b2e4d8 import 000061ae4c0907b0 …⏎
//! └─ CRC-32 of what follows the space, 8 lower-case hex digits
//! ```
//!
//! The file is read as a stranger's. Each line stands for itself, so damage costs the lines it
//! touches and no other. A line that was being written when the power failed is the last one; it
//! was never relied upon, because whoever appends or reads syncs before anybody is told. The next
//! append spoils it with a `!`, so that it does not come true later, and begins a new line.
//!
//! Assumed of the disk: what `fsync` has confirmed stays, and octets once written are not changed
//! by later appends. Not assumed: that a failed append leaves nothing behind.

use std::{fs::File, io, ops::Range};

use memchr::memchr;

use crate::disk::Disk;

/// No line is longer: a name of 255 octets written as `%XX`, a unique-id of 70, and the rest.
const LINE_OCTETS_MAX: usize = 1024;
const READ_OCTETS: usize = 64 * 1024;
const CHECKSUM_DIGITS: usize = 8;
/// No content that is appended is so long.
pub(crate) const CONTENT_OCTETS_MAX: usize = LINE_OCTETS_MAX - CHECKSUM_DIGITS;
/// Ends a line that was torn; no content of ours ends so.
const SPOILED: &[u8] = b"!";

/// What reading a journal found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Soundness {
    /// Lines that are right and make sense.
    pub(crate) good: usize,
    /// Lines that were right once, or are not ours. Lines torn while being written do not count.
    pub(crate) damaged: usize,
}

/// Takes a journal in pieces and gives the content of each line whose checksum is right, in
/// order, to `line`, which says whether it makes sense.
#[derive(Debug)]
pub(crate) struct Reader<L> {
    line: L,
    line_octets_max: usize,
    /// The beginning of the next line, no longer than tells that it is too long.
    pending: Vec<u8>,
    found: Soundness,
    /// The last line was bad: it may be torn; only when another follows is it damage.
    bad: bool,
    pushed: u64,
    settled: u64,
}

impl<L: FnMut(&[u8]) -> bool> Reader<L> {
    pub(crate) fn new(line: L) -> Self {
        Self::with_lines_of(LINE_OCTETS_MAX, line)
    }

    /// As [`Reader::new`], for lines of at most `octets_max`, checksum included.
    pub(crate) fn with_lines_of(octets_max: usize, line: L) -> Self {
        Self {
            line,
            line_octets_max: octets_max,
            pending: Vec::new(),
            found: Soundness::default(),
            bad: false,
            pushed: 0,
            settled: 0,
        }
    }

    /// So many octets end with a line that needs not be read again when there are more.
    pub(crate) fn settled(&self) -> u64 {
        self.settled
    }

    /// Takes the next piece, of any size.
    pub(crate) fn push(&mut self, mut piece: &[u8]) {
        while let Some(end) = memchr(b'\n', piece) {
            self.extend_pending(&piece[..end]);
            self.take_line();
            piece = &piece[end + 1..];
            self.pushed += end as u64 + 1;
            if !self.bad {
                self.settled = self.pushed;
            }
        }
        self.pushed += piece.len() as u64;
        self.extend_pending(piece);
    }

    /// Takes the end. A last line without its end is not believed, even if its checksum is right.
    pub(crate) fn finish(mut self) -> Soundness {
        if !self.pending.is_empty() {
            self.found.damaged += usize::from(self.bad);
        }
        self.found
    }

    fn take_line(&mut self) {
        self.found.damaged += usize::from(std::mem::take(&mut self.bad));
        let short = self.pending.len() <= self.line_octets_max;
        let content = short.then(|| content(&self.pending)).flatten();
        if content.is_some_and(&mut self.line) {
            self.found.good += 1;
        } else {
            self.bad = !self.pending.is_empty() && !self.pending.ends_with(SPOILED);
        }
        self.pending.clear();
    }

    fn extend_pending(&mut self, octets: &[u8]) {
        let room = (self.line_octets_max + 1).saturating_sub(self.pending.len());
        self.pending
            .extend_from_slice(&octets[..room.min(octets.len())]);
    }
}

/// Reads a whole journal; then brings what was read to stable storage, because whoever wrote it
/// may have died before its sync.
///
/// # Errors
/// Those of reading and syncing.
pub(crate) fn read(
    disk: &Disk,
    file: &File,
    line: impl FnMut(&[u8]) -> bool,
) -> io::Result<Soundness> {
    let mut reader = Reader::new(line);
    feed(disk, file, 0..u64::MAX, &mut reader)?;
    disk.sync_file(file)?;
    Ok(reader.finish())
}

/// Gives the reader what stands in this part of the file.
///
/// # Errors
/// Those of reading.
pub(crate) fn feed<L: FnMut(&[u8]) -> bool>(
    disk: &Disk,
    file: &File,
    part: Range<u64>,
    reader: &mut Reader<L>,
) -> io::Result<()> {
    let mut room = vec![0; READ_OCTETS];
    let mut offset = part.start;
    while offset < part.end {
        let count = disk.read_at(file, &mut room, offset)?;
        if count == 0 {
            break;
        }
        offset += count as u64;
        reader.push(room.get(..count).unwrap_or_default());
    }
    Ok(())
}

/// Appends one line for each of `contents` and brings them to stable storage.
///
/// The caller holds the mailbox lock. Contents are what [`escape`] leaves, with spaces, and fit a
/// line.
///
/// # Errors
/// Those of writing and syncing. What was appended is taken back; where that fails too, any of the
/// lines may be read later: what they say must be harmless if it comes true.
pub(crate) fn append(disk: &Disk, file: &File, contents: &[Vec<u8>]) -> io::Result<()> {
    debug_assert!(
        contents
            .iter()
            .all(|content| content.len() < CONTENT_OCTETS_MAX)
    );
    let before = disk.facts(file)?.octets;
    let appended =
        append_unsynced(disk, file, before, contents).and_then(|()| disk.sync_file(file));
    appended.inspect_err(|_| {
        let _ = disk.truncate(file, before);
    })
}

/// Appends one line for each of `contents` to a file of `before` octets, all with one write, and
/// leaves it to the system when they become durable: for what nobody relies upon.
///
/// Who appends at the same time loses no line by it, because a write at the end of a file is one
/// step; no lock is needed. Only a torn end that is appended to by two at once may cost one line.
///
/// # Errors
/// Those of writing; some of it may be in the file.
pub(crate) fn append_unsynced(
    disk: &Disk,
    file: &File,
    before: u64,
    contents: &[Vec<u8>],
) -> io::Result<()> {
    let mut octets = Vec::new();
    if !ends_a_line(disk, file, before)? {
        octets.extend_from_slice(SPOILED);
        octets.push(b'\n');
    }
    for content in contents {
        octets.extend_from_slice(&checksum(content));
        octets.push(b' ');
        octets.extend_from_slice(content);
        octets.push(b'\n');
    }
    disk.write_all(file, &octets)
}

/// Writes octets so that they hold no space, line end or other octet outside 0x21–0x7E.
pub(crate) fn escape(octets: &[u8], out: &mut Vec<u8>) {
    for &octet in octets {
        match octet {
            b'%' | ..=0x20 | 0x7F.. => out.extend_from_slice(format!("%{octet:02x}").as_bytes()),
            _ => out.push(octet),
        }
    }
}

/// Undoes [`escape`]; `None` if the text is not what it writes.
pub(crate) fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            octets.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[2..];
        } else {
            octets.push(first);
        }
    }
    let mut again = Vec::with_capacity(text.len());
    escape(&octets, &mut again);
    (again == text).then_some(octets)
}

/// What a line says, if its checksum is right.
fn content(line: &[u8]) -> Option<&[u8]> {
    let (checksum, rest) = line.split_at_checked(CHECKSUM_DIGITS)?;
    let content = rest.strip_prefix(b" ")?;
    (self::checksum(content) == checksum).then_some(content)
}

/// The digits that stand before a content.
pub(crate) fn checksum(content: &[u8]) -> Vec<u8> {
    format!("{:08x}", crc32fast::hash(content)).into_bytes()
}

fn ends_a_line(disk: &Disk, file: &File, octets: u64) -> io::Result<bool> {
    let Some(last) = octets.checked_sub(1) else {
        return Ok(true);
    };
    let mut octet = [0];
    let count = disk.read_at(file, &mut octet, last)?;
    Ok(count == 1 && octet == *b"\n")
}

/// These lines, each with the checksum that makes it ours: fuzzing must reach behind it.
#[cfg(feature = "testing")]
pub(crate) fn with_checksums(octets: &[u8]) -> Vec<u8> {
    let lines = octets.split(|&octet| octet == b'\n');
    let summed = lines.map(|line| [&checksum(line)[..], b" ", line, b"\n"].concat());
    summed.collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests;
