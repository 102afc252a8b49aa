//! The server's side of the control socket.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    future::Future,
    io::{self, Read as _, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
        unix::net::UnixListener as StdListener,
    },
    path::{Path, PathBuf},
    process,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    CONVERSATIONS_MAX, LINE_OCTETS_MAX, LINE_TIMEOUT, LOCK_NAME, LineError, Reply, Request,
    SOCKET_NAME, decode, encode,
};

/// Where the socket gets its name and its mode before others can see it.
const DRAFT_NAME: &str = "control.new";

/// What `sun_path` holds, its NUL apart (unix(7)).
const PATH_OCTETS_MAX: usize = 107;

/// How long accepting rests when the system has no descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A control socket that listens. Dropping it takes it away.
#[derive(Debug)]
pub struct ControlSocket {
    listener: StdListener,
    path: PathBuf,
    /// Locked as long as this lives.
    _lock: File,
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
        let failed = |name: &str| {
            let path = data.join(name);
            move |cause| ControlError::File { path, cause }
        };
        let lock = lock(data)?;
        let route = Route::to(data).map_err(failed(SOCKET_NAME))?;
        let listener = listen(&route).map_err(failed(SOCKET_NAME))?;
        Ok(Self {
            listener,
            path: data.join(SOCKET_NAME),
            _lock: lock,
        })
    }

    /// Answers each request with what `answer` makes of it, until the future is dropped.
    ///
    /// Needs a Tokio runtime with I/O and time.
    ///
    /// # Errors
    /// The runtime refused the socket.
    pub async fn serve<A, F>(self, answer: A) -> io::Result<()>
    where
        A: Fn(Request) -> F + Clone + Send + 'static,
        F: Future<Output = Reply> + Send + 'static,
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
                    let answer = answer.clone();
                    conversations.spawn(async move {
                        converse(stream, answer).await;
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

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // The lock says that it is ours. What stays is replaced by the next server.
        let _ = fs::remove_file(&self.path);
    }
}

/// A way to the files of a directory that is short enough for a socket's address.
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
    let mut file = OpenOptions::new()
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
    file.set_len(0).map_err(failed)?;
    writeln!(file, "{}", process::id()).map_err(failed)?;
    Ok(file)
}

/// Listens under a name that nobody else can reach, and gives it the real name when its mode is
/// right: at no moment could another user connect.
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
    fs::rename(&socket, route.to_file(SOCKET_NAME))?;
    fs::remove_dir(&draft)?;
    Ok(listener)
}

/// Answers one command's lines until it has said all.
async fn converse<A, F>(mut stream: UnixStream, answer: A)
where
    A: Fn(Request) -> F,
    F: Future<Output = Reply>,
{
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut reader).take(LINE_OCTETS_MAX as u64);
        let read = timeout(LINE_TIMEOUT, bounded.read_until(b'\n', &mut line));
        // Whoever says nothing, or goes, is not missed.
        let Ok(Ok(1..)) = read.await else { return };
        let is_whole = line.ends_with(b"\n");
        let request = match is_whole {
            true => decode(&line),
            false => Err(LineError::Malformed),
        };
        let reply = match request {
            Ok(request) => answer(request).await,
            Err(error) => Reply::refused(error),
        };
        let written = timeout(LINE_TIMEOUT, writer.write_all(&encode(reply))).await;
        if !is_whole || !matches!(written, Ok(Ok(()))) {
            return;
        }
    }
}

/// `, process 1234`, if it is known.
fn shown(process: Option<u32>) -> String {
    process.map_or_else(String::new, |process| format!(", process {process}"))
}
