//! A client that knows octets and lines, not POP3: what the server says is for the tests to judge.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::{
    io::{
        AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
        BufReader, ReadHalf, WriteHalf,
    },
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// No answer takes this long; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Client<T> {
    stream: BufReader<T>,
}

pub(crate) type TlsClient = Client<TlsStream<TcpStream>>;

impl Client<TcpStream> {
    /// Connects in the clear and says nothing.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }

    /// As [`Client::connect`], past the greeting.
    pub(crate) async fn greeted(address: SocketAddr) -> Self {
        let mut client = Self::connect(address).await;
        client.expect("+OK").await;
        client
    }

    /// Makes the TLS handshake; nothing may have been read beyond the last line.
    pub(crate) async fn handshake(self, config: Arc<ClientConfig>) -> io::Result<TlsClient> {
        assert!(
            self.stream.buffer().is_empty(),
            "octets before the handshake"
        );
        let name = ServerName::try_from("localhost").unwrap();
        let stream = self.stream.into_inner();
        let handshake = TlsConnector::from(config).connect(name, stream);
        Ok(Client::over(timeout(PATIENCE, handshake).await.unwrap()?))
    }
}

impl TlsClient {
    /// Connects with implicit TLS, past the greeting.
    pub(crate) async fn greeted_over_tls(address: SocketAddr, config: Arc<ClientConfig>) -> Self {
        let client = Client::connect(address).await;
        let mut client = client.handshake(config).await.unwrap();
        client.expect("+OK").await;
        client
    }
}

impl<T: AsyncRead + Unpin> Client<T> {
    pub(crate) fn over(stream: T) -> Self {
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// The next line without its CRLF; empty octets at the end of the connection.
    pub(crate) async fn try_line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        timeout(PATIENCE, self.stream.read_until(b'\n', &mut line))
            .await
            .expect("the server says nothing")?;
        if !line.is_empty() {
            assert!(line.ends_with(b"\r\n"), "{}", line.escape_ascii());
        }
        line.truncate(line.len().saturating_sub(2));
        Ok(line)
    }

    pub(crate) async fn line(&mut self) -> String {
        let line = self.try_line().await.unwrap();
        assert!(!line.is_empty(), "the connection ended");
        String::from_utf8(line).unwrap()
    }

    /// A line that begins with `start`.
    pub(crate) async fn expect(&mut self, start: &str) -> String {
        let line = self.line().await;
        assert!(line.starts_with(start), "{line:?} instead of {start:?}");
        line
    }

    /// The rest of a multi-line answer, stuffing removed, without its last line.
    pub(crate) async fn multi_line(&mut self) -> Vec<u8> {
        let mut data = Vec::new();
        loop {
            let mut line = Vec::new();
            timeout(PATIENCE, self.stream.read_until(b'\n', &mut line))
                .await
                .expect("the server says nothing")
                .unwrap();
            match line.strip_prefix(b".") {
                Some(b"\r\n") => return data,
                Some(stuffed) => data.extend_from_slice(stuffed),
                None => data.extend_from_slice(&line),
            }
            assert!(line.ends_with(b"\r\n"), "the answer ended before its end");
        }
    }

    /// Everything that still comes until the server closes.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        self.try_rest().await.unwrap()
    }

    pub(crate) async fn try_rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        timeout(PATIENCE, self.stream.read_to_end(&mut rest))
            .await
            .expect("the server does not close")?;
        Ok(rest)
    }

    pub(crate) fn into_inner(self) -> T {
        self.stream.into_inner()
    }

    pub(crate) fn get_ref(&self) -> &T {
        self.stream.get_ref()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Client<T> {
    /// Sends octets as they are.
    pub(crate) async fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.try_send(octets.as_ref()).await.unwrap();
    }

    pub(crate) async fn try_send(&mut self, octets: &[u8]) -> io::Result<()> {
        let send = async {
            self.stream.get_mut().write_all(octets).await?;
            self.stream.get_mut().flush().await
        };
        timeout(PATIENCE, send).await.unwrap()
    }

    /// Sends a command and expects the answer's beginning.
    pub(crate) async fn ask(&mut self, command: &str, start: &str) -> String {
        self.send(format!("{command}\r\n")).await;
        self.expect(start).await
    }

    /// Logs in as `user` with the password `open-sesame`.
    pub(crate) async fn log_in(&mut self, user: &str) {
        self.ask(&format!("USER {user}"), "+OK").await;
        self.ask("PASS open-sesame", "+OK").await;
    }

    /// The two directions apart; nothing may have been read beyond the last line.
    pub(crate) fn split(self) -> (Client<ReadHalf<T>>, WriteHalf<T>) {
        assert!(self.stream.buffer().is_empty(), "octets before the split");
        let (reader, writer) = tokio::io::split(self.stream.into_inner());
        (Client::over(reader), writer)
    }
}

/// Trusts `certificate` and speaks only these versions.
pub(crate) fn tls_config(
    certificate: &CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}
