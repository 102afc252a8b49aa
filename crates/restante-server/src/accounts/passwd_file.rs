//! Dovecot's passwd-file: one account a line, read again whenever the file changes.

pub(super) mod entry;
pub(super) mod fields;
pub(super) mod location;
pub(super) mod owner;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, SystemTime},
};

use restante_maildrop::MailboxId;
use restante_sasl::scram::ScramHash;
use tokio::{runtime::Handle, time::Instant};
use zeroize::Zeroizing;

use self::{entry::Entry, owner::Owner};
use super::{
    Account, DirectoryError, Obstacle,
    authenticator::{ScramShape, ScramShapes},
    login_names,
};

/// How often the file is looked at, at most.
const CHECKED_EVERY: Duration = Duration::from_secs(1);
/// A file younger than this may still be being written; until then the accounts of the last
/// reading are served, so that nobody is unknown because an editor is half done.
const SETTLED_AFTER: Duration = Duration::from_secs(1);
/// A file that is written to without a pause is read after this time all the same.
const UNSETTLED_MAX: Duration = Duration::from_secs(5);
/// A million accounts have some 200 MB. More than this is not a passwd-file.
const FILE_OCTETS_MAX: u64 = 1 << 30;
/// How long a line may be; the rest of a longer one is skipped.
const LINE_OCTETS_MAX: usize = 64 * 1024;
/// How many problems one reading writes to the log.
const PROBLEMS_LOGGED_MAX: usize = 100;

/// Where a passwd-file is and whose mailboxes it may name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PasswdFileSettings {
    /// The file.
    pub path: PathBuf,
    /// The user id under which mailboxes are served; `None` accepts any. An entry with another
    /// one refuses the login: its files could not be read.
    pub uid: Option<u32>,
}

/// A passwd-file and what was read of it last.
pub struct PasswdFile {
    settings: PasswdFileSettings,
    /// Makes revisions that say nothing about the stored field.
    revision_key: [u8; 32],
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When the file was looked at last.
    checked: Option<Instant>,
    /// What it looked like when `entries` was read.
    stamp: Option<Stamp>,
    entries: Option<Arc<PasswdEntries>>,
    /// Since when the file is known to have changed without having been read.
    unsettled: Option<Instant>,
}

/// Tells one state of a file from another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stamp {
    device: u64,
    inode: u64,
    octets: u64,
    modified: (i64, i64),
}

/// The accounts of a passwd-file.
#[derive(Debug, Default)]
pub struct PasswdEntries {
    entries: HashMap<String, Entry>,
    /// Names that are not in lower case, by what they are in lower case.
    mixed_case: HashMap<String, String>,
    problems: Vec<Problem>,
    sha1: OnceLock<ScramSummary>,
    sha256: OnceLock<ScramSummary>,
}

/// What all accounts together say about SCRAM with one hash. Every connection asks before anybody
/// has logged in, so it is found out once for each reading of the file.
#[derive(Clone, Debug)]
struct ScramSummary {
    all_can_verify: bool,
    shapes: ScramShapes,
}

/// What a passwd-file holds at this moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PasswdSurvey {
    /// How many accounts, those included that nobody can log in to.
    pub accounts: usize,
    /// What needs a person, in the order of lines.
    pub problems: Vec<Problem>,
}

/// Something in a passwd-file that needs a person.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// The line, from 1; 0 if it is about the file as a whole.
    pub line: usize,
    /// The account, if the line has a usable name.
    pub account: Option<String>,
    /// What is wrong, in one clause. No secret, nothing of the password field.
    pub what: String,
    /// What to do about it, in one clause.
    pub remedy: String,
}

