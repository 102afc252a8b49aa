//! What is known of folders that nobody looks at together any more.
//!
//! Each set of folders has a directory of its own in `cache/`. An account is shown others from now
//! on, or somebody has opened a folder by its name once: what was known of them would stay.

use std::{io, ops::ControlFlow, os::fd::BorrowedFd};

use super::{CHANGES, DRAFT, MESSAGES};
use crate::{Clock, disk::Kind, maildir::layout::Mailbox};

/// A set that is looked at is written with the first look after anything has changed. One of which
/// nothing has for so long is found out again at the cost of reading its headers once.
const UNUSED_SECONDS: u64 = 30 * 24 * 60 * 60;
/// So many are removed at once at most.
const REMOVED_MAX: usize = 1000;
/// How many hex digits a set is called by.
const NAME_DIGITS: usize = 32;

/// Removes the sets that have not been written for long, but for the one that is looked at now.
///
/// The caller holds the mailbox lock, so that nobody writes meanwhile; whoever has read one needs
/// it no more. A failure is logged: nothing here is needed.
pub(crate) fn remove(mailbox: &Mailbox, clock: &Clock) {
    if let Err(error) = try_remove(mailbox, clock) {
        tracing::warn!(
            mailbox = %mailbox.path().display(),
            %error,
            "caches of folders that are no longer looked at not removed"
        );
    }
}

fn try_remove(mailbox: &Mailbox, clock: &Clock) -> io::Result<()> {
    let disk = mailbox.disk();
    let cache = mailbox.inbox_cache()?;
    let used = mailbox.besides_name();
    let mut others = Vec::new();
    disk.read_directory(cache, |name, kind| {
        let is_set = matches!(kind, Kind::Directory | Kind::Unknown) && is_name(name);
        if is_set && name != used.as_bytes() {
            others.push(name.to_vec());
        }
        match others.len() < REMOVED_MAX {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    })?;
    let now = clock.now().as_secs();
    for name in others {
        // Each file that is written is renamed into it.
        let written = disk.facts_at(cache, &name)?.modified / 1_000_000_000;
        let written = u64::try_from(written).unwrap_or_default();
        if now.saturating_sub(written) > UNUSED_SECONDS {
            remove_set(mailbox, cache, &name)?;
        }
    }
    Ok(())
}

fn remove_set(mailbox: &Mailbox, cache: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let disk = mailbox.disk();
    let set = disk.open_directory(cache, name)?;
    for file in [MESSAGES, CHANGES, DRAFT] {
        disk.unlink_if_there(&set, file)?;
    }
    disk.remove_directory(cache, name)
}

fn is_name(name: &[u8]) -> bool {
    let digit = |octet: &u8| matches!(octet, b'0'..=b'9' | b'a'..=b'f');
    name.len() == NAME_DIGITS && name.iter().all(digit)
}
