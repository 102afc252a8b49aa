//! A store to test, and the means to do behind its back what the world does.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use restante_maildrop::{
    Clock, FolderName, Lost, MailboxId, Maildir, MaildirSettings, Store, View,
    disk::Disk,
    memory::{MemoryStore, Operation},
};
use tempfile::TempDir;

/// How long the stores under test keep what was deleted.
pub(crate) const UNDELETE_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A fresh store with the mailbox [`mailbox`]`("me")`, empty.
pub(crate) trait Fixture: Sized {
    /// The kind of store.
    type Store: Store;

    /// Makes it, under a clock moved by hand; what was deleted is kept for so long.
    fn begin_keeping(undelete_for: Duration) -> Self;

    /// Makes it with a trash.
    fn begin() -> Self {
        Self::begin_keeping(UNDELETE_FOR)
    }

    /// The store.
    fn store(&self) -> &Self::Store;

    /// The store's clock.
    fn clock(&self) -> &Clock;

    /// Removes the message at `index` (from 0) of the listing as another program would.
    fn vanish(&self, mailbox: &MailboxId, index: usize);

    /// Base names, in listing order.
    fn base_names(&self, mailbox: &MailboxId) -> Vec<Vec<u8>>;

    /// A mailbox whose place is missing.
    fn absent(&self) -> MailboxId;

    /// Moves the message of this unique-id to a folder of the mailbox `me`, or to `INBOX`, as
    /// another program would, and makes the folder.
    fn move_to(&self, folder: &str, unique_id: &[u8]);

    /// Removes a folder of the mailbox `me` with all that is in it, as another program would.
    fn remove_folder(&self, folder: &str);

    /// Lets deliveries to `mailbox` fail from now on.
    fn refuse_deliveries(&self, mailbox: &MailboxId);

    /// Takes the lease of a view away; `false` if this store's leases cannot be lost.
    fn lose(&self, view: &View, why: Lost) -> bool;
}

/// The mailbox of that name.
pub(crate) fn mailbox(name: &str) -> MailboxId {
    MailboxId {
        account: name.to_owned(),
        home: None,
        location: None,
    }
}

/// The view that all credentials of `name` share.
pub(crate) fn shared(name: &str) -> View {
    View::shared(mailbox(name))
}

/// Runs the block once on each kind of store.
macro_rules! on_every_store {
    (|$fixture:ident| $body:block) => {
        crate::fixture::on_every_store!(crate::fixture::UNDELETE_FOR, |$fixture| $body)
    };
    ($undelete_for:expr, |$fixture:ident| $body:block) => {{
        use crate::fixture::{MaildirFixture, MemoryFixture};
        let $fixture = <MemoryFixture as crate::fixture::Fixture>::begin_keeping($undelete_for);
        $body
        let $fixture = <MaildirFixture as crate::fixture::Fixture>::begin_keeping($undelete_for);
        $body
    }};
}
pub(crate) use on_every_store;

/// The store in memory.
pub(crate) struct MemoryFixture {
    store: MemoryStore,
    clock: Clock,
}

impl Fixture for MemoryFixture {
    type Store = MemoryStore;

    fn begin_keeping(undelete_for: Duration) -> Self {
        let clock = Clock::by_hand(begin());
        let store = MemoryStore::with_clock(clock.clone());
        store.set_undelete_for(undelete_for);
        store.set_delay(Duration::from_micros(50));
        store.make_mailbox(&mailbox("me"));
        Self { store, clock }
    }

    fn store(&self) -> &MemoryStore {
        &self.store
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn vanish(&self, mailbox: &MailboxId, index: usize) {
        let unique_id = self.store.unique_ids(mailbox).swap_remove(index);
        assert!(self.store.remove_behind_the_back(mailbox, &unique_id));
    }

    fn base_names(&self, mailbox: &MailboxId) -> Vec<Vec<u8>> {
        self.store.base_names(mailbox)
    }

    fn absent(&self) -> MailboxId {
        let absent = mailbox("absent");
        self.store.take_away(&absent);
        absent
    }

    fn move_to(&self, folder: &str, unique_id: &[u8]) {
        let (me, folder) = (mailbox("me"), FolderName::new(folder).unwrap());
        assert!(self.store.move_behind_the_back(&me, unique_id, &folder));
    }

    fn remove_folder(&self, folder: &str) {
        let folder = FolderName::new(folder).unwrap();
        self.store.remove_folder(&mailbox("me"), &folder);
    }

    fn refuse_deliveries(&self, mailbox: &MailboxId) {
        self.store.refuse_deliveries(mailbox);
    }

    fn lose(&self, view: &View, why: Lost) -> bool {
        self.store.lose(view, why);
        true
    }
}

impl MemoryFixture {
    /// Lets the removal of one message fail, after `succeeding` that work.
    pub(crate) fn fail_removal_after(&self, succeeding: u32) {
        self.store.fail_after(Operation::Remove, succeeding);
    }
}

/// Maildirs in a directory of their own.
pub(crate) struct MaildirFixture {
    place: TempDir,
    store: Maildir,
    clock: Clock,
}

impl Fixture for MaildirFixture {
    type Store = Maildir;

