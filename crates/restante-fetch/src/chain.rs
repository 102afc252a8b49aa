//! From octets to `deletable`: the chain in which a message is made safe.
//!
//! ```text
//! 1 messages      ─► every destination, streamed, not visible
//! 2 prepare       ─► durable there                                  one flush for the group
//! 3 state         ─► who they are, and the destinations' tickets    one flush for the group
//! 4 publish       ─► visible, and that durable                      one flush for the group
//! 5 state         ─► they are here                                  with the next group's 3
//! 6 outcome       ─► DELE may follow
//! ```
//!
//! A crash after 3 is resolved by the tickets; one before it leaves nothing. While a group is made
//! durable, the next one comes in: the feed holds some of it, and the line does not stop.

mod feed;
mod group;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::mpsc::{Receiver, UnboundedSender},
    time::{Instant, timeout_at},
};

pub(crate) use self::feed::{Begin, Break, Ended, Feed, Feeder, Kind, Outcome, Tag};
use self::group::{Current, Grouped};
use crate::{
    claims::Claims,
    destination::{AnyDestination, Destination as _, Recovered, Scope},
    plan::Policy,
    state::{Deletion, EntryId, PlaceId, Record, Standing, State, StateError},
    trouble::Trouble,
};

/// A group has at most so many messages,
const GROUP_MESSAGES_MAX: usize = 128;
/// so many octets, by its last message more,
const GROUP_OCTETS_MAX: u64 = 8 * 1024 * 1024;
/// and waits at most so long for the next message.
const GROUP_AGE_MAX: Duration = Duration::from_secs(1);
/// Before a message of such a size, those that are whole are made safe.
const LARGE_OCTETS: u64 = 1024 * 1024;

/// However often a line breaks within a message, it is tried again at once; only its turn comes last.
const TRIES_OF_THE_LINE_MAX: u32 = 1;

/// The state, shared by those who work on one account.
pub(crate) type SharedState = Arc<Mutex<State>>;

/// A place for mail, and what of the group was finished there.
pub(crate) struct Place {
    pub(crate) id: PlaceId,
    pub(crate) destination: AnyDestination,
    /// Indices into the group.
    queue: Vec<usize>,
}

/// The chain of one account.
pub(crate) struct Chain {
    pub(crate) account: String,
    pub(crate) policy: Policy,
    pub(crate) state: SharedState,
    pub(crate) places: Vec<Place>,
    claims: Arc<Mutex<Claims>>,
    outcomes: UnboundedSender<Outcome>,
    current: Option<Current>,
    group: Vec<Grouped>,
    group_octets: u64,
    group_since: Option<Instant>,
    /// What became of messages, told when the state has it durably.
    settled: Vec<Outcome>,
    settled_since: Option<Instant>,
    /// Nothing more is taken.
    stopped: bool,
}

impl Place {
    pub(crate) fn new(destination: AnyDestination) -> Self {
        Self {
            id: PlaceId::of(destination.label()),
            destination,
            queue: Vec::new(),
        }
    }
}

impl Chain {
    pub(crate) fn new(
        (account, policy): (&str, Policy),
        state: SharedState,
        places: Vec<Place>,
        claims: Arc<Mutex<Claims>>,
        outcomes: UnboundedSender<Outcome>,
    ) -> Self {
        Self {
            account: account.into(),
            policy,
            state,
            places,
            claims,
            outcomes,
            current: None,
            group: Vec::new(),
            group_octets: 0,
            group_since: None,
            settled: Vec::new(),
            settled_since: None,
            stopped: false,
        }
    }

    /// Works until nothing more is fed; gives the places back.
    pub(crate) async fn run(mut self, mut feed: Receiver<Feed>) -> Vec<Place> {
        loop {
            let next = match self.deadline() {
                Some(deadline) => timeout_at(deadline, feed.recv()).await,
                None => Ok(feed.recv().await),
            };
            match next {
                Err(_elapsed) if self.current.is_none() => self.settle_all().await,
                Err(_elapsed) => self.settle().await,
                Ok(None) => break,
                Ok(Some(fed)) => self.take(fed).await,
            }
        }
        self.break_off().await;
        self.settle_all().await;
        self.places
    }

    async fn take(&mut self, fed: Feed) {
        match fed {
            Feed::Begin(begin) => {
                let large = begin.named.announced.is_some_and(|it| it >= LARGE_OCTETS);
                let late = self.deadline().is_some_and(|it| it <= Instant::now());
                if large || late {
                    self.settle_all().await;
                }
                self.begin(*begin).await;
            }
            Feed::Data(octets, _room) => self.write(&octets).await,
            Feed::End => {
                self.end().await;
                if self.is_full() {
                    self.commit().await;
                }
            }
            Feed::Broken(why) => {
                let current = self.current.as_ref().map(|it| it.begin.clone());
                self.break_off().await;
                match (current, why) {
                    (Some(begin), Break::Line(why)) => {
                        self.put_aside(&begin, &why, TRIES_OF_THE_LINE_MAX);
                    }
                    (Some(begin), Break::Message(why)) => self.set_aside(&begin, why),
                    _ => {}
                }
            }
            Feed::Refused { begin, why } => self.set_aside(&begin, why),
            Feed::Told(records) => self.add(&records),
            Feed::Flush => self.settle_all().await,
        }
    }

