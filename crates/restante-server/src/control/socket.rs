//! The server's side of the control socket.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    future::Future,
    io::{self, Read as _},
    os::{
        fd::AsRawFd as _,
        unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, PermissionsExt as _},
        unix::net::UnixListener as StdListener,
    },
    path::{Path, PathBuf},
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    Answer, CONVERSATIONS_MAX, Inheritance, LINE_OCTETS_MAX, LINE_TIMEOUT, LOCK_NAME, LineError,
    Reply, Request, SOCKET_NAME, decode, descriptors, descriptors::DESCRIPTORS_MAX, encode,
};

/// Where the socket gets its name and its mode before others can see it.
const DRAFT_NAME: &str = "control.new";

/// What `sun_path` holds, its NUL apart (unix(7)).
const PATH_OCTETS_MAX: usize = 107;

/// How long accepting rests when the system has no descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How long a successor may take to make itself ready.
const SUCCESSION_TIMEOUT: Duration = Duration::from_secs(600);

/// A control socket that listens. Dropping it takes it away.
#[derive(Debug)]
pub struct ControlSocket {
    listener: StdListener,
    route: Route,
    /// Whether it has not got its name yet.
    is_draft: bool,
    hold: Arc<Hold>,
}

/// A server's hold on its data directory.
#[derive(Debug)]
struct Hold {
    /// The data directory.
    data: PathBuf,
    /// Locked as long as this lives, or a successor's.
    lock: File,
    /// Whether the socket of that name is ours: no predecessor's any more, and not yet a
    /// successor's.
    has_name: AtomicBool,
}

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Another server runs on this data directory.
    #[error("another server runs on `{}`{}", data.display(), shown(*process))]
    InUse {
        /// The data directory.
        data: PathBuf,
        /// The other server's process id, if it has left one.
        process: Option<u32>,
    },
    /// The socket, or what belongs to it, could not be made.
    #[error("cannot make `{}`", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl ControlSocket {
    /// Makes the socket in the data directory `data`, which must exist, in place of one that a
    /// dead server has left. From now on it can be connected to; [`ControlSocket::serve`] answers.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn bind(data: &Path) -> Result<Self, ControlError> {
        let lock = lock(data)?;
        let mut socket = Self::draft(data, lock)?;
        socket.publish()?;
        Ok(socket)
    }

    /// As [`ControlSocket::bind`], with the lock of the server that still runs: nobody reaches
    /// this socket before [`ControlSocket::publish`].
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn inherit(data: &Path, inheritance: &Inheritance) -> Result<Self, ControlError> {
        let lock = inheritance.lock.try_clone();
        let lock = lock.map_err(|cause| ControlError::File {
            path: data.join(LOCK_NAME),
            cause,
        })?;
        Self::draft(data, lock)
    }

    /// Puts it in the place of the one that the predecessor has left, at once: whoever connects
    /// finds one or the other.
    ///
    /// # Errors
    /// [`ControlError`]; it can be tried again.
    pub fn publish(&mut self) -> Result<(), ControlError> {
        let failed = |cause| ControlError::File {
            path: self.hold.socket(),
            cause,
        };
        let draft = self.route.to_file(DRAFT_NAME);
        let name = self.route.to_file(SOCKET_NAME);
        if fs::rename(draft.join(SOCKET_NAME), &name).is_err() {
            // Two who wanted to take over at once have the same draft.
            self.listener = listen(&self.route).map_err(failed)?;
            fs::rename(draft.join(SOCKET_NAME), &name).map_err(failed)?;
        }
        self.is_draft = false;
        self.hold.has_name.store(true, Ordering::SeqCst);
        // What stays of it is taken away by the next server.
        let _ = fs::remove_dir(&draft);
        self.hold.name_process()
    }

    fn draft(data: &Path, lock: File) -> Result<Self, ControlError> {
        let failed = |cause| ControlError::File {
            path: data.join(SOCKET_NAME),
            cause,
        };
        let route = Route::to(data).map_err(failed)?;
        let listener = listen(&route).map_err(failed)?;
        Ok(Self {
            listener,
            route,
            is_draft: true,
            hold: Arc::new(Hold {
                data: data.to_owned(),
                lock,
                has_name: AtomicBool::new(false),
            }),
        })
    }

    /// Answers each request with what `answer` makes of it, until the future is dropped.
    ///
    /// Needs a Tokio runtime with I/O and time.
    ///
    /// # Errors
    /// The runtime refused the socket.
    pub async fn serve<A, F, R>(self, answer: A) -> io::Result<()>
    where
        A: Fn(Request) -> F + Clone + Send + 'static,
        F: Future<Output = R> + Send + 'static,
        R: Into<Answer>,
    {
        let listener = UnixListener::from_std(self.listener.try_clone()?)?;
        let places = Arc::new(Semaphore::new(CONVERSATIONS_MAX));
        let mut conversations = JoinSet::new();
        loop {
            while conversations.try_join_next().is_some() {}
            let place = Arc::clone(&places).acquire_owned();
            let place = place.await.map_err(io::Error::other)?;
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (answer, hold) = (answer.clone(), Arc::clone(&self.hold));
                    conversations.spawn(async move {
                        converse(stream, answer, &hold).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "control socket does not accept, trying on");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Hold {
    fn socket(&self) -> PathBuf {
        self.data.join(SOCKET_NAME)
    }

    /// Says in the lock file whose it is.
    fn name_process(&self) -> Result<(), ControlError> {
        let text = format!("{}\n", process::id());
        let written = self.lock.set_len(0);
        // The place in the open file belongs to the predecessor too.
        let written = written.and_then(|()| self.lock.write_all_at(text.as_bytes(), 0));
        written.map_err(|cause| ControlError::File {
            path: self.data.join(LOCK_NAME),
            cause,
        })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // What stays is replaced by the next server.
        if self.hold.has_name.load(Ordering::SeqCst) {
            let _ = fs::remove_file(self.hold.socket());
        }
        if self.is_draft {
            let draft = self.route.to_file(DRAFT_NAME);
            let _ = fs::remove_file(draft.join(SOCKET_NAME));
            let _ = fs::remove_dir(draft);
        }
    }
}

/// A way to the files of a directory that is short enough for a socket's address.
#[derive(Debug)]
pub(super) struct Route {
    base: PathBuf,
    /// What `base` names, if it names a descriptor.
    _directory: Option<File>,
}

impl Route {
    pub(super) fn to(directory: &Path) -> io::Result<Self> {
        let longest = directory.join(DRAFT_NAME).join(SOCKET_NAME);
        if longest.as_os_str().len() <= PATH_OCTETS_MAX {
            return Ok(Self {
                base: directory.to_owned(),
                _directory: None,
            });
        }
        let opened = File::open(directory)?;
        Ok(Self {
            base: format!("/proc/self/fd/{}", opened.as_raw_fd()).into(),
            _directory: Some(opened),
        })
    }

    pub(super) fn to_file(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }
}

fn lock(data: &Path) -> Result<File, ControlError> {
    let path = data.join(LOCK_NAME);
    let failed = |cause| ControlError::File {
        path: path.clone(),
        cause,
    };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Without it the message says a little less.
            let _ = (&file).take(16).read_to_string(&mut text);
            return Err(ControlError::InUse {
                data: data.to_owned(),
                process: text.trim().parse().ok(),
            });
        }
        Err(TryLockError::Error(cause)) => return Err(failed(cause)),
    }
    Ok(file)
}

/// Listens under a name that nobody else can reach; it gets the real name when its mode is right:
/// at no moment could another user connect.
fn listen(route: &Route) -> io::Result<StdListener> {
    let draft = route.to_file(DRAFT_NAME);
    let socket = draft.join(SOCKET_NAME);
    let absent = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    };
    // What a killed process has left behind.
    fs::remove_file(&socket).or_else(absent)?;
    fs::remove_dir(&draft).or_else(absent)?;
    DirBuilder::new().mode(0o700).create(&draft)?;
    let listener = StdListener::bind(&socket)?;
    listener.set_nonblocking(true)?;
    fs::set_permissions(&socket, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers one command's lines until it has said all.
async fn converse<A, F, R>(stream: UnixStream, answer: A, hold: &Hold)
where
    A: Fn(Request) -> F,
    F: Future<Output = R>,
    R: Into<Answer>,
{
    // The socket's mode says so already; nobody else ever gets our sockets.
    match stream.peer_cred() {
        Ok(peer) if is_welcome(peer.uid()) => {}
        _ => return,
    }
    let mut stream = BufReader::new(stream);
    let mut patience = Some(LINE_TIMEOUT);
    while let Some(line) = read_line(&mut stream, patience).await {
        let is_whole = line.ends_with(b"\n");
        let request = match is_whole {
            true => decode(&line),
            false => Err(LineError::Malformed),
        };
        let Answer {
            mut reply,
            mut descriptors,
        } = match request {
            Ok(request) => answer(request).await.into(),
            Err(error) => Reply::refused(error).into(),
        };
        match &reply {
            Reply::HandingOver { .. } => match hold.lock.try_clone() {
                Ok(lock) if descriptors.len() < DESCRIPTORS_MAX => {
                    descriptors.insert(0, lock.into());
                    patience = Some(SUCCESSION_TIMEOUT);
                }
                _ => {
                    reply = Reply::unavailable("too many sockets, or no descriptor is left");
                    descriptors.clear();
                }
            },
            Reply::SteppedAside => {
                hold.has_name.store(false, Ordering::SeqCst);
                // As long as we live the successor may ask what we do.
                patience = None;
            }
            _ => {}
        }
        let line = encode(reply);
        let sent = descriptors::send(stream.get_mut(), &line, &descriptors);
        if !matches!(timeout(LINE_TIMEOUT, sent).await, Ok(Ok(()))) || !is_whole {
            return;
        }
    }
}

/// The next line; `None` if nothing comes. Whoever says nothing, or goes, is not missed.
async fn read_line(
    stream: &mut BufReader<UnixStream>,
    patience: Option<Duration>,
) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    let mut bounded = stream.take(LINE_OCTETS_MAX as u64);
    let read = bounded.read_until(b'\n', &mut line);
    let read = match patience {
        Some(patience) => timeout(patience, read).await.ok()?,
        None => read.await,
    };
    matches!(read, Ok(1..)).then_some(line)
}

/// The user whose server this is, and root.
fn is_welcome(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

/// `, process 1234`, if it is known.
fn shown(process: Option<u32>) -> String {
    process.map_or_else(String::new, |process| format!(", process {process}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_and_root_are_welcome() {
        let own = rustix::process::geteuid().as_raw();
        assert!(is_welcome(own) && is_welcome(0));
        assert!(!is_welcome(own + 1));
    }
}
