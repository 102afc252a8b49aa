//! What other servers got wrong, one test for each (docs/vulnerabilities.md tells the stories).

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::thread;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::corpus::Letter;
use crate::server::{Keys, PASSWORD, Server, Site, USER};
use crate::wire::{Wire, status};

fn three_letters() -> [Letter; 3] {
    [
        Letter::new("one", "Subject: one\n\nfirst\nsecond\n"),
        Letter::new("two", "Subject: two\n\nfirst\nsecond\n"),
        Letter::new("three", "Subject: three\n\nfirst\nsecond\n"),
    ]
}

fn drop_listing(letters: &[Letter]) -> String {
    let octets: usize = letters.iter().map(|letter| letter.wire.len()).sum();
    format!("+OK {} {octets}", letters.len())
}

/// Stalwart took "0 lines" for "all lines".
#[test]
fn stalwart_top_n_0_sends_the_header_and_the_empty_line_alone() {
    // R1939-TOP-3
    let server = Server::with(&three_letters());
    let mut wire = Wire::plain(&server).logged_in();
    assert_eq!(wire.lines("TOP 1 0"), b"Subject: one\r\n\r\n");
    assert_eq!(wire.lines("TOP 1 1"), b"Subject: one\r\n\r\nfirst\r\n");
    assert_eq!(wire.lines("TOP 1 9"), wire.lines("RETR 1"));
}

/// Stalwart counted from 0 within and let 0 wrap around.
#[test]
fn stalwart_message_0_is_no_message() {
    // PRJ-NUM-2
    let server = Server::with(&three_letters());
    let mut wire = Wire::plain(&server).logged_in();
    for command in ["RETR 0", "TOP 0 1", "LIST 0", "UIDL 0", "DELE 0"] {
        assert_eq!(status(&wire.command(command)), "-ERR", "{command}");
    }
    assert_eq!(status(&wire.command("QUIT")), "+OK");
    assert_eq!(server.site.message_files().len(), 3, "nothing is deleted");
}

/// Stalwart kept its parser, and half a line in it, across STLS.
#[test]
fn stalwart_parser_state_does_not_cross_stls() {
    // PRJ-INJ-1
    let server = Server::with(&three_letters());
    let mut wire = Wire::plain(&server);
    wire.send(format!("STLS\r\nUSER {USER}\r\nPA").as_bytes());
    let answer = String::from_utf8(wire.until_closed()).unwrap();
    assert!(!answer.contains("+OK"), "{answer:?}");
    let log = server.log();
    assert!(!log.contains("login"), "nobody logs in:\n{log}");
}

/// A name given before STLS does not count after it.
#[test]
fn stalwart_pending_name_does_not_cross_stls() {
    // R2595-STLS-6
    let server = Server::with(&three_letters());
    let mut wire = Wire::plain(&server);
    assert_eq!(status(&wire.command(&format!("USER {USER}"))), "+OK");
    assert_eq!(status(&wire.command("STLS")), "+OK");
    let mut wire = wire.shake_hands(&server.site);
    assert_eq!(status(&wire.command(&format!("PASS {PASSWORD}"))), "-ERR");
    let mut wire = wire.logged_in();
    assert_eq!(wire.command("STAT"), drop_listing(&three_letters()));
}

/// Courier counts what is left anew in LIST and UIDL, so that numbers name other messages.
#[test]
fn courier_numbers_stay_after_dele() {
    // PRJ-LIST-6
    let letters = three_letters();
    let server = Server::with(&letters);
    let mut wire = Wire::plain(&server).logged_in();
    let before = String::from_utf8(wire.lines("UIDL")).unwrap();
    assert_eq!(status(&wire.command("DELE 1")), "+OK");
    let sizes: Vec<usize> = letters.iter().map(|letter| letter.wire.len()).collect();
    let listing = format!("2 {}\r\n3 {}\r\n", sizes[1], sizes[2]);
    assert_eq!(wire.lines("LIST"), listing.as_bytes());
    let after = String::from_utf8(wire.lines("UIDL")).unwrap();
    assert!(before.ends_with(&after), "{before}{after}");
    assert_eq!(wire.lines("RETR 2"), letters[1].wire);
    assert_eq!(wire.lines("TOP 3 9"), letters[2].wire);
    assert_eq!(status(&wire.command("RETR 1")), "-ERR");
}

