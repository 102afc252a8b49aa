//! The server: accepts connections until it is told to stop, then lets running commands finish.

use std::{
    future::{Future, pending},
    io::{self, Write as _},
    net::{IpAddr, Shutdown, SocketAddr},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use restante_maildrop::Store;
use restante_proto::server::{Refusal, refusal};
use tokio::{
    net::{TcpListener, TcpStream},
    select,
    sync::watch,
    task::{JoinError, JoinSet},
    time::{Instant, sleep, timeout},
};

use crate::{
    Listeners, ServerSettings, Tls, Transport,
    accounts::Authenticator,
    clock::Clock,
    connection::Connection,
    limits::{ConnectionCounts, ConnectionSlot, Occupancy, OverLimit},
    sessions::Sessions,
};

/// How long accepting rests when the system has no descriptor or memory left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Refused connections are reported together, this often at most.
const REFUSALS_REPORTED_EVERY: Duration = Duration::from_secs(10);

/// A POP3 server over a store.
pub struct Server<S: Store> {
    listeners: Listeners,
    shared: Arc<Shared<S>>,
}

/// Why a server could not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// A port for implicit TLS was taken, but there is no certificate.
    #[error("no certificate for the TLS port {0}")]
    NoCertificate(SocketAddr),
    /// The runtime refused a listening socket.
    #[error("cannot accept on {address}")]
    Socket {
        /// Where it listens.
        address: SocketAddr,
        /// What the runtime said.
        #[source]
        cause: io::Error,
    },
}

/// What all connections of a server share.
pub(crate) struct Shared<S: Store> {
    pub(crate) settings: ServerSettings,
    pub(crate) session_settings: Arc<restante_proto::server::Settings>,
    pub(crate) store: Arc<S>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) counts: Arc<ConnectionCounts>,
    pub(crate) sessions: Arc<Sessions>,
    /// Updates that have begun; they end even if their connection does not live to see it.
    pub(crate) updates: Arc<Occupancy>,
    /// The number of the last session, for the log.
    pub(crate) last_session: AtomicU64,
    pub(crate) refusals: Refusals,
}

/// Whether connections go on.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Phase {
    /// They do.
    Running,
    /// They end once the running command is done; new ones are refused.
    Draining,
    /// They end now.
    Stopped,
}

/// Tells one session, once, that the server is to stop.
pub(crate) struct Stop {
    phase: watch::Receiver<Phase>,
    told: bool,
}

impl Stop {
    fn new(phase: watch::Receiver<Phase>) -> Self {
        Self { phase, told: false }
    }

    /// Completes when the server is to stop, and never again after that.
    pub(crate) async fn requested(&mut self) {
        if self.told {
            return pending().await;
        }
        reached(&mut self.phase, Phase::Draining).await;
        self.told = true;
    }

    /// Whether the server is to stop; `true` once.
    pub(crate) fn take(&mut self) -> bool {
        let now = !self.told && *self.phase.borrow() != Phase::Running;
        self.told |= now;
        now
    }
}

impl<S: Store> Server<S> {
    /// A server over these parts. Without `tls` there is no STLS.
    ///
    /// The listeners already accept; [`Server::run`] serves what waits there.
    #[must_use]
    pub fn new(
        listeners: Listeners,
        settings: ServerSettings,
        store: Arc<S>,
        authenticator: Arc<Authenticator>,
        tls: Option<Arc<Tls>>,
    ) -> Self {
        let counts = ConnectionCounts::new(settings.limits);
        let sessions = Arc::new(Sessions::new(Arc::clone(&authenticator)));
        let shared = Shared {
            session_settings: Arc::new(settings.session.clone()),
            settings,
            store,
            authenticator,
            tls,
            counts,
            sessions,
            updates: Arc::default(),
            last_session: AtomicU64::new(0),
            refusals: Refusals::default(),
        };
        Self {
            listeners,
            shared: Arc::new(shared),
        }
    }

