//! The store contract: what a place that keeps mail must be able to do for a POP3 server.
//!
//! A [`Store`] holds mailboxes. Opening one through a [`View`] gives a [`Maildrop`]: a snapshot
//! under a lease, whose message numbers never move. Dropping it changes nothing; only
//! [`Maildrop::update`] removes mail, and its `Ok` means durable.

use std::{
    collections::HashSet, future::Future, io, ops::RangeInclusive, path::PathBuf, sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use restante_proto::{MessageNumber, MessageSet, Mode, Part};
use sha2::{Digest, Sha256};

use crate::{
    Access, Body, Figures, FolderName, Journal, MessageTable, Policy, Show, ShownFolders, Shows,
    Visitor, views::Views,
};

/// A place that keeps mailboxes.
pub trait Store: Send + Sync + 'static {
    /// What [`Store::open`] gives.
    type Maildrop: Maildrop;

    /// Opens the mailbox as `view` sees it and takes the view's session lock.
    ///
    /// Waits up to `wait` for another session of the same view to end. The snapshot holds every
    /// message whose delivery was durable before the call began. A mailbox that nobody has used
    /// yet is made, and is empty; where the place for it is missing, nothing is made.
    ///
    /// # Errors
    /// [`OpenError::InUse`] when the lock was still held after `wait`; [`OpenError::Absent`] when
    /// the place for it is missing; [`OpenError::Temporary`] when trying again later may help;
    /// [`OpenError::Permanent`] when a person is needed.
    fn open(
        &self,
        view: &View,
        wait: Duration,
    ) -> impl Future<Output = Result<Self::Maildrop, OpenError>> + Send;

    /// Delivers one body to many recipients, each with its own header prefix and its own result,
    /// in the order of `recipients`.
    ///
    /// `Ok` means that the message and its directory entry are on stable storage. The body is read
    /// to its end even when nobody is left to deliver it to, so that the connection it comes from
    /// can go on. A mailbox that nobody has used yet is made.
    fn deliver<B: BodySource>(
        &self,
        recipients: &[Recipient],
        body: B,
    ) -> impl Future<Output = Vec<Result<Durable, DeliverError>>> + Send;

    /// Changes a mailbox from the operator's side, under the mailbox lock, never a session's.
    fn edit(
        &self,
        mailbox: &MailboxId,
        edit: Edit,
    ) -> impl Future<Output = Result<Edited, EditError>> + Send;

    /// What the mailbox holds, in listing order, for an operator: no session's lock is taken, and
    /// no mailbox is made.
    ///
    /// # Errors
    /// Those of [`Store::open`] but for [`OpenError::InUse`]; [`OpenError::Absent`] also when
    /// there is no mailbox.
    fn messages(
        &self,
        mailbox: &MailboxId,
    ) -> impl Future<Output = Result<Vec<KeptMessage>, OpenError>> + Send;

    /// What lies in the mailbox's trash, in order of deletion.
    ///
    /// # Errors
    /// As [`Store::messages`].
    fn trash(
        &self,
        mailbox: &MailboxId,
    ) -> impl Future<Output = Result<Vec<KeptMessage>, OpenError>> + Send;

    /// The devices that have a view of this mailbox, in the order in which they were added.
    ///
    /// # Errors
    /// As [`Store::messages`].
    fn devices(
        &self,
        mailbox: &MailboxId,
    ) -> impl Future<Output = Result<Vec<KnownDevice>, OpenError>> + Send;

    /// What has happened in the last months: which sessions have retrieved or deleted something,
    /// which edits were made, and what has left because it was due.
    ///
    /// # Errors
    /// As [`Store::messages`].
    fn journal(
        &self,
        mailbox: &MailboxId,
    ) -> impl Future<Output = Result<Journal, OpenError>> + Send;

    /// What was counted. A store that counts nothing shows zeros.
    fn figures(&self) -> Arc<Figures> {
        Arc::default()
    }
}

