//! The messages of a group in a spool beside the mbox, and their way into it.
//!
//! ```text
//! spool   .NAME.restante-OWNER-NONCE, locked with flock while its process lives
//!   0     the note: "rstmbox1", at, from, to (64 bits each, little-endian), CRC32 of these
//!   64    the messages as they will be in the mbox, each with its From_ line and an empty line
//! ```
//!
//! The note says that the octets `from..to` of the spool are being appended to the mbox at `at`. It
//! is durable before the first of them is written there, so that after a crash a torn end of the
//! mbox is known to be ours and is cut off: no reader of the mbox meets half a message for long.

use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom},
    os::fd::OwnedFd,
};

use memchr::memmem;
use restante_maildrop::disk::Disk;

use super::{
    lock::LockedMbox,
    place::{Nonce, Place, nonce},
    scan::Digest,
};

/// Where the messages begin.
pub(super) const NOTE_OCTETS: u64 = 64;

const MAGIC: &[u8; 8] = b"rstmbox1";

/// How much is read or written at once.
pub(super) const PIECE_OCTETS: usize = 256 * 1024;

/// What is being appended where.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Note {
    pub(super) at: u64,
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Note {
    fn encode(self) -> Vec<u8> {
        let mut octets = MAGIC.to_vec();
        for number in [self.at, self.from, self.to] {
            octets.extend_from_slice(&number.to_le_bytes());
        }
        octets.extend_from_slice(&crc32fast::hash(&octets).to_le_bytes());
        octets
    }

    /// The note of a spool; `None` if there is none yet, or it is torn: then nothing was appended.
    pub(super) fn read(disk: &Disk, spool: &File) -> io::Result<Option<Self>> {
        let mut octets = [0; 36];
        let read = disk.read_at(spool, &mut octets, 0)?;
        Ok(octets.get(..read).and_then(Self::decode))
    }

    fn decode(octets: &[u8]) -> Option<Self> {
        let (body, check) = octets.split_at_checked(32)?;
        let (magic, numbers) = body.split_first_chunk::<8>()?;
        let number = |at: usize| {
            Some(u64::from_le_bytes(
                numbers.get(at..at + 8)?.try_into().ok()?,
            ))
        };
        let note = Self {
            at: number(0)?,
            from: number(8)?,
            to: number(16)?,
        };
        let valid = magic == MAGIC
            && crc32fast::hash(body).to_le_bytes() == check
            && NOTE_OCTETS <= note.from
            && note.from <= note.to;
        valid.then_some(note)
    }
}

/// Messages on their way to the mbox.
pub(super) struct Group {
    at: OwnedFd,
    pub(super) spool: File,
    pub(super) nonce: Nonce,
    /// How large the mbox was: what is appended comes behind it, unless the file is written anew.
    pub(super) mbox_octets: u64,
    /// Where the finished messages end.
    pub(super) end: u64,
    /// Where `buffer` belongs.
    position: u64,
    /// What is not written yet.
    pub(super) buffer: Vec<u8>,
    note: Option<Note>,
    pub(super) digests: Vec<Digest>,
}

impl Group {
    /// Makes the spool.
    pub(super) fn new(place: &Place) -> io::Result<Self> {
        let disk = &place.disk;
        let at = place.open()?;
        let mbox_octets = octets_of(disk, &at, place)?;
        let nonce = nonce()?;
        let name = place.name_of(&nonce);
        let spool = disk.create_new(&at, &name, 0o600)?;
        let prepared = disk
            .try_lock(&spool)
            .and_then(|_| (&spool).seek(SeekFrom::Start(NOTE_OCTETS)));
        if let Err(error) = prepared {
            let _ = disk.unlink(&at, &name);
            return Err(error);
        }
        Ok(Self {
            at,
            spool,
            nonce,
            mbox_octets,
            end: NOTE_OCTETS,
            position: NOTE_OCTETS,
            buffer: Vec::new(),
            note: None,
            digests: Vec::new(),
        })
    }