impl PasswdFile {
    /// A passwd-file that is read when it is first needed.
    ///
    /// # Errors
    /// The system gave no random octets.
    pub fn new(settings: PasswdFileSettings) -> io::Result<Self> {
        let mut revision_key = [0; 32];
        getrandom::fill(&mut revision_key)?;
        Ok(Self {
            settings,
            revision_key,
            state: Mutex::default(),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.settings.path
    }

    /// The first of these names that is an account's, after reading the file again if it has
    /// changed.
    ///
    /// # Errors
    /// [`DirectoryError::Temporary`] if the file is missing or unreadable: it may be on its way
    /// (R3206-AUTH-2).
    pub(super) async fn first_of(
        self: &Arc<Self>,
        names: &[String],
    ) -> Result<Option<Account>, DirectoryError> {
        let entries = self.entries().await?;
        let found: Vec<_> = names
            .iter()
            .filter_map(|name| entries.account(name))
            .collect();
        Ok(found.into_iter().next())
    }

    /// The first of these lower-cased names that is an account's, in whatever case.
    ///
    /// # Errors
    /// As [`first_of`](Self::first_of).
    pub(super) async fn first_alike(
        self: &Arc<Self>,
        names: &[String],
    ) -> Result<Option<Account>, DirectoryError> {
        let entries = self.entries().await?;
        let found: Vec<_> = names
            .iter()
            .filter_map(|name| entries.account_in_any_case(name))
            .collect();
        Ok(found.into_iter().next())
    }

    /// What the file holds, after reading it again if it has changed.
    async fn entries(self: &Arc<Self>) -> Result<Arc<PasswdEntries>, DirectoryError> {
        match self.recent_entries() {
            Some(entries) => Ok(entries),
            None => {
                let file = Arc::clone(self);
                let refreshed = tokio::task::spawn_blocking(move || file.refresh()).await;
                refreshed.map_err(temporary)?.map_err(temporary)
            }
        }
    }

    /// Reads the file now, and says what is wrong with it. Blocks.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn problems(&self) -> io::Result<Vec<Problem>> {
        self.survey().map(|survey| survey.problems)
    }

    /// Reads the file now, and says what is in it. Blocks.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn survey(&self) -> io::Result<PasswdSurvey> {
        let (file, stamp) = open(&self.settings.path)?;
        let mut problems = Vec::new();
        if file.metadata()?.mode() & 0o004 != 0 {
            problems.push(Problem {
                line: 0,
                account: None,
                what: "everybody on this machine can read the passwords".to_owned(),
                remedy: "take the right away: `chmod o-r`".to_owned(),
            });
        }
        let entries = PasswdEntries::parse(&read(file, stamp)?, &self.settings, &self.revision_key);
        problems.extend(entries.problems);
        Ok(PasswdSurvey {
            accounts: entries.entries.len(),
            problems,
        })
    }

