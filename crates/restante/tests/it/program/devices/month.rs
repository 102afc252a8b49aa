//! Three real programs whose settings are at odds share one mailbox for a month.
//!
//! mpop deletes what it has fetched, getmail6 keeps everything, fetchmail deletes; each comes when
//! it likes. On any other server the first to come takes the others' mail.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::json;

use super::{add, count, deliver, session, trash, user_with_mail};
use crate::program::user::User;

const DAYS: u32 = 30;

/// A program on a device of its own.
struct Program {
    name: &'static str,
    password: String,
    /// What it has fetched, a file each.
    mail: PathBuf,
    poll: fn(&Self, &Path, u16),
}

impl Program {
    fn new(user: &User, name: &'static str, poll: fn(&Self, &Path, u16)) -> Self {
        let mail = user.path(&format!("{name}-mail"));
        for folder in ["cur", "new", "tmp"] {
            fs::create_dir_all(mail.join(folder)).unwrap();
        }
        Self {
            name,
            password: add(user, name, &["--show", "all"]),
            mail,
            poll,
        }
    }

    /// How often it has received each letter, by its subject.
    fn received(&self) -> BTreeMap<String, usize> {
        let mut received = BTreeMap::new();
        for entry in fs::read_dir(self.mail.join("new")).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            let subject = text.lines().find_map(|line| line.strip_prefix("Subject: "));
            *received.entry(subject.unwrap().to_owned()).or_default() += 1;
        }
        received
    }
}

fn settings(directory: &Path, name: &str, text: &str) -> PathBuf {
    let file = directory.join(name);
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    file
}

#[track_caller]
fn run(command: &mut Command, accepted: &[i32]) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let code = output.status.code();
    assert!(
        code.is_some_and(|code| accepted.contains(&code)),
        "{output:?}"
    );
}

fn mpop(program: &Program, home: &Path, port: u16) {
    let text = format!(
        "account default\nhost 127.0.0.1\nport {port}\nuser me\npassword \"{}\"\nauth user\n\
         tls off\ndelivery maildir {}\nuidls_file {}\nkeep off\n",
        program.password,
        program.mail.display(),
        home.join("mpop.uidls").display(),
    );
    let file = settings(home, "mpoprc", &text);
    run(
        Command::new("mpop").arg("--quiet").arg("--file").arg(file),
        &[0],
    );
}

fn getmail(program: &Program, home: &Path, port: u16) {
    let folder = program.mail.join("new");
    let state = home.join("getmail");
    fs::create_dir_all(&state).unwrap();
    // Its own Maildirs are not for root, who runs the tests at times.
    let text = format!(
        "[retriever]\ntype = SimplePOP3Retriever\nserver = 127.0.0.1\nport = {port}\n\
         username = me\npassword = {1}\n\
         [destination]\ntype = MDA_external\npath = /bin/sh\nallow_root_commands = true\n\
         arguments = ('-c', 'cat > {0}/$(ls {0} | wc -l)')\n\
         [options]\nread_all = false\ndelete = false\nverbose = 0\n",
        folder.display(),
        program.password,
    );
    settings(&state, "getmailrc", &text);
    run(
        Command::new("getmail").arg("--getmaildir").arg(&state),
        &[0],
    );
}

fn fetchmail(program: &Program, home: &Path, port: u16) {
    let folder = program.mail.join("new");
    let agent = format!("cat > {0}/$(ls {0} | wc -l)", folder.display());
    let text = format!(
        "set no bouncemail\npoll 127.0.0.1 port {port} protocol pop3 uidl timeout 60 user me \
         password {:?} sslproto '' no sslcertck mda {agent:?} nokeep\n",
        program.password,
    );
    let file = settings(home, "fetchmailrc", &text);
    let command = &mut Command::new("fetchmail");
    let command = command
        .arg("--nodetach")
        .arg("--nosyslog")
        .arg("-f")
        .arg(file);
    let command = command.arg("--idfile").arg(home.join("fetchids"));
    let command = command.arg("--pidfile").arg(home.join("fetchmail.pid"));
    // 1: there was no mail.
    run(command.env("HOME", home), &[0, 1]);
}

/// The same numbers at every run, that look random.
struct Dice(u32);

impl Dice {
    fn throw(&mut self, sides: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 16) % sides
    }
}

/// Lets the month pass; gives the programs and how many letters came.
fn live(user: &User, address: std::net::SocketAddr) -> (Vec<Program>, u32) {
    let programs = vec![
        Program::new(user, "mpop", mpop),
        Program::new(user, "getmail", getmail),
        Program::new(user, "fetchmail", fetchmail),
    ];
    let (mut dice, mut letters) = (Dice(7), 0);
    for day in 1..=DAYS {
        for _ in 0..dice.throw(4) {
            letters += 1;
            deliver(user, &format!("letter {letters}"));
        }
        for program in &programs {
            // On the last day all come.
            if day == DAYS || dice.throw(3) == 0 {
                (program.poll)(program, &user.path(""), address.port());
            }
        }
    }
    (programs, letters)
}

fn each_has_everything_once(programs: &[Program], letters: u32) {
    let expected: BTreeMap<_, _> = (1..=letters).map(|n| (format!("letter {n}"), 1)).collect();
    for program in programs {
        assert_eq!(program.received(), expected, "{}", program.name);
    }
}

#[test]
fn e2e_three_programs_at_odds_each_receive_every_message_once() {
    let user = user_with_mail(&[]);
    let server = user.serve();
    let address = server.plain_address();
    let (programs, letters) = live(&user, address);
    each_has_everything_once(&programs, letters);
    // One keeps everything, so nothing has left; the others see nothing of it any more.
    assert_eq!(trash(&user), json!([]));
    let seen = programs
        .iter()
        .map(|program| count(&mut session(address, &program.password)));
    assert_eq!(seen.collect::<Vec<_>>(), [0, letters, 0]);
}

#[test]
fn e2e_what_three_programs_at_odds_have_fetched_leaves_if_it_is_kept_until_then() {
    let user = user_with_mail(&[]);
    user.run(&["account", "set", "me", "--keep", "until-fetched"]);
    let server = user.serve();
    let (programs, letters) = live(&user, server.plain_address());
    each_has_everything_once(&programs, letters);
    assert_eq!(trash(&user).as_array().unwrap().len(), letters as usize);
}
