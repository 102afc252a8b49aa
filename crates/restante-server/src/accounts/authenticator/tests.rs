//! Logins of every kind, and failures that cannot be told from each other.

mod alike;
mod apop;
mod ban_record;
mod certificate;
mod cram;
mod defence;
mod devices;
mod folders;
mod password;
mod sasl;
mod token;

use std::{fs, sync::atomic::Ordering, time::SystemTime};

use restante_sasl::scram::ScramHash;
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::time::Instant;

use super::*;
use crate::accounts::{Builtin, PasswdFile, PasswdFileSettings};

/// `pencil`, in several schemes.
const CRYPT: &str = "$5$abcdef$59IyG3l3m6ral2eIwcXuR7hwPakmKepIdXirFcqko71";
const SHA: &str = "{SHA}0vxRJJChUDZGC1SJQBQ51tpUB/o=";
const SCRAM: &str = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,\
                     WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,\
                     wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
const SCRAM_SHA_1: &str = "{SCRAM-SHA-1}4096,umkip+cPpkQb08BeqOT24g==,\
                           l7xP+pRspvhse8emlc5ZNbpwi6w=,nrXC8iEwxKZangs/feiGZ63oGPQ=";

const FAILURE_TIME: Duration = Duration::from_secs(2);

/// An authenticator over a passwd-file or database in a directory of its own.
struct World {
    directory: TempDir,
    authenticator: Arc<Authenticator>,
}

impl World {
    fn passwd(lines: &str) -> Self {
        Self::passwd_with(lines, |_| {})
    }

    fn passwd_with(lines: &str, change: impl FnOnce(&mut AuthenticatorSettings)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        fs::write(&path, lines).unwrap();
        let file = PasswdFile::new(PasswdFileSettings { path, uid: None }).unwrap();
        Self::over(directory, Directory::PasswdFile(Arc::new(file)), change)
    }

    /// One account, `tim@a.example`, with the password `pencil`.
    fn builtin() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let builtin = Builtin::open(&directory.path().join("accounts.sqlite")).unwrap();
        builtin.add("tim@a.example", &"pencil".into()).unwrap();
        Self::over(directory, Directory::Builtin(Arc::new(builtin)), |_| {})
    }

    fn over(
        directory: TempDir,
        accounts: Directory,
        change: impl FnOnce(&mut AuthenticatorSettings),
    ) -> Self {
        let mut settings = AuthenticatorSettings::new(SecretBox::new(Box::new([1; 32])));
        settings.names = LoginNames::new(Some("a.example"));
        change(&mut settings);
        let authenticator = Arc::new(Authenticator::new(accounts, settings).unwrap());
        Self {
            directory,
            authenticator,
        }
    }

    /// Puts another file in the place of the passwd-file, and lets it be seen.
    async fn change(&self, lines: &str) {
        let path = self.directory.path().join("new");
        fs::write(&path, lines).unwrap();
        let file = fs::File::options().append(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(60))
            .unwrap();
        fs::rename(path, self.directory.path().join("users")).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        self.authenticator.directory.look_up("tim").await.unwrap();
    }

    async fn password(&self, name: &str, password: impl AsRef<[u8]>) -> Told {
        let password = password.as_ref().to_vec().into();
        let client = client();
        let attempt = self.authenticator.password(&client, name, &password);
        self.tell(attempt).await
    }

    /// What a login came to, how long it took and what it cost.
    async fn tell(&self, login: impl Future<Output = Result<Authenticated, Refused>>) -> Told {
        let (began, before) = (Instant::now(), self.hashes());
        let result = login.await;
        let (took, hashes) = (began.elapsed(), self.hashes() - before);
        match result {
            Ok(authenticated) => Told {
                result: Ok(authenticated.account),
                took,
                hashes,
            },
            Err(refused) => Told {
                result: Err(refused.why),
                took,
                hashes,
            },
        }
    }

    fn hashes(&self) -> usize {
        self.authenticator.hashing.runs.load(Ordering::SeqCst)
    }
}

/// All that a login shows.
#[derive(Debug, Eq, PartialEq)]
struct Told {
    result: Result<String, Refusal>,
    took: Duration,
    hashes: usize,
}

impl Told {
    /// What every wrong password is told, at what cost.
    fn wrong() -> Self {
        Self {
            result: Err(Refusal::Credentials),
            took: FAILURE_TIME,
            hashes: 1,
        }
    }

