//! A plan of failures for a disk, and a trace of what was asked of it.

use std::{
    fmt, io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::io::Errno;

use super::{Call, Facts, NameAt};

/// When calls fail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// None does; they are only traced.
    Never,
    /// The call of this index (from 0) fails, all others work.
    Once(u64),
    /// The call of this index (from 0) fails, and every call after it.
    From(u64),
}

/// What a disk takes, whatever the plan of failures says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Room {
    /// Everything.
    #[default]
    Plenty,
    /// Nothing new is made or written (`ENOSPC`); what is there can be renamed and removed.
    Full,
    /// The same, with `EDQUOT`.
    OverQuota,
    /// The same, until a file is removed.
    OverQuotaTillUnlink,
    /// Nothing is changed at all (`EROFS`).
    ReadOnly,
}

/// A disk's plan of failures and the trace of its calls.
#[derive(Debug)]
pub struct Faults {
    fault: Mutex<Fault>,
    errno: Errno,
    passed: Mutex<Vec<Passed>>,
    oddities: Mutex<Oddities>,
}

/// What a disk does that is no failure of the n-th call, but that programs do not expect.
#[derive(Debug, Default)]
struct Oddities {
    bad: Vec<(Call, String, Errno)>,
    acts: Vec<Act>,
    watcher: Option<Watcher>,
    grain: i64,
    ahead: i64,
    overlooked: Vec<Vec<u8>>,
    cold: bool,
    strange_inodes: bool,
    obeyed_modes: bool,
    room: Room,
}

/// What happens before a call.
struct Act {
    call: Call,
    name: String,
    act: Box<dyn FnOnce() + Send>,
}

/// What looks on at each call.
#[derive(Clone)]
struct Watcher(Arc<dyn Fn() + Send + Sync>);

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watcher")
    }
}

impl fmt::Debug for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "before {:?} of {}", self.call, self.name)
    }
}

/// One call that a disk was asked for.
#[derive(Clone, Debug)]
pub struct Passed {
    /// What was asked.
    pub call: Call,
    /// The file or directory it concerned, as the kernel knew it before the call.
    pub path: PathBuf,
    /// The new name of a link or rename.
    pub to: Option<PathBuf>,
    /// Whether the plan let it fail.
    pub failed: bool,
}

impl Faults {
    /// Calls that fail do so with `EIO`.
    #[must_use]
    pub fn input_output(fault: Fault) -> Self {
        Self::new(fault, Errno::IO)
    }

    /// Calls that fail do so with `ENOSPC`.
    #[must_use]
    pub fn no_space(fault: Fault) -> Self {
        Self::new(fault, Errno::NOSPC)
    }

    /// Calls that fail do so with `EPERM`.
    #[must_use]
    pub fn not_permitted(fault: Fault) -> Self {
        Self::new(fault, Errno::PERM)
    }

