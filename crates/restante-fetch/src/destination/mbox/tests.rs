//! Groups of messages in an mbox: whole, failing, torn, changed by others.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use restante_maildrop::disk::{Call, Fault, Faults, Room};
use tempfile::TempDir;

use super::*;

mod killed;

const WAIT: Duration = Duration::from_millis(200);

fn mail() -> Incoming {
    Incoming {
        account: "work".into(),
        unique_id: None,
        announced: None,
        arrival: UNIX_EPOCH + Duration::from_secs(820_631_194),
    }
}

fn letter(number: usize) -> Vec<u8> {
    let body = "a line of text\r\n".repeat(number * 7);
    format!("From: <a{number}@b.example>\r\nSubject: {number}\r\n\r\nFrom me\r\n{body}\r\n")
        .into_bytes()
}

/// What is in the mbox for it.
fn stored(number: usize) -> String {
    let body = "a line of text\n".repeat(number * 7);
    format!(
        "From a{number}@b.example Wed Jan  3 01:06:34 1996\nFrom: <a{number}@b.example>\nSubject: {number}\n\n>From me\n{body}\n\n"
    )
}

struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("mail")
    }

    fn mbox(&self) -> Mbox {
        self.with_disk(Disk::default())
    }

    fn with_disk(&self, disk: Disk) -> Mbox {
        Mbox::with_disk(&self.path(), "work", WAIT, disk).unwrap()
    }

    fn content(&self) -> String {
        String::from_utf8(fs::read(self.path()).unwrap_or_default()).unwrap()
    }

    /// Everything in the directory but the mbox.
    fn litter(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "mail").collect()
    }

    /// The lock of a process that died: in these tests, this very process.
    fn remove_lock(&self) {
        let _ = fs::remove_file(self.directory.path().join("mail.lock"));
    }
}

async fn add(mbox: &mut Mbox, message: &[u8]) -> Result<Ticket, DestinationError> {
    mbox.begin(&mail()).await?;
    for piece in message.chunks(97) {
        mbox.write(piece).await?;
    }
    mbox.finish().await
}

async fn deliver(mbox: &mut Mbox, numbers: &[usize]) -> Result<(), DestinationError> {
    for number in numbers {
        add(mbox, &letter(*number)).await?;
    }
    mbox.prepare().await?;
    mbox.publish().await.into_iter().collect()
}

fn all_stored(numbers: &[usize]) -> String {
    numbers.iter().map(|number| stored(*number)).collect()
}

#[tokio::test]
async fn a_group_appears_in_one_go_and_leaves_nothing_beside_it() {
    let place = Place::new();
    let mut mbox = place.mbox();
    for number in 1..=3 {
        add(&mut mbox, &letter(number)).await.unwrap();
    }
    mbox.prepare().await.unwrap();
    assert_eq!(place.content(), "");
    let published = mbox.publish().await;
    assert_eq!(published.len(), 3);
    assert!(published.iter().all(Result::is_ok));
    assert_eq!(place.content(), all_stored(&[1, 2, 3]));
    assert_eq!(place.litter(), [""; 0]);
    deliver(&mut mbox, &[4]).await.unwrap();
    assert_eq!(place.content(), all_stored(&[1, 2, 3, 4]));
    assert_eq!(place.litter(), [""; 0]);
}

#[tokio::test]
async fn what_was_abandoned_leaves_no_trace() {
    let place = Place::new();
    let mut mbox = place.mbox();
    add(&mut mbox, &letter(1)).await.unwrap();
    mbox.begin(&mail()).await.unwrap();
    // More than is kept in memory, and less.
    for octets in [600_000, 10] {
        mbox.begin(&mail()).await.unwrap();
        mbox.write(&vec![b'x'; octets]).await.unwrap();
        mbox.abandon().await;
    }
    add(&mut mbox, &letter(2)).await.unwrap();
    mbox.begin(&mail()).await.unwrap();
    mbox.write(b"half").await.unwrap();
    mbox.prepare().await.unwrap();
    assert!(mbox.publish().await.iter().all(Result::is_ok));
    assert_eq!(place.content(), all_stored(&[1, 2]));
}