    /// Who is logged in, for whoever changes accounts.
    #[must_use]
    pub fn sessions(&self) -> Arc<Sessions> {
        Arc::clone(&self.shared.sessions)
    }

    /// Serves until `shutdown` completes, then until running commands are done or the drain
    /// timeout has passed, and until every update that has begun is done (PRJ-SEC-6).
    ///
    /// Needs a Tokio runtime with I/O and time. Dropping the future closes all connections
    /// without an update; updates that have begun go on as long as the runtime does.
    ///
    /// # Errors
    /// [`ServerError`], before the first connection is served.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ServerError> {
        let (phase, watched) = watch::channel(Phase::Running);
        let mut acceptors = JoinSet::new();
        for (transport, address, socket) in self.listeners.into_sockets() {
            if transport == Transport::Tls && self.shared.tls.is_none() {
                return Err(ServerError::NoCertificate(address));
            }
            let listener = TcpListener::from_std(socket)
                .map_err(|cause| ServerError::Socket { address, cause })?;
            let acceptor = Acceptor::new(Arc::clone(&self.shared), transport, watched.clone());
            acceptors.spawn(acceptor.run(listener));
        }
        shutdown.await;
        let drain_timeout = self.shared.settings.drain_timeout;
        tracing::info!(
            connections = self.shared.counts.total(),
            "stopping; running commands may finish"
        );
        phase.send_replace(Phase::Draining);
        let drained = timeout(drain_timeout, self.shared.counts.none_left()).await;
        phase.send_replace(Phase::Stopped);
        if drained.is_err() {
            let connections = self.shared.counts.total();
            tracing::warn!(connections, "connections cut off after the drain timeout");
        }
        while acceptors.join_next().await.is_some() {}
        if timeout(drain_timeout, self.shared.updates.none_left())
            .await
            .is_err()
        {
            tracing::error!("updates still running after the drain timeout");
        }
        Ok(())
    }
}

/// Accepts the connections of one listener and owns their tasks.
struct Acceptor<S: Store> {
    shared: Arc<Shared<S>>,
    transport: Transport,
    phase: watch::Receiver<Phase>,
    connections: JoinSet<()>,
}

impl<S: Store> Acceptor<S> {
    fn new(shared: Arc<Shared<S>>, transport: Transport, phase: watch::Receiver<Phase>) -> Self {
        Self {
            shared,
            transport,
            phase,
            connections: JoinSet::new(),
        }
    }

