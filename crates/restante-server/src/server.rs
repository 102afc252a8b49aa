//! The server: accepts connections until it is told to stop, then lets running commands finish.

mod acceptor;
mod observation;
mod phase;
mod refusals;

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    sync::{Arc, PoisonError, RwLock, atomic::AtomicU64},
};

use restante_maildrop::Store;
use tokio::{
    select,
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use self::acceptor::Acceptors;
pub use self::observation::{NotReady, Observation};
pub(crate) use self::{
    phase::{Phase, Stop},
    refusals::{Refusals, refuse},
};
use crate::{
    BindError, Listeners, ServerSettings, Tls, Transport,
    accounts::Authenticator,
    last_logins::LastLogins,
    limits::{ConnectionCounts, Occupancy, OverLimit},
    log,
    login_delay::{LoginDelay, login_delay_before_login},
    metrics::Metrics,
    retention::expire_before_login,
    sessions::Sessions,
    sweep,
};

/// Changes of the listeners that wait for the one before to be made.
const CHANGES_MAX: usize = 1;

/// A POP3 server over a store.
pub struct Server<S: Store> {
    listeners: Listeners,
    shared: Arc<Shared<S>>,
    changes: (mpsc::Sender<Change>, mpsc::Receiver<Change>),
    phase: watch::Sender<Phase>,
}

/// Changes a server that runs; sessions go on with what they began with.
#[derive(Clone)]
pub struct Reconfiguration {
    current: Arc<RwLock<Arc<Current>>>,
    counts: Arc<ConnectionCounts>,
    changes: mpsc::Sender<Change>,
}

/// What is to be done with the listeners, and who waits for it.
enum Change {
    /// Addresses in place of those that are.
    Listen {
        plain: Vec<SocketAddr>,
        tls: Vec<SocketAddr>,
        done: oneshot::Sender<Result<(), ServerError>>,
    },
    /// Duplicates of them all, for a successor.
    Lend {
        done: oneshot::Sender<io::Result<Vec<Lent>>>,
    },
    /// None any more.
    Close { done: oneshot::Sender<()> },
}

/// A duplicate of a socket that listens, and the address that was asked for.
pub type Lent = (Transport, SocketAddr, OwnedFd);

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
    /// An address cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A socket cannot be shared.
    #[error("cannot share a socket")]
    Duplicate(#[source] io::Error),
    /// The server stops, and takes no changes any more.
    #[error("the server is stopping")]
    Stopping,
}

/// What all connections of a server share.
pub(crate) struct Shared<S: Store> {
    current: Arc<RwLock<Arc<Current>>>,
    pub(crate) store: Arc<S>,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) counts: Arc<ConnectionCounts>,
    pub(crate) login_delay: LoginDelay,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) last_logins: Arc<LastLogins>,
    /// Updates that have begun; they end even if their connection does not live to see it.
    pub(crate) updates: Arc<Occupancy>,
    /// The number of the last session, for the log.
    pub(crate) last_session: AtomicU64,
    pub(crate) refusals: Refusals,
    pub(crate) metrics: Arc<Metrics>,
}

/// What connections begin with at this time, and keep.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) settings: ServerSettings,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) session: Arc<restante_proto::server::Settings>,
}

impl<S: Store> Shared<S> {
    pub(crate) fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether an address is banned and nobody's: the connection is not worth a handshake.
    pub(crate) fn turns_away(&self, current: &Current, address: IpAddr) -> bool {
        let banned = current.authenticator.turns_away(address);
        if banned {
            self.refusals.count(OverLimit::Failures, address);
            self.metrics.connection_refused(OverLimit::Failures);
        }
        banned
    }
}

impl Current {
    fn new(settings: ServerSettings, authenticator: Arc<Authenticator>) -> Arc<Self> {
        let session = Arc::new(settings.session.clone());
        Arc::new(Self {
            settings,
            authenticator,
            session,
        })
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
        let shared = Shared {
            current: Arc::new(RwLock::new(Current::new(settings, authenticator))),
            store,
            tls,
            counts,
            login_delay: LoginDelay::default(),
            sessions: Arc::default(),
            last_logins: Arc::default(),
            updates: Arc::default(),
            last_session: AtomicU64::new(0),
            refusals: Refusals::default(),
            metrics: Arc::default(),
        };
        Self {
            listeners,
            shared: Arc::new(shared),
            changes: mpsc::channel(CHANGES_MAX),
            phase: watch::Sender::new(Phase::Running),
        }
    }

