//! What an operator changes, under the mailbox lock, whether or not a session is on.
//!
//! A restored message gets a new base name and so, by the rule, a new unique-id: programs that
//! leave mail on the server delete unread what they think they have seen. That its old id does
//! not come back depends on no file but its own. Its place in message order, its sizes, its flags
//! and its received time stay.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    ops::ControlFlow,
    sync::Arc,
};

use super::{
    contents::{self, arrived},
    devices,
    layout::{Folder, Mailbox},
    leaving,
    lock::MailboxLock,
    maildirsize,
    name::FileName,
    notices::Notices,
    onlookers::Asker,
    retention::Retention,
    trash::{self, Trashed},
    unique_ids::{Listed, UniqueIds, by_rule, stem},
    unique_name,
    update::Removal,
    view_log::ViewLog,
    visits,
};
use crate::{
    Change, ChangeKind, Clock, Durable, Edit, EditError, Edited, FolderName, ShownFolder,
    ShownFolders, TrashSelection, ViewName,
    disk::{Facts, Kind},
};

/// Edits of one mailbox.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edits<'e> {
    pub(crate) mailbox: &'e Mailbox,
    pub(crate) retention: &'e Retention,
    pub(crate) notices: &'e Notices,
    /// For the names of restored messages.
    pub(crate) host: &'e str,
    /// For the journal.
    pub(crate) author: &'e str,
}

impl Edits<'_> {
    /// Makes the change. Blocks.
    ///
    /// # Errors
    /// [`EditError::Refused`]: nothing was changed. [`EditError::Temporary`]: some of it may be
    /// done, and it can be asked for again.
    pub(crate) fn make(&self, edit: &Edit) -> Result<Edited, EditError> {
        if let Edit::Sweep(policy, shown) = edit {
            // It takes sessions' locks first.
            let choice = (*policy, shown.clone());
            let swept = leaving::sweep(self.mailbox, self.notices, self.retention, &choice);
            let count = swept.map_err(EditError::Temporary)?.unwrap_or_default();
            return Ok(edited(count));
        }
        if let Edit::AddDevice { .. } = edit {
            // Each message has its unique-id before one is hidden by it.
            contents::settle_ids(self.mailbox, self.notices).map_err(EditError::Temporary)?;
        }
        let lock = MailboxLock::acquire(self.mailbox).map_err(EditError::Temporary)?;
        let count = self.make_under_lock(edit)?;
        drop(lock);
        let mut count = count;
        if let Edit::RemoveDevice { policy, .. } = edit {
            // All folders that are looked at here are shown.
            let shown = ShownFolders::new(self.mailbox.besides().cloned().collect());
            let choice = (*policy, shown.unwrap_or_default());
            let (mailbox, notices, retention) = (self.mailbox, self.notices, self.retention);
            let left = leaving::settle_all(mailbox, notices, retention, &choice, self.author);
            count = left.map_err(EditError::Temporary)?;
        }
        Ok(edited(count))
    }

    fn make_under_lock(&self, edit: &Edit) -> Result<usize, EditError> {
        let mailbox = self.mailbox;
        let clock = &self.retention.clock;
        if let Edit::Restore(selection)
        | Edit::Purge(selection)
        | Edit::RestoreFor { selection, .. } = edit
            && let Some(why) = refusal(mailbox, clock, selection).map_err(EditError::Temporary)?
        {
            return Err(EditError::Refused(why));
        }
        let edited = match edit {
            Edit::Restore(selection) => self.restore(selection, None),
            Edit::RestoreFor { selection, device } => {
                devices::known(mailbox, clock, device)?;
                self.restore(selection, Some(device))
            }
            Edit::Purge(selection) => self.purge(selection),
            Edit::Expire { arrived_before } => self.expire(*arrived_before),
            Edit::Import(pairs) => match import(mailbox, pairs).map_err(EditError::Temporary)? {
                Ok((count, stored)) => {
                    // What was imported before is no change.
                    if stored {
                        self.note(ChangeKind::Imported, None, count, Vec::new());
                    }
                    Ok(count)
                }
                Err(why) => return Err(EditError::Refused(why)),
            },
            Edit::AddDevice {
                device,
                show,
                access,
            } => {
                let hidden = devices::add(mailbox, clock, device, (*show, *access))?;
                self.note(ChangeKind::DeviceAdded, Some(device), hidden, Vec::new());
                return Ok(hidden);
            }
            Edit::ResetDevice(device) => {
                let log = devices::known(mailbox, clock, device)?;
                let shown = devices::reset(mailbox, clock, &log, device);
                shown.inspect(|&shown| {
                    self.note(ChangeKind::DeviceReset, Some(device), shown, Vec::new());
                })
            }
            Edit::RemoveDevice { device, .. } => {
                let log = devices::known(mailbox, clock, device)?;
                let removed = devices::remove(mailbox, clock, &log, device);
                removed.inspect(|_| {
                    self.note(ChangeKind::DeviceRemoved, Some(device), 0, Vec::new());
                })
            }
            Edit::Sweep(..) => Ok(0),
        };
        edited.map_err(EditError::Temporary)
    }

    /// Enters a change into the journal that is durable already.
    fn note(
        &self,
        kind: ChangeKind,
        device: Option<&ViewName>,
        count: usize,
        messages: Vec<Vec<u8>>,
    ) {
        let change = Change {
            made: self.retention.clock.now().as_secs(),
            kind,
            author: Some(self.author.to_owned()),
            device: device.cloned(),
            count,
            messages,
        };
        visits::record_change(self.mailbox, &change);
    }

    /// As [`Edits::note`], of messages; if there is none, there is nothing to tell.
    fn note_messages(&self, kind: ChangeKind, device: Option<&ViewName>, ids: Vec<Vec<u8>>) {
        if !ids.is_empty() {
            self.note(kind, device, ids.len(), ids);
        }
    }
}

