//! The built program as a server of its own: directory, ports, accounts and certificate.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::certificate;
use crate::corpus::{self, Letter};

/// The account that the fixtures fill.
pub(crate) const USER: &str = "reader@example.com";

/// Its password. Every password of the fixtures contains this, so that one search of the log
/// finds them all.
pub(crate) const PASSWORD: &str = "Open-sesame!7=x";

/// What [`PASSWORD`] looks like in the commands that encode it: AUTH PLAIN, AUTH LOGIN.
const PASSWORD_ENCODED: [&str; 2] = [
    "AHJlYWRlckBleGFtcGxlLmNvbQBPcGVuLXNlc2FtZSE3PXg=",
    "T3Blbi1zZXNhbWUhNz14",
];

const START_LIMIT: Duration = Duration::from_secs(30);
/// What stands before the port of the plain listener in the settings that `serve` shows.
const STLS_PORT: &str = "STARTTLS on port ";

const STOP_LIMIT: Duration = Duration::from_secs(20);

/// What a test wants to have in its configuration.
pub(crate) struct Keys {
    /// Lines of the table `[pop3]`.
    pub(crate) pop3: &'static str,
    pub(crate) failure_time: &'static str,
    /// Further tables.
    pub(crate) tables: &'static str,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            pop3: "",
            // The default of two seconds would make tests slow.
            failure_time: "200ms",
            tables: "",
        }
    }
}

/// A directory with everything a server needs, before it runs and after.
pub(crate) struct Site {
    directory: TempDir,
}

impl Site {
    /// One account with these letters, and the configuration for it.
    pub(crate) fn new(letters: &[Letter]) -> Self {
        Self::configured(letters, &Keys::default())
    }

    /// As `new`, with keys of the test's own.
    pub(crate) fn configured(letters: &[Letter], keys: &Keys) -> Self {
        let Keys {
            pop3,
            failure_time,
            tables,
        } = keys;
        let directory = tempfile::Builder::new()
            .prefix("restante-")
            .tempdir()
            .unwrap();
        let site = Self { directory };
        certificate::write(site.path());
        site.write_names(&[USER]);
        corpus::write_maildir(&site.maildir(), letters);
        let root = site.path().display();
        let configuration = format!(
            r#"data = "{root}/data"
[pop3]
listen = ["127.0.0.1:0"]
listen_tls = ["127.0.0.1:0"]
{pop3}
[tls]
certificate = "{root}/certificate.pem"
key = "{root}/key.pem"
[accounts]
source = "passwd-file"
passwd_file = "{root}/users"
failure_time = "{failure_time}"
[mail]
maildir = "{root}/mail/{{domain}}/{{user}}"
{tables}
"#
        );
        fs::write(site.configuration(), configuration).unwrap();
        site
    }

    /// Replaces the passwd-file: names and stored passwords.
    pub(crate) fn write_accounts(&self, accounts: &[(&str, &str)]) {
        let lines: Vec<String> = accounts
            .iter()
            .map(|(name, password)| format!("{name}:{password}::::::\n"))
            .collect();
        fs::write(self.path().join("users"), lines.concat()).unwrap();
    }

    /// As `write_accounts`; each has [`PASSWORD`].
    pub(crate) fn write_names(&self, names: &[impl AsRef<str>]) {
        let password = format!("{{PLAIN}}{PASSWORD}");
        let accounts = names.iter().map(|name| (name.as_ref(), password.as_str()));
        self.write_accounts(&accounts.collect::<Vec<_>>());
    }

    /// As `write_names`, with these letters in each mailbox.
    pub(crate) fn write_mailboxes(&self, names: &[String], letters: &[Letter]) {
        self.write_names(names);
        for name in names {
            corpus::write_maildir(&self.maildir_of(name), letters);
        }
    }

    /// Writes a file that only its owner may read, as programs want those with passwords.
    pub(crate) fn write_private(&self, name: &str, text: &str) -> PathBuf {
        let file = self.path().join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        file
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn configuration(&self) -> PathBuf {
        self.path().join("restante.toml")
    }

    /// The Maildir of [`USER`].
    pub(crate) fn maildir(&self) -> PathBuf {
        self.maildir_of(USER)
    }

    pub(crate) fn maildir_of(&self, name: &str) -> PathBuf {
        let (user, domain) = name.split_once('@').unwrap();
        self.path().join("mail").join(domain).join(user)
    }

    /// The files that are messages: everything in `new` and `cur`.
    pub(crate) fn message_files(&self) -> Vec<PathBuf> {
        self.messages_of(USER)
    }

    /// As `message_files`, of another account.
    pub(crate) fn messages_of(&self, name: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for folder in ["new", "cur"] {
            let entries = fs::read_dir(self.maildir_of(name).join(folder)).unwrap();
            files.extend(entries.map(|entry| entry.unwrap().path()));
        }
        files.sort();
        files
    }

    /// The certificate authority that clients are told to trust.
    pub(crate) fn authority(&self) -> PathBuf {
        self.path().join("authority.pem")
    }

    /// The program with this site's configuration.
    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_restante"));
        command
            .args(arguments)
            .arg("--config")
            .arg(self.configuration())
            .env_remove("RESTANTE_CONFIG")
            .stdin(Stdio::null());
        command
    }
}

