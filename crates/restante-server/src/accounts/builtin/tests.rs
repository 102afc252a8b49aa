//! The database: what it keeps, who sees a change when, and what a damaged file does.

use std::{fs, os::unix::fs::PermissionsExt as _};

use rusqlite::Connection;
use secrecy::{ExposeSecret as _, SecretSlice};
use tempfile::TempDir;

use super::*;
use crate::accounts::{Directory, LoginNames, Presented, Revision};

mod devices;

struct OnDisk {
    directory: TempDir,
    builtin: Builtin,
}

fn on_disk() -> OnDisk {
    let directory = tempfile::tempdir().unwrap();
    let builtin = Builtin::open(&directory.path().join("accounts.sqlite")).unwrap();
    OnDisk { directory, builtin }
}

fn opens(builtin: &Builtin, name: &str, password: &str) -> bool {
    let Some(account) = builtin.look_up(name).unwrap() else {
        return false;
    };
    let password: SecretSlice<u8> = password.as_bytes().to_vec().into();
    let presented = Presented::new(&password);
    account
        .credentials
        .unwrap()
        .iter()
        .any(|credential| credential.verify(&presented).unwrap())
}

fn revision(builtin: &Builtin, name: &str) -> Revision {
    builtin.look_up(name).unwrap().unwrap().credentials.unwrap()[0].revision()
}

#[test]
fn accounts_come_change_and_go() {
    let disk = on_disk();
    let builtin = &disk.builtin;
    assert!(builtin.is_empty().unwrap());
    builtin.add("tim@a.example", &"pencil".into()).unwrap();
    assert!(!builtin.is_empty().unwrap());
    assert!(opens(builtin, "tim@a.example", "pencil"));
    assert!(!opens(builtin, "tim@a.example", "Pencil"));
    assert!(!opens(builtin, "tim@a.example", "pencil\0"));
    assert!(!opens(builtin, "tim", "pencil"));

    let before = revision(builtin, "tim@a.example");
    builtin
        .set_password("tim@a.example", &"rubber".into())
        .unwrap();
    assert!(opens(builtin, "tim@a.example", "rubber"));
    assert!(!opens(builtin, "tim@a.example", "pencil"));
    let between = revision(builtin, "tim@a.example");
    assert_ne!(before, between);
    // To the same password: sessions of the old one still end.
    builtin
        .set_password("tim@a.example", &"rubber".into())
        .unwrap();
    assert_ne!(between, revision(builtin, "tim@a.example"));

    builtin.remove("tim@a.example").unwrap();
    assert!(builtin.look_up("tim@a.example").unwrap().is_none());
    assert!(builtin.is_empty().unwrap());
}

#[test]
fn a_revision_never_comes_back() {
    let disk = on_disk();
    let builtin = &disk.builtin;
    let mut seen = Vec::new();
    for _ in 0..3 {
        builtin.add("tim", &"pencil".into()).unwrap();
        let revision = revision(builtin, "tim");
        assert!(!seen.contains(&revision));
        seen.push(revision);
        builtin.remove("tim").unwrap();
    }
}

#[test]
fn both_verifiers_are_of_one_password_and_salted_anew() {
    let disk = on_disk();
    let builtin = &disk.builtin;
    // U+2168 is IX after preparation: SCRAM clients send it so, and PASS as it was typed.
    builtin.add("tim", &"\u{2168}".into()).unwrap();
    builtin.add("tom", &"IX".into()).unwrap();
    for name in ["tim", "tom"] {
        assert!(opens(builtin, name, "IX") && opens(builtin, name, "\u{2168}"));
        let credentials = builtin.look_up(name).unwrap().unwrap().credentials.unwrap();
        let keys = credentials[0].scram_keys(ScramHash::Sha256).unwrap();
        assert!(keys.verify_password(b"IX"));
        // Design §4: at least 100,000 iterations.
        assert_eq!(ScramShape::of(keys.parameters()), ScramShape::OURS);
        assert!(keys.parameters().iterations() >= 100_000);
        assert!(credentials[0].scram_keys(ScramHash::Sha1).is_none());
    }
    let salt = |name: &str| {
        let credentials = builtin.look_up(name).unwrap().unwrap().credentials.unwrap();
        credentials[0]
            .scram_keys(ScramHash::Sha256)
            .unwrap()
            .parameters()
            .salt()
            .to_vec()
    };
    assert_ne!(salt("tim"), salt("tom"));
}