#[tokio::test]
async fn a_message_begins_behind_an_empty_line_whatever_was_there() {
    for (before, separated) in [
        ("", ""),
        ("\n", "\n"),
        ("x", "x\n\n"),
        ("x\n", "x\n\n"),
        ("x\n\n", "x\n\n"),
    ] {
        let place = Place::new();
        fs::write(place.path(), before).unwrap();
        deliver(&mut place.mbox(), &[1]).await.unwrap();
        assert_eq!(place.content(), format!("{separated}{}", stored(1)));
    }
}

// PRJ-FETCH-12
#[tokio::test]
async fn prj_fetch_12_pythons_mailbox_reads_what_the_server_sent() {
    let place = Place::new();
    let mut mbox = place.mbox();
    let messages: [&[u8]; 6] = [
        b"Subject: plain\r\n\r\nbody\r\n",
        b"Subject: quoted\r\n\r\nFrom me\r\n>From you\r\n\r\nFrom us\r\n\r\n\r\n",
        b"Subject: odd octets\r\n\r\n\0\xff\xc3\r alone\r\n",
        b"Subject: header alone\r\n",
        b"From nobody as the first line\r\nSubject: x\r\n\r\ny\r\n",
        b"\r\nno header\r\n",
    ];
    for message in messages {
        add(&mut mbox, message).await.unwrap();
    }
    mbox.prepare().await.unwrap();
    assert!(mbox.publish().await.iter().all(Result::is_ok));
    let script = "import mailbox, re, sys\n\
        box = mailbox.mbox(sys.argv[1], create=False)\n\
        for key in box.keys():\n\
        \x20   text = re.sub(rb'(?m)^>(>*From )', rb'\\1', box.get_bytes(key))\n\
        \x20   print(text.replace(b'\\n', b'\\r\\n').hex())\n";
    let python = Command::new("python3")
        .args(["-c", script])
        .arg(place.path())
        .output()
        .unwrap();
    assert!(
        python.status.success(),
        "{}",
        String::from_utf8_lossy(&python.stderr)
    );
    let read = String::from_utf8(python.stdout).unwrap();
    let sent: Vec<String> = messages
        .iter()
        .map(|message| message.iter().map(|octet| format!("{octet:02x}")).collect())
        .collect();
    assert_eq!(read.lines().collect::<Vec<_>>(), sent);
}

/// formail, which procmail's users split mailboxes with, finds each message and no other.
#[tokio::test]
async fn formail_finds_each_message() {
    let place = Place::new();
    let mut mbox = place.mbox();
    let messages: [&[u8]; 3] = [
        b"Subject: one\r\n\r\n\r\nFrom me Wed Jan  3 01:06:34 1996\r\n\r\n",
        b"Subject: two\r\n\r\n\r\n\r\n",
        b"Subject: three\r\n\r\nFrom\r\n",
    ];
    for message in messages {
        add(&mut mbox, message).await.unwrap();
    }
    mbox.prepare().await.unwrap();
    assert!(mbox.publish().await.iter().all(Result::is_ok));
    let formail = Command::new("formail")
        .args(["-s", "formail", "-zx", "Subject:"])
        .stdin(fs::File::open(place.path()).unwrap())
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(formail.stdout).unwrap(),
        "one\ntwo\nthree\n"
    );
}

