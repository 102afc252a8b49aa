//! Messages on their way through the chain.

use bytes::Bytes;

use super::{Begin, Chain, Kind, Outcome, Place, lock, unix_now};
use crate::{
    destination::{Destination as _, DestinationError, Incoming, Scope, Ticket},
    fingerprint::{Fingerprint, Fingerprinter},
    plan::Suspects,
    state::{EntryId, Named, PlaceId, Record},
    trouble::Trouble,
};

/// The message that is coming in.
pub(super) struct Current {
    pub(super) begin: Begin,
    fingerprinter: Fingerprinter,
    /// Indices of the places where it goes.
    wanted: Vec<usize>,
    failures: Vec<(Scope, Trouble)>,
}

/// A message that has come to its end.
pub(super) struct Grouped {
    pub(super) begin: Begin,
    pub(super) kind: Kind,
    pub(super) id: EntryId,
    pub(super) fingerprint: Fingerprint,
    seconds: u64,
    tickets: Vec<(PlaceId, Ticket)>,
    /// Where it has arrived.
    pub(super) arrived: Vec<PlaceId>,
    /// Where it certainly has not, though there is a ticket.
    pub(super) void: Vec<PlaceId>,
    pub(super) failures: Vec<(Scope, Trouble)>,
}

impl Grouped {
    /// What the state keeps while a message is being published.
    pub(super) fn intent(_: &[Place]) -> impl Fn(&Self) -> Option<Record> {
        |grouped| {
            let published = grouped.kind == Kind::Whole && !grouped.tickets.is_empty();
            published.then(|| Record::Mail {
                id: grouped.id,
                named: grouped.begin.named.clone(),
                fingerprint: grouped.fingerprint,
                seconds: grouped.seconds,
                tickets: grouped.tickets.clone(),
            })
        }
    }

    /// Nothing of it is at this place. Of a group that failed at once, one tells why.
    pub(super) fn failed_to_prepare(&mut self, place: PlaceId, error: Option<DestinationError>) {
        self.tickets.retain(|(id, _)| *id != place);
        let failure = match error {
            Some(error) => (error.scope(), Trouble::Destination(error)),
            None => (Scope::MessageNow, Trouble::NotPrepared),
        };
        self.failures.push(failure);
    }

    pub(super) fn published(
        &mut self,
        place: PlaceId,
        result: Option<Result<(), DestinationError>>,
    ) {
        match result {
            Some(Ok(())) => self.arrived.push(place),
            Some(Err(error)) => {
                let scope = error.scope();
                // Of a place in trouble nobody knows what became of it: its ticket stays.
                if scope != Scope::Place {
                    self.void.push(place);
                }
                self.failures.push((scope, Trouble::Destination(error)));
            }
            None => self.failures.push((Scope::Place, Trouble::NotPublished)),
        }
    }
}

impl Chain {
    pub(super) async fn begin(&mut self, begin: Begin) {
        self.break_off().await;
        if self.stopped {
            return;
        }
        let arrived = {
            let state = lock(&self.state);
            let entry = begin.entry.and_then(|id| state.seen().entry(id));
            entry.map(|it| it.arrived().to_vec()).unwrap_or_default()
        };
        let wanted = (0..self.places.len()).filter(|index| {
            let place = self.places.get(*index);
            place.is_some_and(|place| !arrived.contains(&place.id))
        });
        let mut current = Current {
            wanted: wanted.collect(),
            fingerprinter: Fingerprinter::default(),
            failures: Vec::new(),
            begin,
        };
        let incoming = Incoming {
            account: self.account.clone(),
            unique_id: current.begin.named.unique_id.clone(),
            announced: current.begin.named.announced,
            arrival: std::time::SystemTime::now(),
        };
        for index in current.wanted.clone() {
            if let Some(place) = self.places.get_mut(index) {
                let begun = place.destination.begin(&incoming).await;
                self.fall_away(&mut current, index, begun);
            }
        }
        let prefix = current.begin.prefix.clone();
        self.current = Some(current);
        if let Some(prefix) = prefix {
            self.write_everywhere(&prefix).await;
        }
    }

    pub(super) async fn write(&mut self, octets: &Bytes) {
        if let Some(current) = &mut self.current {
            current.fingerprinter.push(octets);
            self.write_everywhere(octets).await;
        }
    }

    async fn write_everywhere(&mut self, octets: &[u8]) {
        let Some(mut current) = self.current.take() else {
            return;
        };
        for index in current.wanted.clone() {
            if let Some(place) = self.places.get_mut(index) {
                let written = place.destination.write(octets).await;
                self.fall_away(&mut current, index, written);
            }
        }
        self.current = Some(current);
    }

