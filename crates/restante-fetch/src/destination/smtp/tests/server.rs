//! A server that does what a test wants, and notes what it hears.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

/// What the server does when a line comes.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Say(String),
    /// Takes the message, and says this then.
    Take(String),
    /// Takes the message and closes the connection.
    TakeAndClose,
    /// Takes a part of the message and closes the connection.
    CloseInMessage,
    /// Takes a part of the message, says this, and closes the connection.
    RefuseInMessage(&'static str),
    /// Never says anything more.
    Silence,
    Close,
    /// Says it and begins TLS.
    StartTls(String),
    /// Says a line again and again.
    Forever(String),
}

pub(super) fn say(text: &str) -> Act {
    Act::Say(format!("{text}\r\n"))
}

pub(super) fn take(text: &str) -> Act {
    Act::Take(format!("{text}\r\n"))
}

type Rule = (String, Vec<Act>);

/// What it does for each command, by its beginning; the last act of a list is repeated.
#[derive(Clone, Debug)]
pub(super) struct Script {
    greeting: Act,
    rules: Vec<Rule>,
    tls: Option<(Arc<rustls::ServerConfig>, bool)>,
}

impl Script {
    /// A server that takes everything.
    pub(super) fn new() -> Self {
        let script = Self {
            greeting: say("220 mx.example"),
            rules: Vec::new(),
            tls: None,
        };
        script
            .when(
                "EHLO",
                [say(
                    "250-mx.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 100000",
                )],
            )
            .when(
                "LHLO",
                [say(
                    "250-mx.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 100000",
                )],
            )
            .when("MAIL", [say("250 2.1.0 ok")])
            .when("RCPT", [say("250 2.1.5 ok")])
            .when("DATA", [take("250 2.0.0 taken")])
            .when("RSET", [say("250 2.0.0 ok")])
            .when("QUIT", [say("221 2.0.0 bye"), Act::Close])
    }

    pub(super) fn greeting(mut self, greeting: Act) -> Self {
        self.greeting = greeting;
        self
    }

    /// Replaces what is done for commands that begin so; the longest beginning counts.
    pub(super) fn when<const N: usize>(mut self, command: &str, acts: [Act; N]) -> Self {
        self.rules.retain(|(beginning, _)| beginning != command);
        self.rules.push((command.into(), acts.into()));
        self.rules
            .sort_by_key(|(beginning, _)| std::cmp::Reverse(beginning.len()));
        self
    }

    /// Knows TLS, from the first octet or from STARTTLS.
    pub(super) fn tls(mut self, config: Arc<rustls::ServerConfig>, from_first: bool) -> Self {
        self.tls = Some((config, from_first));
        self
    }

    pub(super) async fn run(self) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (heard, said) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut script = self;
            while let Ok((stream, _)) = listener.accept().await {
                let heard = heard.clone();
                match script.tls.clone() {
                    Some((config, true)) => {
                        if let Ok(stream) = TlsAcceptor::from(config).accept(stream).await {
                            script.talk(&mut BufReader::new(stream), &heard, true).await;
                        }
                    }
                    _ => {
                        let mut stream = BufReader::new(stream);
                        if script.talk(&mut stream, &heard, true).await
                            && let Some((config, _)) = script.tls.clone()
                            && let Ok(stream) =
                                TlsAcceptor::from(config).accept(stream.into_inner()).await
                        {
                            script
                                .talk(&mut BufReader::new(stream), &heard, false)
                                .await;
                        }
                    }
                }
            }
        });
        Server { address, said }
    }

    /// Whether TLS is to begin.
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut BufReader<S>,
        heard: &mpsc::UnboundedSender<Vec<u8>>,
        greets: bool,
    ) -> bool {
        let mut act = if greets {
            Some(self.greeting.clone())
        } else {
            None
        };
        loop {
            match act {
                None => {}
                Some(Act::Say(text)) => stream.write_all(text.as_bytes()).await.unwrap_or(()),
                Some(Act::Take(text)) => {
                    if stream.write_all(b"354 go on\r\n").await.is_err() {
                        return false;
                    }
                    let Some(message) = read_message(stream).await else {
                        return false;
                    };
                    let _ = heard.send(message);
                    stream.write_all(text.as_bytes()).await.unwrap_or(());
                }
                Some(Act::TakeAndClose) => {
                    let _ = stream.write_all(b"354 go on\r\n").await;
                    if let Some(message) = read_message(stream).await {
                        let _ = heard.send(message);
                    }
                    return false;
                }
                Some(Act::CloseInMessage) => {
                    let _ = stream.write_all(b"354 go on\r\n").await;
                    let _ = stream.read_until(b'\n', &mut Vec::new()).await;
                    return false;
                }
                Some(Act::RefuseInMessage(text)) => {
                    let _ = stream.write_all(b"354 go on\r\n").await;
                    let _ = stream.read_until(b'\n', &mut Vec::new()).await;
                    let _ = stream.write_all(text.as_bytes()).await;
                    return false;
                }
                Some(Act::Silence) => tokio::time::sleep(Duration::from_secs(20)).await,
                Some(Act::Close) => return false,
                Some(Act::StartTls(text)) => {
                    let _ = stream.write_all(text.as_bytes()).await;
                    return true;
                }
                Some(Act::Forever(line)) => {
                    while stream.write_all(line.as_bytes()).await.is_ok() {}
                    return false;
                }
            }
            let mut line = Vec::new();
            match stream.read_until(b'\n', &mut line).await {
                Ok(1..) => {}
                _ => return false,
            }
            act = Some(self.act(&line));
            let _ = heard.send(line);
        }
    }

    fn act(&mut self, line: &[u8]) -> Act {
        let line = String::from_utf8_lossy(line);
        let rule = self
            .rules
            .iter_mut()
            .find(|(beginning, _)| line.starts_with(beginning.as_str()));
        match rule {
            Some((_, acts)) if acts.len() > 1 => acts.remove(0),
            Some((_, acts)) => acts[0].clone(),
            None => say("502 5.5.1 no"),
        }
    }
}

/// As it came, to the line with a dot, which is left out.
async fn read_message(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    loop {
        let before = message.len();
        match stream.read_until(b'\n', &mut message).await {
            Ok(1..) => {}
            _ => return None,
        }
        if &message[before..] == b".\r\n" {
            message.truncate(before);
            return Some(message);
        }
    }
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    said: mpsc::UnboundedReceiver<Vec<u8>>,
}

impl Server {
    /// Everything it has heard so far: lines, and messages as they came.
    pub(super) fn heard(&mut self) -> Vec<String> {
        let mut heard = Vec::new();
        while let Ok(line) = self.said.try_recv() {
            heard.push(String::from_utf8_lossy(&line).into_owned());
        }
        heard
    }
}
