//! What to do with a listing: pure, so that it can be shown without being done.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use restante_client::{Listed, Listing, MessageNumber};

use crate::state::{Deletion, Entry, EntryId, Named, Seen, Standing};

/// What is absent from every listing for so long is forgotten (PRJ-FETCH-2).
pub const FORGET_AFTER: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// A message that was set aside is tried again at once so many times,
const TRIES_AT_ONCE: u32 = 3;
/// and then after such a time.
const TRY_ASIDE_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// A server that has refused to delete a message is asked again after such a time.
const DELETE_AGAIN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// What an account wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Policy {
    /// How long mail stays on the server.
    pub keep: Keep,
    /// Larger messages stay on the server.
    pub message_octets_max: u64,
    /// What happens to them.
    pub larger: Larger,
    /// What happens to mail of a server that knows no unique-ids.
    pub nameless: Nameless,
}

/// How long mail stays on its server after it has arrived here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Keep {
    /// Not at all.
    Delete,
    /// So long.
    For(Duration),
    /// Always.
    Forever,
}

/// What happens to a message that is larger than is wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Larger {
    /// It stays on the server, with one notice.
    Leave,
    /// Its header is delivered, once, and it stays on the server.
    Headers,
}

/// What happens to mail of a server that knows no unique-ids: nothing is guessed by number
/// (PRJ-FETCH-5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Nameless {
    /// Who a message is, its header tells, which TOP sends; and where that cannot tell, the message.
    Identify,
    /// Each message is fetched and then deleted, however long others stay on their servers.
    Delete,
}

/// What to do with one message of a listing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Step {
    /// Its number in this session.
    pub number: MessageNumber,
    /// How the server names it.
    pub named: Named,
    /// What to do.
    pub deed: Deed,
}

/// What to do with a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Deed {
    /// Fetch it. If it turns out to be one of the suspects, it is here already.
    Retrieve {
        /// Which messages it may be.
        suspects: Suspects,
        /// What is known of it, if it did not arrive wherever it was wanted, or was set aside.
        entry: Option<EntryId>,
    },
    /// Ask for its header, to see which of the suspects it is; then fetch it if it is none.
    Identify {
        /// Which messages it may be.
        suspects: Suspects,
    },
    /// It is here and may go: ask for its header, to see that it still is what it was; then delete
    /// it, or fetch it.
    Check {
        /// Which it is.
        entry: EntryId,
    },
    /// It is larger than is wanted: fetch its header.
    Header {
        /// Which it is, if that it is too large was said before.
        entry: Option<EntryId>,
    },
    /// It is larger than is wanted: say so, once.
    TooLarge,
    /// Nothing.
    Leave {
        /// Which it is.
        entry: EntryId,
        /// Why nothing is done.
        stays: Stays,
    },
}

/// Which of the known messages a listed one may be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Suspects {
    /// None: it is new.
    Nobody,
    /// One of these, in ascending order.
    These(Arc<[EntryId]>),
    /// One of those that are missing: many unique-ids have changed at once.
    Missing,
}

/// Why a message stays where it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stays {
    /// It is here, and is kept on the server.
    Kept,
    /// It is too large, and that was said.
    Large,
    /// It was set aside.
    Aside,
    /// It is here and may go, and the server has refused to delete it.
    Undeleted,
}

/// What to do with a listing, and what it tells of messages that are known.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Plan {
    /// What to do, in this order.
    pub steps: Vec<Step>,
    /// Messages that [`Suspects::Missing`] stands for.
    pub missing: Vec<EntryId>,
    /// Known messages that are not listed any more.
    pub absent: Vec<EntryId>,
    /// Known messages that are listed again.
    pub present: Vec<EntryId>,
    /// Messages whose deletion the listing confirms.
    pub gone: Vec<EntryId>,
    /// Messages that nothing need be known of any more.
    pub forget: Vec<EntryId>,
}

impl Suspects {
    fn these(mut ids: Vec<EntryId>) -> Self {
        ids.sort_unstable();
        match ids.is_empty() {
            true => Self::Nobody,
            false => Self::These(ids.into()),
        }
    }
}