    /// Who is logged in, for whoever changes accounts.
    #[must_use]
    pub fn sessions(&self) -> Arc<Sessions> {
        Arc::clone(&self.shared.sessions)
    }

    /// When somebody logged in to each account last.
    #[must_use]
    pub fn last_logins(&self) -> Arc<LastLogins> {
        Arc::clone(&self.shared.last_logins)
    }

    /// What shows the server to whoever watches it.
    #[must_use]
    pub fn observation(&self) -> Observation {
        Observation {
            current: Arc::clone(&self.shared.current),
            counts: Arc::clone(&self.shared.counts),
            metrics: Arc::clone(&self.shared.metrics),
            figures: self.shared.store.figures(),
            tls: self.shared.tls.clone(),
            phase: self.phase.subscribe(),
        }
    }

    /// What changes the server while it runs.
    #[must_use]
    pub fn reconfiguration(&self) -> Reconfiguration {
        Reconfiguration {
            current: Arc::clone(&self.shared.current),
            counts: Arc::clone(&self.shared.counts),
            changes: self.changes.0.clone(),
        }
    }

    /// Serves until `shutdown` completes, then until the sessions that are at work have ended or
    /// the drain timeout has passed, and until every update that has begun is done (PRJ-SEC-6).
    ///
    /// Needs a Tokio runtime with I/O and time. Dropping the future closes all connections
    /// without an update; updates that have begun go on as long as the runtime does.
    ///
    /// # Errors
    /// [`ServerError`], before the first connection is served.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ServerError> {
        let Self {
            listeners,
            shared,
            changes: (_, mut changes),
            phase,
        } = self;
        let mut acceptors = Acceptors::new(Arc::clone(&shared), phase.subscribe());
        acceptors.open(listeners)?;
        let mut shutdown = std::pin::pin!(shutdown);
        let mut sweeping = std::pin::pin!(sweep::forever(&*shared));
        loop {
            select! {
                () = &mut shutdown => break,
                () = &mut sweeping => {}
                Some(change) = changes.recv() => acceptors.change(change).await,
            }
        }
        drop(changes);
        drain(&shared, &phase).await;
        acceptors.ended().await;
        let drain_timeout = shared.current().settings.drain_timeout;
        if timeout(drain_timeout, shared.updates.none_left())
            .await
            .is_err()
        {
            tracing::error!("updates still running after the drain timeout");
        }
        Ok(())
    }
}

/// Lets sessions come to their end: for three quarters of the time those that are at work, then
/// each until its command is done. Whoever is left is cut off.
async fn drain<S: Store>(shared: &Shared<S>, phase: &watch::Sender<Phase>) {
    let drain_timeout = shared.current().settings.drain_timeout;
    let counts = &shared.counts;
    tracing::info!(
        connections = counts.total(),
        "stopping; sessions at work may finish"
    );
    phase.send_replace(Phase::Draining);
    if timeout(drain_timeout * 3 / 4, counts.none_left())
        .await
        .is_err()
    {
        tracing::info!(connections = counts.total(), "running commands may finish");
        phase.send_replace(Phase::Ending);
        if timeout(drain_timeout / 4, counts.none_left())
            .await
            .is_err()
        {
            let connections = counts.total();
            tracing::warn!(connections, "connections cut off after the drain timeout");
        }
    }
    phase.send_replace(Phase::Stopped);
}

impl Reconfiguration {
    /// From now on connections begin with these settings and log in by this authenticator, and
    /// these limits count.
    pub fn replace(&self, settings: ServerSettings, authenticator: Arc<Authenticator>) {
        self.counts.set_limits(settings.limits);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Current::new(settings, authenticator);
    }

    /// Asks the accounts what they have of their own, and says to connections that begin from now
    /// on what follows from it for all (R2449-EXPIRE-3, R2449-DELAY-2).
    pub async fn learn_choices(&self) {
        let directory = self.authenticator().directory().clone();
        let chosen = match directory.chosen().await {
            Ok(chosen) => chosen,
            Err(error) => {
                let error = log::causes(&error);
                return tracing::warn!(error, "EXPIRE and LOGIN-DELAY not known anew");
            }
        };
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let (settings, said) = (&current.settings, &current.session);
        // Whoever says nothing of it before login says nothing.
        let expire = said
            .expire
            .map(|_| expire_before_login(settings.policy, chosen.keeps));
        let delay = login_delay_before_login(settings.login_delay, chosen.login_delays);
        if (said.expire, said.login_delay) != (expire, delay) {
            let mut settings = settings.clone();
            settings.session.expire = expire;
            settings.session.login_delay = delay;
            *current = Current::new(settings, Arc::clone(&current.authenticator));
        }
    }

