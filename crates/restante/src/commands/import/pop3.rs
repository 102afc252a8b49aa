//! `restante import pop3`: what a living server lists, taken over for mail that is here already.
//!
//! ```text
//! the mail here ───► size and digests ──┐
//!                                       ├─► pairs ─► survey ─► unique-ids to store, differences
//! the server there ─► UIDL, LIST, TOP ──┘
//!                     RETR where in doubt
//! ```
//!
//! Each account is done by itself, and looked at again when its ids are stored. An account whose
//! listings are equal already costs one turn, so an interrupted run is simply run again.

mod digest;
mod logins;
mod look;
mod matching;

use std::{
    io::{self, Read},
    path::PathBuf,
    sync::Arc,
};

use restante_client::{Security, Server, Tls};
use restante_maildrop::{
    Difference, Edit, MailboxId, Maildir, MaildirSettings, Store as _, Survey,
    foreign::{Given, Later},
};
use restante_proto::{Octets, WireCounter};
use tokio::{runtime::Runtime, task::JoinSet, task::spawn_blocking};

use self::{
    digest::Digester,
    logins::Entry,
    look::{Looked, Trouble},
    matching::Here,
};
use super::{Refusal, report::Report};
use crate::{
    accounts,
    commands::spool::{Progress, shown},
    configuration::Configuration,
    console, data_directory,
    exit_code::ExitCode,
    failure::Failure,
    flags::{ImportPop3, Talk, TlsMode},
    mailboxes,
    quantity::counted,
};

const PIECE_OCTETS: usize = 64 * 1024;
/// How often a mailbox is read anew because another program renamed a message.
const TRIES_MAX: usize = 3;

/// Compares every account with the other server, and takes its unique-ids over.
///
/// # Errors
/// Some accounts were not done, or, with `--dry-run`, something differs; all others are done.
pub(super) fn run(
    flags: &ImportPop3,
    configuration: &Configuration,
    talk: Talk,
) -> Result<(), Failure> {
    // Passwords may be readable to us alone, and not to the owner of the mail.
    let entries = logins::read(flags)?;
    let server = server(flags)?;
    data_directory::act_as_owner(configuration)?;
    let cannot = |error: io::Error| Failure::new(ExitCode::Io, "cannot start").caused_by(error);
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().map_err(cannot)?;
    // Every mailbox is named by its own place; the store's rule is never asked.
    let store = Maildir::new(MaildirSettings {
        author: mailboxes::operator(),
        ..MaildirSettings::new("/{user}")
    });
    let importer = Importer {
        store: store.map_err(|error| cannot(io::Error::other(error)))?,
        server,
        later: match flags.how.again {
            true => Later::Replaced,
            false => Later::Kept,
        },
        dry_run: flags.how.dry_run,
    };
    let mut run = Run {
        report: Report::new(flags.how, &shown(flags.host.as_bytes()), talk),
        progress: Progress::begin(talk),
        dry_run: flags.how.dry_run,
        worst: None,
        absent: 0,
    };
    run.progress.expect(entries.len());
    let places = places(configuration, &runtime, entries, &mut run)?;
    let connections = usize::from(flags.connections);
    runtime.block_on(run.all(importer, places, connections))?;
    run.progress.end();
    if !talk.quiet {
        console::tell(run.report.summary());
    }
    run.verdict()
}

fn server(flags: &ImportPop3) -> Result<Server, Failure> {
    let wrong = |error| Failure::new(ExitCode::Usage, "TLS cannot be used").caused_by(error);
    let tls = || match (&flags.ca_file, flags.pin.is_empty()) {
        (Some(file), _) => Tls::with_ca_file(file).map_err(wrong),
        (None, true) => Tls::platform().map_err(wrong),
        (None, false) => Tls::pinned(&flags.pin).map_err(wrong),
    };
    let (security, usual) = match flags.tls {
        TlsMode::Implicit => (Security::Tls(tls()?), 995),
        TlsMode::Stls => (Security::Stls(tls()?), 110),
        TlsMode::None => (Security::Loopback, 110),
    };
    Ok(Server::new(
        &flags.host,
        flags.port.unwrap_or(usual),
        security,
    ))
}

/// An account, and its Maildir here.
struct Place {
    entry: Entry,
    path: PathBuf,
}

/// Finds the Maildirs. Who has no account here is told of, and left out.
fn places(
    configuration: &Configuration,
    runtime: &Runtime,
    entries: Vec<Entry>,
    run: &mut Run,
) -> Result<Vec<Place>, Failure> {
    let mut places = Vec::new();
    for entry in entries {
        match runtime.block_on(accounts::find(configuration, &entry.address)) {
            Ok(mailbox) => {
                let path = mailboxes::place(configuration, &mailbox);
                places.push(Place { entry, path });
            }
            Err(failure) => run.left(&entry.address, Left::Here(failure))?,
        }
    }
    Ok(places)
}

