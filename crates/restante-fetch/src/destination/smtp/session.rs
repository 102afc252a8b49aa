//! A session with a server, from the connection to its end.

use std::{io, time::Duration};

use restante_client::Tls;
use restante_sasl::{ChannelBinding, Mechanism, client, line};
use secrecy::ExposeSecret as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use super::{
    Deadlines, Dialect, Login, MailServerSettings, Peer, Security,
    reply::{Extensions, Reply, ReplyError, ReplyReader},
    transport::{self, Transport},
};

/// How much is read at once.
const PIECE_OCTETS: usize = 8 * 1024;

/// What goes wrong in a session.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    /// No connection, or it broke.
    #[error("{doing}: {cause}")]
    Broken {
        /// When.
        doing: &'static str,
        /// Why.
        cause: io::Error,
    },
    /// The server ended the connection.
    #[error("{doing}: the server closed the connection")]
    Closed {
        /// When.
        doing: &'static str,
    },
    /// The server did not answer.
    #[error("{doing}: no answer within {} s", after.as_secs())]
    Silent {
        /// When.
        doing: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// What the server says is no reply.
    #[error("{doing}: {cause}")]
    Reply {
        /// When.
        doing: &'static str,
        /// What is wrong.
        cause: ReplyError,
    },
    /// The server is not to be trusted, or cannot do what the configuration wants.
    #[error("{0}")]
    Unfit(String),
    /// The server refuses.
    #[error("{doing}: the server says {reply}")]
    Refused {
        /// What.
        doing: &'static str,
        /// With which words.
        reply: Reply,
    },
}

/// A session in which the server has said what it can do.
pub(super) struct Session {
    transport: Transport,
    pub(super) deadlines: Deadlines,
    reader: ReplyReader,
    /// What was read and is no reply yet.
    input: Vec<u8>,
    pub(super) extensions: Extensions,
}

impl Session {
    /// Connects, says who we are, and logs in if that is asked for.
    pub(super) async fn open(settings: &MailServerSettings) -> Result<Self, SessionError> {
        let dialect = settings.dialect;
        let mut session = match &settings.peer {
            Peer::Unix(path) => Self::connected(transport::unix(path), settings.deadlines).await?,
            Peer::Tcp {
                host,
                port,
                security,
            } => {
                let connecting = transport::tcp(host, *port);
                let session = Self::connected(connecting, settings.deadlines).await?;
                match security {
                    Security::None => session,
                    Security::Tls(tls) => session.under_tls(host, tls).await?,
                    Security::Starttls(tls) => {
                        let session = session
                            .start_tls(dialect)
                            .await?
                            .under_tls(host, tls)
                            .await?;
                        // There is no second greeting.
                        return session.introduce(settings.login.as_ref(), dialect).await;
                    }
                }
            }
        };
        session.greeting().await?;
        session.introduce(settings.login.as_ref(), dialect).await
    }

    async fn connected(
        connecting: impl Future<Output = io::Result<Transport>>,
        deadlines: Deadlines,
    ) -> Result<Self, SessionError> {
        let doing = "connecting";
        let transport = within(doing, deadlines.connect, connecting).await?;
        Ok(Self::new(transport, deadlines))
    }

    fn new(transport: Transport, deadlines: Deadlines) -> Self {
        Self {
            transport,
            deadlines,
            reader: ReplyReader::default(),
            input: Vec::new(),
            extensions: Extensions::default(),
        }
    }

    async fn under_tls(self, host: &str, tls: &Tls) -> Result<Self, SessionError> {
        let handshake = transport::under_tls(self.transport, host, tls);
        let transport = timeout(self.deadlines.connect, handshake).await;
        match transport {
            Ok(Ok(transport)) => Ok(Self::new(transport, self.deadlines)),
            // Whom we cannot believe we do not ask again.
            Ok(Err(cause)) if cause.kind() == io::ErrorKind::InvalidData => {
                Err(SessionError::Unfit(format!("TLS: {cause}")))
            }
            Ok(Err(cause)) => Err(SessionError::Broken {
                doing: "TLS",
                cause,
            }),
            Err(_) => Err(SessionError::Silent {
                doing: "TLS",
                after: self.deadlines.connect,
            }),
        }
    }

    async fn greeting(&mut self) -> Result<(), SessionError> {
        let doing = "greeting";
        let reply = self.reply(doing, self.deadlines.command).await?;
        done(doing, reply)
    }

    /// STARTTLS (RFC 3207), up to the handshake. A server that does not offer it is left: nobody
    /// can tell that from an attack.
    async fn start_tls(mut self, dialect: Dialect) -> Result<Self, SessionError> {
        self.greeting().await?;
        self.hello(dialect).await?;
        if !self.extensions.starttls {
            return Err(SessionError::Unfit("the server offers no STARTTLS".into()));
        }
        let reply = self.command("STARTTLS", b"STARTTLS\r\n").await?;
        done("STARTTLS", reply)?;
        match self.input.is_empty() {
            true => Ok(self),
            false => Err(SessionError::Unfit(
                "octets in the clear behind STARTTLS: somebody may be on the line".into(),
            )),
        }
    }

