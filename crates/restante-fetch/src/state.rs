//! What is known of an account's messages, on disk.
//!
//! One append-only file of checksummed lines for each account ([`journal`]), read whole at the
//! start and written anew, atomically, when it has grown far beyond what it says. A group of
//! messages costs one flush.
//!
//! Why no database: all that is needed is that a group of facts is durable with one flush, that
//! damage to one fact costs no other, and that a person can read the file. And nothing here is ever
//! the ground for a deletion: a message that this run has not retrieved is looked at on the server
//! before DELE, so that a state that is wrong costs a message twice at worst.
//!
//! The file is read as a stranger's. Damage costs the lines that it touches, and is set aside
//! beside the file: messages come once more.

mod entry;
mod journal;
mod place;
mod record;
mod seen;

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufReader, BufWriter, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

pub use entry::{Entry, Standing};
pub use place::PlaceId;
pub(crate) use record::Record;
pub use record::{Deletion, EntryId, Named};
pub use seen::Seen;

use journal::Soundness;
use rustix::fs::{FlockOperation, flock};

const TITLE: &str = "restante fetch ";
const VERSION: &str = "1";
/// A file below this size is not worth being written anew.
const COMPACT_OCTETS_MIN: u64 = 256 * 1024;
/// So long a run waits for another of the same account.
const LOCK_PATIENCE: Duration = Duration::from_millis(1000);
/// So many times what it says may a file hold.
const COMPACT_RATIO: u64 = 4;

/// The state of one account, held by this process alone.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    file: File,
    /// Keeps other runs out; freed by the system when the process ends.
    _lock: File,
    seen: Seen,
    octets: u64,
    /// Lines that are to be written.
    pending: Vec<u8>,
    /// Written lines that are not durable.
    unsynced: bool,
    /// Writing has failed: what is on disk is not known, and nothing is added.
    broken: bool,
}

/// Why a state cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another run has it.
    #[error("`{}` is in use: another run collects this account", path.display())]
    InUse {
        /// The lock's file.
        path: PathBuf,
    },
    /// A newer version has written it.
    #[error("`{}` was written by a newer version", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("cannot use `{}`", path.display())]
    System {
        /// The file or directory.
        path: PathBuf,
        /// What it said.
        #[source]
        cause: io::Error,
    },
    /// It failed before.
    #[error("`{}` could not be written before", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
    },
}

