//! Who has failed too often: addresses and names that are turned away for a while (PRJ-SEC-3).
//!
//! The throttle makes guessing slow; a ban makes it end. It is bounded in every respect, because a
//! ban is also a weapon: whoever shares an address with a user, or knows a name, could lock that
//! user out. So it ends by itself; an address from which an account was opened before still opens
//! that account; and a program that repeats one wrong password, as a forgotten telephone does after
//! the password was changed, counts once.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ipnet::IpNet;
use moka::sync::Cache;
use tokio::time::Instant;

use super::throttle::network_of;

/// Failures older than this do not count any more.
const WINDOW: Duration = Duration::from_secs(60 * 60);
/// Each further ban of an address within this time lasts twice as long as the one before.
const REMEMBERED_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// But never longer than so many times the first.
const FACTOR_MAX: u32 = 24;
/// Tallies of failures; some 200 octets each.
const TALLIES_MAX: u64 = 100_000;
/// Bans at a time. Each took a hundred failures; of more, those that end soonest end at once.
pub(super) const BANS_MAX: usize = 10_000;
/// How many different attempts of one culprit are told from one that is repeated.
const RECENT_MAX: usize = 8;

/// When somebody is banned, and for how long.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BanSettings {
    /// So many failures within an hour, of one address or under one name.
    pub failures: u32,
    /// How long the first ban lasts; zero switches bans off.
    pub time: Duration,
    /// Networks that are never banned: a webmail server, from where strangers knock too.
    pub never: Vec<IpNet>,
}

impl Default for BanSettings {
    fn default() -> Self {
        Self {
            failures: 100,
            time: Duration::from_secs(10 * 60),
            never: vec![
                IpNet::new_assert([127, 0, 0, 0].into(), 8),
                IpNet::new_assert(std::net::Ipv6Addr::LOCALHOST.into(), 128),
            ],
        }
    }
}

impl BanSettings {
    /// Whether a network, which stands for all that are banned together, never is.
    fn spare(&self, network: IpAddr) -> bool {
        // What is never banned may be one address of an IPv6 network.
        let holds = |net: &IpNet| net.contains(&network) || network_of(net.addr()) == network;
        // Nobody knows whose connections these are (PROXY protocol, LOCAL and UNKNOWN).
        network.is_unspecified() || self.never.iter().any(holds)
    }
}

/// Whom failures are counted against.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Culprit {
    /// An IPv4 address, or the first address of an IPv6 /64.
    Address(IpAddr),
    /// A claimed name in canonical spelling, whether or not anybody has it.
    Name(String),
}

impl Culprit {
    /// Whoever is meant: an address, with or without the `/64` of an IPv6 network, or else a name.
    #[must_use]
    pub fn named(text: &str) -> Self {
        let address = text.strip_suffix("/64").unwrap_or(text);
        match address.parse::<IpAddr>() {
            Ok(address) => Self::Address(network_of(address)),
            Err(_) => Self::Name(text.to_owned()),
        }
    }
}

/// A ban that is in force.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ban {
    /// Who is banned.
    pub culprit: Culprit,
    /// How long it still lasts.
    pub left: Duration,
}

/// A login that failed.
pub(super) struct Failure<'a> {
    pub(super) address: IpAddr,
    /// As claimed, in canonical spelling.
    pub(super) name: &'a str,
    /// Tells the attempt from others, if it can be told.
    pub(super) fingerprint: Option<u64>,
}

/// All bans, and the failures that lead to them.
pub(super) struct Bans {
    tallies: Cache<Culprit, Arc<Mutex<Tally>>>,
    /// How often each address was banned lately.
    convictions: Cache<IpAddr, u32>,
    bans: Mutex<HashMap<Culprit, Instant>>,
    /// How often somebody was banned or released.
    changes: AtomicU64,
}

/// The failures of one culprit, as a bucket that leaks.
struct Tally {
    /// When the bucket is empty again.
    empty: Instant,
    /// What was tried lately.
    recent: VecDeque<u64>,
}

impl Default for Bans {
    fn default() -> Self {
        Self {
            tallies: Cache::builder()
                .max_capacity(TALLIES_MAX)
                .time_to_idle(WINDOW)
                .build(),
            convictions: Cache::builder()
                .max_capacity(TALLIES_MAX)
                .time_to_live(REMEMBERED_FOR)
                .build(),
            bans: Mutex::default(),
            changes: AtomicU64::new(0),
        }
    }
}

impl Bans {
    /// Whether an address is banned.
    pub(super) fn is_address_banned(&self, address: IpAddr) -> bool {
        self.holds(&Culprit::Address(network_of(address)))
    }

    /// Whether a name is banned.
    pub(super) fn is_name_banned(&self, name: &str) -> bool {
        self.holds(&Culprit::Name(name.to_owned()))
    }

