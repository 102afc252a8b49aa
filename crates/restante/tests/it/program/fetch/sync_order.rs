//! The order of the collector's system calls, as the kernel sees them: no DELE before the message,
//! its entry in the directory and the collector's notes have been synced, and nothing is visible
//! before it was durable.

use std::{collections::HashMap, fs, os::unix::fs::PermissionsExt as _, process::Command};

use super::stranger::{Door, Stranger, letters};
use crate::program::user::User;

/// A call, from the line of the trace in which it began to that in which it returned.
#[derive(Debug)]
struct Call {
    begun: usize,
    done: usize,
    text: String,
}

/// What `strace` has written, by call. Threads interleave: a call may return many lines later.
fn calls(trace: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut unfinished: HashMap<&str, usize> = HashMap::new();
    for (at, line) in trace.lines().enumerate() {
        let (thread, text) = line.split_once(' ').unwrap();
        let text = text.trim_start();
        if text.starts_with("<... ") {
            let call = &mut calls[unfinished.remove(thread).unwrap()];
            call.done = at;
            call.text.push_str(text);
            continue;
        }
        if text.ends_with("<unfinished ...>") {
            unfinished.insert(thread, calls.len());
        }
        calls.push(Call {
            begun: at,
            done: at,
            text: text.to_owned(),
        });
    }
    calls
}

impl Call {
    fn is(&self, names: &[&str], part: &str) -> bool {
        let name = self.text.split('(').next().unwrap_or_default();
        names.contains(&name) && self.text.contains(part)
    }

    /// The file's name that `renameat2` takes away.
    fn stem(&self) -> &str {
        self.text.split('"').nth(1).unwrap()
    }
}

const SYNCS: [&str; 2] = ["fsync", "fdatasync"];

/// Runs the collector on so many letters and gives its calls.
fn traced(count: usize) -> Vec<Call> {
    let user = User::new();
    let server = Stranger::open(Door::Clear, letters(count, 300));
    let text = format!(
        "state = \"state\"\n[[account]]\nname = \"work\"\nserver = \"127.0.0.1\"\ntls = \"none\"\n\
         port = {}\nuser = \"me\"\npassword = \"secret\"\nkeep = \"delete\"\n\
         deliver = {{ maildir = \"Mail\" }}\n",
        server.port
    );
    let file = user.path("fetch.toml");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let trace = user.path("trace");
    let output = Command::new("strace")
        .args(["-f", "-y", "-s", "100000", "-o"])
        .arg(&trace)
        .args([
            "-e",
            "trace=write,pwrite64,writev,sendto,sendmsg,renameat2,fsync,fdatasync,syncfs",
        ])
        .arg(env!("CARGO_BIN_EXE_restante"))
        .args(["fetch", "--config"])
        .arg(&file)
        .env("HOME", user.path(""))
        .output()
        .unwrap_or_else(|error| {
            panic!("`strace`: {error}; `cargo xtask test` installs what the tests need")
        });
    assert!(output.status.success(), "{output:?}");
    assert_eq!(server.letters(), []);
    assert_eq!(fs::read_dir(user.path("Mail/new")).unwrap().count(), count);
    calls(&fs::read_to_string(trace).unwrap())
}

/// When the message was durable in `tmp/`, its entry too, if that was before `until`.
fn durable_in_tmp(calls: &[Call], stem: &str, until: usize) -> Option<usize> {
    let file = format!("/Mail/tmp/{stem}>");
    let written = calls
        .iter()
        .filter(|it| it.is(&["write", "pwrite64"], &file));
    let written = written.map(|it| it.done).max().expect("it has octets");
    let when = |names: &[&str], part: &str| {
        let between = calls
            .iter()
            .filter(|it| it.begun > written && it.done < until);
        between
            .filter(|it| it.is(names, part))
            .map(|it| it.done)
            .min()
    };
    let one_by_one = || Some(when(&SYNCS, &file)?.max(when(&SYNCS, "/Mail/tmp>")?));
    when(&["syncfs"], "/Mail/tmp>").or_else(one_by_one)
}

/// When a sync that began behind `from` of something whose path has this part was done.
fn synced(calls: &[Call], part: &str, from: usize) -> Option<usize> {
    let syncs = calls.iter().filter(|it| it.is(&SYNCS, part));
    syncs.filter(|it| it.begun > from).map(|it| it.done).min()
}

// PRJ-FETCH-1
#[test]
fn prj_fetch_1_everything_is_synced_before_it_is_seen_noted_and_deleted() {
    // Few files are synced one by one, many with one call.
    for count in [1, 2, 12] {
        let calls = traced(count);
        let show = || {
            let lines = calls.iter().map(|it| format!("{:?}\n", it));
            lines.collect::<String>()
        };
        let renames: Vec<&Call> = calls
            .iter()
            .filter(|it| it.is(&["renameat2"], "/Mail/new>"))
            .collect();
        assert_eq!(renames.len(), count, "{}", show());
        // When each message, its entry and what the notes say of it were durable.
        let mut safe = Vec::new();
        for rename in &renames {
            let durable = durable_in_tmp(&calls, rename.stem(), rename.begun);
            let durable = durable.unwrap_or_else(|| panic!("{}", show()));
            // Its ticket, by which the next run finds it if this one dies now.
            let noted = synced(&calls, "/state/", durable);
            assert!(noted.is_some_and(|done| done < rename.begun), "{}", show());
            let entry = synced(&calls, "/Mail/new>", rename.done);
            let entry = entry.unwrap_or_else(|| panic!("{}", show()));
            let noted = synced(&calls, "/state/", entry);
            safe.push(noted.unwrap_or_else(|| panic!("{}", show())));
        }
        let mut deleted = 0;
        for call in &calls {
            if call.is(&["sendto", "write", "writev", "sendmsg"], "DELE ") {
                deleted += call.text.matches("DELE ").count();
                let safe = safe.iter().filter(|&&done| done < call.begun).count();
                assert!(deleted <= safe, "{deleted} and {safe}: {}", show());
            }
        }
        assert_eq!(deleted, count, "{}", show());
    }
}