#[test]
fn the_listing_is_sorted_and_names_credentials() {
    let disk = on_disk();
    let builtin = &disk.builtin;
    let now = now().unsigned_abs();
    for name in ["tom", "anna@b.example", "tim"] {
        builtin.add(name, &"pencil".into()).unwrap();
    }
    let listed = builtin.list().unwrap();
    let names: Vec<_> = listed.iter().map(|listing| listing.name.as_str()).collect();
    assert_eq!(names, ["anna@b.example", "tim", "tom"]);
    for listing in listed {
        assert_eq!(listing.credentials, ["default"]);
        assert!((now..now + 60).contains(&listing.created));
    }
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let disk = on_disk();
    let builtin = &disk.builtin;
    builtin.add("tim", &"pencil".into()).unwrap();
    let again = builtin.add("tim", &"other".into());
    assert!(
        matches!(again, Err(BuiltinError::Exists { .. })),
        "{again:?}"
    );
    assert!(opens(builtin, "tim", "pencil"));
    for error in [
        builtin.set_password("tom", &"x".into()),
        builtin.remove("tom"),
    ] {
        assert!(
            matches!(error, Err(BuiltinError::Unknown { .. })),
            "{error:?}"
        );
    }
    for name in ["", "Tim", "../x", "a/b", "a\0b", "@b", "x\n"] {
        let error = builtin.add(name, &"x".into());
        assert!(matches!(error, Err(BuiltinError::Name { .. })), "{name:?}");
    }
    let long = "x".repeat(1025);
    for password in [
        "",
        "a\0b",
        "bell\u{7}",
        "\u{1F600}",
        "\u{AD}",
        long.as_str(),
    ] {
        for error in [
            builtin.add("tom", &password.into()),
            builtin.set_password("tim", &password.into()),
        ] {
            assert!(
                matches!(error, Err(BuiltinError::Password { .. })),
                "{password:?}"
            );
        }
    }
    assert_eq!(builtin.list().unwrap().len(), 1);
    assert!(opens(builtin, "tim", "pencil"));
}

#[test]
fn another_process_sees_a_change_at_once() {
    let OnDisk { directory, builtin } = on_disk();
    let other = Builtin::open(&directory.path().join("accounts.sqlite")).unwrap();
    assert!(other.look_up("tim").unwrap().is_none());
    builtin.add("tim", &"pencil".into()).unwrap();
    assert!(opens(&other, "tim", "pencil"));
    other.set_password("tim", &"rubber".into()).unwrap();
    assert!(opens(&builtin, "tim", "rubber"));
    builtin.remove("tim").unwrap();
    assert!(other.look_up("tim").unwrap().is_none());
}

/// An operator restores yesterday's copy: the server must not go on with the file it has open.
#[test]
fn a_file_put_in_the_place_of_the_old_one_is_opened() {
    let OnDisk { directory, builtin } = on_disk();
    let new = directory.path().join("backup");
    Builtin::open(&new)
        .unwrap()
        .add("tim", &"pencil".into())
        .unwrap();
    assert!(builtin.look_up("tim").unwrap().is_none());
    fs::rename(&new, directory.path().join("accounts.sqlite")).unwrap();
    assert!(opens(&builtin, "tim", "pencil"));
}

/// The counter goes back with the backup, and would give a number again that the credential cache
/// knows together with another password.
#[test]
fn a_revision_does_not_come_back_with_a_backup() {
    let OnDisk { directory, builtin } = on_disk();
    let (path, backup) = (
        directory.path().join("accounts.sqlite"),
        directory.path().join("backup"),
    );
    builtin.add("tim", &"monday".into()).unwrap();
    let monday = revision(&builtin, "tim");
    fs::copy(&path, &backup).unwrap();
    builtin.set_password("tim", &"tuesday".into()).unwrap();
    let tuesday = revision(&builtin, "tim");
    fs::rename(&backup, &path).unwrap();
    assert_eq!(
        revision(&builtin, "tim"),
        monday,
        "the same state has the same revision"
    );
    builtin.set_password("tim", &"wednesday".into()).unwrap();
    assert_ne!(revision(&builtin, "tim"), tuesday);
}

