//! Mail programs of others read the mbox that the collector writes: as many messages as came, with
//! the text that came, whatever lines stand in them.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::stranger::{Door, Letter, Stranger};
use crate::program::user::User;

/// Gives a program a terminal and throws away what it draws.
const AT_A_TERMINAL: &str = "import os, pty, sys
status = pty.spawn(sys.argv[1:])
sys.exit(os.waitstatus_to_exitcode(status))";

/// Bodies that have led readers astray: each line could begin a message, or hide one.
const BODIES: [&str; 8] = [
    "From me\r\n",
    "text\r\n\r\nFrom a@b.example Thu Nov 26 00:00:00 2026\r\nSubject: no message\r\n\r\nno body\r\n",
    "\r\n\r\nFrom a@b.example Thu Nov 26 00:00:00 2026\r\n\r\n\r\n",
    ">From me\r\n>>From me\r\n>From a@b.example Thu Nov 26 00:00:00 2026\r\n",
    "From\r\n From me\r\nFrom:\r\nfrom me\r\n",
    "From \r\n\r\nFrom \r\n\r\nFrom \r\n",
    "",
    "the last\r\n\r\n",
];

fn letters() -> Vec<Letter> {
    let letter = |(at, body): (usize, &&str)| {
        // A reader that goes by these fields takes the next message for a part of this one.
        let lies = ["Content-Length: 100000\r\nLines: 5000\r\nStatus: O\r\n", ""];
        let number = at + 1;
        let text = format!(
            "Date: Thu, 26 Nov 2026 00:00:{number:02} +0000\r\nMessage-ID: <{number}@example.com>\r\n\
             From: <a@example.com>\r\nSubject: letter {number}\r\n{}\r\n{body}",
            lies[at % 2]
        );
        let octets = text.into_bytes();
        Letter { number, octets }
    };
    BODIES.iter().enumerate().map(letter).collect()
}

/// Collects the letters into an mbox.
fn collect(user: &User) -> PathBuf {
    let server = Stranger::open(Door::Clear, letters());
    let text = format!(
        "state = \"state\"\n[[account]]\nname = \"work\"\nserver = \"127.0.0.1\"\ntls = \"none\"\n\
         port = {}\nuser = \"me\"\npassword = \"secret\"\ndeliver = {{ mbox = \"box\" }}\n",
        server.port
    );
    let path = user.path("fetch.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let ran = user.run(&["fetch", "--quiet", "--config", path.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    user.path("box")
}

/// The body as it stands in an mbox: these readers show the mark before `From `.
fn stored(body: &str) -> String {
    let lines = body.split_inclusive('\n').map(|line| {
        let line = line.replace("\r\n", "\n");
        match line.trim_start_matches('>').starts_with("From ") {
            true => format!(">{line}"),
            false => line,
        }
    });
    lines.collect()
}

/// The numbers and the bodies of messages in files, by number.
fn bodies(files: &[Vec<u8>]) -> Vec<(usize, String)> {
    let mut bodies: Vec<(usize, String)> = files
        .iter()
        .map(|file| {
            let text = String::from_utf8(file.clone()).unwrap();
            let (header, body) = text.split_once("\n\n").unwrap();
            let subject = header
                .lines()
                .find_map(|it| it.strip_prefix("Subject: letter "));
            (
                subject.unwrap().parse().unwrap(),
                body.trim_end().to_owned(),
            )
        })
        .collect();
    bodies.sort();
    bodies
}

fn expected() -> Vec<(usize, String)> {
    let bodies = BODIES.iter().enumerate();
    bodies
        .map(|(at, body)| (at + 1, stored(body).trim_end().to_owned()))
        .collect()
}

fn files(directory: &Path) -> Vec<Vec<u8>> {
    let entries = ["new", "cur"].map(|folder| fs::read_dir(directory.join(folder)).unwrap());
    let files = entries.into_iter().flatten();
    files
        .map(|file| fs::read(file.unwrap().path()).unwrap())
        .collect()
}

// PRJ-FETCH-13
#[test]
fn e2e_neomutt_reads_each_message_of_our_mbox_with_its_text() {
    let user = User::new();
    let mbox = collect(&user);
    let read = user.path("read");
    for folder in ["cur", "new", "tmp"] {
        fs::create_dir_all(read.join(folder)).unwrap();
    }
    let settings = format!(
        "set mbox_type = Maildir\nset spool_file = \"{0}\"\nset folder = \"{1}\"\nset wait_key = no\n\
         set quit = yes\nset confirm_append = no\nset confirm_create = no\nset header_cache = \"\"\n\
         set timeout = 5\nset sleep_time = 0\nset read_only = yes\nset copy = no\n\
         push \"<tag-pattern>~A<enter><tag-prefix><copy-message><kill-line>{2}<enter><exit>\"\n",
        mbox.display(),
        user.path("").display(),
        read.display()
    );
    let file = user.path("neomuttrc");
    fs::write(&file, settings).unwrap();
    let before = fs::read(&mbox).unwrap();
    let output = Command::new("python3")
        .args(["-c", AT_A_TERMINAL, "neomutt", "-n", "-F"])
        .arg(&file)
        .env("TERM", "xterm")
        .env("HOME", user.path(""))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(bodies(&files(&read)), expected());
    assert_eq!(fs::read(&mbox).unwrap(), before);
}
