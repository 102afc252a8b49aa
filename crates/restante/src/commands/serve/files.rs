//! How many files this process may have open: each connection is one, each session a few.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::configuration::Configuration;

/// A session's socket, its lock, its directory and the message it sends.
const FILES_PER_CONNECTION: u64 = 4;

/// Listeners, the log, the accounts and what libraries keep open.
const FILES_BESIDES: u64 = 64;

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
    let wanted = u64::from(connections) * FILES_PER_CONNECTION + FILES_BESIDES;
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
