//! How fast somebody may fail: by address and by claimed name (PRJ-SEC-3).
//!
//! A failed attempt is answered late, but whoever hangs up and calls again does not wait for the
//! answer. So those who fail too often wait *before* anything is verified. Nobody is locked out: a
//! right password succeeds after the wait or, in a flood, when it is tried again; and an address
//! from which an account was opened before waits for its own failures under that name alone, not
//! for what others do to the name or from the address.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use moka::sync::Cache;
use tokio::time::Instant;

use super::hashing::Turn;

/// One connection that fails every 2 seconds stays within this; a hundred do not.
const ADDRESS: Allowance = Allowance {
    interval: Duration::from_secs(1),
    burst: 60,
};
/// Attempts under one name, from wherever: 20 a minute after the first 20.
const NAME: Allowance = Allowance {
    interval: Duration::from_secs(3),
    burst: 20,
};
/// Whoever would have to wait longer is sent away instead.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// How long an address counts as one that knows the password.
const FAMILIAR_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Entries of each kind; some 100 octets each.
const ENTRIES_MAX: u64 = 100_000;

/// How many failures at once, and how often one more.
#[derive(Clone, Copy)]
struct Allowance {
    interval: Duration,
    burst: u32,
}

/// Failures that are remembered.
pub(super) struct Throttle {
    addresses: Cache<IpAddr, Arc<Meter>>,
    names: Cache<Named, Arc<Meter>>,
    /// Addresses from which accounts were opened, by claimed name.
    familiar: Cache<(String, IpAddr), ()>,
    /// Addresses from which any account was opened.
    welcome: Cache<IpAddr, ()>,
}

/// A claimed name: from wherever or, with an address that it knows, from there alone.
///
/// Not one text: a name may be claimed with an address behind it.
type Named = (String, Option<IpAddr>);

/// The moment at which the allowance is whole again; never further away than all of it and the
/// longest wait, so that no flood has consequences that last.
struct Meter(Mutex<Instant>);

/// An attempt that may go on. Dropping it is a failure: so is hanging up while it is verified.
#[must_use]
pub(super) struct Admission {
    key: (String, IpAddr),
    address_meter: Arc<Meter>,
    name_meter: Arc<Meter>,
    is_familiar: bool,
    is_forgiven: bool,
}

impl Default for Throttle {
    fn default() -> Self {
        fn meters<K: std::hash::Hash + Eq + Send + Sync + 'static>() -> Cache<K, Arc<Meter>> {
            // Longer than any debt lasts.
            let idle = Duration::from_secs(10 * 60);
            Cache::builder()
                .max_capacity(ENTRIES_MAX)
                .time_to_idle(idle)
                .build()
        }
        fn familiar<K: std::hash::Hash + Eq + Send + Sync + 'static>() -> Cache<K, ()> {
            Cache::builder()
                .max_capacity(ENTRIES_MAX)
                .time_to_live(FAMILIAR_FOR)
                .build()
        }
        Self {
            addresses: meters(),
            names: meters(),
            familiar: familiar(),
            welcome: familiar(),
        }
    }
}

impl Throttle {
    /// Waits for as long as this address and this name have to. `None` if that would be too long:
    /// nothing may be verified.
    ///
    /// `name` is the claimed name in canonical spelling, whether or not anybody has it.
    pub(super) async fn admit(&self, address: IpAddr, name: &str) -> Option<Admission> {
        let key = (name.to_owned(), network_of(address));
        let address_meter = self.addresses.get_with(key.1, Meter::new);
        let is_familiar = self.familiar.contains_key(&key);
        let (mut wait, name_meter) = if is_familiar {
            // What a neighbour behind the same address does is not this user's doing either.
            (
                Duration::ZERO,
                self.names
                    .get_with((key.0.clone(), Some(key.1)), Meter::new),
            )
        } else {
            let wait = address_meter.wait(ADDRESS);
            let name = (key.0.clone(), None);
            (wait, self.names.get_with(name, Meter::new))
        };
        if wait > WAIT_MAX {
            return None;
        }
        // Charged now and given back on success: ten thousand attempts at once would otherwise
        // all come before the first failure.
        wait = wait.max(name_meter.charge_or_wait(NAME)?);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Some(Admission {
            key,
            address_meter,
            name_meter,
            is_familiar,
            is_forgiven: false,
        })
    }

    /// Whether the account of that name was opened from this address before.
    pub(super) fn is_familiar(&self, address: IpAddr, name: &str) -> bool {
        let key = (name.to_owned(), network_of(address));
        self.familiar.contains_key(&key)
    }

    /// The names and addresses that know each other and about which `is_wanted` says so.
    pub(super) fn familiar(
        &self,
        is_wanted: impl Fn(&str, IpAddr) -> bool,
    ) -> impl Iterator<Item = (String, IpAddr)> {
        let all = self.familiar.iter().map(|(key, ())| key);
        let wanted = all.filter(move |key| is_wanted(&key.0, key.1));
        wanted.map(|key| (key.0.clone(), key.1))
    }

