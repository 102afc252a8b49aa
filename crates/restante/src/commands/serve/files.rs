//! How many files this process may have open: each connection is one, each session a few.

use restante_maildrop::Maildir;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::configuration::Configuration;

/// A connection's socket, and what the session on it has open when it does all at once.
const FILES_PER_CONNECTION: u64 = 1 + Maildir::FILES_PER_SESSION;
/// One that a login names, its cache, and its place in the trash.
const FILES_FOR_FOLDERS: u64 = Maildir::FILES_PER_FOLDER + 2;

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
    let folders = configuration.mail.shows.folders.as_slice().len();
    let wanted = wanted(connections, folders);
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

/// How many files so many connections may have open, where so many folders are shown.
fn wanted(connections: u32, folders: usize) -> u64 {
    let folders = u64::try_from(folders).unwrap_or(u64::MAX);
    let shown = folders.saturating_mul(Maildir::FILES_PER_FOLDER);
    let each = FILES_PER_CONNECTION + FILES_FOR_FOLDERS + shown;
    u64::from(connections) * each + FILES_BESIDES
}