/// Why an account is as it was.
#[derive(Debug, thiserror::Error)]
enum Left {
    #[error("{}", .0.clause())]
    Here(Failure),
    #[error("its mailbox {} cannot be read", path.display())]
    Mailbox {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error(transparent)]
    There(#[from] Trouble),
    #[error("none of the {there} messages there is one of the {here} here: is it another mailbox?")]
    OtherMailbox { there: usize, here: usize },
    #[error(transparent)]
    Refusal(#[from] Refusal),
}

impl Left {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Here(failure) => failure.code(),
            Self::Mailbox { .. } => ExitCode::Io,
            Self::There(trouble) => trouble.exit_code(),
            Self::OtherMailbox { .. } => ExitCode::Data,
            Self::Refusal(refusal) if refusal.is_about_data() => ExitCode::Data,
            Self::Refusal(_) => ExitCode::Io,
        }
    }
}

/// What came of the accounts until now.
struct Run {
    report: Report,
    progress: Progress,
    dry_run: bool,
    worst: Option<ExitCode>,
    /// Messages there that none here is surely the same as.
    absent: usize,
}

impl Run {
    /// Does the accounts, some at a time.
    async fn all(
        &mut self,
        importer: Importer,
        places: Vec<Place>,
        connections: usize,
    ) -> Result<(), Failure> {
        let importer = Arc::new(importer);
        let mut places = places.into_iter();
        let mut tasks = JoinSet::new();
        loop {
            while tasks.len() < connections {
                let Some(place) = places.next() else { break };
                let importer = Arc::clone(&importer);
                tasks.spawn(async move {
                    let outcome = importer.take_over(&place).await;
                    (place.entry.address, outcome)
                });
            }
            let Some(done) = tasks.join_next().await else {
                return Ok(());
            };
            let (address, outcome) = done.map_err(|error| {
                Failure::new(ExitCode::Bug, "an account was given up").caused_by(error)
            })?;
            match outcome {
                Ok(survey) => self.surveyed(&address, &survey)?,
                Err(why) => self.left(&address, why)?,
            }
        }
    }

    fn surveyed(&mut self, address: &str, survey: &Survey) -> Result<(), Failure> {
        let is_absent = |it: &&Difference| matches!(it, Difference::Absent { .. });
        self.absent += survey.differences.iter().filter(is_absent).count();
        if self.dry_run && !survey.differences.is_empty() {
            self.note(ExitCode::Data);
        }
        self.progress.done();
        let name = shown(address.as_bytes());
        let Self {
            report, progress, ..
        } = self;
        progress.aside(|| report.surveyed(&name, survey))
    }

    fn left(&mut self, address: &str, why: Left) -> Result<(), Failure> {
        let code = why.exit_code();
        self.note(code);
        self.progress.done();
        let name = shown(address.as_bytes());
        let Self {
            report, progress, ..
        } = self;
        progress.aside(|| report.telling.left(&name, why, code != ExitCode::Io))
    }

    /// Of several codes, the one that a person must look at first counts.
    fn note(&mut self, code: ExitCode) {
        const ORDER: [ExitCode; 7] = [
            ExitCode::Refused,
            ExitCode::Protocol,
            ExitCode::Usage,
            ExitCode::Io,
            ExitCode::UnknownUser,
            ExitCode::Data,
            ExitCode::TryLater,
        ];
        let rank = |code: ExitCode| ORDER.iter().position(|it| *it == code);
        self.worst = match self.worst {
            Some(worst) if rank(worst) <= rank(code) => Some(worst),
            _ => Some(code),
        };
    }

    fn verdict(mut self) -> Result<(), Failure> {
        if self.absent > 0 {
            self.note(ExitCode::Data);
        }
        let Some(code) = self.worst else {
            return Ok(());
        };
        let what = match code {
            ExitCode::Data if self.absent > 0 => format!(
                "{} there could not be found here for sure",
                counted(self.absent, "message")
            ),
            ExitCode::Data if self.dry_run => "not everything would be as before".to_owned(),
            _ => "not every account was compared".to_owned(),
        };
        Err(Failure::new(code, what)
            .hint("mend what is said above and run it again: what is done stays"))
    }
}

struct Importer {
    store: Maildir,
    server: Server,
    later: Later,
    dry_run: bool,
}

