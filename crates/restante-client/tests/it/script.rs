//! A server that knows octets, not POP3: it says what its script has, and notes what it hears.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use restante_client::{Connection, Error, Security, Server, Timeouts};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// How long tests wait for a server that says nothing.
pub(crate) const PATIENCE: Duration = Duration::from_millis(1500);

/// One thing that a server does.
#[derive(Clone, Debug)]
enum Act {
    Say(Vec<u8>),
    /// Says it after a while.
    SayLater(Duration, Vec<u8>),
    /// Says it again and again, until nobody listens.
    SayForever(Vec<u8>),
    /// Waits for a line, and says the next thing.
    Hear(String),
    /// Waits for any line.
    HearAny,
    /// Waits for the end, and notes whether it was a clean one.
    HearEnd,
    /// Begins TLS.
    Tls(Arc<ServerConfig>),
    /// Refuses whatever comes, but UTF8.
    Refuse,
    /// Hears everything and says nothing, until the client goes.
    Silence,
    /// Closes the connection, politely.
    Close,
    /// Closes TCP alone.
    Vanish,
}

/// What a server does, one after the other; then it hears the rest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script(Vec<Act>);

/// A server at work.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    task: JoinHandle<Vec<String>>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Script {
    /// A server that greets and knows no CAPA.
    pub(crate) fn greeting() -> Self {
        Self::default().say("+OK ready").answer("CAPA", "-ERR")
    }

    /// A server that greets, has these capabilities, and lets `tim` in by USER and PASS.
    pub(crate) fn logged_in(capabilities: &[&str]) -> Self {
        Self::default()
            .say("+OK ready")
            .capabilities(capabilities)
            .answer("USER tim", "+OK")
            .answer("PASS secret", "+OK")
    }

    pub(crate) fn capabilities(self, capabilities: &[&str]) -> Self {
        let lines: String = capabilities
            .iter()
            .map(|line| format!("{line}\r\n"))
            .collect();
        self.hear("CAPA").say(&format!("+OK\r\n{lines}."))
    }

    /// A line.
    pub(crate) fn say(self, line: &str) -> Self {
        self.say_octets(format!("{line}\r\n").as_bytes())
    }

    pub(crate) fn say_octets(self, octets: &[u8]) -> Self {
        self.act(Act::Say(octets.into()))
    }

    pub(crate) fn say_later(self, after: Duration, line: &str) -> Self {
        self.act(Act::SayLater(after, format!("{line}\r\n").into_bytes()))
    }

    pub(crate) fn say_forever(self, octets: &[u8]) -> Self {
        self.act(Act::SayForever(octets.into()))
    }

    pub(crate) fn hear(self, line: &str) -> Self {
        self.act(Act::Hear(line.into()))
    }

    pub(crate) fn hear_any(self) -> Self {
        self.act(Act::HearAny)
    }

    pub(crate) fn hear_end(self) -> Self {
        self.act(Act::HearEnd)
    }

    pub(crate) fn answer(self, line: &str, answer: &str) -> Self {
        self.hear(line).say(answer)
    }

    pub(crate) fn tls(self, config: &Arc<ServerConfig>) -> Self {
        self.act(Act::Tls(config.clone()))
    }

    pub(crate) fn refuse(self) -> Self {
        self.act(Act::Refuse)
    }

    pub(crate) fn silence(self) -> Self {
        self.act(Act::Silence)
    }

    pub(crate) fn close(self) -> Self {
        self.act(Act::Close)
    }

    pub(crate) fn vanish(self) -> Self {
        self.act(Act::Vanish)
    }

    fn act(mut self, act: Act) -> Self {
        self.0.push(act);
        self
    }

    /// Serves one connection.
    pub(crate) async fn serve(self) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("a connection");
            self.play(stream).await
        });
        Scripted { address, task }
    }

    async fn play(self, stream: TcpStream) -> Vec<String> {
        let mut stream: Box<dyn Stream> = Box::new(stream);
        let mut heard = Vec::new();
        for act in self.0 {
            match act {
                Act::Say(octets) => {
                    // Nobody need be there any more.
                    let _ = stream.write_all(&octets).await;
                    let _ = stream.flush().await;
                }
                Act::SayLater(after, octets) => {
                    tokio::time::sleep(after).await;
                    let _ = stream.write_all(&octets).await;
                }
                Act::SayForever(octets) => while stream.write_all(&octets).await.is_ok() {},
                Act::Hear(wanted) => {
                    let line = read_line(&mut stream).await;
                    heard.push(line.clone());
                    if line != wanted {
                        heard.push(format!("(instead of {wanted})"));
                        return heard;
                    }
                }
                Act::HearEnd => {
                    let end = match stream.read(&mut [0]).await {
                        Ok(0) => "(clean end)",
                        _ => "(torn end)",
                    };
                    heard.push(end.into());
                    return heard;
                }
                Act::HearAny => heard.push(read_line(&mut stream).await),
                Act::Tls(config) => {
                    let accepted = TlsAcceptor::from(config).accept(stream).await;
                    match accepted {
                        Ok(accepted) => stream = Box::new(accepted),
                        Err(error) => {
                            heard.push(format!("(no TLS: {error})"));
                            return heard;
                        }
                    }
                }
                Act::Refuse => loop {
                    let line = read_line(&mut stream).await;
                    if line.is_empty() {
                        return heard;
                    }
                    let answer = if line == "UTF8" {
                        "+OK\r\n"
                    } else {
                        "-ERR no\r\n"
                    };
                    heard.push(line);
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = stream.flush().await;
                },
                Act::Silence => break,
                Act::Vanish => return heard,
                Act::Close => {
                    let _ = stream.shutdown().await;
                    return heard;
                }
            }
        }
        // Whatever else the client says is noted; it must not be there.
        let silent = heard.len();
        loop {
            let line = read_line(&mut stream).await;
            if line.is_empty() {
                break;
            }
            heard.push(line);
            if heard.len() > silent + 3 {
                break;
            }
        }
        heard
    }
}

impl Scripted {
    /// Everything the server heard, once the connection is over.
    pub(crate) async fn heard(self) -> Vec<String> {
        self.task.await.expect("the server does not panic")
    }

    /// How to reach it by name, under `security`.
    pub(crate) fn server(&self, security: Security) -> Server {
        let mut server = Server::new("localhost", self.address.port(), security);
        server.timeouts = Timeouts {
            connect: PATIENCE,
            handshake: PATIENCE,
            close: PATIENCE,
        };
        server.limits.greeting_duration_max = PATIENCE;
        server.limits.silence_duration_max = PATIENCE;
        server
    }

    /// A connection in the clear.
    pub(crate) async fn open(&self) -> Result<Connection, Error> {
        Connection::open(&self.server(Security::Loopback)).await
    }
}

/// The next line; empty: the end.
async fn read_line(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut line = Vec::new();
    while let Ok(octet) = stream.read_u8().await {
        line.push(octet);
        if line.ends_with(b"\r\n") {
            line.truncate(line.len() - 2);
            return String::from_utf8_lossy(&line).into_owned();
        }
    }
    String::from_utf8_lossy(&line).into_owned()
}

/// What went wrong.
pub(crate) fn error<T>(result: Result<T, Error>) -> Error {
    match result {
        Ok(_) => panic!("nothing went wrong"),
        Err(error) => error,
    }
}
