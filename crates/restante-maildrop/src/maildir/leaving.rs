//! Messages that leave the mailbox for the trash: as files, and by the account's policy.
//!
//! What everyone has deleted leaves with the session of the last. What that session could not move,
//! what a removed or forgotten device was waited for, and what has become old leaves when the
//! mailbox is opened next, or when it is swept.

use std::io;

use restante_proto::{MessageNumber, Messages as _};

use super::{
    cache::unused,
    columns::Columns,
    contents::arrived,
    layout::{Folder, Mailbox},
    lock::{self, MailboxLock, SessionLock},
    name::FileName,
    notices::Notices,
    onlookers::{self, Asker},
    retention::Retention,
    snapshot::{self, Snapshot},
    update::{self, Homes, Marked},
    view_log::ViewLog,
    visits,
};
use crate::{
    Change, ChangeKind, Policy, ShownFolder, ShownFolders, ViewName,
    views::{Rules, Waiting},
};

/// So many messages leave at once at most, where somebody is waiting who has not deleted them.
const LEAVING_MAX: usize = 1000;

/// A row, and where its file is now.
pub(super) type Place = (usize, (Folder, Box<[u8]>));

/// The files of these rows, further names of theirs included. `homes`: the folders that a row's
/// message may leave.
pub(super) fn marked<'m>(
    snapshot: &'m Snapshot,
    places: &'m [Place],
    homes: impl Fn(usize) -> Homes,
) -> Vec<Marked<'m>> {
    let columns = snapshot.columns();
    let unlisted = snapshot.unlisted();
    let mut marked = Vec::new();
    for (index, (folder, name)) in places {
        let (listed, inode) = (columns.name(*index), columns.stored(*index).inode);
        let homes = homes(*index);
        let hidden = || unlisted.hidden.iter().any(|other| other.name() == listed);
        marked.extend(FileName::new(name).map(|name| Marked {
            folder: *folder,
            name,
            inode,
            twin: has_twin(columns, *index) || hidden(),
            homes,
        }));
        // All names of its file: one that stayed would list the message again.
        marked.extend(unlisted.aliases_of(listed, inode).map(|alias| Marked {
            folder: alias.folder,
            name: alias.name(),
            inode,
            // That file and no other.
            twin: true,
            homes,
        }));
    }
    marked
}

/// Whether another listed message has the same base name.
fn has_twin(columns: &Columns, index: usize) -> bool {
    let name = columns.name(index);
    let before = index.checked_sub(1);
    let after = Some(index + 1).filter(|&after| after < columns.len());
    [before, after]
        .into_iter()
        .flatten()
        .any(|neighbour| columns.name(neighbour) == name)
}

/// Which messages of a mailbox have to leave.
#[derive(Debug)]
pub(super) struct Verdict<'v> {
    rules: Rules<'v>,
    /// For whom INBOX waits, then each of the folders besides it.
    waiting: Vec<Waiting>,
}

impl<'v> Verdict<'v> {
    /// By these rules, where the account shows these folders.
    pub(super) fn new(mailbox: &Mailbox, rules: Rules<'v>, shown: &ShownFolders) -> Self {
        let is_shown =
            |folder: &ShownFolder| shown.as_slice().iter().any(|one| one.name == folder.name);
        let besides = mailbox
            .besides()
            .map(|folder| rules.for_folder(&folder.name, is_shown(folder)));
        let waiting = [rules.for_inbox()].into_iter().chain(besides).collect();
        Self { rules, waiting }
    }

    /// Whether the message of this row has to leave the folder where it is listed.
    pub(super) fn lets_go(&self, snapshot: &Snapshot, row: usize) -> bool {
        self.homes(snapshot, row)
            .have(snapshot.columns().folder(row))
    }

    /// The folders that the message of this row has to leave: another program may have moved it
    /// where others wait for it.
    pub(super) fn homes(&self, snapshot: &Snapshot, row: usize) -> Homes {
        let Some(number) = MessageNumber::from_index(row) else {
            return Homes::of(std::iter::empty());
        };
        let columns = snapshot.columns();
        let arrived = arrived(columns.name(row), columns.stored(row).modified);
        let id = snapshot.table().unique_id(number);
        let lets_go = |&waiting| self.rules.let_go_from(waiting, id.as_bytes(), arrived);
        Homes::of(self.waiting.iter().map(lets_go))
    }

    /// The rows that have to leave, as many as may at once.
    fn due(&self, snapshot: &Snapshot) -> Vec<usize> {
        if !self.rules.let_any_go() {
            return Vec::new();
        }
        let rows = 0..snapshot.columns().len();
        rows.filter(|&row| self.lets_go(snapshot, row))
            .take(LEAVING_MAX)
            .collect()
    }
}

