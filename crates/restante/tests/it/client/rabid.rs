//! rabid, the load generator of the package postal: many sessions that retrieve and delete.
//!
//! It knows no TLS, writes commands in lower case, and never ends by itself. Told to keep mail,
//! it waits for ever after the first message, whatever the server says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{Client, Policy, Transport, check};
use crate::corpus::Letter;
use crate::server::{PASSWORD, Server, Site, USER};

const LIMIT: Duration = Duration::from_secs(60);

/// Longer lines do not fit into its buffer.
const LINE_OCTETS_MAX: usize = 1000;

/// A rabid that runs until it is dropped.
struct Running {
    process: Child,
    log: PathBuf,
}

impl Running {
    fn start(server: &Server, users: &[&str], processes: usize) -> Self {
        let directory = server.site.path().join("rabid");
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        let users: Vec<String> = users
            .iter()
            .map(|user| format!("{user} {PASSWORD}\n"))
            .collect();
        fs::write(directory.join("users"), users.concat()).unwrap();
        let address = format!("[127.0.0.1]{}", server.plain.port());
        let process = Command::new(program())
            .args([
                "-a",
                "-r",
                "1200",
                "-p",
                &processes.to_string(),
                &address,
                "users",
            ])
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("`rabid`: {error}; `cargo xtask test` installs what the tests need")
            });
        let log = directory.join("rabid.log");
        Self { process, log }
    }

    /// Waits until something holds of what it has retrieved so far.
    fn wait_until(&self, holds: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let log = fs::read(&self.log).unwrap_or_default();
            if holds(&log) {
                return log;
            }
            assert!(Instant::now() < deadline, "rabid has not come to its end");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// It lies where not everybody's search path looks.
fn program() -> &'static str {
    let path = "/usr/sbin/rabid";
    if Path::new(path).exists() {
        path
    } else {
        "rabid"
    }
}

struct Rabid;

impl Client for Rabid {
    fn fetch(&self, server: &Server, _: Transport, _: Policy) -> Vec<Vec<u8>> {
        let count = server.site.message_files().len();
        let rabid = Running::start(server, &[USER], 1);
        let log = rabid.wait_until(|log| {
            unstuffed(log).len() >= count && server.site.message_files().is_empty()
        });
        unstuffed(&log)
    }

    fn stores(&self, letter: &Letter) -> Option<Vec<u8>> {
        let wire = &letter.wire;
        if !wire.windows(4).any(|four| four == b"\r\n\r\n") {
            return None; // It waits for an empty line even after the termination line.
        }
        if wire.contains(&0)
            || wire
                .windows(2)
                .any(|two| two[0] == b'\r' && two[1] != b'\n')
        {
            return None; // NULs cut its lines, and lone CRs end them.
        }
        if wire
            .split(|octet| *octet == b'\n')
            .any(|line| line.len() > LINE_OCTETS_MAX)
        {
            return None; // What it writes down of longer lines is not what it has read.
        }
        Some(wire.clone())
    }
}

/// The messages in rabid's log, which keeps what came over the wire.
fn unstuffed(log: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut message = Vec::new();
    for line in log.split_inclusive(|octet| *octet == b'\n') {
        if line == b".\r\n" {
            messages.push(std::mem::take(&mut message));
        } else {
            message.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
    }
    messages
}

#[test]
fn e2e_rabid_plain_delete() {
    check(&Rabid, Transport::Plain, Policy::Delete);
}

#[test]
fn e2e_rabid_plain_delete_eight_at_once() {
    let names: Vec<String> = (0..8).map(|n| format!("load{n}@example.com")).collect();
    let site = Site::new(&[]);
    let letters = vec![Letter::new("load", "Subject: load\n\none of many\n.\n"); 25];
    site.write_mailboxes(&names, &letters);
    let server = Server::at(site);
    let users: Vec<&str> = names.iter().map(String::as_str).collect();
    let rabid = Running::start(&server, &users, 8);
    rabid.wait_until(|_| {
        names
            .iter()
            .all(|name| server.site.messages_of(name).is_empty())
    });
}
