//! What was promised, as simply as it can be said.

use std::collections::{BTreeMap, BTreeSet};

use restante_maildrop::{Access, DeleteMode, Keep, Marks, Policy, Show};
use restante_proto::{MessageNumber, MessageSet};

use super::{DAY, SHARED, text};

type Ids = BTreeSet<Vec<u8>>;

/// The mailbox as it should be.
#[derive(Debug, Default)]
pub(super) struct Model {
    serial: usize,
    /// All messages that ever were, by unique-id.
    messages: BTreeMap<Vec<u8>, Message>,
    devices: BTreeMap<usize, Device>,
    /// What views of removed devices had done.
    somebody: Ids,
    shared: Device,
    /// How the mailbox was opened last, as far as it has to know.
    mode: Option<DeleteMode>,
    /// Since when, at the earliest.
    mode_since: u64,
    /// What other programs had moved away when the mailbox was looked at last.
    away: Ids,
}

#[derive(Clone, Debug)]
struct Message {
    serial: usize,
    arrived: u64,
    there: bool,
}

/// A view: what was answered, and what may have happened.
#[derive(Clone, Debug, Default)]
struct Device {
    hidden: Ids,
    /// Of those, what it was never meant to see.
    skipped: Ids,
    perhaps_hidden: Ids,
    fetched: Ids,
    /// Retrieved and not known to be noted: that is allowed to be forgotten.
    perhaps_fetched: Ids,
    used: u64,
    access: Access,
}

/// A session: what it was listed, and what it does.
#[derive(Clone, Debug)]
pub(super) struct Session {
    listed: Vec<Vec<u8>>,
    pub(super) policy: Policy,
    pub(super) access: Access,
    pub(super) deleted: BTreeSet<usize>,
    pub(super) retrieved: BTreeSet<usize>,
}

impl Session {
    pub(super) fn new(listed: Vec<Vec<u8>>, policy: Policy, access: Access) -> Self {
        Self {
            listed,
            policy,
            access,
            deleted: BTreeSet::new(),
            retrieved: BTreeSet::new(),
        }
    }

    pub(super) fn pick(&self, which: u64) -> Option<usize> {
        let which = usize::try_from(which % 1024).ok()?;
        which.checked_rem(self.listed.len())
    }

    /// Retrieves all, and deletes all if it may.
    pub(super) fn finish(&mut self) {
        self.retrieved = (0..self.listed.len()).collect();
        if self.access == Access::Full {
            self.deleted = self.retrieved.clone();
        }
    }

    pub(super) fn texts(&self, marked: &BTreeSet<usize>) -> Vec<String> {
        marked.iter().map(|&at| text(&self.listed[at])).collect()
    }

    pub(super) fn marks(&self) -> Marks {
        let set = |numbers: &BTreeSet<usize>| -> MessageSet {
            let numbers = numbers.iter();
            numbers
                .filter_map(|&at| MessageNumber::from_index(at))
                .collect()
        };
        Marks {
            deleted: set(&self.deleted),
            retrieved: set(&self.retrieved),
            ..Marks::default()
        }
    }

    fn ids(&self, marked: &BTreeSet<usize>) -> Ids {
        marked.iter().map(|&at| self.listed[at].clone()).collect()
    }
}

impl Device {
    /// To have it is enough where that is asked for, and for those who cannot delete.
    fn need_not_delete(&self, keep: Keep) -> bool {
        keep == Keep::UntilFetched || self.access == Access::ReadOnly
    }

    fn done_with(&self, id: &[u8], keep: Keep) -> bool {
        let hidden = self.hidden.contains(id) || self.perhaps_hidden.contains(id);
        hidden || self.need_not_delete(keep) && self.had(id)
    }

    fn had(&self, id: &[u8]) -> bool {
        self.fetched.contains(id) || self.perhaps_fetched.contains(id)
    }

    fn surely_done_with(&self, id: &[u8], keep: Keep) -> bool {
        let hidden = self.hidden.contains(id);
        hidden || self.need_not_delete(keep) && self.fetched.contains(id)
    }

    fn touched(&self, id: &[u8]) -> bool {
        self.deleted(id) || self.perhaps_hidden.contains(id) || self.had(id)
    }

    fn skip(&mut self, id: &[u8]) {
        self.hidden.insert(id.to_vec());
        self.skipped.insert(id.to_vec());
    }

    fn delete(&mut self, ids: &Ids) {
        self.hidden.extend(ids.iter().cloned());
        self.skipped.retain(|id| !ids.contains(id));
    }

