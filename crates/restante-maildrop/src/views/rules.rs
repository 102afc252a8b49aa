//! When a message leaves the mailbox.

use std::time::Duration;

use super::{Device, SHARED, Views, times::Times};
use crate::{Access, DeleteMode, FolderName, Keep, Policy, ViewName};

/// What decides about the messages of one mailbox at one moment. The caller holds the mailbox
/// lock, or decides again under it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'v> {
    views: &'v Views,
    policy: Policy,
    times: Times,
    present: Option<&'v ViewName>,
    /// For INBOX.
    inbox: Waiting,
    /// The views that cannot delete.
    readers: u64,
}

/// For whom the messages of a folder wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Waiting {
    /// The views that count; `None`: it is not known which, or there is none.
    everyone: Option<u64>,
    /// Whether the account shows the folder: of one that somebody has opened by its name once,
    /// nothing leaves because nobody has looked at it.
    is_shown: bool,
}

impl<'v> Rules<'v> {
    /// The rules while `present` is in session, if anybody is, and the clock shows `now`.
    pub(crate) fn new(
        views: &'v Views,
        policy: Policy,
        present: Option<&'v ViewName>,
        now: u64,
    ) -> Self {
        // That the clock is behind may not have been noted yet, or could not be.
        let times = views.times.at(now);
        let everyone = match policy.delete {
            DeleteMode::Shared => Some(SHARED),
            DeleteMode::PerDevice => active(views, times, policy.device_inactive_after, present),
        };
        let readers = views.devices.iter();
        let readers = readers.filter(|device| device.access == Access::ReadOnly);
        let inbox = Waiting {
            everyone,
            is_shown: true,
        };
        Self {
            views,
            policy,
            times,
            present,
            inbox,
            readers: readers.fold(0, |all, device| all | device.bit),
        }
    }

    /// For whom the messages wait that are in INBOX.
    pub(crate) fn for_inbox(&self) -> Waiting {
        self.inbox
    }

    /// For whom the messages wait of a folder besides INBOX: for the devices that have opened it by
    /// its name and, if the account shows it, for all. `is_chosen`: that it is shown, as whoever
    /// asks knows it; that may have been chosen since, and another device have seen it.
    pub(crate) fn for_folder(&self, folder: &FolderName, is_chosen: bool) -> Waiting {
        let Self {
            views,
            times,
            policy,
            ..
        } = *self;
        let inactive_after = policy.device_inactive_after;
        let is_shown = is_chosen || views.shown.contains(folder);
        let everyone = match policy.delete {
            DeleteMode::Shared => Some(SHARED),
            DeleteMode::PerDevice => counted(views, times, inactive_after, |device| {
                self.present == Some(&device.name)
                    || views.has_opened(device, folder, times, inactive_after)
                    || is_shown && views.is_active(device, times, inactive_after)
            }),
        };
        Waiting {
            everyone,
            is_shown: is_chosen,
        }
    }

    /// Whether any message may have to leave, before one is looked at.
    pub(crate) fn let_any_go(&self) -> bool {
        let by_marks = !self.views.marked.is_empty() && self.policy.keep != Keep::Forever;
        let by_age = self.policy.goes_by_age() && self.times.trusted.is_some();
        by_marks || by_age
    }

    /// Whether the message of this unique-id leaves INBOX, that arrived then (Unix seconds).
    #[cfg(test)]
    pub(crate) fn let_go(&self, unique_id: &[u8], arrived: u64) -> bool {
        self.let_go_from(self.inbox, unique_id, arrived)
    }

    /// Whether the message of this unique-id, that arrived then (Unix seconds), leaves a folder
    /// where mail waits so.
    pub(crate) fn let_go_from(&self, waiting: Waiting, unique_id: &[u8], arrived: u64) -> bool {
        let bits = self.views.marked.of(unique_id);
        let touched = bits.touched();
        let by_marks = match self.policy.keep {
            // Somebody has to want it: what no device was ever meant to see is nobody's to delete.
            Keep::UntilDeleted => {
                // Who cannot delete is done with what it has, and is not robbed of the rest.
                let done = bits.hidden | bits.fetched & self.readers;
                bits.deleted() != 0 && waiting.is_everyone(done)
            }
            Keep::UntilFetched => touched != 0 && waiting.is_everyone(bits.hidden | bits.fetched),
            Keep::For(time) => touched != 0 && self.is_old(arrived, time),
            Keep::Forever => return false,
        };
        let unfetched = self.policy.expire_unfetched;
        let unfetched = unfetched.filter(|_| touched == 0 && waiting.is_shown);
        by_marks || unfetched.is_some_and(|time| self.is_old(arrived, time))
    }

    fn is_old(&self, arrived: u64, time: Duration) -> bool {
        self.times.is_past(self.times.at_latest(arrived), time)
    }
}

impl Waiting {
    fn is_everyone(self, marks: u64) -> bool {
        self.everyone.is_some_and(|everyone| everyone & !marks == 0)
    }
}

/// The devices that count; `None` if one may be missing, or none counts: then nobody's deletions
/// are everyone's.
fn active(
    views: &Views,
    times: Times,
    inactive_after: Duration,
    present: Option<&ViewName>,
) -> Option<u64> {
    counted(views, times, inactive_after, |device| {
        present == Some(&device.name) || views.is_active(device, times, inactive_after)
    })
}

fn counted(
    views: &Views,
    times: Times,
    inactive_after: Duration,
    counts: impl Fn(&Device) -> bool,
) -> Option<u64> {
    // Whoever was lost by the damage has come again since, or is inactive.
    let known = views
        .damaged
        .is_none_or(|at| times.is_past(at, inactive_after));
    let devices = views.devices.iter().filter(|device| counts(device));
    let everyone = devices.fold(0, |all, device| all | device.bit);
    (known && everyone != 0).then_some(everyone)
}
