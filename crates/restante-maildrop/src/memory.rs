//! A store in memory whose answers take time, for tests of what is built on the contract.
//!
//! It keeps to the contract as the Maildir store does, and differs wherever the contract leaves
//! room: every operation waits, sizes become known late, bodies come in chunks of odd sizes with
//! their first line as a head, leases are lost and operations fail on demand.

mod devices;
mod failures;
mod mailbox;
mod maildrop;
mod sessions;

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};

use crate::{
    BodySource, Change, ChangeKind, Clock, DeliverError, Durable, Edit, EditError, Edited,
    FolderName, Journal, KeptMessage, KnownDevice, Lost, MailboxId, OpenError, Recipient, Store,
    View, ViewName, clock::Watch,
};

use self::{
    failures::Failures,
    mailbox::{Mailbox, Resting},
    sessions::Sessions,
};

pub use self::{failures::Operation, maildrop::MemoryMaildrop};

/// Who makes edits here, for journals.
const AUTHOR: &str = "operator";

/// The store in memory. Clones are the same store.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    clock: Clock,
    sessions: Sessions,
    failures: Failures,
    settings: Mutex<Settings>,
    watch: Watch,
    mailboxes: Mutex<HashMap<MailboxId, Mailbox>>,
    absent: Mutex<HashSet<MailboxId>>,
}

/// What tests may set.
#[derive(Clone, Debug)]
struct Settings {
    delay: Duration,
    undelete_for: Duration,
    /// Sizes of the chunks of a body, over and over; none: the body is given in one piece.
    chunks: Arc<[usize]>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            undelete_for: Duration::from_secs(7 * 24 * 60 * 60),
            chunks: Arc::new([1, 2, 3, 61, 4099]),
        }
    }
}

impl MemoryStore {
    /// An empty store that answers without delay.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that takes arrival and deletion times from `clock`.
    #[must_use]
    pub fn with_clock(clock: Clock) -> Self {
        let inner = Inner {
            clock,
            ..Inner::default()
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Makes an empty mailbox, as opening and delivering do, if it is not there.
    pub fn make_mailbox(&self, mailbox: &MailboxId) {
        self.mailboxes().entry(mailbox.clone()).or_default();
    }

    /// From now on the place for `mailbox` is missing, as a volume that is not mounted.
    pub fn take_away(&self, mailbox: &MailboxId) {
        self.mailboxes().remove(mailbox);
        unpoisoned(&self.inner.absent).insert(mailbox.clone());
    }

    /// From now on every operation, and every chunk of a body, waits this long first.
    pub fn set_delay(&self, delay: Duration) {
        self.settings_mut().delay = delay;
    }

    /// How long removed messages rest in the trash; zero: they do not go there.
    pub fn set_undelete_for(&self, undelete_for: Duration) {
        self.settings_mut().undelete_for = undelete_for;
    }

    /// From now on bodies come in chunks of these sizes, over and over (zeros are left out); if
    /// there is none, in one piece.
    pub fn set_chunks(&self, octets: &[usize]) {
        self.settings_mut().chunks = octets.iter().copied().filter(|&one| one > 0).collect();
    }

    /// Lets one `operation` fail after `succeeding` of them, counted from now.
    pub fn fail_after(&self, operation: Operation, succeeding: u32) {
        self.inner.failures.plan(operation, succeeding);
    }

    /// From now on deliveries to `mailbox` fail.
    pub fn refuse_deliveries(&self, mailbox: &MailboxId) {
        let mut mailboxes = self.mailboxes();
        mailboxes.entry(mailbox.clone()).or_default().refuse();
    }

    /// Takes the lease from the session of `view`, if there is one, and frees the view.
    pub fn lose(&self, view: &View, why: Lost) {
        self.inner.sessions.lose(view, why);
    }

    /// Removes a message as another program would, without the trash; `false` if it is not there.
    pub fn remove_behind_the_back(&self, mailbox: &MailboxId, unique_id: &[u8]) -> bool {
        self.mailboxes()
            .get_mut(mailbox)
            .is_some_and(|mailbox| mailbox.vanish(unique_id))
    }

    /// Moves a message to another folder as another program would, and makes that; `false` if it
    /// is not there.
    pub fn move_behind_the_back(
        &self,
        mailbox: &MailboxId,
        unique_id: &[u8],
        folder: &FolderName,
    ) -> bool {
        self.mailboxes()
            .get_mut(mailbox)
            .is_some_and(|mailbox| mailbox.move_to(unique_id, folder))
    }

    /// Removes a folder with what is in it, as another program would.
    pub fn remove_folder(&self, mailbox: &MailboxId, folder: &FolderName) {
        if let Some(mailbox) = self.mailboxes().get_mut(mailbox) {
            mailbox.remove_folder(folder);
        }
    }

    /// The unique-ids of the messages in listing order.
    #[must_use]
    pub fn unique_ids(&self, mailbox: &MailboxId) -> Vec<Vec<u8>> {
        let mailboxes = self.mailboxes();
        mailboxes
            .get(mailbox)
            .map_or_else(Vec::new, Mailbox::unique_ids)
    }

    /// The unique-ids of the messages in one folder, in listing order.
    #[must_use]
    pub fn unique_ids_in(&self, mailbox: &MailboxId, folder: &FolderName) -> Vec<Vec<u8>> {
        let mailboxes = self.mailboxes();
        let found = mailboxes.get(mailbox);
        found.map_or_else(Vec::new, |mailbox| mailbox.unique_ids_in(folder))
    }

    /// The base names of the messages in listing order: what [`Edit::Import`] calls them.
    #[must_use]
    pub fn base_names(&self, mailbox: &MailboxId) -> Vec<Vec<u8>> {
        let mailboxes = self.mailboxes();
        mailboxes
            .get(mailbox)
            .map_or_else(Vec::new, Mailbox::base_names)
    }

    fn settings(&self) -> Settings {
        self.settings_mut().clone()
    }

    fn settings_mut(&self) -> MutexGuard<'_, Settings> {
        unpoisoned(&self.inner.settings)
    }

    fn mailboxes(&self) -> MutexGuard<'_, HashMap<MailboxId, Mailbox>> {
        unpoisoned(&self.inner.mailboxes)
    }