    fn deleted(&self, id: &[u8]) -> bool {
        self.hidden.contains(id) && !self.skipped.contains(id)
    }

    fn surely_touched(&self, id: &[u8]) -> bool {
        self.deleted(id) || self.fetched.contains(id)
    }
}

/// Whether it matters what the session has retrieved.
fn counts(session: &Session) -> bool {
    let policy = session.policy;
    let reads = session.access == Access::ReadOnly && policy.delete == DeleteMode::PerDevice;
    match policy.keep {
        Keep::UntilFetched | Keep::For(_) => true,
        Keep::UntilDeleted => reads || policy.expire_unfetched.is_some(),
        Keep::Forever => false,
    }
}

impl Model {
    /// A body has as many octets as no other.
    pub(super) fn next_serial(&mut self) -> usize {
        self.serial += 1;
        self.serial
    }

    /// Enters a message if it is new. What was restored for one device is hidden from all others.
    pub(super) fn learn(
        &mut self,
        id: Vec<u8>,
        serial: usize,
        now: u64,
        only: Option<usize>,
    ) -> bool {
        if self.messages.contains_key(&id) {
            return false;
        }
        let same = |one: &&Message| one.serial == serial;
        let arrived = self.messages.values().find(same).map(|one| one.arrived);
        let message = Message {
            serial,
            arrived: arrived.unwrap_or(now),
            there: true,
        };
        if let Some(only) = only {
            let others = self.devices.iter_mut().filter(|(at, _)| **at != only);
            others.for_each(|(_, device)| device.skip(&id));
        }
        self.messages.insert(id, message);
        true
    }

    pub(super) fn is_known(&self, device: usize) -> bool {
        self.devices.contains_key(&device)
    }

    /// What the directory of accounts lets it do.
    pub(super) fn access(&self, device: usize) -> Access {
        let device = self.devices.get(&device);
        device.map(|device| device.access).unwrap_or_default()
    }

    pub(super) fn is_removed(&self, device: usize, policy: Policy) -> bool {
        policy.delete == DeleteMode::PerDevice && !self.is_known(device)
    }

    /// The device is met, if it is not known, and used.
    pub(super) fn open(&mut self, device: usize, policy: Policy, now: u64) {
        if policy.delete == DeleteMode::PerDevice {
            if self.mode != Some(DeleteMode::PerDevice) {
                self.mode_since = now;
            }
            self.mode = Some(DeleteMode::PerDevice);
            let shared = &self.shared;
            let device = self.devices.entry(device).or_insert_with(|| Device {
                hidden: shared.hidden.clone(),
                perhaps_hidden: shared.perhaps_hidden.clone(),
                ..Device::default()
            });
            device.used = now;
        } else if self.mode.is_some() {
            self.mode = Some(DeleteMode::Shared);
        }
    }

    /// A folder that is not shown was opened by its name: the device is met, if it is not known,
    /// and is not used otherwise.
    pub(super) fn open_away(&mut self, device: usize, policy: Policy, now: u64) {
        let used = self.devices.get(&device).map(|device| device.used);
        self.open(device, policy, now);
        if let (Some(used), Some(device)) = (used, self.devices.get_mut(&device)) {
            device.used = used;
        }
    }

    /// The process has died while it was opened.
    pub(super) fn perhaps_open(
        &mut self,
        device: usize,
        policy: Policy,
        now: u64,
        known: &[usize],
    ) {
        if policy.delete == DeleteMode::PerDevice && known.contains(&device) {
            let used = self.devices.get(&device).map(|device| device.used);
            self.open(device, policy, now);
            // That it was used need not be known.
            if let (Some(used), Some(device)) = (used, self.devices.get_mut(&device)) {
                device.used = used;
            }
        }
    }

    fn view_mut(&mut self, device: usize) -> &mut Device {
        match device {
            SHARED => &mut self.shared,
            device => self.devices.entry(device).or_default(),
        }
    }

    /// What the device must be listed of the messages `here`, in the order in which it was.
    pub(super) fn listing(
        &mut self,
        device: usize,
        listed: &[Vec<u8>],
        here: impl Fn(&Vec<u8>) -> bool,
    ) -> Vec<Vec<u8>> {
        let mut there: Ids = self.there();
        there.extend(self.away.iter().cloned());
        there.retain(|id| here(id));
        let view = self.view_mut(device);
        // What may have happened shows now.
        for id in std::mem::take(&mut view.perhaps_hidden) {
            if view.skipped.contains(&id) || !here(&id) {
                // It would not be listed in any case.
                view.perhaps_hidden.insert(id);
            } else if there.contains(&id) && !listed.contains(&id) {
                view.hidden.insert(id);
            }
        }
        let hidden = view.hidden.clone();
        let mut expected: Vec<_> = there.difference(&hidden).cloned().collect();
        let place = |id: &Vec<u8>| listed.iter().position(|one| one == id);
        expected.sort_by_key(|id| place(id).unwrap_or(usize::MAX));
        expected
    }

