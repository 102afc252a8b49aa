//! A mail program that polls again and again while something happens to the server.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};

use super::operator::Operator;

/// Does `work` while a mail program polls; gives how often it did, from beginning to end.
///
/// # Errors
/// A poll failed or brought something, or the work failed.
pub(super) fn while_polling(
    operator: &Operator<'_>,
    work: impl FnOnce() -> Result<()>,
) -> Result<usize> {
    let (polls, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let outcome = thread::scope(|scope| {
        let reader = scope.spawn(|| -> Result<()> {
            while !is_over.load(Ordering::SeqCst) {
                operator.poll_brings(&[])?;
                polls.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        });
        // The work begins in the middle of things.
        while polls.load(Ordering::SeqCst) < 2 && !reader.is_finished() {
            thread::sleep(Duration::from_millis(10));
        }
        let worked = work();
        is_over.store(true, Ordering::SeqCst);
        let polled = reader.join().map_err(|_| anyhow!("the reader broke off"));
        worked.and(polled.and_then(|polled| polled))
    });
    outcome?;
    match polls.load(Ordering::SeqCst) {
        0..=2 => bail!("no poll ended meanwhile"),
        polls => Ok(polls),
    }
}
