//! Passwords that a person is asked for at a terminal, and tokens that a program gives.

use std::{
    io::{Read as _, Write as _},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{
    Reader,
    stranger::{Door, Stranger, letters},
    trust::Person,
};
use crate::program::user::{PATIENCE, User};

/// The program at a terminal, which `script` plays.
struct Terminal {
    child: Child,
    shown: Arc<Mutex<String>>,
    reading: JoinHandle<()>,
}

impl Terminal {
    fn run(user: &User, words: &[&str]) -> Self {
        let program = user.command(words);
        let line = [&[env!("CARGO_BIN_EXE_restante")], words]
            .concat()
            .join(" ");
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--flush", "--command", &line])
            .arg("/dev/null")
            .env_clear()
            .envs(
                program
                    .get_envs()
                    .filter_map(|(key, value)| Some((key, value?))),
            )
            .env("TERM", "xterm")
            .current_dir(program.get_current_dir().unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = child.stdout.take().unwrap();
        let shown = Arc::new(Mutex::new(String::new()));
        let reading = thread::spawn({
            let shown = Arc::clone(&shown);
            move || {
                let mut room = [0; 4096];
                while let Ok(count @ 1..) = output.read(&mut room) {
                    let text = String::from_utf8_lossy(&room[..count]);
                    shown.lock().unwrap().push_str(&text);
                }
            }
        });
        Self {
            child,
            shown,
            reading,
        }
    }

    #[track_caller]
    fn wait_for(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.shown.lock().unwrap().contains(text) {
            let shown = self.shown.lock().unwrap().clone();
            assert!(Instant::now() < deadline, "no `{text}`: {shown:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn type_line(&mut self, line: &str) {
        let keys = self.child.stdin.as_mut().unwrap();
        keys.write_all(format!("{line}\n").as_bytes()).unwrap();
        keys.flush().unwrap();
    }

    /// The exit code, and all that was shown.
    fn ended(mut self) -> (Option<i32>, String) {
        // The terminal stays until the program has gone.
        let keys = self.child.stdin.take();
        let code = self.child.wait().unwrap().code();
        drop(keys);
        self.reading.join().unwrap();
        let shown = self.shown.lock().unwrap().clone();
        (code, shown)
    }
}

#[test]
fn a_person_is_asked_for_the_password_and_shown_how_far_it_has_come() {
    let reader = Reader::new("");
    let mut terminal = Terminal::run(&reader.user, &["fetch", "--config", "fetch.toml"]);
    terminal.wait_for("Password of me@example.com at 127.0.0.1: ");
    terminal.type_line("secret");
    let (code, shown) = terminal.ended();
    assert_eq!(code, Some(0), "{shown:?}");
    assert_eq!(reader.mail().len(), 2);
    assert!(shown.contains("of 2 messages, "), "{shown:?}");
    assert!(!shown.contains(" , ") && !shown.contains("iB"), "{shown:?}");
    assert!(shown.contains("work: collected 2 messages"), "{shown:?}");
    // PRJ-SEC-7: nobody who looks on reads it.
    assert!(!shown.contains("secret"), "{shown:?}");

    // Nothing new: nothing is drawn.
    let mut terminal = Terminal::run(&reader.user, &["fetch", "--config", "fetch.toml"]);
    terminal.wait_for("Password of ");
    terminal.type_line("secret");
    let (code, shown) = terminal.ended();
    assert_eq!(code, Some(0), "{shown:?}");
    assert!(!shown.contains("messages, "), "{shown:?}");
}

// R7628-OAB-1, XOAUTH2-3
#[test]
fn a_token_is_made_for_each_run_and_goes_over_tls_alone() {
    let person = Person::new();
    let signed = person.sign("localhost", 2100).config;
    let capabilities = b"+OK\r\nUIDL\r\nTOP\r\nSASL OAUTHBEARER\r\n.\r\n";
    let answers: [(&str, &[u8]); 3] = [
        ("CAPA", capabilities),
        ("AUTH OAUTHBEARER", b"+ \r\n"),
        // `n,a=me,` as it begins in base64.
        ("bixhPW1l", b"+OK\r\n"),
    ];
    let server = Stranger::with(
        (Door::Tls(signed), Box::new(|_| ())),
        letters(3, 300),
        answers.to_vec(),
    );
    let keys = "ca_file = \"authority.pem\"\n\
                oauth = { token_command = \"echo run >> runs; echo ya29.$(wc -l < runs)\" }";
    let without_password = |keys: &str| {
        let path = person.write(&server, keys);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("password = \"secret\"\n", "")).unwrap();
        person.user.run(&["fetch", "--config", &path])
    };
    for run in 1..=2 {
        let ran = without_password(keys);
        assert_eq!(ran.code, 0, "{ran:?}");
        person.assert_all(&server);
        let heard = server.heard_under_tls();
        let told = heard.iter().rev().find(|line| line.starts_with("bixhPW1l"));
        let told = BASE64_STANDARD.decode(told.unwrap()).unwrap();
        let told = String::from_utf8(told).unwrap();
        assert!(
            told.contains(&format!("auth=Bearer ya29.{run}\u{1}")),
            "{told:?}"
        );
        assert!(!format!("{ran:?}").contains("ya29"), "{ran:?}");
    }

    // In the clear it is not told, to this machine either.
    let server = Stranger::answering(letters(3, 300), &answers);
    let path = person.write(
        &server,
        "tls = \"none\"\noauth = { token_command = \"echo ya29\" }",
    );
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text
        .replace("password = \"secret\"\n", "")
        .replace("localhost", "127.0.0.1");
    std::fs::write(&path, text).unwrap();
    let ran = person.user.run(&["fetch", "--config", &path]);
    assert_ne!(ran.code, 0, "{ran:?}");
    let heard = server.heard_in_the_clear();
    assert!(heard.iter().all(|line| line == "CAPA"), "{heard:?}");
}
