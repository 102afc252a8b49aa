//! Reading a message to learn its size on the wire, its form, and how it is packed.

use std::{fs::File, io, sync::Arc};

use restante_proto::WireCounter;

use super::{
    columns::{Measurement, Packing},
    compressed::{self, MAGIC_OCTETS, Unpacker},
};
use crate::disk::Disk;

const BLOCK_OCTETS: usize = 256 * 1024;

/// Measures the message in a file of `octets`. Blocks, with bounded memory.
///
/// # Errors
/// Those of reading; `UnexpectedEof` if the file is shorter; if it is packed, and not right.
pub(crate) fn measure(disk: &Disk, file: &Arc<File>, octets: u64) -> io::Result<Measurement> {
    let packing = packing_of(disk, file, octets)?;
    let mut unpacker = Unpacker::new(disk, Arc::clone(file), octets, packing)?;
    let mut counter = WireCounter::new();
    let mut room = vec![
        0;
        BLOCK_OCTETS
            .min(usize::try_from(octets).unwrap_or(BLOCK_OCTETS))
            .max(1)
    ];
    let mut stored = 0;
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

/// Measures a plain message that was read already.
pub(crate) fn measure_octets(octets: &[u8]) -> Measurement {
    let mut counter = WireCounter::new();
    counter.update(octets);
    measurement(counter, Packing::Plain)
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
