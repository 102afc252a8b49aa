//! What a process that died has left: messages of which nobody knows, and spools.

use std::{fs::File, io, ops::ControlFlow};

use restante_maildrop::disk::Disk;

use crate::{DestinationError, Recovered};

use super::{
    group::{Group, Note, copy, mend},
    lock::LockedMbox,
    place::Place,
    scan::{Digest, Scanner},
    ticket::MboxTicket,
};

/// How many spools of dead processes are removed at once; there are a few at most.
const SPOOLS_MAX: usize = 1000;

/// Looks whether the message is in the mbox, and appends it from the spool if it is not.
pub(super) fn recover(place: &Place, ticket: &MboxTicket) -> Result<Recovered, DestinationError> {
    let mbox = LockedMbox::lock(place).map_err(|error| place.not_locked(error))?;
    resolve(place, &mbox, ticket).map_err(|cause| place.failed(cause))
}

fn resolve(place: &Place, mbox: &LockedMbox<'_>, ticket: &MboxTicket) -> io::Result<Recovered> {
    let disk = &place.disk;
    let spool = match disk.open_read(&mbox.at, &place.name_of(&ticket.nonce)) {
        Ok(spool) => Some(spool),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if let Some(spool) = &spool
        && let Some(note) = Note::read(disk, spool)?
    {
        mend(disk, mbox, spool, &note)?;
    }
    if is_there(disk, &mbox.file, ticket)? {
        // It may have been written and not been made durable.
        disk.sync_file(&mbox.file)?;
        disk.sync_directory(&mbox.at)?;
        return Ok(Recovered::Arrived);
    }
    let Some(spool) = spool else {
        return Ok(Recovered::Lost);
    };
    append_again(place, mbox, &spool, ticket)
}

/// Whether the message is in the mbox: behind what was there before, or, if the file was written
/// anew, anywhere.
fn is_there(disk: &Disk, mbox: &File, ticket: &MboxTicket) -> io::Result<bool> {
    let octets = disk.facts(mbox)?.octets;
    for from in [ticket.mbox_octets.min(octets), 0] {
        let mut copies = 0;
        let mut scanner = Scanner::new();
        let mut count = |digest: Digest| copies += u32::from(digest == ticket.digest);
        copy(disk, mbox, from..octets, |piece| {
            scanner.write(piece, &mut count);
            Ok(())
        })?;
        scanner.finish(&mut count);
        if copies >= ticket.copies {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Appends the message by way of a spool of its own, so that another crash finds a note of it.
fn append_again(
    place: &Place,
    mbox: &LockedMbox<'_>,
    spool: &File,
    ticket: &MboxTicket,
) -> io::Result<Recovered> {
    let disk = &place.disk;
    let end = ticket.from + ticket.octets;
    if disk.facts(spool)?.octets < end {
        return Ok(Recovered::Lost);
    }
    let mut group = Group::new(place)?;
    let appended = (|| {
        let mut scanner = Scanner::new();
        let mut digest = Digest::default();
        copy(disk, spool, ticket.from..end, |piece| {
            scanner.write(piece, |found| digest = found);
            group.buffer.extend_from_slice(piece);
            group.flush(disk)
        })?;
        scanner.finish(|found| digest = found);
        if digest != ticket.digest {
            return Ok(Recovered::Lost);
        }
        group.close_message(digest);
        disk.sync_directory(&mbox.at)?;
        match group.append(place, mbox) {
            Ok(()) => Ok(Recovered::Arrived),
            Err(failed) => Err(failed.cause),
        }
    })();
    // A torn end that could not be cut off is met again with the note in the spool.
    if appended.is_ok() {
        group.remove(place);
    }
    appended
}

/// Removes what earlier processes have left beside the mbox for this account, after the last ticket
/// was recovered, and cuts off a torn end that they have left in it.
pub(super) fn tidy(place: &Place) -> Result<(), DestinationError> {
    let left = left_behind(place).map_err(|cause| place.failed(cause))?;
    if left.is_empty() {
        return Ok(());
    }
    let mbox = LockedMbox::lock(place).map_err(|error| place.not_locked(error))?;
    let removed: io::Result<()> = left.iter().try_for_each(|name| remove(place, &mbox, name));
    removed.map_err(|cause| place.failed(cause))
}

fn left_behind(place: &Place) -> io::Result<Vec<Vec<u8>>> {
    let prefix = place.prefix();
    let mut names = Vec::new();
    place.disk.read_directory(place.open()?, |name, _| {
        if name.starts_with(&prefix) {
            names.push(name.to_vec());
        }
        match names.len() < SPOOLS_MAX {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    })?;
    Ok(names)
}

fn remove(place: &Place, mbox: &LockedMbox<'_>, name: &[u8]) -> io::Result<()> {
    let disk = &place.disk;
    let spool = match disk.open_read(&mbox.at, name) {
        Ok(spool) => spool,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !disk.try_lock(&spool)? {
        // Its process lives.
        return Ok(());
    }
    if let Some(note) = Note::read(disk, &spool)? {
        mend(disk, mbox, &spool, &note)?;
    }
    disk.unlink(&mbox.at, name)
}