impl State {
    /// Opens the state of an account, and makes it where there is none. Blocks.
    ///
    /// `account` is a name of letters, digits, `.`, `_`, `@`, `+` and `-` that begins with a letter
    /// or a digit; what else a caller has must be turned into one.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn open(directory: &Path, account: &str) -> Result<Self, StateError> {
        let system = |path: &Path| {
            let path = path.to_owned();
            move |cause| StateError::System { path, cause }
        };
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(directory);
        made.map_err(system(directory))?;
        let lock_path = directory.join(format!("{account}.lock"));
        let lock = open(&lock_path, OpenOptions::new().write(true)).map_err(system(&lock_path))?;
        hold(&lock).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => StateError::InUse { path: lock_path },
            error => system(&lock_path)(error.into()),
        })?;
        let path = directory.join(format!("{account}.seen"));
        let mut options = OpenOptions::new();
        let file = open(&path, options.read(true).append(true)).map_err(system(&path))?;
        let mut state = Self {
            path,
            file,
            _lock: lock,
            seen: Seen::default(),
            octets: 0,
            pending: Vec::new(),
            unsynced: false,
            broken: false,
        };
        state.read()?;
        Ok(state)
    }

    /// Reads what is known of an account without holding it: for those who look. Blocks.
    ///
    /// # Errors
    /// [`StateError`]; no file means that nothing is known.
    pub fn look(directory: &Path, account: &str) -> Result<Seen, StateError> {
        let path = directory.join(format!("{account}.seen"));
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Seen::default()),
            Err(cause) => return Err(StateError::System { path, cause }),
        };
        let mut seen = Seen::default();
        match read(&mut BufReader::new(file), &mut seen) {
            Ok(Read { newer: true, .. }) => Err(StateError::Newer { path }),
            Ok(_) => Ok(seen),
            Err(cause) => Err(StateError::System { path, cause }),
        }
    }

    /// What is known.
    #[must_use]
    pub const fn seen(&self) -> &Seen {
        &self.seen
    }

    /// A name for a message that nothing is known of.
    pub(crate) fn fresh(&mut self) -> EntryId {
        self.seen.fresh()
    }

    /// Takes a record. It is durable when [`State::sync`] has succeeded.
    pub(crate) fn add(&mut self, record: &Record) {
        self.seen.apply(record);
        for line in record.lines() {
            let line = journal::line(line.as_bytes());
            self.pending.extend_from_slice(&line);
        }
    }

    /// Makes what was added durable, with one flush; nothing to be done costs nothing. Blocks.
    ///
    /// # Errors
    /// [`StateError`], now and for good: what is on disk is not known.
    pub fn sync(&mut self) -> Result<(), StateError> {
        self.write()?;
        if self.unsynced {
            self.unsynced = false;
            let synced = self.file.sync_data();
            synced.map_err(|cause| self.failed(cause))?;
        }
        Ok(())
    }

    /// Writes what was added, and leaves it to the system when it becomes durable. Blocks.
    ///
    /// # Errors
    /// As [`State::sync`].
    pub fn write(&mut self) -> Result<(), StateError> {
        if self.broken {
            let path = self.path.clone();
            return Err(StateError::Broken { path });
        }
        if !self.pending.is_empty() {
            let written = self.file.write_all(&self.pending);
            written.map_err(|cause| self.failed(cause))?;
            self.octets += self.pending.len() as u64;
            self.pending.clear();
            self.unsynced = true;
        }
        Ok(())
    }

    /// Writes the file anew if most of it says nothing any more, whichever run has written that.
    /// Blocks.
    ///
    /// # Errors
    /// As [`State::sync`].
    pub fn compact(&mut self) -> Result<(), StateError> {
        self.sync()?;
        if self.octets <= COMPACT_OCTETS_MIN {
            return Ok(());
        }
        let needed: u64 = self.lines().map(|line| line.len() as u64).sum();
        match self.octets > needed.saturating_mul(COMPACT_RATIO) {
            true => self.write_anew(),
            false => Ok(()),
        }
    }

    /// The lines of a file that says what is known and nothing else.
    fn lines(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        let title = journal::line(format!("{TITLE}{VERSION}").as_bytes());
        let records = self.seen.records().flat_map(|record| record.lines());
        let lines = records.map(|line| journal::line(line.as_bytes()));
        std::iter::once(title).chain(lines)
    }

    /// Whoever was to make it durable has come to no end: what is on disk is not known.
    pub(crate) fn give_up(&mut self) -> StateError {
        self.broken = true;
        let path = self.path.clone();
        StateError::Broken { path }
    }

    fn failed(&mut self, cause: io::Error) -> StateError {
        self.broken = true;
        let path = self.path.clone();
        StateError::System { path, cause }
    }

    fn read(&mut self) -> Result<(), StateError> {
        let mut input = BufReader::with_capacity(128 * 1024, &self.file);
        let read = read(&mut input, &mut self.seen);
        let Read {
            soundness: Soundness { damaged, torn },
            titled,
            newer,
        } = read.map_err(|cause| self.failed(cause))?;
        if newer {
            let path = self.path.clone();
            return Err(StateError::Newer { path });
        }
        let facts = self.file.metadata().map_err(|cause| self.failed(cause))?;
        self.octets = facts.len();
        if damaged > 0 || (!titled && self.octets > 0 && !torn) {
            self.set_aside(damaged)?;
            return self.write_anew();
        }
        if torn {
            // Nobody has relied upon the torn line. It gets an end, so that the next is one.
            self.pending.extend_from_slice(journal::SPOILED);
            self.pending.push(b'\n');
        }
        if !titled {
            let title = format!("{TITLE}{VERSION}");
            self.pending
                .extend_from_slice(&journal::line(title.as_bytes()));
            self.sync()?;
            return self.sync_directory();
        }
        // Its writer may have died before its sync.
        self.unsynced = true;
        self.sync()
    }

    /// Keeps a damaged file for a person to look at.
    fn set_aside(&mut self, damaged: usize) -> Result<(), StateError> {
        let mut aside = self.path.clone().into_os_string();
        aside.push(".damaged");
        tracing::warn!(
            file = %self.path.display(),
            aside = %Path::new(&aside).display(),
            lines = damaged,
            "the state is damaged: messages of the lines that are lost are fetched once more"
        );
        let copied = fs::copy(&self.path, &aside).map(|_| ());
        copied.map_err(|cause| self.failed(cause))
    }

    /// Afterwards the file has what is known and nothing else, or is as it was.
    fn write_anew(&mut self) -> Result<(), StateError> {
        let mut draft = self.path.clone().into_os_string();
        draft.push(".new");
        let written = self.write_draft(Path::new(&draft));
        let (file, octets) = written.map_err(|cause| self.failed(cause))?;
        self.file = file;
        self.octets = octets;
        self.pending.clear();
        self.unsynced = false;
        self.sync_directory()
    }

    fn write_draft(&self, draft: &Path) -> io::Result<(File, u64)> {
        match fs::remove_file(draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let file = open(draft, options.read(true).append(true))?;
        let mut out = BufWriter::new(file);
        for line in self.lines() {
            out.write_all(&line)?;
        }
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(draft, &self.path)?;
        let octets = file.metadata()?.len();
        Ok((file, octets))
    }

    fn sync_directory(&mut self) -> Result<(), StateError> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(|cause| self.failed(cause))
    }
}

