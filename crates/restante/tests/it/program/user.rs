//! A user with a home of their own, the server they start, and a client that can do just enough.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Nothing here takes a second; a machine that is busy may need longer.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A user with a home directory and a configuration that listens on free ports.
pub(super) struct User {
    home: TempDir,
}

impl User {
    pub(super) fn new() -> Self {
        Self::with("[pop3]\nlisten = [\"127.0.0.1:0\"]\nlisten_tls = [\"127.0.0.1:0\"]\n")
    }

    pub(super) fn with(configuration: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("r.toml"), configuration).unwrap();
        Self { home }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(super) fn data(&self) -> PathBuf {
        self.path(".local/share/restante")
    }

    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_restante"));
        command
            .args(words)
            .current_dir(self.home.path())
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("RESTANTE_CONFIG", self.path("r.toml"));
        command
    }

    pub(super) fn run(&self, words: &[&str]) -> Ran {
        self.run_with(words, b"")
    }

    pub(super) fn run_with(&self, words: &[&str], stdin: &[u8]) -> Ran {
        let mut child = self
            .command(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that refuses may do so before it has read everything.
        let _ = child.stdin.take().unwrap().write_all(stdin);
        Ran::from(child.wait_with_output().unwrap())
    }

    pub(super) fn serve(&self) -> Server {
        Server::start(self.command(&["serve"]))
    }
}

/// A program that runs until it is told to stop. Dropping it kills it.
pub(super) struct Lasting(Child);

impl Lasting {
    pub(super) fn run(mut command: Command) -> Self {
        Self(command.spawn().unwrap())
    }

    /// Tells it to stop; its exit code.
    pub(super) fn stop(mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        self.0.wait().unwrap().code()
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("no signal ends it"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// Asserts that all went well and nothing was said on stderr.
    #[track_caller]
    pub(super) fn well(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{self:?}");
        self.stdout
    }

    /// Asserts that it ended with `code`, left stdout empty, and said `text` on stderr.
    #[track_caller]
    pub(super) fn refused(&self, code: i32, text: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "{self:?}");
        assert!(
            self.stderr.contains(text),
            "no `{text}` in\n{}",
            self.stderr
        );
    }
}

/// A server that runs, and what it has printed before it was ready.
pub(super) struct Server {
    pub(super) child: Child,
    pub(super) settings: String,
    pub(super) log: mpsc::Receiver<String>,
}

impl Server {
    pub(super) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (send_log, log) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in stderr.lines() {
                let _ = send_log.send(line.unwrap());
            }
        });
        let (send_settings, settings) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in stdout.lines() {
                let _ = send_settings.send(line.unwrap());
            }
        });
        let mut server = Self {
            child,
            settings: String::new(),
            log,
        };
        server.wait_for("ready");
        // The settings are printed before `ready`.
        while let Ok(line) = settings.recv_timeout(Duration::from_millis(300)) {
            server.settings.push_str(&line);
            server.settings.push('\n');
        }
        server
    }

    /// Reads the log up to a line; gives what was before it.
    #[track_caller]
    pub(super) fn wait_for(&mut self, what: &str) -> String {
        let mut before = String::new();
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) if line == what || line.contains(what) => return before,
                Ok(line) => before.push_str(&format!("{line}\n")),
                Err(error) => panic!("no `{what}` ({error}) in the log:\n{before}"),
            }
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Tells it to stop and waits; gives the exit code.
    pub(super) fn stop(mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.child.wait().unwrap().code()
    }

    /// The value of a row of the settings.
    #[track_caller]
    pub(super) fn setting(&self, name: &str) -> &str {
        let row = self
            .settings
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(name));
        row.unwrap_or_else(|| panic!("no `{name}` in\n{}", self.settings))
            .trim()
    }

    /// The command lines that are printed to be pasted.
    pub(super) fn curls(&self) -> Vec<&str> {
        let lines = self.settings.lines().map(str::trim);
        lines.filter(|line| line.starts_with("curl ")).collect()
    }

    pub(super) fn plain_address(&self) -> SocketAddr {
        let security = self.setting("security");
        let (_, port) = security.split_once("port ").unwrap();
        let port: u16 = port.trim_end_matches(')').parse().unwrap();
        SocketAddr::from(([127, 0, 0, 1], port))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a line as a person pastes it.
pub(super) fn paste(line: &str) -> Output {
    Command::new("sh")
        .args(["-c", line])
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// A client that can do just enough.
pub(super) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(super) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Self {
            stream: BufReader::new(stream),
        };
        assert!(client.line().starts_with("+OK"));
        client
    }

    pub(super) fn login(address: SocketAddr, user: &str, password: &str) -> (Self, bool) {
        let mut client = Self::connect(address);
        client.say(&format!("USER {user}"));
        let accepted = client.say(&format!("PASS {password}")).starts_with("+OK");
        (client, accepted)
    }

    pub(super) fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).unwrap();
        String::from_utf8_lossy(&line).into_owned()
    }

    pub(super) fn say(&mut self, command: &str) -> String {
        write!(self.stream.get_mut(), "{command}\r\n").unwrap();
        self.line()
    }

    /// The octets of a message as they are sent, without the terminating line.
    pub(super) fn retrieve(&mut self, number: u32) -> Vec<u8> {
        let answer = self.say(&format!("RETR {number}"));
        assert!(answer.starts_with("+OK"), "{answer}");
        let mut octets = Vec::new();
        while !octets.ends_with(b"\r\n.\r\n") {
            let before = octets.len();
            self.stream.read_until(b'\n', &mut octets).unwrap();
            assert!(octets.len() > before, "the connection ended");
        }
        octets.truncate(octets.len() - 3);
        octets
    }
}
