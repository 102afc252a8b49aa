//! `maildirsize`: Maildir++'s account of what a mailbox holds, kept for the programs that enforce
//! a quota by it (MDIR-STORE-6).
//!
//! ```text
//! 1000000000S,100000C        the quota, as whoever enforces it has defined it
//! 52428800 1200              octets and messages, to be summed up
//! 4711 1                     a delivery
//! -4711 -1                   a removal
//! ```
//!
//! Where there is none, none is made. It is an account, not the mail: failing to keep it is logged
//! and fails nothing else.

use std::{
    fs::File,
    io,
    ops::ControlFlow,
    os::fd::{AsFd, OwnedFd},
};

use super::{layout::Mailbox, name::FileName, unique_name};
use crate::{Clock, disk::Disk};

const FILE: &[u8] = b"maildirsize";
/// From here on the file is to be calculated afresh.
const OCTETS_MAX: u64 = 5120;
/// Not counted, by convention.
pub(super) const TRASH: &[u8] = b".Trash";
const DEFINITION_OCTETS_MAX: usize = 4096;

/// What came into the mailbox or left it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Change {
    octets: i64,
    messages: i64,
}

impl Change {
    /// Counts a message that came.
    pub(crate) fn add(&mut self, name: FileName<'_>, stored_octets: u64) {
        self.count(name, stored_octets, 1);
    }

    /// Counts a message that left.
    pub(crate) fn subtract(&mut self, name: FileName<'_>, stored_octets: u64) {
        self.count(name, stored_octets, -1);
    }

    fn count(&mut self, name: FileName<'_>, stored_octets: u64, sign: i64) {
        if name.flags().contains(&b'T') {
            return;
        }
        let octets = name.stored_octets().unwrap_or(stored_octets);
        let octets = i64::try_from(octets).unwrap_or(i64::MAX);
        self.octets = self.octets.saturating_add(octets.saturating_mul(sign));
        self.messages = self.messages.saturating_add(sign);
    }
}

/// Enters a change that has already happened, if the mailbox has an account.
pub(crate) fn enter(mailbox: &Mailbox, clock: &Clock, change: Change) {
    if change == Change::default() {
        return;
    }
    if let Err(error) = try_enter(mailbox, clock, change) {
        tracing::warn!(
            mailbox = %mailbox.path().display(),
            %error,
            "maildirsize not updated: the quota is wrong until it is calculated afresh"
        );
    }
}

fn try_enter(mailbox: &Mailbox, clock: &Clock, change: Change) -> io::Result<()> {
    let disk = mailbox.disk();
    let file = match disk.open_existing(mailbox.root(), FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    if disk.facts(&file)?.octets >= OCTETS_MAX {
        return recalculate(mailbox, clock, &file);
    }
    let line = format!("{} {}\n", change.octets, change.messages);
    disk.write_all(&file, line.as_bytes())
}

/// Sums up all folders and replaces the file, unless something changed meanwhile.
fn recalculate(mailbox: &Mailbox, clock: &Clock, old: &File) -> io::Result<()> {
    let disk = mailbox.disk();
    let Some(definition) = definition(disk, old)? else {
        return Ok(());
    };
    let directories = directories(mailbox)?;
    let before = times(disk, &directories)?;
    let mut sum = Change::default();
    for directory in &directories {
        sum_up(disk, directory, &mut sum)?;
    }
    let tmp = mailbox.tmp()?;
    let name = unique_name::for_arrival(clock, "maildirsize")?;
    let file = mailbox.create_new(tmp, &name)?;
    let text = [
        &definition,
        format!("{} {}\n", sum.octets, sum.messages).as_bytes(),
    ]
    .concat();
    let replaced = disk
        .write_all(&file, &text)
        .and_then(|()| disk.sync_file(&file))
        .and_then(|()| disk.rename_replace(tmp, &name, mailbox.root(), FILE));
    if let Err(error) = replaced {
        let _ = disk.unlink(tmp, &name);
        return Err(error);
    }
    // A message that came or left while we counted is in nobody's sum: whoever enforces the quota
    // counts afresh when the file is missing.
    if times(disk, &directories)? != before {
        disk.unlink(mailbox.root(), FILE)?;
    }
    Ok(())
}

/// The first line, with its end; `None` if it is not as expected.
fn definition(disk: &Disk, file: &File) -> io::Result<Option<Vec<u8>>> {
    let mut room = vec![0; DEFINITION_OCTETS_MAX];
    let count = disk.read_at(file, &mut room, 0)?;
    room.truncate(count);
    let Some(end) = room.iter().position(|&octet| octet == b'\n') else {
        return Ok(None);
    };
    room.truncate(end + 1);
    Ok(Some(room))
}

/// `new/` and `cur/` of the mailbox and of all its folders but the trash.
fn directories(mailbox: &Mailbox) -> io::Result<Vec<OwnedFd>> {
    let disk = mailbox.disk();
    let mut folders = vec![mailbox.root().try_clone_to_owned()?];
    let mut names = Vec::new();
    disk.read_directory(mailbox.root(), |name, _| {
        if name.starts_with(b".") && name != TRASH {
            names.push(name.to_vec());
        }
        ControlFlow::Continue(())
    })?;
    for name in names {
        // What is no directory is no folder.
        folders.extend(disk.open_directory(mailbox.root(), &name).ok());
    }
    let mut directories = Vec::new();
    for folder in &folders {
        directories.extend(disk.open_directory(folder, b"new").ok());
        directories.extend(disk.open_directory(folder, b"cur").ok());
    }
    Ok(directories)
}

fn times(disk: &Disk, directories: &[OwnedFd]) -> io::Result<Vec<i64>> {
    let time = |directory: &OwnedFd| Ok(disk.facts(directory)?.modified);
    directories.iter().map(time).collect()
}

fn sum_up(disk: &Disk, directory: &OwnedFd, sum: &mut Change) -> io::Result<()> {
    let mut unknown = Vec::new();
    disk.read_directory(directory, |name, _| {
        if let Some(message) = FileName::new(name) {
            match message.stored_octets() {
                Some(octets) => sum.add(message, octets),
                None => unknown.push(name.to_vec()),
            }
        }
        ControlFlow::Continue(())
    })?;
    for name in unknown {
        let message = FileName::new(&name);
        if let (Some(message), Ok(facts)) = (message, disk.facts_at(directory.as_fd(), &name)) {
            sum.add(message, facts.octets);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
