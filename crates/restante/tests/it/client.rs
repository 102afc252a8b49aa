//! Mail programs that nobody here wrote, against the built server.
//!
//! For each program there is a module that knows how to call it and what it does to a message on
//! the way (docs/compatibility.md has the reasons); the tests compare every octet that is left.

mod curl;
mod fetchmail;
mod getmail;
mod logins;
mod mpop;
mod neomutt;
mod perl;
mod python;
mod rabid;
mod ruby;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::certificate::HOST;
use crate::corpus::{Letter, corpus};
use crate::server::{Keys, PASSWORD, Server, Site, USER};

/// Fetches what is new over a plain connection to a port and leaves it on the server.
pub(crate) type Keep = fn(&Site, u16) -> Vec<Vec<u8>>;

/// Programs that leave mail on the server and remember what they have fetched. Each returns what
/// it stored.
pub(crate) const REMEMBERING: [(&str, Keep); 3] = [
    ("mpop", mpop::keep),
    ("fetchmail", fetchmail::keep),
    ("getmail", getmail::keep),
];

const RUN_LIMIT: Duration = Duration::from_secs(120);

/// How the program reaches the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Transport {
    Plain,
    Stls,
    Tls,
}

/// What becomes of the messages on the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Policy {
    Keep,
    Delete,
}

/// A program that retrieves everything from the server once.
trait Client {
    /// Retrieves every message that is new to the program; what it stored, in the server's order.
    fn fetch(&self, server: &Server, transport: Transport, policy: Policy) -> Vec<Vec<u8>>;

    /// What the program stores of a letter; `None` if it cannot carry it.
    fn stores(&self, letter: &Letter) -> Option<Vec<u8>>;

    /// What the server's configuration needs for this program.
    fn keys(&self) -> Keys {
        Keys::default()
    }

    /// Whether what the program stores can be told in the server's order.
    fn keeps_order(&self) -> bool {
        true
    }

    /// Whether the program remembers what it has fetched.
    fn remembers(&self) -> bool {
        false
    }
}

/// Lets the program fetch the corpus and compares what it stored, octet for octet; then looks at
/// what is left on the server.
fn check(client: &dyn Client, transport: Transport, policy: Policy) {
    let letters: Vec<Letter> = corpus()
        .into_iter()
        .filter(|letter| client.stores(letter).is_some())
        .collect();
    let server = Server::at(Site::configured(&letters, &client.keys()));
    let received = client.fetch(&server, transport, policy);
    compare(client, &letters, received);
    match policy {
        Policy::Keep => {
            assert_eq!(server.site.message_files().len(), letters.len(), "kept");
            if client.remembers() {
                let again = client.fetch(&server, transport, policy);
                assert_eq!(again.len(), 0, "a second run finds nothing new");
            }
        }
        Policy::Delete => {
            assert!(server.site.message_files().is_empty(), "deleted");
            let again = client.fetch(&server, transport, policy);
            assert_eq!(again.len(), 0, "the mailbox is empty");
        }
    }
}

