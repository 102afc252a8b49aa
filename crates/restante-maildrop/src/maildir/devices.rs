//! The devices of a mailbox, from the operator's side, under the mailbox lock.

use std::{io, sync::Arc};

use super::{
    contents::arrived,
    edit,
    layout::Mailbox,
    name::FileName,
    unique_ids::{UniqueIds, by_rule, stem},
    view_log::ViewLog,
};
use crate::{Access, Clock, EditError, KnownDevice, Show, ViewName, views::Event};

/// The devices that have a view of the mailbox. Blocks.
///
/// # Errors
/// Those of reading.
pub(super) fn list(mailbox: &Mailbox, clock: &Clock) -> io::Result<Vec<KnownDevice>> {
    let log = ViewLog::look(mailbox, clock, &Arc::default())?;
    Ok(log.views().known_devices())
}

/// What is noted of the views, if they include the device. The caller holds the mailbox lock.
///
/// # Errors
/// [`EditError::Refused`] if they do not.
pub(super) fn known(
    mailbox: &Mailbox,
    clock: &Clock,
    device: &ViewName,
) -> Result<Arc<ViewLog>, EditError> {
    let log = ViewLog::read(mailbox, clock, &Arc::default());
    let log = log.map_err(EditError::Temporary)?;
    match log.views().device(device) {
        Some(_) => Ok(log),
        None => Err(EditError::Refused(format!(
            "the mailbox knows no device `{}`",
            device.as_str()
        ))),
    }
}

/// Adds the device; what it is not to see is hidden from it, message by message, so that no clock
/// decides about it later. Returns how many messages that are.
///
/// # Errors
/// [`EditError::Refused`] if there are too many, or it is called as the view that all share.
pub(super) fn add(
    mailbox: &Mailbox,
    clock: &Clock,
    device: &ViewName,
    (show, access): (Show, Access),
) -> Result<usize, EditError> {
    if *device == ViewName::shared() {
        let why = "no device can be called as the view that all share";
        return Err(EditError::Refused(why.to_owned()));
    }
    let log = ViewLog::read(mailbox, clock, &Arc::default()).map_err(EditError::Temporary)?;
    let room = log.views().room(device);
    room.map_err(|error| EditError::Refused(error.to_string()))?;
    let now = clock.now().as_secs();
    let hidden = match show {
        Show::All => Vec::new(),
        Show::Last(time) => {
            ids(mailbox, now.saturating_sub(time.as_secs())).map_err(EditError::Temporary)?
        }
        Show::New => ids(mailbox, u64::MAX).map_err(EditError::Temporary)?,
    };
    let count = hidden.len();
    let mut events = vec![Event::Added(device.clone(), now)];
    if access != Access::Full {
        events.push(Event::Access(device.clone(), access));
    }
    if count > 0 {
        events.push(Event::Skipped(device.clone(), hidden));
    }
    log.append(mailbox, &events).map_err(EditError::Temporary)?;
    Ok(count)
}

/// Lets the device begin anew. Returns how many messages it sees.
///
/// # Errors
/// Those of reading and writing.
pub(super) fn reset(
    mailbox: &Mailbox,
    clock: &Clock,
    log: &ViewLog,
    device: &ViewName,
) -> io::Result<usize> {
    let count = edit::messages(mailbox)?.len();
    log.append(
        mailbox,
        &[Event::Reset(device.clone(), clock.now().as_secs())],
    )?;
    Ok(count)
}

/// Takes the device's view away.
///
/// # Errors
/// Those of writing.
pub(super) fn remove(
    mailbox: &Mailbox,
    clock: &Clock,
    log: &ViewLog,
    device: &ViewName,
) -> io::Result<usize> {
    log.append(
        mailbox,
        &[Event::Removed(device.clone(), clock.now().as_secs())],
    )?;
    Ok(0)
}

/// The unique-ids of the messages that arrived before a moment.
fn ids(mailbox: &Mailbox, arrived_before: u64) -> io::Result<Vec<Vec<u8>>> {
    let ids = UniqueIds::read(mailbox)?;
    let messages = edit::messages(mailbox)?;
    let found = messages.iter().filter_map(|(_, name, facts)| {
        let name = FileName::new(name)?;
        (arrived(name, facts.modified) < arrived_before).then(|| ids.of(name, facts.inode))
    });
    let mut found: Vec<_> = found.collect();
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Hides messages that are about to be put back from all devices but one. Their files' names are
/// new: nobody has had their unique-ids. The caller holds the mailbox lock.
///
/// # Errors
/// Those of reading and writing.
pub(super) fn hide_from_others<'f>(
    mailbox: &Mailbox,
    clock: &Clock,
    only: &ViewName,
    files: impl Iterator<Item = &'f [u8]>,
) -> io::Result<()> {
    let ids: Vec<Vec<u8>> = files
        .filter_map(FileName::new)
        .map(|name| by_rule(stem(name)))
        .collect();
    let log = ViewLog::read(mailbox, clock, &Arc::default())?;
    let others = log.views().devices().iter().filter(|one| one.name != *only);
    let events: Vec<Event> = others
        .map(|device| Event::Skipped(device.name.clone(), ids.clone()))
        .collect();
    if !ids.is_empty() && !events.is_empty() {
        log.append(mailbox, &events)?;
    }
    Ok(())
}
