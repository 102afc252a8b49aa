//! Databases of others: what rows mean, what failures are, and what a name cannot do.

use std::{fs, time::Instant};

use rusqlite::Connection;
use tempfile::TempDir;

use super::{account::row, *};
use crate::accounts::{Directory, LoginNames};

const BY_ADDRESS: &str = "SELECT password FROM users WHERE address = :address";
const PATIENCE: Duration = Duration::from_millis(400);

struct OnDisk {
    directory: TempDir,
}

impl OnDisk {
    fn with(statements: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let disk = Self { directory };
        disk.connect().execute_batch(statements).unwrap();
        disk
    }

    fn people() -> Self {
        Self::with(
            "CREATE TABLE users (address TEXT PRIMARY KEY, password TEXT);
             INSERT INTO users VALUES ('tim@a.example', '{PLAIN}pencil');
             INSERT INTO users VALUES ('o''brien@a.example', '{PLAIN}pencil');",
        )
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("users.sqlite")
    }

    fn connect(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    fn settings(&self, query: &str) -> SqlSettings {
        SqlSettings {
            database: format!("sqlite://{}", self.path().display()).into(),
            authority: None,
            password_query: query.to_owned(),
            user_query: None,
            list_query: None,
            connections_max: 2,
            timeout: PATIENCE,
            uid: None,
        }
    }

    fn sql(&self, query: &str) -> Sql {
        Sql::new(&self.settings(query)).unwrap()
    }
}

async fn find(sql: &Sql, name: &str) -> Result<Option<Account>, DirectoryError> {
    sql.first_of(&[name.to_owned()]).await
}

/// What columns make of the account `tim@a.example`.
fn read(password: Rows, user: Rows) -> Account {
    let key = RevisionKey::new().unwrap();
    account::read("tim@a.example", password, user, Some(5000), &key).account
}

fn permits(account: &Account, address: &str) -> bool {
    let address = address.parse().unwrap();
    account.access.permits(address) && account.access.obstacle.is_none()
}

#[tokio::test]
async fn an_account_is_found_by_its_name_and_nobody_by_another() {
    let disk = OnDisk::people();
    let sql = disk.sql(BY_ADDRESS);
    let account = find(&sql, "tim@a.example").await.unwrap().unwrap();
    assert_eq!(account.name, "tim@a.example");
    assert_eq!(account.credentials.unwrap().len(), 1);
    let mailbox = account.mailbox.unwrap();
    assert_eq!((mailbox.home, mailbox.location), (None, None));
    assert!(find(&sql, "tom@a.example").await.unwrap().is_none());
    let parts = "SELECT password FROM users WHERE address = :user || '@' || :domain";
    let sql = disk.sql(parts);
    assert!(find(&sql, "tim@a.example").await.unwrap().is_some());
    assert!(find(&sql, "tim").await.unwrap().is_none());
}

#[tokio::test]
async fn prj_sec_1_no_name_changes_what_is_asked() {
    let disk = OnDisk::people();
    let sql = disk.sql(BY_ADDRESS);
    for name in [
        "' OR '1'='1",
        "x'; DROP TABLE users; --",
        "tim@a.example' --",
        "tim@a.example'/*",
        "\" OR \"\"=\"",
        ":address",
        "?1",
        "$1",
        "%",
        "tim@a.exampl_",
        "') UNION SELECT '{PLAIN}x' --",
    ] {
        assert!(find(&sql, name).await.unwrap().is_none(), "{name}");
    }
    assert!(find(&sql, "o'brien@a.example").await.unwrap().is_some());
    let count = "SELECT count(*) FROM users";
    let count: i64 = disk
        .connect()
        .query_row(count, [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 2);
}

// One mailbox must not get two names, and with them two locks.
#[tokio::test]
async fn a_query_that_finds_one_row_under_many_names_gives_one_name() {
    let disk = OnDisk::people();
    let careless = "SELECT password FROM users WHERE lower(address) IN (lower(:address), lower(:address) || '@a.example')";
    let names = LoginNames::new(Some("a.example"));
    let directory = Directory::Sql(Arc::new(disk.sql(careless)));
    for claimed in ["tim", "Tim", "TIM@A.example", "tim@a.example"] {
        let account = directory.find(claimed, &names).await.unwrap().unwrap();
        assert_eq!(account.name, "tim@a.example", "{claimed}");
    }
    let spelled =
        "SELECT password, address AS user FROM users WHERE lower(address) = lower(:address)";
    let sql = disk.sql(spelled);
    let account = find(&sql, "TIM@a.EXAMPLE").await.unwrap().unwrap();
    assert_eq!(account.name, "tim@a.example");
}

#[tokio::test]
async fn r3206_auth_2_a_database_that_is_missing_comes_back_by_itself() {
    let disk = OnDisk::people();
    let sql = disk.sql(BY_ADDRESS);
    find(&sql, "tim@a.example").await.unwrap();
    let away = disk.directory.path().join("away");
    fs::rename(disk.path(), &away).unwrap();
    let error = find(&sql, "tim@a.example").await.unwrap_err();
    assert!(matches!(error, DirectoryError::Temporary(_)), "{error:?}");
    assert!(!disk.path().exists(), "looking makes nothing");
    fs::rename(&away, disk.path()).unwrap();
    assert!(find(&sql, "tim@a.example").await.unwrap().is_some());
    // Another file in its place is another database.
    let other = OnDisk::with("CREATE TABLE users (address TEXT, password TEXT);");
    fs::rename(other.path(), disk.path()).unwrap();
    assert!(find(&sql, "tim@a.example").await.unwrap().is_none());
}

#[tokio::test]
async fn r3206_auth_2_a_database_that_is_slow_or_locked_is_given_up_in_time() {
    let disk = OnDisk::people();
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
                   SELECT max(i) AS password FROM n WHERE :address != ''";
    let slow = disk.sql(endless);
    let locked = disk.sql(BY_ADDRESS);
    let writer = disk.connect();
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    for (sql, why) in [(&slow, "slow"), (&locked, "locked")] {
        let began = Instant::now();
        let error = find(sql, "tim@a.example").await.unwrap_err();
        assert!(
            matches!(error, DirectoryError::Temporary(_)),
            "{why}: {error:?}"
        );
        let took = began.elapsed();
        assert!(took < PATIENCE * 5, "{why}: {took:?}");
    }
    writer.execute_batch("COMMIT").unwrap();
    assert!(find(&locked, "tim@a.example").await.unwrap().is_some());
}

#[tokio::test]
async fn queries_that_do_not_fit_the_tables_need_a_person() {
    let disk = OnDisk::people();
    for query in [
        "SELECT password FROM people WHERE address = :address",
        "SELEC password FROM users WHERE address = :address",
        "SELECT x'00' AS password WHERE :address != ''",
        "DELETE FROM users WHERE address = :address RETURNING password",
    ] {
        let error = find(&disk.sql(query), "tim@a.example").await.unwrap_err();
        let is_permanent = matches!(error, DirectoryError::Permanent(_));
        // Nothing is written, whatever the query says: the connection only reads.
        assert!(
            is_permanent || query.starts_with("DELETE"),
            "{query}: {error:?}"
        );
    }
    assert!(
        find(&disk.sql(BY_ADDRESS), "tim@a.example")
            .await
            .unwrap()
            .is_some()
    );
    let everybody = disk.settings("SELECT password FROM users");
    assert!(matches!(
        Sql::new(&everybody),
        Err(SqlError::Query(SqlQuery::Password, _))
    ));
    for url in [
        "users.sqlite",
        "sqlite://relative",
        "mysql://x/y",
        "postgres://",
    ] {
        let settings = SqlSettings {
            database: url.into(),
            ..disk.settings(BY_ADDRESS)
        };
        assert!(matches!(Sql::new(&settings), Err(SqlError::Url)), "{url}");
    }
}

#[tokio::test]
async fn all_accounts_are_listed_if_a_query_says_how() {
    let disk = OnDisk::people();
    assert_eq!(disk.sql(BY_ADDRESS).list().await.unwrap(), None);
    let settings = SqlSettings {
        list_query: Some("SELECT address FROM users ORDER BY address DESC".to_owned()),
        ..disk.settings(BY_ADDRESS)
    };
    let listed = Sql::new(&settings).unwrap().list().await.unwrap();
    let expected = ["o'brien@a.example", "tim@a.example"].map(str::to_owned);
    assert_eq!(listed, Some(expected.to_vec()));
}

#[test]
fn columns_say_what_fields_of_a_passwd_file_say() {
    let account = read(
        vec![row(&[
            ("password", "{PLAIN}pencil"),
            ("home", "/home/tim"),
            ("userdb_mail", "maildir:~/Mail"),
            ("allow_nets", "10.0.0.0/8"),
            ("uid", "5000"),
            ("quota_rule", "*:bytes=1G"),
        ])],
        Vec::new(),
    );
    let mailbox = account.mailbox.clone().unwrap();
    assert_eq!(mailbox.location, Some("/home/tim/Mail".into()));
    assert_eq!(mailbox.home, Some("/home/tim".into()));
    assert!(permits(&account, "10.1.1.1") && !permits(&account, "192.0.2.1"));
    let account = read(
        vec![row(&[("password", "{PLAIN}x")])],
        vec![row(&[("maildir", "/srv/tim"), ("home", "")])],
    );
    assert_eq!(account.mailbox.unwrap().location, Some("/srv/tim".into()));
}

#[test]
fn an_account_does_not_become_open_because_its_row_is_odd() {
    let password = ("password", "{PLAIN}pencil");
    for (value, closed) in [
        ("1", true),
        ("Y", true),
        ("0", false),
        ("", false),
        ("no", false),
    ] {
        let account = read(vec![row(&[password, ("nologin", value)])], Vec::new());
        assert_eq!(permits(&account, "192.0.2.1"), !closed, "{value}");
    }
    for odd in [("only_on_sundays", "1"), ("allow_nets", "everywhere")] {
        let account = read(vec![row(&[password, odd])], Vec::new());
        assert!(!permits(&account, "192.0.2.1"), "{odd:?}");
    }
    for odd in [
        ("maildir", "relative"),
        ("maildir", "/srv/../etc"),
        ("uid", "0"),
        ("uid", "6000"),
        ("home", "x"),
    ] {
        let account = read(vec![row(&[password, odd])], Vec::new());
        assert!(account.mailbox.is_err(), "{odd:?}");
    }
    // Restrictions of either query hold.
    let closed = vec![row(&[("nologin", "1")])];
    assert!(!permits(&read(vec![row(&[password])], closed), "192.0.2.1"));
    // Which of two rows would be meant?
    let twice = read(vec![row(&[password]), row(&[password])], Vec::new());
    assert!(twice.credentials.is_err() && twice.mailbox.is_err());
    let foreign = read(vec![row(&[password, ("user", "../tim")])], Vec::new());
    assert!(foreign.credentials.is_err() && foreign.mailbox.is_err());
    // Without a password there is nothing that could match.
    for row in [row(&[("password", "")]), row(&[("home", "/home/tim")])] {
        assert!(read(vec![row], Vec::new()).credentials.unwrap().is_empty());
    }
    let weak = read(
        vec![row(&[("password", "{DES-CRYPT}abcdefghijklm")])],
        Vec::new(),
    );
    assert!(weak.credentials.is_err());
}

#[test]
fn prj_sec_2_settings_and_errors_show_no_password_of_the_database() {
    let disk = OnDisk::people();
    let settings = SqlSettings {
        database: "postgres://restante:hunter2@db.example/mail?sslmode=disable".into(),
        ..disk.settings(BY_ADDRESS)
    };
    let sql = Sql::new(&settings).unwrap();
    assert_eq!(sql.place(), "PostgreSQL at db.example, database `mail`");
    assert_eq!(sql.ports(), [5432]);
    let wrong = SqlSettings {
        database: "postgres://restante:hunter2@db.example:port/mail".into(),
        ..settings.clone()
    };
    let wrong = Sql::new(&wrong).unwrap_err();
    let shown = format!("{settings:?} {sql:?} {wrong:?} {wrong}");
    assert!(!shown.contains("hunter2"), "{shown}");
}
