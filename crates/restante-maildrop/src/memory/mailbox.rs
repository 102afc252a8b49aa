//! One mailbox: its messages, its trash, and every unique-id it has ever given.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use restante_proto::{Form, MessageNumber, Octets, UniqueId, WireCounter};

use super::edited;
use crate::{
    Change, ChangeKind, FolderName, JournalEntry, KeptMessage, MessageTable, MessageTableBuilder,
    Policy, ShownFolder, Shows, TrashSelection, ViewName,
    tagging::Insertion,
    views::{Eye, Rules, Views, Waiting},
};

#[derive(Debug, Default)]
pub(super) struct Mailbox {
    /// Oldest first.
    messages: Vec<Arc<Message>>,
    trash: Vec<Trashed>,
    /// Never given again (R1939-UIDL-5).
    given: HashSet<Vec<u8>>,
    last_serial: u64,
    full: bool,
    /// Who did what, oldest first.
    pub(super) journal: Vec<JournalEntry>,
    pub(super) views: Views,
    /// Those besides INBOX that exist.
    folders: BTreeSet<FolderName>,
}

#[derive(Debug)]
pub(super) struct Message {
    /// Which message it is; a restored one is another, as for those who had deleted it.
    serial: u64,
    /// In order of arrival, the same before and after the trash.
    order: u64,
    pub(super) arrived: u64,
    pub(super) unique_id: Vec<u8>,
    /// Where it is besides INBOX; `None`: in INBOX.
    folder: Option<FolderName>,
    /// As delivered.
    octets: Bytes,
    /// Sizes are told only once somebody has asked for them.
    measured: AtomicBool,
}

#[derive(Debug)]
struct Trashed {
    message: Arc<Message>,
    deleted: u64,
}

/// What becomes of what leaves the mailbox now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resting {
    /// In Unix seconds, as the clock shows it.
    pub(super) now: u64,
    /// Whether it rests in the trash: it is kept there, or somebody may be looking at it.
    pub(super) keeps: bool,
    /// What was moved there at or before this moment is forgotten; `None`: nothing is.
    pub(super) gone_by: Option<u64>,
}

/// What a session sees: the messages and the table of them, in the same order.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) messages: Vec<Listed>,
    pub(super) table: Arc<MessageTable>,
}

/// A message as it is sent.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) message: Arc<Message>,
    pub(super) size: Octets,
    pub(super) form: Form,
    tagging: Option<Insertion>,
}

impl Mailbox {
    pub(super) fn deliver(&mut self, octets: Bytes, now: u64) -> io::Result<()> {
        if self.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let serial = self.new_serial();
        let message = Message {
            serial,
            order: serial,
            arrived: now,
            unique_id: self.new_unique_id(serial),
            folder: None,
            octets,
            measured: AtomicBool::new(false),
        };
        self.messages.push(Arc::new(message));
        Ok(())
    }

    pub(super) fn refuse(&mut self) {
        self.full = true;
    }

    /// What the view lists of what arrived since `from` (Unix seconds).
    pub(super) fn listing(&self, eye: Eye, shows: &Shows, from: u64) -> Listing {
        let mut table = MessageTableBuilder::default();
        let shown = |message: &&Arc<Message>| {
            message.arrived >= from
                && message.is_listed(shows)
                && !self.views.hide(eye, &message.unique_id)
        };
        let shown = self.messages.iter().filter(shown);
        let messages: Vec<_> = shown.map(|one| Listed::new(one, shows)).collect();
        for listed in &messages {
            let measured = listed.message.measured.load(Ordering::Relaxed);
            let size = measured.then_some(listed.size);
            let unique_id = UniqueId::new(&listed.message.unique_id);
            table.push(unique_id.expect("checked when it was given"), size);
        }
        Listing {
            messages,
            table: Arc::new(table.build()),
        }
    }

    /// Moves a message to another folder, as another program would, and makes that.
    pub(super) fn move_to(&mut self, unique_id: &[u8], folder: &FolderName) -> bool {
        let folder = (!folder.is_inbox()).then_some(folder);
        self.folders.extend(folder.cloned());
        let Some(slot) = (self.messages.iter_mut()).find(|one| one.unique_id == unique_id) else {
            return false;
        };
        let mut moved = slot.under(slot.serial, slot.unique_id.clone());
        moved.folder = folder.cloned();
        *slot = Arc::new(moved);
        true
    }

