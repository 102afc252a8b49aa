//! A connection in the clear or under TLS.

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

/// What carries the octets: on the left in the clear, on the right under TLS.
pub(crate) type Transport = Either<TcpStream, Box<TlsStream<TcpStream>>>;
