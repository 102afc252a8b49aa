//! Reading a body piece by piece.

use std::{fs::File, future::poll_fn, io, ops::Range, sync::Arc};

use bytes::{Buf, Bytes};

use super::{Body, Chunks, Rest};
use crate::{ReadError, disk::Disk};

/// At most so much is read at a time.
const PIECE_OCTETS: usize = 64 * 1024;

/// Gives a body's octets in order.
///
/// What the page cache holds is read where the caller stands; what must come from the disk is
/// read by a blocking thread. A file that changes while it is read ends with an error, however
/// much of it had been given: the client must not take it for whole.
pub struct BodyReader {
    head: Bytes,
    source: Source,
}

enum Source {
    File(FileSource),
    Bytes(Bytes),
    Chunks { chunks: Chunks, current: Bytes },
}

struct FileSource {
    disk: Disk,
    file: Arc<File>,
    range: Range<u64>,
    /// Size and time of the file before its first octet was read.
    before: Option<(u64, i64)>,
}

impl BodyReader {
    pub(super) fn new(body: Body) -> Self {
        let source = match body.rest {
            Rest::File { file, range, disk } => Source::File(FileSource {
                disk,
                file,
                range,
                before: None,
            }),
            Rest::Bytes(octets) => Source::Bytes(octets),
            Rest::Chunks(chunks) => Source::Chunks {
                chunks,
                current: Bytes::new(),
            },
        };
        Self {
            head: body.head.unwrap_or_default(),
            source,
        }
    }

    /// Appends the next octets, at most 64 KiB, to `buffer` and returns how many; 0 at the end.
    ///
    /// # Errors
    /// [`ReadError::Changed`] when the message is not what was opened any more, those of reading;
    /// the message must not be ended then as if it were whole (PRJ-ML-8).
    pub async fn next(&mut self, buffer: &mut Vec<u8>) -> Result<usize, ReadError> {
        if !self.head.is_empty() {
            return Ok(append(&mut self.head, buffer));
        }
        match &mut self.source {
            Source::File(source) => source.next(buffer).await,
            Source::Bytes(octets) => Ok(append(octets, buffer)),
            Source::Chunks { chunks, current } => {
                while current.is_empty() {
                    match poll_fn(|context| chunks.as_mut().poll_next(context)).await {
                        Some(chunk) => *current = chunk?,
                        None => return Ok(0),
                    }
                }
                Ok(append(current, buffer))
            }
        }
    }
}

/// Moves octets from the front of one to the end of the other.
fn append(from: &mut Bytes, buffer: &mut Vec<u8>) -> usize {
    let count = from.len().min(PIECE_OCTETS);
    buffer.extend_from_slice(from.get(..count).unwrap_or_default());
    from.advance(count);
    count
}

impl FileSource {
    async fn next(&mut self, buffer: &mut Vec<u8>) -> Result<usize, ReadError> {
        if self.before.is_none() {
            self.before = Some(self.facts()?);
        }
        let left = self.range.end.saturating_sub(self.range.start);
        let wanted = PIECE_OCTETS.min(usize::try_from(left).unwrap_or(PIECE_OCTETS));
        if wanted == 0 {
            // Written to meanwhile, even if it is as long as before.
            return match self.before == Some(self.facts()?) {
                true => Ok(0),
                false => Err(ReadError::Changed),
            };
        }
        let filled = buffer.len();
        buffer.resize(filled + wanted, 0);
        let read = self
            .read(buffer.get_mut(filled..).unwrap_or_default())
            .await;
        let count = *read.as_ref().unwrap_or(&0);
        buffer.truncate(filled + count);
        match read.map_err(ReadError::Temporary)? {
            // The file was longer when it was opened.
            0 => Err(ReadError::Changed),
            count => {
                self.range.start += count as u64;
                Ok(count)
            }
        }
    }

    /// Size and time: what writing changes.
    fn facts(&self) -> Result<(u64, i64), ReadError> {
        let facts = self.disk.facts(&self.file).map_err(ReadError::Temporary)?;
        Ok((facts.octets, facts.modified))
    }

    async fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let at = self.range.start;
        if let Some(count) = self.disk.read_at_once(&self.file, room, at)? {
            return Ok(count);
        }
        let (disk, file, wanted) = (self.disk.clone(), Arc::clone(&self.file), room.len());
        let read = tokio::task::spawn_blocking(move || {
            let mut octets = vec![0; wanted];
            let count = disk.read_at(&file, &mut octets, at)?;
            octets.truncate(count);
            io::Result::Ok(octets)
        });
        let octets = read.await.map_err(io::Error::other)??;
        // Copied once more; but these octets have come from a disk.
        room.get_mut(..octets.len())
            .unwrap_or_default()
            .copy_from_slice(&octets);
        Ok(octets.len())
    }
}

#[cfg(test)]
mod tests;
