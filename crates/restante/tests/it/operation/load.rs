//! Real programs that fetch mail over and over while something happens to the server.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    corpus::{Letter, large, write_maildir},
    server::{PASSWORD, Site, USER},
};

const LIMIT: Duration = Duration::from_secs(60);

/// Whoever reads without deleting needs a mailbox of their own, and so does the second of two who
/// delete.
const READER: &str = "second@example.com";
const OTHER: &str = "third@example.com";

/// A site with the accounts that the programs need, and the letter that is read and not deleted.
pub(super) fn site() -> (Arc<Site>, Letter) {
    let site = Site::new(&[]);
    site.write_names(&[USER, READER, OTHER]);
    let letter = Letter::new("large", large(1 << 20));
    write_maildir(&site.maildir_of(READER), std::slice::from_ref(&letter));
    write_maildir(&site.maildir_of(OTHER), &[]);
    (Arc::new(site), letter)
}

/// mpop and fetchmail, which fetch and delete; curl, which retrieves one message; and somebody who
/// connects and goes, as fast as can be.
pub(super) struct Programs {
    site: Arc<Site>,
    loads: Vec<Load>,
    delivered: usize,
}

impl Programs {
    /// Starts them, and waits until each has run.
    pub(super) fn start(site: &Arc<Site>, address: SocketAddr, letter: Letter) -> Self {
        let loads = vec![
            mpop(site, address),
            fetchmail(site, address),
            curl(address, letter.wire),
            caller(address),
        ];
        let programs = Self {
            site: Arc::clone(site),
            loads,
            delivered: 0,
        };
        programs.have_run_twice();
        programs
    }

    /// Puts letters into the mailboxes as a mail server does.
    pub(super) fn deliver(&mut self, count: usize) {
        for number in self.delivered..self.delivered + count {
            for account in [USER, OTHER] {
                let maildir = self.site.maildir_of(account);
                let name = format!("1800000000.M{number}P9.post.example");
                let written = maildir.join("tmp").join(&name);
                let text = format!("Subject: {number}\n\nThe letter number {number}.\n");
                fs::write(&written, text).unwrap();
                fs::rename(written, maildir.join("new").join(name)).unwrap();
            }
        }
        self.delivered += count;
    }

    /// Waits until each has begun and ended twice from now on: whatever goes wrong must have its
    /// chance.
    pub(super) fn have_run_twice(&self) {
        for load in &self.loads {
            load.wait_for_runs(2);
        }
    }

    /// Ends them; a run that failed fails the test.
    pub(super) fn nothing_failed_or_was_repeated(self) {
        let runs: usize = self.loads.into_iter().map(Load::ended).sum();
        assert!(runs > 40, "{runs}");
        let once: BTreeMap<usize, usize> = (0..self.delivered).map(|number| (number, 1)).collect();
        for (account, fetched) in [(USER, "mpop/new"), (OTHER, "fetchmail/new")] {
            assert_eq!(letters(&self.site.path().join(fetched)), once, "{fetched}");
            assert!(self.site.messages_of(account).is_empty(), "{account}");
        }
    }
}

/// A program that runs again and again, each time to its end and well.
struct Load {
    runs: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Load {
    fn of(run: impl Fn() + Send + 'static) -> Self {
        let (runs, stop) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (counted, stopped) = (Arc::clone(&runs), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                run();
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { runs, stop, thread }
    }

    fn wait_for_runs(&self, count: usize) {
        // The one that is running now began before.
        let wanted = self.runs.load(Ordering::SeqCst) + count + 1;
        let deadline = Instant::now() + LIMIT;
        while self.runs.load(Ordering::SeqCst) < wanted && !self.thread.is_finished() {
            assert!(Instant::now() < deadline, "the program hangs");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn ended(self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
        self.runs.load(Ordering::SeqCst)
    }
}

/// A Maildir of the program's own.
fn maildir(site: &Site, program: &str) -> PathBuf {
    let maildir = site.path().join(program);
    for folder in ["cur", "new", "tmp"] {
        fs::create_dir_all(maildir.join(folder)).unwrap();
    }
    maildir
}

/// With STLS.
fn mpop(site: &Site, address: SocketAddr) -> Load {
    let text = format!(
        "account default\nhost 127.0.0.1\nport {}\nuser {USER}\npassword \"{PASSWORD}\"\n\
         auth on\ntls on\ntls_starttls on\ntls_trust_file {}\ndelivery maildir {}\n\
         uidls_file {}\nreceived_header off\nkeep off\n",
        address.port(),
        site.authority().display(),
        maildir(site, "mpop").display(),
        site.path().join("mpop.uidls").display(),
    );
    let file = site.write_private("mpoprc", &text);
    Load::of(move || {
        let mut program = Command::new("mpop");
        let ran = program.arg("--quiet").arg("--file").arg(&file).output();
        let ran = ran.unwrap();
        assert!(ran.status.success(), "{ran:?}");
    })
}

/// Without TLS.
fn fetchmail(site: &Site, address: SocketAddr) -> Load {
    let directory = maildir(site, "fetchmail").display().to_string();
    let agent =
        format!("f=$(mktemp {directory}/tmp/XXXXXXXX) && cat > $f && mv $f {directory}/new/");
    let text = format!(
        "set no bouncemail\nset no spambounce\nset invisible\n\
         poll 127.0.0.1 port {} protocol pop3 timeout 60 user {OTHER:?} password {PASSWORD:?} \
         sslproto '' no sslcertck mda {agent:?} nokeep no rewrite\n",
        address.port(),
    );
    let file = site.write_private("fetchmailrc", &text);
    let home = site.path().to_owned();
    Load::of(move || {
        let ran = Command::new("fetchmail")
            .args(["--nodetach", "--nosyslog", "-f"])
            .arg(&file)
            .arg("--idfile")
            .arg(home.join("fetchids"))
            .arg("--pidfile")
            .arg(home.join("fetchmail.pid"))
            .env("HOME", &home)
            .output()
            .unwrap();
        // 1: there was no mail.
        assert!(matches!(ran.status.code(), Some(0 | 1)), "{ran:?}");
    })
}

fn curl(address: SocketAddr, expected: Vec<u8>) -> Load {
    let url = format!("pop3://{address}/1");
    let user = format!("{READER}:{PASSWORD}");
    Load::of(move || {
        let mut program = Command::new("curl");
        program.args(["-q", "--silent", "--show-error", "--user", &user, &url]);
        let Output {
            status,
            stdout,
            stderr,
        } = program.output().unwrap();
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        assert!(stdout == expected, "not the message");
    })
}

/// Meets every moment at which nobody might answer.
fn caller(address: SocketAddr) -> Load {
    Load::of(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(b"QUIT\r\n").unwrap();
        let mut said = Vec::new();
        for line in BufReader::new(stream).lines() {
            said.push(line.unwrap());
        }
        let is_well = said.len() == 2 && said.iter().all(|line| line.starts_with("+OK"));
        assert!(is_well, "{said:?}");
    })
}

/// How often each letter was fetched.
fn letters(directory: &Path) -> BTreeMap<usize, usize> {
    let mut letters = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let subject = text.lines().find_map(|line| line.strip_prefix("Subject: "));
        *letters
            .entry(subject.unwrap().trim().parse().unwrap())
            .or_default() += 1;
    }
    letters
}