/// Courier says good-bye and deletes then; whether it succeeds, nobody learns.
#[test]
fn courier_goodbye_comes_after_the_deletion() {
    // R1939-QUIT-2
    let server = Server::with(&three_letters());
    for left in [2, 1, 0] {
        let mut wire = Wire::plain(&server).logged_in();
        assert_eq!(status(&wire.command("DELE 1")), "+OK");
        assert_eq!(status(&wire.command("QUIT")), "+OK");
        assert_eq!(server.site.message_files().len(), left);
    }
}

/// …and a deletion that fails is told.
#[test]
fn courier_failure_to_delete_is_told() {
    // R1939-QUIT-3
    let server = Server::with(&three_letters());
    let mut wire = Wire::plain(&server).logged_in();
    assert_eq!(status(&wire.command("DELE 1")), "+OK");
    // Where the trash should be there is a file: nothing can be moved there.
    let trash = server.site.maildir().join("restante").join("trash");
    let _ = fs::remove_dir_all(&trash);
    fs::create_dir_all(trash.parent().unwrap()).unwrap();
    fs::write(&trash, "in the way").unwrap();
    assert_eq!(status(&wire.command("QUIT")), "-ERR");
    assert_eq!(server.site.message_files().len(), 3, "nothing is lost");
    let mut wire = Wire::plain(&server).logged_in();
    assert_eq!(status(&wire.command("STAT")), "+OK", "the lock is free");
}

/// Dovecot cut lines at NULs: what followed was not looked at.
#[test]
fn dovecot_nul_does_not_cut_a_line() {
    // PRJ-ERR-6
    let server = Server::with(&three_letters());
    let mut wire = Wire::plain(&server);
    assert_eq!(status(&wire.command(&format!("USER {USER}\0x"))), "-ERR");
    assert_eq!(status(&wire.command(&format!("USER {USER}"))), "+OK");
    let cut = wire.command(&format!("PASS {PASSWORD}\0x"));
    assert_eq!(status(&cut), "-ERR");
    let mut wire = wire.logged_in();
    assert_eq!(status(&wire.command("DELE 1\x002")), "-ERR");
    assert_eq!(wire.command("STAT"), drop_listing(&three_letters()));
}

/// Dovecot answered SCRAM of unknown users differently: names could be probed.
#[test]
fn dovecot_scram_does_not_tell_who_exists() {
    // PRJ-SCRAM-8
    // As always, long enough for any hash: here, for keys made from a `{PLAIN}` password.
    let keys = Keys {
        failure_time: "1s",
        ..Keys::default()
    };
    let server = Server::at(Site::configured(&three_letters(), &keys));
    let rounds: Vec<[ScramAttempt; 2]> = (0..4)
        .map(|_| {
            at_once(
                || scram_attempt(&server, USER),
                || scram_attempt(&server, NOBODY),
            )
        })
        .collect();
    let fake_salt = rounds[0][1].salt.clone();
    for [known, unknown] in &rounds {
        assert_eq!(known.salt_octets, unknown.salt_octets);
        assert_eq!(known.iterations, unknown.iterations);
        assert_eq!(known.refusal, unknown.refusal);
        assert_ne!(known.salt, unknown.salt);
        assert_eq!(unknown.salt, fake_salt, "the fake salt is stable");
        // The failure is told when its time is over, and not before.
        for refused in [known.seconds, unknown.seconds] {
            assert!(refused >= 1.0, "{refused} s");
        }
    }
    // Neither the challenge nor the failure tells anything by its time. Both attempts are made at
    // the same time, so that a busy machine is as busy for either; what is different in every one
    // of the rounds is no chance.
    for (what, of) in [
        (
            "challenge",
            (|attempt| attempt.challenge_seconds) as fn(&ScramAttempt) -> f64,
        ),
        ("failure", |attempt| attempt.seconds),
    ] {
        let apart = rounds
            .iter()
            .map(|[known, unknown]| of(known) - of(unknown));
        let apart: Vec<f64> = apart.collect();
        let least = apart
            .iter()
            .map(|apart| apart.abs())
            .fold(f64::INFINITY, f64::min);
        assert!(least < 0.05, "{what}: {apart:?} s apart");
    }
}

