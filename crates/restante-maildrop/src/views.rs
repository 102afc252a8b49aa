//! What the views of a mailbox have done with its messages, and what follows from it: which
//! messages a view still lists, and which leave the mailbox.
//!
//! Pure: no disk, no clock. A store keeps [`Event`]s, in order, and applies them to a [`Views`].
//! Applying the same events gives the same state, so a file of events is all that has to last.
//!
//! **A mark** is made by unique-id, because an id is never given twice and stays with its message
//! wherever other programs move it. A message is *hidden* from a view that has deleted it, or that
//! it was never meant for (*skipped*), and *fetched* by a view that has retrieved it whole and said
//! QUIT.
//!
//! **The shared view** stands for all credentials: what it deletes is hidden from every device
//! that is known then, too.

mod event;
mod marks;
mod rules;
mod times;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

pub(crate) use self::{
    event::{Event, Parsing, compacted, edition, ids, is_compacted, title},
    rules::{Rules, Waiting},
};
use self::{marks::Marked, times::Times};
use crate::{Access, DeleteMode, FolderName, KnownDevice, Policy, ShownFolders, ViewName};

/// So many devices one mailbox has at most: a mark has a bit for each.
pub(crate) const DEVICES_MAX: usize = 62;
/// The view that all credentials share.
const SHARED: u64 = 1;
/// Views of devices that were removed.
const SOMEBODY: u64 = 1 << 63;
const FIRST_DEVICE: u64 = 1 << 1;
/// A device's last use is noted when it is older than this, so that a poll costs no write.
pub(crate) const NOTED_SECONDS: u64 = 24 * 60 * 60;

/// The state of all views of one mailbox.
#[derive(Clone, Debug, Default)]
pub(crate) struct Views {
    devices: Vec<Device>,
    marked: Marked,
    times: Times,
    /// How the mailbox was opened last, as far as it was noted, and since when.
    mode: Option<(DeleteMode, u64)>,
    /// When some of the events were found to be lost: a device may be missing.
    damaged: Option<u64>,
    /// The folders that the account has shown besides INBOX, as far as it was noted.
    shown: BTreeSet<FolderName>,
}

/// A device that has, or had, a view of its own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Device {
    pub(crate) name: ViewName,
    bit: u64,
    added: u64,
    /// When it was last used, to the day; `None` if never.
    used: Option<u64>,
    access: Access,
    /// When it has last opened a folder by its name, to the day. That is no use of the account's
    /// view.
    opened: BTreeMap<FolderName, u64>,
}

/// A device opens no more folders by their names than this: for each of them mail may wait.
const OPENED_MAX: usize = 64;

/// Why a device cannot be added.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a mailbox has at most {DEVICES_MAX} devices")]
pub(crate) struct TooManyDevices;

impl Views {
    /// What has to be noted when the view is opened at `now` (Unix seconds): seldom anything.
    pub(crate) fn notes(
        &self,
        (view, access): (&ViewName, Access),
        policy: Policy,
        now: u64,
    ) -> Vec<Event> {
        let mut notes = Vec::new();
        let mode = self.mode.map(|(mode, _)| mode);
        match policy.delete {
            DeleteMode::PerDevice => {
                if mode != Some(DeleteMode::PerDevice) {
                    notes.push(Event::Mode(DeleteMode::PerDevice, now));
                }
                match self.device(view) {
                    None => notes.push(Event::Met(view.clone(), now)),
                    Some(device) => {
                        let fresh = device
                            .used
                            .is_some_and(|used| now < used.saturating_add(NOTED_SECONDS));
                        if !fresh || self.times.want(now) {
                            notes.push(Event::Used(view.clone(), now));
                        }
                    }
                }
                if self.access(view) != access {
                    notes.push(Event::Access(view.clone(), access));
                }
            }
            DeleteMode::Shared if mode == Some(DeleteMode::PerDevice) => {
                notes.push(Event::Mode(DeleteMode::Shared, now));
            }
            DeleteMode::Shared => {}
        }
        if notes.is_empty() {
            notes.extend(self.clock_note(policy, now));
        }
        notes
    }