/// A running server. Dropping it kills the process and looks for secrets in its log.
pub(crate) struct Server {
    pub(crate) site: Site,
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    process: Running,
    log: Arc<Mutex<String>>,
}

impl Server {
    /// Starts a server with these letters in the mailbox of [`USER`].
    pub(crate) fn with(letters: &[Letter]) -> Self {
        Self::at(Site::new(letters))
    }

    /// Starts a server and waits until every listener accepts.
    pub(crate) fn at(site: Site) -> Self {
        Self::start(site, &[])
    }

    /// As `at`, with everything in the log that can come there.
    pub(crate) fn verbose_at(site: Site) -> Self {
        Self::start(site, &["-vv"])
    }

    fn start(site: Site, flags: &[&str]) -> Self {
        let Started {
            plain,
            tls,
            process,
            log,
        } = Started::at(&site, flags);
        Self {
            site,
            plain,
            tls,
            process,
            log,
        }
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process.0.id()
    }

    /// Physical memory of the process.
    pub(crate) fn resident_kilobytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process_id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.unwrap().trim().trim_end_matches(" kB");
        number.parse().unwrap()
    }

    /// Everything the server has written to standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the log contains the text.
    pub(crate) fn wait_for_log(&self, text: &str) {
        let deadline = Instant::now() + STOP_LIMIT;
        while !self.log().contains(text) {
            assert!(
                Instant::now() < deadline,
                "`{text}` never came into the log:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills the process as a power failure would, and gives back its site.
    pub(crate) fn kill(mut self) -> Site {
        self.process.end();
        self.into_site()
    }

    /// Asks the server to stop and waits until it has.
    pub(crate) fn stop(mut self) -> (Site, ExitStatus, String) {
        self.process.terminate();
        let status = self.process.ended();
        let log = self.log();
        (self.into_site(), status, log)
    }

    fn into_site(mut self) -> Site {
        let nothing = Site {
            directory: tempfile::tempdir().unwrap(),
        };
        std::mem::replace(&mut self.site, nothing)
    }
}

/// A server that has started at a site which may have others.
pub(crate) struct Started {
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    process: Running,
    log: Arc<Mutex<String>>,
}

impl Started {
    /// Starts a server and waits until every listener accepts.
    pub(crate) fn at(site: &Site, flags: &[&str]) -> Self {
        let process = site
            .program(&["serve"])
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut process = Running(process);
        let log = Arc::new(Mutex::new(String::new()));
        let shown = Arc::new(Mutex::new(String::new()));
        let shown_lines = follow(process.0.stdout.take().unwrap(), Arc::clone(&shown));
        let log_lines = follow(process.0.stderr.take().unwrap(), Arc::clone(&log));
        let deadline = Instant::now() + START_LIMIT;
        let until = |lines: Receiver<String>, wanted: fn(&str) -> bool| loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match lines.recv_timeout(left) {
                Ok(line) if wanted(&line) => break,
                Ok(_) => {}
                Err(_) => panic!(
                    "the server did not start:\n{}{}",
                    shown.lock().unwrap(),
                    log.lock().unwrap()
                ),
            }
        };
        until(shown_lines, |line| line.contains(STLS_PORT));
        until(log_lines, |line| line == "ready");
        let (plain, tls) = ports(&shown.lock().unwrap());
        Self {
            plain,
            tls,
            process,
            log,
        }
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process.0.id()
    }

    /// Everything the server has written to standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.0.try_wait().unwrap().is_some()
    }

    /// Waits until it ends; gives its exit code and its log.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let status = self.process.ended();
        (status.code(), self.log())
    }

    /// Asks it to stop, and waits.
    pub(crate) fn stop(self) -> (Option<i32>, String) {
        self.process.terminate();
        self.ended()
    }
}

/// A process that does not outlive its test.
struct Running(Child);

impl Running {
    fn terminate(&self) {
        let process = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    }

    fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + STOP_LIMIT;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn end(&mut self) {
        // An error says that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.end();
        if thread::panicking() {
            return;
        }
        // PRJ-SEC-2: whatever a test did, no secret came into the log.
        let log = self.log();
        for secret in PASSWORD_ENCODED.into_iter().chain([PASSWORD]) {
            assert!(!log.contains(secret), "a secret in the log:\n{log}");
        }
    }
}

/// Collects what the process writes, in the background, and passes its lines on.
fn follow(pipe: impl Read + Send + 'static, text: Arc<Mutex<String>>) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            let Ok(line) = line else { return };
            let mut text = text.lock().unwrap();
            text.push_str(&line);
            text.push('\n');
            drop(text);
            let _ = sender.send(line);
        }
    });
    receiver
}

/// The ports that the server took: it shows them as settings for mail programs.
fn ports(shown: &str) -> (SocketAddr, SocketAddr) {
    let after = |text: &str| {
        let (_, rest) = shown.split_once(text).unwrap();
        let digits = rest.trim_start().split(|c: char| !c.is_ascii_digit());
        let port: u16 = digits.into_iter().next().unwrap().parse().unwrap();
        SocketAddr::from(([127, 0, 0, 1], port))
    };
    (after(STLS_PORT), after("  port "))
}
