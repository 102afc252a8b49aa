//! The messages of a mailbox whole, read without a session: to find out which of them another
//! server means.

use std::{collections::HashSet, io, sync::Arc};

use super::{
    compressed::Unpacker, layout::Mailbox, measure::packing_of, survey, unique_ids::Listed,
    unique_ids::UniqueIds,
};

/// What is known of a message before it is read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeldMessage {
    /// Its file's base name.
    pub base: Vec<u8>,
    /// What a session would list; `None` where that is only settled when one is opened.
    pub unique_id: Option<Vec<u8>>,
}

/// Gives every message to `each`. Blocks.
///
/// # Errors
/// Those of reading and of `each`.
pub(crate) fn read_all(
    mailbox: &Mailbox,
    each: &mut dyn FnMut(HeldMessage, &mut dyn io::Read) -> io::Result<()>,
) -> io::Result<()> {
    let columns = survey::scan(mailbox)?;
    let ids = UniqueIds::peek(mailbox)?;
    let listed = (0..columns.len()).map(|index| Listed {
        name: columns.name(index),
        inode: columns.stored(index).inode,
        known: true,
    });
    let unsettled: HashSet<usize> = ids.unsettled_rows(listed);
    let disk = mailbox.disk();
    for (index, row) in columns.rows().enumerate() {
        let unique_id = ids.of(row.name, row.stored.inode);
        let held = HeldMessage {
            base: row.name.base().to_vec(),
            unique_id: (!unsettled.contains(&index)).then_some(unique_id),
        };
        let file = Arc::new(disk.open_read(mailbox.folder(row.folder), row.name.as_bytes())?);
        let packing = packing_of(disk, &file, row.stored.octets)?;
        let unpacker = Unpacker::new(disk, file, row.stored.octets, packing)?;
        each(held, &mut Unpacked(unpacker))?;
    }
    Ok(())
}

struct Unpacked(Unpacker);

impl io::Read for Unpacked {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.read(room)
    }
}