/// A snapshot of a mailbox under a lease. Dropping it releases the lease and changes nothing.
pub trait Maildrop: Send + Sync + 'static {
    /// The listing: shared columns, message numbers from 1, oldest first.
    fn messages(&self) -> &Arc<MessageTable>;

    /// Makes the sizes of messages `1..=through` known to [`Maildrop::messages`].
    ///
    /// Ready at once when they are. A message that cannot be measured (gone, unreadable) gets
    /// size 0 and is logged; reading it fails later with its own error.
    ///
    /// # Errors
    /// [`ReadError::Temporary`] when the store as a whole does not answer.
    fn measure(
        &self,
        mode: Mode,
        through: MessageNumber,
    ) -> impl Future<Output = Result<(), ReadError>> + Send;

    /// Opens the body of message `number` for sending.
    ///
    /// `part` is a hint: a store may give more than [`Part::Top`] asks for; the encoder cuts.
    fn read(
        &self,
        number: MessageNumber,
        mode: Mode,
        part: Part,
    ) -> impl Future<Output = Result<Body, ReadError>> + Send;

    /// Hints that these messages will be read next. Never blocks.
    fn read_ahead(&self, next: RangeInclusive<MessageNumber>);

    /// Says that what [`Maildrop::read`] gave of the message was not what it announced: whatever
    /// is remembered of it is not to be believed in the next session. Never blocks.
    fn distrust(&self, number: MessageNumber);

    /// Completes when the lease is lost; the session must then end without an update.
    fn lost(&self) -> impl Future<Output = Lost> + Send;

    /// Applies the session's marks and releases the lease, success or failure (RFC 1939 §6).
    ///
    /// `Ok` means that every message in `marks.deleted` has left the view, durably.
    /// A message that was gone already counts as deleted. The store's journal tells of it, if it
    /// can; that never makes an update fail, and a session without marks costs it nothing.
    fn update(self, marks: Marks) -> impl Future<Output = Result<Updated, UpdateError>> + Send;

    /// Releases the lease without an update, as dropping it does, and has the store's journal tell
    /// of what was retrieved. What is marked as deleted stays.
    fn leave(self, marks: Marks) -> impl Future<Output = ()> + Send;
}

/// What a session has done to the messages it listed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Marks {
    /// Marked by DELE and not unmarked by RSET.
    pub deleted: MessageSet,
    /// Sent whole by RETR (RFC 1939 §8: TOP is not a download).
    pub retrieved: MessageSet,
    /// Whose session it is, for the store's journal.
    pub visitor: Visitor,
}

/// Names a mailbox: the account it belongs to, and where it is if the account says so.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct MailboxId {
    /// The account's canonical name, as the directory has it: `user@example.com` or `user`.
    pub account: String,
    /// The account's home directory, for locations that contain `{home}`.
    pub home: Option<PathBuf>,
    /// A location of this account's own, instead of the store's rule.
    pub location: Option<PathBuf>,
}

/// One way of seeing a mailbox, with its own session lock.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct View {
    /// The mailbox that is seen.
    pub mailbox: MailboxId,
    /// Which view of it. With [`DeleteMode::PerDevice`](crate::DeleteMode) the session's device,
    /// otherwise [`ViewName::shared`].
    pub name: ViewName,
    /// What the account has chosen. All sessions of a mailbox have the same, but for the moment
    /// at which the choice is changed: each session ends by the one it began with.
    pub policy: Policy,
    /// What of the mailbox is shown.
    pub shows: Shows,
    /// What the device may do, which the mailbox takes note of; a view that all share may do
    /// everything. Whoever opens a view that cannot delete gives no such marks to an update.
    pub access: Access,
}

impl View {
    /// The view that all credentials of an account share: classic RFC 1939.
    #[must_use]
    pub fn shared(mailbox: MailboxId) -> Self {
        Self {
            mailbox,
            name: ViewName::shared(),
            policy: Policy::default(),
            shows: Shows::default(),
            access: Access::default(),
        }
    }
}

/// The name of a view: `shared`, or a device's. 1–64 of `a`–`z`, `0`–`9`, `-`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ViewName(String);

/// Begins the view's name of a device whose own name is not fit for one.
const DIGESTED: &str = "x-";
/// Octets of the digest behind it.
const DIGEST_OCTETS: usize = 20;

impl ViewName {
    /// No name is longer.
    pub(crate) const OCTETS_MAX: usize = 64;

    /// The view of the device that a person has called so; any characters will do. No two names
    /// have the same view, and none has the one that all share.
    #[must_use]
    pub fn of_device(name: &str) -> Self {
        match Self::new(name) {
            Some(view) if view != Self::shared() && !name.starts_with(DIGESTED) => view,
            _ => {
                let digest = Sha256::digest(name);
                let digest = digest.iter().take(DIGEST_OCTETS);
                let digits: String = digest.map(|octet| format!("{octet:02x}")).collect();
                Self(format!("{DIGESTED}{digits}"))
            }
        }
    }

    /// The view that all credentials of an account share: classic RFC 1939.
    #[must_use]
    pub fn shared() -> Self {
        Self("shared".to_owned())
    }

