//! The beginning of a connection that a proxy has made: who is it for?

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use restante_maildrop::Store;
use restante_proto::server::Refusal;
use tokio::{io::AsyncReadExt as _, net::TcpStream, select, time::timeout};

use super::Connection;
use crate::{
    Transport, log,
    proxy_header::{ProxyHeaderError, Source, parse},
    server::refuse,
};

/// Headers are hardly ever longer; those that are take another round.
const PEEK_OCTETS: usize = 512;

/// Why a connection from a proxy is closed before anything was said.
#[derive(Debug, thiserror::Error)]
enum NoClient {
    #[error("connection lost before the PROXY header")]
    Lost(#[from] io::Error),
    #[error("{0}")]
    Header(#[from] ProxyHeaderError),
}

impl<S: Store> Connection<S> {
    /// Serves a connection that begins with a PROXY header, as the client's whom it names.
    ///
    /// Nothing is sent before the header is complete and good (PROXY-CFG-2).
    pub(crate) async fn serve_behind_proxy(mut self, mut stream: TcpStream, transport: Transport) {
        let mut log = self.log();
        log.proxy = Some(self.peer);
        // Boxed, so that the session does not hold the room that the header needs.
        match Box::pin(self.learn_client(&mut stream, log.number)).await {
            Ok(client) => self.peer = client,
            Err(reason) => {
                log.reason = reason;
                return;
            }
        }
        log.peer = self.peer;
        if self.shared.turns_away(&self.current, self.peer.ip()) {
            log.reason = "banned";
            return refuse(stream, transport, Refusal::TooManyConnections);
        }
        if let Err(over) = self.slot.belongs_to(self.peer.ip()) {
            self.shared.metrics.connection_refused(over);
            self.shared.refusals.count(over, self.peer.ip());
            log.reason = "too many connections";
            return refuse(stream, transport, Refusal::TooManyConnections);
        }
        self.serve_client(stream, transport, log).await;
    }

    /// Whose connection it is, or what to log instead of a session.
    async fn learn_client(
        &mut self,
        stream: &mut TcpStream,
        session: u64,
    ) -> Result<SocketAddr, &'static str> {
        let limit = self.current.settings.proxy_header_timeout;
        let header = select! {
            () = self.stop.requested() => return Err("shut-down"),
            header = timeout(limit, read_header(stream)) => header,
        };
        let source = header
            .map_err(|_| "PROXY header timeout")?
            .map_err(|error| {
                tracing::debug!(session, error = log::causes(&error), "no client");
                match error {
                    NoClient::Lost(_) => "connection lost before the PROXY header",
                    NoClient::Header(ProxyHeaderError::Absent) => "no PROXY header",
                    NoClient::Header(_) => "bad PROXY header",
                }
            })?;
        Ok(match source {
            Source::Client(address) => address,
            Source::Proxy => self.peer,
            // Nobody's neighbour: on no list of networks, and not this machine.
            Source::Unknown => (Ipv4Addr::UNSPECIFIED, 0).into(),
        })
    }
}

/// Takes the header from the stream, and not an octet of what follows (PROXY-TLS-1): octets are
/// looked at first and taken once they are known to be the header's.
async fn read_header(stream: &mut TcpStream) -> Result<Source, NoClient> {
    let mut header = Vec::new();
    let mut ahead = [0; PEEK_OCTETS];
    loop {
        let seen = stream.peek(&mut ahead).await?;
        if seen == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let taken = header.len();
        header.extend_from_slice(ahead.get(..seen).unwrap_or_default());
        let complete = parse(&header)?;
        let octets = complete.map_or(header.len(), |header| header.octets);
        let own = ahead.get_mut(..octets - taken).unwrap_or_default();
        stream.read_exact(own).await?;
        if let Some(header) = complete {
            return Ok(header.source);
        }
    }
}
