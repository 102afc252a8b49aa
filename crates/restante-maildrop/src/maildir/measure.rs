//! Reading a message to learn its size on the wire, its form, and how it is packed.

use std::{fs::File, io, sync::Arc};

use restante_proto::WireCounter;

use super::{
    columns::{Measurement, Packing},
    compressed::{self, MAGIC_OCTETS, Unpacker},
};
use crate::{
    Tag,
    disk::Disk,
    tagging::{HEADER_OCTETS_MAX, Insertion},
};

const BLOCK_OCTETS: usize = 256 * 1024;

/// Measures the message in a file of `octets`, as it goes out with `tag`. Blocks, with bounded
/// memory.
///
/// # Errors
/// Those of reading; `UnexpectedEof` if the file is shorter; if it is packed, and not right.
pub(crate) fn measure(
    disk: &Disk,
    file: &Arc<File>,
    octets: u64,
    tag: Option<&Tag>,
) -> io::Result<Measurement> {
    let packing = packing_of(disk, file, octets)?;
    let mut unpacker = Unpacker::new(disk, Arc::clone(file), octets, packing)?;
    let mut counter = WireCounter::new();
    let mut stored = 0;
    if let Some(tag) = tag {
        let start = read_start(&mut unpacker)?;
        count_tagged(&mut counter, &start, tag);
        stored += start.len() as u64;
    }
    let mut room = vec![
        0;
        BLOCK_OCTETS
            .min(usize::try_from(octets).unwrap_or(BLOCK_OCTETS))
            .max(1)
    ];
    loop {
        let count = unpacker.read(&mut room)?;
        counter.update(room.get(..count).unwrap_or_default());
        stored += count as u64;
        if count < room.len() {
            break;
        }
    }
    if packing == Packing::Plain && stored != octets {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(measurement(counter, packing))
}

/// Measures a plain message that was read already, as it goes out with `tag`.
pub(crate) fn measure_octets(octets: &[u8], tag: Option<&Tag>) -> Measurement {
    let mut counter = WireCounter::new();
    match tag {
        Some(tag) => count_tagged(&mut counter, octets, tag),
        None => counter.update(octets),
    }
    measurement(counter, Packing::Plain)
}

/// The octets by which it is decided where a tag goes.
///
/// # Errors
/// Those of reading.
pub(crate) fn read_start(unpacker: &mut Unpacker) -> io::Result<Vec<u8>> {
    let mut start = vec![0; HEADER_OCTETS_MAX];
    let count = unpacker.read(&mut start)?;
    start.truncate(count);
    Ok(start)
}

/// Counts the first octets of a message, and what is put into them.
fn count_tagged(counter: &mut WireCounter, start: &[u8], tag: &Tag) {
    let Some(insertion) = Insertion::of(tag, start) else {
        return counter.update(start);
    };
    let (before, after) = start.split_at(insertion.at);
    for part in [before, &insertion.text, after] {
        counter.update(part);
    }
}

/// Whether a message that begins so may be packed.
pub(crate) fn may_be_packed(content: &[u8]) -> bool {
    compressed::packing(content) != Packing::Plain
}

/// How the file is packed: as its first octets say, if it unpacks at all.
pub(super) fn packing_of(disk: &Disk, file: &Arc<File>, octets: u64) -> io::Result<Packing> {
    let mut first = [0; MAGIC_OCTETS];
    let count = disk.read_at(file, &mut first, 0)?;
    let packing = compressed::packing(first.get(..count).unwrap_or_default());
    if packing == Packing::Plain {
        return Ok(packing);
    }
    let mut unpacker = Unpacker::new(disk, Arc::clone(file), octets, packing)?;
    match unpacker.read(&mut [0]) {
        Ok(_) => Ok(packing),
        // The disk's failure says nothing of what is on it.
        Err(error) if error.raw_os_error().is_some() => Err(error),
        // Something else that begins so: it is served as it is.
        Err(_) => Ok(Packing::Plain),
    }
}

fn measurement(counter: WireCounter, packing: Packing) -> Measurement {
    let measured = counter.finish();
    Measurement {
        octets: measured.octets,
        form: measured.form,
        packing,
    }
}