/// Moves what has to leave to the trash; returns how many messages that were. The snapshot is
/// older than the mailbox then. Takes the mailbox lock only if there is something to do. The
/// journal tells of it, and who was the cause, if somebody was.
///
/// # Errors
/// Those of the lock, of reading what the views have done, and of moving.
pub(super) fn settle(
    mailbox: &Mailbox,
    snapshot: &Snapshot,
    retention: &Retention,
    choice: &(Policy, ShownFolders),
    (asker, author): (Asker<'_>, Option<&str>),
) -> io::Result<usize> {
    if snapshot.is_settled(choice) {
        return Ok(0);
    }
    let present = match asker {
        Asker::View(view) => Some(view),
        Asker::Outside | Asker::AllViews => None,
    };
    let (policy, shown) = choice;
    let log = snapshot.view_log();
    let now = retention.clock.now().as_secs();
    let rules = Rules::new(log.views(), *policy, present, now);
    let verdict = Verdict::new(mailbox, rules, shown);
    if verdict.due(snapshot).is_empty() {
        snapshot.settle(choice, &log);
        return Ok(0);
    }
    let _lock = MailboxLock::acquire(mailbox)?;
    // Somebody may have come, or gone, or been added.
    let log = ViewLog::read(mailbox, &retention.clock, &log)?;
    let rules = Rules::new(log.views(), *policy, present, now);
    let verdict = Verdict::new(mailbox, rules, shown);
    let rows = verdict.due(snapshot);
    let columns = snapshot.columns();
    let place = |row| {
        (
            row,
            (columns.folder(row), columns.name(row).as_bytes().into()),
        )
    };
    let places: Vec<Place> = rows.into_iter().map(place).collect();
    if places.is_empty() {
        return Ok(0);
    }
    let homes = |row| verdict.homes(snapshot, row);
    let marked = marked(snapshot, &places, homes);
    let removed = update::remove_under_lock(mailbox, retention, asker, &marked);
    let removed = removed.map_err(io::Error::other)?;
    let ids = places
        .iter()
        .filter_map(|(row, _)| MessageNumber::from_index(*row));
    let ids = ids.map(|number| snapshot.table().unique_id(number).as_bytes().to_vec());
    let left = Change {
        author: author.map(str::to_owned),
        ..Change::due(ChangeKind::Left, now, ids.collect())
    };
    visits::record_change(mailbox, &left);
    Ok(removed.removed.min(places.len()))
}

/// As [`settle`], for a mailbox of which there is no snapshot yet.
///
/// # Errors
/// Those of reading the mailbox, and of [`settle`].
pub(super) fn settle_all(
    mailbox: &Mailbox,
    notices: &Notices,
    retention: &Retention,
    choice: &(Policy, ShownFolders),
    author: &str,
) -> io::Result<usize> {
    let snapshot = snapshot::load(mailbox, notices, None, &mut || Ok(lock::NO_TIME))?;
    let log = ViewLog::look(mailbox, &retention.clock, &snapshot.view_log())?;
    snapshot.see(&log);
    settle(
        mailbox,
        &snapshot,
        retention,
        choice,
        (Asker::Outside, Some(author)),
    )
}

/// Moves to the trash what has to leave, unless somebody is in session. `None` if somebody is: then
/// it is only noted what the clock shows.
///
/// # Errors
/// Those of reading the mailbox and of moving.
pub(super) fn sweep(
    mailbox: &Mailbox,
    notices: &Notices,
    retention: &Retention,
    choice: &(Policy, ShownFolders),
) -> io::Result<Option<usize>> {
    let policy = choice.0;
    let snapshot = snapshot::load(mailbox, notices, None, &mut || Ok(super::lock::NO_TIME))?;
    let log = ViewLog::look(mailbox, &retention.clock, &snapshot.view_log())?;
    let now = retention.clock.now().as_secs();
    let log = match log.views().clock_note(policy, now) {
        None => log,
        Some(_) => {
            let _lock = MailboxLock::acquire(mailbox)?;
            let log = ViewLog::read(mailbox, &retention.clock, &log)?;
            let note = log.views().clock_note(policy, now);
            match note {
                Some(note) => log.append(mailbox, &[note])?,
                None => log,
            }
        }
    };
    let mut views = vec![ViewName::shared()];
    views.extend(log.views().devices().iter().map(|one| one.name.clone()));
    // A device that was removed may be in session still.
    views.extend(onlookers::seen(mailbox)?);
    views.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
    views.dedup();
    // Held until the end: whoever comes meanwhile waits a moment.
    let mut locks = Vec::new();
    for view in &views {
        match SessionLock::try_acquire(mailbox, view)? {
            Some(lock) => locks.push(lock),
            None => return Ok(None),
        }
    }
    snapshot.see(&log);
    let removed = settle(
        mailbox,
        &snapshot,
        retention,
        choice,
        (Asker::AllViews, None),
    )?;
    {
        let _lock = MailboxLock::acquire(mailbox)?;
        retention.purge(mailbox, Asker::AllViews);
        let log = ViewLog::read(mailbox, &retention.clock, &log)?;
        log.compact_if_large(mailbox, &retention.clock);
        unused::remove(mailbox, &retention.clock);
    }
    for lock in &locks {
        lock.release(mailbox.disk());
    }
    Ok(Some(removed))
}
