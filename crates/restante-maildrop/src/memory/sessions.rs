//! Session locks: one lease for each view.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout_at},
};

use super::unpoisoned;
use crate::{Lost, MailboxId, OpenError, View, ViewName};

/// Which views are in session.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    held: Mutex<Held>,
    /// Told whenever a lease ends.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Held {
    last_token: u64,
    leases: HashMap<Key, Holder>,
}

/// Which view of which mailbox, whatever the account has chosen.
type Key = (MailboxId, ViewName);

/// Who holds a view: a token that is never given twice fences off a session that has lost it.
#[derive(Debug)]
struct Holder {
    token: u64,
    lost: watch::Sender<Option<Lost>>,
}

/// A session's hold on a view; dropping it frees the view.
#[derive(Debug)]
pub(super) struct Lease {
    sessions: Sessions,
    view: View,
    token: u64,
    lost: watch::Receiver<Option<Lost>>,
}

impl Sessions {
    /// Takes the lease of `view`, waiting up to `wait` for another session to end.
    pub(super) async fn acquire(&self, view: &View, wait: Duration) -> Result<Lease, OpenError> {
        let deadline = Instant::now() + wait;
        loop {
            let mut freed = std::pin::pin!(self.inner.freed.notified());
            // Listen before looking, or an end between the two would be missed.
            freed.as_mut().enable();
            if let Some(lease) = self.try_acquire(view) {
                return Ok(lease);
            }
            if timeout_at(deadline, freed).await.is_err() {
                return Err(OpenError::InUse);
            }
        }
    }

    /// Whether any view of the mailbox but `own` is in session.
    pub(super) fn any_other(&self, mailbox: &MailboxId, own: Option<&ViewName>) -> bool {
        let held = unpoisoned(&self.inner.held);
        let is_other = |view: &ViewName| own != Some(view);
        let mut views = held.leases.keys();
        views.any(|(other, view)| other == mailbox && is_other(view))
    }

    pub(super) fn lose(&self, view: &View, why: Lost) {
        if let Some(holder) = unpoisoned(&self.inner.held).leases.remove(&key(view)) {
            holder.lost.send_replace(Some(why));
        }
        self.inner.freed.notify_waiters();
    }

    fn try_acquire(&self, view: &View) -> Option<Lease> {
        let mut held = unpoisoned(&self.inner.held);
        if held.leases.contains_key(&key(view)) {
            return None;
        }
        held.last_token += 1;
        let token = held.last_token;
        let (sender, receiver) = watch::channel(None);
        let holder = Holder {
            token,
            lost: sender,
        };
        held.leases.insert(key(view), holder);
        Some(Lease {
            sessions: self.clone(),
            view: view.clone(),
            token,
            lost: receiver,
        })
    }
}

impl Lease {
    pub(super) fn view(&self) -> &View {
        &self.view
    }

    /// Why the lease is lost, if it is.
    pub(super) fn lost(&self) -> Option<Lost> {
        *self.lost.borrow()
    }

    /// Completes when the lease is lost.
    pub(super) async fn until_lost(&self) -> Lost {
        let mut lost = self.lost.clone();
        match lost.wait_for(Option::is_some).await {
            Ok(why) => why.unwrap_or(Lost::Lease),
            // The store has forgotten the lease without a word: it cannot be ours any more.
            Err(_) => Lost::Lease,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut held = unpoisoned(&self.sessions.inner.held);
        if held
            .leases
            .get(&key(&self.view))
            .is_some_and(|holder| holder.token == self.token)
        {
            held.leases.remove(&key(&self.view));
        }
        drop(held);
        self.sessions.inner.freed.notify_waiters();
    }
}

fn key(view: &View) -> Key {
    (view.mailbox.clone(), view.name.clone())
}