    /// Removes a folder, with what is in it, as another program would.
    pub(super) fn remove_folder(&mut self, folder: &FolderName) {
        self.folders.remove(folder);
        self.messages
            .retain(|one| one.folder.as_ref() != Some(folder));
    }

    pub(super) fn has_folder(&self, folder: &FolderName) -> bool {
        self.folders.contains(folder)
    }

    /// The messages that POP has shown, or would have.
    fn shown(&self) -> impl Iterator<Item = &Arc<Message>> {
        let shown = self.views.shown();
        let is_shown = move |one: &&Arc<Message>| {
            (one.folder.as_ref()).is_none_or(|folder| shown.contains(folder))
        };
        self.messages.iter().filter(is_shown)
    }

    pub(super) fn shown_count(&self) -> usize {
        self.shown().count()
    }

    pub(super) fn unique_ids(&self) -> Vec<Vec<u8>> {
        let messages = self.messages.iter();
        messages.map(|one| one.unique_id.clone()).collect()
    }

    pub(super) fn unique_ids_in(&self, folder: &FolderName) -> Vec<Vec<u8>> {
        let folder = (!folder.is_inbox()).then_some(folder);
        let here = self.messages.iter();
        let here = here.filter(|one| one.folder.as_ref() == folder);
        here.map(|one| one.unique_id.clone()).collect()
    }

    pub(super) fn base_names(&self) -> Vec<Vec<u8>> {
        self.messages.iter().map(|one| one.base_name()).collect()
    }

    /// Whether the message can still be read, here or from the trash.
    pub(super) fn holds(&self, message: &Message) -> bool {
        self.position(message).is_some()
            || self
                .trash
                .iter()
                .any(|one| one.message.serial == message.serial)
    }

    /// Moves the message to the trash, if it rests there; `false` if it is gone.
    pub(super) fn remove(&mut self, message: &Message, resting: Resting) -> bool {
        let Some(position) = self.position(message) else {
            return false;
        };
        let message = self.messages.remove(position);
        if resting.keeps {
            self.trash.push(Trashed {
                message,
                deleted: resting.now,
            });
        }
        true
    }

    /// Forgets what has lain in the trash for long enough.
    pub(super) fn purge_older(&mut self, resting: Resting) {
        let Resting { now, gone_by, .. } = resting;
        let before = self.trash.len();
        self.trash
            .retain(|one| gone_by.is_none_or(|moment| one.deleted > moment));
        if self.trash.len() < before {
            self.note(Change {
                count: before - self.trash.len(),
                ..Change::due(ChangeKind::Purged, now, Vec::new())
            });
        }
    }

    /// Enters a change into the journal.
    pub(super) fn note(&mut self, change: Change) {
        self.journal.push(JournalEntry::Change(change));
    }

    /// Enters an edit of messages into the journal, if there are any; returns how many.
    pub(super) fn note_messages(
        &mut self,
        made: u64,
        kind: ChangeKind,
        device: Option<&ViewName>,
        messages: Vec<Vec<u8>>,
    ) -> usize {
        let count = messages.len();
        if count > 0 {
            self.note(Change {
                messages,
                ..edited(made, kind, device, count)
            });
        }
        count
    }

    pub(super) fn vanish(&mut self, unique_id: &[u8]) -> bool {
        let before = self.messages.len();
        self.messages.retain(|one| one.unique_id != unique_id);
        self.messages.len() < before
    }

    pub(super) fn kept(&self) -> Vec<KeptMessage> {
        self.shown()
            .map(|one| one.kept(None, &self.views))
            .collect()
    }

    pub(super) fn kept_in_trash(&self) -> Vec<KeptMessage> {
        let trash = self.trash.iter();
        let mut kept: Vec<_> = trash
            .map(|one| one.message.kept(Some(one.deleted), &self.views))
            .collect();
        kept.sort_by_key(|one| one.deleted);
        kept
    }

    /// Why the trash cannot give what is asked for.
    pub(super) fn refusal(&self, selection: &TrashSelection) -> Option<String> {
        let trash = self.trash.iter();
        selection.refusal(trash.map(|one| &*one.message.unique_id))
    }

