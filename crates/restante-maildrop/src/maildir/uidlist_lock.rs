//! Dovecot's lock of a Maildir's `dovecot-uidlist`: a file beside it that only one can make.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use super::layout::Mailbox;
use crate::Clock;

const FILE: &[u8] = b"dovecot-uidlist.lock";
/// Dovecot holds it for milliseconds, and touches it every ten seconds where it takes longer. What
/// is older was left behind.
const STALE_AFTER: Duration = Duration::from_secs(120);
const WAIT: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The lock; free when dropped.
#[derive(Debug)]
pub(super) struct UidlistLock<'m> {
    mailbox: &'m Mailbox,
}

impl<'m> UidlistLock<'m> {
    /// Takes the lock, waiting for a moment; `None`: Dovecot has it.
    ///
    /// # Errors
    /// Those of making the file.
    pub(super) fn acquire(mailbox: &'m Mailbox, clock: &Clock) -> io::Result<Option<Self>> {
        let disk = mailbox.disk();
        let began = Instant::now();
        loop {
            match mailbox.create_new(mailbox.root(), FILE) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(file) => {
                    let lock = Self { mailbox };
                    // Dovecot asks whether this process lives.
                    let host = super::unique_name::host();
                    let holder = format!("{}:{host}", std::process::id());
                    disk.write_all(&file, holder.as_bytes())?;
                    return Ok(Some(lock));
                }
            }
            match disk.facts_at(mailbox.root(), FILE) {
                Ok(facts) if is_stale(facts.modified, clock) => {
                    disk.unlink(mailbox.root(), FILE)?;
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ if began.elapsed() >= WAIT => return Ok(None),
                _ => thread::sleep(LOOK_EVERY),
            }
        }
    }
}

impl Drop for UidlistLock<'_> {
    fn drop(&mut self) {
        // What stays is stale in two minutes.
        let _ = self.mailbox.disk().unlink(self.mailbox.root(), FILE);
    }
}

fn is_stale(modified: i64, clock: &Clock) -> bool {
    let modified = Duration::from_nanos(u64::try_from(modified).unwrap_or_default());
    clock.now().saturating_sub(modified) >= STALE_AFTER
}