    /// The account of that name was opened from this address before.
    pub(super) fn know(&self, name: String, address: IpAddr) {
        let network = network_of(address);
        self.familiar.insert((name, network), ());
        self.welcome.insert(network, ());
    }

    /// Whether any account was opened from this address before.
    pub(super) fn is_welcome(&self, address: IpAddr) -> bool {
        self.welcome.contains_key(&network_of(address))
    }

    /// Forgets the failures of an address.
    pub(super) fn release_address(&self, address: IpAddr) {
        self.addresses.invalidate(&network_of(address));
    }

    /// Forgets the failures under a name, from wherever.
    pub(super) fn release_name(&self, name: &str) {
        let meters = self.names.iter().map(|(meter, _)| meter);
        meters
            .filter(|meter| meter.0 == name)
            .for_each(|meter| self.names.invalidate(&*meter));
    }

    /// The attempt succeeded: it costs nothing, and the address is known.
    pub(super) fn succeeded(&self, admission: Admission) {
        self.familiar.insert(admission.key.clone(), ());
        self.welcome.insert(admission.key.1, ());
        admission.forgive();
    }
}

impl Admission {
    /// Whether the account was opened from this address before.
    pub(super) fn is_familiar(&self) -> bool {
        self.is_familiar
    }

    /// When a slow hash is computed for it.
    pub(super) fn turn(&self) -> Turn {
        match self.is_familiar {
            true => Turn::familiar(self.key.1),
            false => Turn::stranger(self.key.1),
        }
    }

    /// The attempt said nothing about the password: the failure was ours.
    pub(super) fn forgive(mut self) {
        self.is_forgiven = true;
        self.name_meter.give_back(NAME);
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if !self.is_forgiven {
            self.address_meter.charge(ADDRESS);
        }
    }
}

impl Meter {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Instant::now())))
    }

    /// How long the next one has to wait.
    fn wait(&self, allowance: Allowance) -> Duration {
        let whole = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let debt = whole.saturating_duration_since(Instant::now());
        (debt + allowance.interval).saturating_sub(allowance.interval * allowance.burst)
    }

    fn charge(&self, allowance: Allowance) {
        let now = Instant::now();
        let most = allowance.interval * allowance.burst + WAIT_MAX;
        let mut whole = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *whole = (*whole).max(now).min(now + most) + allowance.interval;
    }

    /// Charges and says how long to wait, or charges nothing if that would be too long.
    fn charge_or_wait(&self, allowance: Allowance) -> Option<Duration> {
        let wait = self.wait(allowance);
        (wait <= WAIT_MAX).then(|| {
            self.charge(allowance);
            wait
        })
    }

    fn give_back(&self, allowance: Allowance) {
        let mut whole = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *whole = whole.checked_sub(allowance.interval).unwrap_or(*whole);
    }
}

