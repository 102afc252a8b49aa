//! `restante import` on trees of Maildirs: what it says, what it stores, what it leaves alone.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::terminal::Terminal;

/// A directory of Maildirs.
pub(crate) struct Spool(TempDir);

impl Spool {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    /// A Maildir with these messages in `cur` and this file of another server.
    pub(crate) fn maildir(
        &self,
        name: &str,
        messages: &[&str],
        list: Option<(&str, &str)>,
    ) -> PathBuf {
        let maildir = self.path().join(name);
        for folder in ["cur", "new", "tmp"] {
            fs::create_dir_all(maildir.join(folder)).unwrap();
        }
        for message in messages {
            let file = maildir.join("cur").join(format!("{message}:2,S"));
            fs::write(file, format!("Subject: {message}\n\nx\n")).unwrap();
        }
        if let Some((file, text)) = list {
            fs::write(maildir.join(file), text).unwrap();
        }
        maildir
    }

    fn import(&self, arguments: &[&str]) -> Ended {
        self.run("import", arguments)
    }

    /// Runs the command with these arguments on all of it.
    pub(crate) fn run(&self, what: &str, arguments: &[&str]) -> Ended {
        ended(command_of(what, arguments).arg(self.path()))
    }

    /// Runs the command for Dovecot on all of it, and kills it when it tells of the first mailbox.
    pub(crate) fn interrupt(&self, what: &str) {
        let mut child = command_of(what, &["dovecot"])
            .arg(self.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        assert!(stdout.read_line(&mut line).unwrap() > 0);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        files_below(&self.path())
    }
}

/// Every file and directory from there on, with what is in it.
pub(crate) fn files_below(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        files.insert(directory.clone(), Vec::new());
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => directories.push(path),
                false => _ = files.insert(path.clone(), fs::read(&path).unwrap()),
            }
        }
    }
    files
}

pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

fn command(server: &str, flags: &[&str]) -> Command {
    command_of("import", &[&[server], flags].concat())
}

pub(crate) fn command_of(what: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_restante"));
    command.arg(what).args(arguments);
    command.env_remove("RESTANTE_CONFIG").stdin(Stdio::null());
    command
}

