//! A server takes the place of the one that runs, and nobody who connects is refused.
//!
//! ```text
//! successor                                running server
//! → hand-over
//!                                          ← handing-over, with its lock and its sockets
//! makes itself ready: configuration,       accepts and serves as before
//! rights, sandbox, certificates …
//! → step-aside
//!                                          accepts no more; its sessions go on (drain)
//!                                          ← stepped-aside
//! publishes its control socket, accepts    answers on this connection until it has ended
//! ```
//!
//! Whatever fails before `step-aside` leaves the running server as it was: a duplicate of a socket
//! that is closed again takes nothing away. Connections that come between the two wait in the
//! sockets' queues, which both have. The lock is one open file that both hold: it is never free,
//! and there is no moment at which both accept.
//!
//! A server whose sessions go on is told what is told its successor. It may end later than the one
//! after it: so the connection to it is handed on too.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    net::TcpListener,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{fs::MetadataExt as _, net::UnixStream as StdStream},
    },
    path::Path,
    process,
};

use rustix::{
    io::Errno,
    net::{
        RecvFlags, recv,
        sockopt::{socket_acceptconn, socket_peercred},
    },
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    sync::Mutex,
    time::timeout,
};

use super::{
    Handed, LINE_OCTETS_MAX, LINE_TIMEOUT, LOCK_NAME, LineError, Reply, Request, client, decode,
    descriptors, encode,
};

/// What a running server has handed over.
#[derive(Debug)]
pub struct Inheritance {
    /// Sockets that listen, and what they are for.
    pub sockets: Vec<(Handed, TcpListener)>,
    /// Who handed them over and goes on to serve until told, and those before it.
    pub predecessors: Predecessors,
    ticket: u64,
    pub(super) lock: File,
}

/// The servers that ran before and have not ended, the last one first: as long as their sessions
/// go on, they answer.
#[derive(Debug, Default)]
pub struct Predecessors(Mutex<Vec<StdStream>>);

/// Why a running server's place could not be taken. It goes on as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TakeOverError {
    /// It cannot be reached, or went away.
    #[error("the running server cannot be reached")]
    Socket(#[source] io::Error),
    /// It said nothing in time.
    #[error("the running server does not answer")]
    Silent,
    /// It does not want to, or does not know how.
    #[error("the running server refused: {0}")]
    Refused(String),
    /// Its answer is not understood: it is of another version.
    #[error("the running server gave an answer that this version does not understand")]
    Answer(#[source] LineError),
    /// Its answer is of the wrong kind, or not what came with it.
    #[error("the running server handed over something else than it said: {0}")]
    Unexpected(&'static str),
    /// It is another user's.
    #[error("the running server belongs to the user with number {0}")]
    Foreign(u32),
}

/// Asks the server that runs on the data directory `data` for its sockets; `None` if there is
/// none. Blocks, for seconds at most. The server goes on until [`Inheritance::step_in`].
///
/// # Errors
/// [`TakeOverError`].
pub fn take_over(data: &Path) -> Result<Option<Inheritance>, TakeOverError> {
    let Some(stream) = client::connect(data).map_err(TakeOverError::Socket)? else {
        return Ok(None);
    };
    check_owner(&stream, data)?;
    let (line, descriptors) = hand_over(&stream).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => TakeOverError::Silent,
        _ => TakeOverError::Socket(error),
    })?;
    let (ticket, handed, others) = match decode(&line).map_err(TakeOverError::Answer)? {
        Reply::HandingOver {
            ticket,
            sockets,
            predecessors,
        } => (ticket, sockets, predecessors),
        Reply::Refused { why, .. } => return Err(TakeOverError::Refused(why)),
        _ => return Err(TakeOverError::Unexpected("another answer")),
    };
    let count = handed.len().saturating_add(others).saturating_add(1);
    if descriptors.len() != count {
        return Err(TakeOverError::Unexpected("another number of descriptors"));
    }
    let mut descriptors = descriptors.into_iter();
    let lock = descriptors.next().map(File::from);
    let lock = lock.filter(|lock| is_the_lock(lock, data));
    let lock = lock.ok_or(TakeOverError::Unexpected("not its lock"))?;
    let sockets = handed.into_iter().zip(&mut descriptors);
    let sockets = sockets.map(|(handed, socket)| Ok((handed, checked(handed, socket)?)));
    let sockets = sockets.collect::<Result<_, TakeOverError>>()?;
    let predecessors = std::iter::once(stream).chain(descriptors.map(StdStream::from));
    Ok(Some(Inheritance {
        sockets,
        predecessors: Predecessors(Mutex::new(predecessors.collect())),
        ticket,
        lock,
    }))
}

fn hand_over(mut stream: &StdStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    stream.set_read_timeout(Some(LINE_TIMEOUT))?;
    stream.set_write_timeout(Some(LINE_TIMEOUT))?;
    stream.write_all(&encode(Request::HandOver))?;
    descriptors::receive(stream)
}

/// Whose sockets root takes, it serves with: only those of the data directory's owner.
fn check_owner(stream: &StdStream, data: &Path) -> Result<(), TakeOverError> {
    let peer = socket_peercred(stream).map_err(|error| TakeOverError::Socket(error.into()))?;
    let peer = peer.uid.as_raw();
    let owner = fs::metadata(data).map_err(TakeOverError::Socket)?.uid();
    match peer == owner || peer == rustix::process::geteuid().as_raw() {
        true => Ok(()),
        false => Err(TakeOverError::Foreign(peer)),
    }
}

