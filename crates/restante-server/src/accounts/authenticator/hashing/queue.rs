//! The order in which logins that need a slow hash get one.
//!
//! There are two queues. Clients from whose address the account was opened before go first, so that
//! a storm of guesses, or ten thousand programs whose passwords the cache has forgotten, does not
//! stand in their way; strangers still get one place in [`STRANGERS_EVERY`]. Within each queue the
//! addresses take turns: whoever sends a thousand attempts waits for them behind nobody else's.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    net::IpAddr,
};

use crate::accounts::authenticator::throttle::network_of;

/// How many strangers may wait. Their hashes take some 20 s of two processors; a program that has
/// to wait longer has given up. Each costs its connection and some 200 octets more.
pub(super) const STRANGERS_MAX: usize = 1024;
/// How many others.
const FAMILIAR_MAX: usize = 4096;
/// One place of so many goes to a stranger, however many others wait.
const STRANGERS_EVERY: u32 = 8;

/// Whose work it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::accounts::authenticator) struct Turn {
    network: IpAddr,
    is_familiar: bool,
}

impl Turn {
    /// Somebody from whose address the account was opened before.
    pub(in crate::accounts::authenticator) fn familiar(address: IpAddr) -> Self {
        Self {
            network: network_of(address),
            is_familiar: true,
        }
    }

    /// Somebody else.
    pub(in crate::accounts::authenticator) fn stranger(address: IpAddr) -> Self {
        Self {
            is_familiar: false,
            ..Self::familiar(address)
        }
    }
}

/// Those who wait.
pub(super) struct Queue<T> {
    familiar: Lane<T>,
    strangers: Lane<T>,
    /// Counts what was taken.
    taken: u32,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            familiar: Lane::new(FAMILIAR_MAX),
            strangers: Lane::new(STRANGERS_MAX),
            taken: 0,
        }
    }
}

impl<T> Queue<T> {
    /// Adds somebody, or gives them back if too many wait.
    pub(super) fn push(&mut self, turn: Turn, waiting: T) -> Result<(), T> {
        let lane = match turn.is_familiar {
            true => &mut self.familiar,
            false => &mut self.strangers,
        };
        lane.push(turn.network, waiting)
    }

    /// Whoever is next.
    pub(super) fn pop(&mut self) -> Option<T> {
        self.taken = self.taken.wrapping_add(1);
        let (first, second) = match self.taken.is_multiple_of(STRANGERS_EVERY) {
            true => (&mut self.strangers, &mut self.familiar),
            false => (&mut self.familiar, &mut self.strangers),
        };
        first.pop().or_else(|| second.pop())
    }
}

/// One queue, in which addresses take turns.
struct Lane<T> {
    of: HashMap<IpAddr, VecDeque<T>>,
    /// Each address with somebody waiting, once.
    rotation: VecDeque<IpAddr>,
    count: usize,
    max: usize,
}

impl<T> Lane<T> {
    fn new(max: usize) -> Self {
        Self {
            of: HashMap::new(),
            rotation: VecDeque::new(),
            count: 0,
            max,
        }
    }

    fn push(&mut self, network: IpAddr, waiting: T) -> Result<(), T> {
        if self.count == self.max {
            return Err(waiting);
        }
        self.count += 1;
        match self.of.entry(network) {
            Entry::Occupied(mut entry) => entry.get_mut().push_back(waiting),
            Entry::Vacant(entry) => {
                entry.insert(VecDeque::from([waiting]));
                self.rotation.push_back(network);
            }
        }
        Ok(())
    }

    fn pop(&mut self) -> Option<T> {
        let network = self.rotation.pop_front()?;
        let waiting = self.of.get_mut(&network)?;
        let next = waiting.pop_front();
        match waiting.is_empty() {
            true => drop(self.of.remove(&network)),
            false => self.rotation.push_back(network),
        }
        self.count -= 1;
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prj_sec_3_strangers_are_not_starved_either() {
        let mut queue = Queue::default();
        for number in 0..100 {
            queue
                .push(Turn::familiar([192, 0, 2, 1].into()), number)
                .unwrap();
        }
        queue
            .push(Turn::stranger([192, 0, 2, 2].into()), 1000)
            .unwrap();
        let first: Vec<_> = (0..STRANGERS_EVERY).filter_map(|_| queue.pop()).collect();
        assert_eq!(first.last(), Some(&1000));
    }

    #[test]
    fn an_address_that_has_nobody_waiting_takes_no_memory() {
        let mut queue = Queue::default();
        for round in 0..3_u8 {
            for last in 0..100 {
                queue
                    .push(Turn::stranger([192, 0, round, last].into()), ())
                    .unwrap();
            }
            while queue.pop().is_some() {}
        }
        assert!(queue.strangers.of.is_empty());
        assert!(queue.strangers.rotation.is_empty());
        assert_eq!(queue.strangers.count, 0);
    }
}