    /// When what is finished must be made safe. While a message is coming in, the group waits for
    /// its end: its deadline would have passed again and again.
    fn deadline(&self) -> Option<Instant> {
        let group_since = self.group_since.filter(|_| self.current.is_none());
        let since = match (group_since, self.settled_since) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        since.map(|since| since + GROUP_AGE_MAX)
    }

    fn is_full(&self) -> bool {
        let max = |place: &Place| place.destination.group_messages_max();
        let messages_max = self.places.iter().map(max).min().unwrap_or(1);
        self.group.len() >= messages_max.clamp(1, GROUP_MESSAGES_MAX)
            || self.group_octets >= GROUP_OCTETS_MAX
    }

    /// Makes safe what is finished, and tells what became of it.
    async fn settle_all(&mut self) {
        self.commit().await;
        self.settle().await;
    }

    /// Makes the state durable, and tells what became of the messages before.
    async fn settle(&mut self) {
        self.settled_since = None;
        if self.settled.is_empty() {
            return;
        }
        if let Err(error) = sync(&self.state).await {
            self.settled.clear();
            return self.stop(Trouble::State(error));
        }
        for outcome in self.settled.drain(..) {
            // Nobody need be there any more: what is settled is settled.
            let _ = self.outcomes.send(outcome);
        }
    }

    /// Steps 2 to 4, and what of 5 needs no flush.
    async fn commit(&mut self) {
        self.group_since = None;
        self.group_octets = 0;
        if self.group.is_empty() {
            return;
        }
        self.prepare().await;
        let intents: Vec<Record> = self
            .group
            .iter()
            .filter_map(Grouped::intent(&self.places))
            .collect();
        self.add(&intents);
        if let Err(error) = sync(&self.state).await {
            // Nobody knows what is in the state: what was prepared is not to appear, and goes with
            // its destination.
            self.group.clear();
            self.places.clear();
            self.settled.clear();
            return self.stop(Trouble::State(error));
        }
        for outcome in self.settled.drain(..) {
            let _ = self.outcomes.send(outcome);
        }
        self.settled_since = None;
        self.publish().await;
        for grouped in std::mem::take(&mut self.group) {
            self.conclude(grouped);
        }
    }

    async fn prepare(&mut self) {
        for place in &mut self.places {
            if place.queue.is_empty() {
                continue;
            }
            if let Err(error) = place.destination.prepare().await {
                let mut error = Some(error);
                for index in place.queue.drain(..) {
                    if let Some(grouped) = self.group.get_mut(index) {
                        grouped.failed_to_prepare(place.id, error.take());
                    }
                }
            }
        }
    }

    async fn publish(&mut self) {
        for place in &mut self.places {
            let queue = std::mem::take(&mut place.queue);
            if queue.is_empty() {
                continue;
            }
            let mut results = place.destination.publish().await.into_iter();
            for index in queue {
                let result = results.next();
                if let Some(grouped) = self.group.get_mut(index) {
                    grouped.published(place.id, result);
                }
            }
        }
    }

    /// What became of a message of the group, once that is durable.
    fn conclude(&mut self, grouped: Grouped) {
        let begin = grouped.begin;
        let id = grouped.id;
        let mut records: Vec<Record> = Vec::new();
        if grouped.failures.is_empty() {
            let now = unix_now();
            if grouped.kind == Kind::Header {
                let (named, seconds) = (begin.named.clone(), now);
                records.push(Record::Large {
                    id,
                    named,
                    seconds,
                    headers: true,
                });
            } else {
                records.push(Record::Here(vec![id]));
                if self.policy.is_due(now, now) {
                    records.push(Record::Deletion(Deletion::Wanted, vec![id]));
                }
            }
            self.add(&records);
            let octets = grouped.fingerprint.octets;
            return self.settle_later(match grouped.kind {
                Kind::Header => Outcome::HeaderHere { tag: begin.tag },
                Kind::Whole => Outcome::Here {
                    tag: begin.tag,
                    entry: id,
                    octets,
                },
            });
        }
        if grouped.kind == Kind::Whole {
            records.extend(grouped.arrived.iter().map(|place| Record::At(id, *place)));
            records.extend(grouped.void.iter().map(|place| Record::Lost(id, *place)));
            self.add(&records);
        }
        self.failed(id, begin, grouped.failures);
    }

