//! The ports: sockets that listen, and what every accepted connection inherits from them.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// Connections the kernel completes while we are busy; it caps the number itself (somaxconn).
const BACKLOG: i32 = 4096;

/// A peer whose machine has vanished is noticed while nothing is sent: after two minutes without
/// an octet the kernel asks, every 15 s, and gives up after [`USER_TIMEOUT`].
const KEEPALIVE_IDLE: Duration = Duration::from_secs(120);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Sent octets that stay unacknowledged this long mean that the peer is gone. It bounds how long
/// a dead session holds its maildrop (PRJ-LOCK-5).
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// At most this much unsent data waits in the kernel for each connection. Without it a slow peer
/// would show no progress while megabytes drain, and be taken for one that never reads.
const UNSENT_OCTETS_MAX: u32 = 128 * 1024;

/// How a listener's connections begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// In clear, with STLS offered.
    Plain,
    /// With a TLS handshake (RFC 8314 §3.1).
    Tls,
}

/// Sockets that listen; clients may connect as soon as this exists.
#[derive(Debug)]
pub struct Listeners {
    sockets: Vec<Listener>,
}

/// One socket that listens.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) transport: Transport,
    /// The address that was asked for, perhaps with port 0.
    pub(crate) asked: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) socket: TcpListener,
    /// Whether somebody else holds the socket too and will accept what waits there.
    pub(crate) is_lent: bool,
}

/// Why a socket that somebody else has opened cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LentSocketError {
    /// It is a connection: the one who lends it accepts for himself.
    #[error("the socket does not listen")]
    NotListening,
    /// The system refuses what all our sockets need.
    #[error("the socket cannot be used")]
    Unusable(#[from] io::Error),
}

/// Why a port could not be taken.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    /// The address that was asked for.
    pub address: SocketAddr,
    /// What the system said: in use, not permitted, not an address of this machine.
    #[source]
    pub cause: io::Error,
}

impl Listeners {
    /// Takes all ports, for `plain` connections and for implicit `tls`. Port 0 takes a free one.
    ///
    /// An IPv6 address, `[::]` included, takes IPv6 connections only, so that `0.0.0.0` may stand
    /// beside it. Blocks for no time to speak of and needs no runtime: call it before privileges
    /// are dropped.
    ///
    /// # Errors
    /// [`BindError`] for the first address that cannot be had; the others are released.
    pub fn bind(plain: &[SocketAddr], tls: &[SocketAddr]) -> Result<Self, BindError> {
        Self::succeed(plain, tls, Vec::new())
    }

