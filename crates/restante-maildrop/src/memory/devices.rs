//! What the views of a mailbox do here: the same events as in a file, applied at once.

use super::{
    AUTHOR, edited,
    mailbox::{Listing, Mailbox, Resting},
};
use crate::{
    Access, ChangeKind, DeleteMode, Edit, EditError, FolderName, OpenError, Policy, Show,
    ShownFolder, ShownFolders, Shows, View, ViewName, views::Event,
};

/// Lets a view look at the mailbox. Returns whether the mailbox knew the device, and the listing.
pub(super) fn enter(
    mailbox: &mut Mailbox,
    view: &View,
    resting: Resting,
) -> Result<(bool, Listing), OpenError> {
    let invalid = |why: &'static str| {
        OpenError::Permanent(std::io::Error::new(std::io::ErrorKind::InvalidData, why))
    };
    let (name, policy, now) = (&view.name, view.policy, resting.now);
    if *name == ViewName::shared() && policy.delete == DeleteMode::PerDevice {
        return Err(invalid(
            "no device can be called as the view that all share",
        ));
    }
    for note in notes(mailbox, view, now) {
        if !mailbox.views.apply(&note) {
            return Err(invalid("too many devices"));
        }
    }
    mailbox.settle((policy, &view.shows), (Some(name), None), resting);
    let eye = mailbox.views.eye(name, policy.delete);
    let known = mailbox.views.device(name).is_some();
    let from = view
        .shows
        .last
        .map(|last| now.saturating_sub(last.as_secs()));
    let listing = mailbox.listing(eye, &view.shows, from.unwrap_or_default());
    Ok((known, listing))
}

fn notes(mailbox: &Mailbox, view: &View, now: u64) -> Vec<Event> {
    let View {
        name,
        policy,
        access,
        shows,
        ..
    } = view;
    let seat = (name, *access);
    let shown = |only: &FolderName| shows.folders.as_slice().iter().any(|one| one.name == *only);
    let mut notes = match &shows.only {
        Some(only) if only.is_inbox() || shown(only) => mailbox.views.notes(seat, *policy, now),
        Some(only) if mailbox.has_folder(only) => {
            mailbox.views.notes_of_folder(seat, *policy, only, now)
        }
        Some(_) => Vec::new(),
        None => mailbox.views.notes(seat, *policy, now),
    };
    notes.extend(mailbox.views.shown_note(&shows.folders));
    notes
}

/// What the account shows, as far as a session has shown it.
fn shown(mailbox: &Mailbox, folders: &ShownFolders) -> Shows {
    let shown = mailbox.views.shown();
    let folders = folders.as_slice().iter();
    let folders = folders.filter(|one| shown.contains(&one.name)).cloned();
    showing(folders.collect())
}

/// What sessions have shown.
fn recorded(mailbox: &Mailbox) -> Shows {
    let names = mailbox.views.shown().iter().cloned();
    showing(names.map(|name| ShownFolder { name, tag: None }).collect())
}

fn showing(folders: Vec<ShownFolder>) -> Shows {
    Shows {
        folders: ShownFolders::new(folders).unwrap_or_default(),
        ..Shows::default()
    }
}

/// Makes an edit that concerns devices.
pub(super) fn edit(
    mailbox: &mut Mailbox,
    edit: Edit,
    resting: Resting,
) -> Result<usize, EditError> {
    let now = resting.now;
    if let Edit::RestoreFor { device, .. }
    | Edit::ResetDevice(device)
    | Edit::RemoveDevice { device, .. } = &edit
        && mailbox.views.device(device).is_none()
    {
        let why = format!("the mailbox knows no device `{}`", device.as_str());
        return Err(EditError::Refused(why));
    }
    let count = match edit {
        Edit::AddDevice {
            device,
            show,
            access,
        } => add(mailbox, device, (show, access), now)?,
        Edit::RestoreFor { selection, device } => {
            let ids = mailbox.restore(&selection);
            for other in others(mailbox, &device) {
                mailbox.views.apply(&Event::Skipped(other, ids.clone()));
            }
            mailbox.note_messages(now, ChangeKind::Restored, Some(&device), ids)
        }
        Edit::ResetDevice(device) => {
            let count = mailbox.shown_count();
            mailbox.note(edited(now, ChangeKind::DeviceReset, Some(&device), count));
            mailbox.views.apply(&Event::Reset(device, now));
            count
        }
        Edit::RemoveDevice { device, policy } => {
            mailbox.note(edited(now, ChangeKind::DeviceRemoved, Some(&device), 0));
            mailbox.views.apply(&Event::Removed(device, now));
            let shows = recorded(mailbox);
            mailbox.settle((policy, &shows), (None, Some(AUTHOR)), resting)
        }
        Edit::Sweep(policy, folders) => {
            look_at_clock(mailbox, policy, now);
            let shows = shown(mailbox, &folders);
            let count = mailbox.settle((policy, &shows), (None, None), resting);
            mailbox.purge_older(resting);
            count
        }
        Edit::Restore(_) | Edit::Purge(_) | Edit::Expire { .. } | Edit::Import(_) => 0,
    };
    Ok(count)
}

/// Notes what the clock shows, if it matters.
pub(super) fn look_at_clock(mailbox: &mut Mailbox, policy: Policy, now: u64) {
    if let Some(note) = mailbox.views.clock_note(policy, now) {
        mailbox.views.apply(&note);
    }
}

fn add(
    mailbox: &mut Mailbox,
    device: ViewName,
    (show, access): (Show, Access),
    now: u64,
) -> Result<usize, EditError> {
    if device == ViewName::shared() {
        let why = "no device can be called as the view that all share";
        return Err(EditError::Refused(why.to_owned()));
    }
    let room = mailbox.views.room(&device);
    room.map_err(|error| EditError::Refused(error.to_string()))?;
    let hidden = match show {
        Show::All => Vec::new(),
        Show::Last(time) => mailbox.arrived_before(now.saturating_sub(time.as_secs())),
        Show::New => mailbox.arrived_before(u64::MAX),
    };
    let count = hidden.len();
    mailbox.views.apply(&Event::Added(device.clone(), now));
    mailbox.views.apply(&Event::Access(device.clone(), access));
    mailbox.note(edited(now, ChangeKind::DeviceAdded, Some(&device), count));
    mailbox.views.apply(&Event::Skipped(device, hidden));
    Ok(count)
}

fn others(mailbox: &Mailbox, device: &ViewName) -> Vec<ViewName> {
    let devices = mailbox.views.devices().iter();
    let names = devices.map(|one| one.name.clone());
    names.filter(|name| name != device).collect()
}