pub(crate) fn ended(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    Ended {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn state(maildir: &Path) -> String {
    fs::read_to_string(maildir.join("restante/state/unique-ids")).unwrap()
}

const LIST: (&str, &str) = ("dovecot-uidlist", "3 V16 N9\n1 :1.a\n2 Psaved :2.b\n");

#[test]
fn a_dry_run_proves_and_stores_nothing_and_an_import_says_the_same() {
    let spool = Spool::new();
    let mine = spool.maildir("example.com/me", &["1.a", "2.b"], Some(LIST));
    spool.maildir("example.com/none", &["1.a"], None);
    let before = spool.files();
    let dry = spool.import(&["dovecot", "--dry-run"]);
    assert_eq!(dry.code, 0, "{}", dry.stderr);
    let line = format!(
        "{}: 2 messages as before; `0000000100000010` to `saved`; 2 unique-ids",
        mine.display()
    );
    assert_eq!(dry.stdout, format!("{line} to store\n"));
    assert!(
        dry.stderr
            .contains("1 mailbox listed as before, 1 without `dovecot-uidlist`")
    );
    assert_eq!(spool.files(), before, "nothing was written");

    let real = spool.import(&["dovecot"]);
    assert_eq!((real.code, real.stdout), (0, format!("{line} stored\n")));
    let stored = state(&mine);
    assert!(stored.contains(" import 0000000100000010 - 1.a\n"));
    assert!(stored.contains(" import saved - 2.b\n"));
    let after = spool.files();
    for (path, octets) in &before {
        assert_eq!(after.get(path), Some(octets), "what others wrote stays");
    }
    let again = spool.import(&["dovecot", "--json"]);
    let object: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((again.code, &object["stored"]), (0, &Value::from(0)));
    assert_eq!(object["status"], "same");
    assert_eq!(state(&mine), stored, "a second run changes nothing");
}

#[test]
fn a_dry_run_fails_where_anything_differs_and_names_it() {
    let long = "x".repeat(71);
    for (list, said) in [
        (
            format!("3 V16 N9\n1 P{long} :1.a\n2 :2.b\n"),
            "1.a: unique-id `xxx",
        ),
        (
            "3 V16 N9\n1 Psame :1.a\n2 Psame :2.b\n".to_owned(),
            "2.b: unique-id `same` becomes `2.b`: another message has it too",
        ),
        (
            "3 V16 N9\n1 :2.b\n2 :1.a\n".to_owned(),
            "2.b: message 1 becomes message 2",
        ),
        (
            "3 V16 N9\n1 :1.a\n".to_owned(),
            "2.b: not in `dovecot-uidlist`, though it is older; unique-id `2.b`",
        ),
    ] {
        let spool = Spool::new();
        spool.maildir("me", &["1.a", "2.b"], Some(("dovecot-uidlist", &list)));
        let dry = spool.import(&["dovecot", "-n"]);
        assert_eq!(dry.code, 65, "{list}");
        assert!(dry.stdout.contains(said), "{}", dry.stdout);
        let json = spool.import(&["dovecot", "-n", "--json"]);
        let object: Value = serde_json::from_str(&json.stdout).unwrap();
        assert_eq!(
            (json.code, object["status"].as_str()),
            (65, Some("different"))
        );
        assert!(object["differences"][0]["name"].is_string());
        // What can be kept is kept.
        assert_eq!(spool.import(&["dovecot"]).code, 0);
    }
}

#[test]
fn damaged_foreign_and_newer_files_are_refused_and_the_others_go_on() {
    let spool = Spool::new();
    let list = |text: &'static str| Some(("courierpop3dsizelist", text));
    let good = "/3 9 16\n1.a:2,S 14 1:16:0\n2.b:2,S 14 2:16:0\n";
    let messages = &["1.a", "2.b"][..];
    spool.maildir("a-cut", messages, list(&good[..good.len() - 3]));
    spool.maildir("b-other", messages, list("/3 9 16\n1.x:2,S 14 1:16:0\n"));
    spool.maildir("c-newer", messages, list("/4 9 16\n"));
    spool.maildir(
        "d-damaged",
        messages,
        list("/3 9 16\n1.a:2,S 14 1:16:0\n\0\0\0\n"),
    );
    let fine = spool.maildir("e-fine", messages, list(good));
    for flags in [&["courier", "--dry-run"][..], &["courier"]] {
        let ended = spool.import(flags);
        assert_eq!(ended.code, 65, "{}", ended.stderr);
        assert_eq!(ended.stdout.lines().count(), 1);
        assert!(ended.stdout.starts_with(&*fine.to_string_lossy()));
        for said in [
            "a-cut/courierpop3dsizelist:3: the line is cut off",
            "b-other/courierpop3dsizelist: none of its 1 messages is in this mailbox",
            "c-newer/courierpop3dsizelist:1: the file is of version 4, which is not known",
            "d-damaged/courierpop3dsizelist:3: this is not a message's line",
            "nothing was stored for 4 mailboxes",
        ] {
            assert!(ended.stderr.contains(said), "`{said}`:\n{}", ended.stderr);
        }
    }
    assert!(state(&fine).contains(" import UID2-16 - 2.b\n"));
    for refused in ["a-cut", "b-other", "c-newer", "d-damaged"] {
        assert!(!spool.path().join(refused).join("restante").exists());
    }
    let json = spool.import(&["courier", "--json"]);
    let objects: Vec<Value> = json
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let refused = |object: &&Value| object["status"] == "refused";
    let refused: Vec<&Value> = objects.iter().filter(refused).collect();
    assert_eq!(refused.len(), 4);
    // A clause, without what marks it for people.
    let why = refused[0]["error"].as_str().unwrap();
    assert!(why.contains("is left as it was: "), "{why}");
    assert!(!why.contains("error:") && !why.contains('\n'), "{why}");
}

#[test]
fn a_large_tree_shows_at_a_terminal_how_far_it_is() {
    const MAILBOXES: usize = 2000;
    let spool = Spool::new();
    for number in 0..MAILBOXES {
        spool.maildir(&format!("user{number:04}"), &["1.a"], None);
    }
    spool.maildir("with", &["1.a", "2.b"], Some(LIST));
    let mut program = command("dovecot", &["--dry-run"]);
    program.arg(spool.path());
    let (code, shown) = Terminal::run(program).ended();
    assert_eq!(code, Some(0), "{shown:?}");
    assert!(shown.contains("searching: "), "{shown:?}");
    assert!(
        shown.contains(&format!("of {} mailboxes, ", MAILBOXES + 1)),
        "{shown:?}"
    );
    assert!(shown.contains("with: 2 messages as before"), "{shown:?}");
    // What is left on the screen is what was said.
    let last = shown.rsplit("\u{1b}[2K").next().unwrap();
    assert!(!last.contains("left"), "{shown:?}");
}

#[test]
fn an_interrupted_run_goes_on() {
    const MAILBOXES: usize = 40;
    let spool = Spool::new();
    for number in 0..MAILBOXES {
        spool.maildir(&format!("user{number:02}"), &["1.a", "2.b"], Some(LIST));
    }
    spool.interrupt("import");
    let second = spool.import(&["dovecot"]);
    assert_eq!(second.code, 0, "{}", second.stderr);
    let done = second
        .stdout
        .lines()
        .filter(|line| line.ends_with("`saved`"));
    assert!(done.count() >= 1, "{}", second.stdout);
    for number in 0..MAILBOXES {
        let state = state(&spool.path().join(format!("user{number:02}")));
        assert_eq!(state.matches(" import ").count(), 2, "{state}");
    }
}

#[test]
fn paths_and_formats_that_make_no_sense_are_told() {
    let spool = Spool::new();
    spool.maildir("me", &["1.a"], None);
    let nothing = spool.import(&["dovecot"]);
    assert_eq!(nothing.code, 65);
    assert!(nothing.stderr.contains("no Maildir has `dovecot-uidlist`"));
    let empty = ended(command("courier", &[]).arg(spool.path().join("me/cur")));
    assert_eq!(empty.code, 65);
    assert!(empty.stderr.contains("there is no Maildir at"));
    let missing = ended(command("courier", &[]).arg(spool.path().join("missing")));
    assert_eq!(missing.code, 65);
    let format = spool.import(&["dovecot", "--uidl-format", "%m"]);
    assert_eq!(format.code, 64);
    assert!(
        format
            .stderr
            .contains("`%m` exists for mbox, not for Maildir")
    );
}

#[test]
fn what_dovecots_configuration_says_is_said_by_flags() {
    let spool = Spool::new();
    let list = (
        "dovecot-uidlist",
        "3 V16 N9\n1 Px :1.a\n2 :2.b\n3 Px :3.c\n",
    );
    let maildir = spool.maildir("me", &["1.a", "2.b", "3.c"], Some(list));
    let flags = [
        "dovecot",
        "--uidl-format",
        "%{uidvalidity}.%{uid | hex(4)}",
        "--uidl-duplicates=rename",
    ];
    let ended = spool.import(&flags);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let state = state(&maildir);
    for line in ["x - 1.a", "16.0002 - 2.b", "x-2 - 3.c"] {
        assert!(state.contains(&format!(" import {line}\n")), "{state}");
    }
}