/// The folders besides INBOX that the edit concerns: what POP has shown, and where messages go back
/// to. Blocks.
///
/// # Errors
/// Those of reading.
pub(crate) fn besides(
    mailbox: &Mailbox,
    clock: &Clock,
    edit: &Edit,
) -> io::Result<Vec<ShownFolder>> {
    let untagged = |name| ShownFolder { name, tag: None };
    if let Edit::Restore(_) | Edit::RestoreFor { .. } = edit {
        let folders = trash::folders(mailbox)?.into_iter();
        return Ok(folders.map(untagged).collect());
    }
    let log = ViewLog::look(mailbox, clock, &Arc::default())?;
    let shown = log.views().shown();
    Ok(match edit {
        Edit::Sweep(_, folders) => {
            let folders = folders.as_slice().iter();
            folders
                .filter(|one| shown.contains(&one.name))
                .cloned()
                .collect()
        }
        _ => shown.iter().cloned().map(untagged).collect(),
    })
}

fn edited(count: usize) -> Edited {
    Edited {
        count,
        durable: Durable::proven(),
    }
}

/// Why the selection is refused: it names what is not there.
fn refusal(
    mailbox: &Mailbox,
    clock: &Clock,
    selection: &TrashSelection,
) -> io::Result<Option<String>> {
    if !matches!(selection, TrashSelection::UniqueIds(_)) {
        return Ok(None);
    }
    let there = contents::trash_under_lock(mailbox, clock)?;
    Ok(selection.refusal(there.iter().map(|message| &*message.unique_id)))
}

/// Messages of the trash that a selection means.
struct Chosen<'s> {
    selection: &'s TrashSelection,
    ids: UniqueIds,
    log: Arc<ViewLog>,
}

impl<'s> Chosen<'s> {
    fn by(mailbox: &Mailbox, clock: &Clock, selection: &'s TrashSelection) -> io::Result<Self> {
        let ids = UniqueIds::read(mailbox)?;
        let log = match selection {
            TrashSelection::DeletedBy(_) => ViewLog::read(mailbox, clock, &Arc::default())?,
            _ => Arc::default(),
        };
        Ok(Self {
            selection,
            ids,
            log,
        })
    }

    /// What is known of a message, and the unique-id that it had, if it is meant.
    fn find(
        &self,
        mailbox: &Mailbox,
        trashed: Trashed<'_>,
    ) -> io::Result<Option<(Facts, Vec<u8>)>> {
        let facts = mailbox.disk().facts_at(trashed.directory, trashed.entry)?;
        let id = self.ids.of(trashed.name, facts.inode);
        let meant = self.selection.holds(trashed.deleted, &id, self.log.views());
        Ok(meant.then_some((facts, id)))
    }
}

