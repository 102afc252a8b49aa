//! The mailbox of an account, as far as its devices concern it.

use std::net::IpAddr;

use restante_maildrop::{
    Edit, EditError, KnownDevice, MailboxId, Maildir, OpenError, Policy, Store as _, ViewName,
    Visit,
};
use restante_server::accounts::Builtin;
use tokio::runtime::Runtime;

use crate::{
    accounts, configuration::Configuration, exit_code::ExitCode, failure::Failure, mailboxes,
};

/// A mailbox, and what is needed to change it.
pub(super) struct Mailbox<'c> {
    configuration: &'c Configuration,
    id: MailboxId,
    store: Maildir,
    runtime: Runtime,
}

/// When somebody came last, and from where if he did something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct LastUse {
    /// In seconds since 1970.
    pub(super) when: u64,
    pub(super) address: Option<IpAddr>,
}

/// What is known of the uses of a mailbox.
#[derive(Default)]
pub(super) struct Uses {
    devices: Vec<KnownDevice>,
    visits: Vec<Visit>,
}

impl<'c> Mailbox<'c> {
    pub(super) fn of(configuration: &'c Configuration, account: &str) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(ExitCode::TryLater, "cannot start").caused_by(error))?;
        Ok(Self {
            configuration,
            id: accounts::mailbox(account),
            store: mailboxes::open_to_edit(configuration)?,
            runtime,
        })
    }

    pub(super) fn edit(&self, edit: Edit) -> Result<usize, EditError> {
        let edited = self.runtime.block_on(self.store.edit(&self.id, edit))?;
        Ok(edited.count)
    }

    /// The rules that hold for the account.
    pub(super) fn policy(&self, builtin: &Builtin) -> Result<Policy, Failure> {
        let everybodys = self.configuration.mail.policy;
        let account = builtin.look_up(&self.id.account);
        let account = account.map_err(accounts::explain)?;
        Ok(account.map_or(everybodys, |account| account.choices.over(everybodys)))
    }

    /// Whether the mailbox has a view of that name.
    pub(super) fn knows(&self, view: &ViewName) -> Result<bool, Failure> {
        Ok(self.devices()?.iter().any(|device| device.name == *view))
    }

    fn devices(&self) -> Result<Vec<KnownDevice>, Failure> {
        self.unless_absent(self.runtime.block_on(self.store.devices(&self.id)))
    }

    pub(super) fn last_uses(&self) -> Result<Uses, Failure> {
        let journal = self.runtime.block_on(self.store.journal(&self.id));
        let visits = journal.map(|journal| journal.visits().cloned().collect());
        Ok(Uses {
            devices: self.devices()?,
            visits: self.unless_absent(visits)?,
        })
    }

    /// A mailbox that is not there yet has had no visitor.
    fn unless_absent<T>(&self, seen: Result<Vec<T>, OpenError>) -> Result<Vec<T>, Failure> {
        match seen {
            Err(OpenError::Absent) => Ok(Vec::new()),
            seen => seen.map_err(|error| {
                let place = mailboxes::place(self.configuration, &self.id);
                let what = format!("cannot look at the mailbox in {}", place.display());
                Failure::new(ExitCode::TryLater, what).caused_by(error)
            }),
        }
    }
}

impl Uses {
    /// When the device came last, if it ever did: the mailbox notes that to the day, and the
    /// journal to the second for those who have done something.
    pub(super) fn last(&self, name: &str, view: &ViewName) -> Option<LastUse> {
        let noted = self.devices.iter().find(|device| device.name == *view);
        let noted = noted.and_then(|device| device.used);
        let visits = self.visits.iter().rev();
        let visit = visits
            .into_iter()
            .find(|visit| visit.visitor.credential == name);
        let when = noted.max(visit.map(|visit| visit.ended))?;
        let address = visit.and_then(|visit| visit.visitor.address);
        Some(LastUse { when, address })
    }
}