#[test]
fn an_account_is_closed_to_pop_and_opened_again_under_the_same_password() {
    let disk = on_disk();
    let builtin = &disk.builtin;
    builtin.add("tim", &"pencil".into()).unwrap();
    let permits = || {
        let account = builtin.look_up("tim").unwrap().unwrap();
        account.access.permits("127.0.0.1".parse().unwrap())
    };
    let before = revision(builtin, "tim");
    assert!(permits());
    for pop in [false, true] {
        builtin.set_pop("tim", pop).unwrap();
        assert_eq!(permits(), pop);
        assert_eq!(builtin.listing("tim").unwrap().unwrap().pop, pop);
        assert_eq!(revision(builtin, "tim"), before);
    }
    let error = builtin.set_pop("tom", false).unwrap_err();
    assert!(matches!(error, BuiltinError::Unknown { .. }), "{error:?}");
}

/// As the first release has made it; never to be changed.
const VERSION_1: &str = "
    PRAGMA application_id = 1382380404;
    PRAGMA user_version = 1;
    CREATE TABLE revision (last INTEGER NOT NULL) STRICT;
    INSERT INTO revision VALUES (7);
    CREATE TABLE account (
        name    TEXT NOT NULL PRIMARY KEY,
        created INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE credential (
        account       TEXT NOT NULL REFERENCES account (name) ON DELETE CASCADE,
        name          TEXT NOT NULL,
        revision      INTEGER NOT NULL,
        changed       INTEGER NOT NULL,
        password      TEXT NOT NULL,
        scram_sha_256 TEXT NOT NULL,
        PRIMARY KEY (account, name)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO account VALUES ('tim', 1700000000);
";

#[test]
fn a_database_of_the_first_version_is_brought_to_this_one_with_all_that_is_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts.sqlite");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(VERSION_1).unwrap();
    let stored = Stored::make(&"pencil".into(), Origin::Chosen, None).unwrap();
    let (password, scram) = stored.as_text();
    old.execute(
        "INSERT INTO credential VALUES ('tim', 'default', 7, 1700000001, ?1, ?2)",
        params![password, scram],
    )
    .unwrap();
    // The server of the older version still has it open.
    for _ in 0..2 {
        let builtin = Builtin::open(&path).unwrap();
        assert!(opens(&builtin, "tim", "pencil"));
        let expected = BuiltinListing {
            name: "tim".to_owned(),
            created: 1_700_000_000,
            changed: 1_700_000_001,
            pop: true,
            credentials: vec!["default".to_owned()],
        };
        assert_eq!(builtin.list().unwrap(), [expected]);
    }
    let version = old.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
    assert_eq!(version.unwrap(), database::VERSION as i64);
    let builtin = Builtin::open(&path).unwrap();
    builtin.set_pop("tim", false).unwrap();
    builtin.add("tom", &"pencil".into()).unwrap();
    assert!(opens(&builtin, "tom", "pencil"));
}

#[test]
fn files_are_for_their_owner_alone() {
    let OnDisk { directory, builtin } = on_disk();
    builtin.add("tim", &"pencil".into()).unwrap();
    for entry in fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }
}

#[test]
fn no_password_and_no_old_hash_is_in_the_file() {
    let OnDisk { directory, builtin } = on_disk();
    let path = directory.path().join("accounts.sqlite");
    let holds = |text: &[u8]| {
        let octets = fs::read(&path).unwrap();
        octets.windows(text.len()).any(|window| window == text)
    };
    let stored = || {
        let credentials = builtin
            .look_up("tim")
            .unwrap()
            .unwrap()
            .credentials
            .unwrap();
        let keys = credentials[0]
            .scram_keys(ScramHash::Sha256)
            .unwrap()
            .format();
        keys.expose_secret().as_bytes().to_vec()
    };
    builtin.add("tim", &"correct horse".into()).unwrap();
    let first = stored();
    assert!(!holds(b"correct horse") && holds(&first));
    builtin
        .set_password("tim", &"battery staple".into())
        .unwrap();
    let second = stored();
    assert!(!holds(&first) && holds(&second));
    builtin.remove("tim").unwrap();
    // SQLite leaves what it deletes in free space unless it is told not to; the row's last
    // octets are the last to be written over by chance.
    assert!(!holds(&second[second.len() - 16..]));
}

