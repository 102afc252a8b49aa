//! One connection from the first octet to the last: handshakes, the session, and a farewell that
//! reaches the peer.

mod proxy;

use std::{
    future::Future,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use restante_maildrop::Store;
use restante_proto::server::{CloseReason, Security, Session, Settings};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::server::TlsStream;

use crate::{
    Transport,
    accounts::Client,
    clock::Clock,
    driver::{Ended, drive},
    host::Host,
    limits::ConnectionSlot,
    link::{Blocks, Counted, Link, SendError, Unsent},
    log,
    login::Conversation,
    server::{Current, Shared, Stop},
    session_log::SessionLog,
    tls::{Agreed, HandshakeError},
};

/// What is handed over at once. Large, because each time is a system call; not larger, because
/// that much is held for each peer that reads slowly.
const BLOCK_OCTETS_MAX: usize = 64 * 1024;

/// What one TLS record holds (RFC 8446 §5.1).
const RECORD_OCTETS_MAX: usize = 16 * 1024;

/// How long and how much a closing connection is still listened to. Closing with unread input
/// would reset the connection, and the reset may overtake our last words.
const FAREWELL_MAX: Duration = Duration::from_secs(2);
const FAREWELL_OCTETS_MAX: usize = 256 * 1024;

/// What the log says of a certificate authority that looked for the answer to a challenge.
const CHALLENGE: &str = "challenge of a certificate authority answered";

pub(crate) type Tcp = Counted<TcpStream>;

/// How a machine begins: with a greeting, or without one after STLS.
pub(crate) type Begin = fn(Arc<Settings>, Security, Duration) -> Session;

/// A connection that has been admitted.
pub(crate) struct Connection<S: Store> {
    pub(crate) shared: Arc<Shared<S>>,
    /// What it began with.
    pub(crate) current: Arc<Current>,
    /// Who is at the other end; behind a proxy the one that the proxy vouches for.
    pub(crate) peer: SocketAddr,
    pub(crate) slot: ConnectionSlot,
    pub(crate) clock: Clock,
    pub(crate) stop: Stop,
}

impl<S: Store> Connection<S> {
    /// Serves the connection to its end and closes it.
    pub(crate) fn serve(
        self,
        stream: TcpStream,
        transport: Transport,
    ) -> impl Future<Output = ()> + Send {
        let log = self.log();
        // Without a future around it: what one is given it keeps room for, moved or not.
        self.serve_client(stream, transport, log)
    }

    /// The log of a connection that has just been accepted.
    pub(crate) fn log(&self) -> Box<SessionLog> {
        let number = self.shared.last_session.fetch_add(1, Ordering::Relaxed) + 1;
        // Boxed, because it is handed on from one future to the next, and each has room for it.
        Box::new(SessionLog::new(
            number,
            self.peer,
            Arc::clone(&self.shared.metrics),
        ))
    }

    async fn serve_client(mut self, stream: TcpStream, transport: Transport, log: Box<SessionLog>) {
        let stream = Counted::new(stream, Arc::clone(&log.traffic));
        // Each part boxed, so that a connection holds the room of the part that it is in.
        let (stream, log, begin) = match transport {
            Transport::Tls => (stream, log, Session::new as Begin),
            Transport::Plain => match Box::pin(self.serve_plain(stream, log)).await {
                Some((stream, log)) => (stream, log, Session::after_tls as Begin),
                None => return,
            },
        };
        Box::pin(self.serve_tls(stream, log, begin)).await;
    }

    /// Serves a session in the clear; gives the stream back when TLS is to take over.
    pub(crate) async fn serve_plain(
        &mut self,
        stream: Tcp,
        log: Box<SessionLog>,
    ) -> Option<(Tcp, Box<SessionLog>)> {
        let mut link = self.link(stream, BLOCK_OCTETS_MAX, &log);
        let (ended, mut log) = self.session(&mut link, None, Session::new, log).await;
        if let Ok(Ended::StartTls) = ended {
            // PRJ-INJ-1: what came in clear behind STLS may be a stranger's; it is never executed.
            if !link.input().is_empty() {
                log.reason = CloseReason::PlaintextAfterStls.as_str();
                return None;
            }
            // PRJ-INJ-3: the link goes, with its buffers; a fresh one is bound to the TLS stream.
            return Some((link.into_stream(), log));
        }
        drop(log);
        let mut stream = link.into_stream();
        match Farewell::after(&ended) {
            Farewell::Abort => abort(&stream),
            Farewell::None => {}
            Farewell::Close => close(&mut stream).await,
            Farewell::Linger => {
                close(&mut stream).await;
                listen_on(&mut stream).await;
            }
        }
        None
    }

    /// Makes the handshake and serves what follows.
    pub(crate) async fn serve_tls(&mut self, stream: Tcp, mut log: Box<SessionLog>, begin: Begin) {
        // Boxed, so that the session does not hold the room that the handshake needs.
        let (stream, agreed) = match Box::pin(self.handshake(stream, log.number)).await {
            Ok(shaken) => shaken,
            Err(reason) => {
                if reason != CHALLENGE {
                    self.shared.metrics.handshake_failed();
                }
                log.reason = reason;
                return;
            }
        };
        log.tls = agreed.version;
        let mut link = self.link(stream, RECORD_OCTETS_MAX, &log);
        let (ended, log) = self.session(&mut link, Some(agreed), begin, log).await;
        drop(log);
        let mut stream = link.into_stream();
        match Farewell::after(&ended) {
            Farewell::Abort => abort(stream.get_ref().0),
            Farewell::None => {}
            // R8314-CLOSE-9: closing a TLS stream sends close_notify first.
            Farewell::Close => close(&mut stream).await,
            Farewell::Linger => {
                close(&mut stream).await;
                listen_on(stream.get_mut().0).await;
            }
        }
    }

    /// The server's side of a TLS handshake, or what to log instead of a session. The connection
    /// is never used in clear after a failure (R2595-POL-2).
    async fn handshake(
        &self,
        stream: Tcp,
        session: u64,
    ) -> Result<(Box<TlsStream<Tcp>>, Agreed), &'static str> {
        let tls = self.shared.tls.as_ref().ok_or("no certificate")?;
        let limit = self.current.settings.handshake_timeout;
        let handshake = timeout(limit, tls.accept(stream)).await;
        let shaken = handshake.map_err(|_| "TLS handshake timeout")?;
        let accepted = shaken.map_err(|error| {
            tracing::debug!(session, error = log::causes(&error), "no handshake");
            match error {
                HandshakeError::Challenge(true) => CHALLENGE,
                _ => "TLS handshake failed",
            }
        })?;
        let agreed = tls.agreed(&accepted);
        // Boxed, because a kilobyte that is moved around is kept in every place it has been.
        Ok((Box::new(accepted.stream), agreed))
    }

    /// One protocol machine from its first octet to its last. Nothing of it outlives the call but
    /// what the log says: not a name that was given, and not the maildrop.
    async fn session<T>(
        &mut self,
        link: &mut Link<T>,
        agreed: Option<Agreed>,
        begin: Begin,
        log: Box<SessionLog>,
    ) -> (Result<Ended, SendError>, Box<SessionLog>)
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut session, mut host) = self.begin(agreed, begin, log);
        let ended = drive(&mut session, &mut host, link, self.clock, &mut self.stop).await;
        // Boxed, so that the session does not hold the room that its end needs.
        let mut log = Box::pin(host.into_log()).await;
        log.statistics = *session.statistics();
        match &ended {
            Ok(Ended::Closed { reason, .. }) => log.reason = reason.as_str(),
            Ok(Ended::StartTls) => {}
            Err(SendError::Stalled) => log.reason = "write timeout",
            Err(SendError::Withdrawn) => log.reason = CloseReason::CredentialLost.as_str(),
            Err(SendError::Broken(_)) => log.reason = "connection lost",
        }
        (ended, log)
    }

    /// A protocol machine and what stands behind it.
    fn begin(
        &self,
        agreed: Option<Agreed>,
        begin: Begin,
        log: Box<SessionLog>,
    ) -> (Session, Host<S>) {
        let tls = agreed.is_some();
        let mut client = Client::new(self.peer.ip());
        if let Some(agreed) = agreed {
            client.exporter = agreed.exporter;
            client.end_point = agreed.end_point;
            client.certificate = agreed.certificate;
            client.server_name = agreed.server_name;
        }
        let security = self.security(tls, &client);
        let conversation = Conversation::new(client, security.apop_timestamp.clone());
        let settings = Arc::clone(&self.current.session);
        let session = begin(settings, security, self.clock.now());
        let (shared, current) = (Arc::clone(&self.shared), Arc::clone(&self.current));
        let host = Host::new(shared, current, self.clock, conversation, log);
        (session, host)
    }

    fn link<T>(&self, stream: T, record_octets_max: usize, log: &SessionLog) -> Link<T>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let traffic = Arc::clone(&log.traffic);
        let write_timeout = self.current.settings.write_timeout;
        let blocks = Blocks {
            octets_max: BLOCK_OCTETS_MAX,
            record_octets_max,
        };
        let unsent = Unsent::new(Arc::clone(&self.shared.metrics), self.clock);
        Link::new(stream, traffic, blocks, write_timeout, unsent)
    }

    /// What this connection may do as it stands.
    fn security(&self, tls: bool, client: &Client) -> Security {
        let settings = &self.current.settings;
        let mechanisms = self.current.authenticator.mechanisms(client);
        Security {
            tls,
            cleartext_login: tls || settings.cleartext_login.allows(self.peer),
            stls: !tls && self.shared.tls.is_some(),
            mechanisms: mechanisms.iter().map(ToString::to_string).collect(),
            apop_timestamp: settings.apop_host.as_deref().and_then(apop_timestamp),
        }
    }
}