impl Policy {
    /// What is wanted of the mail of this listing.
    #[must_use]
    pub fn for_listing(self, listing: &Listing, seen: &Seen) -> Self {
        match self.fetches_all(listing, seen) {
            true => Self {
                keep: Keep::Delete,
                ..self
            },
            false => self,
        }
    }

    /// A server that has told unique-ids before only refuses them now: nothing is deleted for that.
    fn fetches_all(&self, listing: &Listing, seen: &Seen) -> bool {
        let knows_none = !listing.has_unique_ids && !seen.has_unique_ids();
        self.nameless == Nameless::Delete && knows_none
    }

    /// Whether a message that has been here since `arrived` leaves the server at `now`.
    #[must_use]
    pub fn is_due(&self, arrived: u64, now: u64) -> bool {
        match self.keep {
            Keep::Delete => true,
            // A clock that went back makes nothing due.
            Keep::For(duration) => now
                .checked_sub(arrived)
                .is_some_and(|age| age >= duration.as_secs()),
            Keep::Forever => false,
        }
    }

    /// Whether DELE is to be asked for a message that is here, at `now`.
    pub(crate) fn is_to_go(&self, entry: &Entry, now: u64) -> bool {
        self.is_due(entry.seconds, now) && !was_refused_lately(entry, now)
    }
}

fn was_refused_lately(entry: &Entry, now: u64) -> bool {
    // A clock that went back asks again.
    let age = entry.refused.and_then(|at| now.checked_sub(at));
    age.is_some_and(|age| age < DELETE_AGAIN_AFTER.as_secs())
}

impl Plan {
    /// What to do with `listing`, which came whole, at `now`, Unix time.
    #[must_use]
    pub fn new(listing: &Listing, seen: &Seen, policy: &Policy, now: u64) -> Self {
        let planner = Planner {
            seen,
            policy: policy.for_listing(listing, seen),
            now,
            fetches_all: policy.fetches_all(listing, seen),
            listed: HashSet::new(),
            suspects: HashMap::new(),
        };
        planner.plan(listing)
    }
}

struct Planner<'s> {
    seen: &'s Seen,
    policy: Policy,
    now: u64,
    /// No header is asked for: the messages themselves tell.
    fetches_all: bool,
    /// Entries that are in the listing, or may be.
    listed: HashSet<EntryId>,
    /// Whom a unique-id that several messages have may mean: made once, however many those are.
    suspects: HashMap<Option<Vec<u8>>, Suspects>,
}

