//! Where mail rests until it is fetched: the store contract, and the stores of one machine.
//!
//! ```text
//!   View: who looks, by which Policy, at what (Shows)
//!     │
//!     └─► Store::open ──► Maildrop ──► messages, measure, read ──► Body
//!                            └─ update(Marks), or leave
//!   Recipient, BodySource ──► Store::deliver ──► Durable
//!   Edit ─────────────────► Store::edit
//! ```
//!
//! A [`Store`] keeps mailboxes. A session opens one through a [`View`] and gets a [`Maildrop`]: the
//! messages that the view lists, under numbers that never move, until it is dropped. Which those
//! are, and when a message leaves the mailbox, follows from what the account has chosen
//! ([`Policy`]) and from what each device has done before. What an operator does, whether or not
//! somebody is in session, is an [`Edit`].
//!
//! [`Maildir`] keeps mail in Maildirs that other programs use at the same time; with the feature
//! `memory` there is a store in memory too. `examples/open_maildir.rs` opens a Maildir.
//!
//! # What can be relied on
//!
//! - `Ok` of an update or a delivery means durable; a [`Maildrop`] that is dropped has removed
//!   nothing.
//! - What is read from the disk is a stranger's: damage costs a log line, never a message.
//! - What has left a mailbox rests in its trash, for as long as the store is told to keep it.
//!
//! # What this crate does not do
//!
//! It knows no passwords, no network and no text of the protocol.

mod body;
mod change;
mod clock;
mod contract;
pub mod disk;
mod figures;
mod folder;
pub mod foreign;
mod maildir;
#[cfg(feature = "memory")]
pub mod memory;
mod message_table;
mod policy;
#[cfg(test)]
mod said;
mod tagging;
mod views;
mod visit;

pub use body::{Body, BodyReader, Chunks, Rest};
pub use change::{Change, ChangeKind, Journal, JournalEntry};
pub use clock::Clock;
pub use contract::{
    BodySource, DeliverError, Durable, Edit, EditError, Edited, KeptMessage, KnownDevice, Lost,
    MailboxId, Maildrop, Marks, OpenError, ReadError, Recipient, Store, TrashSelection,
    UpdateError, Updated, View, ViewName,
};
pub use figures::{Durations, Figures};
pub use folder::{FolderError, FolderName, ShownFolder, ShownFolders, Tag};
#[cfg(feature = "testing")]
#[doc(hidden)]
pub use foreign::{fuzz_foreign_list, fuzz_uidl_format};
pub use maildir::{
    Difference, Export, ExportError, HeldMessage, Left, LineEnds, Location, LocationError, Maildir,
    MaildirMaildrop, MaildirSettings, Obstacle, Survey, SurveyError,
};
#[cfg(feature = "testing")]
#[doc(hidden)]
pub use maildir::{
    fuzz_cache_file, fuzz_maildir_name, fuzz_state_file, fuzz_views_file, fuzz_visits_file,
};
pub use message_table::{MessageTable, MessageTableBuilder};
pub use policy::{Access, ChoiceError, DeleteMode, Keep, Policy, Show, Shows, Span};
pub use visit::{Deed, Visit, VisitEnd, VisitedMessage, Visitor};