    /// As [`Views::notes`], for a session that opens a folder by its name, which the account does
    /// not show: only there the device is waited for.
    pub(crate) fn notes_of_folder(
        &self,
        (view, access): (&ViewName, Access),
        policy: Policy,
        folder: &FolderName,
        now: u64,
    ) -> Vec<Event> {
        if policy.delete == DeleteMode::Shared {
            return self.notes((view, access), policy, now);
        }
        let device = self.device(view);
        let opened = device.and_then(|device| device.opened.get(folder));
        let fresh = opened.is_some_and(|at| now < at.saturating_add(NOTED_SECONDS));
        let usual = self.notes((view, access), policy, now).into_iter();
        let mut notes: Vec<_> = usual
            .filter(|note| !matches!(note, Event::Used(..)))
            .collect();
        if !fresh {
            notes.push(Event::Opened(view.clone(), folder.clone(), now));
        }
        if notes.is_empty() {
            notes.extend(self.clock_note(policy, now));
        }
        notes
    }

    /// What has to be noted of the folders that the account shows.
    pub(crate) fn shown_note(&self, folders: &ShownFolders) -> Option<Event> {
        let names = folders.as_slice().iter().map(|folder| &folder.name);
        let same = folders.as_slice().len() == self.shown.len()
            && names.clone().all(|name| self.shown.contains(name));
        (!same).then(|| Event::Shown(names.cloned().collect()))
    }

    /// The folders that the account has shown besides INBOX when its mailbox was opened last.
    pub(crate) fn shown(&self) -> &BTreeSet<FolderName> {
        &self.shown
    }

    /// What has to be noted of the time, if messages leave for their age.
    pub(crate) fn clock_note(&self, policy: Policy, now: u64) -> Option<Event> {
        let matters = policy.goes_by_age() || policy.delete == DeleteMode::PerDevice;
        (matters && self.times.want(now)).then_some(Event::Clock(now))
    }

    /// Whether a device may be met or added.
    pub(crate) fn room(&self, device: &ViewName) -> Result<(), TooManyDevices> {
        let room = self.devices.len() < DEVICES_MAX || self.device(device).is_some();
        room.then_some(()).ok_or(TooManyDevices)
    }

    /// The devices, in the order in which they were added.
    pub(crate) fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The devices, for an operator.
    pub(crate) fn known_devices(&self) -> Vec<KnownDevice> {
        let devices = self.devices.iter();
        devices
            .map(|device| KnownDevice {
                name: device.name.clone(),
                added: device.added,
                used: device.opened.values().copied().chain(device.used).max(),
                access: device.access,
            })
            .collect()
    }

    /// What the view may do, as far as was noted.
    fn access(&self, view: &ViewName) -> Access {
        let device = self.device(view);
        device.map(|device| device.access).unwrap_or_default()
    }

    pub(crate) fn device(&self, name: &ViewName) -> Option<&Device> {
        self.devices.iter().find(|device| device.name == *name)
    }

    /// Whether no message is hidden from anybody.
    pub(crate) fn hide_nothing(&self) -> bool {
        self.marked.is_empty()
    }

    /// Whether the view has deleted the message of this unique-id.
    fn has_deleted(&self, view: Eye, unique_id: &[u8]) -> bool {
        self.marked.of(unique_id).deleted() & view.0 != 0
    }

    /// Whether the view does not list the message of this unique-id.
    pub(crate) fn hide(&self, view: Eye, unique_id: &[u8]) -> bool {
        self.marked.of(unique_id).hidden & view.0 != 0
    }

    /// Whether the view has retrieved it.
    pub(crate) fn fetched(&self, view: Eye, unique_id: &[u8]) -> bool {
        self.marked.of(unique_id).fetched & view.0 != 0
    }

    /// Whose marks a session of `view` looks at and makes.
    pub(crate) fn eye(&self, view: &ViewName, mode: DeleteMode) -> Eye {
        match mode {
            DeleteMode::Shared => Eye(SHARED),
            DeleteMode::PerDevice => Eye(self.device(view).map_or(0, |device| device.bit)),
        }
    }