    /// Oldest first, restored ones where they were.
    pub(super) fn is_in_order(&self, listed: &[Vec<u8>]) -> bool {
        let serials = listed.iter().map(|id| self.messages[id].serial);
        serials.is_sorted()
    }

    /// What is there although all devices are surely done with it.
    pub(super) fn all_have_done(&self, policy: Policy) -> Vec<String> {
        let by_marks = matches!(policy.keep, Keep::UntilDeleted | Keep::UntilFetched);
        if !by_marks || policy.delete == DeleteMode::Shared || self.devices.is_empty() {
            return Vec::new();
        }
        let all = |id: &Vec<u8>| {
            let mut devices = self.devices.values();
            let somebody = self.devices.values().any(|device| match policy.keep {
                Keep::UntilFetched => device.surely_touched(id),
                _ => device.deleted(id),
            });
            somebody && devices.all(|device| device.surely_done_with(id, policy.keep))
        };
        let late = self.there().into_iter().filter(all);
        late.map(|id| text(&id)).collect()
    }

    fn there(&self) -> Ids {
        let there = self.messages.iter().filter(|(_, one)| one.there);
        there.map(|(id, _)| id.clone()).collect()
    }

    /// QUIT was answered. What was retrieved is noted then too, unless the process has died.
    pub(super) fn quit(&mut self, device: usize, session: &Session, noted: bool) {
        let (deleted, retrieved) = (
            session.ids(&session.deleted),
            session.ids(&session.retrieved),
        );
        let policy = session.policy;
        let classic = policy.delete == DeleteMode::Shared && policy.keep == Keep::UntilDeleted;
        if self.is_removed(device, policy) {
            assert!(deleted.is_empty() && (retrieved.is_empty() || !counts(session)));
            return;
        }
        if classic {
            for id in &deleted {
                if let Some(message) = self.messages.get_mut(id) {
                    message.there = false;
                }
            }
        } else if policy.delete == DeleteMode::Shared {
            for view in self.devices.values_mut() {
                view.delete(&deleted);
            }
        }
        let view = self.view_mut(device);
        if !classic {
            view.delete(&deleted);
        }
        if counts(session) {
            match noted {
                true => view.fetched.extend(retrieved.iter().cloned()),
                false => view.perhaps_fetched.extend(retrieved.iter().cloned()),
            }
        }
    }

    /// The process has died before QUIT was answered.
    pub(super) fn perhaps_quit(&mut self, device: usize, session: &Session) {
        let (deleted, retrieved) = (
            session.ids(&session.deleted),
            session.ids(&session.retrieved),
        );
        if session.policy.delete == DeleteMode::Shared {
            for view in self.devices.values_mut() {
                view.perhaps_hidden.extend(deleted.iter().cloned());
            }
        }
        let view = self.view_mut(device);
        view.perhaps_hidden.extend(deleted);
        view.perhaps_fetched.extend(retrieved);
    }

    /// Adds a device; returns how many messages it does not see.
    pub(super) fn add(&mut self, device: usize, (show, access): (Show, Access), now: u64) -> usize {
        self.remove(device);
        let skipped: Ids = match show {
            Show::All => Ids::new(),
            Show::New => self.there(),
            Show::Last(time) => {
                let old = |id: &Vec<u8>| self.messages[id].arrived < now - time.as_secs();
                self.there().into_iter().filter(old).collect()
            }
        };
        let device = self.devices.entry(device).or_default();
        (device.used, device.access) = (now, access);
        skipped.iter().for_each(|id| device.skip(id));
        skipped.len()
    }

    pub(super) fn remove(&mut self, device: usize) {
        if let Some(gone) = self.devices.remove(&device) {
            let deleted = gone.hidden.difference(&gone.skipped);
            self.somebody.extend(deleted.cloned());
            self.somebody.extend(gone.perhaps_hidden);
            self.somebody.extend(gone.fetched);
            self.somebody.extend(gone.perhaps_fetched);
        }
    }

    pub(super) fn reset(&mut self, device: usize) {
        if let Some(device) = self.devices.get_mut(&device) {
            *device = Device {
                used: device.used,
                access: device.access,
                ..Device::default()
            };
        }
    }

