//! `kill -9` at random moments of delivery and of QUIT.
//!
//! The test starts itself once more as a child that works on a mailbox and says on its standard
//! output what has been acknowledged; it kills the child, and looks at what is left.

use std::{
    collections::BTreeSet,
    env,
    ffi::OsString,
    fs,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use restante_maildrop::{Clock, Edit, Maildir, Maildrop, Store, TrashSelection, disk::Disk};
use restante_proto::Messages;

use crate::{
    dice::Dice,
    fixture::{mailbox, maildir},
    session::{numbers, open, quit, retrieve, try_deliver, unique_ids},
};

const KILLS: u64 = 200;
/// Tells the child where its mailbox is; absent in the parent.
const PLACE: &str = "RESTANTE_TEST_CRASH_PLACE";
/// Tells the child where its numbering begins.
const FIRST: &str = "RESTANTE_TEST_CRASH_FIRST";

fn store(place: &Path) -> Maildir {
    maildir(place, Clock::system(), Disk::default())
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(work)
}

fn say(line: &str) {
    let mut out = io::stdout().lock();
    // The harness has begun a line of its own.
    writeln!(out, "\n{line}").unwrap();
    out.flush().unwrap();
}

/// Runs the child of the test `name` until it has said something and a little longer, then kills
/// it. Returns all it has said.
fn run_and_kill(name: &str, place: &Path, first: u64, longer: Duration) -> Vec<String> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(PLACE, place)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let said = listen(&mut child, longer);
    child.wait().unwrap();
    said
}

fn listen(child: &mut Child, longer: Duration) -> Vec<String> {
    let mut said = Vec::new();
    let out = BufReader::new(child.stdout.take().unwrap());
    for line in out.lines() {
        let line = line.unwrap();
        let ours = ["delivered ", "marking ", "removed"];
        if !ours.iter().any(|word| line.starts_with(word)) {
            continue;
        }
        if said.is_empty() {
            thread::sleep(longer);
            child.kill().unwrap();
        }
        said.push(line);
    }
    assert!(!said.is_empty(), "the child did nothing");
    said
}

fn body(serial: u64) -> Vec<u8> {
    format!("Subject: {serial}\r\n\r\n{}\r\n", "text ".repeat(300)).into_bytes()
}

fn serial(body: &[u8]) -> u64 {
    let text = std::str::from_utf8(body).unwrap();
    let line = text.lines().next().unwrap();
    line.strip_prefix("Subject: ").unwrap().parse().unwrap()
}

/// All serials, with their unique-ids; panics if a message is not whole.
async fn serials(session: &impl Maildrop) -> Vec<u64> {
    let mut serials = Vec::new();
    for number in numbers(session) {
        let got = retrieve(session, number).await.unwrap();
        let serial = serial(&got);
        assert_eq!(got, body(serial), "half a message");
        serials.push(serial);
    }
    serials
}

#[test]
fn mdir_store_1_a_killed_delivery_loses_nothing_acknowledged() {
    if let Some(place) = env::var_os(PLACE) {
        return deliver_until_killed(&place);
    }
    let name = "crashes::mdir_store_1_a_killed_delivery_loses_nothing_acknowledged";
    let place = tempfile::tempdir().unwrap();
    let mut dice = Dice(1);
    let mut delivered = 0;
    for kill in 0..KILLS {
        let longer = Duration::from_micros(dice.below(6000));
        let said = run_and_kill(name, place.path(), kill * 10_000, longer);
        let acknowledged: BTreeSet<u64> = said
            .iter()
            .map(|line| line.strip_prefix("delivered ").unwrap().parse().unwrap())
            .collect();
        delivered += acknowledged.len();
        block_on(async {
            let store = store(place.path());
            let session = open(&store, "me").await;
            let found: BTreeSet<u64> = serials(&session).await.into_iter().collect();
            assert!(
                found.is_superset(&acknowledged),
                "kill {kill}: mail is lost"
            );
            // The one that was on its way may have arrived, unacknowledged; no other.
            assert!(found.len() <= acknowledged.len() + 1, "kill {kill}");
            let all: Vec<u32> = (1..=session.messages().count()).collect();
            let _ = quit(session, &all).await.unwrap();
        });
    }
    assert!(delivered as u64 > KILLS, "only {delivered} deliveries");
}

