//! Whole sessions over the wire: what strangers try, what the log keeps to itself, the end.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::corpus::{Letter, large};
use crate::server::{Keys, PASSWORD, Server, Site, USER};
use crate::wire::{Wire, status};

/// Every stored form of [`PASSWORD`] that a passwd-file may hold, made by `doveadm pw`.
const STORED: [(&str, &str); 11] = [
    ("plain", r"{PLAIN}Open-sesame!7=x"),
    (
        "sha512-crypt",
        r"{SHA512-CRYPT}$6$fmT3kMyVk1sQQTx1$q7OsBhcxlshMkngcK4anCretEBhr7LGPzzt/EyLe05W9xY9RLuWBxb.VmgzlFEE3aKE53xhuI1ysN8toopAk41",
    ),
    (
        "sha256-crypt",
        r"{SHA256-CRYPT}$5$tdaTub6xaNuU39PP$8.Zbww1V8nCjODi5sNN42evheWibSCTW53SSEEcfdAA",
    ),
    (
        "blf-crypt",
        r"{BLF-CRYPT}$2y$05$QHUfq4fG/67C2RYJcuhO0uTvJ9nCS4A/tUyAqeJ/93Dz0oJD7j8ZO",
    ),
    (
        "argon2id",
        r"{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$nZoJWQqBZVTQ4KuMF4+ZjA$tU1jys6QKPgex2gg9D9zeHPRJp1MV/zzCr/et02bSlQ",
    ),
    (
        "pbkdf2",
        r"{PBKDF2}$1$NvtXX6kAsWxG9.k/$5000$9963416020e2a4684a5a69244a38c6bd03cb85a0",
    ),
    ("ssha", r"{SSHA}CYsnPSwex+fiHMMXe2cuy4SJfqAkqNK7"),
    (
        "ssha256",
        r"{SSHA256}tFPYUANFofJXSVg+bZFfDsEGQrA3J35WeSo0ALz4+wQbM8S0",
    ),
    (
        "ssha512",
        r"{SSHA512}OmpKxlg8W84zZNkikSmjE2QoCk03YwZOcOHb29I0LuowYaZfGO35r2tSsufIdZvK3msDXx5jZyaqq28DClXGxfsi46U=",
    ),
    (
        "scram-sha-256",
        r"{SCRAM-SHA-256}4096,cNYsonJxqtEZU12X0FFYWg==,qzsReURw6mRig7kTjRdHDi5Br7h+/TE54oCYeLpMUb4=,TXRZp/Jes4U+RWDOVjJ0JqYLToGFSafrQdxNc47U0RE=",
    ),
    (
        "scram-sha-1",
        r"{SCRAM-SHA-1}4096,ZfGFu+ajWXFfYbyXu53MBA==,90raeg2evxEE4m08l+I3RBRjG8M=,4NEqm/TvcokAsFEuPcQUPPbyd3I=",
    ),
];

fn letters() -> Vec<Letter> {
    vec![
        Letter::new("one", "Subject: one\n\nfirst\n"),
        Letter::new("two", "Subject: two\n\nsecond\n"),
    ]
}

#[test]
fn every_scheme_of_a_foreign_passwd_file_logs_in() {
    let site = Site::new(&[]);
    let accounts: Vec<(String, &str)> = STORED
        .iter()
        .map(|(name, stored)| (format!("{name}@example.com"), *stored))
        .collect();
    let accounts: Vec<(&str, &str)> = accounts
        .iter()
        .map(|(name, stored)| (name.as_str(), *stored))
        .collect();
    site.write_accounts(&accounts);
    for (name, _) in &accounts {
        crate::corpus::write_maildir(&site.maildir_of(name), &letters());
    }
    let server = Server::at(site);
    for (name, _) in accounts {
        let mut wire = Wire::tls(&server);
        assert_eq!(status(&wire.command(&format!("USER {name}"))), "+OK");
        let wrong = wire.command(&format!("PASS {PASSWORD}x"));
        assert!(wrong.starts_with("-ERR [AUTH]"), "{name}: {wrong}");
        assert_eq!(status(&wire.command(&format!("USER {name}"))), "+OK");
        let right = wire.command(&format!("PASS {PASSWORD}"));
        assert_eq!(status(&right), "+OK", "{name}: {right}");
        assert!(wire.command("STAT").starts_with("+OK 2 "), "{name}");
        assert_eq!(status(&wire.command("QUIT")), "+OK");
    }
}