/// Each disk call fails, alone or with all that follow it; then the next process recovers. Whatever
/// happens, a message is in the mbox once, and never in part.
#[tokio::test]
async fn every_failing_disk_call_leaves_all_or_nothing() {
    const BEFORE: &str = "From x Wed Jan  3 01:06:34 1996\n\nold\n\n";
    let numbers = [1, 2, 3_000];
    let mut calls = 0;
    loop {
        let mut reached = false;
        for fault in [Fault::Once(calls), Fault::From(calls)] {
            let place = Place::new();
            fs::write(place.path(), BEFORE).unwrap();
            let faults = Arc::new(Faults::no_space(fault));
            let mut mbox = place.with_disk(Disk::with_faults(faults.clone()));
            let mut tickets = Vec::new();
            for number in numbers {
                let ticket = add(&mut mbox, &letter(number)).await;
                tickets.push((number, ticket));
            }
            let prepared = mbox.prepare().await.is_ok();
            // A process that cannot prepare forgets the tickets.
            let published = match prepared {
                true => mbox.publish().await,
                false => Vec::new(),
            };
            drop(mbox);
            place.remove_lock();
            reached |= faults.count() > calls;
            let finished: Vec<(usize, Ticket)> = tickets
                .into_iter()
                .filter_map(|(number, ticket)| Some((number, ticket.ok()?)))
                .collect();
            if published.iter().all(Result::is_ok) && prepared {
                let finished: Vec<usize> = finished.iter().map(|(number, _)| *number).collect();
                assert_eq!(
                    place.content(),
                    format!("{BEFORE}{}", all_stored(&finished))
                );
            }
            let mut next = place.mbox();
            let mut arrived = Vec::new();
            for (number, ticket) in &finished {
                if prepared && next.recover(ticket).await.unwrap() == Recovered::Arrived {
                    arrived.push(*number);
                }
            }
            let missing: Vec<usize> = numbers
                .into_iter()
                .filter(|number| !arrived.contains(number))
                .collect();
            arrived.extend(&missing);
            if missing.is_empty() {
                next.begin(&mail()).await.unwrap();
            } else {
                deliver(&mut next, &missing).await.unwrap();
            }
            drop(next);
            let mut expected: Vec<String> = arrived.iter().map(|one| stored(*one)).collect();
            expected.sort();
            let content = place.content();
            let mut found = split(content.strip_prefix(BEFORE).unwrap());
            found.sort();
            assert!(found == expected, "{fault:?}");
            assert!(place.litter().len() <= 1, "{fault:?}: {:?}", place.litter());
        }
        if !reached {
            break;
        }
        calls += 1;
    }
    assert!(calls > 30, "{calls}");
}

/// The messages of an mbox, with their From_ lines.
fn split(mbox: &str) -> Vec<String> {
    let mut messages: Vec<String> = Vec::new();
    for line in mbox.split_inclusive('\n') {
        match messages.last_mut() {
            Some(message) if !line.starts_with("From ") => message.push_str(line),
            _ => messages.push(line.to_owned()),
        }
    }
    messages
}

/// A torn end of every length is cut off, and each message comes once.
#[tokio::test]
async fn a_torn_end_is_cut_off_and_appended_anew() {
    let group = all_stored(&[1, 2, 3]);
    for torn in (0..=group.len())
        .step_by(37)
        .chain([group.len() - 1, group.len()])
    {
        for zeros in [0, 50] {
            let place = Place::new();
            let mut mbox = place.mbox();
            deliver(&mut mbox, &[9]).await.unwrap();
            let mut tickets = Vec::new();
            for number in [1, 2, 3] {
                tickets.push(add(&mut mbox, &letter(number)).await.unwrap());
            }
            mbox.prepare().await.unwrap();
            // The process dies while it writes.
            drop(mbox);
            let zeros = zeros.min(group.len() - torn);
            let end = [&group.as_bytes()[..torn], &vec![0; zeros]].concat();
            let before = fs::read(place.path()).unwrap();
            fs::write(place.path(), [before, end].concat()).unwrap();
            let mut next = place.mbox();
            // In another order too.
            for ticket in [&tickets[2], &tickets[0], &tickets[1], &tickets[2]] {
                assert_eq!(next.recover(ticket).await.unwrap(), Recovered::Arrived);
            }
            deliver(&mut next, &[8]).await.unwrap();
            let mut found = split(&place.content());
            found.sort();
            let mut expected = [1, 2, 3, 8, 9].map(stored);
            expected.sort();
            assert!(found == expected, "torn at {torn}, {zeros} zeros");
            assert_eq!(place.litter(), [""; 0]);
        }
    }
}

