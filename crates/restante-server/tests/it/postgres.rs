//! Accounts in a real PostgreSQL, started for each test in a directory of its own.

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use restante_server::accounts::{
    Authenticator, AuthenticatorSettings, Client, Directory, DirectoryError, LoginNames, Refusal,
    Sql, SqlSettings,
};
use secrecy::SecretBox;
use tempfile::TempDir;
use tokio_postgres::NoTls;

const PATIENCE: Duration = Duration::from_secs(2);
const BY_ADDRESS: &str = "SELECT password FROM users WHERE address = :address";

/// The user that PostgreSQL runs as, because it refuses to run as root: nobody.
const NOBODY: u32 = 65534;

/// A server on a socket in its directory; dropping it kills it.
struct Postgres {
    directory: TempDir,
    /// What stands on its command line besides.
    arguments: Vec<String>,
    server: Child,
}

impl Postgres {
    /// A server with the table `users` and two people in it.
    async fn start() -> Self {
        Self::start_with(|_| Vec::new()).await
    }

    /// As `start`, with arguments of the test's own; `prepare` may put files into the directory.
    async fn start_with(prepare: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        if is_root() {
            chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut initdb = command("initdb");
        initdb.args([
            "--no-sync",
            "--auth=trust",
            "--username=restante",
            "--encoding=UTF8",
            "-D",
        ]);
        let made = initdb.arg(&data).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let arguments = prepare(directory.path());
        let server = serve(directory.path(), &arguments);
        let postgres = Self {
            directory,
            arguments,
            server,
        };
        postgres
            .execute(
                "CREATE TABLE users (address varchar(80) PRIMARY KEY, password text, closed boolean, port int);
                 INSERT INTO users VALUES ('tim@a.example', '{PLAIN}pencil', false, 7);
                 INSERT INTO users VALUES ('o''brien@a.example', '{PLAIN}pencil', true, NULL);",
            )
            .await;
        postgres
    }

    fn url(&self) -> String {
        let socket = self.directory.path().display().to_string();
        let port = self
            .arguments
            .iter()
            .find_map(|argument| argument.strip_prefix("port="));
        let port = port.unwrap_or("5432");
        format!(
            "postgres://restante@{}:{port}/postgres",
            socket.replace('/', "%2F")
        )
    }

    /// A connection of the administrator's, as soon as the server accepts it.
    async fn connect(&self) -> tokio_postgres::Client {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            match tokio_postgres::connect(&self.url(), NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
                    return client;
                }
                Err(error) if Instant::now() > deadline => panic!("{error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    async fn execute(&self, statements: &str) {
        self.connect()
            .await
            .batch_execute(statements)
            .await
            .unwrap();
    }

    /// Kills the server, and all that it has started, without a word to anybody.
    fn kill(&mut self) {
        let pid = self.server.id().to_string();
        // SIGQUIT: what PostgreSQL does when it must end at once, children included.
        let killed = Command::new("kill").args(["-QUIT", &pid]).status().unwrap();
        assert!(killed.success());
        self.server.wait().unwrap();
    }

    fn restart(&mut self) {
        self.server = serve(self.directory.path(), &self.arguments);
    }

    fn settings(&self, query: &str) -> SqlSettings {
        SqlSettings {
            database: self.url().into(),
            authority: None,
            password_query: query.to_owned(),
            user_query: None,
            list_query: Some("SELECT address FROM users".to_owned()),
            connections_max: 4,
            timeout: PATIENCE,
            uid: None,
        }
    }

    fn directory(&self, query: &str) -> Directory {
        Directory::Sql(Arc::new(Sql::new(&self.settings(query)).unwrap()))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A program of PostgreSQL's: Debian keeps them in a directory for each version.
fn program(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<_> = env::split_paths(&path).collect();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    places.extend(versions.map(|version| version.unwrap().path().join("bin")));
    let found = places
        .into_iter()
        .map(|place| place.join(name))
        .find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("no `{name}`: `cargo xtask test` installs it"))
}

fn command(name: &str) -> Command {
    let program = program(name);
    let mut command = match is_root() {
        false => Command::new(program),
        true => {
            let mut command = Command::new("setpriv");
            let nobody = NOBODY.to_string();
            command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"]);
            command.arg(program);
            command
        }
    };
    command
        .current_dir("/")
        .stdin(Stdio::null())
        .env("LC_ALL", "C");
    command
}

fn serve(directory: &Path, arguments: &[String]) -> Child {
    let log = fs::File::create(directory.join("log")).unwrap();
    fs::set_permissions(directory.join("log"), fs::Permissions::from_mode(0o666)).unwrap();
    command("postgres")
        .arg("-D")
        .arg(directory.join("data"))
        .arg("-k")
        .arg(directory)
        .args(["-c", "listen_addresses=", "-F"])
        // What comes last counts.
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn authenticator(directory: Directory) -> Authenticator {
    let settings = AuthenticatorSettings {
        names: LoginNames::new(Some("a.example")),
        failure_time: Duration::from_millis(20),
        ..AuthenticatorSettings::new(SecretBox::new(Box::new([7; 32])))
    };
    Authenticator::new(directory, settings).unwrap()
}

async fn log_in(
    authenticator: &Authenticator,
    name: &str,
    password: &str,
) -> Result<String, Refusal> {
    let client = Client::new([127, 0, 0, 1].into());
    let password = password.as_bytes().to_vec().into();
    let told = authenticator.password(&client, name, &password).await;
    told.map(|authenticated| authenticated.account)
        .map_err(|refused| refused.why)
}

#[tokio::test]
async fn r3206_auth_2_accounts_in_postgresql_log_in_and_an_outage_passes_by_itself() {
    let mut postgres = Postgres::start().await;
    let server = authenticator(postgres.directory(BY_ADDRESS));
    let tim = Ok("tim@a.example".to_owned());
    assert_eq!(log_in(&server, "Tim", "pencil").await, tim);
    assert_eq!(
        log_in(&server, "tim@a.example", "Pencil").await,
        Err(Refusal::Credentials)
    );
    assert_eq!(
        log_in(&server, "tom", "pencil").await,
        Err(Refusal::Credentials)
    );
    postgres.kill();
    let began = Instant::now();
    for password in ["pencil", "Pencil"] {
        assert_eq!(
            log_in(&server, "tim", password).await,
            Err(Refusal::Temporary)
        );
    }
    assert!(began.elapsed() < PATIENCE * 4, "{:?}", began.elapsed());
    postgres.restart();
    drop(postgres.connect().await);
    assert_eq!(log_in(&server, "tim", "pencil").await, tim);
    // Idle connections that the server has ended are not stumbled over.
    let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'restante'";
    for _ in 0..3 {
        postgres.execute(ended).await;
        assert_eq!(log_in(&server, "tim", "pencil").await, tim);
    }
    // Nor is a query that was prepared before the table changed.
    postgres
        .execute("ALTER TABLE users ALTER COLUMN password TYPE varchar(200)")
        .await;
    assert_eq!(log_in(&server, "tim", "pencil").await, tim);
}

#[tokio::test]
async fn r3206_auth_2_a_slow_query_is_given_up_in_time_and_ended_at_the_server() {
    let postgres = Postgres::start().await;
    let slow = "SELECT password FROM users, pg_sleep(60) WHERE address = :address";
    let server = authenticator(postgres.directory(slow));
    let began = Instant::now();
    // More than there are connections, at once.
    let logins = (0..8).map(|_| log_in(&server, "tim@a.example", "pencil"));
    for told in futures_util::future::join_all(logins).await {
        assert_eq!(told, Err(Refusal::Temporary));
    }
    assert!(began.elapsed() < PATIENCE * 4, "{:?}", began.elapsed());
    let admin = postgres.connect().await;
    let running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' \
                   AND state = 'active' AND pid != pg_backend_pid()";
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let count: i64 = admin.query_one(running, &[]).await.unwrap().get(0);
        match count {
            0 => break,
            _ => assert!(Instant::now() < deadline, "{count} queries still run"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn prj_sec_1_no_name_changes_what_postgresql_is_asked() {
    let postgres = Postgres::start().await;
    for query in [
        BY_ADDRESS,
        "SELECT password FROM users WHERE address = :user || '@' || :domain",
        "SELECT password FROM users /* ':address' */ WHERE address::text = :address::text",
    ] {
        let directory = postgres.directory(query);
        for name in [
            "' OR '1'='1",
            "x'; DROP TABLE users; --",
            "tim@a.example' --",
            "tim@a.example\u{2019} OR 1=1",
            ":address",
            "$1",
            "$$tim@a.example$$",
            "%",
            "E'\\x27",
            "') UNION SELECT '{PLAIN}x' --",
        ] {
            let found = directory.look_up(name).await.unwrap();
            assert!(found.is_none(), "{name} with {query}");
        }
        assert!(
            directory
                .look_up("o'brien@a.example")
                .await
                .unwrap()
                .is_some(),
            "{query}"
        );
    }
    let Directory::Sql(sql) = postgres.directory(BY_ADDRESS) else {
        panic!("it is SQL");
    };
    assert_eq!(sql.list().await.unwrap().unwrap().len(), 2);
}

#[tokio::test]
async fn columns_of_every_usual_type_are_read_and_bad_queries_need_a_person() {
    let postgres = Postgres::start().await;
    let typed = "SELECT password, address AS user, closed AS nologin, port AS quota_rule, \
                 NULL AS home, '/srv/x'::varchar AS maildir FROM users WHERE address = lower(:address)";
    let directory = postgres.directory(typed);
    let address = "192.0.2.1".parse().unwrap();
    let tim = directory.look_up("TIM@a.example").await.unwrap().unwrap();
    assert_eq!(tim.name, "tim@a.example");
    assert!(
        tim.access.permits(address) && tim.access.obstacle.is_none(),
        "{tim:?}"
    );
    assert_eq!(tim.mailbox.unwrap().location, Some("/srv/x".into()));
    let brien = directory
        .look_up("o'brien@a.example")
        .await
        .unwrap()
        .unwrap();
    assert!(!brien.access.permits(address));
    for query in [
        "SELECT password FROM people WHERE address = :address",
        "SELEC password FROM users WHERE address = :address",
        "SELECT now() AS password FROM users WHERE address = :address",
        "SELECT password FROM users WHERE port = :address",
    ] {
        let error = postgres
            .directory(query)
            .look_up("tim@a.example")
            .await
            .unwrap_err();
        assert!(
            matches!(error, DirectoryError::Permanent(_)),
            "{query}: {error:?}"
        );
    }
}

#[tokio::test]
async fn r8314_tls_1_postgresql_over_tls_must_show_a_certificate_of_the_authority() {
    // Nobody else asks for a port of this machine between here and the server's start.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let authority = certified.cert.pem();
    let postgres = Postgres::start_with(|directory| {
        let files = [
            ("server.crt", certified.cert.pem()),
            ("server.key", certified.signing_key.serialize_pem()),
        ];
        for (name, pem) in files {
            let file = directory.join(name);
            fs::write(&file, pem).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            if is_root() {
                chown(&file, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        let place = directory.display();
        [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={place}/server.crt"),
            format!("ssl_key_file={place}/server.key"),
        ]
        .into_iter()
        .flat_map(|setting| ["-c".to_owned(), setting])
        .collect()
    })
    .await;
    let look_up = async |host: &str, authority: Option<&str>| {
        let settings = SqlSettings {
            database: format!(
                "postgres://restante@{host}:{port}/postgres?sslmode=require&hostaddr=127.0.0.1"
            )
            .into(),
            authority: authority.map(|pem| pem.as_bytes().to_vec()),
            ..postgres.settings(BY_ADDRESS)
        };
        let directory = Directory::Sql(Arc::new(Sql::new(&settings).unwrap()));
        directory.look_up("tim@a.example").await
    };
    let found = look_up("localhost", Some(&authority)).await.unwrap();
    assert!(found.is_some());
    // Signed by nobody that the system knows, and for another name.
    for (host, authority) in [("localhost", None), ("db.example", Some(&*authority))] {
        let error = look_up(host, authority).await.unwrap_err();
        assert!(
            matches!(error, DirectoryError::Temporary(_)),
            "{host}: {error:?}"
        );
    }
}

// A certificate that nobody vouches for is no reason to send a password in the clear.
#[tokio::test]
async fn r8314_tls_1_postgresql_elsewhere_is_spoken_with_over_tls_alone() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 8];
        stream.read_exact(&mut request).await.unwrap();
        // No TLS here.
        stream.write_all(b"N").await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        (request, rest)
    });
    let settings = SqlSettings {
        // A name that is not obviously this machine's; the address is.
        database: format!("postgres://restante:secret@db.example:{port}/mail?hostaddr=127.0.0.1")
            .into(),
        ..Postgres::nowhere()
    };
    let directory = Directory::Sql(Arc::new(Sql::new(&settings).unwrap()));
    let error = directory.look_up("tim@a.example").await.unwrap_err();
    assert!(matches!(error, DirectoryError::Temporary(_)), "{error:?}");
    let (request, rest) = heard.await.unwrap();
    // SSLRequest, and not a word after the refusal.
    assert_eq!(request, [0, 0, 0, 8, 4, 210, 22, 47]);
    assert_eq!(rest, b"");
}

impl Postgres {
    fn nowhere() -> SqlSettings {
        SqlSettings {
            database: "postgres://nowhere.example/mail".into(),
            authority: None,
            password_query: BY_ADDRESS.to_owned(),
            user_query: None,
            list_query: None,
            connections_max: 1,
            timeout: PATIENCE,
            uid: None,
        }
    }
}