/// A msg-id that no other connection gets (R1939-APOP-1); `None`, and no APOP, if the system has
/// no randomness.
fn apop_timestamp(host: &str) -> Option<String> {
    let mut octets = [0; 16];
    getrandom::fill(&mut octets).ok()?;
    Some(format!("<{:032x}@{host}>", u128::from_be_bytes(octets)))
}

/// How a connection is left.
enum Farewell {
    /// What has not been sent never will be.
    Abort,
    /// The peer is gone, or must see a connection that broke.
    None,
    /// Nothing was said that could be lost.
    Close,
    /// Our last words must arrive.
    Linger,
}

impl Farewell {
    fn after(ended: &Result<Ended, SendError>) -> Self {
        use CloseReason::{EndOfInput, IdleTimeout, LoginTimeout, MessageBroken};
        use SendError::{Broken, Stalled, Withdrawn};
        match ended {
            // What has been handed over of a message must not arrive after all.
            Err(Stalled | Withdrawn)
            | Ok(Ended::Closed {
                told: Err(Stalled | Withdrawn),
                ..
            }) => Self::Abort,
            Err(Broken(_))
            | Ok(
                Ended::StartTls
                | Ended::Closed {
                    told: Err(Broken(_)),
                    ..
                },
            ) => Self::None,
            Ok(Ended::Closed { reason, .. }) => match reason {
                // Under TLS no close_notify: what is truncated must look it (PRJ-ML-8).
                MessageBroken => Self::None,
                EndOfInput | IdleTimeout | LoginTimeout => Self::Close,
                _ => Self::Linger,
            },
        }
    }
}

/// Resets the connection, so that the system keeps nothing for a peer that takes nothing.
fn abort(stream: &Tcp) {
    // Failure leaves an ordinary close.
    let _ = stream.get_ref().set_zero_linger();
}

async fn close<T: AsyncWrite + Unpin>(stream: &mut T) {
    // Failure means that the peer is gone; there is nobody to tell.
    let _ = timeout(FAREWELL_MAX, stream.shutdown()).await;
}

/// Throws away what still comes, until the peer closes too (PRJ-QUIT-8).
async fn listen_on(stream: &mut Tcp) {
    let drain = async {
        let mut octets = vec![0; 4096];
        let mut heard = 0;
        while heard < FAREWELL_OCTETS_MAX {
            match stream.read(&mut octets).await {
                Ok(0) | Err(_) => return,
                Ok(octets) => heard += octets,
            }
        }
    };
    // After that the peer has had its time.
    let _ = timeout(FAREWELL_MAX, drain).await;
}