#[tokio::test]
async fn r3206_auth_2_a_database_that_fails_is_never_an_unknown_user() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts.sqlite");
    let builtin = Arc::new(Builtin::open(&path).unwrap());
    builtin.add("tim", &"pencil".into()).unwrap();
    let look_up = || Directory::Builtin(Arc::clone(&builtin));

    // Gone.
    fs::rename(&path, directory.path().join("elsewhere")).unwrap();
    let found = look_up().find("tim", &LoginNames::default()).await;
    assert!(
        matches!(found, Err(DirectoryError::Temporary(_))),
        "{found:?}"
    );
    // Something else in its place.
    fs::write(
        &path,
        "no database at all, but long enough to look like one ".repeat(30),
    )
    .unwrap();
    let found = look_up().find("tim", &LoginNames::default()).await;
    assert!(
        matches!(found, Err(DirectoryError::Permanent(_))),
        "{found:?}"
    );
    // Back.
    fs::rename(directory.path().join("elsewhere"), &path).unwrap();
    assert!(
        look_up()
            .find("tim", &LoginNames::default())
            .await
            .unwrap()
            .is_some()
    );
}

#[test]
fn databases_of_others_and_of_later_versions_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    for (name, statement) in [
        ("other", "CREATE TABLE mail (x)"),
        (
            "later",
            "PRAGMA application_id = 1382380404; PRAGMA user_version = 99; CREATE TABLE t (x)",
        ),
        (
            "never",
            "PRAGMA application_id = 1382380404; PRAGMA user_version = -1; CREATE TABLE t (x)",
        ),
    ] {
        let path = directory.path().join(name);
        Connection::open(&path)
            .unwrap()
            .execute_batch(statement)
            .unwrap();
        let before = fs::read(&path).unwrap();
        let error = Builtin::open(&path).unwrap_err();
        match name {
            "later" => assert!(matches!(error, BuiltinError::Newer { .. }), "{error:?}"),
            _ => assert!(matches!(error, BuiltinError::Foreign { .. }), "{error:?}"),
        }
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}

#[test]
fn a_damaged_credential_is_an_obstacle_and_the_others_are_served() {
    let OnDisk { directory, builtin } = on_disk();
    builtin.add("tim", &"pencil".into()).unwrap();
    builtin.add("tom", &"pencil".into()).unwrap();
    let connection = Connection::open(directory.path().join("accounts.sqlite")).unwrap();
    for damage in [
        "UPDATE credential SET password = '' WHERE account = 'tim'",
        "UPDATE credential SET password = '$argon2id$v=19$m=4294967295,t=9999,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAA' WHERE account = 'tim'",
        "UPDATE credential SET scram_sha_256 = '1,x,y,z' WHERE account = 'tim'",
    ] {
        builtin.set_password("tim", &"pencil".into()).unwrap();
        connection.execute_batch(damage).unwrap();
        let account = builtin.look_up("tim").unwrap().unwrap();
        assert!(
            account.credentials.is_err() && account.mailbox.is_ok(),
            "{damage}"
        );
        assert!(opens(&builtin, "tom", "pencil"));
    }
}

#[test]
fn many_processes_may_open_a_new_database_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts.sqlite");
    std::thread::scope(|scope| {
        for number in 0..4 {
            let path = &path;
            scope.spawn(move || {
                Builtin::open(path)
                    .unwrap()
                    .add(&format!("user{number}"), &"x".into())
                    .unwrap();
            });
        }
    });
    assert_eq!(Builtin::open(&path).unwrap().list().unwrap().len(), 4);
}
