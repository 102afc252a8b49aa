//! From nothing to a session that waits for a login.

use std::{io, net::SocketAddr, sync::Arc};

use restante_proto::{
    Command, Keyword,
    client::{Capabilities, Cleartext, Event, Session, SessionError, Settings, StatusLine},
};
use rustls_pki_types::ServerName;
use secrecy::ExposeSecret as _;
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_socks::tcp::Socks5Stream;

use crate::{
    Error, Proxy, Security, Server, Tls,
    driver::{Driver, Step},
    error::Doubt,
    tls::Bindings,
    transport::Transport,
};

/// A connection that nobody has logged in on. TLS stands where it was asked for, and CAPA was
/// answered on this side of it.
pub struct Connection {
    pub(crate) driver: Driver,
    pub(crate) server: Server,
    /// What SCRAM-PLUS binds the login to.
    pub(crate) bindings: Bindings,
    greeting: StatusLine,
}

impl Connection {
    /// Connects, begins TLS as `server` says, and asks what the server can do.
    ///
    /// # Errors
    /// [`Error`]; the connection is closed.
    pub async fn open(server: &Server) -> Result<Self, Error> {
        let stream = reach(server).await?;
        let settings = Arc::new(settings(server));
        match &server.security {
            Security::Tls(tls) => {
                let stream = handshake(server, tls, stream).await?;
                let bindings = Bindings::of(&stream);
                let transport = Transport::Right(Box::new(stream));
                let driver = Driver::new(transport, |now| Session::under_tls(settings, now));
                Self::begin(server, driver, bindings).await
            }
            Security::Stls(tls) => {
                let driver = Driver::new(Transport::Left(stream), |now| {
                    Session::new(settings.clone(), now)
                });
                let connection = Self::begin(server, driver, Bindings::default()).await?;
                connection.start_tls(tls, settings).await
            }
            Security::CleartextWithoutPassword | Security::Loopback => {
                let driver =
                    Driver::new(Transport::Left(stream), |now| Session::new(settings, now));
                Self::begin(server, driver, Bindings::default()).await
            }
        }
    }

