//! Accepts connections, as long as the server runs and the listener is wanted.

use std::{future::pending, io, net::SocketAddr, os::fd::AsFd as _, sync::Arc, time::Duration};

use restante_maildrop::Store;
use restante_proto::server::Refusal;
use tokio::{
    net::{TcpListener, TcpStream},
    select,
    sync::{oneshot, watch},
    task::{JoinError, JoinSet},
    time::sleep,
};

use super::{Change, Lent, Phase, ServerError, Shared, Stop, phase::reached, refusals::refuse};
use crate::{Listeners, Transport, clock::Clock, connection::Connection, listener::Listener};

/// How long accepting rests when the system has no descriptor or memory left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The listeners of a server and the tasks that accept there.
pub(super) struct Acceptors<S: Store> {
    shared: Arc<Shared<S>>,
    phase: watch::Receiver<Phase>,
    open: Vec<Open>,
    tasks: JoinSet<()>,
}

/// A listener that accepts until this is dropped.
struct Open {
    transport: Transport,
    asked: SocketAddr,
    socket: Arc<TcpListener>,
    _wanted: oneshot::Sender<()>,
    /// Completes when nothing is accepted any more.
    closed: oneshot::Receiver<()>,
}

impl<S: Store> Acceptors<S> {
    pub(super) fn new(shared: Arc<Shared<S>>, phase: watch::Receiver<Phase>) -> Self {
        Self {
            shared,
            phase,
            open: Vec::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Accepts at these too.
    pub(super) fn open(&mut self, listeners: Listeners) -> Result<(), ServerError> {
        let ready = listeners
            .into_sockets()
            .map(|listener| self.prepare(listener))
            .collect::<Result<Vec<_>, _>>()?;
        for (open, acceptor, listener) in ready {
            self.open.push(open);
            self.tasks.spawn(acceptor.run(listener));
        }
        Ok(())
    }

    /// Does what is wanted and says so. Whoever asked may have gone.
    pub(super) async fn change(&mut self, change: Change) {
        match change {
            Change::Listen { plain, tls, done } => {
                let _ = done.send(self.replace(&plain, &tls));
            }
            Change::Lend { done } => {
                let _ = done.send(self.open.iter().map(Open::lend).collect());
            }
            Change::Close { done } => {
                let open = std::mem::take(&mut self.open);
                let closed: Vec<_> = open.into_iter().map(|open| open.closed).collect();
                for closed in closed {
                    // An error: the acceptor has ended, which closes too.
                    let _ = closed.await;
                }
                let _ = done.send(());
            }
        }
    }

    /// Accepts at these addresses alone; those that are open already stay so.
    fn replace(&mut self, plain: &[SocketAddr], tls: &[SocketAddr]) -> Result<(), ServerError> {
        let mut kept = vec![false; self.open.len()];
        let mut missing = |transport, addresses: &[SocketAddr]| {
            let is_missing = |address: &SocketAddr| {
                let mut open = self.open.iter().zip(&mut kept);
                let same = open.find(|(open, kept)| {
                    !**kept && open.transport == transport && open.asked == *address
                });
                same.map(|(_, kept)| *kept = true).is_none()
            };
            addresses.iter().copied().filter(is_missing).collect()
        };
        let plain: Vec<_> = missing(Transport::Plain, plain);
        let tls: Vec<_> = missing(Transport::Tls, tls);
        // What is new stands behind what was there.
        self.open(Listeners::bind(&plain, &tls)?)?;
        let mut kept = kept.into_iter();
        self.open.retain(|_| kept.next().unwrap_or(true));
        Ok(())
    }

    /// Waits until all have ended, which they do when the server is stopped.
    pub(super) async fn ended(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    fn prepare(
        &self,
        listener: Listener,
    ) -> Result<(Open, Acceptor<S>, Arc<TcpListener>), ServerError> {
        let address = listener.local;
        if listener.transport == Transport::Tls && self.shared.tls.is_none() {
            return Err(ServerError::NoCertificate(address));
        }
        let socket = TcpListener::from_std(listener.socket)
            .map_err(|cause| ServerError::Socket { address, cause })?;
        let socket = Arc::new(socket);
        let (wanted, unwanted) = oneshot::channel();
        let (open_here, closed) = oneshot::channel();
        let open = Open {
            transport: listener.transport,
            asked: listener.asked,
            socket: Arc::clone(&socket),
            _wanted: wanted,
            closed,
        };
        let acceptor = Acceptor {
            shared: Arc::clone(&self.shared),
            transport: listener.transport,
            is_lent: listener.is_lent,
            phase: self.phase.clone(),
            unwanted,
            open_here: Some(open_here),
            connections: JoinSet::new(),
        };
        Ok((open, acceptor, socket))
    }
}

impl Open {
    fn lend(&self) -> io::Result<Lent> {
        let socket = self.socket.as_fd().try_clone_to_owned()?;
        Ok((self.transport, self.asked, socket))
    }
}

/// Accepts the connections of one listener and owns their tasks.
struct Acceptor<S: Store> {
    shared: Arc<Shared<S>>,
    transport: Transport,
    is_lent: bool,
    phase: watch::Receiver<Phase>,
    unwanted: oneshot::Receiver<()>,
    /// Gone when nothing is accepted any more.
    open_here: Option<oneshot::Sender<()>>,
    connections: JoinSet<()>,
}

impl<S: Store> Acceptor<S> {
    async fn run(mut self, listener: Arc<TcpListener>) {
        let mut listener = Some(listener);
        let mut stopped = self.phase.clone();
        let mut failing = false;
        loop {
            let is_open = listener.is_some();
            select! {
                () = reached(&mut stopped, Phase::Stopped) => return,
                // Whoever connects from now on waits for those who hold the socket after us, or
                // is refused by the system.
                () = closed(&mut self.unwanted, &mut self.phase, self.is_lent), if is_open => {
                    listener = None;
                    self.open_here = None;
                }
                Some(ended) = self.connections.join_next() => report_panic(ended),
                accepted = accept(listener.as_deref()) => match accepted {
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
        let current = self.shared.current();
        let behind_proxy = current.settings.is_proxy(peer.ip());
        // PROXY-CFG-2: before its header a proxy is told nothing.
        let refuse = |stream, why| match behind_proxy {
            true => drop(stream),
            false => refuse(stream, self.transport, why),
        };
        // A lent listener accepts no more in a moment; who slipped through has been promised more.
        let phase_max = match self.is_lent {
            true => Phase::Draining,
            false => Phase::Running,
        };
        if *self.phase.borrow() > phase_max {
            return refuse(stream, Refusal::ShuttingDown);
        }
        // PRJ-SEC-3: before a handshake is paid for.
        if !behind_proxy && self.shared.turns_away(&current, peer.ip()) {
            return refuse(stream, Refusal::TooManyConnections);
        }
        let counts = &self.shared.counts;
        let admitted = match behind_proxy {
            true => counts.admit_from_proxy(),
            false => counts.admit(peer.ip()),
        };
        let slot = match admitted {
            Ok(slot) => slot,
            Err(over) => {
                self.shared.metrics.connection_refused(over);
                self.shared.refusals.count(over, peer.ip());
                return refuse(stream, Refusal::TooManyConnections);
            }
        };
        let connection = Connection {
            shared: Arc::clone(&self.shared),
            current,
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

/// Completes when nothing more is to be accepted.
async fn closed(
    unwanted: &mut oneshot::Receiver<()>,
    phase: &mut watch::Receiver<Phase>,
    is_lent: bool,
) {
    let draining = async {
        match is_lent {
            true => reached(phase, Phase::Draining).await,
            // Nobody else will answer: each is told that the server stops.
            false => pending().await,
        }
    };
    select! {
        _ = unwanted => {}
        () = draining => {}
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => pending().await,
    }
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