impl Edits<'_> {
    /// Puts messages back; from all devices but `only` they are hidden, if it is given.
    fn restore(&self, selection: &TrashSelection, only: Option<&ViewName>) -> io::Result<usize> {
        let Self {
            mailbox,
            retention,
            host,
            ..
        } = *self;
        let disk = mailbox.disk();
        let chosen = Chosen::by(mailbox, &retention.clock, selection)?;
        let planned = match only {
            Some(only) => self.plan_for(&chosen, only)?,
            None => HashMap::new(),
        };
        let mut change = maildirsize::Change::default();
        let mut restored = Vec::new();
        let mut touched = BTreeSet::new();
        let walked = trash::walk(
            mailbox,
            |day| selection.concerns(day.begins(), day.ends()),
            |trashed| {
                let Some((Facts { octets, .. }, _)) = chosen.find(mailbox, trashed)? else {
                    return Ok(ControlFlow::Continue(()));
                };
                let (folder, name) = match planned.get(&place_of(trashed)) {
                    Some(planned) => planned.clone(),
                    None => restored_name(mailbox, trashed, host)?,
                };
                if !touched.contains(&folder) {
                    mailbox.confirm_folder(folder)?;
                }
                let to = mailbox.folder(folder);
                disk.rename_no_replace(trashed.directory, trashed.entry, to, &name)?;
                touched.insert(folder);
                let Some(name) = FileName::new(&name) else {
                    return Ok(ControlFlow::Continue(()));
                };
                restored.push(by_rule(stem(name)));
                if mailbox.is_counted(folder) {
                    change.add(name, octets);
                }
                Ok(ControlFlow::Continue(()))
            },
        );
        // What was moved before a failure is synced too.
        for &folder in &touched {
            disk.sync_directory(mailbox.folder(folder))?;
        }
        maildirsize::enter(mailbox, &retention.clock, change);
        let count = restored.len();
        self.note_messages(ChangeKind::Restored, only, restored);
        walked?;
        if count > 0 {
            sync_days(mailbox, selection)?;
        }
        Ok(count)
    }
}

/// Where messages go, by where they are in the trash.
type Planned = HashMap<(Option<FolderName>, u64, Vec<u8>), (Folder, Vec<u8>)>;

/// The folder that it was in, the time of its deletion, and its name here.
fn place_of(trashed: Trashed<'_>) -> (Option<FolderName>, u64, Vec<u8>) {
    let folder = trashed.folder.cloned();
    (folder, trashed.deleted, trashed.entry.to_vec())
}

impl Edits<'_> {
    /// Makes the new names of the chosen messages, and hides them from all devices but `only`:
    /// nobody else must see them, not even for a moment.
    fn plan_for(&self, chosen: &Chosen<'_>, only: &ViewName) -> io::Result<Planned> {
        let mut planned = Planned::new();
        trash::walk(
            self.mailbox,
            |day| chosen.selection.concerns(day.begins(), day.ends()),
            |trashed| {
                if chosen.find(self.mailbox, trashed)?.is_some() {
                    let place = restored_name(self.mailbox, trashed, self.host)?;
                    planned.insert(place_of(trashed), place);
                }
                Ok(ControlFlow::Continue(()))
            },
        )?;
        let names = planned.values().map(|(_, name)| name.as_slice());
        devices::hide_from_others(self.mailbox, &self.retention.clock, only, names)?;
        Ok(planned)
    }
}

/// Where a message goes back to, and its new name there.
fn restored_name(
    mailbox: &Mailbox,
    trashed: Trashed<'_>,
    host: &str,
) -> io::Result<(Folder, Vec<u8>)> {
    let old = trashed.name;
    let order = old.order();
    // A name without microseconds sorts before all others of its second: so does 0.
    let microseconds = order.microseconds.unwrap_or(0);
    let mut name = unique_name::made_of(order.seconds, microseconds, host)?;
    for (key, octets) in [("S", old.stored_octets()), ("W", old.wire_octets())] {
        if let Some(octets) = octets {
            name.extend_from_slice(format!(",{key}={octets}").as_bytes());
        }
    }
    // Whoever has removed the folder since is sent the message all the same.
    let left = |folder: &Folder| mailbox.beside_name(*folder) == trashed.folder;
    let home = mailbox.folders().find(left).unwrap_or(Folder::NEW);
    let folder = home.beside_it(!old.info().is_empty());
    if name.len() + old.info().len() <= FileName::OCTETS_MAX {
        name.extend_from_slice(old.info());
    } else {
        name.extend_from_slice(b":2,");
    }
    Ok((folder, name))
}