    /// A view's name, or `None` if `name` is not 1–64 of `a`–`z`, `0`–`9`, `-`.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let legal = |octet: u8| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-');
        (1..=Self::OCTETS_MAX).contains(&name.len()).then_some(())?;
        name.bytes().all(legal).then(|| Self(name.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One recipient of a delivery.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// Where the copy goes.
    pub mailbox: MailboxId,
    /// Header lines that stand before the body in this copy (`Return-Path`, `Delivered-To`), each
    /// with its line end; may be empty.
    pub prefix: Bytes,
}

/// Where a delivery's octets come from.
pub trait BodySource: Send {
    /// The next piece, of any size; `None` at the end. Line ends may be LF, CRLF or mixed.
    fn next(&mut self) -> impl Future<Output = io::Result<Option<Bytes>>> + Send;
}

/// Proof that something is on stable storage. Only a store can make one.
#[derive(Debug)]
#[must_use]
pub struct Durable(());

impl Marks {
    /// Whether the session has done nothing that a journal would tell.
    pub(crate) fn are_none(&self) -> bool {
        self.deleted.is_empty() && self.retrieved.is_empty()
    }
}

impl Durable {
    /// To be called where the last sync has succeeded, and nowhere else.
    pub(crate) fn proven() -> Self {
        Self(())
    }
}

/// An operator's change of one mailbox.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Edit {
    /// Puts back what lies in the trash, each message under a new, stored unique-id: to the folder
    /// that it left, or to INBOX if that is gone.
    Restore(TrashSelection),
    /// Removes for good what lies in the trash.
    Purge(TrashSelection),
    /// Moves to the trash what arrived before this many seconds since 1970.
    Expire {
        /// Messages received before this moment (Unix seconds).
        arrived_before: u64,
    },
    /// Stores unique-ids that another server has given: (base name, unique-id).
    ///
    /// Refused as a whole if one is not legal, is or was another message's, or if a base name
    /// stands twice with different ids. Base names that the mailbox does not hold are left out.
    /// That an import was made is stored too, even where there is nothing to store.
    /// A restored message has a new base name, so its old id does not come back this way.
    Import(Vec<(Vec<u8>, Vec<u8>)>),
    /// As [`Edit::Restore`], for one device: from all others it is hidden. Refused if the mailbox
    /// does not know the device.
    RestoreFor {
        /// What is put back.
        selection: TrashSelection,
        /// Who gets it.
        device: ViewName,
    },
    /// Gives a device its view. One of this name that was there before is removed first, so that
    /// the edit can be repeated. Counts the messages that are hidden from it.
    AddDevice {
        /// The device's view.
        device: ViewName,
        /// What it sees of the mail that is there.
        show: Show,
        /// What it may do.
        access: Access,
    },
    /// Shows the device everything that is there again, under the old unique-ids: for a program
    /// that begins empty. Refused if the mailbox does not know the device.
    ResetDevice(ViewName),
    /// Takes the device's view away, and moves to the trash what all others are done with; that
    /// many are counted. A session of it that is open stays open: end it first.
    RemoveDevice {
        /// The device's view.
        device: ViewName,
        /// The account's choice.
        policy: Policy,
    },
    /// Moves to the trash what has to leave by this policy, a bounded number of messages, unless
    /// somebody is in session: to be asked for now and then, at least once a day. It looks at
    /// INBOX, and at those of these folders that a session has shown: they are what the account
    /// shows.
    Sweep(Policy, ShownFolders),
}

/// A device that has a view of a mailbox.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KnownDevice {
    /// Its view's name; see [`ViewName::of_device`].
    pub name: ViewName,
    /// When it was added, in Unix seconds.
    pub added: u64,
    /// When it was last used, in Unix seconds, a day too early at most; `None` if never.
    pub used: Option<u64>,
    /// What it may do.
    pub access: Access,
}

/// A message as an operator sees it, in the mailbox or in its trash.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeptMessage {
    /// Its unique-id; in the trash the one it had.
    pub unique_id: Vec<u8>,
    /// Where it is; in the trash where it was, and goes back to.
    pub folder: FolderName,
    /// How many octets it takes as it is stored.
    pub octets: u64,
    /// When it came to this mailbox, as far as that is known, in Unix seconds.
    pub arrived: u64,
    /// When it was moved to the trash, in Unix seconds.
    pub deleted: Option<u64>,
    /// From which views it is hidden, as far as that is remembered: those that have deleted it.
    /// A shared mailbox that keeps mail until it is deleted has no need to remember.
    pub deleted_by: Vec<ViewName>,
}

