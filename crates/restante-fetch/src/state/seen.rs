//! What is known of an account's messages: the records put together.

use std::collections::{BTreeMap, HashMap};

use super::{
    entry::{Entry, Standing},
    record::{Deletion, EntryId, Record},
};

/// What is known of an account's messages. Pure: it comes from the records alone.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Seen {
    entries: BTreeMap<EntryId, Entry>,
    /// Several messages may have one unique-id: servers make mistakes.
    by_unique_id: HashMap<Option<Vec<u8>>, Vec<EntryId>>,
    /// The highest name in any record: none is given twice.
    last: u64,
}

impl Seen {
    /// An entry.
    #[must_use]
    pub fn entry(&self, id: EntryId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    /// All entries, the oldest first.
    pub fn entries(&self) -> impl Iterator<Item = (EntryId, &Entry)> {
        self.entries.iter().map(|(id, entry)| (*id, entry))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries of a unique-id, or of messages that have none.
    pub fn named(&self, unique_id: Option<&[u8]>) -> impl Iterator<Item = (EntryId, &Entry)> {
        let ids = self.by_unique_id.get(&unique_id.map(Into::into));
        let ids = ids.map_or(&[][..], Vec::as_slice);
        ids.iter().filter_map(|id| Some((*id, self.entry(*id)?)))
    }

    /// Whether any message has a unique-id.
    #[must_use]
    pub fn has_unique_ids(&self) -> bool {
        self.by_unique_id.keys().any(Option::is_some)
    }

    /// A name for a new entry.
    pub(crate) fn fresh(&mut self) -> EntryId {
        self.last += 1;
        EntryId(self.last)
    }

    /// Takes a record; `false`: it makes no sense here.
    pub(crate) fn apply(&mut self, record: &Record) -> bool {
        match record {
            Record::Mail {
                id,
                named,
                fingerprint,
                seconds,
                tickets,
            } => {
                let (arrived, top) = match self.entries.get(id) {
                    Some(old) if old.is_message(fingerprint) => (old.arrived().to_vec(), old.top),
                    _ => (Vec::new(), None),
                };
                // Where it has arrived, nothing is to be found out any more.
                let open = tickets.iter().filter(|(place, _)| !arrived.contains(place));
                let tickets = open.cloned().collect();
                let standing = Standing::Underway { tickets, arrived };
                let mut entry = Entry::new(named.clone(), *seconds, standing);
                entry.fingerprint = Some(*fingerprint);
                entry.top = top;
                self.put(*id, entry)
            }
            Record::Aside {
                id,
                named,
                seconds,
                tries,
                why,
            } => {
                let old = self.entries.get(id);
                let standing = Standing::Aside {
                    tries: *tries,
                    why: why.clone(),
                    arrived: old.map(|it| it.arrived().to_vec()).unwrap_or_default(),
                };
                let fingerprint = old.and_then(|old| old.fingerprint);
                let mut entry = Entry::new(named.clone(), *seconds, standing);
                entry.fingerprint = fingerprint;
                self.put(*id, entry)
            }
            Record::Large {
                id,
                named,
                seconds,
                headers,
            } => {
                let standing = Standing::Large { headers: *headers };
                self.put(*id, Entry::new(named.clone(), *seconds, standing))
            }
            Record::At(id, place) => self.change(*id, |it| it.arrived_at(*place)),
            Record::Lost(id, place) => self.change(*id, |it| it.lost_at(*place)),
            Record::Top(id, digest) => self.change(*id, |it| it.top = Some(*digest)),
            Record::As(id, named) => match self.entries.remove(id) {
                None => false,
                Some(mut entry) => {
                    self.unname(&entry, *id);
                    entry.named = named.clone();
                    entry.absent_since = None;
                    self.put(*id, entry)
                }
            },
            Record::Here(ids) => self.each(ids, |it| {
                if it.fingerprint.is_some() {
                    it.standing = Standing::Here;
                }
            }),
            Record::Deletion(stage, ids) => self.each(ids, |it| {
                it.deletion = *stage;
                if *stage >= Deletion::Sent {
                    it.refused = None;
                }
            }),
            Record::Refused(at, ids) => self.each(ids, |it| it.refused = Some(*at)),
            Record::Absent(since, ids) => self.each(ids, |it| it.absent_since = Some(*since)),
            Record::Present(ids) => self.each(ids, |it| it.absent_since = None),
            Record::Forget(ids) => {
                let mut known = true;
                for id in ids {
                    match self.entries.remove(id) {
                        Some(entry) => self.unname(&entry, *id),
                        None => known = false,
                    }
                }
                known
            }
        }
    }

    /// The records from which all this can be read again.
    pub(super) fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.entries().flat_map(|(id, entry)| entry.records(id))
    }

    fn put(&mut self, id: EntryId, entry: Entry) -> bool {
        self.last = self.last.max(id.0);
        let unique_id = entry.named.unique_id.clone();
        if let Some(old) = self.entries.insert(id, entry) {
            self.unname(&old, id);
        }
        self.by_unique_id.entry(unique_id).or_default().push(id);
        true
    }

    fn unname(&mut self, entry: &Entry, id: EntryId) {
        if let Some(ids) = self.by_unique_id.get_mut(&entry.named.unique_id) {
            ids.retain(|it| *it != id);
            if ids.is_empty() {
                self.by_unique_id.remove(&entry.named.unique_id);
            }
        }
    }

    fn change(&mut self, id: EntryId, change: impl FnOnce(&mut Entry)) -> bool {
        self.last = self.last.max(id.0);
        self.entries.get_mut(&id).map(change).is_some()
    }

    fn each(&mut self, ids: &[EntryId], mut change: impl FnMut(&mut Entry)) -> bool {
        let mut known = true;
        for id in ids {
            known &= self.change(*id, &mut change);
        }
        known
    }
}