    /// Whether it is durable, with a note of where it goes.
    pub(super) fn is_prepared(&self) -> bool {
        self.note.is_some()
    }

    /// Writes what is in the buffer.
    pub(super) fn flush(&mut self, disk: &Disk) -> io::Result<()> {
        disk.write_all(&self.spool, &self.buffer)?;
        self.position += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// What was put in so far is a whole message.
    pub(super) fn close_message(&mut self, digest: Digest) {
        self.end = self.position + self.buffer.len() as u64;
        self.digests.push(digest);
    }

    /// Forgets what was put in behind the last whole message.
    pub(super) fn drop_message(&mut self) -> io::Result<()> {
        let kept = self.end.checked_sub(self.position);
        match kept.map(usize::try_from) {
            Some(Ok(kept)) => self.buffer.truncate(kept),
            _ => {
                self.buffer.clear();
                (&self.spool).seek(SeekFrom::Start(self.end))?;
                self.position = self.end;
            }
        }
        // A failed write may have left the file's own position anywhere.
        (&self.spool).seek(SeekFrom::Start(self.position))?;
        Ok(())
    }

    /// Makes the spool durable, with a note of where its messages will most likely go.
    pub(super) fn prepare(&mut self, place: &Place) -> io::Result<()> {
        let disk = &place.disk;
        self.flush(disk)?;
        // The mbox is not opened: closing it would free the record lock that another account of
        // this process may have.
        let at = octets_of(disk, &self.at, place)?;
        self.note_down(disk, at)?;
        disk.sync_directory(&self.at)
    }

    /// Makes durable that the messages are appended at `at`.
    fn note_down(&mut self, disk: &Disk, at: u64) -> io::Result<()> {
        let note = Note {
            at,
            from: NOTE_OCTETS,
            to: self.end,
        };
        if self.note == Some(note) {
            return Ok(());
        }
        self.note = None;
        (&self.spool).seek(SeekFrom::Start(0))?;
        disk.write_all(&self.spool, &note.encode())?;
        disk.sync_file(&self.spool)?;
        self.note = Some(note);
        Ok(())
    }

    /// Appends the messages to the mbox, all or none, and makes that durable.
    ///
    /// # Errors
    /// What failed; nothing was appended, or, if [`AppendError::torn`], a part may be there that
    /// could not be cut off: the spool stays, and [`mend`] has to do it.
    pub(super) fn append(
        &mut self,
        place: &Place,
        mbox: &LockedMbox<'_>,
    ) -> Result<(), AppendError> {
        let disk = &place.disk;
        let (at, separator) = end_of(disk, &mbox.file)?;
        self.note_down(disk, at)?;
        let before = at - separator.len() as u64;
        let appended = (|| {
            disk.write_all(&mbox.file, separator)?;
            copy(disk, &self.spool, NOTE_OCTETS..self.end, |piece| {
                disk.write_all(&mbox.file, piece)
            })?;
            mbox.refresh();
            disk.sync_file(&mbox.file)?;
            match mbox.new {
                true => disk.sync_directory(&mbox.at),
                false => Ok(()),
            }
        })();
        appended.map_err(|cause| {
            let cut = disk.truncate(&mbox.file, before);
            let torn = cut.and_then(|()| disk.sync_file(&mbox.file)).is_err();
            AppendError { cause, torn }
        })
    }

    /// Removes the spool.
    pub(super) fn remove(self, place: &Place) {
        // What remains is removed by the next run.
        let _ = place.disk.unlink(&self.at, &place.name_of(&self.nonce));
    }
}

/// Why nothing was appended.
pub(super) struct AppendError {
    pub(super) cause: io::Error,
    pub(super) torn: bool,
}

impl From<io::Error> for AppendError {
    fn from(cause: io::Error) -> Self {
        Self { cause, torn: false }
    }
}

/// How large the mbox is.
fn octets_of(disk: &Disk, at: &OwnedFd, place: &Place) -> io::Result<u64> {
    match disk.facts_at(at, &place.name) {
        Ok(facts) => Ok(facts.octets),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// Where the next message goes, and what must come before it: a From_ line is one only behind an
/// empty line, and another program may have left none.
fn end_of(disk: &Disk, mbox: &File) -> io::Result<(u64, &'static [u8])> {
    let octets = disk.facts(mbox)?.octets;
    let mut last = [b'\n'; 2];
    match octets {
        0 => {}
        1 => fill(disk, mbox, &mut last[1..], 0)?,
        _ => fill(disk, mbox, &mut last, octets - 2)?,
    }
    let separator: &[u8] = match last {
        [b'\n', b'\n'] => b"",
        [_, b'\n'] => b"\n",
        _ => b"\n\n",
    };
    Ok((octets + separator.len() as u64, separator))
}

/// Cuts the mbox behind the last whole message of the spool, if a part of the next is its end: a
/// process died, or the machine, while it wrote. Whole messages stay, and what another program has
/// written behind a part of one is never touched.
pub(super) fn mend(
    disk: &Disk,
    mbox: &LockedMbox<'_>,
    spool: &File,
    note: &Note,
) -> io::Result<()> {
    let octets = disk.facts(&mbox.file)?.octets;
    let there = octets.saturating_sub(note.at);
    if there == 0 || there > note.to - note.from {
        return Ok(());
    }
    let mut at = note.at;
    let mut same = None;
    let mut foreign = false;
    let mut theirs = Vec::new();
    copy(disk, spool, note.from..note.from + there, |ours| {
        theirs.resize(ours.len(), 0);
        fill(disk, &mbox.file, &mut theirs, at)?;
        for (our, their) in ours.iter().zip(&theirs) {
            if our != their {
                same.get_or_insert(at - note.at);
                // After a power failure a file may have its new size and not its new octets.
                foreign |= *their != 0;
            }
            at += 1;
        }
        Ok(())
    })?;
    let whole = note.at + last_boundary(disk, spool, note, same.unwrap_or(there))?;
    if !foreign && whole < octets {
        disk.truncate(&mbox.file, whole)?;
        disk.sync_file(&mbox.file)?;
    }
    Ok(())
}

/// Where the last message begins, or the last one ends, within the first `octets` of the range.
/// Only a message of ours begins so: in all others lines the word is quoted.
fn last_boundary(disk: &Disk, spool: &File, note: &Note, octets: u64) -> io::Result<u64> {
    const START: &[u8] = b"\nFrom ";
    if octets == note.to - note.from {
        return Ok(octets);
    }
    let mut last = 0;
    let mut window = Vec::new();
    let mut at = 0;
    let end = note.to.min(note.from + octets + START.len() as u64);
    copy(disk, spool, note.from..end, |piece| {
        window.extend_from_slice(piece);
        for found in memmem::find_iter(&window, START) {
            let start = at + found as u64 + 1;
            if start <= octets {
                last = start;
            }
        }
        let passed = window.len().saturating_sub(START.len() - 1);
        window.drain(..passed);
        at += passed as u64;
        Ok(())
    })?;
    Ok(last)
}

/// Gives the octets of a range in pieces.
///
/// # Errors
/// Those of reading and of `piece`; `UnexpectedEof` if the file is shorter.
pub(super) fn copy(
    disk: &Disk,
    file: &File,
    range: std::ops::Range<u64>,
    mut piece: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut room = vec![0; PIECE_OCTETS];
    let mut at = range.start;
    while at < range.end {
        let most = usize::try_from(range.end - at).unwrap_or(usize::MAX);
        let most = most.min(room.len());
        let room = room.get_mut(..most).unwrap_or_default();
        let read = disk.read_at(file, room, at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        at += read as u64;
        piece(room.get(..read).unwrap_or_default())?;
    }
    Ok(())
}

fn fill(disk: &Disk, file: &File, room: &mut [u8], at: u64) -> io::Result<()> {
    let mut filled = 0;
    while let Some(rest) = room.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let read = disk.read_at(file, rest, at + filled as u64)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
    }
    Ok(())
}
