//! Whatever a server says, nothing of it reaches a terminal or a file of the log as it is.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::stranger::{Stranger, letters};
use crate::program::user::{Ran, User};

/// Clears the screen, sets the title, changes the colour, rings, and begins a line of its own.
const UNIQUE_IDS: &[u8] =
    b"+OK\r\n1 \x1b[2Jone\r\n2 \x1b]0;title\x07two\r\n3 \xc2\x9b31m\x08three\r\n.\r\n";
const REFUSAL: &[u8] = b"-ERR \x1b[2J\x1b]0;title\x07 \xc2\x9b31m no\x0berror: forged\r\n";

fn fetch(user: &User, server: &Stranger, words: &[&str]) -> Ran {
    let text = format!(
        "state = \"state\"\n[[account]]\nname = \"work\"\nserver = \"127.0.0.1\"\ntls = \"none\"\n\
         port = {}\nuser = \"me\"\npassword = \"secret\"\nmax_message_size = \"1kB\"\n\
         deliver = {{ maildir = \"Mail\" }}\n",
        server.port
    );
    let path = user.path("fetch.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    user.run(&[&["fetch", "--config", path.to_str().unwrap()], words].concat())
}

/// Only text and line ends.
#[track_caller]
fn assert_tame(ran: &Ran) {
    for said in [&ran.stdout, &ran.stderr] {
        let wild = said.chars().find(|it| it.is_control() && *it != '\n');
        assert_eq!(wild, None, "{ran:?}");
        let forged = said.lines().any(|line| line.starts_with("error: forged"));
        assert!(!forged, "{ran:?}");
    }
}

// PRJ-ERR-6
#[test]
fn escape_sequences_of_a_server_reach_no_terminal_and_no_log() {
    let ways: [&[&str]; 6] = [
        &["--dry-run"],
        &["-v", "-v"],
        &["--json"],
        &["status"],
        &["seen"],
        &["seen", "--json"],
    ];
    let mut mail = letters(3, 300);
    mail[2].octets.extend(b"too large\r\n".repeat(200));
    let (refused, told) = (("RETR 2", REFUSAL), ("UIDL", UNIQUE_IDS));
    let user = User::new();
    let server = Stranger::answering(mail.clone(), &[told, refused]);
    let mut said = String::new();
    for words in ways {
        let ran = fetch(&user, &server, words);
        assert_tame(&ran);
        said += &ran.stdout;
        said += &ran.stderr;
    }
    // It was there, and was shown as what it is.
    assert!(said.contains("[2Jone") && said.contains("title"), "{said}");
    for word in ["CAPA", "USER", "PASS", "UIDL", "LIST", "RETR", "TOP"] {
        let server = Stranger::answering(mail.clone(), &[(word, REFUSAL)]);
        let user = User::new();
        for words in ways {
            assert_tame(&fetch(&user, &server, words));
        }
    }
}