/// Whatever way a secret takes to the server, it does not come into the log, at any level.
#[test]
fn prj_sec_2_no_secret_comes_into_the_log() {
    let site = {
        let keys = Keys {
            pop3: "apop = true\nmechanisms = [\"PLAIN\", \"LOGIN\", \"SCRAM-SHA-256\"]",
            ..Keys::default()
        };
        Site::configured(&letters(), &keys)
    };
    let server = Server::verbose_at(site);
    let plain = STANDARD.encode(format!("\0{USER}\0{PASSWORD}"));
    let wrong = STANDARD.encode(format!("\0{USER}\0not-{PASSWORD}"));
    let name = STANDARD.encode(USER);
    let password = STANDARD.encode(PASSWORD);
    let digest = "0123456789abcdef0123456789abcdef";
    let dialogues: [&[String]; 9] = [
        &[format!("USER {USER}"), format!("PASS {PASSWORD}")],
        &[format!("USER {USER}"), format!("PASS not-{PASSWORD}")],
        &[format!("PASS {PASSWORD}")],
        &[format!("USER {USER}"), format!("PASS {PASSWORD}\0")],
        &[format!("AUTH PLAIN {plain}")],
        &[format!("AUTH PLAIN {wrong}")],
        &["AUTH PLAIN".to_owned(), plain.clone()],
        &["AUTH LOGIN".to_owned(), name, password.clone()],
        &[
            format!("APOP {USER} {digest}"),
            format!("PASSS {PASSWORD}"),
            password.clone(),
        ],
    ];
    for dialogue in dialogues {
        let mut wire = Wire::tls(&server);
        for line in dialogue {
            wire.command(line);
        }
        wire.command("QUIT");
    }
    // A password in the wrong place: typed as the name, and as a command.
    let mut wire = Wire::tls(&server);
    wire.command(PASSWORD);
    wire.command("QUIT");
    let (_, _, log) = server.stop();
    assert!(log.contains(USER), "the log tells who logged in:\n{log}");
    for secret in [PASSWORD, &plain, &wrong, &password, digest] {
        assert!(!log.contains(secret), "`{secret}` in the log:\n{log}");
    }
}

/// A delivery in the same tick of the clock as a poll is seen by the next poll.
#[test]
fn prj_lock_4_each_delivery_is_seen_by_the_next_poll() {
    let server = Server::with(&[]);
    for count in 0..30 {
        let mut wire = Wire::plain(&server).logged_in();
        assert!(wire.command("STAT").starts_with(&format!("+OK {count} ")));
        deliver(&server.site, &format!("Subject: {count}\n\nnew\n"));
        // PRJ-LOCK-4: what came during the session is not seen in it.
        assert!(wire.command("STAT").starts_with(&format!("+OK {count} ")));
        assert_eq!(status(&wire.command("QUIT")), "+OK");
    }
}

fn deliver(site: &Site, text: &str) {
    let mut process = site
        .program(&["deliver", USER])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = process.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    assert!(process.wait().unwrap().success());
}

/// A million commands in one breath: each is answered in its turn, in bounded memory.
#[test]
fn r2449_pipe_1_a_million_pipelined_commands_are_answered_in_order() {
    const COMMANDS: usize = 1_000_000;
    let server = Server::with(&letters());
    let mut reader = Wire::plain(&server).logged_in();
    let before = server.resident_kilobytes();
    let mut writer = reader.second_handle();
    let writing = thread::spawn(move || {
        let some = "NOOP\r\n".repeat(1000);
        for _ in 0..COMMANDS / 1000 {
            writer.write_all(some.as_bytes()).unwrap();
        }
        writer.write_all(b"STAT\r\n").unwrap();
    });
    for _ in 0..COMMANDS {
        assert_eq!(status(&reader.line()), "+OK");
    }
    assert!(reader.line().starts_with("+OK 2 "));
    writing.join().unwrap();
    let grown = server.resident_kilobytes().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} kB more");
}

/// A peer that asks for much and reads nothing costs bounded memory, and others go on.
#[test]
fn prj_timer_5_a_peer_that_never_reads_costs_little() {
    let letter = Letter::new("large", large(4 << 20));
    let server = Server::with(&[letter]);
    let mut greedy = Wire::plain(&server).logged_in();
    let before = server.resident_kilobytes();
    // The server stops reading while it cannot write: what it has not taken stays with us.
    let mut writer = greedy.second_handle();
    writer
        .set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let _ = writer.write_all("RETR 1\r\n".repeat(100_000).as_bytes());
    let mut other = Wire::plain(&server);
    assert!(!other.lines("CAPA").is_empty());
    let grown = server.resident_kilobytes().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} kB more");
    assert!(greedy.line().starts_with("+OK"), "it is still served");
    assert!(greedy.skip_lines() > 4 << 20);
}

