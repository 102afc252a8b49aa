//! Messages that Dovecot has compressed: recognised by their first octets, as Dovecot does, and
//! read as a stream, so that what unpacks to very much costs time but no memory.
//!
//! No message begins like that: a header begins with a printable character. The `Z` that some
//! scripts put among a file's flags is not looked at, because others do without it.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    sync::Arc,
};

use flate2::bufread::MultiGzDecoder;

use super::columns::{Packing, UNPACKED_OCTETS_MAX};
use crate::disk::Disk;

const GZIP: &[u8] = &[0x1F, 0x8B];
const ZSTD: &[u8] = &[0x28, 0xB5, 0x2F, 0xFD];
/// So many octets decide.
pub(crate) const MAGIC_OCTETS: usize = 4;
/// 8 MiB: what RFC 8878 asks of every decoder, and what levels up to 19 need. A frame that wants
/// more is refused before any of it is allocated.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
const INPUT_OCTETS: usize = 64 * 1024;

/// How a file that begins with `first` is packed, as far as that shows.
pub(crate) fn packing(first: &[u8]) -> Packing {
    if first.starts_with(GZIP) {
        Packing::Gzip
    } else if first.starts_with(ZSTD) {
        Packing::Zstd
    } else {
        Packing::Plain
    }
}

/// Reads the octets that a file's octets stand for. It owns a share of the file and moves no
/// position.
pub(crate) struct Unpacker {
    source: Source,
    given: u64,
}

enum Source {
    Plain(FileReader),
    Gzip(Box<MultiGzDecoder<BufReader<FileReader>>>),
    Zstd(Box<zstd::Decoder<'static, BufReader<FileReader>>>),
}

/// Reads a file from its beginning to the end it had when it was opened.
struct FileReader {
    disk: Disk,
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Unpacker {
    /// Begins to read a file of `octets`.
    ///
    /// # Errors
    /// If there is no memory for the decoder.
    pub(crate) fn new(
        disk: &Disk,
        file: Arc<File>,
        octets: u64,
        packing: Packing,
    ) -> io::Result<Self> {
        let reader = FileReader {
            disk: disk.clone(),
            file,
            at: 0,
            end: octets,
        };
        let buffered = |reader| BufReader::with_capacity(INPUT_OCTETS, reader);
        let source = match packing {
            Packing::Plain => Source::Plain(reader),
            Packing::Gzip => Source::Gzip(Box::new(MultiGzDecoder::new(buffered(reader)))),
            Packing::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(buffered(reader))?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Source::Zstd(Box::new(decoder))
            }
        };
        Ok(Self { source, given: 0 })
    }

    /// Fills `room` as far as there is something left; fewer octets only at the end. Blocks.
    ///
    /// # Errors
    /// Those of reading; if it was not packed right, is cut off, or unpacks to more than any
    /// message has.
    pub(crate) fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = room.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let count = match &mut self.source {
                Source::Plain(reader) => reader.read(rest)?,
                Source::Gzip(decoder) => decoder.read(rest)?,
                Source::Zstd(decoder) => decoder.read(rest)?,
            };
            if count == 0 {
                break;
            }
            filled += count;
        }
        self.given += filled as u64;
        let packed = !matches!(self.source, Source::Plain(_));
        if packed && self.given > UNPACKED_OCTETS_MAX {
            return Err(io::Error::other("it unpacks to more than any message has"));
        }
        Ok(filled)
    }
}

impl Read for FileReader {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let wanted = room.len().min(left);
        let Some(room) = room.get_mut(..wanted).filter(|room| !room.is_empty()) else {
            return Ok(0);
        };
        let count = self.disk.read_at(&self.file, room, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