    pub(super) fn vanish(&mut self, id: &[u8]) {
        if let Some(message) = self.messages.get_mut(id) {
            message.there = false;
        }
    }

    /// Enters what has left the mailbox; returns what had no right to.
    pub(super) fn departures(
        &mut self,
        there: &[Vec<u8>],
        away: &[Vec<u8>],
        policy: Policy,
        now: u64,
    ) -> Vec<String> {
        let there: Ids = there.iter().cloned().collect();
        let mut early = Vec::new();
        let all: Vec<_> = self.messages.keys().cloned().collect();
        for id in all {
            let (before, after) = (self.messages[&id].there, there.contains(&id));
            if before && !after && !away.contains(&id) && !self.may_leave(&id, policy, now) {
                early.push(text(&id));
            }
            let may_be_back = self.away.contains(&id);
            assert!(before || !after || may_be_back, "{} is back", text(&id));
            if let Some(message) = self.messages.get_mut(&id) {
                message.there = after;
            }
        }
        // It may be moved back at any time, whoever has deleted it meanwhile.
        self.away = away.iter().cloned().collect();
        early
    }

    fn may_leave(&self, id: &[u8], policy: Policy, now: u64) -> bool {
        let shared = || {
            // A session that began when all shared one view ends by that.
            self.shared.perhaps_hidden.contains(id) || self.shared.done_with(id, policy.keep)
        };
        let age = now - self.messages[id].arrived;
        let old = |after: u64| age >= after;
        let by_marks = match policy.keep {
            Keep::UntilDeleted | Keep::UntilFetched => shared() || self.all_done(id, policy, now),
            Keep::For(time) => self.is_touched(id) && old(time.as_secs()),
            Keep::Forever => false,
        };
        let unfetched = policy
            .expire_unfetched
            .filter(|_| policy.keep != Keep::Forever);
        by_marks || unfetched.is_some_and(|time| old(time.as_secs()))
    }

    /// Whether anybody may have retrieved or deleted it.
    fn is_touched(&self, id: &[u8]) -> bool {
        self.shared.touched(id)
            || self.somebody.contains(id)
            || self.devices.values().any(|device| device.touched(id))
    }

    /// Whether everyone who counts is done with the message.
    fn all_done(&self, id: &[u8], policy: Policy, now: u64) -> bool {
        let inactive = policy.device_inactive_after.as_secs();
        let idle = |device: &Device| now - device.used.max(self.mode_since) >= inactive;
        let done = |device: &Device| device.done_with(id, policy.keep);
        let mut devices = self.devices.values();
        // Also if nobody is left that was not skipped.
        let somebody = match policy.keep {
            Keep::UntilDeleted => {
                let deleted = |one: &Device| one.deleted(id) || one.perhaps_hidden.contains(id);
                self.devices.values().any(deleted)
                    || self.somebody.contains(id)
                    || self.shared.touched(id)
            }
            _ => self.is_touched(id),
        };
        somebody && devices.all(|device| done(device) || idle(device))
    }

    /// What should be gone, however slowly things go.
    pub(super) fn overdue(&self, last: usize, policy: Policy, now: u64) -> Vec<String> {
        let there = self.messages.iter().filter(|(_, message)| message.there);
        let overdue = there.filter(|(id, message)| {
            let old = |after: u64| now - message.arrived >= after + 3 * DAY;
            let touched = self.shared.surely_touched(id)
                || self
                    .devices
                    .values()
                    .any(|device| device.surely_touched(id));
            let somebody = |device: &Device| match policy.keep {
                Keep::UntilFetched => device.surely_touched(id),
                _ => device.deleted(id),
            };
            let somebody = self.devices.values().any(somebody) || somebody(&self.shared);
            let done = |device: &Device| somebody && device.surely_done_with(id, policy.keep);
            // By now no other device counts.
            let all_done = match policy.delete {
                DeleteMode::Shared => done(&self.shared),
                DeleteMode::PerDevice => self.devices.get(&last).is_some_and(done),
            };
            let unfetched = policy.expire_unfetched.filter(|_| !self.is_touched(id));
            let unfetched = unfetched.is_some_and(|time| old(time.as_secs()));
            match policy.keep {
                Keep::UntilDeleted | Keep::UntilFetched => all_done || unfetched,
                Keep::For(time) => touched && old(time.as_secs()) || unfetched,
                Keep::Forever => false,
            }
        });
        overdue.map(|(id, _)| text(id)).collect()
    }
}