impl Edits<'_> {
    fn purge(&self, selection: &TrashSelection) -> io::Result<usize> {
        let mailbox = self.mailbox;
        let disk = mailbox.disk();
        let chosen = Chosen::by(mailbox, &self.retention.clock, selection)?;
        let mut purged = Vec::new();
        let walked = trash::walk(
            mailbox,
            |day| selection.concerns(day.begins(), day.ends()),
            |trashed| {
                if let Some((_, id)) = chosen.find(mailbox, trashed)? {
                    disk.unlink(trashed.directory, trashed.entry)?;
                    purged.push(id);
                }
                Ok(ControlFlow::Continue(()))
            },
        );
        let synced = sync_days(mailbox, selection);
        let count = purged.len();
        self.note_messages(ChangeKind::Purged, None, purged);
        walked.and(synced)?;
        Ok(count)
    }
}

/// Brings to stable storage that messages have left the trash, and removes days that are empty.
fn sync_days(mailbox: &Mailbox, selection: &TrashSelection) -> io::Result<()> {
    trash::sync_days(mailbox, |day| selection.concerns(day.begins(), day.ends()))
}

impl Edits<'_> {
    fn expire(&self, arrived_before: u64) -> io::Result<usize> {
        let (mailbox, retention) = (self.mailbox, self.retention);
        let ids = UniqueIds::read(mailbox)?;
        let mut expired = Vec::new();
        let mut removal = Removal::new(mailbox, retention, Asker::Outside);
        let mut failed = None;
        for (folder, name, facts) in messages(mailbox)? {
            let Some(name) = FileName::new(&name) else {
                continue;
            };
            if arrived(name, facts.modified) >= arrived_before {
                continue;
            }
            match removal.remove_file(folder, name, facts.octets) {
                // Renamed meanwhile: the next expiry finds it.
                Err(error) if error.kind() != io::ErrorKind::NotFound => failed = Some(error),
                Err(_) => {}
                Ok(()) => expired.push(ids.of(name, facts.inode)),
            }
        }
        let _: Durable = removal.finish(&retention.clock)?;
        self.note_messages(ChangeKind::Expired, None, expired);
        retention.purge(mailbox, Asker::Outside);
        match failed {
            None => Ok(removal.removed()),
            Some(error) => Err(error),
        }
    }
}

fn import(
    mailbox: &Mailbox,
    pairs: &[(Vec<u8>, Vec<u8>)],
) -> io::Result<Result<(usize, bool), String>> {
    let messages = messages(mailbox)?;
    let mut ids = UniqueIds::read(mailbox)?;
    let listed = messages.iter().filter_map(|(_, name, facts)| {
        Some(Listed {
            name: FileName::new(name)?,
            inode: facts.inode,
            known: false,
        })
    });
    ids.import(mailbox, listed, pairs)
}

/// The regular files of `new/` and `cur/` that are messages.
pub(super) fn messages(mailbox: &Mailbox) -> io::Result<Vec<(Folder, Vec<u8>, Facts)>> {
    let disk = mailbox.disk();
    let mut messages = Vec::new();
    for folder in mailbox.folders() {
        let at = mailbox.folder(folder);
        let mut names = Vec::new();
        disk.read_directory(at, |name, _| {
            if FileName::new(name).is_some() {
                names.push(name.to_vec());
            }
            ControlFlow::Continue(())
        })?;
        for name in names {
            match disk.facts_at(at, &name) {
                Ok(facts) if facts.kind == Kind::File => messages.push((folder, name, facts)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(messages)
}

impl TrashSelection {
    /// Whether it may mean something that was deleted from `first` to `last` (Unix seconds).
    fn concerns(&self, first: u64, last: u64) -> bool {
        match *self {
            Self::All | Self::UniqueIds(_) | Self::DeletedBy(_) => true,
            Self::DeletedBefore(moment) => first < moment,
            Self::DeletedSince(moment) => last >= moment,
        }
    }
}

#[cfg(test)]
mod tests;
