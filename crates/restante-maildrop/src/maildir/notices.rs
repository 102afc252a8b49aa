//! What has been said in the log, so that each poll does not say it again.

use std::{
    collections::HashSet,
    hash::{BuildHasher, Hash, RandomState},
    sync::{Mutex, PoisonError},
};

/// Beyond so many it is forgotten what was said: better a line twice than memory without end.
const SAID_MAX: usize = 100_000;

/// What this process has logged once and need not log again.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    hasher: RandomState,
    said: Mutex<HashSet<u64>>,
}

impl Notices {
    /// Whether `what` is said for the first time; from now on it has been.
    pub(crate) fn first(&self, what: impl Hash) -> bool {
        let hash = self.hasher.hash_one(what);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= SAID_MAX {
            said.clear();
        }
        said.insert(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_said_once() {
        let notices = Notices::default();
        assert!(notices.first(("mailbox", 1)));
        assert!(notices.first(("mailbox", 2)));
        assert!(!notices.first(("mailbox", 1)));
    }

    #[test]
    fn memory_is_bounded() {
        let notices = Notices::default();
        for index in 0..=SAID_MAX {
            assert!(notices.first(index));
        }
        assert_eq!(notices.said.lock().unwrap().len(), 1);
    }
}