    async fn run(mut self, listener: TcpListener) {
        let mut phase = self.phase.clone();
        let mut failing = false;
        loop {
            select! {
                () = reached(&mut phase, Phase::Stopped) => return,
                Some(ended) = self.connections.join_next() => report_panic(ended),
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        failing = false;
                        self.begin(stream, peer);
                    }
                    // The peer was faster than we are.
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => {
                        if !failing {
                            tracing::error!(%error, "cannot accept connections, trying on");
                        }
                        failing = true;
                        // Without a pause this would be a loop at full speed (EMFILE, ENFILE).
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    fn begin(&mut self, stream: TcpStream, peer: SocketAddr) {
        let behind_proxy = self.shared.settings.is_proxy(peer.ip());
        // PROXY-CFG-2: before its header a proxy is told nothing.
        let refuse = |stream, why| match behind_proxy {
            true => drop(stream),
            false => refuse(stream, self.transport, why),
        };
        if *self.phase.borrow() != Phase::Running {
            return refuse(stream, Refusal::ShuttingDown);
        }
        let counts = &self.shared.counts;
        let admitted = match behind_proxy {
            true => counts.admit_from_proxy(),
            false => counts.admit(peer.ip()),
        };
        match admitted {
            Ok(slot) => self.serve(stream, peer, slot, behind_proxy),
            Err(over) => {
                self.shared.refusals.count(over, peer.ip());
                refuse(stream, Refusal::TooManyConnections);
            }
        }
    }

    fn serve(
        &mut self,
        stream: TcpStream,
        peer: SocketAddr,
        slot: ConnectionSlot,
        behind_proxy: bool,
    ) {
        let connection = Connection {
            shared: Arc::clone(&self.shared),
            peer,
            slot,
            clock: Clock::start(),
            stop: Stop::new(self.phase.clone()),
        };
        let transport = self.transport;
        match behind_proxy {
            true => self
                .connections
                .spawn(connection.serve_behind_proxy(stream, transport)),
            false => self.connections.spawn(connection.serve(stream, transport)),
        };
    }
}

/// Says why in one line, where a line can be said without a handshake, and closes (PRJ-STATE-3).
///
/// A fresh connection has room for the line; whoever made it so that it has not gets none.
pub(crate) fn refuse(stream: TcpStream, transport: Transport, why: Refusal) {
    if transport == Transport::Tls {
        return;
    }
    // Failure means that the peer is gone already.
    let _ = stream.into_std().and_then(|mut stream| {
        stream.write_all(&refusal(why))?;
        stream.shutdown(Shutdown::Write)
    });
}

/// Connections over a limit, reported so that a flood of them does not become one of log lines.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<Refused>);

#[derive(Debug, Default)]
struct Refused {
    count: u64,
    reported: Option<Instant>,
}

impl Refusals {
    pub(crate) fn count(&self, over: OverLimit, peer: IpAddr) {
        // Nothing under the lock panics; a poisoned count would still be one.
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refused.count += 1;
        let now = Instant::now();
        let rest = REFUSALS_REPORTED_EVERY;
        if refused
            .reported
            .is_none_or(|reported| now >= reported + rest)
        {
            let limit = match over {
                OverLimit::Total => "connections",
                OverLimit::Address => "connections_per_address",
            };
            tracing::warn!(limit, %peer, count = refused.count, "connections refused, the last from");
            *refused = Refused {
                count: 0,
                reported: Some(now),
            };
        }
    }
}

/// Completes when the server is in `phase` or beyond.
async fn reached(watched: &mut watch::Receiver<Phase>, phase: Phase) {
    // An error means that the server is gone, which is beyond everything.
    let _ = watched.wait_for(|&now| now >= phase).await;
}

/// Errors that `accept` passes on from a connection that is gone again (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
    )
}

/// A panic is our bug; it ends one session, and the store's lease with it.
fn report_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(error = error.to_string(), "a session panicked");
    }
}

#[cfg(test)]
mod tests {
    use restante_maildrop::memory::MemoryStore;
    use secrecy::SecretBox;

    use super::*;
    use crate::accounts::{AuthenticatorSettings, Directory, PasswdFile, PasswdFileSettings};

    /// Accounts of which there are none.
    fn nobody() -> Arc<Authenticator> {
        let path = "/nonexistent".into();
        let file = PasswdFile::new(PasswdFileSettings { path, uid: None }).unwrap();
        let directory = Directory::PasswdFile(Arc::new(file));
        let settings = AuthenticatorSettings::new(SecretBox::new(Box::new([0; 32])));
        Arc::new(Authenticator::new(directory, settings).unwrap())
    }

    // Each idle connection is one such future; what else it costs are the sockets and TLS.
    #[tokio::test]
    async fn prj_sec_1_a_waiting_connection_takes_little_memory() {
        let any = "127.0.0.1:0".parse().unwrap();
        let listeners = Listeners::bind(&[any], &[]).unwrap();
        let (_, address) = listeners.local_addresses().next().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let store = Arc::new(MemoryStore::new());
        let settings = ServerSettings::default();
        let server = Server::new(listeners, settings, store, nobody(), None);
        let (_phase, watched) = watch::channel(Phase::Running);
        let connection = Connection {
            shared: Arc::clone(&server.shared),
            peer: address,
            slot: server.shared.counts.admit(address.ip()).unwrap(),
            clock: Clock::start(),
            stop: Stop::new(watched),
        };
        let future = connection.serve(stream, Transport::Plain);
        assert!(size_of_val(&future) <= 4096, "{}", size_of_val(&future));
    }
}