    fn is_absent(&self, mailbox: &MailboxId) -> bool {
        unpoisoned(&self.inner.absent).contains(mailbox)
    }

    /// What becomes of what leaves a mailbox now, while `view` is in session, if one is.
    fn resting(&self, mailbox: &MailboxId, view: Option<&ViewName>) -> Resting {
        let undelete_for = self.settings().undelete_for;
        let watched = self.inner.sessions.any_other(mailbox, view);
        let shown = self.inner.watch.look(&self.inner.clock);
        let limit = shown.and_then(|shown| shown.checked_sub(undelete_for));
        let gone_by = limit.filter(|_| !(undelete_for.is_zero() && watched));
        Resting {
            now: self.now_seconds(),
            keeps: watched || !undelete_for.is_zero(),
            gone_by: gone_by.map(|limit| limit.as_secs()),
        }
    }

    fn now_seconds(&self) -> u64 {
        self.inner.clock.now().as_secs()
    }

    async fn look<T>(
        &self,
        mailbox: &MailboxId,
        look: impl FnOnce(&Mailbox) -> T,
    ) -> Result<T, OpenError> {
        let begun = self.begin(Operation::Look).await;
        begun.map_err(OpenError::Temporary)?;
        let mailboxes = self.mailboxes();
        mailboxes.get(mailbox).map(look).ok_or(OpenError::Absent)
    }

    async fn wait(&self) {
        let delay = self.settings().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }

    /// Waits, then fails if it is this operation's turn.
    async fn begin(&self, operation: Operation) -> io::Result<()> {
        self.wait().await;
        self.inner.failures.check(operation)
    }

    fn deliver_one(&self, to: &Recipient, body: &Bytes) -> Result<Durable, DeliverError> {
        self.inner
            .failures
            .check(Operation::Deliver)
            .map_err(|error| DeliverError::Temporary(Arc::new(error)))?;
        if self.is_absent(&to.mailbox) {
            let error = io::ErrorKind::NotFound.into();
            return Err(DeliverError::Temporary(Arc::new(error)));
        }
        let octets = match to.prefix.is_empty() {
            true => body.clone(),
            false => [&to.prefix[..], body].concat().into(),
        };
        let mut mailboxes = self.mailboxes();
        let resting = self.resting(&to.mailbox, None);
        let mailbox = mailboxes.entry(to.mailbox.clone()).or_default();
        mailbox.purge_older(resting);
        mailbox
            .deliver(octets, resting.now)
            .map_err(|error| DeliverError::Temporary(Arc::new(error)))?;
        Ok(Durable::proven())
    }
}

impl Store for MemoryStore {
    type Maildrop = MemoryMaildrop;

