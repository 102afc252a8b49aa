//! Programs that take messages, refuse them, fail, complain and hang.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Instant, SystemTime},
};

use tempfile::TempDir;

use super::*;
use crate::{Destination, Incoming, Recovered, Ticket};

const LETTER: &[u8] = b"Subject: x\r\n\r\nFrom me\r\n.\r\n\xff\0\r lone\r\n";

struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn open(&self, words: &[&str], deadline: Duration) -> Command {
        let settings = CommandSettings {
            words: words.iter().map(OsString::from).collect(),
            deadline,
        };
        Command::new(settings, &self.path("handed"), "work").unwrap()
    }

    /// A shell's words, with `$1` for a file to write to.
    fn shell(&self, script: &str, deadline: Duration) -> Command {
        let file = self.path("out").display().to_string();
        self.open(&["sh", "-c", script, "sh", &file], deadline)
    }

    fn out(&self) -> Vec<u8> {
        fs::read(self.path("out")).unwrap_or_default()
    }
}

async fn add(command: &mut Command, message: &[u8]) -> Ticket {
    let mail = Incoming {
        account: "work".into(),
        unique_id: None,
        announced: None,
        arrival: SystemTime::now(),
    };
    command.begin(&mail).await.unwrap();
    command.write(message).await.unwrap();
    command.finish().await.unwrap()
}

async fn hand_on(command: &mut Command, messages: &[&[u8]]) -> Vec<Result<(), DestinationError>> {
    for message in messages {
        add(command, message).await;
    }
    command.prepare().await.unwrap();
    command.publish().await
}

async fn meets(script: &str) -> (Result<(), DestinationError>, Vec<u8>) {
    let place = Place::new();
    let mut command = place.shell(script, Duration::from_secs(20));
    let result = hand_on(&mut command, &[LETTER]).await.remove(0);
    (result, place.out())
}

// PRJ-FETCH-12
#[tokio::test]
async fn prj_fetch_12_the_program_gets_the_message_with_lf_ends_and_nothing_else() {
    let (result, out) = meets("cat >\"$1\"").await;
    result.unwrap();
    assert_eq!(out, b"Subject: x\n\nFrom me\n.\n\xff\0\r lone\n");
    let large = [b"a line\r\n".repeat(300_000), b"end".to_vec()].concat();
    let place = Place::new();
    let mut command = place.shell("cat >>\"$1\"; echo next >>\"$1\"", Duration::from_secs(20));
    let results = hand_on(&mut command, &[&large, b"two\r\n"]).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let expected = [
        b"a line\n".repeat(300_000),
        b"endnext\ntwo\nnext\n".to_vec(),
    ]
    .concat();
    assert!(place.out() == expected);
}

#[tokio::test]
async fn the_exit_code_says_what_became_of_the_message() {
    assert!(meets("exit 0").await.0.is_ok());
    let (result, _) = meets("echo not now >&2; exit 75").await;
    assert!(
        matches!(&result, Err(DestinationError::RefusedNow { said, .. }) if said == "exit code 75: not now"),
        "{result:?}"
    );
    let (result, _) = meets("printf 'never\\nagain\\033[2J' >&2; exit 67").await;
    assert!(
        matches!(&result, Err(DestinationError::Refused { said, .. }) if said == "exit code 67: never\\nagain\\u{1b}[2J"),
        "{result:?}"
    );
    let (result, _) = meets("kill -9 $$").await;
    assert!(
        matches!(&result, Err(DestinationError::RefusedNow { .. })),
        "{result:?}"
    );
    let (result, _) =
        meets("head -c 100000 /dev/zero | tr '\\0' x >&2; echo end >&2; exit 1").await;
    let said = result.unwrap_err().to_string();
    assert!(said.ends_with("xend") && said.len() < 1500, "{said}");
}

#[tokio::test]
async fn one_refusal_stops_no_other_message() {
    let place = Place::new();
    let script = "case \"$(cat)\" in bad*) exit 65;; *) echo got >>\"$1\";; esac";
    let mut command = place.shell(script, Duration::from_secs(20));
    let results = hand_on(&mut command, &[b"good\r\n", b"bad\r\n", b"good\r\n"]).await;
    assert_eq!(
        results.iter().map(Result::is_ok).collect::<Vec<_>>(),
        [true, false, true]
    );
    assert_eq!(place.out(), b"got\ngot\n");
}