    /// How many calls were asked for so far, failed ones included.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.passed().len() as u64
    }

    /// How many calls of this kind were asked for so far.
    #[must_use]
    pub fn count_of(&self, call: Call) -> usize {
        self.passed().iter().filter(|one| one.call == call).count()
    }

    /// All calls so far, in order.
    #[must_use]
    pub fn trace(&self) -> Vec<Passed> {
        self.passed().clone()
    }

    /// From now on calls fail when `fault` says, counted from now.
    pub fn plan(&self, fault: Fault) {
        self.restart();
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Forgets the trace and counts from 0 again.
    pub fn restart(&self) {
        self.passed().clear();
    }

    /// Lets times of files have this grain, as FAT's have one of two seconds: changes within it
    /// leave no trace.
    pub fn set_grain(&self, grain: Duration) {
        self.oddities().grain = nanoseconds(grain);
    }

    /// Lets the file system's own clock, as [`Disk::touch`](super::Disk::touch) shows it, be
    /// ahead of what it has written so far: so much time has passed.
    pub fn set_ahead(&self, ahead: Duration) {
        self.oddities().ahead = nanoseconds(ahead);
    }

    /// Lets the next listing of a directory miss the entry `name`, as it may when another program
    /// renames files meanwhile.
    pub fn overlook_once(&self, name: &[u8]) {
        self.oddities().overlooked.push(name.to_vec());
    }

    /// Lets nothing be in memory, so that all reading has to wait for the disk.
    pub fn set_cold(&self, cold: bool) {
        self.oddities().cold = cold;
    }

    /// Lets directories tell other inodes than files have, as some stacked file systems do.
    pub fn set_strange_inodes(&self, strange: bool) {
        self.oddities().strange_inodes = strange;
    }

    /// Lets each call of this kind fail that concerns a file of this name.
    pub fn spoil(&self, call: Call, name: &str, errno: Errno) {
        self.oddities().bad.push((call, name.to_owned(), errno));
    }

    /// Lets the files be good again that were spoilt.
    pub fn heal(&self) {
        self.oddities().bad.clear();
    }

    /// Lets `act` happen, once, right before a call of this kind that concerns a file of this
    /// name: what another thread or program may do at that moment.
    pub fn before(&self, call: Call, name: &str, act: impl FnOnce() + Send + 'static) {
        self.oddities().acts.push(Act {
            call,
            name: name.to_owned(),
            act: Box::new(act),
        });
    }

    /// Lets `look` look on, right before each call.
    pub fn watch(&self, look: impl Fn() + Send + Sync + 'static) {
        self.oddities().watcher = Some(Watcher(Arc::new(look)));
    }

    /// Lets files that nobody may read be unreadable to root too.
    pub fn obey_modes(&self) {
        self.oddities().obeyed_modes = true;
    }

    /// Lets the disk have this much room from now on.
    pub fn set_room(&self, room: Room) {
        self.oddities().room = room;
    }

    pub(super) fn takes_new(&self, at: NameAt<'_>) -> io::Result<()> {
        let missing = path_of(at).symlink_metadata().is_err();
        let refused = self.oddities().room.refuses(Call::CreateNew);
        refused
            .filter(|_| missing)
            .map_or(Ok(()), |errno| Err(errno.into()))
    }

    pub(super) fn obeys_modes(&self) -> bool {
        self.oddities().obeyed_modes
    }

    pub(super) fn has_strange_inodes(&self) -> bool {
        self.oddities().strange_inodes
    }

    pub(super) fn is_cold(&self) -> bool {
        self.oddities().cold
    }

    pub(super) fn told(&self, mut facts: Facts) -> Facts {
        let grain = self.oddities().grain.max(1);
        for time in [&mut facts.modified, &mut facts.changed] {
            *time -= time.rem_euclid(grain);
        }
        facts
    }

    pub(super) fn touched(&self) -> Option<Duration> {
        let ahead = u64::try_from(self.oddities().ahead).ok()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        (ahead > 0).then(|| now + Duration::from_nanos(ahead))
    }

    pub(super) fn overlooks(&self, name: &[u8]) -> bool {
        let mut oddities = self.oddities();
        let found = oddities.overlooked.iter().position(|one| one == name);
        found.map(|at| oddities.overlooked.remove(at)).is_some()
    }

    fn oddities(&self) -> MutexGuard<'_, Oddities> {
        self.oddities.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn pass(
        &self,
        call: Call,
        at: NameAt<'_>,
        to: Option<NameAt<'_>>,
    ) -> io::Result<()> {
        let path = path_of(at);
        let watcher = self.oddities().watcher.clone();
        if let Some(Watcher(look)) = watcher {
            look();
        }
        if let Some(Act { act, .. }) = self.act_before(call, &path) {
            act();
        }
        let spoilt = self.spoilt(call, &path);
        let mut passed = self.passed();
        let failed = match self.fails(passed.len() as u64) {
            true => Some(self.errno),
            false => spoilt.or_else(|| self.oddities().refuses(call, &path)),
        };
        passed.push(Passed {
            call,
            path,
            to: to.map(path_of),
            failed: failed.is_some(),
        });
        failed.map_or(Ok(()), |errno| Err(errno.into()))
    }

    fn act_before(&self, call: Call, path: &Path) -> Option<Act> {
        let mut oddities = self.oddities();
        let mut acts = oddities.acts.iter();
        let at = acts.position(|act| act.call == call && path.ends_with(&act.name))?;
        Some(oddities.acts.remove(at))
    }

    fn spoilt(&self, call: Call, path: &Path) -> Option<Errno> {
        let oddities = self.oddities();
        let mut bad = oddities.bad.iter();
        let found = bad.find(|(one, name, _)| *one == call && path.ends_with(name));
        found.map(|(.., errno)| *errno)
    }

    pub(super) fn fails_next(&self) -> bool {
        self.fails(self.count())
    }

    fn new(fault: Fault, errno: Errno) -> Self {
        Self {
            fault: Mutex::new(fault),
            errno,
            passed: Mutex::default(),
            oddities: Mutex::default(),
        }
    }

    fn fails(&self, index: u64) -> bool {
        match *self.fault.lock().unwrap_or_else(PoisonError::into_inner) {
            Fault::Never => false,
            Fault::Once(at) => index == at,
            Fault::From(at) => index >= at,
        }
    }

    fn passed(&self) -> MutexGuard<'_, Vec<Passed>> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Oddities {
    fn refuses(&mut self, call: Call, path: &Path) -> Option<Errno> {
        if call == Call::Unlink && self.room == Room::OverQuotaTillUnlink {
            self.room = Room::Plenty;
        }
        // A name that is not there is looked for before anything is refused.
        let exists = call != Call::OpenAppend || path.symlink_metadata().is_ok();
        self.room.refuses(call).filter(|_| exists)
    }
}

impl Room {
    fn refuses(self, call: Call) -> Option<Errno> {
        let makes = matches!(
            call,
            Call::MakeDirectory | Call::CreateNew | Call::Write | Call::Link
        );
        let changes = matches!(
            call,
            Call::OpenAppend
                | Call::Truncate
                | Call::Adopt
                | Call::Touch
                | Call::RenameNoReplace
                | Call::RenameReplace
                | Call::Unlink
                | Call::RemoveDirectory
        );
        match self {
            Self::Plenty => None,
            Self::Full => makes.then_some(Errno::NOSPC),
            Self::OverQuota | Self::OverQuotaTillUnlink => makes.then_some(Errno::DQUOT),
            Self::ReadOnly => (makes || changes).then_some(Errno::ROFS),
        }
    }
}

fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// The path of an entry, from what the kernel knows of the descriptor.
fn path_of((at, name): NameAt<'_>) -> PathBuf {
    let link = format!("/proc/self/fd/{}", at.as_raw_fd());
    let mut path = match at.as_raw_fd() == rustix::fs::CWD.as_raw_fd() {
        true => PathBuf::new(),
        false => std::fs::read_link(link).unwrap_or_default(),
    };
    if !name.is_empty() {
        path.push(String::from_utf8_lossy(name).as_ref());
    }
    path
}