fn compare(client: &dyn Client, letters: &[Letter], mut received: Vec<Vec<u8>>) {
    let mut expected: Vec<(&str, Vec<u8>)> = letters
        .iter()
        .map(|letter| (letter.name, client.stores(letter).unwrap()))
        .collect();
    if !client.keeps_order() {
        expected.sort_by(|(_, a), (_, b)| a.cmp(b));
        received.sort();
    }
    let mut differences = Vec::new();
    for ((name, expected), received) in expected.iter().zip(&received) {
        if received != expected {
            differences.push(difference(name, expected, received));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!(received.len(), expected.len(), "number of messages");
}

fn difference(name: &str, expected: &[u8], received: &[u8]) -> String {
    let mut pairs = expected.iter().zip(received);
    let at = pairs
        .position(|(expected, received)| expected != received)
        .unwrap_or(expected.len().min(received.len()));
    let around = |octets: &[u8]| {
        let part = octets.iter().skip(at.saturating_sub(20)).take(60);
        String::from_utf8_lossy(&part.copied().collect::<Vec<u8>>()).into_owned()
    };
    format!(
        "`{name}` differs at octet {at} ({} octets expected, {} received):\n{:?}\n{:?}",
        expected.len(),
        received.len(),
        around(expected),
        around(received),
    )
}

/// One test for each way in which the program can fetch.
macro_rules! every_way {
    ($client:expr; $($name:ident: $transport:ident $policy:ident,)+) => {
        $(
            #[test]
            fn $name() {
                let (transport, policy) =
                    ($crate::client::Transport::$transport, $crate::client::Policy::$policy);
                $crate::client::check(&$client, transport, policy);
            }
        )+
    };
}
use every_way;

/// Runs a script that writes the messages into a directory as files `1`, `2`, … and prints how
/// many there are. Its arguments: transport, policy, host, port, file of the certificate
/// authority, user, password, directory.
fn fetch_by_script(
    server: &Server,
    transport: Transport,
    policy: Policy,
    [interpreter, flag, script]: [&str; 3],
) -> Vec<Vec<u8>> {
    let directory = server.site.path().join(interpreter);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir(&directory).unwrap();
    let outcome = run(Command::new(interpreter)
        .args([flag, script])
        .args([format!("{transport:?}"), format!("{policy:?}")])
        .args([HOST, &port(server, transport).to_string()])
        .arg(server.site.authority())
        .args([USER, PASSWORD])
        .arg(&directory))
    .success();
    let count = String::from_utf8(outcome.stdout).unwrap();
    let files = 1..=count.trim().parse().unwrap();
    files
        .map(|number: usize| fs::read(directory.join(number.to_string())).unwrap())
        .collect()
}

fn port(server: &Server, transport: Transport) -> u16 {
    match transport {
        Transport::Plain | Transport::Stls => server.plain.port(),
        Transport::Tls => server.tls.port(),
    }
}

/// The end of a program's run.
struct Outcome {
    stdout: Vec<u8>,
    stderr: String,
    code: Option<i32>,
}

impl Outcome {
    fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.talk());
        self
    }

    fn talk(&self) -> String {
        let stdout = String::from_utf8_lossy(&self.stdout);
        let stdout: String = stdout.chars().take(2000).collect();
        format!("{stdout}\n{}", self.stderr)
    }
}

/// Runs a program to its end, within a limit.
fn run(command: &mut Command) -> Outcome {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("`{name}`: {error}; `cargo xtask test` installs what the tests need")
        });
    let stdout = collect(child.stdout.take().unwrap());
    let stderr = collect(child.stderr.take().unwrap());
    let code = wait(&mut child, &name);
    Outcome {
        stdout: stdout.join().unwrap(),
        stderr: String::from_utf8_lossy(&stderr.join().unwrap()).into_owned(),
        code,
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut octets = Vec::new();
        let _ = pipe.read_to_end(&mut octets);
        octets
    })
}

fn wait(child: &mut Child, name: &str) -> Option<i32> {
    let deadline = Instant::now() + RUN_LIMIT;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            panic!("`{name}` does not come to an end");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// The line ends of a file: LF.
fn with_line_feeds(wire: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(wire.len());
    for (index, &octet) in wire.iter().enumerate() {
        if octet != b'\r' || wire.get(index + 1) != Some(&b'\n') {
            octets.push(octet);
        }
    }
    octets
}

/// Empties and makes a Maildir for a program to deliver into.
fn make_maildir(directory: &Path) {
    let _ = fs::remove_dir_all(directory);
    for folder in ["cur", "new", "tmp"] {
        fs::create_dir_all(directory.join(folder)).unwrap();
    }
}

/// What is in the files of a directory, in the order in which a program that counts has made them:
/// numbers in names compare as numbers.
fn contents_in(directory: &Path) -> Vec<Vec<u8>> {
    let mut files: Vec<PathBuf> = match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => Vec::new(),
    };
    files.sort_by_cached_key(|file| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let numbers = name.split(|c: char| !c.is_ascii_digit());
        let numbers = numbers.filter_map(|digits| digits.parse::<u64>().ok());
        numbers.collect::<Vec<u64>>()
    });
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}