    /// Reads the file now, and says where the mailboxes are that can be used. Blocks.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn mailboxes(&self) -> io::Result<Vec<MailboxId>> {
        let (file, stamp) = open(&self.settings.path)?;
        let entries = PasswdEntries::parse(&read(file, stamp)?, &self.settings, &self.revision_key);
        let mailbox = |(name, entry): (&String, &Entry)| entry.account(name).mailbox.ok();
        Ok(entries.entries.iter().filter_map(mailbox).collect())
    }

    /// Reads the file now, and names the accounts. Blocks.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let (file, stamp) = open(&self.settings.path)?;
        let entries = PasswdEntries::parse(&read(file, stamp)?, &self.settings, &self.revision_key);
        Ok(entries.entries.keys().cloned().collect())
    }

    /// Whether every account can be verified with SCRAM and this hash.
    pub(super) fn can_verify_scram(self: &Arc<Self>, hash: ScramHash) -> bool {
        self.last_entries()
            .is_some_and(|entries| entries.can_verify_scram(hash))
    }

    pub(super) fn scram_shapes(self: &Arc<Self>, hash: ScramHash) -> ScramShapes {
        self.last_entries()
            .map_or_else(ScramShapes::ours, |entries| entries.scram_shapes(hash))
    }

    /// What was read last; if it may be out of date, it is read again meanwhile. Blocks for the
    /// first reading only.
    fn last_entries(self: &Arc<Self>) -> Option<Arc<PasswdEntries>> {
        if let Some(recent) = self.recent_entries() {
            return Some(recent);
        }
        let last = self.lock().entries.clone();
        match (last, Handle::try_current()) {
            (Some(last), Ok(runtime)) => {
                let file = Arc::clone(self);
                runtime.spawn_blocking(move || file.refresh());
                Some(last)
            }
            _ => self.refresh().ok(),
        }
    }

    /// What was read last, if the file was looked at a moment ago.
    fn recent_entries(&self) -> Option<Arc<PasswdEntries>> {
        let mut state = self.lock();
        let entries = state.entries.clone()?;
        if state
            .checked
            .is_some_and(|checked| checked.elapsed() < CHECKED_EVERY)
        {
            return Some(entries);
        }
        // Whoever comes next is served from memory while this one looks.
        state.checked = Some(Instant::now());
        None
    }

    /// Looks at the file and reads it if it has changed. Blocks.
    fn refresh(&self) -> io::Result<Arc<PasswdEntries>> {
        let looked = open(&self.settings.path);
        let mut state = self.lock();
        state.checked = Some(Instant::now());
        let (file, stamp) = match looked {
            Ok(looked) => looked,
            Err(error) => {
                *state = State::default();
                return Err(error);
            }
        };
        if let Some(entries) = state.entries.clone() {
            if state.stamp == Some(stamp) {
                return Ok(entries);
            }
            let unsettled = *state.unsettled.get_or_insert_with(Instant::now);
            if !is_settled(stamp) && unsettled.elapsed() < UNSETTLED_MAX {
                return Ok(entries);
            }
        }
        // Nobody waits for the lock while a long file is read.
        drop(state);
        let octets = read(file, stamp)?;
        let entries = PasswdEntries::parse(&octets, &self.settings, &self.revision_key);
        let entries = Arc::new(entries);
        self.log(&entries);
        let mut state = self.lock();
        (state.stamp, state.entries) = (Some(stamp), Some(Arc::clone(&entries)));
        state.unsettled = None;
        Ok(entries)
    }

    fn log(&self, entries: &PasswdEntries) {
        let file = self.settings.path.display().to_string();
        for problem in entries.problems.iter().take(PROBLEMS_LOGGED_MAX) {
            tracing::warn!(
                file,
                line = problem.line,
                account = problem.account,
                remedy = problem.remedy,
                "{}",
                problem.what
            );
        }
        if entries.problems.len() > PROBLEMS_LOGGED_MAX {
            tracing::warn!(
                file,
                problems = entries.problems.len(),
                "more problems not shown"
            );
        }
        tracing::info!(file, accounts = entries.entries.len(), "accounts read");
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What is behind it is replaced whole: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PasswdEntries {
    /// Reads a whole file. Any octets are taken; what cannot be used is skipped and becomes a
    /// [`Problem`]. `revision_key` is random and secret, so that revisions say nothing about the
    /// stored fields.
    #[must_use]
    pub fn parse(octets: &[u8], settings: &PasswdFileSettings, revision_key: &[u8; 32]) -> Self {
        let owner = Owner::new(settings.uid);
        let mut read = Self::default();
        for (index, line) in octets.split(|&octet| octet == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() || line.starts_with(b"#") || line.starts_with(b":") {
                continue;
            }
            read.add(index + 1, line, &owner, revision_key);
        }
        read
    }

    /// The account of that exact name; names compare octet by octet.
    #[must_use]
    pub fn account(&self, name: &str) -> Option<Account> {
        self.entries.get(name).map(|entry| entry.account(name))
    }

    /// The account whose name is this lower-cased one, in whatever case it is written.
    fn account_in_any_case(&self, lower: &str) -> Option<Account> {
        let mixed = || self.account(self.mixed_case.get(lower)?);
        self.account(lower).or_else(mixed)
    }

    /// What needs a person, in the order of lines.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn add(&mut self, number: usize, line: &[u8], owner: &Owner, revision_key: &[u8; 32]) {
        let mut problem = |account: Option<&str>, what: String, remedy: &str| {
            let (account, remedy) = (account.map(str::to_owned), remedy.to_owned());
            self.problems.push(Problem {
                line: number,
                account,
                what,
                remedy,
            });
        };
        if line.len() > LINE_OCTETS_MAX {
            let what = format!("line of {} octets is skipped", line.len());
            return problem(None, what, "check the line: a line end may be missing");
        }
        let name = line
            .split(|&octet| octet == b':')
            .next()
            .unwrap_or_default();
        let name = match str::from_utf8(name) {
            Ok(name) if login_names::is_possible(name) => name,
            _ => {
                let what = "name that no account can have; the line is skipped".to_owned();
                return problem(
                    None,
                    what,
                    "use UTF-8 without `/`, `..` and control characters",
                );
            }
        };
        if self.entries.contains_key(name) {
            let what = "account has a line already, which counts; this one is skipped".to_owned();
            return problem(Some(name), what, "remove one of the two lines");
        }
        let (entry, faults) = Entry::parse(name, line, owner, revision_key);
        for fault in faults {
            problem(Some(name), fault.what, &fault.remedy);
        }
        let lower = name.to_ascii_lowercase();
        if lower != name {
            self.mixed_case
                .entry(lower)
                .or_insert_with(|| name.to_owned());
        }
        self.entries.insert(name.to_owned(), entry);
    }

    fn can_verify_scram(&self, hash: ScramHash) -> bool {
        self.scram_summary(hash).all_can_verify
    }

    /// The shapes that accounts have: an unknown name must look like one of them.
    fn scram_shapes(&self, hash: ScramHash) -> ScramShapes {
        self.scram_summary(hash).shapes
    }

    fn scram_summary(&self, hash: ScramHash) -> ScramSummary {
        let summary = match hash {
            ScramHash::Sha1 => &self.sha1,
            ScramHash::Sha256 => &self.sha256,
        };
        let summary = summary.get_or_init(|| ScramSummary {
            all_can_verify: self.all_can_verify(hash),
            shapes: self.count_shapes(hash),
        });
        summary.clone()
    }

    fn all_can_verify(&self, hash: ScramHash) -> bool {
        let mut usable = self
            .entries
            .values()
            .filter(|entry| entry.has_password())
            .peekable();
        usable.peek().is_some() && usable.all(|entry| entry.can_verify_scram(hash))
    }

    fn count_shapes(&self, hash: ScramHash) -> ScramShapes {
        let mut counts = BTreeMap::<ScramShape, u64>::new();
        for shape in self
            .entries
            .values()
            .filter_map(|entry| entry.scram_shape(hash))
        {
            *counts.entry(shape).or_default() += 1;
        }
        ScramShapes::counted(counts)
    }
}

fn open(path: &Path) -> io::Result<(File, Stamp)> {
    // Opening a FIFO would block; a directory or device is no passwd-file either.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let stamp = Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        octets: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    };
    Ok((file, stamp))
}

fn read(file: File, stamp: Stamp) -> io::Result<Zeroizing<Vec<u8>>> {
    if stamp.octets > FILE_OCTETS_MAX {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "larger than 1 GiB",
        ));
    }
    let mut octets = Zeroizing::new(Vec::new());
    // One octet of room more: nothing is moved in memory, and so left behind unwiped.
    octets.reserve_exact(usize::try_from(stamp.octets).unwrap_or_default() + 1);
    file.take(stamp.octets).read_to_end(&mut octets)?;
    Ok(octets)
}

/// Whether the file has not been written to for a moment. A time in the future says nothing.
fn is_settled(stamp: Stamp) -> bool {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let (seconds, nanoseconds) = stamp.modified;
    let modified = Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
        + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or_default());
    now.checked_sub(modified)
        .is_none_or(|age| age >= SETTLED_AFTER)
}

fn temporary(error: impl std::error::Error + Send + Sync + 'static) -> DirectoryError {
    DirectoryError::Temporary(Box::new(error))
}

impl fmt::Debug for PasswdFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswdFile")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