    /// By what connections that begin now log in.
    #[must_use]
    pub fn authenticator(&self) -> Arc<Authenticator> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current.authenticator)
    }

    /// From now on connections are accepted at these addresses alone, `plain` and with implicit
    /// `tls`. What is listened on already is so without interruption, and connections that have
    /// been accepted go on.
    ///
    /// # Errors
    /// [`ServerError`]; then nothing has changed.
    pub async fn listen(
        &self,
        plain: &[SocketAddr],
        tls: &[SocketAddr],
    ) -> Result<(), ServerError> {
        let (done, made) = oneshot::channel();
        let change = Change::Listen {
            plain: plain.to_vec(),
            tls: tls.to_vec(),
            done,
        };
        self.change(change, made).await?
    }

    /// Duplicates of the sockets that accept, for a successor. They accept on here.
    ///
    /// # Errors
    /// [`ServerError`].
    pub async fn lend(&self) -> Result<Vec<Lent>, ServerError> {
        let (done, made) = oneshot::channel();
        let lent = self.change(Change::Lend { done }, made).await?;
        lent.map_err(ServerError::Duplicate)
    }

    /// Accepts nowhere any more. Once this has returned no connection begins here, and whoever
    /// connects is for those who hold the sockets too; connections that have begun go on.
    ///
    /// # Errors
    /// [`ServerError`].
    pub async fn close(&self) -> Result<(), ServerError> {
        let (done, made) = oneshot::channel();
        self.change(Change::Close { done }, made).await
    }

    async fn change<T>(
        &self,
        change: Change,
        made: oneshot::Receiver<T>,
    ) -> Result<T, ServerError> {
        let sent = self.changes.send(change).await;
        sent.map_err(|_| ServerError::Stopping)?;
        made.await.map_err(|_| ServerError::Stopping)
    }
}

#[cfg(test)]
mod tests {
    use restante_maildrop::memory::MemoryStore;
    use secrecy::SecretBox;
    use tokio::net::TcpStream;

    use super::*;
    use crate::{
        accounts::{AuthenticatorSettings, Directory, PasswdFile, PasswdFileSettings},
        clock::Clock,
        connection::Connection,
        link::Counted,
        session_log::SessionLog,
    };

    /// Accounts of which there are none.
    fn nobody() -> Arc<Authenticator> {
        let path = "/nonexistent".into();
        let file = PasswdFile::new(PasswdFileSettings { path, uid: None }).unwrap();
        let directory = Directory::PasswdFile(Arc::new(file));
        let settings = AuthenticatorSettings::new(SecretBox::new(Box::new([0; 32])));
        Arc::new(Authenticator::new(directory, settings).unwrap())
    }

    // Each idle connection is one such task with one box in it; what else it costs are the
    // sockets, TLS and what is known of who has logged in.
    #[expect(clippy::print_stdout, reason = "the figures are what the test is for")]
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
        let mut connection = Connection {
            current: server.shared.current(),
            shared: Arc::clone(&server.shared),
            peer: address,
            slot: server.shared.counts.admit(address.ip()).unwrap(),
            clock: Clock::start(),
            stop: Stop::new(watched),
        };
        // In the heap are, besides, what the store has open, and buffers that rest when nothing
        // is in them.
        let machine = restante_proto::server::Session::new;
        let connect = || async {
            let stream = TcpStream::connect(address).await.unwrap();
            Counted::new(stream, Arc::default())
        };
        let (tcp, log) = (connect().await, connection.log());
        let plain = size_of_val(&connection.serve_plain(tcp, log));
        let (tcp, log) = (connect().await, connection.log());
        let tls = size_of_val(&connection.serve_tls(tcp, log, machine));
        let log = size_of::<SessionLog>();
        let task = size_of_val(&connection.serve(stream, Transport::Plain));
        println!("task {task}, plain {plain}, TLS {tls}, log {log}");
        assert!(task <= 700, "{task}");
        assert!(plain <= 3000, "{plain}");
        assert!(tls <= 3200, "{tls}");
        assert!(log <= 300, "{log}");
    }
}