    /// As [`Listeners::bind`], with sockets that a predecessor has `inherited` to us: each serves
    /// the address that it was asked for, if that is wanted still, and is closed else.
    ///
    /// # Errors
    /// [`BindError`] for the first address that cannot be had; the others are released.
    pub fn succeed(
        plain: &[SocketAddr],
        tls: &[SocketAddr],
        mut inherited: Vec<(Transport, SocketAddr, TcpListener)>,
    ) -> Result<Self, BindError> {
        let plain = plain.iter().map(|&address| (Transport::Plain, address));
        let tls = tls.iter().map(|&address| (Transport::Tls, address));
        let sockets = plain
            .chain(tls)
            .map(|(transport, asked)| {
                let of_this = |(kind, address, _): &(Transport, SocketAddr, TcpListener)| {
                    (*kind, *address) == (transport, asked)
                };
                let listening = match inherited.iter().position(of_this) {
                    Some(index) => keep(inherited.swap_remove(index).2),
                    None => listen(asked),
                };
                let (socket, local) = listening.map_err(|cause| BindError {
                    address: asked,
                    cause,
                })?;
                Ok(Listener {
                    transport,
                    asked,
                    local,
                    socket,
                    is_lent: false,
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { sockets })
    }

    /// Serves sockets that somebody else has opened and holds on to, such as systemd: when the
    /// server stops it accepts no more, and what waits there is for its successor.
    ///
    /// # Errors
    /// [`LentSocketError`] for the first that is of no use.
    pub fn lent(
        sockets: impl IntoIterator<Item = (Transport, TcpListener)>,
    ) -> Result<Self, LentSocketError> {
        let lend = |(transport, socket)| {
            if !SockRef::from(&socket).is_listener()? {
                return Err(LentSocketError::NotListening);
            }
            let (socket, local) = keep(socket)?;
            Ok(Listener {
                transport,
                asked: local,
                local,
                socket,
                is_lent: true,
            })
        };
        let sockets = sockets.into_iter().map(lend);
        Ok(Self {
            sockets: sockets.collect::<Result<_, _>>()?,
        })
    }

    /// The addresses that accept connections, with the ports that were chosen for port 0, in the
    /// order they were asked for, plain ones first.
    pub fn local_addresses(&self) -> impl Iterator<Item = (Transport, SocketAddr)> + '_ {
        self.sockets
            .iter()
            .map(|listener| (listener.transport, listener.local))
    }

    /// The bare sockets, for other uses than POP3, in the order they were asked for.
    pub fn into_bare(self) -> impl Iterator<Item = TcpListener> {
        self.sockets.into_iter().map(|listener| listener.socket)
    }

    pub(crate) fn into_sockets(self) -> impl Iterator<Item = Listener> {
        self.sockets.into_iter()
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Tls => "tls",
        })
    }
}

/// Accepted sockets inherit every option but non-blocking, which saves five system calls each.
fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restart must not wait for the last connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    set_options(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    let local = listener.local_addr()?;
    Ok((listener, local))
}

/// A socket that somebody has opened, who may be of another version.
fn keep(socket: TcpListener) -> io::Result<(TcpListener, SocketAddr)> {
    socket.set_nonblocking(true)?;
    set_options(&SockRef::from(&socket))?;
    let local = socket.local_addr()?;
    Ok((socket, local))
}

/// What accepted connections are to inherit.
fn set_options(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE_IDLE)
            .with_interval(KEEPALIVE_INTERVAL),
    )?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    socket.set_tcp_notsent_lowat(UNSENT_OCTETS_MAX)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    /// What a client's connection to `listeners` has inherited.
    fn assert_options(listeners: &Listeners) {
        let (_, address) = listeners.local_addresses().next().unwrap();
        let _client = TcpStream::connect(address).unwrap();
        let (accepted, _) = loop {
            match listeners.sockets[0].socket.accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                accepted => break accepted.unwrap(),
            }
        };
        let socket = SockRef::from(&accepted);
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_IDLE);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT_OCTETS_MAX);
    }

    #[test]
    fn prj_lock_5_accepted_connections_inherit_the_options_that_notice_a_dead_peer() {
        let any = "127.0.0.1:0".parse().unwrap();
        assert_options(&Listeners::bind(&[any], &[]).unwrap());
    }

    #[test]
    fn prj_lock_5_connections_of_a_lent_socket_inherit_the_same() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_options(&Listeners::lent([(Transport::Plain, socket)]).unwrap());
    }

    #[test]
    fn a_lent_socket_that_does_not_listen_is_refused() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&any.into()).unwrap();
        let refused = Listeners::lent([(Transport::Tls, socket.into())]).unwrap_err();
        assert!(matches!(refused, LentSocketError::NotListening));
    }

    #[test]
    fn a_port_in_use_is_named() {
        let any = "[::1]:0".parse().unwrap();
        let listeners = Listeners::bind(&[], &[any]).unwrap();
        let (transport, address) = listeners.local_addresses().next().unwrap();
        assert_eq!(transport, Transport::Tls);
        let error = Listeners::bind(&[address], &[]).unwrap_err();
        assert_eq!(error.address, address);
        assert_eq!(error.cause.kind(), io::ErrorKind::AddrInUse);
    }
}