/// Whether it is the open lock file of this directory, and locked by nobody but who holds it.
fn is_the_lock(lock: &File, data: &Path) -> bool {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let here = fs::symlink_metadata(data.join(LOCK_NAME)).map(identity);
    let passed = lock.metadata().map(identity);
    let is_same = matches!((here, passed), (Ok(here), Ok(passed)) if here == passed);
    // The lock belongs to the open file, which is now ours too.
    is_same && !matches!(lock.try_lock(), Err(TryLockError::WouldBlock))
}

fn checked(handed: Handed, socket: OwnedFd) -> Result<TcpListener, TakeOverError> {
    let listens = socket_acceptconn(socket.as_fd()).unwrap_or(false);
    let socket = TcpListener::from(socket);
    let (ip, port) = (handed.asked.ip(), handed.asked.port());
    let is_there = socket
        .local_addr()
        .is_ok_and(|local| local.ip() == ip && (local.port() == port || port == 0));
    match listens && is_there {
        true => Ok(socket),
        false => Err(TakeOverError::Unexpected("a socket for another address")),
    }
}

impl Inheritance {
    /// Tells the running server to accept no more. From then on it is ours to accept, also if it
    /// has died meanwhile.
    ///
    /// Needs a Tokio runtime with I/O and time.
    ///
    /// # Errors
    /// [`TakeOverError`]: it may go on; end, without accepting.
    pub async fn step_in(&self) -> Result<(), TakeOverError> {
        let mut predecessors = self.predecessors.0.lock().await;
        let Some(running) = predecessors.first_mut() else {
            return Ok(());
        };
        let request = Request::StepAside {
            ticket: self.ticket,
            process: process::id(),
        };
        match ask(running, &request).await? {
            Some(Reply::SteppedAside) => Ok(()),
            Some(Reply::Refused { why, .. }) => Err(TakeOverError::Refused(why)),
            Some(_) => Err(TakeOverError::Unexpected("another answer")),
            None => {
                predecessors.remove(0);
                Ok(())
            }
        }
    }
}

impl Predecessors {
    /// Asks all of them something; the answers of those that have not ended.
    ///
    /// Needs a Tokio runtime with I/O and time.
    ///
    /// # Errors
    /// [`TakeOverError`]: what one of them did is not known.
    pub async fn ask(&self, request: &Request) -> Result<Vec<Reply>, TakeOverError> {
        let mut streams = self.0.lock().await;
        let (mut living, mut replies) = (Vec::new(), Vec::new());
        let mut failed = None;
        for mut stream in streams.drain(..) {
            match ask(&mut stream, request).await {
                Ok(None) => {}
                Ok(Some(reply)) => {
                    replies.push(reply);
                    living.push(stream);
                }
                // It is of no use again: answers would no longer fit to questions.
                Err(error) => failed = Some(error),
            }
        }
        *streams = living;
        failed.map_or(Ok(replies), Err)
    }

    /// Leaves them to a successor: two who ask on one connection would mix up the answers.
    pub async fn leave(&self) {
        self.0.lock().await.clear();
    }

    /// Duplicates of the connections to those that have not ended, for a successor.
    ///
    /// # Errors
    /// No descriptor is left.
    pub async fn lend(&self) -> io::Result<Vec<OwnedFd>> {
        let mut streams = self.0.lock().await;
        streams.retain(|stream| !has_ended(stream));
        let lend = |stream: &StdStream| stream.as_fd().try_clone_to_owned();
        streams.iter().map(lend).collect()
    }
}

/// One question and its answer; `None` if the server has ended.
async fn ask(stream: &mut StdStream, request: &Request) -> Result<Option<Reply>, TakeOverError> {
    let duplicate = stream.try_clone().map_err(TakeOverError::Socket)?;
    duplicate
        .set_nonblocking(true)
        .map_err(TakeOverError::Socket)?;
    let mut stream = UnixStream::from_std(duplicate).map_err(TakeOverError::Socket)?;
    let line = match timeout(LINE_TIMEOUT, exchange(&mut stream, request)).await {
        Err(_) => return Err(TakeOverError::Silent),
        Ok(Err(error)) if is_the_end(&error) => return Ok(None),
        Ok(Err(error)) => return Err(TakeOverError::Socket(error)),
        Ok(Ok(line)) => line,
    };
    decode(&line).map(Some).map_err(TakeOverError::Answer)
}

/// Whether nobody is at the other end. It says nothing unless asked.
fn has_ended(stream: &StdStream) -> bool {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    !matches!(recv(stream, &mut [0; 1], flags), Err(Errno::AGAIN))
}

async fn exchange(stream: &mut UnixStream, request: &Request) -> io::Result<Vec<u8>> {
    stream.write_all(&encode(request)).await?;
    let mut line = Vec::new();
    let mut bounded = BufReader::new(stream.take(LINE_OCTETS_MAX as u64));
    match bounded.read_until(b'\n', &mut line).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line),
    }
}

/// How it shows that a process has ended.
fn is_the_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotConnected
    )
}

#[cfg(test)]
mod tests;
