//! `restante mail`: a mailbox, its trash and its journal from the operator's side.

mod journal;
mod show;

use std::{collections::HashSet, time::Duration};

use restante_maildrop::{
    Clock, Edit, EditError, MailboxId, Maildir, OpenError, Store as _, TrashSelection, ViewName,
};

use super::{device_name::DeviceNames, moment::Moment};
use crate::{
    accounts,
    configuration::Configuration,
    console,
    exit_code::ExitCode,
    failure::Failure,
    flags::{Mail, Purge, Restore, Talk, Which},
    mailboxes,
    quantity::counted,
};

/// Does what was asked with the mailbox.
///
/// # Errors
/// What is to be shown, and the exit code. A restore or purge that was refused has done nothing.
pub(crate) fn run(configuration: &Configuration, mail: &Mail, talk: Talk) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(ExitCode::TryLater, "cannot start").caused_by(error))?;
    runtime.block_on(run_in(configuration, mail, talk))
}

async fn run_in(configuration: &Configuration, mail: &Mail, talk: Talk) -> Result<(), Failure> {
    match mail {
        Mail::List {
            address,
            trash,
            json,
        } => {
            let place = Place::of(configuration, address).await?;
            list(&place, *trash, *json).await
        }
        Mail::Log { address, json } => {
            let place = Place::of(configuration, address).await?;
            log(&place, *json).await
        }
        Mail::Restore(restore) => {
            let selection = to_restore(restore)?;
            let place = Place::of(configuration, &restore.address).await?;
            let edit = match &restore.device {
                None => Edit::Restore(selection),
                Some(device) => Edit::RestoreFor {
                    selection,
                    device: ViewName::of_device(device),
                },
            };
            let count = place.edit(edit).await?;
            tell(talk, count, "put back");
            Ok(())
        }
        Mail::Purge(purge) => {
            let selection = to_purge(purge)?;
            let place = Place::of(configuration, &purge.address).await?;
            let count = place.edit(Edit::Purge(selection)).await?;
            tell(talk, count, "removed for good");
            Ok(())
        }
    }
}

async fn list(place: &Place<'_>, trash: bool, json: bool) -> Result<(), Failure> {
    let (store, mailbox) = (&place.store, &place.mailbox);
    let messages = match trash {
        true => store.trash(mailbox).await,
        false => store.messages(mailbox).await,
    };
    let messages = messages.map_err(|error| place.unreadable(error))?;
    let names = &place.names;
    match (json, trash) {
        (true, _) => console::print(show::messages_as_json(&messages, names)),
        (false, true) => show::trash(&messages, names),
        (false, false) => show::messages(&messages),
    }
}

async fn log(place: &Place<'_>, json: bool) -> Result<(), Failure> {
    let journal = place.store.journal(&place.mailbox).await;
    let journal = journal.map_err(|error| place.unreadable(error))?;
    if journal.damaged > 0 {
        console::tell(format_args!(
            "warning: {} of the journal's entries could not be read",
            journal.damaged
        ));
    }
    match json {
        true => console::print(journal::as_json(&journal, &place.names)),
        false => journal::print(&journal, &place.names),
    }
}

fn to_restore(restore: &Restore) -> Result<TrashSelection, Failure> {
    let Which {
        all: _,
        since,
        deleted_by,
        unique_ids,
    } = &restore.which;
    if let Some(device) = deleted_by {
        return Ok(TrashSelection::DeletedBy(ViewName::of_device(device)));
    }
    if let Some(since) = since {
        return Ok(TrashSelection::DeletedSince(moment("--since", since)?));
    }
    Ok(named_or_all(unique_ids))
}

fn to_purge(purge: &Purge) -> Result<TrashSelection, Failure> {
    if let Some(before) = &purge.before {
        return Ok(TrashSelection::DeletedBefore(moment("--before", before)?));
    }
    Ok(named_or_all(&purge.unique_ids))
}

fn named_or_all(unique_ids: &[String]) -> TrashSelection {
    let ids = unique_ids.iter().map(|id| id.clone().into_bytes());
    match ids.collect::<HashSet<_>>() {
        none if none.is_empty() => TrashSelection::All,
        ids => TrashSelection::UniqueIds(ids),
    }
}

fn moment(flag: &str, written: &str) -> Result<u64, Failure> {
    let now = Clock::system().now().as_secs();
    let moment = Moment::parse(written, Duration::from_secs(now));
    moment.map(Moment::unix_seconds).ok_or_else(|| {
        let what = format!("`{flag}`: `{}` is no moment", written.escape_debug());
        Failure::new(ExitCode::Usage, what).hint(
            "write `2h` or `3d` for so long ago, a day like `2026-01-31`, or a time like \
             `2026-01-31T10:00:00+01:00`",
        )
    })
}

fn tell(talk: Talk, count: usize, deed: &str) {
    match count {
        _ if talk.quiet => {}
        0 => console::tell("there was nothing of that in the trash"),
        count => console::tell(format_args!("{} {deed}", counted(count, "message"))),
    }
}

/// A mailbox, and the store that holds it.
struct Place<'a> {
    address: &'a str,
    mailbox: MailboxId,
    names: DeviceNames,
    store: Maildir,
    path: String,
}

impl<'a> Place<'a> {
    async fn of(configuration: &Configuration, address: &'a str) -> Result<Self, Failure> {
        let mailbox = accounts::find(configuration, address).await?;
        let names = DeviceNames::of(configuration, &mailbox)?;
        let store = mailboxes::open_to_edit(configuration)?;
        let path = mailboxes::place(configuration, &mailbox);
        Ok(Self {
            address,
            mailbox,
            names,
            store,
            path: path.display().to_string(),
        })
    }

    async fn edit(&self, edit: Edit) -> Result<usize, Failure> {
        match self.store.edit(&self.mailbox, edit).await {
            Ok(edited) => Ok(edited.count),
            Err(error @ EditError::Refused(_)) => {
                let failure = Failure::new(ExitCode::Data, self.nothing_was_done());
                Err(failure.caused_by(error).hint(format!(
                    "`mail list --trash {}` shows what there is",
                    self.address
                )))
            }
            Err(error) => {
                let what = format!("the trash of `{}` could not be changed", self.address);
                let failure = Failure::new(ExitCode::TryLater, what).caused_by(error);
                Err(failure.hint("some of it may be done; it can be asked for again"))
            }
        }
    }

    fn nothing_was_done(&self) -> String {
        format!("nothing was done with the trash of `{}`", self.address)
    }

    fn unreadable(&self, error: OpenError) -> Failure {
        let what = format!("cannot look at the mailbox of `{}`", self.address);
        let path = &self.path;
        match &error {
            OpenError::Absent => {
                let what = format!("`{}` has no mailbox at {path}", self.address);
                Failure::new(ExitCode::Unavailable, what)
                    .hint("either nothing was delivered yet, or its volume is not mounted")
            }
            OpenError::Permanent(_) => Failure::new(ExitCode::Io, what)
                .caused_by(error)
                .hint(format!("it is in {path}: may you read it?")),
            _ => Failure::new(ExitCode::TryLater, what)
                .caused_by(error)
                .hint("try again later"),
        }
    }
}
