//! Who is logged in at this moment, so that a session ends when what it was opened with is
//! changed or removed.
//!
//! Each session stands here under its account from the moment when its login was verified.
//! Somebody who has changed an account says so ([`Sessions::account_changed`]); the directory is
//! then asked, not believed by hearsay, and the sessions whose login no longer holds are told. A
//! session that is not told in time finds out by itself before its update removes anything.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

use crate::accounts::{Authenticated, Authenticator, DirectoryError};

/// The sessions of one server.
#[derive(Default)]
pub struct Sessions {
    accounts: Mutex<HashMap<String, Vec<Entry>>>,
    /// How often an account was said to have changed.
    changes: AtomicU64,
    last_entry: AtomicU64,
}

struct Entry {
    number: u64,
    login: Arc<Login>,
    withdrawal: Arc<Withdrawal>,
}

/// Tells a session that its login does not hold any more.
#[derive(Default)]
struct Withdrawal {
    is_told: AtomicBool,
    told: Notify,
}

impl Withdrawal {
    /// Tells it; whether that is news.
    fn tell(&self) -> bool {
        let is_news = !self.is_told.swap(true, Ordering::SeqCst);
        self.told.notify_waiters();
        is_news
    }
}

/// A login that was verified, and from where.
#[derive(Debug)]
pub(crate) struct Login {
    /// Who verified it and can tell whether it still holds: not everybody who verifies logins
    /// today looks for accounts in the same place.
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) authenticated: Authenticated,
    pub(crate) address: IpAddr,
}

/// A session's place among the others; dropping it leaves.
pub(crate) struct Place {
    sessions: Arc<Sessions>,
    number: u64,
    login: Arc<Login>,
    withdrawal: Arc<Withdrawal>,
    /// The state of things when the login began to be verified.
    as_of: Moment,
}

/// Tells whether an account was said to have changed since.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Moment(u64);

impl Sessions {
    /// Ends the sessions of `account`, by its canonical name, whose login no longer holds: the
    /// account is gone or closed to them, or the password they gave is not its password now.
    /// Gives their number. They end without an update, at once unless a step of their update has
    /// begun.
    ///
    /// # Errors
    /// [`DirectoryError`]: nobody was ended; each session asks again before it removes anything.
    pub async fn account_changed(&self, account: &str) -> Result<usize, DirectoryError> {
        self.changes.fetch_add(1, Ordering::SeqCst);
        let mut withdrawn = Vec::new();
        for (number, login) in self.logins(account) {
            if !login.still_holds().await? {
                withdrawn.push(number);
            }
        }
        let accounts = self.lock();
        let entries = accounts.get(account).map_or(&[][..], Vec::as_slice);
        let ended = entries.iter().filter(|entry| {
            let ends = withdrawn.contains(&entry.number);
            ends && entry.withdrawal.tell()
        });
        Ok(ended.count())
    }

    fn logins(&self, account: &str) -> Vec<(u64, Arc<Login>)> {
        let accounts = self.lock();
        let entries = accounts.get(account).into_iter().flatten();
        entries
            .map(|entry| (entry.number, Arc::clone(&entry.login)))
            .collect()
    }

    /// To be taken before a login is verified.
    pub(crate) fn now(&self) -> Moment {
        Moment(self.changes.load(Ordering::SeqCst))
    }

    /// A login was verified, which began at `as_of`.
    pub(crate) fn enter(self: &Arc<Self>, login: Login, as_of: Moment) -> Place {
        let withdrawal = Arc::<Withdrawal>::default();
        let number = self.last_entry.fetch_add(1, Ordering::Relaxed) + 1;
        let login = Arc::new(login);
        let entry = Entry {
            number,
            login: Arc::clone(&login),
            withdrawal: Arc::clone(&withdrawal),
        };
        let account = login.authenticated.account.clone();
        // Most accounts have one session.
        let one = || Vec::with_capacity(1);
        self.lock().entry(account).or_insert_with(one).push(entry);
        Place {
            sessions: Arc::clone(self),
            number,
            login,
            withdrawal,
            as_of,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Entry>>> {
        // No code under the lock leaves anything half done.
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Login {
    /// Whether the login would be verified today as it was.
    ///
    /// # Errors
    /// [`DirectoryError`]: nobody can tell.
    pub(crate) async fn still_holds(&self) -> Result<bool, DirectoryError> {
        let account = &self.authenticated.account;
        let current = self.authenticator.current(account).await?;
        Ok(self.authenticated.holds(current.as_ref(), self.address))
    }
}

impl Place {
    pub(crate) fn login(&self) -> &Arc<Login> {
        &self.login
    }

    /// Whether the session has been told that its login does not hold.
    pub(crate) fn is_withdrawn(&self) -> bool {
        self.withdrawal.is_told.load(Ordering::SeqCst)
    }

    /// Completes when the session is told so.
    pub(crate) async fn withdrawn(&self) {
        // Before the look, so that nothing is missed in between.
        let told = self.withdrawal.told.notified();
        if !self.is_withdrawn() {
            told.await;
        }
    }

    /// Whether an account may have changed after it was looked up and before this place was
    /// taken.
    pub(crate) fn may_be_late(&self) -> bool {
        self.sessions.now() != self.as_of
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let account = &self.login.authenticated.account;
        let mut accounts = self.sessions.lock();
        if let Some(entries) = accounts.get_mut(account) {
            entries.retain(|entry| entry.number != self.number);
            if entries.is_empty() {
                accounts.remove(account);
            }
        }
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}
