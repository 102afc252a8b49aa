//! Who may still be looking at what leaves the mailbox for good.
//!
//! A session whose message has moved to the trash reads it from there. Where nothing is kept in
//! the trash it would be gone under that session's hands: so what somebody else may be looking at
//! rests in the trash all the same, until nobody is in session who was there before.

use std::{io, ops::ControlFlow};

use super::{layout::Mailbox, lock::SessionLock};
use crate::{ViewName, disk::Disk};

/// Who asks whether anybody else is looking.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Asker<'v> {
    /// Somebody who is in no session.
    Outside,
    /// The session of this view, which needs its messages no more, or lists them anew.
    View(&'v ViewName),
    /// Whoever holds the locks of all views himself.
    AllViews,
}

/// The locks of all views but the asker's: nobody else is in session, and whoever comes waits
/// until this is dropped.
#[derive(Debug)]
pub(crate) struct Alone {
    disk: Disk,
    locks: Vec<SessionLock>,
}

impl Alone {
    /// Takes the lock of every view that ever was in session, but for the asker's own; `None` if
    /// one of them is in session now. Waits for nobody, so it may be asked for under the mailbox
    /// lock.
    ///
    /// # Errors
    /// Those of looking for the locks.
    pub(crate) fn try_be(mailbox: &Mailbox, asker: Asker<'_>) -> io::Result<Option<Self>> {
        let mut alone = Self {
            disk: mailbox.disk().clone(),
            locks: Vec::new(),
        };
        if asker == Asker::AllViews {
            return Ok(Some(alone));
        }
        for view in seen(mailbox)? {
            if asker == Asker::View(&view) {
                continue;
            }
            match SessionLock::try_acquire(mailbox, &view)? {
                Some(lock) => alone.locks.push(lock),
                None => return Ok(None),
            }
        }
        Ok(Some(alone))
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        for lock in &self.locks {
            lock.release(&self.disk);
        }
    }
}

/// The views that ever were in session: the files of their locks stay.
pub(super) fn seen(mailbox: &Mailbox) -> io::Result<Vec<ViewName>> {
    let mut views = Vec::new();
    if let Some(state) = mailbox.state_if_there()? {
        mailbox.disk().read_directory(state, |name, _| {
            views.extend(SessionLock::view_of(name));
            ControlFlow::Continue(())
        })?;
    }
    Ok(views)
}
