//! How many connections there may be: in total, from one address, for one account (PRJ-SEC-5).

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use tokio::sync::watch;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ConnectionLimits {
    /// In all; each costs memory and a file descriptor.
    pub connections_max: usize,
    /// From one IPv4 address or one IPv6 /64, which is what one customer has.
    pub connections_per_address_max: usize,
    /// Logged in to one account.
    pub connections_per_account_max: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            connections_per_address_max: 50,
            connections_per_account_max: 10,
        }
    }
}

/// Which limit a connection would exceed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OverLimit {
    Total,
    Address,
    /// It is banned.
    Failures,
}

/// Counts the connections that are there.
#[derive(Debug)]
pub(crate) struct ConnectionCounts {
    limits: RwLock<ConnectionLimits>,
    addresses: Tally<IpAddr>,
    accounts: Tally<String>,
    total: Occupancy,
}

/// How many of something there are, for those who wait until none is left.
#[derive(Debug, Default)]
pub(crate) struct Occupancy(watch::Sender<usize>);

/// Counts as one until it is dropped, also by a panic.
#[derive(Debug)]
pub(crate) struct Occupant(Arc<Occupancy>);

/// Counts as one connection until it is dropped, also by a panic.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    counts: Arc<ConnectionCounts>,
    /// `None` while it is unknown whose connection it is.
    address: Option<IpAddr>,
}

/// Counts as one login of an account until it is dropped, also by a panic.
#[derive(Debug)]
pub(crate) struct AccountSlot {
    counts: Arc<ConnectionCounts>,
    account: String,
}

