//! What came of a run.

use restante_client::Assurance;

use crate::trouble::Trouble;

/// What came of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// Messages that the last listing had.
    pub listed: u64,
    /// Messages that have arrived.
    pub arrived: u64,
    /// Their octets.
    pub octets: u64,
    /// Messages that were fetched, or looked at, and proved to be here already.
    pub known: u64,
    /// Messages that the server has deleted, as it says.
    pub deleted: u64,
    /// Messages that were found to be larger than is wanted.
    pub too_large: u64,
    /// Messages that were not collected, though they were tried.
    pub not_collected: u64,
    /// How many sessions it took.
    pub sessions: u64,
    /// What the connections assured. `None`: there was none that we logged in on.
    pub assurance: Option<Assurance>,
    /// What kept mail from coming, if anything did.
    pub trouble: Option<Trouble>,
}