    /// What the server says it can do. Nothing, where it does not know CAPA.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.driver
            .session
            .capabilities()
            .cloned()
            .unwrap_or_default()
    }

    /// What the server said first.
    #[must_use]
    pub const fn greeting(&self) -> &StatusLine {
        &self.greeting
    }

    /// Takes the greeting and the capabilities.
    async fn begin(server: &Server, mut driver: Driver, bindings: Bindings) -> Result<Self, Error> {
        let Event::Greeting(greeting) = driver.event().await? else {
            return Err(Error::Session(SessionError::EndOfInput));
        };
        let mut connection = Self {
            driver,
            server: server.clone(),
            bindings,
            greeting,
        };
        connection.learn().await?;
        Ok(connection)
    }

    /// CAPA; a refusal means that there are no extensions (R2449-CAPA-4).
    pub(crate) async fn learn(&mut self) -> Result<(), Error> {
        match self.driver.command(&Command::Capa).await {
            Ok(_) | Err(Error::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// STLS, the handshake, and CAPA anew (R2595-STLS-5). Only the connection comes along: the
    /// machine, its buffers and all that was said in the clear are dropped (PRJ-INJ-3).
    async fn start_tls(mut self, tls: &Tls, settings: Arc<Settings>) -> Result<Self, Error> {
        let offered = self.capabilities().stls;
        if !offered {
            return Err(Error::NoStls);
        }
        self.driver.request(&Command::Stls)?;
        match self.driver.next().await? {
            Step::StartTls => {}
            Step::Event(Event::Answered(answer)) if answer.keyword == Keyword::Stls => {
                return Err(Error::NoStls);
            }
            Step::Event(_) | Step::Close => {
                return Err(Error::Session(SessionError::EndOfInput));
            }
        }
        let Transport::Left(stream) = self.driver.into_transport() else {
            return Err(Error::NoStls);
        };
        let stream = handshake(&self.server, tls, stream).await?;
        let bindings = Bindings::of(&stream);
        let transport = Transport::Right(Box::new(stream));
        let driver = Driver::new(transport, |now| Session::after_tls(settings, now));
        let mut connection = Self {
            driver,
            server: self.server,
            bindings,
            greeting: self.greeting,
        };
        connection.learn().await?;
        Ok(connection)
    }
}

fn settings(server: &Server) -> Settings {
    Settings {
        cleartext: match server.security {
            Security::Tls(_) | Security::Stls(_) => Cleartext::Nothing,
            Security::CleartextWithoutPassword => Cleartext::NoPasswords,
            Security::Loopback => Cleartext::Everything,
        },
        limits: server.limits.clone(),
    }
}

/// A TCP connection to the server, through the proxy if there is one.
async fn reach(server: &Server) -> Result<TcpStream, Error> {
    let until = Instant::now() + server.timeouts.connect;
    let stream = match &server.proxy {
        None => dial(&server.host, server.port, server, until).await?,
        Some(proxy) => {
            let stream = dial(&proxy.host, proxy.port, server, until).await?;
            let connected = timeout_at(until, through_proxy(proxy, server, stream)).await;
            connected.map_err(|_| late(&proxy.host, server))??
        }
    };
    if matches!(server.security, Security::Loopback) {
        let address = stream.peer_addr().map_err(Error::Broken)?.ip();
        // Through a proxy, the address is the proxy's.
        if !address.to_canonical().is_loopback() || server.proxy.is_some() {
            return Err(Error::NotLoopback { address });
        }
    }
    // Commands are small, and nobody else gathers them.
    stream.set_nodelay(true).map_err(Error::Broken)?;
    Ok(stream)
}

/// Tries one address after the other; each gets its share of the time that is left, so that one
/// that does not answer leaves some to the next.
async fn dial(host: &str, port: u16, server: &Server, until: Instant) -> Result<TcpStream, Error> {
    let no_address = |cause| Error::NoAddress {
        host: host.into(),
        cause,
    };
    let found = timeout_at(until, lookup_host((host, port))).await;
    let found = found.map_err(|_| late(host, server))?.map_err(no_address)?;
    let addresses: Vec<SocketAddr> = found.collect();
    let mut last = no_address(io::ErrorKind::NotFound.into());
    for (tried, address) in addresses.iter().enumerate() {
        let left = until.saturating_duration_since(Instant::now());
        let untried = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        match timeout(left / untried.max(1), TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(cause)) => {
                last = Error::Connect {
                    host: host.into(),
                    cause,
                }
            }
            Err(_elapsed) => last = late(host, server),
        }
    }
    Err(last)
}

fn late(host: &str, server: &Server) -> Error {
    Error::ConnectTimeout {
        host: host.into(),
        after: server.timeouts.connect,
    }
}

async fn through_proxy(
    proxy: &Proxy,
    server: &Server,
    stream: TcpStream,
) -> Result<TcpStream, Error> {
    let target = (server.host.as_str(), server.port);
    let connected = match &proxy.credentials {
        None => Socks5Stream::connect_with_socket(stream, target).await,
        Some((name, password)) => {
            let password = password.expose_secret();
            Socks5Stream::connect_with_password_and_socket(stream, target, name, password).await
        }
    };
    let connected = connected.map_err(|cause| Error::Proxy {
        host: proxy.host.clone(),
        cause,
    });
    Ok(connected?.into_inner())
}

/// The handshake, within its deadline. A failed one is the end: there is no falling back to
/// cleartext (R2595-POL-2).
async fn handshake(
    server: &Server,
    tls: &Tls,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, Error> {
    let host = || server.host.clone();
    let name = ServerName::try_from(host()).map_err(|_| Error::Name { host: host() })?;
    let connecting = TlsConnector::from(tls.config()).connect(name, stream);
    let connected = timeout(server.timeouts.handshake, connecting).await;
    let connected = connected.map_err(|_| Error::HandshakeTimeout {
        host: host(),
        after: server.timeouts.handshake,
    })?;
    connected.map_err(|cause| {
        let inner = cause.get_ref().and_then(|it| it.downcast_ref());
        match inner {
            Some(error @ rustls::Error::InvalidCertificate(why)) => Error::Certificate {
                host: host(),
                doubt: Doubt::of(why),
                cause: error.clone(),
            },
            Some(_) => Error::Handshake {
                host: host(),
                cause,
            },
            // It is the line that broke.
            None => Error::Broken(cause),
        }
    })
}
