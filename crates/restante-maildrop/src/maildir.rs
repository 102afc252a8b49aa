//! Mail in Maildirs, shared with every other program that knows them.
//!
//! Opening a mailbox takes the view's lock, finds out what the mailbox holds, and gives a session
//! a snapshot of it:
//!
//! ```text
//! location ─► layout ─► lock ─► listing ─► scan ─► snapshot ─► maildrop
//! where       open      whose    new/ and   what is  + unique    a session,
//! it is       dirs      turn     cur/       known    -ids        reading, update
//!                                   ▲          ▲
//!                         stamps ───┴── cache ─┘   restante/cache/
//! ```
//!
//! Other programs change the mailbox at any time, without asking. So nothing that was seen once is
//! taken for true later: a listing is trusted only if the directories had stood still (`listing`),
//! and what is known of a file is checked on the descriptor that is sent (`reading`). What turns
//! out to be wrong costs this session one message and is right in the next.

mod ahead;
mod cache;
mod columns;
mod compressed;
mod contents;
mod deliver;
mod devices;
mod edit;
mod ending;
mod entering;
mod export;
mod file_stamp;
mod held;
mod journal;
mod layout;
mod leaving;
mod listing;
mod location;
mod lock;
mod maildirsize;
mod maildrop;
mod measure;
mod name;
mod notices;
mod onlookers;
mod opened;
mod reading;
mod retention;
mod scan;
mod selection;
mod snapshot;
mod surroundings;
mod survey;
mod trash;
#[cfg(test)]
mod trial;
mod uidlist_lock;
mod unique_ids;
mod unique_name;
mod unpacking;
mod update;
mod view_log;
mod visits;