    fn is_for(&self, account: &str) -> bool {
        self.result.as_deref() == Ok(account)
    }
}

fn client() -> Client {
    Client::new(IpAddr::from([192, 0, 2, 1]))
}

/// A client on a connection that TLS has exported from.
fn bound_client() -> Client {
    Client {
        exporter: Some([0x5A; 32]),
        ..client()
    }
}

// PRJ-SEC-2: every public type of accounts, formatted with a secret inside.
#[tokio::test(start_paused = true)]
async fn prj_sec_2_no_public_type_shows_a_secret() {
    let world = World::passwd("tim:{PLAIN}hunter2\ntom:{HUNTER2}hunter2\n");
    let password: SecretSlice<u8> = b"hunter2".to_vec().into();
    let authenticated = world
        .authenticator
        .password(&client(), "tim", &password)
        .await
        .unwrap();
    let refused = world
        .authenticator
        .password(&client(), "tom", &password)
        .await
        .unwrap_err();
    let wrong = world
        .authenticator
        .password(&client(), "hans", &password)
        .await
        .unwrap_err();
    let found = world
        .authenticator
        .directory
        .find("tim", &LoginNames::default())
        .await
        .unwrap();
    let mut login = world.authenticator.sasl(client(), "PLAIN").unwrap();
    let secret_line = line(b"\0tim\0hunter2");
    let before = format!("{login:?}");
    let outcome = login.step(Some(secret_line)).await;
    let mut shown = vec![
        format!("{authenticated:?} {refused:?} {wrong:?} {found:?} {before} {login:?} {outcome:?}"),
        format!("{:?} {}", refused.cause, refused.cause),
        format!("{:?}", world.authenticator),
        format!(
            "{:?}",
            Client {
                exporter: Some(*b"hunter2hunter2hunter2hunter2hunt"),
                ..client()
            }
        ),
        format!(
            "{:?}",
            AuthenticatorSettings::new(SecretBox::new(Box::new([b'h'; 32])))
        ),
    ];
    let entries = crate::accounts::PasswdEntries::parse(
        b"tim:{PLAIN}hunter2::::::host=hunter2",
        &PasswdFileSettings {
            path: "users".into(),
            uid: None,
        },
        &[1; 32],
    );
    shown.push(format!("{:?}", entries.account("tim")));
    shown.push(format!(
        "{:?}",
        Builtin::open(&world.directory.path().join("db")).unwrap()
    ));
    for text in shown {
        assert!(
            !text.contains("unter") && !text.contains("104, 117, 110"),
            "{text}"
        );
    }
}

/// A line of a SASL exchange.
fn line(octets: &[u8]) -> SecretSlice<u8> {
    restante_sasl::line::encode_initial_response(octets)
}

#[test]
fn mechanisms_are_those_with_which_everybody_can_be_verified() {
    use Mechanism::{Login, Plain, ScramSha1, ScramSha256, ScramSha256Plus};
    let offered = |world: &World, client: &Client| world.authenticator.mechanisms(client);
    let builtin = World::builtin();
    assert_eq!(offered(&builtin, &client()), [ScramSha256, Plain]);
    // R5802-PLUS-1: with channel binding both names.
    assert_eq!(
        offered(&builtin, &bound_client()),
        [ScramSha256Plus, ScramSha256, Plain]
    );

    let mixed = World::passwd(&format!("tim:{SCRAM}\ntom:{CRYPT}\n"));
    assert_eq!(offered(&mixed, &bound_client()), [Plain]);
    let clear = World::passwd(&format!("tim:{SCRAM}\ntom:{{PLAIN}}x\n"));
    assert_eq!(offered(&clear, &client()), [ScramSha256, Plain]);
    let old = World::passwd(&format!("tim:{SCRAM_SHA_1}\n"));
    assert_eq!(offered(&old, &client()), [ScramSha1, Plain]);
    assert_eq!(offered(&World::passwd(""), &client()), [Plain]);

    // PRJ-MECH-1: by policy, in the policy's order; -PLUS needs binding whatever the policy says.
    let policy = vec![Login, ScramSha256Plus, ScramSha256];
    let named = World::passwd_with("tim:{PLAIN}x\n", |s| s.mechanisms = Some(policy.clone()));
    assert_eq!(offered(&named, &client()), [Login, ScramSha256]);
    assert_eq!(offered(&named, &bound_client()), policy);
}