/// Which messages of the trash an edit means.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TrashSelection {
    /// All of them.
    All,
    /// Those that had these unique-ids. Refused as a whole if one of them is not there.
    UniqueIds(HashSet<Vec<u8>>),
    /// Those that were deleted before this many seconds since 1970.
    DeletedBefore(u64),
    /// Those that were deleted at or after this many seconds since 1970.
    DeletedSince(u64),
    /// Those that this view has deleted, as far as that is remembered.
    DeletedBy(ViewName),
}

impl TrashSelection {
    /// Whether it means what was deleted at `deleted` (Unix seconds), had `unique_id`, and is
    /// hidden from these views.
    pub(crate) fn holds(&self, deleted: u64, unique_id: &[u8], by: &Views) -> bool {
        match self {
            Self::All => true,
            Self::UniqueIds(ids) => ids.contains(unique_id),
            Self::DeletedBy(view) => by.deleted_by(unique_id).contains(view),
            Self::DeletedBefore(moment) => deleted < *moment,
            Self::DeletedSince(moment) => deleted >= *moment,
        }
    }

    /// Why it is refused if these are the unique-ids in the trash.
    pub(crate) fn refusal<'i>(&self, there: impl Iterator<Item = &'i [u8]>) -> Option<String> {
        let Self::UniqueIds(wanted) = self else {
            return None;
        };
        let there: HashSet<&[u8]> = there.collect();
        let missing = wanted.iter().filter(|id| !there.contains(id.as_slice()));
        // The same one each time.
        let missing = missing.min()?;
        let missing = missing.escape_ascii();
        Some(format!("there is no `{missing}` in the trash"))
    }
}

/// What an edit did, durably.
#[derive(Debug)]
#[must_use]
pub struct Edited {
    /// How many messages or ids it concerned.
    pub count: usize,
    /// The proof.
    pub durable: Durable,
}

/// What an update did, durably.
#[derive(Debug)]
#[must_use]
pub struct Updated {
    /// How many messages have left the view.
    pub removed: usize,
    /// The proof.
    pub durable: Durable,
}

/// Why a mailbox could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another session holds the view (RFC 2449 §8.1.2: `[IN-USE]`).
    #[error("maildrop in use by another session")]
    InUse,
    /// The place for mailboxes is not there: never made, or its volume is not mounted. Nothing
    /// was made in its stead, or a full mailbox would look empty (RFC 3206: `[SYS/TEMP]`).
    #[error("the place for maildrops is missing")]
    Absent,
    /// Trying again later may help (RFC 3206: `[SYS/TEMP]`).
    #[error("maildrop temporarily unavailable")]
    Temporary(#[source] io::Error),
    /// A person is needed (RFC 3206: `[SYS/PERM]`).
    #[error("maildrop unavailable")]
    Permanent(#[source] io::Error),
}

/// Why a message could not be read or measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Another program has removed it.
    #[error("message is gone")]
    Gone,
    /// It is not what was listed; the next session sees the truth.
    #[error("message changed since it was listed")]
    Changed,
    /// The store failed; trying again may help.
    #[error("message temporarily unreadable")]
    Temporary(#[source] io::Error),
}

/// Why a session lost its lease.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Lost {
    /// The lease ran out or was taken.
    Lease,
    /// The credential that opened it was removed or changed.
    Credential,
}

/// Why an update failed. Some, all or none of the marked messages may be gone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// The lease was lost: nothing was changed.
    #[error("lease lost, nothing was removed")]
    Lost(Lost),
    /// The store failed part-way.
    #[error("{failed} of {marked} messages not removed")]
    Incomplete {
        /// How many were marked.
        marked: usize,
        /// How many may still be there.
        failed: usize,
        /// The first failure.
        #[source]
        cause: io::Error,
    },
}

/// Why a delivery was not made. Nothing is visible in the mailbox.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeliverError {
    /// The body's source failed.
    #[error("message could not be read")]
    Source(#[source] Arc<io::Error>),
    /// Trying again later may help.
    #[error("mailbox temporarily unavailable")]
    Temporary(#[source] Arc<io::Error>),
    /// A person is needed.
    #[error("mailbox unavailable")]
    Permanent(#[source] Arc<io::Error>),
}

/// Why an edit was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// What was asked makes no sense for this mailbox; nothing was changed.
    #[error("edit refused: {0}")]
    Refused(String),
    /// The store failed; the edit may be partly done and can be repeated.
    #[error("mailbox temporarily unavailable")]
    Temporary(#[source] io::Error),
}
