//! How many files this process may have open: each connection is one, each session a few.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A session's socket, its lock, its directory and the message it sends.
const FILES_PER_CONNECTION: u64 = 4;

/// Listeners, the log, the accounts and what libraries keep open.
const FILES_BESIDES: u64 = 64;

/// Raises the limit as far as the system lets us, and warns if it may not suffice.
pub(crate) fn raise_limit(connections: u32) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let allowed = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files could not be raised");
            current
        }
    };
    let wanted = u64::from(connections) * FILES_PER_CONNECTION + FILES_BESIDES;
    // `None` is no limit.
    if let Some(allowed) = allowed.filter(|allowed| *allowed < wanted) {
        tracing::warn!(
            allowed,
            wanted,
            "the limit of open files is low for limits.connections; raise it (LimitNOFILE=)"
        );
    }
}