#[tokio::test]
async fn a_program_that_hangs_is_ended_with_all_it_has_started() {
    let place = Place::new();
    let script = "sleep 60 & echo $! >\"$1\"; wait";
    let mut command = place.shell(script, Duration::from_millis(500));
    let began = Instant::now();
    let result = hand_on(&mut command, &[LETTER]).await.remove(0);
    assert!(
        matches!(&result, Err(DestinationError::RefusedNow { .. })),
        "{result:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(10));
    let child = String::from_utf8(place.out()).unwrap();
    let child = Path::new("/proc").join(child.trim()).join("stat");
    let until = Instant::now() + Duration::from_secs(5);
    // Dead, or dead and not buried.
    while fs::read_to_string(&child).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(Instant::now() < until, "{} lives", child.display());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_child_left_behind_that_holds_the_pipe_does_not_hold_us() {
    let began = Instant::now();
    let (result, _) = meets("sleep 8 & exit 0").await;
    result.unwrap();
    assert!(began.elapsed() < Duration::from_secs(6));
}

#[tokio::test]
async fn a_program_that_is_not_there_concerns_the_place() {
    let place = Place::new();
    let mut command = place.open(&["/nowhere/procmail"], Duration::from_secs(20));
    let results = hand_on(&mut command, &[LETTER, LETTER]).await;
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Err(DestinationError::Closed { .. }))),
        "{results:?}"
    );
}

#[test]
fn a_machine_that_is_full_has_room_again_later() {
    let not_run = |code: Errno| not_run("x".into(), &code.into());
    for code in [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE] {
        let error = not_run(code);
        assert!(matches!(error, DestinationError::Later { .. }), "{error}");
    }
    for code in [Errno::NOENT, Errno::ACCESS, Errno::NOEXEC] {
        let error = not_run(code);
        assert!(matches!(error, DestinationError::Closed { .. }), "{error}");
    }
}

#[tokio::test]
async fn arguments_go_through_no_shell() {
    let place = Place::new();
    let file = place.path("out").display().to_string();
    let script = "printf '%s|' \"$@\" >\"$0\"";
    let words = ["sh", "-c", script, &file, "a b", "$HOME", ";exit", "*"];
    let mut command = place.open(&words, Duration::from_secs(20));
    hand_on(&mut command, &[LETTER]).await.remove(0).unwrap();
    assert_eq!(place.out(), b"a b|$HOME|;exit|*|");
    let none = CommandSettings {
        words: Vec::new(),
        deadline: Duration::from_secs(1),
    };
    assert!(Command::new(none, place.directory.path(), "work").is_none());
}

#[tokio::test]
async fn what_was_taken_over_is_known_after_a_crash() {
    let place = Place::new();
    let mut command = place.shell("exit 0", Duration::from_secs(20));
    let first = add(&mut command, LETTER).await;
    command.prepare().await.unwrap();
    assert!(command.publish().await[0].is_ok());
    let second = add(&mut command, LETTER).await;
    command.prepare().await.unwrap();
    drop(command);
    let mut next = place.shell("exit 0", Duration::from_secs(20));
    assert_eq!(next.recover(&first).await.unwrap(), Recovered::Arrived);
    assert_eq!(next.recover(&second).await.unwrap(), Recovered::Lost);
}

/// procmail and maildrop deliver into an mbox.
#[tokio::test]
async fn prj_fetch_12_procmail_and_maildrop_take_mail() {
    let message = b"From: a@b.example\r\nSubject: hello\r\n\r\nbody\r\nmore\r\n";
    let place = Place::new();
    let mbox = place.path("box");
    let rules = place.path("procmailrc");
    fs::write(&rules, format!("DEFAULT={}\n", mbox.display())).unwrap();
    let mut procmail = place.open(
        &["procmail", rules.to_str().unwrap()],
        Duration::from_secs(20),
    );
    hand_on(&mut procmail, &[message]).await.remove(0).unwrap();
    let filter = place.path("mailfilter");
    fs::write(&filter, format!("to \"{}\"\n", mbox.display())).unwrap();
    fs::set_permissions(&filter, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut maildrop = place.open(
        &["maildrop", filter.to_str().unwrap()],
        Duration::from_secs(20),
    );
    hand_on(&mut maildrop, &[message]).await.remove(0).unwrap();
    let text = fs::read_to_string(&mbox).unwrap();
    assert_eq!(
        text.matches("\nSubject: hello\n\nbody\nmore\n").count(),
        2,
        "{text}"
    );
}
