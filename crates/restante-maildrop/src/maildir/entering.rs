//! What opening a view does before the session sees anything: the device is noted, and what has
//! to leave the mailbox leaves.
//!
//! A device's last use is noted once a day, so that a poll of an unchanged mailbox asks the disk
//! only whether another view has done anything.

use std::{io, sync::Arc, time::Duration};

use super::{
    layout::Mailbox,
    leaving,
    lock::MailboxLock,
    maildrop::Seat,
    notices::Notices,
    onlookers::Asker,
    retention::Retention,
    selection::{Lens, Selection},
    snapshot::{self, Snapshot},
    view_log::ViewLog,
};
use crate::{
    Access, DeleteMode, FolderName, Policy, Shows, View, ViewName, disk::is_shortage, views::Event,
};

/// A busy mailbox is not worth waiting for where a note can be made tomorrow as well.
const NOTE_WAIT: Duration = Duration::from_secs(1);

/// What a session begins with.
#[derive(Debug)]
pub(super) struct Entered {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) selection: Arc<Selection>,
    pub(super) seat: Seat,
}

/// Lets the view look at the mailbox, of which `snapshot` was just taken. `now` reads the file
/// system's own clock. Blocks.
///
/// # Errors
/// Those of reading. On a disk that takes nothing the mailbox can be read all the same.
pub(super) fn enter(
    mailbox: &Mailbox,
    notices: &Notices,
    retention: &Retention,
    view: &View,
    mut snapshot: Arc<Snapshot>,
    now: &mut dyn FnMut() -> io::Result<i64>,
) -> io::Result<Entered> {
    let View {
        name: view,
        policy,
        shows,
        access,
        ..
    } = view;
    let (policy, access) = (*policy, *access);
    let clock = &retention.clock;
    let shared = *view == ViewName::shared();
    if shared && policy.delete == DeleteMode::PerDevice {
        let why = "no device can be called as the view that all share";
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let log = ViewLog::look(mailbox, clock, &snapshot.view_log())?;
    let mut log = note(mailbox, retention, (view, access, policy, shows), log)?;
    snapshot.see(&log);
    let choice = (policy, shows.folders.clone());
    match leaving::settle(
        mailbox,
        &snapshot,
        retention,
        &choice,
        (Asker::View(view), None),
    ) {
        Ok(0) => {}
        Ok(_) => {
            snapshot = snapshot::load(mailbox, notices, Some(snapshot), now)?;
            // Whatever is in it was perhaps hidden before it came.
            log = ViewLog::look(mailbox, clock, &log)?;
        }
        // It is tried again; meanwhile the mail can be read.
        Err(error) if !is_shortage(&error) => {
            tracing::warn!(
                mailbox = %mailbox.path().display(),
                %error,
                "mail that has to leave stays for now"
            );
        }
        Err(error) => return Err(error),
    }
    snapshot.see(&log);
    let lens = Lens::new(mailbox, log.views().eye(view, policy.delete), shows, clock);
    let selection = snapshot.selection(lens, &log);
    let seat = Seat {
        view: view.clone(),
        policy,
        access,
        shown: shows.folders.clone(),
        known: log.views().device(view).is_some(),
    };
    Ok(Entered {
        snapshot,
        selection,
        seat,
    })
}

/// Notes that the view is opened, if that has to be noted.
fn note(
    mailbox: &Mailbox,
    retention: &Retention,
    (view, access, policy, shows): (&ViewName, Access, Policy, &Shows),
    log: Arc<ViewLog>,
) -> io::Result<Arc<ViewLog>> {
    // A folder that is not there is nothing to have opened.
    let there = |only: &&FolderName| mailbox.besides().any(|one| one.name == **only);
    let shown = |only: &&FolderName| {
        let mut shown = shows.folders.as_slice().iter();
        shown.any(|one| one.name == **only) || only.is_inbox()
    };
    let only = shows.only.as_ref().filter(|only| !shown(only));
    let notes_of = |log: &ViewLog| {
        let (views, now) = (log.views(), retention.clock.now().as_secs());
        let mut notes = match only {
            None => views.notes((view, access), policy, now),
            Some(only) if there(&only) => views.notes_of_folder((view, access), policy, only, now),
            Some(_) => Vec::new(),
        };
        notes.extend(views.shown_note(&shows.folders));
        notes
    };
    let notes = notes_of(&log);
    if notes.is_empty() {
        return Ok(log);
    }
    let must = notes
        .iter()
        .any(|note| matches!(note, Event::Met(..) | Event::Mode(..) | Event::Opened(..)));
    let _lock = match must {
        true => MailboxLock::acquire(mailbox)?,
        false => match MailboxLock::try_acquire_within(mailbox, NOTE_WAIT)? {
            Some(lock) => lock,
            None => return Ok(log),
        },
    };
    let log = ViewLog::read(mailbox, &retention.clock, &log)?;
    let notes = notes_of(&log);
    if notes.is_empty() {
        return Ok(log);
    }
    match log.append(mailbox, &notes) {
        Ok(log) => Ok(log),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            Err(io::Error::new(io::ErrorKind::InvalidData, error))
        }
        Err(error) => {
            tracing::warn!(
                mailbox = %mailbox.path().display(),
                view = view.as_str(),
                %error,
                "state/views not written: the mailbox does not know that this device was used"
            );
            Ok(log)
        }
    }
}