    /// Counts a failure.
    pub(super) fn failed(&self, settings: &BanSettings, failure: &Failure<'_>) {
        if settings.time.is_zero() {
            return;
        }
        let (failures, fingerprint) = (settings.failures, failure.fingerprint);
        let address = network_of(failure.address);
        let culprit = Culprit::Address(address);
        if !settings.spare(address) && self.count(&culprit, failures, fingerprint) {
            let before = self.convictions.get(&address).unwrap_or(0);
            self.convictions.insert(address, before + 1);
            let factor = 1_u32.checked_shl(before).unwrap_or(FACTOR_MAX);
            let time = settings.time * factor.min(FACTOR_MAX);
            self.ban(culprit, time);
            tracing::warn!(%address, failures, seconds = time.as_secs(), "address banned");
        }
        // A name's bans do not grow: they hit its owner too, wherever they log in for the first
        // time.
        let name = failure.name;
        let culprit = Culprit::Name(name.to_owned());
        if !name.is_empty() && self.count(&culprit, failures, fingerprint) {
            self.ban(culprit, settings.time);
            tracing::warn!(
                name,
                failures,
                seconds = settings.time.as_secs(),
                "name banned"
            );
        }
    }

    /// The bans in force, those that last longest first.
    pub(super) fn list(&self) -> Vec<Ban> {
        let now = Instant::now();
        let mut bans: Vec<_> = self
            .lock()
            .iter()
            .map(|(culprit, end)| Ban {
                culprit: culprit.clone(),
                left: end.saturating_duration_since(now),
            })
            .filter(|ban| !ban.left.is_zero())
            .collect();
        bans.sort_by_key(|ban| std::cmp::Reverse(ban.left));
        bans
    }

    /// Forgets all that is known against somebody. Whether they were banned.
    pub(super) fn release(&self, culprit: &Culprit) -> bool {
        self.tallies.invalidate(culprit);
        if let Culprit::Address(address) = culprit {
            self.convictions.invalidate(address);
        }
        let end = self.lock().remove(culprit);
        self.changes.fetch_add(1, Ordering::Relaxed);
        end.is_some_and(|end| end > Instant::now())
    }

    /// Bans again, as before a restart, whoever these settings do not spare, and for no longer than
    /// they ban at most. Whether that came to a ban.
    pub(super) fn restore(
        &self,
        settings: &BanSettings,
        culprit: &Culprit,
        left: Duration,
        times: u32,
    ) -> bool {
        let most = match culprit {
            Culprit::Address(_) => settings.time * FACTOR_MAX,
            Culprit::Name(_) => settings.time,
        };
        let left = left.min(most);
        let is_spared = matches!(culprit, Culprit::Address(address) if settings.spare(*address));
        if left.is_zero() || is_spared {
            return false;
        }
        if let Culprit::Address(address) = culprit {
            self.convictions
                .insert(*address, times.clamp(1, FACTOR_MAX));
        }
        self.ban(culprit.clone(), left);
        true
    }

    /// How often an address was banned lately.
    pub(super) fn times(&self, address: IpAddr) -> u32 {
        self.convictions.get(&address).unwrap_or(0)
    }

    /// Grows whenever somebody is banned or released.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Counts against one culprit; whether that was one too many.
    fn count(&self, culprit: &Culprit, failures: u32, fingerprint: Option<u64>) -> bool {
        let interval = WINDOW / failures.max(1);
        let tally = self
            .tallies
            .get_with_by_ref(culprit, || Arc::new(Mutex::new(Tally::new())));
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        if fingerprint.is_some_and(|attempt| !tally.is_new(attempt)) {
            return false;
        }
        let now = Instant::now();
        tally.empty = tally.empty.max(now) + interval;
        let is_full = tally.empty > now + interval * failures;
        if is_full {
            *tally = Tally::new();
        }
        is_full
    }

    fn ban(&self, culprit: Culprit, time: Duration) {
        let now = Instant::now();
        let mut bans = self.lock();
        if bans.len() >= BANS_MAX {
            bans.retain(|_, end| *end > now);
        }
        if bans.len() >= BANS_MAX {
            let soonest = bans.iter().min_by_key(|(_, end)| **end);
            if let Some(soonest) = soonest.map(|(culprit, _)| culprit.clone()) {
                bans.remove(&soonest);
            }
        }
        bans.insert(culprit, now + time);
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    fn holds(&self, culprit: &Culprit) -> bool {
        let end = self.lock().get(culprit).copied();
        end.is_some_and(|end| end > Instant::now())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Culprit, Instant>> {
        // Nothing under the lock panics.
        self.bans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    fn new() -> Self {
        Self {
            empty: Instant::now(),
            recent: VecDeque::new(),
        }
    }

    /// Whether this attempt is another one than the last few; it is remembered.
    fn is_new(&mut self, attempt: u64) -> bool {
        let is_new = !self.recent.contains(&attempt);
        if is_new {
            if self.recent.len() == RECENT_MAX {
                self.recent.pop_front();
            }
            self.recent.push_back(attempt);
        }
        is_new
    }
}

#[cfg(test)]
mod tests;