/// What was found in a file.
struct Read {
    soundness: Soundness,
    titled: bool,
    newer: bool,
}

fn read(input: &mut impl io::BufRead, seen: &mut Seen) -> io::Result<Read> {
    let (mut titled, mut newer) = (false, false);
    let soundness = journal::read(input, |line| {
        let title = line.strip_prefix(TITLE.as_bytes());
        if let Some(version) = title {
            titled |= version == VERSION.as_bytes();
            newer |= version != VERSION.as_bytes();
            return true;
        }
        Record::parse(line).is_some_and(|record| seen.apply(&record))
    })?;
    Ok(Read {
        soundness,
        titled,
        newer,
    })
}

/// Locks it, with a little patience: a run that has just ended, or a process that is just being
/// started by it, lets go of it in a moment.
fn hold(lock: &File) -> rustix::io::Result<()> {
    let begun = Instant::now();
    loop {
        match flock(lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) if begun.elapsed() < LOCK_PATIENCE => {
                thread::sleep(LOCK_PATIENCE / 50);
            }
            held => return held,
        }
    }
}

fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    options.create(true).mode(0o600).open(path)
}

/// Reads octets as a state's file, as they are and with the checksums that make their lines ours,
/// and reads what is written of it again: for fuzzing.
///
/// # Panics
/// What is read again says something else.
#[cfg(feature = "testing")]
pub fn fuzz_state(octets: &[u8]) {
    let lines = octets.split(|&octet| octet == b'\n');
    let summed: Vec<u8> = lines.flat_map(journal::line).collect();
    for octets in [octets, &summed] {
        let mut seen = Seen::default();
        let _ = read(&mut &*octets, &mut seen).map(|found| found.soundness);
        let lines = seen.records().flat_map(|record| record.lines());
        let written: Vec<u8> = lines
            .flat_map(|line| journal::line(line.as_bytes()))
            .collect();
        let mut again = Seen::default();
        let found = read(&mut written.as_slice(), &mut again).map(|found| found.soundness.damaged);
        assert!(matches!(found, Ok(0)), "what is written makes sense");
        assert!(seen.entries().eq(again.entries()), "and says the same");
    }
}

#[cfg(test)]
mod tests;
