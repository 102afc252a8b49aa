//! `restante export` on trees of Maildirs: what it says, what it writes, what it leaves alone.

use std::fs;

use serde_json::Value;

use crate::import::{Spool, command_of, ended};

const LIST: (&str, &str) = ("dovecot-uidlist", "3 V16 N9\n1 :1.a\n2 Psaved :2.b\n");
const SIZES: (&str, &str) = (
    "courierpop3dsizelist",
    "/3 9 16\n1.a:2,S 14 1:16:0\n2.b:2,S 14 2:16:0\n",
);

#[test]
fn a_dry_run_tells_and_writes_nothing_and_an_export_says_the_same() {
    let spool = Spool::new();
    let mine = spool.maildir("example.com/me", &["1.a", "2.b"], Some(LIST));
    assert_eq!(spool.run("import", &["dovecot"]).code, 0);
    fs::write(mine.join("new/1700000001.c,S=2,W=3"), "x\n").unwrap();
    spool.maildir("example.com/none", &[], None);
    let before = spool.files();
    let dry = spool.run("export", &["dovecot", "--dry-run"]);
    assert_eq!(dry.code, 0, "{}", dry.stderr);
    let line = format!(
        "{}: 3 messages as here; `0000000100000010` to `1700000001.c`; 1 unique-id",
        mine.display()
    );
    assert_eq!(dry.stdout, format!("{line} to write\n"));
    let summary = "1 mailbox listed there as here, 1 with nothing to write; nothing was written";
    assert!(dry.stderr.contains(summary), "{}", dry.stderr);
    assert_eq!(spool.files(), before, "nothing was written");

    let real = spool.run("export", &["dovecot"]);
    assert_eq!((real.code, real.stdout), (0, format!("{line} written\n")));
    let list = mine.join("dovecot-uidlist");
    let expected = "3 V16 N10\n1 :1.a\n2 Psaved :2.b\n9 P1700000001.c :1700000001.c,S=2,W=3\n";
    assert_eq!(fs::read_to_string(&list).unwrap(), expected);
    let mut after = spool.files();
    for (path, octets) in &before {
        if *path != list {
            assert_eq!(after.remove(path).as_ref(), Some(octets));
        }
    }
    assert_eq!(after.len(), 1, "{after:?}");
    let again = spool.run("export", &["dovecot", "--json"]);
    let object: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((again.code, &object["written"]), (0, &Value::from(0)));
    assert_eq!(object["status"], "same");
    assert_eq!(
        fs::read_to_string(&list).unwrap(),
        expected,
        "a second run changes nothing"
    );
}

#[test]
fn what_the_other_server_cannot_be_told_is_named() {
    let spool = Spool::new();
    let mine = spool.maildir("me", &["1.a", "2.b"], Some(SIZES));
    assert_eq!(spool.run("import", &["courier"]).code, 0);
    fs::write(mine.join("new/1700000001.c+d"), "x\n").unwrap();
    fs::write(mine.join("new/1700000002.e,S=2,W=3"), "x\n").unwrap();
    let said = "1700000001.c+d: unique-id `1700000001.c+d` becomes a new one: \
                its list cannot say it";
    let dry = spool.run("export", &["courier", "-n"]);
    assert_eq!(dry.code, 65);
    assert!(dry.stdout.contains(said), "{}", dry.stdout);
    assert!(
        dry.stdout
            .contains("1 unique-id to write; 1 file to rename"),
        "{}",
        dry.stdout
    );
    assert!(dry.stderr.contains("1 mailbox would not be listed as here"));
    let json = spool.run("export", &["courier", "-n", "--json"]);
    let object: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json.code, &object["to_write"]), (65, &Value::from(1)));
    assert_eq!(object["differences"][0]["name"], "1700000001.c+d");
    // What can be written is written.
    assert_eq!(spool.run("export", &["courier"]).code, 0);
    assert!(mine.join("new/1700000002.e").exists());
}

