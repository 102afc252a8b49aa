//! A store under test, and what the world does to it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use restante_maildrop::{
    Clock, FolderName, Maildir, Store,
    disk::{Disk, Fault, Faults},
    memory::MemoryStore,
};
use tempfile::TempDir;

use super::{AWAY, SHOWN};
use crate::fixture::{Fixture, MemoryFixture, mailbox, maildir, message_files};

/// A mailbox `me`, and everybody else who has to do with it.
pub(super) trait World {
    type Store: Store;

    fn begin() -> Self;

    fn store(&self) -> &Self::Store;

    fn clock(&self) -> &Clock;

    /// Lets the process die at this call to the disk, counted from now; `None`: it lives. `false`
    /// if it cannot die.
    fn plan_crash(&self, at: Option<u64>) -> bool;

    /// Whether it has died.
    fn has_crashed(&self) -> bool;

    /// Begins a new process.
    fn restart(&mut self);

    /// Dates what was just delivered.
    fn date(&self, shown: Duration);

    /// Removes a message as another program does; its unique-id.
    fn vanish(&mut self, which: u64) -> Option<Vec<u8>>;

    /// Moves a message to another folder.
    fn file_away(&mut self, which: u64);

    /// Moves all that was moved away back.
    fn file_back(&mut self);

    /// Moves a message from INBOX to the folder that is shown besides it, or from there to INBOX.
    fn sort(&mut self, which: u64);

    /// The unique-ids of what is in the folder.
    fn in_folder(&self, folder: &str) -> Vec<Vec<u8>>;

    /// Sets a flag, as a program does that has shown the message.
    fn flag(&mut self, which: u64);
}

/// The store in memory: it neither dies, nor has anybody else.
pub(super) struct MemoryWorld(MemoryFixture);

impl World for MemoryWorld {
    type Store = MemoryStore;

    fn begin() -> Self {
        let world = Self(MemoryFixture::begin());
        for folder in [AWAY, SHOWN] {
            // Moving nothing there makes it.
            let folder = FolderName::new(folder).unwrap();
            let store = world.store();
            assert!(!store.move_behind_the_back(&mailbox("me"), b"", &folder));
        }
        world
    }

    fn store(&self) -> &MemoryStore {
        self.0.store()
    }

    fn clock(&self) -> &Clock {
        self.0.clock()
    }

    fn plan_crash(&self, _: Option<u64>) -> bool {
        false
    }

    fn has_crashed(&self) -> bool {
        false
    }

    fn restart(&mut self) {}

    fn date(&self, _: Duration) {}

    fn vanish(&mut self, which: u64) -> Option<Vec<u8>> {
        let id = self.pick(which, &["INBOX"])?;
        let removed = self.store().remove_behind_the_back(&mailbox("me"), &id);
        removed.then_some(id)
    }

    fn file_away(&mut self, which: u64) {
        if let Some(id) = self.pick(which, &["INBOX"]) {
            self.0.move_to(AWAY, &id);
        }
    }

    fn file_back(&mut self) {
        for id in self.in_folder(AWAY) {
            self.0.move_to("INBOX", &id);
        }
    }

    fn sort(&mut self, which: u64) {
        let Some(id) = self.pick(which, &["INBOX", SHOWN]) else {
            return;
        };
        let to = match self.in_folder(SHOWN).contains(&id) {
            true => "INBOX",
            false => SHOWN,
        };
        self.0.move_to(to, &id);
    }

    fn in_folder(&self, folder: &str) -> Vec<Vec<u8>> {
        let folder = FolderName::new(folder).unwrap();
        self.store().unique_ids_in(&mailbox("me"), &folder)
    }

    fn flag(&mut self, _: u64) {}
}

impl MemoryWorld {
    fn pick(&self, which: u64, folders: &[&str]) -> Option<Vec<u8>> {
        let ids = folders.iter().flat_map(|folder| self.in_folder(folder));
        let ids: Vec<_> = ids.collect();
        let at = usize::try_from(which % 1024).ok()?.checked_rem(ids.len())?;
        ids.into_iter().nth(at)
    }
}

/// A Maildir that others use too.
pub(super) struct MaildirWorld {
    place: TempDir,
    faults: Arc<Faults>,
    store: Maildir,
    clock: Clock,
}

impl World for MaildirWorld {
    type Store = Maildir;

