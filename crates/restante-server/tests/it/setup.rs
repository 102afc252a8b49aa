//! A running server with a certificate, accounts and mail.

use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use restante_maildrop::{BodySource, MailboxId, Recipient, Store, View, memory::MemoryStore};
use restante_server::{
    Identity, Listeners, Observation, Reconfiguration, Server, ServerError, ServerSettings,
    Sessions, Tls, Transport,
    accounts::{Authenticator, AuthenticatorSettings, Directory, PasswdFile, PasswdFileSettings},
};
use rustls::{ClientConfig, SupportedProtocolVersion, version};
use rustls_pki_types::CertificateDer;
use secrecy::SecretBox;
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    client::{Client, TlsClient, tls_config},
    log_lines::enable_everywhere,
};

const LOOPBACK: &str = "127.0.0.1:0";

/// The address of a listener that a server does not have.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Everybody's password.
pub(crate) const PASSWORD: &str = "open-sesame";

/// Who may log in, each with [`PASSWORD`].
pub(crate) const USERS: [&str; 4] = ["ann", "ben", "cleo", "dora@a.example"];

pub(crate) struct Running {
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) store: MemoryStore,
    pub(crate) server_tls: Arc<Tls>,
    pub(crate) reconfiguration: Reconfiguration,
    pub(crate) observation: Observation,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) sessions: Arc<Sessions>,
    accounts: TempDir,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<Result<(), ServerError>>,
}

impl Running {
    /// A server as `settings` say, each of [`USERS`] with an empty mailbox.
    pub(crate) fn with(settings: ServerSettings) -> Self {
        Self::keeping(settings, MemoryStore::new())
    }

    /// A server as `settings` say over this store.
    pub(crate) fn keeping(settings: ServerSettings, store: MemoryStore) -> Self {
        Self::start(settings, listeners(LOOPBACK), store, Arc::new)
    }

    /// A server that accepts at these.
    pub(crate) fn on(listeners: Listeners) -> Self {
        Self::start(
            ServerSettings::default(),
            listeners,
            MemoryStore::new(),
            Arc::new,
        )
    }

    /// A server at `address`, an IP address with port 0.
    pub(crate) fn at(address: &str) -> Self {
        Self::on(listeners(address))
    }

    /// A server over what `wrap` makes of the store in memory.
    pub(crate) fn over<S: Store>(wrap: impl FnOnce(MemoryStore) -> Arc<S>) -> Self {
        Self::start(
            ServerSettings::default(),
            listeners(LOOPBACK),
            MemoryStore::new(),
            wrap,
        )
    }

    fn start<S: Store>(
        settings: ServerSettings,
        listeners: Listeners,
        store: MemoryStore,
        wrap: impl FnOnce(MemoryStore) -> Arc<S>,
    ) -> Self {
        enable_everywhere();
        let local = |wanted: Transport| {
            let mut addresses = listeners.local_addresses();
            let found = addresses.find(|&(transport, _)| transport == wanted);
            found.map_or(NOWHERE, |(_, address)| address)
        };
        let (plain, tls) = (local(Transport::Plain), local(Transport::Tls));
        let (identity, certificate) = identity("localhost");
        let server_tls = Arc::new(Tls::new(identity).unwrap());
        let accounts = tempfile::tempdir().unwrap();
        for user in USERS {
            store.make_mailbox(&mailbox(user));
        }
        let server = Server::new(
            listeners,
            settings,
            wrap(store.clone()),
            Arc::new(authenticator(accounts.path())),
            Some(Arc::clone(&server_tls)),
        );
        let sessions = server.sessions();
        let reconfiguration = server.reconfiguration();
        let observation = server.observation();
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(server.run(async {
            // An error means that the test is over.
            let _ = stopped.await;
        }));
        Self {
            plain,
            tls,
            store,
            server_tls,
            reconfiguration,
            observation,
            certificate,
            sessions,
            accounts,
            stop: Some(stop),
            server,
        }
    }

    pub(crate) fn new() -> Self {
        Self::with(ServerSettings::default())
    }

