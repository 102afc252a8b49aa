//! A store to test, and the means to do behind its back what the world does.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use restante_maildrop::{
    Clock, Lost, MailboxId, Store, View, ViewName,
    memory::{MemoryStore, Operation},
};

/// How long the stores under test keep what was deleted.
pub(crate) const UNDELETE_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A fresh store with the mailbox [`mailbox`]`("me")`, empty.
pub(crate) trait Fixture: Sized {
    /// The kind of store.
    type Store: Store;

    /// Makes it, under a clock moved by hand.
    fn begin() -> Self;

    /// The store.
    fn store(&self) -> &Self::Store;

    /// The store's clock.
    fn clock(&self) -> &Clock;

    /// Removes a message as another program would.
    fn vanish(&self, mailbox: &MailboxId, unique_id: &[u8]);

    /// Base names, in listing order.
    fn base_names(&self, mailbox: &MailboxId) -> Vec<Vec<u8>>;

    /// A mailbox whose place is missing.
    fn absent(&self) -> MailboxId;

    /// Lets deliveries to `mailbox` fail from now on.
    fn refuse_deliveries(&self, mailbox: &MailboxId);

    /// Takes the lease of a view away; `false` if this store's leases cannot be lost.
    fn lose(&self, view: &View, why: Lost) -> bool;
}

/// The mailbox of that name.
pub(crate) fn mailbox(name: &str) -> MailboxId {
    MailboxId {
        account: name.to_owned(),
        home: None,
        location: None,
    }
}

/// The view that all credentials of `name` share.
pub(crate) fn shared(name: &str) -> View {
    View {
        mailbox: mailbox(name),
        name: ViewName::shared(),
    }
}

/// Runs the block once on each kind of store.
macro_rules! on_every_store {
    (|$fixture:ident| $body:block) => {{
        let $fixture = <crate::fixture::MemoryFixture as crate::fixture::Fixture>::begin();
        $body
    }};
}
pub(crate) use on_every_store;

/// The store in memory.
pub(crate) struct MemoryFixture {
    store: MemoryStore,
    clock: Clock,
}

impl Fixture for MemoryFixture {
    type Store = MemoryStore;

    fn begin() -> Self {
        let clock = Clock::by_hand(begin());
        let store = MemoryStore::with_clock(clock.clone());
        store.set_undelete_for(UNDELETE_FOR);
        store.set_delay(Duration::from_micros(50));
        store.make_mailbox(&mailbox("me"));
        Self { store, clock }
    }

    fn store(&self) -> &MemoryStore {
        &self.store
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn vanish(&self, mailbox: &MailboxId, unique_id: &[u8]) {
        assert!(self.store.remove_behind_the_back(mailbox, unique_id));
    }

    fn base_names(&self, mailbox: &MailboxId) -> Vec<Vec<u8>> {
        self.store.base_names(mailbox)
    }

    fn absent(&self) -> MailboxId {
        let absent = mailbox("absent");
        self.store.take_away(&absent);
        absent
    }

    fn refuse_deliveries(&self, mailbox: &MailboxId) {
        self.store.refuse_deliveries(mailbox);
    }

    fn lose(&self, view: &View, why: Lost) -> bool {
        self.store.lose(view, why);
        true
    }
}

impl MemoryFixture {
    /// Lets the removal of one message fail, after `succeeding` that work.
    pub(crate) fn fail_removal_after(&self, succeeding: u32) {
        self.store.fail_after(Operation::Remove, succeeding);
    }
}

/// An hour from now, to the second: ahead of the times of files while the test runs.
fn begin() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Duration::from_secs(now.expect("it is after 1970").as_secs() + 60 * 60)
}