#[tokio::test]
async fn a_message_is_found_when_another_program_has_written_the_mbox_anew() {
    let place = Place::new();
    let mut mbox = place.mbox();
    deliver(&mut mbox, &[1, 2]).await.unwrap();
    let ticket = add(&mut mbox, &letter(3)).await.unwrap();
    mbox.prepare().await.unwrap();
    assert!(mbox.publish().await[0].is_ok());
    // Somebody reads it, and deletes the first.
    let content = place.content();
    let content = content.strip_prefix(&stored(1)).unwrap();
    let content = content.replace("Subject: 3\n", "Subject: 3\nStatus: RO\nX-UID: 3\n");
    fs::write(place.path(), &content).unwrap();
    let mut next = place.mbox();
    assert_eq!(next.recover(&ticket).await.unwrap(), Recovered::Arrived);
    assert_eq!(place.content(), content);
}

#[tokio::test]
async fn mail_that_another_program_appended_behind_a_torn_message_stays() {
    let place = Place::new();
    let mut mbox = place.mbox();
    let ticket = add(&mut mbox, &letter(1)).await.unwrap();
    mbox.prepare().await.unwrap();
    drop(mbox);
    let content = format!(
        "{}\n\nFrom x Wed Jan  3 01:06:34 1996\n\nother\n\n",
        &stored(1)[..60]
    );
    fs::write(place.path(), &content).unwrap();
    let mut next = place.mbox();
    assert_eq!(next.recover(&ticket).await.unwrap(), Recovered::Arrived);
    assert_eq!(place.content(), format!("{content}{}", stored(1)));
}

#[tokio::test]
async fn two_messages_of_one_content_are_two() {
    let place = Place::new();
    let mut mbox = place.mbox();
    let first = add(&mut mbox, &letter(1)).await.unwrap();
    let second = add(&mut mbox, &letter(1)).await.unwrap();
    mbox.prepare().await.unwrap();
    drop(mbox);
    // One of them was written when the process died.
    fs::write(place.path(), stored(1)).unwrap();
    let mut next = place.mbox();
    for ticket in [first, second] {
        assert_eq!(next.recover(&ticket).await.unwrap(), Recovered::Arrived);
    }
    assert_eq!(place.content(), all_stored(&[1, 1]));
}

#[tokio::test]
async fn without_its_spool_a_message_that_is_not_there_is_lost() {
    let place = Place::new();
    let mut mbox = place.mbox();
    let ticket = add(&mut mbox, &letter(1)).await.unwrap();
    mbox.prepare().await.unwrap();
    drop(mbox);
    for name in place.litter() {
        fs::remove_file(place.directory.path().join(name)).unwrap();
    }
    let mut next = place.mbox();
    assert_eq!(next.recover(&ticket).await.unwrap(), Recovered::Lost);
    let strange = Ticket::new(b"strange".as_slice()).unwrap();
    assert_eq!(next.recover(&strange).await.unwrap(), Recovered::Lost);
    assert_eq!(place.content(), "");
}

#[tokio::test]
async fn a_disk_without_room_publishes_nothing_and_says_that_it_is_full() {
    for room in [Room::Full, Room::OverQuota] {
        let place = Place::new();
        deliver(&mut place.mbox(), &[1]).await.unwrap();
        let faults = Arc::new(Faults::no_space(Fault::Never));
        let mut mbox = place.with_disk(Disk::with_faults(faults.clone()));
        add(&mut mbox, &letter(2)).await.unwrap();
        mbox.prepare().await.unwrap();
        faults.set_room(room);
        let published = mbox.publish().await;
        assert!(
            matches!(published[..], [Err(DestinationError::Full { .. })]),
            "{published:?}"
        );
        let begun = mbox.begin(&mail()).await;
        assert!(
            matches!(begun, Err(DestinationError::Full { .. })),
            "{begun:?}"
        );
        assert_eq!(place.content(), stored(1));
    }
}

