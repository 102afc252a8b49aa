//! Where mail rests until it is fetched: the store contract, and the stores of one machine.

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