/// What counts as one address: an IPv6 customer has a /64.
pub(super) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// Fails once; how long it had to wait before, `None` if it was sent away.
    async fn fail(throttle: &Throttle, address: IpAddr, name: &str) -> Option<Duration> {
        let began = Instant::now();
        let admission = throttle.admit(address, name).await?;
        let waited = began.elapsed();
        drop(admission);
        Some(waited)
    }

    #[tokio::test(start_paused = true)]
    async fn prj_sec_3_an_address_waits_after_its_allowance() {
        let throttle = Throttle::default();
        for number in 0..60 {
            let waited = fail(&throttle, address(1), &format!("name{number}")).await;
            assert_eq!(waited, Some(Duration::ZERO), "{number}");
        }
        for number in 60..70 {
            let waited = fail(&throttle, address(1), &format!("name{number}")).await;
            assert_eq!(waited, Some(Duration::from_secs(1)), "{number}");
        }
        // Others do not.
        assert_eq!(
            fail(&throttle, address(2), "name").await,
            Some(Duration::ZERO)
        );
        // After a while the allowance is back.
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(
            fail(&throttle, address(1), "name").await,
            Some(Duration::ZERO)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn prj_sec_3_hanging_up_does_not_help() {
        let throttle = Throttle::default();
        for number in 0..60 {
            fail(&throttle, address(1), &format!("name{number}"))
                .await
                .unwrap();
        }
        for _ in 0..100 {
            let impatient = throttle.admit(address(1), "other");
            let answer = tokio::time::timeout(Duration::from_millis(1), impatient).await;
            assert!(!matches!(answer, Ok(Some(_))), "admitted without waiting");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn prj_sec_3_a_name_waits_wherever_the_attempts_come_from() {
        let throttle = Throttle::default();
        for last in 0..20 {
            assert_eq!(
                fail(&throttle, address(last), "tim").await,
                Some(Duration::ZERO),
                "{last}"
            );
        }
        assert_eq!(
            fail(&throttle, address(100), "tim").await,
            Some(Duration::from_secs(3))
        );
        assert_eq!(
            fail(&throttle, address(100), "tom").await,
            Some(Duration::ZERO)
        );
    }

    /// Ten thousand connections that begin together.
    #[tokio::test(start_paused = true)]
    async fn prj_sec_3_attempts_at_once_are_counted_before_they_fail() {
        let throttle = Arc::new(Throttle::default());
        let began = Instant::now();
        let mut attempts = Vec::new();
        for number in 0..1000_u16 {
            let throttle = Arc::clone(&throttle);
            let address = IpAddr::from([10, 0, number.to_be_bytes()[0], number.to_be_bytes()[1]]);
            attempts.push(tokio::spawn(async move {
                throttle
                    .admit(address, "tim")
                    .await
                    .map(|_| began.elapsed())
            }));
        }
        let mut admitted = 0;
        for attempt in attempts {
            if let Some(waited) = attempt.await.unwrap() {
                assert!(waited <= WAIT_MAX);
                admitted += 1;
            }
        }
        // 20 at once, and one each 3 seconds of at most 20.
        assert_eq!(admitted, 26);
        // The flood has no consequences that last.
        tokio::time::advance(Duration::from_secs(80)).await;
        assert_eq!(
            fail(&throttle, address(1), "tim").await,
            Some(Duration::ZERO)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_knows_the_password_does_not_wait_for_others() {
        let throttle = Throttle::default();
        let admission = throttle.admit(address(1), "tim").await.unwrap();
        throttle.succeeded(admission);
        for last in 2..40 {
            let _ = fail(&throttle, address(last), "tim").await;
        }
        let began = Instant::now();
        assert!(throttle.admit(address(1), "tim").await.is_some());
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    /// One bad program behind the address that a whole office shares.
    #[tokio::test(start_paused = true)]
    async fn whoever_knows_the_password_does_not_wait_for_neighbours() {
        let throttle = Throttle::default();
        let admission = throttle.admit(address(1), "tim").await.unwrap();
        throttle.succeeded(admission);
        for number in 0..200 {
            let name = format!("name{number}");
            let flood = throttle.admit(address(1), &name);
            let _ = tokio::time::timeout(Duration::from_millis(1), flood).await;
        }
        let began = Instant::now();
        let admission = throttle.admit(address(1), "tim").await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
        drop(admission);
        // Its own failures count.
        for _ in 0..NAME.burst {
            let _ = fail(&throttle, address(1), "tim").await;
        }
        assert_ne!(
            fail(&throttle, address(1), "tim").await,
            Some(Duration::ZERO)
        );
    }

    /// Attack: to claim a name that is a user's and an address, and spend what that user may fail.
    #[tokio::test(start_paused = true)]
    async fn whoever_knows_the_password_does_not_wait_for_names_that_look_like_it() {
        let throttle = Throttle::default();
        let admission = throttle.admit(address(1), "tim").await.unwrap();
        throttle.succeeded(admission);
        for last in 2..60 {
            for name in ["tim 192.0.2.1", "tim\n192.0.2.1", "tim192.0.2.1"] {
                let flood = throttle.admit(address(last), name);
                let _ = tokio::time::timeout(Duration::from_millis(1), flood).await;
            }
        }
        let began = Instant::now();
        assert!(throttle.admit(address(1), "tim").await.is_some());
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_is_released_waits_nowhere() {
        let throttle = Throttle::default();
        let admission = throttle.admit(address(1), "tim").await.unwrap();
        throttle.succeeded(admission);
        let attempts = async || {
            let began = Instant::now();
            for from in [address(1), address(2)] {
                drop(throttle.admit(from, "tim").await.unwrap());
            }
            began.elapsed()
        };
        for _ in 0..NAME.burst {
            assert_eq!(attempts().await, Duration::ZERO);
        }
        throttle.release_name("tom");
        assert_ne!(attempts().await, Duration::ZERO);
        throttle.release_name("tim");
        assert_eq!(attempts().await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn successes_cost_nothing() {
        let throttle = Throttle::default();
        let began = Instant::now();
        for last in 0..200 {
            let admission = throttle.admit(address(last), "tim").await.unwrap();
            throttle.succeeded(admission);
        }
        for _ in 0..200 {
            let admission = throttle.admit(address(1), "tim").await.unwrap();
            throttle.succeeded(admission);
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_of_ours_cost_nothing() {
        let throttle = Throttle::default();
        let began = Instant::now();
        for _ in 0..200 {
            throttle.admit(address(1), "tim").await.unwrap().forgive();
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    // PRJ-SEC-5: IPv6 by /64.
    #[test]
    fn an_ipv6_customer_is_one_address() {
        let network = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2::1"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.1"), address(1));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