    async fn open(&self, view: &View, wait: Duration) -> Result<MemoryMaildrop, OpenError> {
        self.begin(Operation::Open)
            .await
            .map_err(OpenError::Temporary)?;
        if self.is_absent(&view.mailbox) {
            return Err(OpenError::Absent);
        }
        let lease = self.inner.sessions.acquire(view, wait).await?;
        // R1939-LOCK-3: the snapshot is taken under the lock and never changes.
        let mut mailboxes = self.mailboxes();
        let resting = self.resting(&view.mailbox, Some(&view.name));
        let mailbox = mailboxes.entry(view.mailbox.clone()).or_default();
        let (known, listed) = devices::enter(mailbox, view, resting)?;
        drop(mailboxes);
        Ok(MemoryMaildrop::new(self.clone(), lease, known, listed))
    }

    async fn deliver<B: BodySource>(
        &self,
        recipients: &[Recipient],
        body: B,
    ) -> Vec<Result<Durable, DeliverError>> {
        let body = match read_all(body).await {
            Ok(body) => body,
            Err(error) => {
                let error = Arc::new(error);
                let refused = |_| Err(DeliverError::Source(Arc::clone(&error)));
                return recipients.iter().map(refused).collect();
            }
        };
        let mut results = Vec::with_capacity(recipients.len());
        for recipient in recipients {
            self.wait().await;
            results.push(self.deliver_one(recipient, &body));
        }
        results
    }

    async fn edit(&self, mailbox: &MailboxId, edit: Edit) -> Result<Edited, EditError> {
        self.begin(Operation::Edit)
            .await
            .map_err(EditError::Temporary)?;
        let mut mailboxes = self.mailboxes();
        let resting = self.resting(mailbox, None);
        let now = resting.now;
        let in_session = self.inner.sessions.any_other(mailbox, None);
        let Some(mailbox) = mailboxes.get_mut(mailbox) else {
            return Err(EditError::Refused("there is no such mailbox".to_owned()));
        };
        if let Edit::Restore(selection)
        | Edit::Purge(selection)
        | Edit::RestoreFor { selection, .. } = &edit
            && let Some(why) = mailbox.refusal(selection)
        {
            return Err(EditError::Refused(why));
        }
        let count = match edit {
            Edit::Restore(selection) => {
                let restored = mailbox.restore(&selection);
                mailbox.note_messages(now, ChangeKind::Restored, None, restored)
            }
            Edit::Purge(selection) => {
                let purged = mailbox.purge(&selection);
                mailbox.note_messages(now, ChangeKind::Purged, None, purged)
            }
            Edit::Expire { arrived_before } => {
                let expired = mailbox.expire(arrived_before, now);
                let count = mailbox.note_messages(now, ChangeKind::Expired, None, expired);
                mailbox.purge_older(resting);
                count
            }
            Edit::Import(pairs) => {
                let (count, changes) = mailbox.import(&pairs).map_err(EditError::Refused)?;
                if changes {
                    mailbox.note(edited(now, ChangeKind::Imported, None, count));
                }
                count
            }
            Edit::Sweep(policy, _) if in_session => {
                devices::look_at_clock(mailbox, policy, now);
                0
            }
            other => devices::edit(mailbox, other, resting)?,
        };
        Ok(Edited {
            count,
            durable: Durable::proven(),
        })
    }

    async fn messages(&self, mailbox: &MailboxId) -> Result<Vec<KeptMessage>, OpenError> {
        self.look(mailbox, Mailbox::kept).await
    }

    async fn trash(&self, mailbox: &MailboxId) -> Result<Vec<KeptMessage>, OpenError> {
        self.look(mailbox, Mailbox::kept_in_trash).await
    }

    async fn devices(&self, mailbox: &MailboxId) -> Result<Vec<KnownDevice>, OpenError> {
        self.look(mailbox, |mailbox| mailbox.views.known_devices())
            .await
    }

    async fn journal(&self, mailbox: &MailboxId) -> Result<Journal, OpenError> {
        let entries = self.look(mailbox, |mailbox| mailbox.journal.clone());
        Ok(Journal {
            entries: entries.await?,
            damaged: 0,
        })
    }
}

/// An edit, as the journal tells it, that names no messages.
fn edited(made: u64, kind: ChangeKind, device: Option<&ViewName>, count: usize) -> Change {
    Change {
        author: Some(AUTHOR.to_owned()),
        device: device.cloned(),
        count,
        ..Change::due(kind, made, Vec::new())
    }
}

async fn read_all<B: BodySource>(mut body: B) -> io::Result<Bytes> {
    let mut octets = BytesMut::new();
    while let Some(piece) = body.next().await? {
        octets.extend_from_slice(&piece);
    }
    Ok(octets.freeze())
}

/// A test that panicked must not hide its own message behind a poisoned lock.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