    pub(crate) async fn deliver(&self, user: &str, message: &[u8]) {
        deliver(&self.store, user, message).await;
    }

    /// A client in the clear, logged in.
    pub(crate) async fn login(&self, user: &str) -> Client<tokio::net::TcpStream> {
        let mut client = Client::greeted(self.plain).await;
        client.log_in(user).await;
        client
    }

    pub(crate) async fn tls_client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> TlsClient {
        let config = Arc::new(self.client_config(versions));
        Client::greeted_over_tls(self.tls, config).await
    }

    pub(crate) fn client_config(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        tls_config(&self.certificate, versions)
    }

    pub(crate) fn any_version(&self) -> Arc<ClientConfig> {
        Arc::new(self.client_config(&[&version::TLS12, &version::TLS13]))
    }

    /// Tells the server to stop.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Stops the server and waits until it has.
    pub(crate) async fn ended(mut self) {
        self.stop();
        self.server.await.unwrap().unwrap();
    }

    /// Replaces the passwd-file: who may log in, and the rest of their lines.
    pub(crate) fn write_users(&self, users: &[(&str, &str)]) {
        let lines: Vec<_> = users
            .iter()
            .map(|(user, rest)| format!("{user}:{rest}\n"))
            .collect();
        let path = self.accounts.path().join("users");
        let draft = self.accounts.path().join("draft");
        let mut file = std::fs::File::create(&draft).unwrap();
        file.write_all(lines.concat().as_bytes()).unwrap();
        // Old enough not to be taken for half written.
        let minute_ago = SystemTime::now() - Duration::from_secs(60);
        file.set_modified(minute_ago).unwrap();
        std::fs::rename(draft, path).unwrap();
    }

    /// Takes the passwd-file away.
    pub(crate) fn remove_users(&self) {
        std::fs::remove_file(self.accounts.path().join("users")).unwrap();
    }

    /// How many messages the next session of `user` would see.
    pub(crate) fn count(&self, user: &str) -> usize {
        self.store.base_names(&mailbox(user)).len()
    }
}

/// One in the clear and one with TLS.
fn listeners(address: &str) -> Listeners {
    let address = [address.parse().unwrap()];
    Listeners::bind(&address, &address).unwrap()
}

pub(crate) fn mailbox(user: &str) -> MailboxId {
    MailboxId {
        account: user.to_owned(),
        home: None,
        location: None,
    }
}

pub(crate) fn view(user: &str) -> View {
    View::shared(mailbox(user))
}

pub(crate) async fn deliver(store: &MemoryStore, user: &str, message: &[u8]) {
    let recipient = Recipient {
        mailbox: mailbox(user),
        prefix: Bytes::new(),
    };
    let body = Whole(Some(Bytes::copy_from_slice(message)));
    for delivered in store.deliver(&[recipient], body).await {
        let _ = delivered.unwrap();
    }
}

/// A fresh self-signed certificate for `name`, with its key.
pub(crate) fn identity(name: &str) -> (Identity, CertificateDer<'static>) {
    let certified = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let certificate = certified.cert.pem();
    let key = certified.signing_key.serialize_pem();
    let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
    (identity, certified.cert.der().clone())
}

/// Accounts in a passwd-file, their passwords as they are, so that every mechanism works.
fn authenticator(directory: &Path) -> Authenticator {
    let path = directory.join("users");
    let lines = USERS.map(|user| format!("{user}:{{PLAIN}}{PASSWORD}:::::\n"));
    std::fs::write(&path, lines.concat()).unwrap();
    let file = PasswdFile::new(PasswdFileSettings { path, uid: None }).unwrap();
    let settings = AuthenticatorSettings {
        failure_time: Duration::from_millis(20),
        apop: true,
        ..AuthenticatorSettings::new(SecretBox::new(Box::new([7; 32])))
    };
    Authenticator::new(Directory::PasswdFile(Arc::new(file)), settings).unwrap()
}

struct Whole(Option<Bytes>);

impl BodySource for Whole {
    async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        Ok(self.0.take())
    }
}
