//! Cyrus: its master, POP3 and LMTP. It takes mail by LMTP alone, and adds header fields to it.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::cell::{Cell, PORT, SERVER_ID, TLS_PORT};
use super::{ForeignServer, READER, Speaks};
use crate::corpus::on_the_wire;
use crate::server::PASSWORD;

const SPOOL: &str = "var/spool/cyrus";
const LMTP: &str = "run/cyrus/lmtp";

/// Headers are taken as they come, and nobody waits for a wrong password.
const CONFIGURATION: &str = "\
    configdirectory: /var/lib/cyrus\n\
    defaultpartition: default\n\
    partition-default: /var/spool/cyrus\n\
    servername: localhost\n\
    allowplaintext: yes\n\
    allowapop: yes\n\
    sasl_pwcheck_method: auxprop\n\
    sasl_auxprop_plugin: sasldb\n\
    sasl_sasldb_path: /etc/sasldb2\n\
    sasl_mech_list: PLAIN LOGIN CRAM-MD5 DIGEST-MD5 SCRAM-SHA-1 SCRAM-SHA-256\n\
    failedloginpause: 0s\n\
    tls_server_cert: /etc/tls/certificate.pem\n\
    tls_server_key: /etc/tls/key.pem\n\
    autocreate_quota: 0\n\
    autocreate_post: yes\n\
    munge8bit: no\n\
    lmtpsocket: /run/cyrus/lmtp\n";

pub(crate) struct Cyrus {
    cell: Cell,
}

impl Cyrus {
    pub(crate) fn start() -> Self {
        let cell = Cell::new("cyrus");
        for directory in ["var/lib/cyrus", SPOOL, "run/cyrus"] {
            cell.make_directory(directory, SERVER_ID);
        }
        cell.write("etc/imapd.conf", CONFIGURATION);
        cell.write("etc/cyrus.conf", &services(&cell));
        let words = ["/usr/sbin/saslpasswd2", "-c", "-p", "-f", "/etc/sasldb2"];
        let user = ["-u", "localhost", READER];
        cell.run(&[&words[..], &user].concat(), PASSWORD);
        cell.give("etc/sasldb2", SERVER_ID);
        for file in ["etc/tls/key.pem", "etc/tls/certificate.pem"] {
            cell.give(file, SERVER_ID);
        }
        cell.serve(&["/usr/sbin/cyrmaster", "-D"], &[PORT, TLS_PORT]);
        let socket = cell.path(LMTP);
        cell.wait_until(|| socket.exists());
        Self { cell }
    }

    /// The directory with the mailbox's messages, once there is one.
    fn mailbox(&self) -> Option<PathBuf> {
        let mut directories = vec![self.cell.path(SPOOL)];
        while let Some(directory) = directories.pop() {
            if directory.join("cyrus.index").exists() {
                return Some(directory);
            }
            let entries = fs::read_dir(&directory).unwrap();
            let paths = entries.map(|entry| entry.unwrap().path());
            directories.extend(paths.filter(|path| path.is_dir()));
        }
        None
    }

    /// The UIDs that its index has. It keeps files for a while whose messages are gone.
    fn indexed(&self) -> HashSet<u32> {
        let mailbox = format!("user/{READER}");
        let words = ["/usr/lib/cyrus/bin/mbexamine", &mailbox];
        let shown = self.cell.run(&words, "").stdout;
        let shown = String::from_utf8_lossy(&shown);
        let fields = shown.lines().filter_map(|line| line.split_once("> UID:"));
        fields
            .map(|(_, rest)| rest.split(' ').next().unwrap().parse().unwrap())
            .collect()
    }

    /// The message files by UID.
    fn files(&self) -> Vec<(u32, PathBuf)> {
        let Some(mailbox) = self.mailbox() else {
            return Vec::new();
        };
        let entries = fs::read_dir(mailbox).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut files: Vec<(u32, PathBuf)> = paths
            .filter_map(|path| {
                let name = path.file_name()?.to_str()?;
                let uid = name.strip_suffix('.')?.parse().ok()?;
                Some((uid, path))
            })
            .collect();
        files.sort();
        files
    }
}

fn services(cell: &Cell) -> String {
    let [clear, tls] = [PORT, TLS_PORT].map(|port| cell.address(port));
    format!(
        "START {{\n  recover cmd=\"/usr/lib/cyrus/bin/ctl_cyrusdb -r\"\n}}\n\
         SERVICES {{\n  \
         pop3 cmd=\"/usr/lib/cyrus/bin/pop3d\" listen=\"{clear}\"\n  \
         pop3s cmd=\"/usr/lib/cyrus/bin/pop3d -s\" listen=\"{tls}\"\n  \
         lmtp cmd=\"/usr/lib/cyrus/bin/lmtpd\" listen=\"/{LMTP}\"\n\
         }}\n\
         EVENTS {{\n}}\n",
    )
}

impl ForeignServer for Cyrus {
    fn name(&self) -> &'static str {
        "Cyrus"
    }

    fn cell(&self) -> &Cell {
        &self.cell
    }

    fn speaks(&self) -> Speaks {
        Speaks::Tls
    }

    fn maildrop(&self) -> PathBuf {
        self.cell.path(SPOOL)
    }

    /// The header fields that it adds are part of what RETR owes.
    fn deliver(&self, letter: &[u8]) -> Vec<u8> {
        let before = self.files().last().map(|(uid, _)| *uid);
        lmtp(&self.cell.path(LMTP), &on_the_wire(letter));
        let (uid, file) = self.files().pop().unwrap();
        assert!(Some(uid) > before, "{uid}");
        fs::read(file).unwrap()
    }

    fn stored(&self) -> Vec<Vec<u8>> {
        let indexed = self.indexed();
        let files = self.files().into_iter();
        let files = files.filter(|(uid, _)| indexed.contains(uid));
        files.map(|(_, file)| fs::read(file).unwrap()).collect()
    }
}

fn lmtp(socket: &Path, message: &[u8]) {
    let mut stream = UnixStream::connect(socket).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let mut expect = |code: &str| loop {
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        assert!(line.starts_with(code), "{line}");
        if line.as_bytes().get(3) == Some(&b' ') {
            return;
        }
    };
    expect("220");
    let recipient = format!("RCPT TO:<{READER}>\r\n");
    for (command, code) in [
        ("LHLO localhost\r\n", "250"),
        ("MAIL FROM:<> BODY=8BITMIME\r\n", "250"),
        (&recipient, "250"),
        ("DATA\r\n", "354"),
    ] {
        stream.write_all(command.as_bytes()).unwrap();
        expect(code);
    }
    let mut stuffed = Vec::with_capacity(message.len() + 3);
    for line in message.split_inclusive(|&octet| octet == b'\n') {
        if line.starts_with(b".") {
            stuffed.push(b'.');
        }
        stuffed.extend_from_slice(line);
    }
    stuffed.extend_from_slice(b".\r\n");
    stream.write_all(&stuffed).unwrap();
    expect("250");
    stream.write_all(b"QUIT\r\n").unwrap();
    expect("221");
}
