//! `restante fetch`: from our own server into files, as a person does it.

mod disks;
mod handing_on;
mod mbox_readers;
mod secrets;
mod stranger;
mod sync_order;
mod terminal;
mod trust;

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    sync::mpsc::{Receiver, channel},
    thread,
};

use serde_json::Value;

use super::user::{Client, Lasting, PATIENCE, Ran, Server, User};

const ME: &str = "me@example.com";

/// A server with an account that has two messages, and a file that says how to collect them.
struct Reader {
    user: User,
    server: Server,
}

impl Reader {
    fn new(keys: &str) -> Self {
        let user = User::new();
        user.run_with(&["account", "add", ME, "--password-stdin"], b"secret\n");
        for number in 1..=2 {
            deliver(&user, number);
        }
        let server = user.serve();
        let reader = Self { user, server };
        reader.write(keys);
        reader
    }

    fn write(&self, keys: &str) {
        self.write_into("{ maildir = \"Mail\" }", keys);
    }

    fn write_into(&self, deliver: &str, keys: &str) {
        let port = self.server.plain_address().port();
        let text = format!(
            "state = \"state\"\n[[account]]\nname = \"work\"\nserver = \"127.0.0.1\"\n\
             tls = \"none\"\nport = {port}\nuser = \"{ME}\"\ndeliver = {deliver}\n\
             {keys}\n"
        );
        let path = self.user.path("fetch.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn fetch(&self, words: &[&str]) -> Ran {
        let path = self.user.path("fetch.toml");
        let path = path.to_str().unwrap();
        self.user
            .run(&[&["fetch", "--config", path], words].concat())
    }

    fn mail(&self) -> Vec<String> {
        let entries = fs::read_dir(self.user.path("Mail/new"));
        let read = |entry: std::io::Result<fs::DirEntry>| {
            fs::read_to_string(entry.unwrap().path()).unwrap()
        };
        let mut mail: Vec<String> = entries.into_iter().flatten().map(read).collect();
        mail.sort();
        mail
    }

    fn on_server(&self) -> String {
        let (mut client, accepted) = Client::login(self.server.plain_address(), ME, "secret");
        assert!(accepted);
        client.say("STAT")
    }
}

fn deliver(user: &User, number: u32) {
    let text = format!("Date: now\nMessage-ID: <{number}@x>\nSubject: {number}\n\nbody\n");
    user.run_with(&["deliver", ME], text.as_bytes()).well();
}

#[test]
fn mail_is_shown_collected_kept_and_deleted_as_the_file_says() {
    let reader = Reader::new("password = \"secret\"");
    let shown = reader.fetch(&["--dry-run"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    assert_eq!(
        shown.stdout.matches("would be fetched").count(),
        2,
        "{shown:?}"
    );
    assert!(reader.mail().is_empty());

    let ran = reader.fetch(&[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:?}");
    assert!(ran.stderr.contains("work: collected 2 messages"), "{ran:?}");
    let mail = reader.mail();
    assert_eq!(mail.len(), 2);
    assert!(
        mail[0].contains("Subject: 1\n") && mail[1].contains("Subject: 2\n"),
        "{mail:?}"
    );
    assert!(reader.on_server().starts_with("+OK 2 "));

    reader.write("password = \"secret\"\nkeep = \"delete\"");
    let ran = reader.fetch(&["--json", "work"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let last: Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(last["facts"]["deleted"], 2, "{ran:?}");
    assert!(reader.on_server().starts_with("+OK 0 "));
    assert_eq!(reader.mail(), mail);

    let status = reader.fetch(&["status"]);
    assert!(
        status.stdout.contains("2 messages deleted from the server"),
        "{status:?}"
    );
    let seen = reader.fetch(&["seen"]);
    assert_eq!(seen.stdout.lines().count(), 2, "{seen:?}");
    assert!(
        seen.stdout.contains("the server said that it deletes it"),
        "{seen:?}"
    );
}

#[test]
fn exit_codes_say_what_follows() {
    let reader = Reader::new("password = \"wrong\"");
    reader
        .fetch(&[])
        .refused(77, "the server refuses the login");
    reader
        .fetch(&["home"])
        .refused(67, "there is no account `home`");
    reader.write("pasword = \"secret\"");
    reader.fetch(&[]).refused(78, "did you mean `password`?");
    reader.write("");
    reader
        .fetch(&[])
        .refused(78, "there is no password for `work`");
    reader.write("password_command = \"echo secret\"");
    fs::write(reader.user.path("Mail"), "no directory").unwrap();
    reader.fetch(&[]).refused(74, "cannot be written");
    assert!(reader.on_server().starts_with("+OK 2 "));
    fs::remove_file(reader.user.path("Mail")).unwrap();
    let (mut held, _) = Client::login(reader.server.plain_address(), ME, "secret");
    reader.fetch(&[]).refused(75, "the next run goes on");
    assert!(held.say("QUIT").starts_with("+OK"));
    assert_eq!(reader.fetch(&["--quiet"]).code, 0);
    assert_eq!(reader.mail().len(), 2);
}

#[test]
fn whoever_watches_gets_new_mail_and_stops_when_told() {
    let reader = Reader::new("password = \"secret\"\ninterval = \"1s\"");
    let path = reader.user.path("fetch.toml");
    let words = ["fetch", "--watch", "--config", path.to_str().unwrap()];
    let watching = Lasting::run(reader.user.command(&words));
    let wait_for = |count: usize| {
        let begun = std::time::Instant::now();
        while reader.mail().len() < count {
            assert!(begun.elapsed() < PATIENCE, "{:?}", reader.mail());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    wait_for(2);
    deliver(&reader.user, 3);
    wait_for(3);
    assert_eq!(watching.stop(), Some(0));
    assert_eq!(reader.mail().len(), 3);
}

/// Whoever delivers by LMTP: takes everything, and tells what it has taken.
fn lmtp_server(socket: &Path) -> Receiver<String> {
    let listener = UnixListener::bind(socket).unwrap();
    let (taken, messages) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let say = |text: &str| (&stream as &UnixStream).write_all(text.as_bytes()).unwrap();
            say("220 here\r\n");
            while let Some(Ok(line)) = lines.next() {
                if line != "DATA" {
                    say("250 2.0.0 ok\r\n");
                    continue;
                }
                say("354 go on\r\n");
                let message = lines.by_ref().map_while(Result::ok);
                let message: Vec<String> = message.take_while(|line| line != ".").collect();
                let _ = taken.send(message.join("\n"));
                say("250 2.0.0 taken\r\n");
            }
        }
    });
    messages
}

// PRJ-FETCH-13
#[test]
fn prj_fetch_13_of_several_places_each_gets_each_message_once_though_one_is_away() {
    let reader = Reader::new("password = \"secret\"");
    let program = "[\"sh\", \"-c\", \"cat >>programs\"]";
    let places = format!(
        "[{{ mbox = \"box\" }}, {{ lmtp = \"unix:socket\", recipient = \"me\" }}, \
         {{ command = {program} }}]"
    );
    let program = reader.user.path("programs").display().to_string();
    let places = places.replace("programs", &program);
    reader.write_into(&places, "password = \"secret\"\nkeep = \"delete\"");
    let ran = reader.fetch(&[]);
    assert_eq!(ran.code, 75, "{ran:?}");
    assert!(reader.on_server().starts_with("+OK 2 "));

    let messages = lmtp_server(&reader.user.path("socket"));
    let ran = reader.fetch(&[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(reader.on_server().starts_with("+OK 0 "));
    let handed: String = messages.try_iter().collect();
    let mbox = fs::read_to_string(reader.user.path("box")).unwrap();
    let piped = fs::read_to_string(&program).unwrap();
    for (place, text) in [("mbox", &mbox), ("LMTP", &handed), ("program", &piped)] {
        for number in 1..=2 {
            let count = text.matches(&format!("Subject: {number}\n\nbody")).count();
            assert_eq!(count, 1, "{place} has message {number}: {text}");
        }
    }
    assert_eq!(mbox.matches("From MAILER-DAEMON ").count(), 2, "{mbox}");
}
