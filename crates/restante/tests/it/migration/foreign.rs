//! Dovecot's and Courier's POP3 servers, unpacked from their packages by `cargo xtask test`.
//!
//! Their login processes want accounts, daemons and paths of an installed system, and know nothing
//! of mail. So the test's own door takes the password, and then the process that serves a mailbox
//! gets the connection through its standard input and output: Courier's `courierpop3login` starts
//! `courierpop3d` in just this way, and Dovecot's `pop3` is made for that too.

use std::fs;
use std::io::{self, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use super::own_as;
use crate::server::Site;

/// Dovecot does not serve mail as root. This user owns no file of any system.
const UNPRIVILEGED: u32 = 65534;

const PIECE_OCTETS: usize = 16 * 1024;

/// A server that serves one mailbox.
#[derive(Clone)]
pub(crate) struct Foreign {
    program: PathBuf,
    arguments: Vec<PathBuf>,
    environment: Vec<(&'static str, PathBuf)>,
    /// What is to be said to the client that has logged in, if the program does not say it.
    greeting: &'static str,
    log: PathBuf,
}

impl Foreign {
    /// Dovecot with these lines in its configuration.
    pub(crate) fn dovecot(site: &Site, settings: &str) -> Self {
        let tree = tree("dovecot");
        let configuration = site.path().join("dovecot.conf");
        let owner = give_away(site);
        let lines = format!(
            "base_dir = {0}\nlog_path = /dev/stderr\nssl = no\nprotocols = pop3\n\
             mail_location = maildir:{1}\nmail_uid = {owner}\nmail_gid = {owner}\n\
             first_valid_uid = 1\ndefault_login_user = root\ndefault_internal_user = root\n\
             default_internal_group = root\n{settings}",
            site.path().join("dovecot").display(),
            site.maildir().display(),
        );
        fs::write(&configuration, lines).unwrap();
        Self {
            program: tree.join("usr/bin/doveconf"),
            arguments: [
                "-c",
                configuration.to_str().unwrap(),
                "-f",
                "service=pop3",
                "-e",
                tree.join("usr/lib/dovecot/pop3").to_str().unwrap(),
            ]
            .map(PathBuf::from)
            .to_vec(),
            environment: vec![
                ("LD_LIBRARY_PATH", libraries(&tree)),
                ("USER", "reader".into()),
                ("HOME", site.path().to_owned()),
            ],
            greeting: "+OK Logged in.\r\n",
            log: site.path().join("dovecot.log"),
        }
    }

    pub(crate) fn courier(site: &Site) -> Self {
        let tree = tree("courier");
        Self {
            program: tree.join("usr/lib/courier/courier/courierpop3d"),
            arguments: vec![site.maildir()],
            environment: vec![
                ("LD_LIBRARY_PATH", libraries(&tree)),
                ("AUTHENTICATED", "reader".into()),
            ],
            greeting: "",
            log: site.path().join("courier.log"),
        }
    }

    /// Serves a client that has logged in, to the end.
    pub(crate) fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        client.write_all(self.greeting.as_bytes())?;
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(&self.log)?;
        // Through pipes: Dovecot takes a socket for a sign that nobody has logged in.
        let mut process = Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let (mut from_client, mut to_client) = (client.try_clone()?, client.try_clone()?);
        let to_process = process.stdin.take();
        let up = thread::spawn(move || {
            to_process.map(|mut to_process| pass_on(&mut from_client, &mut to_process))
        });
        if let Some(mut from_process) = process.stdout.take() {
            pass_on(&mut from_process, &mut to_client)?;
        }
        process.wait()?;
        client.shutdown(Shutdown::Both)?;
        let _ = up.join();
        Ok(())
    }
}

/// Lets Dovecot look into the mailbox as IMAP does: every message there gets a UID.
pub(crate) fn look_by_imap(site: &Site) {
    let tree = tree("dovecot");
    let owner = fs::metadata(site.maildir()).unwrap().uid();
    let looked = Command::new(tree.join("usr/bin/doveconf"))
        .arg("-c")
        .arg(site.path().join("dovecot.conf"))
        .args(["-f", "service=doveadm", "-e"])
        .arg(tree.join("usr/bin/doveadm"))
        .args(["fetch", "uid", "mailbox", "INBOX"])
        .env_clear()
        .env("LD_LIBRARY_PATH", libraries(&tree))
        .env("USER", "reader")
        .env("HOME", site.path())
        .uid(owner)
        .gid(owner)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&looked.stderr);
    assert!(looked.status.success(), "{said}");
}

/// As `io::copy`, which may splice: the kernel then holds the pipe's lock while it waits for the
/// client, and the process cannot read what has come.
fn pass_on(from: &mut impl io::Read, to: &mut impl io::Write) -> io::Result<()> {
    let mut room = vec![0; PIECE_OCTETS];
    loop {
        let count = from.read(&mut room)?;
        if count == 0 {
            return Ok(());
        }
        to.write_all(&room[..count])?;
    }
}

/// Where the server was unpacked.
pub(crate) fn tree(server: &str) -> PathBuf {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/servers");
    let tree = tree.join(server);
    assert!(
        tree.is_dir(),
        "`{}` is not there: `cargo xtask test` unpacks what the tests need",
        tree.display()
    );
    tree.canonicalize().unwrap()
}

/// Every directory of the tree in which there is a library.
fn libraries(tree: &Path) -> PathBuf {
    let mut found = Vec::new();
    let mut directories = vec![tree.join("usr/lib"), tree.join("lib")];
    while let Some(directory) = directories.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        let mut holds_library = false;
        for entry in entries {
            let entry = entry.unwrap();
            holds_library |= entry.file_name().to_string_lossy().contains(".so");
            if entry.file_type().unwrap().is_dir() {
                directories.push(entry.path());
            }
        }
        if holds_library {
            found.push(directory.to_str().unwrap().to_owned());
        }
    }
    found.join(":").into()
}

/// Gives the mailbox to somebody who is not root, if we are, and returns who it is.
fn give_away(site: &Site) -> u32 {
    let maildir = site.maildir();
    let owner = fs::metadata(&maildir).unwrap().uid();
    if owner != 0 {
        return owner;
    }
    // The way there is open to the new owner.
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(site.path(), open).unwrap();
    std::os::unix::fs::chown(&maildir, Some(UNPRIVILEGED), Some(UNPRIVILEGED)).unwrap();
    let mut directories = vec![maildir.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            own_as(&path, &maildir);
            if path.is_dir() {
                directories.push(path);
            }
        }
    }
    UNPRIVILEGED
}