    /// A message did not arrive wherever it is wanted. However many places refuse it, that is one
    /// failure, and told once.
    fn failed(&mut self, id: EntryId, begin: Begin, failures: Vec<(Scope, Trouble)>) {
        let (mut reasons, mut for_good) = (Vec::new(), false);
        for (scope, failure) in failures {
            match scope {
                Scope::Place => self.stop(failure),
                Scope::Message | Scope::MessageNow => {
                    for_good |= scope == Scope::Message;
                    reasons.push(failure.to_string());
                }
            }
        }
        if reasons.is_empty() {
            return;
        }
        let (tag, why) = (begin.tag, reasons.join("; "));
        match for_good {
            true => {
                let entry = Some(id);
                self.set_aside(&Begin { entry, ..begin }, why);
            }
            false => self.settle_later(Outcome::Failed { tag, why }),
        }
    }

    /// A message cannot be had, or not be delivered: the others go on without it.
    fn set_aside(&mut self, begin: &Begin, why: String) {
        self.put_aside(begin, &why, u32::MAX);
        let tag = begin.tag;
        self.settle_later(Outcome::Failed { tag, why });
    }

    fn put_aside(&self, begin: &Begin, why: &str, tries_max: u32) {
        if begin.kind == Kind::Header {
            return;
        }
        let mut state = lock(&self.state);
        let known = begin.entry.filter(|id| state.seen().entry(*id).is_some());
        let id = match known {
            Some(id) => id,
            // What has no name cannot be found again by it.
            None if begin.named.unique_id.is_none() => return,
            None => state.fresh(),
        };
        state.add(&Record::Aside {
            id,
            named: begin.named.clone(),
            seconds: unix_now(),
            tries: begin
                .tries
                .saturating_add(1)
                .min(tries_max.max(begin.tries)),
            why: why.into(),
        });
    }

    fn settle_later(&mut self, outcome: Outcome) {
        self.settled.push(outcome);
        self.settled_since.get_or_insert_with(Instant::now);
    }

    fn add(&self, records: &[Record]) {
        let mut state = lock(&self.state);
        records.iter().for_each(|record| state.add(record));
    }

    fn stop(&mut self, trouble: impl Into<Trouble>) {
        if !std::mem::replace(&mut self.stopped, true) {
            let _ = self.outcomes.send(Outcome::Stopped(trouble.into()));
        }
    }
}

/// Finds out what became of messages whose publishing was not recorded, and makes that durable.
///
/// # Errors
/// Nobody knows at the moment; nothing else may be done before.
pub(crate) async fn recover(state: &SharedState, places: &mut [Place]) -> Result<(), Trouble> {
    let open: Vec<_> = {
        let state = lock(state);
        let entries = state.seen().entries();
        let underway = entries.filter_map(|(id, entry)| match &entry.standing {
            Standing::Underway { tickets, arrived } => Some((id, tickets.clone(), arrived.clone())),
            _ => None,
        });
        underway.collect()
    };
    let mut records = Vec::new();
    for (id, tickets, mut arrived) in open {
        for (place_id, ticket) in tickets {
            let place = places.iter_mut().find(|place| place.id == place_id);
            let recovered = match place {
                Some(place) => place.destination.recover(&ticket).await,
                // Nobody wants it there any more.
                None => Ok(Recovered::Lost),
            };
            match recovered {
                Ok(Recovered::Arrived) => {
                    records.push(Record::At(id, place_id));
                    arrived.push(place_id);
                }
                Ok(Recovered::Lost) => records.push(Record::Lost(id, place_id)),
                // It would never be taken: it is fetched, and set aside, anew.
                Err(error) if error.scope() == Scope::Message => {
                    records.push(Record::Lost(id, place_id));
                }
                Err(error) => return Err(Trouble::Destination(error)),
            }
        }
        if places.iter().all(|place| arrived.contains(&place.id)) {
            records.push(Record::Here(vec![id]));
        } else if arrived.is_empty() {
            records.push(Record::Forget(vec![id]));
        }
    }
    {
        let mut state = lock(state);
        records.iter().for_each(|record| state.add(record));
    }
    sync(state).await.map_err(Trouble::State)
}

/// Makes the state durable, off the runtime's own threads.
pub(crate) async fn sync(state: &SharedState) -> Result<(), StateError> {
    let held = state.clone();
    let synced = tokio::task::spawn_blocking(move || lock(&held).sync()).await;
    // It panicked, or the runtime is ending: nothing is known to be durable.
    synced.unwrap_or_else(|_| Err(lock(state).give_up()))
}

/// A panic of somebody who held it leaves nothing half done that could hurt: records are whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