use std::{io, sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use self::{
    ahead::Ahead,
    deliver::{Delivery, blocking},
    entering::Entered,
    export::Exporting,
    layout::Mailbox,
    location::Place,
    lock::{Looks, SessionLock},
    notices::Notices,
    opened::Opened,
    reading::Reading,
    retention::{Occasion, Retention},
};
use crate::{
    BodySource, Clock, DeliverError, Durable, Edit, EditError, Edited, Figures, Journal,
    KeptMessage, KnownDevice, MailboxId, OpenError, Recipient, ShownFolder, Shows, Store, View,
    disk::Disk,
    foreign::{Earlier, Given, Later, Origin},
};

pub(crate) use name::FileName;

pub use deliver::LineEnds;
pub use export::{Export, ExportError, Left};
pub use held::HeldMessage;
pub use location::{Location, LocationError};
pub use maildrop::MaildirMaildrop;
pub use survey::{Difference, Obstacle, Survey, SurveyError};
#[cfg(feature = "testing")]
pub use {
    cache::format::fuzz_cache_file, name::fuzz_maildir_name, unique_ids::fuzz_state_file,
    view_log::fuzz_views_file, visits::fuzz_visits_file,
};

/// Snapshots nobody uses are kept within this bound: tens of thousands of usual mailboxes.
const RECENT_OCTETS_MAX: usize = 64 << 20;
/// More threads than this do not measure faster.
const MEASURING_MAX: usize = 4;

/// How a Maildir store works.
#[derive(Clone, Debug)]
pub struct MaildirSettings {
    /// Where an account's Maildir is: a path with `{domain}`, `{user}`, `{address}`, or one that
    /// begins with `{home}`; see [`Location`].
    pub location: String,
    /// How long messages that were deleted are kept in the trash; zero: not at all.
    pub undelete_for: Duration,
    /// With which line ends our own deliveries are stored.
    pub line_ends: LineEnds,
    /// Snapshots of mailboxes that nobody has open are kept in memory up to this many octets, so
    /// that polls need not read the cache.
    pub recent_octets_max: usize,
    /// Who makes edits through this store: mailboxes' journals will say it.
    pub author: String,
    /// What time it is.
    pub clock: Clock,
    /// The way to the disk.
    pub disk: Disk,
}

/// A store of one Maildir for each account. A clone is the same store.
#[derive(Clone, Debug)]
pub struct Maildir {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    delivery: Delivery,
    retention: Retention,
    notices: Arc<Notices>,
    opened: Opened,
    author: String,
    measuring: Arc<Semaphore>,
    /// One permit for each file that may be open ahead.
    ahead: Arc<Semaphore>,
}

impl MaildirSettings {
    /// The usual settings, with Maildirs at `location`.
    #[must_use]
    pub fn new(location: impl Into<String>) -> Self {
        const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
        Self {
            location: location.into(),
            undelete_for: WEEK,
            line_ends: LineEnds::default(),
            recent_octets_max: RECENT_OCTETS_MAX,
            author: "operator".to_owned(),
            clock: Clock::default(),
            disk: Disk::default(),
        }
    }
}

impl Maildir {
    /// So many descriptors a session holds at most, its connection not counted: at rest the
    /// Maildir, `new/`, `cur/` and its lock; then the message that is sent, its own directories,
    /// the mailbox lock, and what a call opens for itself, once for the session and once for the
    /// thread that opens messages ahead.
    pub const FILES_PER_SESSION: u64 = 14;
    /// So many more it holds for each folder that is looked at besides INBOX.
    pub const FILES_PER_FOLDER: u64 = 2;
    /// So many descriptors all sessions of a store hold besides, together: messages that are open
    /// ahead.
    pub const FILES_SHARED: u64 = ahead::FILES_MAX as u64;

    /// The store with these settings. Nothing is looked at before it is asked for.
    ///
    /// # Errors
    /// [`LocationError`] if the location is not one.
    pub fn new(settings: MaildirSettings) -> Result<Self, LocationError> {
        let retention = Retention::new(settings.clock.clone(), settings.undelete_for);
        let inner = Inner {
            retention: retention.clone(),
            delivery: Delivery {
                disk: settings.disk,
                clock: settings.clock,
                retention,
                location: Location::new(&settings.location)?,
                line_ends: settings.line_ends,
                host: unique_name::host().into(),
                last: Arc::default(),
            },
            notices: Arc::default(),
            opened: Opened::new(settings.recent_octets_max),
            author: settings.author,
            measuring: Arc::new(Semaphore::new(MEASURING_MAX)),
            ahead: Arc::new(Semaphore::new(ahead::FILES_MAX)),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// What [`Edit::Import`] of the unique-ids that `origin` has left in the mailbox would mean:
    /// `None` if it has left none. Changes nothing, takes no lock, and blocks. `later` matters
    /// only where an import was made before.
    ///
    /// # Errors
    /// [`SurveyError`] says why nothing may be imported.
    pub fn survey(
        &self,
        mailbox: &MailboxId,
        origin: &Origin,
        later: Later,
    ) -> Result<Option<Survey>, SurveyError> {
        let place = self.place(mailbox).map_err(SurveyError::Mailbox)?;
        let mailbox = Mailbox::open_existing(&self.inner.delivery.disk, &place.path());
        survey::survey(&mailbox.map_err(SurveyError::Mailbox)?, origin, later)
    }

    /// As [`Maildir::survey`], by what the other server itself has said it lists at `taken` (Unix
    /// seconds), in its order. The caller has found out which message is which.
    ///
    /// # Errors
    /// [`SurveyError::Mailbox`].
    pub fn survey_listing(
        &self,
        mailbox: &MailboxId,
        given: &[Given],
        taken: u64,
        later: Later,
    ) -> Result<Survey, SurveyError> {
        let place = self.place(mailbox).map_err(SurveyError::Mailbox)?;
        let mailbox = Mailbox::open_existing(&self.inner.delivery.disk, &place.path());
        let mailbox = mailbox.map_err(SurveyError::Mailbox)?;
        survey::survey_listing(&mailbox, given, taken, later)
    }

    /// What [`Maildir::export`] would mean. Changes nothing, takes no lock, and blocks.
    ///
    /// # Errors
    /// [`ExportError`] says why nothing may be written.
    pub fn plan_export(
        &self,
        mailbox: &MailboxId,
        origin: &Origin,
        earlier: Earlier,
    ) -> Result<Option<Export>, ExportError> {
        self.exporting(mailbox, origin, earlier, |exporting| exporting.look())
    }

    /// Writes the unique-ids that are listed here into the list which `origin` has left in the
    /// mailbox, or a new one: the server will list the same then. It must not run. What is told is
    /// what it was like before; `None` if there was nothing to write and no list. Durable when this
    /// returns; if it fails, it may be done again. Blocks.
    ///
    /// # Errors
    /// [`ExportError`] says why nothing was written.
    pub fn export(
        &self,
        mailbox: &MailboxId,
        origin: &Origin,
        earlier: Earlier,
    ) -> Result<Option<Export>, ExportError> {
        self.exporting(mailbox, origin, earlier, |exporting| exporting.make())
    }

    fn exporting<T>(
        &self,
        mailbox: &MailboxId,
        origin: &Origin,
        earlier: Earlier,
        what: impl FnOnce(Exporting<'_>) -> Result<T, ExportError>,
    ) -> Result<T, ExportError> {
        let delivery = &self.inner.delivery;
        let place = self.place(mailbox).map_err(SurveyError::Mailbox)?;
        let mailbox = Mailbox::open_existing(&delivery.disk, &place.path());
        what(Exporting {
            mailbox: &mailbox.map_err(SurveyError::Mailbox)?,
            origin,
            earlier,
            clock: &delivery.clock,
        })
    }

    /// Reads every message of the mailbox, in the order of its numbers: `each` gets what is known
    /// of it and its octets, unpacked, with the line ends of the file. Changes nothing, takes no
    /// lock, and blocks.
    ///
    /// # Errors
    /// Those of reading and of `each`; `NotFound` for a message that was renamed or removed
    /// meanwhile.
    pub fn read_all(
        &self,
        mailbox: &MailboxId,
        each: &mut dyn FnMut(HeldMessage, &mut dyn io::Read) -> io::Result<()>,
    ) -> io::Result<()> {
        let place = self.place(mailbox)?;
        let mailbox = Mailbox::open_existing(&self.inner.delivery.disk, &place.path())?;
        held::read_all(&mailbox, each)
    }

    /// Where the mailbox is.
    fn place(&self, mailbox: &MailboxId) -> io::Result<Place> {
        let place = self.inner.delivery.location.of(mailbox);
        place.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
    }

    /// Opens a mailbox that is there and looks at it, on a thread that may block.
    async fn look<T: Send + 'static>(
        &self,
        mailbox: &MailboxId,
        look: impl FnOnce(&mut Mailbox) -> io::Result<T> + Send + 'static,
    ) -> Result<T, OpenError> {
        let place = self.place(mailbox).map_err(OpenError::Permanent)?;
        let disk = self.inner.delivery.disk.clone();
        let seen = blocking(move || look(&mut Mailbox::open_place(&disk, &place)?)).await;
        seen.and_then(|seen| seen).map_err(open_error)
    }
}

impl Store for Maildir {
    type Maildrop = MaildirMaildrop;

    async fn open(&self, view: &View, wait: Duration) -> Result<MaildirMaildrop, OpenError> {
        let place = self.place(&view.mailbox).map_err(OpenError::Permanent)?;
        let mut looks = Looks::within(wait);
        loop {
            let (inner, place) = (Arc::clone(&self.inner), place.clone());
            let view = view.clone();
            let opened = blocking(move || inner.try_open(&place, &view)).await;
            let opened = opened.and_then(|opened| opened).map_err(open_error);
            let pause = match opened {
                Ok(None) => looks.pause(),
                _ => None,
            };
            let Some(pause) = pause else {
                looks.count(&self.inner.delivery.disk.figures().session_lock_waits);
                return opened?.ok_or(OpenError::InUse);
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn deliver<B: BodySource>(
        &self,
        recipients: &[Recipient],
        body: B,
    ) -> Vec<Result<Durable, DeliverError>> {
        self.inner.delivery.deliver(recipients, body).await
    }

    async fn edit(&self, mailbox: &MailboxId, edit: Edit) -> Result<Edited, EditError> {
        let place = self.place(mailbox);
        let place = place.map_err(|error| EditError::Refused(error.to_string()))?;
        let inner = Arc::clone(&self.inner);
        let edited = blocking(move || {
            let disk = &inner.delivery.disk;
            let mailbox = match edit {
                // Mail that comes before the device does waits for it.
                Edit::AddDevice { .. } => Mailbox::open_or_create(disk, &place),
                _ => Mailbox::open_place(disk, &place),
            };
            let mut mailbox = mailbox.map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => EditError::Refused("there is no mailbox".to_owned()),
                _ => EditError::Temporary(error),
            })?;
            edit::besides(&mailbox, &inner.delivery.clock, &edit)
                .and_then(|besides| mailbox.open_besides(&inner.notices, besides))
                .map_err(EditError::Temporary)?;
            let edits = edit::Edits {
                mailbox: &mailbox,
                retention: &inner.retention,
                notices: &inner.notices,
                host: &inner.delivery.host,
                author: &inner.author,
            };
            edits.make(&edit)
        });
        edited.await.map_err(EditError::Temporary)?
    }

    async fn messages(&self, mailbox: &MailboxId) -> Result<Vec<KeptMessage>, OpenError> {
        let inner = Arc::clone(&self.inner);
        self.look(mailbox, move |mailbox| {
            contents::messages(mailbox, &inner.notices, &inner.delivery.clock)
        })
        .await
    }

    async fn trash(&self, mailbox: &MailboxId) -> Result<Vec<KeptMessage>, OpenError> {
        let clock = self.inner.delivery.clock.clone();
        self.look(mailbox, move |mailbox| contents::trash(mailbox, &clock))
            .await
    }

    async fn devices(&self, mailbox: &MailboxId) -> Result<Vec<KnownDevice>, OpenError> {
        let clock = self.inner.delivery.clock.clone();
        self.look(mailbox, move |mailbox| devices::list(mailbox, &clock))
            .await
    }

    async fn journal(&self, mailbox: &MailboxId) -> Result<Journal, OpenError> {
        let clock = self.inner.delivery.clock.clone();
        self.look(mailbox, move |mailbox| visits::read(mailbox, &clock))
            .await
    }

    fn figures(&self) -> Arc<Figures> {
        Arc::clone(self.inner.delivery.disk.figures())
    }
}

impl Inner {
    /// Opens the mailbox, unless another session has the view; blocks.
    fn try_open(&self, place: &Place, view: &View) -> io::Result<Option<MaildirMaildrop>> {
        let disk = &self.delivery.disk;
        let mut mailbox = Mailbox::open_or_create(disk, place)?;
        let Some(lock) = SessionLock::try_acquire(&mailbox, &view.name)? else {
            return Ok(None);
        };
        surroundings::say(&mailbox, &self.notices);
        mailbox.open_besides(&self.notices, besides_of(&view.shows))?;
        let shown = (mailbox.identity(), mailbox.besides().cloned().collect());
        let earlier = self.opened.find(&shown);
        let occasion = match earlier {
            Some(_) => Occasion::Session,
            None => Occasion::FirstSession,
        };
        let mut now = || lock.now(disk);
        let snapshot = snapshot::load(&mailbox, &self.notices, earlier, &mut now)?;
        let Entered {
            snapshot,
            selection,
            seat,
        } = entering::enter(
            &mailbox,
            &self.notices,
            &self.retention,
            view,
            snapshot,
            &mut now,
        )?;
        self.opened.keep(shown, &snapshot);
        mailbox.rest();
        let ahead = Ahead::new(Arc::clone(&self.ahead));
        let reading = Reading::new(mailbox, snapshot, Arc::clone(&self.notices), lock, ahead);
        let retention = self.retention.clone();
        let measuring = Arc::clone(&self.measuring);
        let maildrop =
            MaildirMaildrop::new(reading, selection, seat, retention, occasion, measuring);
        Ok(Some(maildrop))
    }
}

/// The folders that are looked at besides INBOX. All that the account shows are, also where only
/// one is listed: no two messages must have the same unique-id.
fn besides_of(shows: &Shows) -> Vec<ShownFolder> {
    let mut besides = shows.folders.as_slice().to_vec();
    let Some(only) = shows.only.as_ref().filter(|only| !only.is_inbox()) else {
        return besides;
    };
    // Whoever names a folder knows what is in it.
    besides.iter_mut().for_each(|folder| folder.tag = None);
    if !besides.iter().any(|folder| folder.name == *only) {
        besides.push(ShownFolder {
            name: only.clone(),
            tag: None,
        });
    }
    besides
}

fn open_error(error: io::Error) -> OpenError {
    match error.kind() {
        // The operator's directory is not there: not mounted, or never made.
        io::ErrorKind::NotFound => OpenError::Absent,
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::InvalidData => OpenError::Permanent(error),
        _ => OpenError::Temporary(error),
    }
}
