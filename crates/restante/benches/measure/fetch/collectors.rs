//! The collectors, each told to fetch everything into a Maildir and to delete it.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::server::{PASSWORD, USER};

/// One of them.
#[derive(Clone, Copy)]
pub(super) enum Collector {
    Restante,
    Mpop,
    Fetchmail,
    Getmail,
}

pub(super) const COLLECTORS: [Collector; 4] = [
    Collector::Restante,
    Collector::Mpop,
    Collector::Fetchmail,
    Collector::Getmail,
];

/// What a run took.
pub(super) struct Cost {
    pub(super) elapsed: Duration,
    /// Of the program and all it has started.
    pub(super) processor: Duration,
    /// Of the largest of these.
    pub(super) memory_kilobytes: u64,
}

/// What is counted as a flush.
const FLUSHES: &str = "fsync,fdatasync,sync,syncfs,sync_file_range,msync";

impl Collector {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Restante => "restante",
            Self::Mpop => "mpop",
            Self::Fetchmail => "fetchmail with procmail",
            Self::Getmail => "getmail6 with procmail",
        }
    }

    /// It gets so many times fewer messages than the others: it waits several round trips for each,
    /// and the run would last for an hour.
    pub(super) fn divisor(self) -> usize {
        match self {
            Self::Restante | Self::Mpop => 1,
            Self::Fetchmail | Self::Getmail => 10,
        }
    }

    /// Fetches all mail of the server into a new Maildir in `directory`, where its state is too.
    /// `flush`: each flush takes so much longer. `None`: it has failed, and says why itself.
    pub(super) fn empty(
        self,
        server: SocketAddr,
        directory: &Path,
        count: usize,
        flush: Option<Duration>,
    ) -> Option<Cost> {
        let report = directory.join("time");
        let mut words = self.set_up(server, directory);
        if let Some(flush) = flush {
            let inject = format!("inject={FLUSHES}:delay_exit={}", flush.as_micros());
            let trace = format!("trace={FLUSHES}");
            let strace = ["strace", "-f", "--seccomp-bpf", "-o", "/dev/null"];
            let strace = strace.into_iter().chain(["-e", &trace, "-e", &inject]);
            words.splice(..0, strace.map(str::to_owned));
        }
        let began = Instant::now();
        let mut time = Command::new("/usr/bin/time");
        time.args(["--format", "%U %S %M", "--output"])
            .arg(&report)
            .args(words);
        if !run(time, directory) {
            return None;
        }
        let elapsed = began.elapsed();
        self.check(directory, count);
        let report = fs::read_to_string(report).unwrap();
        // A line before says so if the exit code was not 0.
        let numbers: Vec<f64> = report
            .lines()
            .last()
            .unwrap()
            .split(' ')
            .map(|number| number.parse().unwrap())
            .collect();
        Some(Cost {
            elapsed,
            processor: Duration::from_secs_f64(numbers[0] + numbers[1]),
            memory_kilobytes: numbers[2] as u64,
        })
    }

    /// The same under `strace`: how often it has asked for something to become durable.
    pub(super) fn count_flushes(
        self,
        server: SocketAddr,
        directory: &Path,
        count: usize,
    ) -> Option<u64> {
        let report = directory.join("calls");
        let words = self.set_up(server, directory);
        let mut strace = Command::new("strace");
        strace
            .args(["-f", "--seccomp-bpf", "-e"])
            .arg(format!("trace={FLUSHES}"))
            .arg("-o")
            .arg(&report)
            .args(words);
        if !run(strace, directory) {
            return None;
        }
        self.check(directory, count);
        let calls = fs::read_to_string(report).unwrap();
        // A call that another thread interrupts takes two lines.
        let begun = |line: &&str| line.contains("sync") && !line.contains("resumed>");
        Some(calls.lines().filter(begun).count() as u64)
    }

    fn check(self, directory: &Path, count: usize) {
        let delivered = fs::read_dir(directory.join("mail/new")).unwrap().count();
        assert_eq!(delivered, count, "{} has not fetched all", self.name());
    }

    /// Writes its configuration; how it is called.
    fn set_up(self, server: SocketAddr, directory: &Path) -> Vec<String> {
        for folder in ["cur", "new", "tmp"] {
            fs::create_dir_all(directory.join("mail").join(folder)).unwrap();
        }
        let rules = format!("DEFAULT={}/mail/\n", directory.display());
        fs::write(directory.join("rules"), rules).unwrap();
        let file = directory.join("configuration");
        let (place, port) = (directory.display(), server.port());
        let (path, home) = (file.display().to_string(), place.to_string());
        let (text, words): (String, Vec<&str>) = match self {
            Self::Restante => (
                format!(
                    "state = \"{place}/state\"\n[[account]]\nname = \"bench\"\nserver = \"127.0.0.1\"\n\
                     port = {port}\ntls = \"none\"\nuser = \"{USER}\"\npassword = \"{PASSWORD}\"\n\
                     keep = \"delete\"\nmax_message_size = \"1GiB\"\n\
                     deliver = {{ maildir = \"{place}/mail\" }}\n"
                ),
                vec![
                    env!("CARGO_BIN_EXE_restante"),
                    "fetch",
                    "--quiet",
                    "--config",
                    &path,
                ],
            ),
            Self::Mpop => (
                format!(
                    "account default\nhost 127.0.0.1\nport {port}\nuser {USER}\npassword \"{PASSWORD}\"\n\
                     auth user\ntls off\ndelivery maildir {place}/mail\nuidls_file {place}/uidls\n\
                     received_header off\nkeep off\n"
                ),
                vec!["mpop", "--quiet", "--file", &path],
            ),
            Self::Fetchmail => (
                format!(
                    "set no bouncemail\nset no spambounce\nset invisible\n\
                     poll 127.0.0.1 port {port} protocol pop3 uidl timeout 60 user {USER:?} \
                     password {PASSWORD:?} sslproto '' no sslcertck nokeep fetchall norewrite \
                     mda \"procmail {place}/rules\"\n"
                ),
                vec![
                    "fetchmail",
                    "--nodetach",
                    "--nosyslog",
                    "--silent",
                    "-f",
                    &path,
                ],
            ),
            Self::Getmail => (
                format!(
                    "[retriever]\ntype = SimplePOP3Retriever\nserver = 127.0.0.1\nport = {port}\n\
                     username = {USER}\npassword = {PASSWORD}\ntimeout = 120\n\
                     [destination]\ntype = MDA_external\npath = /usr/bin/procmail\n\
                     arguments = ('{place}/rules',)\nallow_root_commands = true\n\
                     [options]\nread_all = true\ndelete = true\nreceived = false\n\
                     delivered_to = false\nverbose = 0\n"
                ),
                vec!["getmail", "--getmaildir", &home, "--rcfile", &path],
            ),
        };
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        words.into_iter().map(str::to_owned).collect()
    }
}

/// Whether it has succeeded.
fn run(mut command: Command, home: &Path) -> bool {
    let child = command
        .env("HOME", home)
        .env("FETCHMAILHOME", home)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let status = child.status().unwrap_or_else(|error| {
        panic!(
            "{:?}: {error}; `cargo xtask test` installs it",
            child.get_program()
        )
    });
    if !status.success() {
        eprintln!("{child:?}: {status}");
    }
    status.success()
}
