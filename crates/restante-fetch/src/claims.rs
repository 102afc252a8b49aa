//! Which known messages turn out to be which listed ones.

use std::collections::{HashMap, HashSet};

use crate::{
    fingerprint::{Digest, Fingerprint},
    plan::Suspects,
    state::{EntryId, Named, Seen},
};

/// The known messages that listed ones may be. Each is claimed by one at most: two copies of a
/// message are two messages.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    known: HashMap<EntryId, Known>,
    missing: HashSet<EntryId>,
    by_header: HashMap<Digest, Vec<EntryId>>,
    by_body: HashMap<Digest, Vec<EntryId>>,
    claimed: HashSet<EntryId>,
}

#[derive(Debug)]
struct Known {
    announced: Option<u64>,
    fingerprint: Fingerprint,
}

impl Claims {
    /// All that was fetched may be suspected; `missing` is what [`Suspects::Missing`] stands for.
    pub(crate) fn new(seen: &Seen, missing: &[EntryId]) -> Self {
        let mut claims = Self::default();
        claims.missing.extend(missing);
        for (id, entry) in seen.entries() {
            let Some(fingerprint) = entry.fingerprint else {
                continue;
            };
            let headers = [Some(fingerprint.header), entry.top];
            for header in headers.into_iter().flatten() {
                claims.by_header.entry(header).or_default().push(id);
            }
            claims.by_body.entry(fingerprint.body).or_default().push(id);
            let announced = entry.named.announced;
            let known = Known {
                announced,
                fingerprint,
            };
            claims.known.insert(id, known);
        }
        claims
    }

    /// The suspect whose header and size these are. Nobody else gets it.
    pub(crate) fn by_header(
        &mut self,
        suspects: &Suspects,
        header: Digest,
        named: &Named,
    ) -> Option<EntryId> {
        let candidates = self.by_header.get(&header)?;
        // A header that hardly says anything distinguishes nothing.
        let fits = |known: &Known| {
            let now = named.announced;
            let octets = Some(known.fingerprint.octets);
            let size = now.is_none() || known.announced == now || octets == now;
            size && known.fingerprint.steady.is_some()
        };
        self.claim(suspects, candidates.clone(), fits)
    }

    /// The suspect that is this message. Nobody else gets it.
    pub(crate) fn by_content(
        &mut self,
        suspects: &Suspects,
        fingerprint: &Fingerprint,
    ) -> Option<EntryId> {
        let candidates = self.by_body.get(&fingerprint.body)?.clone();
        let same = |known: &Known| known.fingerprint.is_same(fingerprint);
        self.claim(suspects, candidates.clone(), same).or_else(|| {
            let moved = |known: &Known| known.fingerprint.is_moved(fingerprint);
            self.claim(suspects, candidates, moved)
        })
    }

    fn claim(
        &mut self,
        suspects: &Suspects,
        candidates: Vec<EntryId>,
        fits: impl Fn(&Known) -> bool,
    ) -> Option<EntryId> {
        let suspected = |id: &EntryId| match suspects {
            Suspects::Nobody => false,
            Suspects::These(ids) => ids.binary_search(id).is_ok(),
            Suspects::Missing => self.missing.contains(id),
        };
        let found = candidates.into_iter().find(|id| {
            suspected(id) && !self.claimed.contains(id) && self.known.get(id).is_some_and(&fits)
        })?;
        self.claimed.insert(found);
        Some(found)
    }
}
