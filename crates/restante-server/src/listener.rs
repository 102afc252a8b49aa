//! The ports: sockets that listen, and what every accepted connection inherits from them.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

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
    sockets: Vec<(Transport, SocketAddr, TcpListener)>,
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
        let plain = plain.iter().map(|&address| (Transport::Plain, address));
        let tls = tls.iter().map(|&address| (Transport::Tls, address));
        let sockets = plain
            .chain(tls)
            .map(|(transport, address)| {
                let (socket, local) =
                    listen(address).map_err(|cause| BindError { address, cause })?;
                Ok((transport, local, socket))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { sockets })
    }

    /// The addresses that accept connections, with the ports that were chosen for port 0, in the
    /// order they were asked for, plain ones first.
    pub fn local_addresses(&self) -> impl Iterator<Item = (Transport, SocketAddr)> + '_ {
        self.sockets
            .iter()
            .map(|&(transport, address, _)| (transport, address))
    }

    pub(crate) fn into_sockets(self) -> impl Iterator<Item = (Transport, SocketAddr, TcpListener)> {
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
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE_IDLE)
            .with_interval(KEEPALIVE_INTERVAL),
    )?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    socket.set_tcp_notsent_lowat(UNSENT_OCTETS_MAX)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    let local = listener.local_addr()?;
    Ok((listener, local))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use socket2::SockRef;

    use super::*;

    #[test]
    fn prj_lock_5_accepted_connections_inherit_the_options_that_notice_a_dead_peer() {
        let any = "127.0.0.1:0".parse().unwrap();
        let listeners = Listeners::bind(&[any], &[]).unwrap();
        let (_, address) = listeners.local_addresses().next().unwrap();
        let _client = TcpStream::connect(address).unwrap();
        let (accepted, _) = loop {
            match listeners.sockets[0].2.accept() {
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