impl Planner<'_> {
    fn plan(mut self, listing: &Listing) -> Plan {
        let mut counts: HashMap<Option<Vec<u8>>, usize> = HashMap::new();
        let named: Vec<Named> = listing.messages.iter().map(named).collect();
        for named in &named {
            *counts.entry(named.unique_id.clone()).or_default() += 1;
        }
        let mut steps = Vec::with_capacity(named.len());
        for (listed, named) in listing.messages.iter().zip(named) {
            let alone = named.unique_id.is_some() && counts.get(&named.unique_id) == Some(&1);
            let deed = match alone {
                true => self.by_unique_id(&named),
                false => self.without_unique_id(&named),
            };
            let number = listed.number;
            steps.push(Step {
                number,
                named,
                deed,
            });
        }
        let mut plan = self.known(&counts);
        plan.missing = self.suspect_migration(&mut steps, &counts);
        // What is new comes first, and what has failed before comes last: neither that nor a TOP at
        // which a server breaks down keeps new mail from coming. The order is else that of the
        // listing.
        steps.sort_by_key(|step| self.rank(&step.deed));
        plan.steps = steps;
        plan
    }

    /// A message whose unique-id no other has.
    fn by_unique_id(&mut self, named: &Named) -> Deed {
        let entries = self.seen.named(named.unique_id.as_deref());
        let known: Vec<(EntryId, &Entry)> = entries.collect();
        let fits = |entry: &Entry| match (entry.named.announced, named.announced) {
            (Some(before), Some(now)) => before == now,
            _ => true,
        };
        // The newest first: an older one was another message.
        let found = known.iter().rev().find(|(_, entry)| fits(entry));
        if let Some((id, entry)) = found {
            self.listed.insert(*id);
            return self.of_known(*id, entry, named);
        }
        let here = known.iter().filter(|(_, entry)| entry.is_here());
        let suspects = here.map(|(id, _)| *id).collect();
        // Of another size: it may be another message, which nobody has seen.
        self.new_message(named, Suspects::these(suspects))
    }

    /// A message that has no unique-id, or one that others have too: nothing is guessed by number
    /// (PRJ-FETCH-5).
    fn without_unique_id(&mut self, named: &Named) -> Deed {
        let suspects = self.suspects_of(named);
        if self.is_too_large(named) {
            let entries = self.seen.named(named.unique_id.as_deref());
            let mut large = entries.filter(|(id, entry)| {
                let large = matches!(entry.standing, Standing::Large { .. });
                large && entry.named == *named && !self.listed.contains(id)
            });
            let Some((id, entry)) = large.next() else {
                return self.new_message(named, suspects);
            };
            self.listed.insert(id);
            return self.of_known(id, entry, named);
        }
        match suspects == Suspects::Nobody || self.fetches_all {
            true => self.new_message(named, suspects),
            false => Deed::Identify { suspects },
        }
    }

    fn suspects_of(&mut self, named: &Named) -> Suspects {
        let made = self.suspects.entry(named.unique_id.clone());
        let made = made.or_insert_with(|| {
            let entries = self.seen.named(named.unique_id.as_deref());
            let may_be = |entry: &Entry| entry.fingerprint.is_some() && !is_gone(entry);
            let ids = entries.filter(|(_, entry)| may_be(entry));
            Suspects::these(ids.map(|(id, _)| id).collect())
        });
        made.clone()
    }

    fn of_known(&self, id: EntryId, entry: &Entry, named: &Named) -> Deed {
        let leave = |stays| Deed::Leave { entry: id, stays };
        let again = Deed::Retrieve {
            suspects: Suspects::Nobody,
            entry: Some(id),
        };
        match &entry.standing {
            Standing::Here if self.policy.is_to_go(entry, self.now) => Deed::Check { entry: id },
            Standing::Here if self.policy.is_due(entry.seconds, self.now) => {
                leave(Stays::Undeleted)
            }
            Standing::Here => leave(Stays::Kept),
            Standing::Underway { .. } => again,
            Standing::Aside { .. } => match waits_aside(entry, self.now) {
                true => leave(Stays::Aside),
                false => again,
            },
            Standing::Large { .. } if !self.is_too_large(named) => Deed::Retrieve {
                suspects: Suspects::Nobody,
                entry: None,
            },
            Standing::Large { headers: false } if self.policy.larger == Larger::Headers => {
                Deed::Header { entry: Some(id) }
            }
            Standing::Large { .. } => leave(Stays::Large),
        }
    }

    fn new_message(&self, named: &Named, suspects: Suspects) -> Deed {
        if self.is_too_large(named) {
            return match self.policy.larger {
                Larger::Leave => Deed::TooLarge,
                Larger::Headers => Deed::Header { entry: None },
            };
        }
        let entry = None;
        Deed::Retrieve { suspects, entry }
    }

    fn is_too_large(&self, named: &Named) -> bool {
        let announced = named.announced;
        announced.is_some_and(|octets| octets > self.policy.message_octets_max)
    }

    /// What the listing tells of messages that are known.
    fn known(&self, counts: &HashMap<Option<Vec<u8>>, usize>) -> Plan {
        let mut plan = Plan::default();
        for (id, entry) in self.seen.entries() {
            if self.may_be_listed(id, entry, counts) {
                if entry.absent_since.is_some() {
                    plan.present.push(id);
                }
                continue;
            }
            if matches!(entry.deletion, Deletion::Sent | Deletion::Quit) {
                plan.gone.push(id);
            }
            let forget_after = FORGET_AFTER.as_secs();
            match entry.absent_since {
                // One empty or short listing forgets nothing (PRJ-FETCH-2, PRJ-FETCH-4).
                None => plan.absent.push(id),
                Some(since) if self.now.saturating_sub(since) >= forget_after => {
                    plan.forget.push(id);
                }
                Some(_) => {}
            }
        }
        plan
    }

    /// A message of a unique-id that several have, or none, is known only when it was looked at.
    /// What was deleted is not suspected, and is forgotten in time.
    fn may_be_listed(
        &self,
        id: EntryId,
        entry: &Entry,
        counts: &HashMap<Option<Vec<u8>>, usize>,
    ) -> bool {
        let count = counts.get(&entry.named.unique_id).copied();
        let alone = entry.named.unique_id.is_some() && count == Some(1);
        self.listed.contains(&id) || (count.is_some() && !alone && !is_gone(entry))
    }

    /// Where half or more of what is here and was not deleted is missing, and there is new mail,
    /// the server may have given new unique-ids to old mail: what is new is compared with what is
    /// missing. Otherwise new mail is new, even if it equals another octet for octet.
    fn suspect_migration(
        &self,
        steps: &mut [Step],
        counts: &HashMap<Option<Vec<u8>>, usize>,
    ) -> Vec<EntryId> {
        let kept = self
            .seen
            .entries()
            .filter(|(_, entry)| entry.is_here() && entry.deletion < Deletion::Sent);
        let (listed, missing): (Vec<_>, Vec<_>) =
            kept.partition(|(id, entry)| self.may_be_listed(*id, entry, counts));
        if missing.is_empty() || missing.len() < listed.len() {
            return Vec::new();
        }
        let mut sizes = HashSet::new();
        for (_, entry) in &missing {
            sizes.extend(entry.named.announced);
            sizes.extend(entry.fingerprint.map(|it| it.octets));
        }
        let mut any = false;
        for step in steps {
            let Deed::Retrieve {
                suspects: suspects @ Suspects::Nobody,
                entry: None,
            } = &mut step.deed
            else {
                continue;
            };
            any = true;
            let suspects = std::mem::replace(suspects, Suspects::Missing);
            debug_assert_eq!(suspects, Suspects::Nobody);
            if step.named.announced.is_some_and(|it| sizes.contains(&it)) {
                let suspects = Suspects::Missing;
                step.deed = Deed::Identify { suspects };
            }
        }
        match any {
            true => missing.into_iter().map(|(id, _)| id).collect(),
            false => Vec::new(),
        }
    }

    fn rank(&self, deed: &Deed) -> u8 {
        match deed {
            Deed::Leave { .. } | Deed::TooLarge => 0,
            Deed::Retrieve { suspects, entry } => {
                let entry = entry.and_then(|id| self.seen.entry(id));
                let aside = entry.map(|entry| &entry.standing);
                match (suspects, aside) {
                    (_, Some(Standing::Aside { .. })) => 5,
                    (Suspects::Nobody, _) => 1,
                    _ => 3,
                }
            }
            Deed::Check { .. } | Deed::Identify { .. } => 2,
            Deed::Header { .. } => 4,
        }
    }
}

/// Whether a message was set aside too often to be tried again at `now`.
pub(crate) fn waits_aside(entry: &Entry, now: u64) -> bool {
    let age = now.checked_sub(entry.seconds);
    let lately = age.is_some_and(|age| age < TRY_ASIDE_AFTER.as_secs());
    entry.tries() >= TRIES_AT_ONCE && lately
}

/// The server says that it has deleted it.
fn is_gone(entry: &Entry) -> bool {
    entry.deletion >= Deletion::Quit
}

fn named(listed: &Listed) -> Named {
    let announced = listed.octets.map(|octets| octets.0);
    Named::new(listed.unique_id.as_deref(), announced)
}

#[cfg(test)]
mod tests;