    /// Puts messages back; returns their unique-ids.
    pub(super) fn restore(&mut self, selection: &TrashSelection) -> Vec<Vec<u8>> {
        let (chosen, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.trash)
            .into_iter()
            .partition(|one| one.is_meant_by(selection, &self.views));
        self.trash = kept;
        let mut ids = Vec::new();
        for Trashed { message, .. } in chosen {
            // Collectors delete unread what they think they have seen.
            let serial = self.new_serial();
            let unique_id = self.new_unique_id(serial);
            ids.push(unique_id.clone());
            let mut restored = message.under(serial, unique_id);
            let folder = restored.folder.take();
            restored.folder = folder.filter(|folder| self.folders.contains(folder));
            self.messages.push(Arc::new(restored));
        }
        self.messages.sort_by_key(|one| one.order);
        ids
    }

    /// The unique-ids of the messages that arrived before a moment.
    pub(super) fn arrived_before(&self, moment: u64) -> Vec<Vec<u8>> {
        let old = self.shown().filter(|one| one.arrived < moment);
        old.map(|one| one.unique_id.clone()).collect()
    }

    /// Moves to the trash what has to leave by these rules; returns their unique-ids.
    pub(super) fn let_go(
        &mut self,
        (policy, shows): (Policy, &Shows),
        present: Option<&ViewName>,
        resting: Resting,
    ) -> Vec<Vec<u8>> {
        let rules = Rules::new(&self.views, policy, present, resting.now);
        let leaving: Vec<_> = self
            .messages
            .iter()
            .filter(|one| {
                let waiting = one.waiting(&rules, shows);
                waiting
                    .is_some_and(|waiting| rules.let_go_from(waiting, &one.unique_id, one.arrived))
            })
            .cloned()
            .collect();
        let left = leaving.iter().filter(|one| self.remove(one, resting));
        left.map(|one| one.unique_id.clone()).collect()
    }

    /// As [`Mailbox::let_go`], when no session ends; the journal tells of it.
    pub(super) fn settle(
        &mut self,
        choice: (Policy, &Shows),
        (present, author): (Option<&ViewName>, Option<&str>),
        resting: Resting,
    ) -> usize {
        let left = self.let_go(choice, present, resting);
        let count = left.len();
        if count > 0 {
            self.note(Change {
                author: author.map(str::to_owned),
                ..Change::due(ChangeKind::Left, resting.now, left)
            });
        }
        count
    }

    /// Forgets messages of the trash; returns their unique-ids.
    pub(super) fn purge(&mut self, selection: &TrashSelection) -> Vec<Vec<u8>> {
        let views = &self.views;
        let meant = |one: &Trashed| one.is_meant_by(selection, views);
        let purged = self.trash.iter().filter(|one| meant(one));
        let purged = purged.map(|one| one.message.unique_id.clone()).collect();
        self.trash.retain(|one| !meant(one));
        purged
    }

    /// Moves to the trash what arrived before a moment; returns their unique-ids.
    pub(super) fn expire(&mut self, arrived_before: u64, now: u64) -> Vec<Vec<u8>> {
        let (expired, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.messages)
            .into_iter()
            .partition(|one| {
                let folder = one.folder.as_ref();
                let shown = folder.is_none_or(|folder| self.views.shown().contains(folder));
                shown && one.arrived < arrived_before
            });
        self.messages = kept;
        let ids = expired.iter().map(|one| one.unique_id.clone()).collect();
        self.trash
            .extend(expired.into_iter().map(|message| Trashed {
                message,
                deleted: now,
            }));
        ids
    }

    /// All or nothing; ids of messages that are not here are left out. How many messages have the
    /// wished id now, and whether that changes anything.
    pub(super) fn import(&mut self, pairs: &[(Vec<u8>, Vec<u8>)]) -> Result<(usize, bool), String> {
        let mut renamed = self.messages.clone();
        let mut imported = HashMap::new();
        let (mut count, mut changes) = (0, false);
        for (base_name, unique_id) in pairs {
            UniqueId::new(unique_id).map_err(|error| error.to_string())?;
            let before = imported.insert(base_name, unique_id);
            if before.is_some_and(|before| before != unique_id) {
                return Err("a message has two unique-ids".to_owned());
            }
            let Some(slot) = renamed.iter_mut().find(|one| one.base_name() == *base_name) else {
                continue;
            };
            count += 1;
            if slot.unique_id == *unique_id {
                continue;
            }
            if self.given.contains(unique_id) {
                return Err("a unique-id has been given to another message".to_owned());
            }
            *slot = Arc::new(slot.under(slot.serial, unique_id.clone()));
            changes = true;
        }
        let new: HashSet<_> = renamed.iter().map(|one| one.unique_id.clone()).collect();
        if new.len() < renamed.len() {
            return Err("a unique-id stands twice".to_owned());
        }
        self.given.extend(new);
        self.messages = renamed;
        Ok((count, changes))
    }

