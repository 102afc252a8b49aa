//! `restante mail`: what the operator sees of a mailbox, and puts back.

use std::{fs, process::Command};

use serde_json::Value;

use super::user::{Client, Ran, Server, User};

const ME: &str = "me@example.com";

/// A server with an account that has two messages.
fn user_with_mail() -> (User, Server) {
    let user = User::new();
    user.run_with(&["account", "add", ME, "--password-stdin"], b"secret\n");
    for text in ["Subject: one\n\n1\n", "Subject: two\n\n22\n"] {
        user.run_with(&["deliver", ME], text.as_bytes()).well();
    }
    let server = user.serve();
    (user, server)
}

/// Runs curl against the server; gives what it printed.
fn curl(server: &Server, path: &str, options: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["-q", "--silent", "--show-error", "--max-time", "100"])
        .args(["--user", &format!("{ME}:secret")])
        .args(options)
        .arg(format!("pop3://{}/{path}", server.plain_address()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(user: &User, words: &[&str]) -> Vec<Value> {
    let words = [&["mail"], words, &[ME, "--json"]].concat();
    serde_json::from_str(&user.run(&words).well()).unwrap()
}

fn mail(user: &User, words: &[&str]) -> Ran {
    user.run(&[&["mail"], words].concat())
}

#[test]
fn the_journal_shows_what_curl_has_fetched_and_deleted_and_restore_brings_it_back() {
    let (user, server) = user_with_mail();
    let listed = json(&user, &["list"]);
    assert_eq!(listed.len(), 2);
    assert_eq!(
        (&listed[0]["number"], &listed[1]["number"]),
        (&1.into(), &2.into())
    );
    let id = listed[0]["unique_id"].as_str().unwrap();
    assert!(curl(&server, "", &["--request", "UIDL"]).contains(&format!("1 {id}\r\n")));
    assert!(curl(&server, "1", &[]).contains("Subject: one"));
    curl(&server, "1", &["--request", "DELE", "--head"]);

    let log = json(&user, &["log"]);
    assert_eq!(log.len(), 2, "{log:?}");
    for (visit, (retrieved, deleted)) in log.iter().zip([(1, 0), (0, 1)]) {
        assert_eq!(
            (&visit["retrieved"], &visit["deleted"]),
            (&retrieved.into(), &deleted.into())
        );
        assert_eq!(
            (&visit["end"], &visit["address"]),
            (&"quit".into(), &"127.0.0.1".into())
        );
        assert_eq!(
            (&visit["view"], &visit["credential"]),
            (&"shared".into(), &"default".into())
        );
        assert_ne!(visit["mechanism"], "");
        assert_eq!(visit["messages"][0]["unique_id"], id);
    }
    let text = mail(&user, &["log", ME]).well();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(
        lines[0].contains("Z 127.0.0.1 view shared password default by "),
        "{text}"
    );
    assert_eq!(lines[1].trim(), format!("retrieved             {id}"));
    assert_eq!(lines[3].trim(), format!("deleted               {id}"));

    let trash = json(&user, &["list", "--trash"]);
    assert_eq!((trash.len(), &trash[0]["unique_id"]), (1, &id.into()));
    let restored = mail(&user, &["restore", ME, id]);
    assert_eq!(
        (restored.code, restored.stderr.as_str()),
        (0, "1 message put back\n")
    );
    assert_eq!(json(&user, &["list", "--trash"]), [0; 0].map(Value::from));
    let again = json(&user, &["list"]);
    assert_eq!(again.len(), 2);
    // Its old place under a new id: a program that has seen the old one downloads it again.
    assert_ne!(again[0]["unique_id"], id);
    assert_eq!(again[1], listed[1]);
    let put_back = &json(&user, &["log"])[2];
    assert_eq!(
        (&put_back["change"], &put_back["device"], &put_back["count"]),
        (&"restored".into(), &Value::Null, &1.into())
    );
    assert_eq!(put_back["messages"][0]["unique_id"], again[0]["unique_id"]);
    // Whoever runs the tests.
    let author = put_back["author"].as_str().unwrap();
    let text = mail(&user, &["log", ME]).well();
    let expected = format!("Z {author}: 1 message put back\n");
    assert!(!author.is_empty() && text.contains(&expected), "{text}");
    assert!(curl(&server, "1", &[]).contains("Subject: one"));
}

#[test]
fn who_hangs_up_after_reading_is_in_the_journal_and_who_only_looks_is_not() {
    let (user, mut server) = user_with_mail();
    let login = |server: &Server| Client::login(server.plain_address(), ME, "secret").0;
    let mut client = login(&server);
    assert!(client.say("STAT").starts_with("+OK 2 "));
    assert!(client.say("QUIT").starts_with("+OK"));
    let mut client = login(&server);
    client.retrieve(2);
    assert!(client.say("DELE 1").starts_with("+OK"));
    drop(client);
    server.wait_for("session ended");
    server.wait_for("session ended");
    let log = json(&user, &["log"]);
    assert_eq!(log.len(), 1, "{log:?}");
    assert_eq!(
        (&log[0]["end"], &log[0]["mechanism"]),
        (&"left".into(), &"USER".into())
    );
    assert_eq!(
        (&log[0]["retrieved"], &log[0]["deleted"]),
        (&1.into(), &0.into())
    );
    assert_eq!(json(&user, &["list"]).len(), 2);
    let text = mail(&user, &["log", ME]).well();
    assert!(
        text.contains("1 retrieved, 0 deleted (ended without QUIT)\n"),
        "{text}"
    );
}

#[test]
fn the_trash_is_restored_by_time_and_purged() {
    let (user, server) = user_with_mail();
    let mut client = Client::login(server.plain_address(), ME, "secret").0;
    assert!(client.say("DELE 1").starts_with("+OK"));
    assert!(client.say("DELE 2").starts_with("+OK"));
    assert!(client.say("QUIT").starts_with("+OK"));
    let did = |words: &[&str]| {
        let ran = mail(&user, words);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:?}");
        ran.stderr
    };
    let nothing = "there was nothing of that in the trash\n";
    assert_eq!(did(&["restore", ME, "--since", "2999-01-01"]), nothing);
    assert_eq!(did(&["purge", ME, "--before", "1h"]), nothing);
    assert_eq!(
        did(&["restore", ME, "--since", "1h"]),
        "2 messages put back\n"
    );
    assert_eq!(json(&user, &["list"]).len(), 2);
    let mut client = Client::login(server.plain_address(), ME, "secret").0;
    assert!(client.say("DELE 1").starts_with("+OK"));
    assert!(client.say("QUIT").starts_with("+OK"));
    assert_eq!(did(&["purge", ME]), "1 message removed for good\n");
    assert_eq!(did(&["restore", ME, "--all", "--quiet"]), "");
    assert_eq!(json(&user, &["list"]).len(), 1);
}

#[test]
fn what_cannot_be_done_is_said_with_the_reason() {
    let (user, _server) = user_with_mail();
    let id = "1769860805.M1P1.nobody";
    let refused = mail(&user, &["restore", ME, id]);
    refused.refused(65, &format!("there is no `{id}` in the trash"));
    mail(&user, &["restore", ME, "--since", "yesterday"]).refused(64, "`yesterday` is no moment");
    mail(&user, &["purge", ME, "--before", "10"]).refused(64, "is no moment");
    mail(&user, &["restore", ME]).refused(64, "--since");
    mail(&user, &["list", "nobody"]).refused(67, "there is no account `nobody`");
    user.run_with(&["account", "add", "new", "--password-stdin"], b"x\n");
    mail(&user, &["list", "new"]).refused(69, "`new` has no mailbox");
    mail(&user, &["log", "new"]).refused(69, "nothing was delivered yet");
}

#[test]
fn a_damaged_journal_is_shown_as_far_as_it_goes_and_never_in_raw_octets() {
    let (user, server) = user_with_mail();
    for number in ["1", "2"] {
        curl(&server, number, &[]);
    }
    let found = json(&user, &["list"]);
    let maildirs = user.run(&["account", "list", "--json"]).well();
    let maildirs: Vec<Value> = serde_json::from_str(&maildirs).unwrap();
    let me = maildirs.iter().find(|one| one["address"] == ME).unwrap();
    let path = format!("{}/restante/state/visits", me["maildir"].as_str().unwrap());
    let text = fs::read_to_string(&path).unwrap();
    let id = found[0]["unique_id"].as_str().unwrap();
    fs::write(&path, text.replace(id, "\u{1b}[31mred")).unwrap();
    let ran = mail(&user, &["log", ME]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        ran.stderr,
        "warning: 1 of the journal's entries could not be read\n"
    );
    assert!(!ran.stdout.contains(['\u{1b}', '\r']), "{ran:?}");
    assert_eq!(ran.stdout.lines().count(), 2, "{ran:?}");
}
