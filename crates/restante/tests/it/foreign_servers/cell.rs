//! A root directory of a server's own, with its users, its passwords and its `/usr`.
//!
//! ```text
//! /host/usr        this system's `/usr`, to read; `/lib` and `/bin` lead there
//! /usr             the server's packages, to read
//! everything else  a directory of the test's, removed with it
//! ```
//!
//! `bwrap` makes it in a mount namespace that only its process and those below see. They have a PID
//! namespace too, and die together.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::READER;
use crate::certificate;
use crate::server::PASSWORD;

/// Users and groups of the cells; no system has them.
pub(super) const READER_ID: u32 = 61_001;
pub(super) const SERVER_ID: u32 = 61_002;
const LOGIN_ID: u32 = 61_003;
/// Postfix shares its user with nobody, and has a group for those who hand mail in.
pub(super) const POSTFIX_ID: u32 = 61_006;
pub(super) const DROP_ID: u32 = 61_007;

/// The user whom the servers run as where they are not the reader, under each of their names.
const SERVER_NAMES: [&str; 7] = [
    "Debian-exim",
    "courier",
    "cyrus",
    "dovecot",
    "mailnull",
    "popa3d",
    "spop3d",
];

/// The services that listen have an address each: nobody else can have taken the port.
pub(super) const PORT: u16 = 11_110;
pub(super) const TLS_PORT: u16 = 11_995;

const START_LIMIT: Duration = Duration::from_secs(30);
const LOG: &str = "log";

pub(crate) struct Cell {
    directory: TempDir,
    packages: PathBuf,
    address: Ipv4Addr,
    processes: RefCell<Vec<Child>>,
}