    /// Which views have deleted the message, devices by name.
    pub(crate) fn deleted_by(&self, unique_id: &[u8]) -> Vec<ViewName> {
        let deleted = self.marked.of(unique_id).deleted();
        let mut names = Vec::new();
        if deleted & SHARED != 0 {
            names.push(ViewName::shared());
        }
        let devices = self.devices.iter();
        names.extend(
            devices
                .filter(|device| deleted & device.bit != 0)
                .map(|device| device.name.clone()),
        );
        names
    }

    /// The marks that a session's end makes: those that are not there yet.
    pub(crate) fn ending<'i>(
        &self,
        (view, access): (&ViewName, Access),
        policy: Policy,
        deleted: impl Iterator<Item = &'i [u8]>,
        retrieved: impl Iterator<Item = &'i [u8]>,
    ) -> Vec<Event> {
        let eye = self.eye(view, policy.delete);
        let name = match policy.delete {
            DeleteMode::Shared => ViewName::shared(),
            DeleteMode::PerDevice => view.clone(),
        };
        let new = |known: &dyn Fn(&[u8]) -> bool, ids: Vec<&[u8]>| -> Vec<Vec<u8>> {
            let new = ids.into_iter().filter(|id| !known(id));
            new.map(<[u8]>::to_vec).collect()
        };
        // What it skipped it may have listed before, and delete now.
        let hidden = new(&|id| self.has_deleted(eye, id), deleted.collect());
        let mut events = Vec::new();
        if !hidden.is_empty() {
            events.push(Event::Hidden(name.clone(), hidden));
        }
        if policy.counts_retrieved(access) {
            let fetched = new(&|id| self.fetched(eye, id), retrieved.collect());
            if !fetched.is_empty() {
                events.push(Event::Fetched(name, fetched));
            }
        }
        events
    }

    /// How many octets of memory it takes, about.
    pub(crate) fn memory_octets(&self) -> usize {
        size_of::<Self>()
            + self.marked.memory_octets()
            + self.devices.len() * (size_of::<Device>() + ViewName::OCTETS_MAX)
    }

    /// Notes that events were lost, as was found at `now`.
    pub(crate) fn damage(&mut self, now: u64) {
        self.damaged = Some(self.damaged.map_or(now, |before| before.max(now)));
    }

    /// Takes in what has happened. `false` if it makes no sense after what is known.
    pub(crate) fn apply(&mut self, event: &Event) -> bool {
        match event {
            Event::Added(name, at) => self.add(name, *at),
            Event::Met(name, at) => self.meet(name, *at),
            Event::Used(name, at) => {
                self.times.observe(*at);
                match self.device_mut(name) {
                    Some(device) => device.used = device.used.max(Some(*at)),
                    None => return false,
                }
                true
            }
            Event::Access(name, access) => {
                let Some(device) = self.device_mut(name) else {
                    return false;
                };
                device.access = *access;
                true
            }
            Event::Hidden(name, ids) => self.mark_hidden(name, ids.iter().map(Vec::as_slice)),
            Event::Skipped(name, ids) => self.mark_skipped(name, ids.iter().map(Vec::as_slice)),
            Event::Fetched(name, ids) => self.mark_fetched(name, ids.iter().map(Vec::as_slice)),
            Event::Reset(name, at) => {
                self.times.observe(*at);
                let Some(bit) = self.device(name).map(|device| device.bit) else {
                    return false;
                };
                self.marked.forget(bit);
                true
            }
            Event::Removed(name, at) => {
                self.times.observe(*at);
                self.remove(name)
            }
            Event::Mode(mode, at) => {
                self.times.observe(*at);
                self.mode = Some((*mode, *at));
                true
            }
            Event::Clock(at) => {
                self.times.observe(*at);
                true
            }
            Event::Shown(folders) => {
                self.shown = folders.iter().cloned().collect();
                true
            }
            Event::Also(folders) => {
                let all = self.shown.iter().chain(folders).cloned();
                let all: BTreeSet<FolderName> = all.collect();
                let room = all.len() <= ShownFolders::MAX;
                if room {
                    self.shown = all;
                }
                room
            }
            Event::Opened(name, folder, at) => self.open(name, folder, *at),
            Event::Damaged(at) => {
                self.damage(*at);
                true
            }
        }
    }

    /// A device that nobody has added has no reason to see what all have deleted.
    fn meet(&mut self, name: &ViewName, at: u64) -> bool {
        if !self.add(name, at) {
            return false;
        }
        let Some(device) = self.device_mut(name) else {
            return false;
        };
        device.used = Some(device.added);
        let bit = device.bit;
        self.marked.copy_hidden(SHARED, bit);
        true
    }

    fn open(&mut self, name: &ViewName, folder: &FolderName, at: u64) -> bool {
        let Some(device) = self.device_mut(name) else {
            return false;
        };
        let room = device.opened.len() < OPENED_MAX || device.opened.contains_key(folder);
        if room {
            let opened = device.opened.entry(folder.clone()).or_default();
            *opened = at.max(*opened);
        }
        room
    }

    fn add(&mut self, name: &ViewName, at: u64) -> bool {
        self.times.observe(at);
        self.remove(name);
        let taken = self.devices.iter().fold(0, |taken, one| taken | one.bit);
        let bits = (0..DEVICES_MAX).map(|slot| FIRST_DEVICE << slot);
        let Some(bit) = bits.into_iter().find(|bit| taken & bit == 0) else {
            return false;
        };
        self.devices.push(Device {
            name: name.clone(),
            bit,
            added: at,
            used: None,
            access: Access::default(),
            opened: BTreeMap::new(),
        });
        true
    }

    /// What a removed device has done was done by somebody.
    fn remove(&mut self, name: &ViewName) -> bool {
        let Some(at) = self.devices.iter().position(|one| one.name == *name) else {
            return false;
        };
        let device = self.devices.remove(at);
        self.marked.hand_over(device.bit, SOMEBODY);
        true
    }

    fn mark_hidden<'i>(&mut self, view: &ViewName, ids: impl Iterator<Item = &'i [u8]>) -> bool {
        let Some(mut mask) = self.mask(view) else {
            return false;
        };
        if mask == SHARED {
            mask |= self.devices.iter().fold(0, |all, device| all | device.bit);
        }
        ids.for_each(|id| {
            let bits = self.marked.entry(id);
            bits.hidden |= mask;
            bits.skipped &= !mask;
        });
        true
    }

    /// Hides what the view was never meant to see.
    fn mark_skipped<'i>(&mut self, view: &ViewName, ids: impl Iterator<Item = &'i [u8]>) -> bool {
        let Some(mask) = self.mask(view) else {
            return false;
        };
        ids.for_each(|id| {
            let bits = self.marked.entry(id);
            bits.skipped |= mask & !bits.hidden;
            bits.hidden |= mask;
        });
        true
    }

    fn mark_fetched<'i>(&mut self, view: &ViewName, ids: impl Iterator<Item = &'i [u8]>) -> bool {
        let Some(mask) = self.mask(view) else {
            return false;
        };
        ids.for_each(|id| self.marked.entry(id).fetched |= mask);
        true
    }

    fn mask(&self, view: &ViewName) -> Option<u64> {
        if *view == ViewName::shared() {
            return Some(SHARED);
        }
        self.device(view).map(|device| device.bit)
    }

    fn device_mut(&mut self, name: &ViewName) -> Option<&mut Device> {
        self.devices.iter_mut().find(|device| device.name == *name)
    }

    /// Whether the device counts where mail is that the account shows, as far as the time is
    /// trusted.
    fn is_active(&self, device: &Device, times: Times, inactive_after: Duration) -> bool {
        let used = device.used.unwrap_or(device.added).max(device.added);
        self.is_recent(used, times, inactive_after)
    }

    /// As [`Views::is_active`], in a folder that only those see who name it.
    fn has_opened(
        &self,
        device: &Device,
        folder: &FolderName,
        times: Times,
        inactive_after: Duration,
    ) -> bool {
        let opened = device.opened.get(folder);
        opened.is_some_and(|&at| self.is_recent(at, times, inactive_after))
    }

    fn is_recent(&self, used: u64, times: Times, inactive_after: Duration) -> bool {
        // While all shared one view nobody noted who came: they count as used when that ended.
        let since = match self.mode {
            Some((DeleteMode::PerDevice, since)) => since,
            _ => 0,
        };
        !times.is_past(times.at_latest(used.max(since)), inactive_after)
    }
}

/// Whose marks are looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Eye(u64);

#[cfg(test)]
mod tests;
