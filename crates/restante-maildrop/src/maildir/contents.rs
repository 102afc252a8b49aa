//! What an operator sees of a mailbox and of its trash. No session's lock is taken for it.

use std::{io, ops::ControlFlow, sync::Arc};

use restante_proto::{MessageNumber, Messages as _};

use super::{
    layout::Mailbox,
    lock::{self, MailboxLock},
    name::FileName,
    notices::Notices,
    snapshot, trash,
    unique_ids::UniqueIds,
    view_log::ViewLog,
};
use crate::{Clock, FolderName, KeptMessage, ShownFolder};

/// The messages of INBOX, and of the folders that POP has shown besides it. Blocks.
///
/// # Errors
/// Those of opening the mailbox for a session.
pub(crate) fn messages(
    mailbox: &mut Mailbox,
    notices: &Notices,
    clock: &Clock,
) -> io::Result<Vec<KeptMessage>> {
    let log = ViewLog::look(mailbox, clock, &Arc::default())?;
    let shown = log.views().shown().iter().cloned();
    let shown = shown.map(|name| ShownFolder { name, tag: None });
    mailbox.open_besides(notices, shown)?;
    let mailbox = &*mailbox;

    // The file system's clock is read off the session's lock; without it a listing is not trusted
    // later, and nobody is kept out.
    let snapshot = snapshot::load(mailbox, notices, None, &mut || Ok(lock::NO_TIME))?;
    let (columns, table) = (snapshot.columns(), snapshot.table());
    let listed = (0..columns.len()).filter_map(|index| {
        let number = MessageNumber::from_index(index)?;
        let stored = columns.stored(index);
        let unique_id = table.unique_id(number).as_bytes();
        Some(KeptMessage {
            unique_id: unique_id.to_vec(),
            folder: named(mailbox.beside_name(columns.folder(index))),
            octets: stored.octets,
            arrived: arrived(columns.name(index), stored.modified),
            deleted: None,
            deleted_by: log.views().deleted_by(unique_id),
        })
    });
    Ok(listed.collect())
}

/// Gives each message its unique-id, as opening the mailbox does. Takes the mailbox lock if one
/// has to be stored. Blocks.
///
/// # Errors
/// Those of opening the mailbox for a session.
pub(crate) fn settle_ids(mailbox: &Mailbox, notices: &Notices) -> io::Result<()> {
    snapshot::load(mailbox, notices, None, &mut || Ok(lock::NO_TIME)).map(drop)
}

/// The messages in the trash, in order of deletion. Blocks.
///
/// # Errors
/// Those of the mailbox lock, without which a day could go while it is read, and of reading.
pub(crate) fn trash(mailbox: &Mailbox, clock: &Clock) -> io::Result<Vec<KeptMessage>> {
    if mailbox.trash_if_there()?.is_none() {
        return Ok(Vec::new());
    }
    let _lock = MailboxLock::acquire(mailbox)?;
    trash_under_lock(mailbox, clock)
}

/// As [`trash`], for a caller who holds the mailbox lock.
///
/// The unique-id of a message whose name had to be cut is that of the cut name.
///
/// # Errors
/// Those of reading.
pub(crate) fn trash_under_lock(mailbox: &Mailbox, clock: &Clock) -> io::Result<Vec<KeptMessage>> {
    let log = ViewLog::read(mailbox, clock, &Arc::default())?;
    let ids = UniqueIds::read(mailbox)?;
    let mut messages = Vec::new();
    trash::walk(
        mailbox,
        |_| true,
        |trashed| {
            let facts = mailbox.disk().facts_at(trashed.directory, trashed.entry)?;
            let unique_id = ids.of(trashed.name, facts.inode);
            messages.push(KeptMessage {
                deleted_by: log.views().deleted_by(&unique_id),
                unique_id,
                folder: named(trashed.folder),
                octets: facts.octets,
                arrived: arrived(trashed.name, facts.modified),
                deleted: Some(trashed.deleted),
            });
            Ok(ControlFlow::Continue(()))
        },
    )?;
    messages.sort_by(|one, other| {
        (one.deleted, &one.unique_id).cmp(&(other.deleted, &other.unique_id))
    });
    Ok(messages)
}

/// The folder besides INBOX, or INBOX.
fn named(beside: Option<&FolderName>) -> FolderName {
    beside.cloned().unwrap_or_else(FolderName::inbox)
}

/// When a message came to this mailbox, as far as that is known, in Unix seconds: the later of the
/// file's time, in nanoseconds, and the time in its name, so that old mail that was filed here
/// today is new.
pub(crate) fn arrived(name: FileName<'_>, modified: i64) -> u64 {
    let written = u64::try_from(modified / 1_000_000_000).unwrap_or_default();
    written.max(name.order().seconds)
}
