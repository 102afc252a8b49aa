//! From a server into a Maildir.

use std::{
    future::pending,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use restante_client::{Security, Server, Timeouts};
use restante_fetch::{
    Account, AccountName, AnyDestination, Event, Keep, Larger, Listener, Maildir, Nameless, Policy,
    Report, Secret, Source, collect,
};
use tempfile::TempDir;

use crate::office::{Habits, Letter, Office, PATIENCE, letters};

/// What a person has who collects mail.
pub(crate) struct Person {
    home: PathBuf,
    /// Gone when the person is, unless somebody else's.
    _own: Option<TempDir>,
    pub(crate) account: Account,
    pub(crate) told: Arc<Told>,
}

/// Everything that was told, in words.
#[derive(Default)]
pub(crate) struct Told(Mutex<Vec<String>>);

impl Listener for Told {
    fn hear(&self, _account: &str, event: Event<'_>) {
        let word = match event {
            Event::Received { .. } | Event::Planned { .. } | Event::Ended { .. } => return,
            event => format!("{event:?}"),
        };
        self.0.lock().expect("nobody panics here").push(word);
    }
}

impl Told {
    pub(crate) fn count(&self, word: &str) -> usize {
        let told = self.0.lock().expect("nobody panics here");
        told.iter().filter(|it| it.starts_with(word)).count()
    }
}

impl Person {
    pub(crate) fn new(office: &Office, keep: Keep) -> Self {
        let home = TempDir::new().expect("a directory");
        let port = office.address.port();
        let person = Self::at(home.path().to_owned(), port, keep);
        Self {
            _own: Some(home),
            ..person
        }
    }

    pub(crate) fn at(home: PathBuf, port: u16, keep: Keep) -> Self {
        let mut server = Server::new("127.0.0.1", port, Security::Loopback);
        server.timeouts = Timeouts {
            connect: PATIENCE,
            handshake: PATIENCE,
            close: PATIENCE,
        };
        server.limits.greeting_duration_max = PATIENCE;
        server.limits.silence_duration_max = PATIENCE;
        let account = Account {
            name: AccountName::new("work").expect("a name"),
            server,
            user: "tim".into(),
            secret: Secret::Password(Source::Known("secret".into())),
            apop: false,
            policy: Policy {
                keep,
                message_octets_max: 1 << 20,
                larger: Larger::Leave,
                nameless: Nameless::Identify,
            },
            received: false,
            interval: PATIENCE,
        };
        Self {
            home,
            _own: None,
            account,
            told: Arc::default(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.home.join("state")
    }

    pub(crate) fn maildir(&self) -> PathBuf {
        self.home.join("Mail")
    }

    pub(crate) async fn collect(&self) -> Report {
        let maildir = AnyDestination::Maildir(Maildir::new(&self.maildir()));
        self.collect_into(vec![maildir]).await
    }

    pub(crate) async fn collect_into(&self, places: Vec<AnyDestination>) -> Report {
        let told = self.told.clone();
        collect(&self.account, &self.state(), places, told, pending()).await
    }

    /// The messages that have arrived, as they were sent, sorted.
    pub(crate) fn mail(&self) -> Vec<Vec<u8>> {
        mail(&self.maildir())
    }

    /// Nothing lost, nothing twice, nothing half.
    pub(crate) fn assert_has(&self, letters: &[Letter]) {
        let mut expected: Vec<Vec<u8>> = letters.iter().map(|it| it.octets.clone()).collect();
        expected.sort();
        let mail = self.mail();
        assert_eq!(mail.len(), expected.len(), "how many have arrived");
        assert!(mail == expected, "what has arrived is something else");
    }
}

pub(crate) fn mail(maildir: &Path) -> Vec<Vec<u8>> {
    let mut mail = Vec::new();
    for folder in ["new", "cur"] {
        for entry in std::fs::read_dir(maildir.join(folder))
            .into_iter()
            .flatten()
        {
            let octets = std::fs::read(entry.expect("an entry").path()).expect("a message");
            mail.push(as_sent(octets));
        }
    }
    mail.sort();
    mail
}

/// A file with a CRLF holds the message as it came; in any other LF stands for CRLF.
fn as_sent(octets: Vec<u8>) -> Vec<u8> {
    if octets.windows(2).any(|pair| pair == b"\r\n") {
        return octets;
    }
    let mut out = Vec::new();
    for octet in octets {
        if octet == b'\n' {
            out.push(b'\r');
        }
        out.push(octet);
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn prj_fetch_1_all_mail_arrives_octet_for_octet_and_is_deleted() {
    for no_pipelining in [false, true] {
        let habits = Habits {
            no_pipelining,
            ..Habits::default()
        };
        let all = letters(300, 1500);
        let office = Office::open(all.clone(), habits).await;
        let person = Person::new(&office, Keep::Delete);
        let report = person.collect().await;
        assert!(report.trouble.is_none(), "{report:?}");
        assert_eq!((report.arrived, report.deleted), (300, 300));
        person.assert_has(&all);
        assert!(office.letters().is_empty());
        assert!(office.removed_unread().is_empty());
        // A second run finds nothing, and delivers nothing.
        let report = person.collect().await;
        assert_eq!((report.listed, report.arrived), (0, 0));
        person.assert_has(&all);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_mail_arrives_once() {
    let all = letters(20, 500);
    let office = Office::open(all.clone(), Habits::default()).await;
    let person = Person::new(&office, Keep::Forever);
    for _ in 0..3 {
        let report = person.collect().await;
        assert!(report.trouble.is_none(), "{report:?}");
        person.assert_has(&all);
    }
    assert_eq!(office.letters(), all);
    assert_eq!(office.count("RETR"), 20);
    assert_eq!(office.count("DELE"), 0);
}