    fn position(&self, message: &Message) -> Option<usize> {
        self.messages
            .iter()
            .position(|one| one.serial == message.serial)
    }

    fn new_serial(&mut self) -> u64 {
        self.last_serial += 1;
        self.last_serial
    }

    /// `serial` is new, but an imported id may look like it.
    fn new_unique_id(&mut self, serial: u64) -> Vec<u8> {
        let mut unique_id = format!("m{serial}").into_bytes();
        while !self.given.insert(unique_id.clone()) {
            unique_id.push(b'+');
        }
        unique_id
    }
}

impl Trashed {
    fn is_meant_by(&self, selection: &TrashSelection, views: &Views) -> bool {
        selection.holds(self.deleted, &self.message.unique_id, views)
    }
}

impl Message {
    fn kept(&self, deleted: Option<u64>, views: &Views) -> KeptMessage {
        KeptMessage {
            unique_id: self.unique_id.clone(),
            folder: self.folder.clone().unwrap_or_else(FolderName::inbox),
            octets: self.octets.len() as u64,
            arrived: self.arrived,
            deleted,
            deleted_by: views.deleted_by(&self.unique_id),
        }
    }

    /// What a view shows of its folder; `None`: nothing of it.
    fn shown_as<'s>(&self, shows: &'s Shows) -> Option<Option<&'s ShownFolder>> {
        let Some(folder) = &self.folder else {
            return Some(None);
        };
        let mut shown = shows.folders.as_slice().iter();
        shown.find(|one| one.name == *folder).map(Some)
    }

    fn is_listed(&self, shows: &Shows) -> bool {
        match &shows.only {
            None => self.shown_as(shows).is_some(),
            Some(only) if only.is_inbox() => self.folder.is_none(),
            Some(only) => self.folder.as_ref() == Some(only),
        }
    }

    /// For whom it waits; `None`: nobody looks at its folder.
    fn waiting(&self, rules: &Rules<'_>, shows: &Shows) -> Option<Waiting> {
        let Some(folder) = &self.folder else {
            return Some(rules.for_inbox());
        };
        let is_chosen = self.shown_as(shows).is_some();
        let is_looked_at = is_chosen || shows.only.as_ref() == Some(folder);
        is_looked_at.then(|| rules.for_folder(folder, is_chosen))
    }

    pub(super) fn set_measured(&self) {
        self.measured.store(true, Ordering::Relaxed);
    }

    fn base_name(&self) -> Vec<u8> {
        format!("{}.memory", self.serial).into_bytes()
    }

    fn under(&self, serial: u64, unique_id: Vec<u8>) -> Self {
        Self {
            serial,
            order: self.order,
            arrived: self.arrived,
            unique_id,
            folder: self.folder.clone(),
            octets: self.octets.clone(),
            measured: AtomicBool::new(self.measured.load(Ordering::Relaxed)),
        }
    }
}

impl Listed {
    fn new(message: &Arc<Message>, shows: &Shows) -> Self {
        let shown = message.shown_as(shows).flatten();
        let tag = shown.and_then(|folder| folder.tag.as_ref());
        let tag = tag.filter(|_| shows.only.is_none());
        let tagging = tag.and_then(|tag| Insertion::of(tag, &message.octets));
        let mut listed = Self {
            message: Arc::clone(message),
            size: Octets(0),
            form: Form::Stored,
            tagging,
        };
        let (head, rest) = listed.parts();
        let mut counter = WireCounter::new();
        counter.update(&head.unwrap_or_default());
        counter.update(&rest);
        let measured = counter.finish();
        (listed.size, listed.form) = (measured.octets, measured.form);
        listed
    }

    /// The head that a tag makes, and the rest as it was delivered.
    pub(super) fn parts(&self) -> (Option<Bytes>, Bytes) {
        let octets = &self.message.octets;
        match &self.tagging {
            Some(tagging) => (Some(tagging.head(octets)), octets.slice(tagging.at..)),
            None => (None, octets.clone()),
        }
    }
}

impl Listing {
    pub(super) fn listed(&self, number: MessageNumber) -> Option<&Listed> {
        self.messages.get(number.index())
    }

    pub(super) fn message(&self, number: MessageNumber) -> Option<&Arc<Message>> {
        self.listed(number).map(|listed| &listed.message)
    }
}