impl Importer {
    /// Does one account: what it was like before, but for the differences, which are as they are
    /// now.
    async fn take_over(&self, place: &Place) -> Result<Survey, Left> {
        let mailbox = MailboxId {
            account: place.entry.address.clone(),
            home: None,
            location: Some(place.path.clone()),
        };
        let here = self.here(place, &mailbox).await?;
        let looked = look::look(&self.server, &place.entry.login, &here).await?;
        let pairs: Vec<(&look::Listed, &Here)> = looked
            .there
            .iter()
            .filter_map(|listed| Some((listed, here.get(listed.here?)?)))
            .collect();
        if pairs.is_empty() && !looked.there.is_empty() && !here.is_empty() {
            return Err(Left::OtherMailbox {
                there: looked.there.len(),
                here: here.len(),
            });
        }
        let given = pairs.iter().map(|(there, here)| Given {
            base: here.base.clone(),
            unique_id: there.unique_id.clone(),
        });
        let given: Arc<[Given]> = given.collect();
        let survey = || self.survey(&mailbox, &given, looked.taken);
        let mut before = survey().await?;
        if !self.dry_run && !before.unique_ids.is_empty() {
            let edit = Edit::Import(std::mem::take(&mut before.unique_ids));
            let edited = self.store.edit(&mailbox, edit).await;
            let _ = edited.map_err(|cause| Refusal::Edit {
                mailbox: place.path.clone(),
                cause,
            })?;
            // What is on the disk now counts, not what was meant to be there.
            let after = survey().await?;
            if after.unstored > 0 {
                return Err(Refusal::Unstored(place.path.clone()).into());
            }
            before.differences = after.differences;
        }
        before.differences.extend(beside(&looked, &pairs));
        Ok(before)
    }

    /// The mail that is here.
    async fn here(&self, place: &Place, mailbox: &MailboxId) -> Result<Vec<Here>, Left> {
        let mut tries = 1..=TRIES_MAX;
        loop {
            let (store, mailbox) = (self.store.clone(), mailbox.clone());
            let read = spawn_blocking(move || read_all(&store, &mailbox)).await;
            let cause = match read.unwrap_or_else(|error| Err(io::Error::other(error))) {
                Ok(here) => return Ok(here),
                Err(cause) => cause,
            };
            // Renamed meanwhile, unless there is no mailbox at all.
            let is_renamed = cause.kind() == io::ErrorKind::NotFound && place.path.is_dir();
            if !is_renamed || tries.next().is_none() {
                let path = place.path.clone();
                return Err(Left::Mailbox { path, cause });
            }
        }
    }

    async fn survey(
        &self,
        mailbox: &MailboxId,
        given: &Arc<[Given]>,
        taken: u64,
    ) -> Result<Survey, Refusal> {
        let (store, mailbox) = (self.store.clone(), mailbox.clone());
        let (given, later) = (Arc::clone(given), self.later);
        let surveyed =
            spawn_blocking(move || store.survey_listing(&mailbox, &given, taken, later)).await;
        let surveyed = surveyed
            .map_err(|error| restante_maildrop::SurveyError::Mailbox(io::Error::other(error)))?;
        Ok(surveyed?)
    }
}

/// What differs beside unique-ids and order.
fn beside(looked: &Looked, pairs: &[(&look::Listed, &Here)]) -> Vec<Difference> {
    let absent = looked.there.iter().filter(|listed| listed.here.is_none());
    let absent = absent.map(|listed| Difference::Absent {
        number: u64::from(listed.number.get()),
        unique_id: listed.unique_id.clone(),
    });
    let sized = pairs
        .iter()
        .filter(|(there, here)| there.octets != here.octets);
    let sized = sized.map(|(there, here)| Difference::Size {
        base: here.base.clone(),
        old: Octets(there.octets),
        new: Octets(here.octets),
    });
    absent.chain(sized).collect()
}

/// Reads the mail that is here. Blocks.
fn read_all(store: &Maildir, mailbox: &MailboxId) -> io::Result<Vec<Here>> {
    let mut all = Vec::new();
    let mut room = vec![0; PIECE_OCTETS];
    store.read_all(mailbox, &mut |held, message| {
        let (mut counter, mut digester) = (WireCounter::new(), Digester::new());
        loop {
            let count = Read::read(message, &mut room)?;
            let piece = room.get(..count).unwrap_or_default();
            if piece.is_empty() {
                break;
            }
            counter.update(piece);
            digester.update(piece);
        }
        all.push(Here {
            base: held.base,
            unique_id: held.unique_id,
            octets: counter.finish().octets.0,
            digests: digester.finish(),
        });
        Ok(())
    })?;
    Ok(all)
}