#[tokio::test]
async fn a_read_only_or_vanished_place_is_told() {
    let place = Place::new();
    let faults = Arc::new(Faults::no_space(Fault::Never));
    faults.set_room(Room::ReadOnly);
    let mut mbox = place.with_disk(Disk::with_faults(faults));
    let begun = mbox.begin(&mail()).await;
    assert!(
        matches!(begun, Err(DestinationError::Unwritable { .. })),
        "{begun:?}"
    );

    let mut mbox = place.mbox();
    add(&mut mbox, &letter(1)).await.unwrap();
    let path = place.path();
    place.directory.close().unwrap();
    assert!(mbox.prepare().await.is_ok() || !path.exists());
    let published = mbox.publish().await;
    assert!(!published.iter().any(Result::is_ok));
    let begun = mbox.begin(&mail()).await;
    assert!(
        matches!(begun, Err(DestinationError::Unwritable { .. })),
        "{begun:?}"
    );
    assert!(!path.exists());
}

#[tokio::test]
async fn a_directory_link_or_pipe_is_no_mbox() {
    let place = Place::new();
    fs::create_dir(place.path()).unwrap();
    let delivered = deliver(&mut place.mbox(), &[1]).await;
    assert!(
        matches!(delivered, Err(DestinationError::Unwritable { .. })),
        "{delivered:?}"
    );

    // A link leads to the mbox, and its locks are there too.
    let elsewhere = Place::new();
    fs::write(elsewhere.path(), "").unwrap();
    let linked = Place::new();
    std::os::unix::fs::symlink(elsewhere.path(), linked.path()).unwrap();
    deliver(&mut linked.mbox(), &[1]).await.unwrap();
    assert_eq!(elsewhere.content(), stored(1));
    assert!(linked.path().is_symlink());
}

#[tokio::test]
async fn a_group_costs_two_flushes_of_files_and_one_of_the_directory() {
    let place = Place::new();
    fs::write(place.path(), "").unwrap();
    let faults = Arc::new(Faults::no_space(Fault::Never));
    let mut mbox = place.with_disk(Disk::with_faults(faults.clone()));
    let numbers: Vec<usize> = (1..=50).collect();
    deliver(&mut mbox, &numbers).await.unwrap();
    assert_eq!(faults.count_of(Call::SyncFile), 2);
    assert_eq!(faults.count_of(Call::SyncDirectory), 1);
}

/// The record lock of `fcntl` is lost when any descriptor of the file is closed.
#[tokio::test]
async fn other_programs_are_kept_out_until_all_is_durable() {
    const TRY: &str = "import fcntl, sys\n\
        fcntl.lockf(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB)\n";
    let place = Place::new();
    let faults = Arc::new(Faults::no_space(Fault::Never));
    let mut mbox = place.with_disk(Disk::with_faults(faults.clone()));
    let refused = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let watch = || {
        let (path, refused) = (place.path(), refused.clone());
        faults.before(Call::SyncFile, "mail", move || {
            let python = Command::new("python3")
                .args(["-c", TRY])
                .arg(&path)
                .output()
                .unwrap();
            let told = String::from_utf8(python.stderr).unwrap();
            assert!(told.contains("BlockingIOError"), "{told}");
            assert!(path.with_file_name("mail.lock").exists());
            refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        });
    };
    watch();
    deliver(&mut mbox, &[1]).await.unwrap();
    let ticket = add(&mut mbox, &letter(2)).await.unwrap();
    mbox.prepare().await.unwrap();
    drop(mbox);
    watch();
    let mut next = place.with_disk(Disk::with_faults(faults.clone()));
    assert_eq!(next.recover(&ticket).await.unwrap(), Recovered::Arrived);
    assert_eq!(refused.load(std::sync::atomic::Ordering::Relaxed), 2);
    assert_eq!(place.content(), all_stored(&[1, 2]));
}
