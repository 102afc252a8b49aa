//! A server whose stdout is systemd's journal, where it stays and others read it.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    os::unix::fs::MetadataExt as _,
    process::Stdio,
};

use super::user::User;

/// Starts a server with stdout in a file that `JOURNAL_STREAM` names, or does not; gives what it
/// printed until it was ready, and the accounts that there are then.
fn first_start(names_stdout: bool) -> (String, String) {
    let user = User::new();
    let path = user.path("journal");
    let file = File::create(&path).unwrap();
    let facts = file.metadata().unwrap();
    let inode = facts.ino() + u64::from(!names_stdout);
    let mut server = user
        .command(&["serve"])
        .env("JOURNAL_STREAM", format!("{}:{inode}", facts.dev()))
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = BufReader::new(server.stderr.take().unwrap());
    let is_ready = log.lines().any(|line| line.unwrap() == "ready");
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(is_ready);
    let accounts = user.run(&["account", "list"]).well();
    (fs::read_to_string(path).unwrap(), accounts)
}

#[test]
fn no_password_comes_into_the_journal_unasked() {
    let (printed, accounts) = first_start(true);
    assert!(!printed.contains("  password "), "{printed}");
    assert!(printed.contains("account add"), "{printed}");
    assert_eq!(accounts, "");
    // Who has stdout elsewhere, a terminal say, gets the account.
    let (printed, accounts) = first_start(false);
    assert!(printed.contains("  password "), "{printed}");
    assert_eq!(accounts, "you@localhost\n");
}