fn deliver_until_killed(place: &OsString) {
    let first: u64 = env::var(FIRST).unwrap().parse().unwrap();
    block_on(async {
        let store = store(Path::new(place));
        for serial in first.. {
            if try_deliver(&store, "me", &body(serial)).await.is_ok() {
                say(&format!("delivered {serial}"));
            }
        }
    });
}

#[test]
fn prj_quit_6_a_killed_update_loses_nothing_undeleted() {
    if let Some(place) = env::var_os(PLACE) {
        return update_until_killed(&place);
    }
    const MESSAGES: u64 = 40;
    let name = "crashes::prj_quit_6_a_killed_update_loses_nothing_undeleted";
    let mut dice = Dice(2);
    let mut cut_short = 0;
    for kill in 0..KILLS {
        let place = tempfile::tempdir().unwrap();
        let me = place.path().join("me");
        for directory in ["cur", "new", "tmp"] {
            fs::create_dir_all(me.join(directory)).unwrap();
        }
        for serial in 0..MESSAGES {
            let name = match serial % 2 {
                0 => format!("new/{}.M1P1.h", 1000 + serial),
                _ => format!("cur/{}.M1P1.h:2,S", 1000 + serial),
            };
            fs::write(me.join(name), body(serial)).unwrap();
        }
        let longer = Duration::from_micros(dice.below(8000));
        let said = run_and_kill(name, place.path(), kill, longer);
        let mut marked = BTreeSet::new();
        let mut acknowledged = BTreeSet::new();
        for line in &said {
            if let Some(list) = line.strip_prefix("marking ") {
                marked.extend(list.split(' ').map(|one| one.parse::<u64>().unwrap()));
            } else {
                acknowledged = marked.clone();
            }
        }
        cut_short += usize::from(marked != acknowledged);
        block_on(async {
            let store = store(place.path());
            let session = open(&store, "me").await;
            let found = serials(&session).await;
            for (id, serial) in unique_ids(&session).iter().zip(&found) {
                let expected = format!("{}.M1P1.h", 1000 + serial);
                assert_eq!(id, expected.as_bytes(), "kill {kill}: an id changed");
            }
            for serial in 0..MESSAGES {
                let there = found.contains(&serial);
                assert!(
                    there || marked.contains(&serial),
                    "kill {kill}: {serial} is gone"
                );
                assert!(
                    !there || !acknowledged.contains(&serial),
                    "kill {kill}: {serial} is back"
                );
            }
            drop(session);
            let restore = Edit::Restore(TrashSelection::All);
            let restored = store.edit(&mailbox("me"), restore).await.unwrap().count;
            assert_eq!(found.len() + restored, 40, "kill {kill}: lost for good");
        });
    }
    assert!(cut_short > 20, "only {cut_short} updates were cut short");
}

fn update_until_killed(place: &OsString) {
    let mut dice = Dice(env::var(FIRST).unwrap().parse().unwrap());
    block_on(async {
        let store = store(Path::new(place));
        loop {
            let session = open(&store, "me").await;
            let all = serials(&session).await;
            let mut chosen = Vec::new();
            let mut list = Vec::new();
            for (at, serial) in (1..).zip(&all) {
                if dice.below(5) == 0 {
                    chosen.push(at);
                    list.push(serial.to_string());
                }
            }
            if chosen.is_empty() {
                continue;
            }
            say(&format!("marking {}", list.join(" ")));
            let _ = quit(session, &chosen).await.unwrap();
            say("removed");
        }
    });
}
