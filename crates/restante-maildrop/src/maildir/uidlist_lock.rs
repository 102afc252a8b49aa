//! Dovecot's lock of a Maildir's `dovecot-uidlist`: a file beside it that only one can make.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Pid, test_kill_process},
};

use super::{layout::Mailbox, unique_name};
use crate::Clock;

const FILE: &[u8] = b"dovecot-uidlist.lock";
/// Dovecot holds it for milliseconds, and touches it every ten seconds where it takes longer. What
/// is older was left behind.
const STALE_AFTER: Duration = Duration::from_secs(120);
const HOLDER_OCTETS_MAX: usize = 512;
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
        let (disk, tmp) = (mailbox.disk(), mailbox.tmp()?);
        let draft = unique_name::for_arrival(clock, "uidlist-lock")?;
        let file = mailbox.create_new(tmp, &draft);
        let acquired = file.and_then(|file| {
            let holder = format!("{}:{}", std::process::id(), unique_name::host());
            disk.write_all(&file, holder.as_bytes())?;
            Self::publish(mailbox, clock, &draft)
        });
        if !matches!(acquired, Ok(Some(_))) {
            let _ = disk.unlink(tmp, &draft);
        }
        acquired
    }

    /// Gives the draft the lock's name, which never lacks its holder then.
    fn publish(mailbox: &'m Mailbox, clock: &Clock, draft: &[u8]) -> io::Result<Option<Self>> {
        let (disk, root) = (mailbox.disk(), mailbox.root());
        let began = Instant::now();
        loop {
            match disk.rename_no_replace(mailbox.tmp()?, draft, root, FILE) {
                Ok(()) => return Ok(Some(Self { mailbox })),
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Err(_) => {}
            }
            let freed = match is_left_behind(mailbox, clock) {
                Ok(true) => disk.unlink(root, FILE).map(|()| true),
                looked => looked,
            };
            match freed {
                Ok(true) => {}
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

/// Whether nobody holds the lock that is there.
fn is_left_behind(mailbox: &Mailbox, clock: &Clock) -> io::Result<bool> {
    let disk = mailbox.disk();
    let file = disk.open_read(mailbox.root(), FILE)?;
    let modified = u64::try_from(disk.facts(&file)?.modified).unwrap_or_default();
    let age = clock.now().saturating_sub(Duration::from_nanos(modified));
    let mut holder = [0; HOLDER_OCTETS_MAX];
    let count = disk.read_at(&file, &mut holder, 0)?;
    let holder = String::from_utf8_lossy(holder.get(..count).unwrap_or_default());
    Ok(age >= STALE_AFTER || is_dead(&holder))
}

/// Whether it is a process of this machine, `PID:HOST`, that is no more.
fn is_dead(holder: &str) -> bool {
    let here = unique_name::host();
    let process = holder.split_once(':').filter(|(_, host)| *host == here);
    let process = process.and_then(|(process, _)| Pid::from_raw(process.parse().ok()?));
    process.is_some_and(|process| test_kill_process(process) == Err(Errno::SRCH))
}