    /// EHLO or LHLO, and AUTH.
    async fn introduce(
        mut self,
        login: Option<&Login>,
        dialect: Dialect,
    ) -> Result<Self, SessionError> {
        self.hello(dialect).await?;
        if let Some(login) = login {
            self.log_in(login).await?;
        }
        Ok(self)
    }

    async fn hello(&mut self, dialect: Dialect) -> Result<(), SessionError> {
        let word = match dialect {
            Dialect::Smtp => "EHLO",
            Dialect::Lmtp => "LHLO",
        };
        let hello = format!("{word} {}\r\n", our_name());
        let reply = self.command(word, hello.as_bytes()).await?;
        if reply.is_permanent() && dialect == Dialect::Smtp {
            // A server that knows no extensions (RFC 5321 §3.2).
            let hello = format!("HELO {}\r\n", our_name());
            let reply = self.command("HELO", hello.as_bytes()).await?;
            self.extensions = Extensions::default();
            return done("HELO", reply);
        }
        self.extensions = Extensions::of(&reply);
        done(word, reply)
    }

    async fn log_in(&mut self, login: &Login) -> Result<(), SessionError> {
        if !self.extensions.auth_plain {
            return Err(SessionError::Unfit(
                "the server offers no AUTH PLAIN".into(),
            ));
        }
        let credentials = client::Credentials {
            name: login.name.clone(),
            password: login.password.clone(),
            authorization: None,
        };
        let binding = ChannelBinding::None;
        let exchange = client::Exchange::new(Mechanism::Plain, credentials, binding, [0; 18]);
        let response = exchange.map(|mut exchange| exchange.initial_response());
        let response = response.map_err(|error| SessionError::Unfit(error.to_string()))?;
        let response = response.map(|it| line::encode_initial_response(it.expose_secret()));
        let response = response.as_ref().map_or(&[][..], |it| it.expose_secret());
        for piece in [b"AUTH PLAIN ", response, b"\r\n"] {
            self.send("AUTH", piece, self.deadlines.command).await?;
        }
        let reply = self.reply("AUTH", self.deadlines.command).await?;
        done("AUTH", reply)
    }

    /// Sends a command and takes its reply.
    pub(super) async fn command(
        &mut self,
        doing: &'static str,
        command: &[u8],
    ) -> Result<Reply, SessionError> {
        self.send(doing, command, self.deadlines.command).await?;
        self.reply(doing, self.deadlines.command).await
    }

    /// Sends octets; each piece within the deadline.
    pub(super) async fn send(
        &mut self,
        doing: &'static str,
        octets: &[u8],
        deadline: Duration,
    ) -> Result<(), SessionError> {
        let sending = async {
            self.transport.write_all(octets).await?;
            self.transport.flush().await
        };
        within(doing, deadline, sending).await
    }

    /// The next reply, whole within the deadline.
    pub(super) async fn reply(
        &mut self,
        doing: &'static str,
        deadline: Duration,
    ) -> Result<Reply, SessionError> {
        match timeout(deadline, self.read_reply(doing)).await {
            Ok(reply) => reply,
            Err(_) => Err(SessionError::Silent {
                doing,
                after: deadline,
            }),
        }
    }

    async fn read_reply(&mut self, doing: &'static str) -> Result<Reply, SessionError> {
        loop {
            let mut input = self.input.as_slice();
            let read = self.reader.read(&mut input);
            let left = input.len();
            self.input.drain(..self.input.len() - left);
            if let Some(reply) = read.map_err(|cause| SessionError::Reply { doing, cause })? {
                return Ok(reply);
            }
            self.input.reserve(PIECE_OCTETS);
            let read = self.transport.read_buf(&mut self.input).await;
            match read {
                Ok(0) => return Err(SessionError::Closed { doing }),
                Ok(_) => {}
                Err(cause) => return Err(SessionError::Broken { doing, cause }),
            }
        }
    }

    /// QUIT; whatever the server says to it.
    pub(super) async fn quit(mut self) {
        let deadline = self.deadlines.quit;
        if self.send("QUIT", b"QUIT\r\n", deadline).await.is_ok() {
            let _ = self.reply("QUIT", deadline).await;
        }
        let _ = timeout(deadline, self.transport.shutdown()).await;
    }
}

fn done(doing: &'static str, reply: Reply) -> Result<(), SessionError> {
    match reply.is_done() {
        true => Ok(()),
        false => Err(SessionError::Refused { doing, reply }),
    }
}

async fn within<T>(
    doing: &'static str,
    deadline: Duration,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, SessionError> {
    match timeout(deadline, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(cause)) => Err(SessionError::Broken { doing, cause }),
        Err(_) => Err(SessionError::Silent {
            doing,
            after: deadline,
        }),
    }
}

/// What we call ourselves: the machine's name, if it can be a domain.
fn our_name() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy().into_owned();
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.');
    let is_domain = !name.is_empty() && name.len() <= 255 && name.bytes().all(plain);
    if is_domain { name } else { "localhost".into() }
}
