//! What can be seen of a server from outside: its numbers, and whether it is ready.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use restante_maildrop::Figures;
use tokio::{sync::watch, time::timeout};

use super::{Current, Phase};
use crate::{
    Tls,
    accounts::DirectoryError,
    limits::ConnectionCounts,
    metrics::{Elsewhere, Metrics, Page},
};

/// Who asks whether a server is ready does not wait for long.
const READINESS_MAX: Duration = Duration::from_secs(2);

/// Shows a running server; it changes nothing.
#[derive(Clone)]
pub struct Observation {
    pub(super) current: Arc<RwLock<Arc<Current>>>,
    pub(super) counts: Arc<ConnectionCounts>,
    pub(super) metrics: Arc<Metrics>,
    /// The store's.
    pub(super) figures: Arc<Figures>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) phase: watch::Receiver<Phase>,
}

/// Why a server is not ready for clients.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotReady {
    /// It was told to stop.
    #[error("stopping")]
    Stopping,
    /// Nobody could log in now.
    #[error("accounts unavailable")]
    Accounts(#[source] DirectoryError),
    /// The accounts do not answer.
    #[error("accounts do not answer in time")]
    AccountsTooSlow,
}

impl Observation {
    /// The page of numbers, in the text form of OpenMetrics 1.0.
    ///
    /// # Errors
    /// It cannot be written, which is a bug of ours.
    pub fn metrics(&self) -> Result<String, fmt::Error> {
        let (cache_hits, cache_misses) = self.current().authenticator.cache_results();
        let valid = self.tls.as_ref();
        let valid = valid.and_then(|tls| tls.default_identity().validity());
        let elsewhere = Elsewhere {
            certificate_ends: valid.map_or(0, |valid| valid.end().unix_timestamp()),
            open_connections: u64::try_from(self.counts.total()).unwrap_or(u64::MAX),
            cache_hits,
            cache_misses,
            store: Arc::clone(&self.figures),
        };
        let metrics = Arc::clone(&self.metrics);
        Page { metrics, elsewhere }.text()
    }

    /// Sees whether clients could be served now; takes two seconds at most.
    ///
    /// # Errors
    /// [`NotReady`] says why not.
    pub async fn readiness(&self) -> Result<(), NotReady> {
        if *self.phase.borrow() != Phase::Running {
            return Err(NotReady::Stopping);
        }
        let current = self.current();
        match timeout(READINESS_MAX, current.authenticator.probe()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(NotReady::Accounts(error)),
            Err(_) => Err(NotReady::AccountsTooSlow),
        }
    }

    /// Where orders of certificates are counted.
    pub(crate) fn counts_of_orders(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observation").finish_non_exhaustive()
    }
}