/// One address cannot take all connections: it is told so, and others are served.
#[test]
fn prj_sec_5_connections_of_an_address_are_bounded() {
    let keys = Keys {
        tables: "[limits]\nconnections_per_address = 3",
        ..Keys::default()
    };
    let server = Server::at(Site::configured(&letters(), &keys));
    let mut held: Vec<Wire> = (0..3).map(|_| Wire::plain(&server)).collect();
    let mut surplus = Wire::unread(server.plain);
    assert!(surplus.line().starts_with("-ERR [SYS/TEMP]"));
    assert_eq!(surplus.until_closed(), b"");
    assert_eq!(status(&held.pop().unwrap().command("QUIT")), "+OK");
    server.wait_for_log("quit");
    let _ = Wire::plain(&server).logged_in();
}

/// Half a handshake holds nobody up and leaves no session.
#[test]
fn half_a_tls_handshake_holds_nobody_up() {
    let server = Server::with(&letters());
    let mut half = Vec::new();
    for _ in 0..20 {
        let mut wire = Wire::unread(server.tls);
        // The head of a ClientHello of 512 octets, and no more.
        wire.send(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
        half.push(wire);
    }
    let mut garbage = Wire::unread(server.tls);
    garbage.send(b"USER somebody\r\n");
    let answer = garbage.until_closed();
    assert!(!answer.starts_with(b"+OK") && !answer.starts_with(b"-ERR"));
    let mut wire = Wire::tls(&server).logged_in();
    assert!(wire.command("STAT").starts_with("+OK 2 "));
    for wire in &mut half {
        wire.shut_down();
        let answer = wire.until_closed();
        assert!(!answer.starts_with(b"+OK"), "no greeting without TLS");
    }
}

/// A connection that ends without QUIT deletes nothing.
#[test]
fn r1939_timer_4_no_quit_no_deletion() {
    let server = Server::with(&letters());
    let mut wire = Wire::plain(&server).logged_in();
    assert_eq!(status(&wire.command("DELE 1")), "+OK");
    wire.shut_down();
    wire.until_closed();
    let mut wire = Wire::tls(&server).logged_in();
    assert_eq!(status(&wire.command("DELE 2")), "+OK");
    drop(wire);
    let mut wire = Wire::plain(&server).logged_in();
    assert!(wire.command("STAT").starts_with("+OK 2 "));
    assert_eq!(server.site.message_files().len(), 2);
}

/// SIGTERM lets a running RETR finish, updates nothing, and ends with 0.
#[test]
fn prj_sec_6_sigterm_lets_running_commands_finish() {
    let letter = Letter::new("large", large(8 << 20));
    let server = Server::with(std::slice::from_ref(&letter));
    let mut wire = Wire::plain(&server).logged_in();
    let mut idle = Wire::plain(&server);
    assert_eq!(status(&wire.command("RETR 1")), "+OK");
    let reading = thread::spawn(move || {
        thread::sleep(Duration::from_millis(300));
        (wire.rest_of_lines(), wire.until_closed())
    });
    let began = Instant::now();
    let (site, end, log) = server.stop();
    assert!(end.success(), "{end}:\n{log}");
    assert!(began.elapsed() < Duration::from_secs(15));
    let (message, _) = reading.join().unwrap();
    assert!(message == letter.wire, "the message arrives whole");
    idle.until_closed();
    assert_eq!(site.message_files().len(), 1);
    assert!(fs::read_dir(site.maildir()).is_ok());
}

/// A file may be rewritten in place, its size and time put back: nothing but sending it shows that
/// other octets go out than are remembered. That session is cut off, the next one is right.
#[test]
fn prj_size_5_a_size_that_was_wrong_once_is_right_in_the_next_session() {
    let letter = Letter::new("rewritten", "Subject: a\n\nxx\nyy\n");
    let server = Server::with(&[letter]);
    let retrieve = || {
        let mut wire = Wire::plain(&server);
        wire.log_in(USER);
        assert_eq!(status(&wire.command("RETR 1")), "+OK");
        wire.shut_down();
        String::from_utf8(wire.read_to_end().unwrap()).unwrap()
    };
    assert_eq!(retrieve(), "Subject: a\r\n\r\nxx\r\nyy\r\n.\r\n");
    let new = server.site.maildir().join("new");
    let path = fs::read_dir(new).unwrap().next().unwrap().unwrap().path();
    let before = fs::metadata(&path).unwrap();
    let mut file = fs::File::options().write(true).open(&path).unwrap();
    file.write_all(b"Subject: a\n\nx\n\n\n\n\n").unwrap();
    file.set_modified(before.modified().unwrap()).unwrap();
    drop(file);
    assert_eq!(fs::metadata(&path).unwrap().len(), before.len());
    assert!(
        !retrieve().contains("\r\n.\r\n"),
        "it passed for a whole one"
    );
    assert_eq!(retrieve(), "Subject: a\r\n\r\nx\r\n\r\n\r\n\r\n\r\n.\r\n");
}