impl Cell {
    /// A cell for the server with this name among the unpacked.
    pub(super) fn new(server: &str) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "other servers become their users, and only root can: run this test as root"
        );
        let directory = tempfile::Builder::new().prefix("cell-").tempdir().unwrap();
        let cell = Self {
            directory,
            packages: crate::migration::foreign::tree(server).join("usr"),
            address: own_address(),
            processes: RefCell::default(),
        };
        fs::set_permissions(cell.directory.path(), Permissions::from_mode(0o755)).unwrap();
        for name in ["bin", "lib", "lib64", "sbin"] {
            symlink(format!("host/usr/{name}"), cell.path(name)).unwrap();
        }
        for name in ["dev", "host/usr", "proc", "run", "tmp", "usr", "etc/tls"] {
            cell.make_directory(name, 0);
        }
        cell.make_directory("home/reader", READER_ID);
        cell.make_directory("var/mail", READER_ID);
        symlink("../run", cell.path("var/run")).unwrap();
        // Dot-locks are made by whoever reads the mail, and the spool is open to them.
        fs::set_permissions(cell.path("var/mail"), Permissions::from_mode(0o1777)).unwrap();
        cell.write_users();
        let address = cell.address.to_string();
        certificate::write_for(&cell.path("etc/tls"), &["localhost", &address]);
        cell
    }

    fn write_users(&self) {
        let mut passwd = String::from("root:x:0:0::/:/bin/sh\n");
        let mut group = String::from("root:x:0:\nmail:x:61004:\nsasl:x:61005:\n");
        group += &format!("postdrop:x:{DROP_ID}:\n");
        let mut add = |name: &str, id: u32, home: &str| {
            passwd += &format!("{name}:x:{id}:{id}::{home}:/bin/sh\n");
            group += &format!("{name}:x:{id}:\n");
        };
        add(READER, READER_ID, "/home/reader");
        for name in SERVER_NAMES {
            add(name, SERVER_ID, "/nonexistent");
        }
        add("dovenull", LOGIN_ID, "/nonexistent");
        add("postfix", POSTFIX_ID, "/nonexistent");
        let hash = crypted(PASSWORD);
        self.write("etc/passwd", &passwd);
        self.write("etc/group", &group);
        self.write(
            "etc/shadow",
            &format!("{READER}:{hash}:19000:0:99999:7:::\n"),
        );
        self.write(
            "etc/nsswitch.conf",
            "passwd: files\ngroup: files\nshadow: files\nhosts: files\n",
        );
        self.write("etc/hosts", "127.0.0.1 localhost\n");
        let pam = "auth required pam_unix.so\naccount required pam_unix.so\n";
        self.write("etc/pam.d/other", pam);
    }

    /// Where something in the cell is for everybody else.
    pub(super) fn path(&self, inside: &str) -> PathBuf {
        self.directory.path().join(inside)
    }

    /// The address that is this cell's alone.
    pub(super) fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::from((self.address, port))
    }

    pub(super) fn authority(&self) -> PathBuf {
        self.path("etc/tls/authority.pem")
    }

    pub(super) fn write(&self, inside: &str, text: &str) {
        let file = self.path(inside);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    /// Makes a directory and gives it to this user.
    pub(super) fn make_directory(&self, inside: &str, owner: u32) {
        fs::create_dir_all(self.path(inside)).unwrap();
        self.give(inside, owner);
    }

    pub(super) fn give(&self, inside: &str, owner: u32) {
        chown(self.path(inside), Some(owner), Some(owner)).unwrap();
    }

    /// How a program is run in the cell, with nothing in its environment but this.
    pub(super) fn recipe(&self, environment: &[(&str, &str)], words: &[&str]) -> Recipe {
        let mut recipe = Recipe {
            arguments: Vec::new(),
            log: self.path(LOG),
        };
        recipe.say(["--unshare-pid", "--die-with-parent", "--new-session"]);
        recipe.say(["--cap-add", "ALL", "--clearenv", "--bind"]);
        recipe.say([self.directory.path().as_os_str(), "/".as_ref()]);
        recipe.say(["--ro-bind", "/usr", "/host/usr", "--ro-bind"]);
        recipe.say([self.packages.as_os_str(), "/usr".as_ref()]);
        recipe.say(["--dev", "/dev", "--proc", "/proc"]);
        recipe.say(["--setenv", "PATH", "/usr/sbin:/usr/bin:/sbin:/bin"]);
        for (name, value) in environment {
            recipe.say(["--setenv", name, value]);
        }
        recipe.say(words);
        recipe
    }

    /// Runs a program to its end, and gives it something to read.
    pub(super) fn run(&self, words: &[&str], input: &str) -> Output {
        let mut command = self.recipe(&[], words).command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut stdin = process.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        output
    }

    /// Starts a program that runs until the cell is dropped.
    pub(super) fn start(&self, words: &[&str]) {
        let mut command = self.recipe(&[], words).command();
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let process = command.spawn().unwrap();
        self.processes.borrow_mut().push(process);
    }

    /// As [`Cell::start`]; waits until it listens on these ports.
    pub(super) fn serve(&self, words: &[&str], ports: &[u16]) {
        self.start(words);
        self.wait_for(ports);
    }

    /// Waits until somebody listens on each of these ports.
    pub(super) fn wait_for(&self, ports: &[u16]) {
        for &port in ports {
            self.wait_until(|| TcpStream::connect(self.address(port)).is_ok());
        }
    }

    pub(super) fn wait_until(&self, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + START_LIMIT;
        while !is_so() {
            assert!(Instant::now() < deadline, "not started:\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What was complained about, and what stands in this log of the server's own.
    pub(super) fn log_and(&self, inside: &str) -> String {
        self.log() + &fs::read_to_string(self.path(inside)).unwrap_or_default()
    }

    /// What was complained about.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.path(LOG)).unwrap_or_default()
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        for process in self.processes.get_mut() {
            // An error says that it has ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A command that can be run again and again. What it complains about goes to the cell's log.
#[derive(Clone)]
pub(super) struct Recipe {
    arguments: Vec<OsString>,
    log: PathBuf,
}

impl Recipe {
    fn say(&mut self, words: impl IntoIterator<Item = impl AsRef<OsStr>>) {
        let words = words.into_iter().map(|word| word.as_ref().to_owned());
        self.arguments.extend(words);
    }

    pub(super) fn command(&self) -> Command {
        let mut options = File::options();
        let log = options.create(true).append(true).open(&self.log).unwrap();
        let mut command = Command::new("bwrap");
        command.args(&self.arguments).stderr(log);
        command
    }
}

/// An address of this machine that no other process and no other cell of this one uses: of the 24
/// bits that 127/8 leaves, 20 are the process's and 4 count.
fn own_address() -> Ipv4Addr {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    let count = COUNT.fetch_add(1, Ordering::Relaxed) & 0xf;
    let bits = (127 << 24) | ((std::process::id() & 0xf_ffff) << 4) | count;
    Ipv4Addr::from_bits(bits)
}

/// What `/etc/shadow` has for a password.
fn crypted(password: &str) -> String {
    let output = Command::new("openssl")
        .args(["passwd", "-6", password])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
