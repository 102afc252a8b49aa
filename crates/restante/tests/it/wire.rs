//! A connection of the test's own, for what no mail program would say.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::certificate::HOST;
use crate::server::{PASSWORD, Server, Site, USER};

/// As much as a TLS record or more holds.
const BUFFER_OCTETS: usize = 64 * 1024;

const READ_LIMIT: Duration = Duration::from_secs(30);

/// A connection to a server: lines out, lines in.
pub(crate) struct Wire {
    stream: BufReader<Stream>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    /// Connects without TLS and takes the greeting.
    pub(crate) fn plain(server: &Server) -> Self {
        let mut wire = Self::unread(server.plain);
        assert!(wire.line().starts_with("+OK"), "greeting");
        wire
    }

    /// Connects with TLS from the first octet and takes the greeting.
    pub(crate) fn tls(server: &Server) -> Self {
        let mut wire = Self::unread(server.tls).shake_hands(&server.site);
        assert!(wire.line().starts_with("+OK"), "greeting");
        wire
    }

    /// Connects and reads nothing.
    pub(crate) fn unread(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(READ_LIMIT)).unwrap();
        socket.set_write_timeout(Some(READ_LIMIT)).unwrap();
        Self {
            stream: BufReader::with_capacity(BUFFER_OCTETS, Stream::Plain(socket)),
        }
    }

    /// Logs in as [`USER`].
    pub(crate) fn logged_in(mut self) -> Self {
        self.log_in(USER);
        self
    }

    /// Logs in; every account has the same password.
    pub(crate) fn log_in(&mut self, name: &str) {
        let user = self.command(&format!("USER {name}"));
        assert_eq!(status(&user), "+OK", "{user}");
        let pass = self.command(&format!("PASS {PASSWORD}"));
        assert_eq!(status(&pass), "+OK", "{pass}");
    }

    /// Turns into a TLS connection; the server must have agreed to it.
    pub(crate) fn shake_hands(self, site: &Site) -> Self {
        self.shake_hands_with(client_settings(site), HOST).unwrap()
    }

    /// As `shake_hands`, with settings of the test's own and any name; completes the handshake.
    pub(crate) fn shake_hands_with(
        self,
        settings: ClientConfig,
        name: &'static str,
    ) -> std::io::Result<Self> {
        let Stream::Plain(mut socket) = self.stream.into_inner() else {
            panic!("TLS within TLS");
        };
        let name = ServerName::try_from(name).unwrap();
        let mut connection = ClientConnection::new(Arc::new(settings), name).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        let stream = StreamOwned::new(connection, socket);
        Ok(Self {
            stream: BufReader::with_capacity(BUFFER_OCTETS, Stream::Tls(Box::new(stream))),
        })
    }

    /// The TLS connection, after the handshake.
    pub(crate) fn connection(&self) -> &ClientConnection {
        match self.stream.get_ref() {
            Stream::Tls(stream) => &stream.conn,
            Stream::Plain(_) => panic!("no TLS"),
        }
    }

    /// Sends octets as they are.
    pub(crate) fn send(&mut self, octets: &[u8]) {
        self.try_send(octets).unwrap();
    }

    /// As `send`; the server may have closed.
    pub(crate) fn try_send(&mut self, octets: &[u8]) -> std::io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(octets)?;
        stream.flush()
    }

    /// Sends a command and returns the first line of its answer, without CRLF.
    pub(crate) fn command(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n").as_bytes());
        self.line()
    }

    /// Sends a command that is answered by several lines; returns them with byte-stuffing undone
    /// and CRLF ends, without the first and the termination line.
    pub(crate) fn lines(&mut self, command: &str) -> Vec<u8> {
        let first = self.command(command);
        assert_eq!(status(&first), "+OK", "{command}: {first}");
        self.rest_of_lines()
    }

    /// The lines after the first line of an answer, as `lines` returns them.
    pub(crate) fn rest_of_lines(&mut self) -> Vec<u8> {
        let mut data = Vec::new();
        loop {
            let line = self.octets();
            if line == b".\r\n" {
                return data;
            }
            data.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
    }

    /// Reads the lines after the first line of an answer and keeps nothing but their number of
    /// octets, as they came.
    pub(crate) fn skip_lines(&mut self) -> usize {
        let (mut octets, mut line) = (0, Vec::new());
        while line != b".\r\n" {
            line.clear();
            let count = self.stream.read_until(b'\n', &mut line).unwrap();
            assert!(count > 0, "the server closed");
            octets += count;
        }
        octets
    }

    /// The next line, without CRLF.
    pub(crate) fn line(&mut self) -> String {
        let octets = self.octets();
        let text = String::from_utf8(octets).unwrap();
        text.strip_suffix("\r\n").expect("CRLF").to_owned()
    }

    /// The next octets up to and with CRLF.
    fn octets(&mut self) -> Vec<u8> {
        let mut octets = Vec::new();
        loop {
            let count = self.stream.read_until(b'\n', &mut octets).unwrap();
            assert!(count > 0, "the server closed after {:?}", text(&octets));
            if octets.ends_with(b"\r\n") {
                return octets;
            }
        }
    }

    /// Reads to the end; an error if TLS did not say that it ends.
    pub(crate) fn read_to_end(&mut self) -> std::io::Result<Vec<u8>> {
        let mut octets = Vec::new();
        self.stream.read_to_end(&mut octets)?;
        Ok(octets)
    }

    /// Everything up to the server's end of the connection.
    pub(crate) fn until_closed(&mut self) -> Vec<u8> {
        let mut octets = Vec::new();
        // A reset is an end too.
        let _ = self.stream.read_to_end(&mut octets);
        octets
    }

    /// The socket of a plain connection, to write from another thread.
    pub(crate) fn second_handle(&self) -> TcpStream {
        match self.stream.get_ref() {
            Stream::Plain(socket) => socket.try_clone().unwrap(),
            Stream::Tls(_) => panic!("TLS has one handle"),
        }
    }

    /// Closes our side.
    pub(crate) fn shut_down(&mut self) {
        let socket = match self.stream.get_mut() {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => &mut stream.sock,
        };
        socket.shutdown(Shutdown::Write).unwrap();
    }
}

/// Trusts the site's certificate authority and nobody else.
pub(crate) fn client_settings(site: &Site) -> ClientConfig {
    ClientConfig::builder()
        .with_root_certificates(roots(site))
        .with_no_client_auth()
}

pub(crate) fn roots(site: &Site) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(site.authority()).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    roots
}

/// The status indicator of a line.
pub(crate) fn status(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}

fn text(octets: &[u8]) -> impl fmt::Debug {
    String::from_utf8_lossy(octets).into_owned()
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(octets),
            Self::Tls(stream) => stream.write(octets),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
