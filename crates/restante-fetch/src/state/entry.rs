//! What is known of one message.

use super::{
    place::PlaceId,
    record::{Deletion, EntryId, Named, Record},
};
use crate::{
    destination::Ticket,
    fingerprint::{Digest, Fingerprint},
};

/// What is known of one message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// How the server names it.
    pub named: Named,
    /// When it was fetched, or set aside, or found too large: Unix time.
    pub seconds: u64,
    /// Who it is; `None`: it was never fetched.
    pub fingerprint: Option<Fingerprint>,
    /// The header that TOP sends, where that is another than RETR's.
    pub top: Option<Digest>,
    /// What became of it.
    pub standing: Standing,
    /// How far its deletion has come.
    pub deletion: Deletion,
    /// When the server has refused to delete it, and has not done it since: Unix time.
    pub refused: Option<u64>,
    /// Since when it is in no listing: Unix time.
    pub absent_since: Option<u64>,
}

/// What became of a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It has not arrived wherever it is wanted.
    Underway {
        /// Where it may have arrived.
        tickets: Vec<(PlaceId, Ticket)>,
        /// Where it has.
        arrived: Vec<PlaceId>,
    },
    /// It has arrived.
    Here,
    /// It could not be fetched or delivered; it stays on the server.
    Aside {
        /// How often that was tried.
        tries: u32,
        /// Why not, printable.
        why: String,
        /// Where it has arrived all the same.
        arrived: Vec<PlaceId>,
    },
    /// It is larger than is wanted; it stays on the server.
    Large {
        /// Its header was delivered.
        headers: bool,
    },
}

impl Entry {
    pub(super) fn new(named: Named, seconds: u64, standing: Standing) -> Self {
        Self {
            named,
            seconds,
            fingerprint: None,
            top: None,
            standing,
            deletion: Deletion::None,
            refused: None,
            absent_since: None,
        }
    }

    /// Whether it has arrived wherever it was wanted.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.standing == Standing::Here
    }

    /// Whether it is this message, octet for octet.
    #[must_use]
    pub fn is_message(&self, fingerprint: &Fingerprint) -> bool {
        let known = self.fingerprint.as_ref();
        known.is_some_and(|known| known.is_same(fingerprint))
    }

    /// Where it has arrived, as long as there are places where it has not.
    #[must_use]
    pub fn arrived(&self) -> &[PlaceId] {
        match &self.standing {
            Standing::Underway { arrived, .. } | Standing::Aside { arrived, .. } => arrived,
            Standing::Here | Standing::Large { .. } => &[],
        }
    }

    /// How often it was tried in vain, and set aside.
    #[must_use]
    pub fn tries(&self) -> u32 {
        match self.standing {
            Standing::Aside { tries, .. } => tries,
            _ => 0,
        }
    }

    pub(super) fn arrived_at(&mut self, place: PlaceId) {
        match &mut self.standing {
            Standing::Underway { tickets, arrived } => {
                tickets.retain(|(id, _)| *id != place);
                if !arrived.contains(&place) {
                    arrived.push(place);
                }
            }
            Standing::Aside { arrived, .. } if !arrived.contains(&place) => arrived.push(place),
            _ => {}
        }
    }

    pub(super) fn lost_at(&mut self, place: PlaceId) {
        if let Standing::Underway { tickets, .. } = &mut self.standing {
            tickets.retain(|(id, _)| *id != place);
        }
    }

    /// The records from which it can be read again.
    pub(super) fn records(&self, id: EntryId) -> Vec<Record> {
        let named = self.named.clone();
        let seconds = self.seconds;
        let mut records = Vec::new();
        if let Some(fingerprint) = self.fingerprint {
            let tickets = match &self.standing {
                Standing::Underway { tickets, .. } => tickets.clone(),
                _ => Vec::new(),
            };
            records.push(Record::Mail {
                id,
                named: named.clone(),
                fingerprint,
                seconds,
                tickets,
            });
        }
        match &self.standing {
            Standing::Underway { .. } => {}
            Standing::Here => records.push(Record::Here(vec![id])),
            Standing::Aside { tries, why, .. } => records.push(Record::Aside {
                id,
                named,
                seconds,
                tries: *tries,
                why: why.clone(),
            }),
            Standing::Large { headers } => records.push(Record::Large {
                id,
                named,
                seconds,
                headers: *headers,
            }),
        }
        records.extend(self.arrived().iter().map(|place| Record::At(id, *place)));
        records.extend(self.top.map(|digest| Record::Top(id, digest)));
        if self.deletion != Deletion::None {
            records.push(Record::Deletion(self.deletion, vec![id]));
        }
        records.extend(self.refused.map(|it| Record::Refused(it, vec![id])));
        records.extend(self.absent_since.map(|it| Record::Absent(it, vec![id])));
        records
    }
}
