//! A connection: to a socket of this machine, in the clear, or under TLS.

use std::{io, path::Path};

use restante_client::Tls;
use rustls_pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::either::Either::{self, Left, Right};

/// What carries the octets.
pub(super) type Transport = Either<UnixStream, Tcp>;

/// On the left in the clear, on the right under TLS.
type Tcp = Either<TcpStream, Box<TlsStream<TcpStream>>>;

pub(super) async fn unix(path: &Path) -> io::Result<Transport> {
    Ok(Left(UnixStream::connect(path).await?))
}

pub(super) async fn tcp(host: &str, port: u16) -> io::Result<Transport> {
    let stream = TcpStream::connect((host, port)).await?;
    // Commands are small, and nobody else gathers them.
    stream.set_nodelay(true)?;
    Ok(Right(Left(stream)))
}

/// The handshake; only a TCP connection in the clear can begin it.
pub(super) async fn under_tls(clear: Transport, host: &str, tls: &Tls) -> io::Result<Transport> {
    let Right(Left(stream)) = clear else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let connector = TlsConnector::from(tls.for_protocol(&[]));
    let stream = connector.connect(name, stream).await?;
    Ok(Right(Right(Box::new(stream))))
}
