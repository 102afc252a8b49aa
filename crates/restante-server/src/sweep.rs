//! Looks after the mailboxes that nobody opens: what has to leave them leaves all the same.
//!
//! Once a day every mailbox is asked to let go what its account's policy says. One at a time, with
//! a pause after each, so that whoever polls meanwhile notices nothing; a server that stood still
//! for weeks begins a minute after its start. What is in session is left for the next day: its
//! session's end does the same.

use std::{sync::Arc, time::Duration};

use restante_maildrop::{Edit, EditError, Store};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{accounts::DirectoryError, log, server::Shared};

/// A start has other things to do.
const AFTER_START: Duration = Duration::from_secs(60);
/// From the begin of one round to the begin of the next.
const EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// After each mailbox.
const PAUSE: Duration = Duration::from_millis(10);
/// After accounts could not be listed.
const RETRY_AFTER: Duration = Duration::from_secs(60 * 60);
/// A mailbox lets go a bounded number at once; so often it is asked in one round.
const TURNS_MAX: usize = 100;

/// Sweeps for as long as it is polled. Dropping it breaks nothing off that has begun.
pub(crate) async fn forever<S: Store>(shared: &Shared<S>) {
    sleep(AFTER_START).await;
    loop {
        let begun = Instant::now();
        match round(shared).await {
            Ok(()) => sleep_until(begun + EVERY).await,
            Err(error) => {
                let error = log::causes(&error);
                tracing::warn!(error, "mailboxes not swept, tried again in an hour");
                sleep(RETRY_AFTER).await;
            }
        }
    }
}

/// Every mailbox once.
async fn round<S: Store>(shared: &Shared<S>) -> Result<(), DirectoryError> {
    let names = shared.current().authenticator.directory().names().await?;
    // Accounts in a database that cannot be listed: each session looks after its own.
    for name in names.unwrap_or_default() {
        sweep(shared, &name).await;
        sleep(PAUSE).await;
    }
    Ok(())
}

/// What is wrong with one mailbox keeps nobody from the next.
async fn sweep<S: Store>(shared: &Shared<S>, name: &str) {
    let current = shared.current();
    let account = match current.authenticator.directory().look_up(name).await {
        Ok(Some(account)) => account,
        Ok(None) => return,
        Err(error) => {
            let error = log::causes(&error);
            return tracing::warn!(account = name, error, "mailbox not swept");
        }
    };
    // By which rules mail would leave is not known.
    let (Ok(mailbox), None) = (&account.mailbox, &account.access.obstacle) else {
        return;
    };
    let policy = account.choices.over(current.settings.policy);
    let folders = account.choices.shows_over(&current.settings.shows).folders;
    let store = Arc::clone(&shared.store);
    let mut left = 0;
    for _ in 0..TURNS_MAX {
        match store
            .edit(mailbox, Edit::Sweep(policy, folders.clone()))
            .await
        {
            Ok(edited) if edited.count > 0 => left += edited.count,
            // There is no mailbox yet, for instance.
            Ok(_) | Err(EditError::Refused(_)) => break,
            Err(error) => {
                let error = log::causes(&error);
                tracing::warn!(account = name, error, "mailbox not swept");
                break;
            }
        }
        sleep(PAUSE).await;
    }
    if left > 0 {
        tracing::info!(account = name, messages = left, "mail left by its policy");
    }
}
