//! What the server knows beyond its process: bans and last logins, each in a file of the data
//! directory. They are kept by whoever accepts: a successor reads what its predecessor has written
//! last.

use std::{
    error::Error,
    fs::{self, File},
    io::{self, ErrorKind, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use restante_server::{
    LAST_LOGINS_OCTETS_MAX, LastLogin, LastLogins,
    accounts::{Authenticator, BAN_RECORD_OCTETS_MAX},
    last_login_in, log,
};
use tokio::{
    task::{AbortHandle, spawn_blocking},
    time::sleep,
};

use crate::private_file;

/// Something that is to outlive the process.
trait Memory: Send + Sync + 'static {
    /// The file's name.
    const NAME: &'static str;
    /// How long the file may be.
    const OCTETS_MAX: usize;
    /// How old the file may be: what a process that is killed forgets.
    const KEPT_EVERY: Duration;

    /// Changes whenever what is to be kept does, unless by time alone.
    fn changes(&self) -> u64;

    /// What is to be kept; `None` if there is nothing.
    fn record(&self) -> Option<Vec<u8>>;

    /// Takes in what was kept, and tells of it.
    fn restore(&self, record: &[u8]) -> Result<(), Box<dyn Error>>;
}

impl Memory for Authenticator {
    const NAME: &'static str = "bans";
    const OCTETS_MAX: usize = BAN_RECORD_OCTETS_MAX;
    const KEPT_EVERY: Duration = Duration::from_secs(60);

    fn changes(&self) -> u64 {
        self.ban_changes()
    }

    fn record(&self) -> Option<Vec<u8>> {
        self.ban_record(SystemTime::now())
    }

    fn restore(&self, record: &[u8]) -> Result<(), Box<dyn Error>> {
        let bans = self.restore_bans(record, SystemTime::now())?;
        if bans > 0 {
            tracing::info!(bans, "bans of the time before go on");
        }
        Ok(())
    }
}

impl Memory for LastLogins {
    const NAME: &'static str = "logins";
    const OCTETS_MAX: usize = LAST_LOGINS_OCTETS_MAX;
    /// Programs poll all the time: whatever they do, the file is written seldom.
    const KEPT_EVERY: Duration = Duration::from_secs(10 * 60);

    fn changes(&self) -> u64 {
        self.changes()
    }

    fn record(&self) -> Option<Vec<u8>> {
        Some(self.record()).filter(|record| !record.is_empty())
    }

    fn restore(&self, record: &[u8]) -> Result<(), Box<dyn Error>> {
        match self.restore(record) {
            0 => Ok(()),
            damaged => Err(format!("{damaged} lines are damaged, the others were read").into()),
        }
    }
}

/// The last login of `account` that was kept in the data directory `data`, if it can be read.
pub(crate) fn last_login(data: &Path, account: &str) -> Option<LastLogin> {
    let record = read(&data.join(LastLogins::NAME), LAST_LOGINS_OCTETS_MAX);
    last_login_in(&record.ok()??, account)
}

/// All that is kept.
pub(super) struct Kept {
    bans: Arc<KeptFile<Authenticator>>,
    logins: Arc<KeptFile<LastLogins>>,
}

impl Kept {
    /// In the data directory `data`.
    pub(super) fn new(
        data: &Path,
        authenticator: Arc<Authenticator>,
        logins: Arc<LastLogins>,
    ) -> Self {
        Self {
            bans: Arc::new(KeptFile::new(data, authenticator)),
            logins: Arc::new(KeptFile::new(data, logins)),
        }
    }

    /// Takes in what the last server has kept. A file that is damaged says nothing.
    pub(super) fn restore(&self) {
        self.bans.restore();
        self.logins.restore();
    }

    /// Keeps what has changed, again and again, until these are aborted.
    pub(super) fn keep_up(&self) -> [AbortHandle; 2] {
        [self.bans.keep_up(), self.logins.keep_up()]
    }

    /// Keeps what has changed.
    pub(super) async fn keep(&self) {
        self.bans.keep().await;
        self.logins.keep().await;
    }

    /// Keeps what has changed for the last time: from now on a successor does.
    pub(super) async fn hand_over(&self) {
        self.bans.hand_over().await;
        self.logins.hand_over().await;
    }
}

/// A file that holds a memory.
struct KeptFile<M> {
    path: PathBuf,
    memory: Arc<M>,
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
enum State {
    /// Ours; it is as things were after so many changes. `None`: it is the last server's.
    Ours(Option<u64>),
    /// A successor's.
    HandedOver,
}

impl<M: Memory> KeptFile<M> {
    fn new(data: &Path, memory: Arc<M>) -> Self {
        Self {
            path: data.join(M::NAME),
            memory,
            state: Mutex::new(State::Ours(None)),
        }
    }

    fn restore(&self) {
        let restored = match read(&self.path, M::OCTETS_MAX) {
            Ok(None) => Ok(()),
            Ok(Some(record)) => self.memory.restore(&record),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = restored {
            let path = self.path.display().to_string();
            let error = log::causes(&*error);
            tracing::error!(path, error, "what was kept of the time before is not known");
        }
    }

    fn keep_up(self: &Arc<Self>) -> AbortHandle {
        let file = Arc::clone(self);
        let task = tokio::spawn(async move {
            loop {
                sleep(M::KEPT_EVERY).await;
                file.keep().await;
            }
        });
        task.abort_handle()
    }

    async fn keep(self: &Arc<Self>) {
        let file = Arc::clone(self);
        // An error means that it has panicked, and the hook has told of it.
        let _ = spawn_blocking(move || file.write(|kept| kept)).await;
    }

    async fn hand_over(self: &Arc<Self>) {
        let file = Arc::clone(self);
        let _ = spawn_blocking(move || file.write(|_| State::HandedOver)).await;
    }

    /// Writes what has changed. Failure leaves what was kept before.
    fn write(&self, next: impl FnOnce(State) -> State) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State::Ours(mut kept) = *state else {
            return;
        };
        let changes = self.memory.changes();
        if kept != Some(changes) {
            match self.replace() {
                Ok(()) => kept = Some(changes),
                Err(error) => {
                    let path = self.path.display().to_string();
                    tracing::error!(path, %error, "not kept for the next start");
                }
            }
        }
        *state = next(State::Ours(kept));
    }

    fn replace(&self) -> io::Result<()> {
        match self.memory.record() {
            Some(record) => private_file::write(&self.path, &record),
            None => match fs::remove_file(&self.path) {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                removed => removed,
            },
        }
    }
}

/// A file that need not be there; one that is too long is none of ours.
fn read(path: &Path, octets_max: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut record = Vec::new();
    file.take(octets_max as u64 + 1).read_to_end(&mut record)?;
    match record.len() <= octets_max {
        true => Ok(Some(record)),
        false => Err(io::Error::new(ErrorKind::InvalidData, "it is too long")),
    }
}