    fn begin_keeping(undelete_for: Duration) -> Self {
        let place = tempfile::tempdir().unwrap();
        let clock = Clock::by_hand(begin());
        for directory in ["cur", "new", "tmp"] {
            fs::create_dir_all(place.path().join("me").join(directory)).unwrap();
        }
        let disk = Disk::default();
        let store = maildir_keeping(undelete_for, place.path(), clock.clone(), disk);
        Self {
            place,
            store,
            clock,
        }
    }

    fn store(&self) -> &Maildir {
        &self.store
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn vanish(&self, mailbox: &MailboxId, index: usize) {
        let files = message_files(&self.place.path().join(&mailbox.account));
        fs::remove_file(&files[index]).unwrap();
    }

    fn base_names(&self, mailbox: &MailboxId) -> Vec<Vec<u8>> {
        let files = message_files(&self.place.path().join(&mailbox.account));
        files.iter().map(|file| base_name(file).into()).collect()
    }

    fn absent(&self) -> MailboxId {
        let mut absent = mailbox("absent");
        absent.location = Some(self.place.path().join("not-mounted/absent"));
        absent
    }

    fn move_to(&self, folder: &str, unique_id: &[u8]) {
        let unique_id = std::str::from_utf8(unique_id).unwrap();
        let files = directories(&self.path()).into_iter().flat_map(files_in);
        let is_it = |file: &PathBuf| base_name(file).split(',').next() == Some(unique_id);
        let file = files.into_iter().find(is_it).unwrap();
        let to = match folder {
            "INBOX" => self.path(),
            folder => self.path().join(format!(".{folder}")),
        };
        for directory in ["cur", "new", "tmp"] {
            fs::create_dir_all(to.join(directory)).unwrap();
        }
        let name = file.file_name().unwrap().to_owned();
        fs::rename(file, to.join("cur").join(name)).unwrap();
    }

    fn remove_folder(&self, folder: &str) {
        fs::remove_dir_all(self.path().join(format!(".{folder}"))).unwrap();
    }

    fn refuse_deliveries(&self, mailbox: &MailboxId) {
        let tmp = self.place.path().join(&mailbox.account).join("tmp");
        fs::remove_dir(&tmp).unwrap();
        fs::write(&tmp, "in the way").unwrap();
    }

    fn lose(&self, _: &View, _: Lost) -> bool {
        false
    }
}

impl MaildirFixture {
    /// The Maildir of the mailbox [`mailbox`]`("me")`.
    pub(crate) fn path(&self) -> PathBuf {
        self.place.path().join("me")
    }
}

/// A store of Maildirs named after their accounts in `place`.
pub(crate) fn maildir(place: &Path, clock: Clock, disk: Disk) -> Maildir {
    maildir_keeping(UNDELETE_FOR, place, clock, disk)
}

/// As [`maildir`]; what was deleted is kept for so long.
pub(crate) fn maildir_keeping(
    undelete_for: Duration,
    place: &Path,
    clock: Clock,
    disk: Disk,
) -> Maildir {
    let mut settings = MaildirSettings::new(format!("{}/{{user}}", place.display()));
    settings.undelete_for = undelete_for;
    settings.clock = clock;
    settings.disk = disk;
    Maildir::new(settings).unwrap()
}

/// The message files of a Maildir that we have delivered, oldest first.
pub(crate) fn message_files(maildir: &Path) -> Vec<PathBuf> {
    let folders = ["new", "cur"].map(|folder| fs::read_dir(maildir.join(folder)));
    let entries = folders.into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort_by_key(|file| {
        let name = base_name(file);
        let (seconds, rest) = name.split_once(".M").unwrap();
        let (microseconds, rest) = rest.split_once('P').unwrap();
        let number = |digits: &str| digits.parse::<u64>().unwrap();
        (number(seconds), number(microseconds), rest.to_owned())
    });
    files
}

/// `new/` and `cur/` of a Maildir and of its folders.
fn directories(maildir: &Path) -> Vec<PathBuf> {
    let mut roots = vec![maildir.to_owned()];
    for entry in fs::read_dir(maildir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        roots.extend(name.starts_with('.').then(|| path.clone()));
    }
    let directories = roots
        .iter()
        .flat_map(|root| [root.join("new"), root.join("cur")]);
    directories.collect()
}

fn files_in(directory: PathBuf) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The part of a file's name before its flags.
fn base_name(file: &Path) -> &str {
    let name = file.file_name().unwrap().to_str().unwrap();
    name.split(':').next().unwrap()
}

/// An hour from now, to the second: ahead of the times of files while the test runs.
fn begin() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Duration::from_secs(now.expect("it is after 1970").as_secs() + 60 * 60)
}