const NOBODY: &str = "nobody@example.com";

/// Does both at the same time.
fn at_once<T: Send>(one: impl FnOnce() -> T + Send, other: impl FnOnce() -> T + Send) -> [T; 2] {
    thread::scope(|scope| {
        let other = scope.spawn(other);
        [one(), other.join().unwrap()]
    })
}

struct ScramAttempt {
    salt: String,
    salt_octets: usize,
    iterations: String,
    refusal: String,
    challenge_seconds: f64,
    seconds: f64,
}

/// One SCRAM exchange with a wrong proof.
fn scram_attempt(server: &Server, name: &str) -> ScramAttempt {
    let mut wire = Wire::tls(server);
    let first = STANDARD.encode(format!("n,,n={name},r=rOprNGfwEbeRWgbNEkqO"));
    let began = Instant::now();
    let challenge = wire.command(&format!("AUTH SCRAM-SHA-256 {first}"));
    let challenge_seconds = began.elapsed().as_secs_f64();
    let challenge = STANDARD
        .decode(challenge.strip_prefix("+ ").expect("a challenge"))
        .unwrap();
    let challenge = String::from_utf8(challenge).unwrap();
    let value = |key: &str| {
        let mut parts = challenge.split(',');
        let part = parts.find_map(|part| part.strip_prefix(key));
        part.unwrap().to_owned()
    };
    let proof = STANDARD.encode([7; 32]);
    let last = STANDARD.encode(format!("c=biws,r={},p={proof}", value("r=")));
    let refusal = wire.command(&last);
    ScramAttempt {
        salt_octets: STANDARD.decode(value("s=")).unwrap().len(),
        salt: value("s="),
        iterations: value("i="),
        refusal,
        challenge_seconds,
        seconds: began.elapsed().as_secs_f64(),
    }
}

/// Dovecot refused the whole mailbox when one of its files could not be read.
#[test]
fn dovecot_one_bad_file_does_not_close_the_mailbox() {
    let letters = three_letters();
    let site = Site::new(&letters);
    let cur = site.maildir().join("cur");
    symlink("nowhere", cur.join("1600000001.dangling.post")).unwrap();
    symlink("/etc/hostname", cur.join("1600000002.link.post")).unwrap();
    fs::create_dir(cur.join("1600000003.directory.post")).unwrap();
    let pipe = cur.join("1600000004.pipe.post");
    assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
    symlink("loop", cur.join("loop")).unwrap();
    let damaged = [&[0x28, 0xb5, 0x2f, 0xfd][..], b"no zstd after all"].concat();
    fs::write(cur.join("1600000005.damaged.post"), damaged).unwrap();
    let server = Server::at(site);
    let mut wire = Wire::plain(&server).logged_in();
    let listing = String::from_utf8(wire.lines("UIDL")).unwrap();
    let mut received = Vec::new();
    for line in listing.lines() {
        let number = line.split(' ').next().unwrap();
        let first = wire.command(&format!("RETR {number}"));
        if status(&first) == "+OK" {
            received.push(wire.rest_of_lines());
        }
    }
    for letter in &letters {
        assert!(received.contains(&letter.wire), "{listing}");
    }
}

/// hMailServer: the session that did not get the lock freed it when it left.
#[test]
fn hmailserver_the_loser_does_not_free_the_lock() {
    // R2449-INUSE-1
    let keys = Keys {
        pop3: "in_use_wait = \"300ms\"",
        ..Keys::default()
    };
    let site = Site::configured(&three_letters(), &keys);
    let server = Server::at(site);
    let mut winner = Wire::plain(&server).logged_in();
    for _ in 0..3 {
        let mut loser = Wire::plain(&server);
        assert_eq!(status(&loser.command(&format!("USER {USER}"))), "+OK");
        let answer = loser.command(&format!("PASS {PASSWORD}"));
        assert!(answer.starts_with("-ERR [IN-USE]"), "{answer}");
        assert_eq!(status(&loser.command("QUIT")), "+OK");
        assert_eq!(loser.until_closed(), b"");
    }
    assert_eq!(winner.command("STAT"), drop_listing(&three_letters()));
    assert_eq!(status(&winner.command("QUIT")), "+OK");
    let _ = Wire::plain(&server).logged_in();
}