    /// A place that has failed gets nothing more of this message.
    fn fall_away(
        &mut self,
        current: &mut Current,
        index: usize,
        result: Result<(), DestinationError>,
    ) {
        if let Err(error) = result {
            current.wanted.retain(|it| *it != index);
            let scope = error.scope();
            if scope == Scope::Place {
                // Others need not go on filling the line.
                self.stop(error);
            } else {
                current.failures.push((scope, Trouble::Destination(error)));
            }
        }
    }

    /// The message that is coming in leaves no trace.
    pub(super) async fn break_off(&mut self) {
        if let Some(current) = self.current.take() {
            self.abandon(&current.wanted).await;
        }
    }

    async fn abandon(&mut self, wanted: &[usize]) {
        for index in wanted {
            if let Some(place) = self.places.get_mut(*index) {
                place.destination.abandon().await;
            }
        }
    }

    /// The message that is coming in is whole.
    pub(super) async fn end(&mut self) {
        let Some(current) = self.current.take() else {
            return;
        };
        if self.stopped {
            return self.abandon(&current.wanted).await;
        }
        let Current {
            begin,
            fingerprinter,
            mut wanted,
            failures,
        } = current;
        let fingerprint = fingerprinter.finish();
        // That a message is too large may be known; who a whole one is, its octets tell.
        let mut id = begin.entry.filter(|_| begin.kind == Kind::Header);
        if begin.kind == Kind::Whole {
            match self.recognise(&begin, &fingerprint) {
                Who::New => {}
                Who::Here(entry) => {
                    self.abandon(&wanted).await;
                    self.rename(entry, &begin.named);
                    let tag = begin.tag;
                    return self.settle_later(Outcome::Known { tag, entry });
                }
                Who::Another => {
                    self.abandon(&wanted).await;
                    return self.settle_later(Outcome::Another { tag: begin.tag });
                }
                Who::Partly(entry, arrived) => {
                    id = Some(entry);
                    let (have, want) = wanted.into_iter().partition(|index| {
                        let place = self.places.get(*index);
                        place.is_some_and(|place| arrived.contains(&place.id))
                    });
                    let have: Vec<usize> = have;
                    wanted = want;
                    self.abandon(&have).await;
                }
            }
        }
        let id = id.unwrap_or_else(|| lock(&self.state).fresh());
        let grouped = Grouped {
            kind: begin.kind,
            begin,
            id,
            fingerprint,
            seconds: unix_now(),
            tickets: Vec::new(),
            arrived: Vec::new(),
            void: Vec::new(),
            failures,
        };
        self.finish(grouped, &wanted).await;
    }

    async fn finish(&mut self, mut grouped: Grouped, wanted: &[usize]) {
        let at = self.group.len();
        for index in wanted {
            let Some(place) = self.places.get_mut(*index) else {
                continue;
            };
            match place.destination.finish().await {
                Ok(ticket) => {
                    place.queue.push(at);
                    grouped.tickets.push((place.id, ticket));
                }
                Err(error) => {
                    let scope = error.scope();
                    let failure = (scope, Trouble::Destination(error));
                    grouped.failures.push(failure);
                }
            }
        }
        self.group_octets = self.group_octets.saturating_add(grouped.fingerprint.octets);
        self.group_since
            .get_or_insert_with(tokio::time::Instant::now);
        self.group.push(grouped);
    }

    fn rename(&self, entry: EntryId, named: &Named) {
        let mut state = lock(&self.state);
        let known = state.seen().entry(entry).map(|it| it.named.clone());
        if known.as_ref() != Some(named) {
            state.add(&Record::As(entry, named.clone()));
        }
    }

    /// Who a message is that has come to its end.
    fn recognise(&self, begin: &Begin, fingerprint: &Fingerprint) -> Who {
        let state = lock(&self.state);
        if let Some((id, entry)) = begin
            .entry
            .and_then(|id| Some((id, state.seen().entry(id)?)))
        {
            let arrived = entry.arrived().to_vec();
            return match arrived.is_empty() || entry.is_message(fingerprint) {
                true => Who::Partly(id, arrived),
                false => Who::Another,
            };
        }
        if begin.suspects == Suspects::Nobody {
            return Who::New;
        }
        let claimed = lock(&self.claims).by_content(&begin.suspects, fingerprint);
        let entry = claimed.and_then(|id| Some((id, state.seen().entry(id)?)));
        match entry {
            None => Who::New,
            Some((id, entry)) if entry.is_here() => Who::Here(id),
            Some((id, entry)) => Who::Partly(id, entry.arrived().to_vec()),
        }
    }
}

/// Who a message is.
enum Who {
    New,
    /// It is here.
    Here(EntryId),
    /// It has arrived at these places.
    Partly(EntryId, Vec<PlaceId>),
    /// It is not what has arrived at a part of the places.
    Another,
}