    fn begin() -> Self {
        // A million steps are too much for a disk that takes its time.
        let memory = Path::new("/dev/shm");
        let long = env::var_os("RESTANTE_HISTORY_STEPS").is_some();
        let place = match long && memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let place = place.unwrap();
        for folder in ["", ".Junk", ".Spam"] {
            for directory in ["cur", "new", "tmp"] {
                let folder = place.path().join("me").join(folder);
                fs::create_dir_all(folder.join(directory)).unwrap();
            }
        }
        let clock = Clock::by_hand(UNIX_EPOCH.elapsed().unwrap_or_default());
        let faults = Arc::new(Faults::input_output(Fault::Never));
        let store = maildir(
            place.path(),
            clock.clone(),
            Disk::with_faults(Arc::clone(&faults)),
        );
        Self {
            place,
            faults,
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

    fn plan_crash(&self, at: Option<u64>) -> bool {
        self.faults.plan(at.map_or(Fault::Never, Fault::From));
        at.is_some()
    }

    fn has_crashed(&self) -> bool {
        self.faults.trace().iter().any(|passed| passed.failed)
    }

    fn restart(&mut self) {
        self.faults.plan(Fault::Never);
        let disk = Disk::with_faults(Arc::clone(&self.faults));
        self.store = maildir(self.place.path(), self.clock.clone(), disk);
    }

    fn date(&self, shown: Duration) {
        let (seconds, microseconds) = (shown.as_secs(), shown.subsec_micros());
        let begins = format!("{seconds}.M{microseconds}P");
        let new = self.files().into_iter().find(|file| {
            let name = file.file_name().unwrap().to_str().unwrap();
            name.starts_with(&begins)
        });
        let file = fs::File::options().write(true).open(new.unwrap());
        file.unwrap().set_modified(UNIX_EPOCH + shown).unwrap();
    }

    fn vanish(&mut self, which: u64) -> Option<Vec<u8>> {
        let file = self.pick(which)?;
        fs::remove_file(&file).unwrap();
        Some(id_of(&file))
    }

    fn file_away(&mut self, which: u64) {
        if let Some(file) = self.pick(which) {
            let junk = self.me().join(".Junk/cur").join(file.file_name().unwrap());
            fs::rename(file, junk).unwrap();
        }
    }

    fn file_back(&mut self) {
        for file in self.files_in(AWAY) {
            let name = file.file_name().unwrap();
            fs::rename(&file, self.me().join("cur").join(name)).unwrap();
        }
    }

    fn sort(&mut self, which: u64) {
        let shown = self.files_in(SHOWN);
        let files: Vec<PathBuf> = self.files().into_iter().chain(shown.clone()).collect();
        let at = usize::try_from(which % 1024).unwrap();
        let Some(file) = at.checked_rem(files.len()).and_then(|at| files.get(at)) else {
            return;
        };
        let to = match shown.contains(file) {
            true => self.me(),
            false => self.me().join(format!(".{SHOWN}")),
        };
        fs::rename(file, to.join("cur").join(file.file_name().unwrap())).unwrap();
    }

    fn in_folder(&self, folder: &str) -> Vec<Vec<u8>> {
        let files = self.files_in(folder);
        files.iter().map(|file| id_of(file)).collect()
    }

    fn flag(&mut self, which: u64) {
        if let Some(file) = self.pick(which) {
            let name = file.file_name().unwrap().to_str().unwrap();
            let base = name.split(':').next().unwrap();
            let flags = ["", "S", "RS"][usize::try_from(which % 3).unwrap()];
            let to = self.me().join("cur").join(format!("{base}:2,{flags}"));
            fs::rename(&file, to).unwrap();
        }
    }
}

impl MaildirWorld {
    fn me(&self) -> PathBuf {
        self.place.path().join("me")
    }

    /// The files of a folder besides INBOX.
    fn files_in(&self, folder: &str) -> Vec<PathBuf> {
        message_files(&self.me().join(format!(".{folder}")))
    }

    fn files(&self) -> Vec<PathBuf> {
        message_files(&self.me())
    }

    fn pick(&self, which: u64) -> Option<PathBuf> {
        let files = self.files();
        let at = usize::try_from(which % 1024)
            .unwrap()
            .checked_rem(files.len())?;
        files.into_iter().nth(at)
    }
}

/// The rule: the base name without sizes.
fn id_of(file: &Path) -> Vec<u8> {
    let name = file.file_name().unwrap().to_str().unwrap();
    let base = name.split(':').next().unwrap();
    base.split(",S=").next().unwrap().as_bytes().to_vec()
}
