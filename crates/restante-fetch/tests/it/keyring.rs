//! Passwords from a real keyring: a bus, a keyring and a home of the test's own.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use restante_fetch::{Keep, KeyringItem, Secret, Source, Trouble};
use tempfile::TempDir;

use crate::{
    collecting::Person,
    office::{Habits, Office, letters},
};

const NAME: &str = "keyring::a_password_comes_from_the_keyring_of_the_desktop";
/// Set in the process that collects: its home, the server's port, and what is to come of it.
const HOME: &str = "RESTANTE_TEST_HOME";
const PORT: &str = "RESTANTE_TEST_PORT";
const EXPECTED: &str = "RESTANTE_TEST_EXPECTED";

/// An unlocked keyring with one password in it. `$1` says what is done with it before the program
/// `$2` begins.
const DESKTOP: &str = r#"
printf unlock | gnome-keyring-daemon --unlock --components=secrets >/dev/null || exit 90
printf 'open sesame' | secret-tool store --label=test service pop3 host 127.0.0.1 user tim || exit 91
case $1 in locked) dbus-send --session --print-reply --dest=org.freedesktop.secrets \
    /org/freedesktop/secrets org.freedesktop.Secret.Service.Lock \
    array:objpath:/org/freedesktop/secrets/collection/login >/dev/null || exit 92 ;; esac
shift
exec "$@"
"#;

/// Collects on a desktop; `state` of its keyring: `unlocked` or `locked`.
fn collect_on_a_desktop(home: &Path, office: &Office, state: &str, expected: &str) -> Output {
    let run = home.join("run");
    if !run.exists() {
        std::fs::create_dir(&run).expect("a directory");
    }
    let program = env::current_exe().expect("this program");
    let mut desktop = Command::new("dbus-run-session");
    desktop
        .args(["--", "/bin/sh", "-c", DESKTOP, "desktop", state])
        .arg(program)
        .args(["--exact", NAME, "--nocapture"])
        // Whatever desktop the machine has, it is not asked.
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", run)
        .env(HOME, home)
        .env(PORT, office.address.port().to_string())
        .env(EXPECTED, expected)
        .stdin(Stdio::null());
    desktop.output().expect("dbus-run-session")
}

/// What the process does that collects.
async fn collect(home: PathBuf, port: u16, expected: &str) {
    let mut person = Person::at(home, port, Keep::Forever);
    if expected == "missing" {
        person.account.user = "nobody".into();
    }
    person.account.secret = Secret::Password(Source::Keyring(KeyringItem {
        host: "127.0.0.1".into(),
        user: person.account.user.clone(),
    }));
    let trouble = person.collect().await.trouble;
    match (expected, &trouble) {
        ("arrives", None) => {}
        ("missing", Some(Trouble::Password { later: false, why })) => {
            assert!(why.contains("secret-tool store"), "{why}");
        }
        ("locked" | "no bus", Some(Trouble::Password { later: true, .. })) => {}
        _ => panic!("{expected}: {trouble:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_comes_from_the_keyring_of_the_desktop() {
    if let (Ok(home), Ok(port), Ok(expected)) = (env::var(HOME), env::var(PORT), env::var(EXPECTED))
    {
        return collect(home.into(), port.parse().expect("a port"), &expected).await;
    }
    let all = letters(3, 300);
    let office = Office::open(all.clone(), Habits::default()).await;
    for (state, expected) in [
        ("unlocked", "missing"),
        ("locked", "locked"),
        ("unlocked", "arrives"),
    ] {
        let home = TempDir::new().expect("a directory");
        let (path, at, word) = (home.path().to_owned(), office.clone(), expected);
        let collecting =
            tokio::task::spawn_blocking(move || collect_on_a_desktop(&path, &at, state, word));
        let output = collecting.await.expect("it does not panic");
        let told = String::from_utf8_lossy(&output.stderr);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{expected}: {said}{told}");
        let arrived = expected == "arrives";
        let right = office.count("PASS open sesame");
        assert_eq!((office.count("PASS"), right > 0), (right, arrived));
        if arrived {
            let port = office.address.port();
            Person::at(home.path().to_owned(), port, Keep::Forever).assert_has(&all);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_bus_it_is_tried_later() {
    let home = TempDir::new().expect("a directory");
    let office = Office::open(Vec::new(), Habits::default()).await;
    let program = env::current_exe().expect("this program");
    let mut collecting = tokio::process::Command::new(program);
    collecting
        .args(["--exact", NAME, "--nocapture"])
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere/bus")
        .env(HOME, home.path())
        .env(PORT, office.address.port().to_string())
        .env(EXPECTED, "no bus");
    let output = collecting.output().await.expect("a process");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(office.sessions(), 0);
}