#[test]
fn damaged_foreign_and_newer_lists_are_refused_and_the_others_go_on() {
    let spool = Spool::new();
    let messages = &["1.a", "2.b"][..];
    let list = |text: &'static str| Some((LIST.0, text));
    let cut = &LIST.1[..LIST.1.len() - 3];
    let refused = [
        ("a-cut", spool.maildir("a-cut", messages, list(cut))),
        (
            "b-other",
            spool.maildir("b-other", messages, list("3 V16 N9\n1 :1.x\n")),
        ),
        (
            "c-newer",
            spool.maildir("c-newer", messages, list("4 V16 N9\n")),
        ),
        (
            "d-damaged",
            spool.maildir("d-damaged", messages, list("3 V16 N9\n1 :1.a\n\0\n")),
        ),
        (
            "e-courier",
            spool.maildir("e-courier", messages, Some(SIZES)),
        ),
        (
            "f-elsewhere",
            spool.maildir("f-elsewhere", messages, Some(("dovecot.index", ""))),
        ),
    ];
    let fine = spool.maildir("g-fine", messages, Some(LIST));
    fs::write(fine.join("new/1700000001.c"), "x\n").unwrap();
    let before = spool.files();
    for flags in [&["dovecot", "--dry-run"][..], &["dovecot"]] {
        let ended = spool.run("export", flags);
        assert_eq!(ended.code, 65, "{}", ended.stderr);
        assert_eq!(
            ended
                .stdout
                .lines()
                .filter(|line| !line.starts_with(' '))
                .count(),
            1
        );
        assert!(ended.stdout.starts_with(&*fine.to_string_lossy()));
        for said in [
            "a-cut/dovecot-uidlist:3: the line is cut off",
            "b-other/dovecot-uidlist: none of its 1 messages is in this mailbox",
            "c-newer/dovecot-uidlist:1: the file is of version 4, which is not known",
            "d-damaged/dovecot-uidlist:3: this is not a message's line",
            "e-courier/dovecot-uidlist is missing, and there is `courierpop3dsizelist`",
            "f-elsewhere/dovecot-uidlist is missing, though Dovecot has been here",
            "nothing was written for 6 mailboxes",
        ] {
            assert!(ended.stderr.contains(said), "`{said}`:\n{}", ended.stderr);
        }
    }
    let after = spool.files();
    for (name, maildir) in refused {
        let part = |files: &std::collections::BTreeMap<_, _>| {
            let files = files.clone().into_iter();
            let mine = files
                .filter(|(path, _): &(std::path::PathBuf, Vec<u8>)| path.starts_with(&maildir));
            mine.collect::<Vec<_>>()
        };
        assert_eq!(part(&after), part(&before), "{name}");
    }
    let text = fs::read_to_string(fine.join(LIST.0)).unwrap();
    assert!(text.ends_with("9 P1700000001.c :1700000001.c\n"), "{text}");
}

#[test]
fn a_lock_of_dovecots_is_told_and_left() {
    let spool = Spool::new();
    let mine = spool.maildir("me", &["1.a", "2.b"], Some(LIST));
    fs::write(mine.join("dovecot-uidlist.lock"), "1:mx1").unwrap();
    let locked = spool.run("export", &["dovecot"]);
    assert_eq!(locked.code, 74);
    assert!(
        locked.stderr.contains("is locked: is Dovecot running?"),
        "{}",
        locked.stderr
    );
    assert!(mine.join("dovecot-uidlist.lock").exists());
}

#[test]
fn an_interrupted_run_goes_on() {
    const MAILBOXES: usize = 40;
    let spool = Spool::new();
    for number in 0..MAILBOXES {
        let maildir = spool.maildir(&format!("user{number:02}"), &["1.a", "2.b"], Some(LIST));
        fs::write(maildir.join("new/1700000001.c"), "x\n").unwrap();
    }
    spool.interrupt("export");
    let second = spool.run("export", &["dovecot"]);
    assert_eq!(second.code, 0, "{}", second.stderr);
    assert!(
        second
            .stdout
            .lines()
            .any(|line| line.ends_with("`1700000001.c`"))
    );
    for number in 0..MAILBOXES {
        let list = spool
            .path()
            .join(format!("user{number:02}/dovecot-uidlist"));
        let text = fs::read_to_string(list).unwrap();
        assert_eq!(text.matches(" P1700000001.c ").count(), 1, "{text}");
    }
}

#[test]
fn paths_that_make_no_sense_are_told() {
    let spool = Spool::new();
    spool.maildir("me", &[], None);
    let nothing = spool.run("export", &["courier"]);
    assert_eq!(nothing.code, 65);
    assert!(
        nothing.stderr.contains("there is no mail at"),
        "{}",
        nothing.stderr
    );
    let empty = ended(command_of("export", &["courier"]).arg(spool.path().join("me/cur")));
    assert_eq!(empty.code, 65);
    assert!(empty.stderr.contains("there is no Maildir at"));
    let format = spool.run("export", &["dovecot", "--uidl-format", "%m"]);
    assert_eq!(format.code, 64);
}