impl ConnectionCounts {
    pub(crate) fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self {
            limits: RwLock::new(limits),
            addresses: Tally::default(),
            accounts: Tally::default(),
            total: Occupancy::default(),
        })
    }

    /// From now on these count. Connections over a lower limit stay.
    pub(crate) fn set_limits(&self, limits: ConnectionLimits) {
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    fn limits(&self) -> ConnectionLimits {
        *self.limits.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits a connection from `peer`.
    pub(crate) fn admit(self: &Arc<Self>, peer: IpAddr) -> Result<ConnectionSlot, OverLimit> {
        let mut slot = self.admit_from_proxy()?;
        slot.belongs_to(peer)?;
        Ok(slot)
    }

    /// Admits a connection from a proxy, which has yet to say whose it is: no address has it
    /// until [`ConnectionSlot::belongs_to`].
    pub(crate) fn admit_from_proxy(self: &Arc<Self>) -> Result<ConnectionSlot, OverLimit> {
        if !self.total.add(self.limits().connections_max) {
            return Err(OverLimit::Total);
        }
        Ok(ConnectionSlot {
            counts: Arc::clone(self),
            address: None,
        })
    }

    /// Admits a login of `account`, or `None` if it has as many as it may.
    pub(crate) fn admit_account(self: &Arc<Self>, account: &str) -> Option<AccountSlot> {
        let account = account.to_owned();
        let account_max = self.limits().connections_per_account_max;
        self.accounts
            .add(account.clone(), account_max)
            .then(|| AccountSlot {
                counts: Arc::clone(self),
                account,
            })
    }

    /// How many connections there are.
    pub(crate) fn total(&self) -> usize {
        *self.total.0.borrow()
    }

    /// Completes when no connection is left.
    pub(crate) async fn none_left(&self) {
        self.total.none_left().await;
    }
}

impl Occupancy {
    /// Counts one more.
    pub(crate) fn enter(self: &Arc<Self>) -> Occupant {
        self.0.send_modify(|count| *count += 1);
        Occupant(Arc::clone(self))
    }

    /// Completes when none is left.
    pub(crate) async fn none_left(&self) {
        // An error would mean that the sender is gone, but `self` is it.
        let _ = self.0.subscribe().wait_for(|&count| count == 0).await;
    }

    /// Adds one, unless `max` are there.
    fn add(&self, max: usize) -> bool {
        self.0.send_if_modified(|count| {
            let room = *count < max;
            *count += usize::from(room);
            room
        })
    }

    fn remove(&self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Drop for Occupant {
    fn drop(&mut self) {
        self.0.remove();
    }
}

impl ConnectionSlot {
    /// Counts the connection against the limit of `peer`'s address; call it once.
    pub(crate) fn belongs_to(&mut self, peer: IpAddr) -> Result<(), OverLimit> {
        let address = address_key(peer);
        let address_max = self.counts.limits().connections_per_address_max;
        if !self.counts.addresses.add(address, address_max) {
            return Err(OverLimit::Address);
        }
        self.address = Some(address);
        Ok(())
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        if let Some(address) = &self.address {
            self.counts.addresses.remove(address);
        }
        self.counts.total.remove();
    }
}

impl Drop for AccountSlot {
    fn drop(&mut self) {
        self.counts.accounts.remove(&self.account);
    }
}

/// How often each key is there; a key that is not takes no memory.
#[derive(Debug)]
struct Tally<K>(Mutex<HashMap<K, usize>>);

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<K: Eq + Hash> Tally<K> {
    /// Adds one, unless `max` are there.
    fn add(&self, key: K, max: usize) -> bool {
        // No code under the lock panics; a poisoned count would still be a right one.
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.entry(key) {
            Entry::Occupied(mut entry) if *entry.get() < max => {
                *entry.get_mut() += 1;
                true
            }
            Entry::Vacant(entry) if max > 0 => {
                entry.insert(1);
                true
            }
            _ => false,
        }
    }

    fn remove(&self, key: &K)
    where
        K: Clone,
    {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(key);
            }
        }
    }
}

/// What counts as one address: an IPv6 customer has at least a /64 to connect from.
fn address_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(total: usize, per_address: usize, per_account: usize) -> Arc<ConnectionCounts> {
        ConnectionCounts::new(ConnectionLimits {
            connections_max: total,
            connections_per_address_max: per_address,
            connections_per_account_max: per_account,
        })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn prj_sec_5_the_last_connection_within_the_total_is_admitted_and_the_next_is_not() {
        let counts = counts(2, 9, 9);
        let first = counts.admit(address("192.0.2.1")).unwrap();
        let _second = counts.admit(address("192.0.2.2")).unwrap();
        let refused = counts.admit(address("192.0.2.3")).unwrap_err();
        assert_eq!(refused, OverLimit::Total);
        drop(first);
        assert!(counts.admit(address("192.0.2.3")).is_ok());
    }

    #[test]
    fn prj_sec_5_addresses_are_counted_apart_and_ipv6_by_64() {
        let counts = counts(9, 2, 9);
        let first = counts.admit(address("2001:db8:1:2::1")).unwrap();
        let _second = counts.admit(address("2001:db8:1:2:ffff::2")).unwrap();
        let refused = counts.admit(address("2001:db8:1:2:3:4:5:6")).unwrap_err();
        assert_eq!(refused, OverLimit::Address);
        assert!(counts.admit(address("2001:db8:1:3::1")).is_ok());
        drop(first);
        assert!(counts.admit(address("2001:db8:1:2::9")).is_ok());
    }

    #[test]
    fn prj_sec_5_an_ipv4_address_written_as_ipv6_is_the_same_address() {
        let counts = counts(9, 1, 9);
        let _first = counts.admit(address("192.0.2.1")).unwrap();
        assert!(counts.admit(address("::ffff:192.0.2.1")).is_err());
        assert!(counts.admit(address("::ffff:192.0.2.2")).is_ok());
    }

    #[test]
    fn prj_sec_5_an_address_over_its_limit_takes_nothing_of_the_total() {
        let counts = counts(2, 1, 9);
        let _first = counts.admit(address("192.0.2.1")).unwrap();
        assert!(counts.admit(address("192.0.2.1")).is_err());
        assert!(counts.admit(address("192.0.2.2")).is_ok());
    }

    #[test]
    fn prj_sec_5_logins_of_one_account_are_limited() {
        let counts = counts(9, 9, 2);
        let first = counts.admit_account("a@example.com").unwrap();
        let _second = counts.admit_account("a@example.com").unwrap();
        assert!(counts.admit_account("a@example.com").is_none());
        assert!(counts.admit_account("b@example.com").is_some());
        drop(first);
        assert!(counts.admit_account("a@example.com").is_some());
    }

    #[test]
    fn limits_may_change_while_connections_are_there() {
        let counts = counts(2, 9, 1);
        let _first = counts.admit(address("192.0.2.1")).unwrap();
        let _second = counts.admit(address("192.0.2.2")).unwrap();
        let _login = counts.admit_account("a").unwrap();
        counts.set_limits(ConnectionLimits {
            connections_max: 3,
            connections_per_address_max: 1,
            connections_per_account_max: 2,
        });
        assert!(counts.admit_account("a").is_some());
        let over = counts.admit(address("192.0.2.1")).unwrap_err();
        assert_eq!(over, OverLimit::Address);
        let _third = counts.admit(address("192.0.2.3")).unwrap();
        let over = counts.admit(address("192.0.2.4")).unwrap_err();
        assert_eq!(over, OverLimit::Total);
    }

    #[test]
    fn prj_sec_5_a_panic_gives_the_slot_back() {
        let counts = counts(1, 1, 1);
        let panicking = Arc::clone(&counts);
        let thread = std::thread::spawn(move || {
            let _slot = panicking.admit(address("192.0.2.1"));
            let _account = panicking.admit_account("a");
            panic!("on purpose");
        });
        assert!(thread.join().is_err());
        assert!(counts.admit(address("192.0.2.1")).is_ok());
        assert!(counts.admit_account("a").is_some());
        assert!(counts.addresses.0.lock().unwrap().is_empty());
    }
}
