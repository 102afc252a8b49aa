//! Bans outlive the process: the file `bans` in the data directory.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use restante_server::accounts::{Authenticator, BAN_RECORD_OCTETS_MAX, BanRecordError};
use tokio::{
    task::{AbortHandle, spawn_blocking},
    time::sleep,
};

use crate::private_file;

/// How old the file may be: what a process that is killed forgets.
const KEPT_EVERY: Duration = Duration::from_secs(60);

/// Where bans are kept, and how much of them is.
pub(super) struct BanFile {
    path: PathBuf,
    authenticator: Arc<Authenticator>,
    state: Mutex<State>,
}

enum State {
    /// Ours; it is as things were after so many changes. `None`: it is the last server's.
    Kept(Option<u64>),
    /// A successor keeps it now.
    HandedOver,
}

/// Why the file was of no use.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("it cannot be read")]
    File(#[from] io::Error),
    #[error(transparent)]
    Record(#[from] BanRecordError),
}

impl BanFile {
    /// That of the data directory `data`.
    pub(super) fn new(data: &Path, authenticator: Arc<Authenticator>) -> Self {
        Self {
            path: data.join("bans"),
            authenticator,
            state: Mutex::new(State::Kept(None)),
        }
    }

    /// Bans whoever was banned when the last server ended. A file that is damaged bans nobody.
    pub(super) fn restore(&self) {
        match self.try_restore() {
            Ok(0) => {}
            Ok(bans) => tracing::info!(bans, "bans of the time before go on"),
            Err(error) => {
                let path = self.path.display().to_string();
                let error = restante_server::log::causes(&error);
                tracing::error!(path, error, "bans of the time before are forgotten");
            }
        }
    }

    fn try_restore(&self) -> Result<usize, Unusable> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            file => file?,
        };
        let mut record = Vec::new();
        // One more than there may be is too long.
        file.take(BAN_RECORD_OCTETS_MAX as u64 + 1)
            .read_to_end(&mut record)?;
        let restored = self
            .authenticator
            .restore_bans(&record, SystemTime::now())?;
        Ok(restored)
    }

    /// Keeps what has changed, again and again, until the task is aborted.
    pub(super) fn keep_up(self: &Arc<Self>) -> AbortHandle {
        let file = Arc::clone(self);
        let task = tokio::spawn(async move {
            loop {
                sleep(KEPT_EVERY).await;
                file.keep().await;
            }
        });
        task.abort_handle()
    }

    /// Keeps what has changed. Failure leaves what was kept before.
    pub(super) async fn keep(self: &Arc<Self>) {
        let file = Arc::clone(self);
        // An error means that it has panicked, and the hook has told of it.
        let _ = spawn_blocking(move || file.write(|kept| kept)).await;
    }

    /// The same for the last time: from now on a successor keeps them.
    pub(super) async fn hand_over(self: &Arc<Self>) {
        let file = Arc::clone(self);
        let _ = spawn_blocking(move || file.write(|_| State::HandedOver)).await;
    }

    fn write(&self, next: impl FnOnce(State) -> State) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State::Kept(kept) = *state else { return };
        let changes = self.authenticator.ban_changes();
        let mut now_kept = kept;
        if kept != Some(changes) {
            match self.replace() {
                Ok(()) => now_kept = Some(changes),
                Err(error) => {
                    let path = self.path.display().to_string();
                    tracing::error!(path, %error, "bans are not kept for the next start");
                }
            }
        }
        *state = next(State::Kept(now_kept));
    }

    fn replace(&self) -> io::Result<()> {
        match self.authenticator.ban_record(SystemTime::now()) {
            Some(record) => private_file::write(&self.path, &record),
            None => match fs::remove_file(&self.path) {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                removed => removed,
            },
        }
    }
}
