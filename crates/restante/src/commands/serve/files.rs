//! How many files this process may have open: each connection is one, each session a few.

use restante_maildrop::Maildir;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::configuration::Configuration;

/// A connection's socket, and what the session on it has open when it does all at once.
const FILES_PER_CONNECTION: u64 = 1 + Maildir::FILES_PER_SESSION;

/// What all sessions share, listeners, the log, the accounts and what libraries keep open.
const FILES_BESIDES: u64 = Maildir::FILES_SHARED + 64;

/// Raises the limit as far as the system lets us, and says so if it may not suffice.
pub(crate) fn raise_limit(configuration: &Configuration) {
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
    let connections = configuration.limits.connections;
    let wanted = wanted(connections);
    // `None` is no limit.
    let Some(allowed) = allowed.filter(|allowed| *allowed < wanted) else {
        return;
    };
    const LOW: &str =
        "limits.connections needs more open files than the system allows (LimitNOFILE=)";
    // A default that cannot be reached worries nobody; a number that somebody wrote should hold.
    match configuration.sets("limits.connections") {
        true => tracing::warn!(connections, wanted, allowed, "{LOW}"),
        false => tracing::debug!(connections, wanted, allowed, "{LOW}"),
    }
}

/// How many files so many connections may have open.
fn wanted(connections: u32) -> u64 {
    u64::from(connections) * FILES_PER_CONNECTION + FILES_BESIDES
}
