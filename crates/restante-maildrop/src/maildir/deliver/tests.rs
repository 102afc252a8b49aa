//! Delivery into Maildirs, with a disk that fails.

use std::{
    collections::VecDeque,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::*;
use crate::{
    MailboxId,
    disk::{Call, Fault, Faults},
};

struct Pieces(VecDeque<Bytes>);

impl BodySource for Pieces {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        Ok(self.0.pop_front())
    }
}

fn pieces(pieces: &[&[u8]]) -> Pieces {
    Pieces(
        pieces
            .iter()
            .map(|piece| Bytes::copy_from_slice(piece))
            .collect(),
    )
}

fn delivery(place: &Path, disk: Disk) -> Delivery {
    let template = format!("{}/{{user}}", place.display());
    Delivery {
        disk,
        clock: Clock::system(),
        retention: Retention::new(Clock::system(), Duration::from_secs(1000)),
        location: Location::new(&template).unwrap(),
        line_ends: LineEnds::Lf,
        host: "mx".into(),
        last: Arc::default(),
    }
}

fn to(name: &str, prefix: &'static [u8]) -> Recipient {
    Recipient {
        mailbox: MailboxId {
            account: name.to_owned(),
            home: None,
            location: None,
        },
        prefix: Bytes::from_static(prefix),
    }
}

fn files(directory: impl AsRef<Path>) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[tokio::test]
async fn mdir_store_5_the_name_tells_the_sizes() {
    let place = tempfile::tempdir().unwrap();
    let delivery = delivery(place.path(), Disk::default());
    let results = delivery
        .deliver(
            &[to("me", b"A: b\r\n")],
            pieces(&[b"C: d\r", b"\n\r\ne", b"\n."]),
        )
        .await;
    assert!(results[0].is_ok());
    let [file] = &files(place.path().join("me/new"))[..] else {
        panic!("not one file");
    };
    assert_eq!(fs::read(file).unwrap(), b"A: b\nC: d\n\ne\n.\n");
    let name = FileName::new(name(file).as_bytes()).unwrap();
    assert_eq!(
        (name.stored_octets(), name.wire_octets()),
        (Some(15), Some(20))
    );
    assert!(name.info().is_empty());
    assert!(files(place.path().join("me/tmp")).is_empty());
}

#[tokio::test]
async fn mail_can_be_stored_as_it_goes_out() {
    let place = tempfile::tempdir().unwrap();
    let mut delivery = delivery(place.path(), Disk::default());
    delivery.line_ends = LineEnds::Crlf;
    let results = delivery
        .deliver(&[to("me", b"A: b\n")], pieces(&[b"\nc\r\n"]))
        .await;
    assert!(results[0].is_ok());
    let file = &files(place.path().join("me/new"))[0];
    assert_eq!(fs::read(file).unwrap(), b"A: b\r\n\r\nc\r\n");
    assert!(name(file).ends_with(",S=11,W=11"));
}

#[tokio::test]
async fn files_take_the_mode_of_the_maildir() {
    for (directory, file) in [(0o700, 0o600), (0o770, 0o660), (0o2750, 0o640)] {
        let place = tempfile::tempdir().unwrap();
        let me = place.path().join("me");
        fs::create_dir(&me).unwrap();
        fs::set_permissions(&me, fs::Permissions::from_mode(directory)).unwrap();
        let delivery = delivery(place.path(), Disk::default());
        let results = delivery.deliver(&[to("me", b"")], pieces(&[b"1\n"])).await;
        assert!(results[0].is_ok());
        let mode = fs::metadata(&files(me.join("new"))[0])
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, file);
    }
}

/// What was asked of the disk, without what only looks.
fn deeds(faults: &Faults) -> Vec<(Call, PathBuf)> {
    let looks = [
        Call::OpenRoot,
        Call::OpenDirectory,
        Call::Facts,
        Call::ReadDirectory,
        Call::OpenAppend,
        Call::Adopt,
    ];
    let trace = faults.trace().into_iter();
    trace
        .filter(|passed| !looks.contains(&passed.call))
        .map(|passed| (passed.call, passed.to.unwrap_or(passed.path)))
        .collect()
}

#[tokio::test]
async fn mdir_store_1_write_sync_rename_sync_in_this_order() {
    let place = tempfile::tempdir().unwrap();
    Mailbox::open(&Disk::default(), &made(place.path(), "me"))
        .unwrap()
        .tmp()
        .unwrap();
    let faults = Arc::new(Faults::input_output(Fault::Never));
    let delivery = delivery(place.path(), Disk::with_faults(Arc::clone(&faults)));
    let results = delivery
        .deliver(&[to("me", b"A: b\n")], pieces(&[b"\nc\n"]))
        .await;
    assert!(results[0].is_ok());
    let mut deeds = deeds(&faults);
    // Before all else, that `new/` is there to stay.
    let me = place.path().join("me");
    let confirmed = deeds.drain(..2).collect::<Vec<_>>();
    let synced = |path: &Path| (Call::SyncDirectory, path.to_owned());
    assert_eq!(confirmed, [synced(place.path()), synced(&me)]);
    let calls: Vec<Call> = deeds.iter().map(|(call, _)| *call).collect();
    assert_eq!(
        calls,
        [
            Call::CreateNew,
            Call::Write,
            Call::Write,
            Call::SyncFile,
            Call::RenameNoReplace,
            Call::SyncDirectory
        ]
    );
    assert_eq!(deeds[0].1.parent(), Some(&*me.join("tmp")));
    assert_eq!(deeds[3].1, deeds[0].1);
    assert_eq!(deeds[4].1.parent(), Some(&*me.join("new")));
    assert_eq!(deeds[5].1, me.join("new"));
}

/// The empty Maildir `name`.
fn made(place: &Path, name: &str) -> PathBuf {
    let path = place.join(name);
    fs::create_dir_all(&path).unwrap();
    path
}

#[tokio::test]
async fn mdir_store_1_whichever_call_fails_a_delivery_is_whole_or_not_there() {
    let body = b"Subject: all or nothing\n\nbody\n".repeat(20_000);
    let mut refused = 0;
    for at in 0.. {
        let place = tempfile::tempdir().unwrap();
        let faults = Arc::new(Faults::no_space(Fault::Once(at)));
        let delivery = delivery(place.path(), Disk::with_faults(Arc::clone(&faults)));
        let recipients = [to("me", b"To: me\n"), to("you", b"")];
        let results = delivery.deliver(&recipients, pieces(&[&body, &body])).await;
        for ((name, prefix), result) in [("me", &b"To: me\n"[..]), ("you", b"")]
            .iter()
            .zip(&results)
        {
            let new = files(place.path().join(name).join("new"));
            match result {
                Ok(_) => {
                    assert_eq!(new.len(), 1, "call {at}");
                    let stored = fs::read(&new[0]).unwrap();
                    assert!(stored == [prefix, &body[..], &body].concat(), "call {at}");
                }
                Err(error) => {
                    assert!(matches!(error, DeliverError::Temporary(_)), "call {at}");
                    assert!(new.is_empty(), "call {at}: {error}");
                    refused += 1;
                }
            }
            let tmp = files(place.path().join(name).join("tmp"));
            assert!(tmp.is_empty(), "call {at}: {tmp:?}");
        }
        if faults.count() <= at {
            break;
        }
    }
    assert!(refused > 20, "only {refused} of the calls mattered");
}

#[tokio::test]
async fn a_disk_that_dies_leaves_nothing_visible() {
    for at in 0.. {
        let place = tempfile::tempdir().unwrap();
        let faults = Arc::new(Faults::input_output(Fault::From(at)));
        let delivery = delivery(place.path(), Disk::with_faults(Arc::clone(&faults)));
        let results = delivery.deliver(&[to("me", b"")], pieces(&[b"1\n"])).await;
        let synced = faults.trace().iter().any(|one| {
            one.call == Call::SyncDirectory && one.path.ends_with("me/new") && !one.failed
        });
        assert_eq!(results[0].is_ok(), synced, "call {at}");
        if results[0].is_ok() {
            assert_eq!(files(place.path().join("me/new")).len(), 1, "call {at}");
        }
        if faults.count() <= at {
            break;
        }
    }
}

#[tokio::test]
async fn a_delivery_given_up_half_way_leaves_nothing() {
    struct Never;
    impl BodySource for Never {
        async fn next(&mut self) -> io::Result<Option<Bytes>> {
            std::future::pending().await
        }
    }
    let place = tempfile::tempdir().unwrap();
    let delivery = delivery(place.path(), Disk::default());
    let recipients = [to("me", b"A: b\n")];
    let given_up = tokio::time::timeout(
        Duration::from_millis(50),
        delivery.deliver(&recipients, Never),
    );
    assert!(given_up.await.is_err());
    assert!(files(place.path().join("me/tmp")).is_empty());
    assert!(files(place.path().join("me/new")).is_empty());
}

#[tokio::test]
async fn prj_store_1_a_name_that_leads_elsewhere_is_refused_for_good() {
    let place = tempfile::tempdir().unwrap();
    let delivery = delivery(place.path(), Disk::default());
    let recipients = [to("../me", b""), to("me", b"")];
    let results = delivery.deliver(&recipients, pieces(&[b"1\n"])).await;
    assert!(matches!(results[0], Err(DeliverError::Permanent(_))));
    assert!(results[1].is_ok());
}

#[tokio::test]
async fn mdir_store_5_what_was_abandoned_in_tmp_is_removed() {
    let place = tempfile::tempdir().unwrap();
    let tmp = made(place.path(), "me/tmp");
    for name in ["old", "young", ".hidden"] {
        fs::File::create(tmp.join(name)).unwrap();
    }
    // Only a clock that is ahead makes a file old: its time of facts cannot be set.
    let ahead = SystemTime::now() + Duration::from_secs(120);
    let young = fs::File::open(tmp.join("young")).unwrap();
    young.set_modified(ahead).unwrap();
    // Dovecot gives a message its old date while it still writes it.
    let dated = fs::File::create(tmp.join("dated")).unwrap();
    dated.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    fs::create_dir(tmp.join("directory")).unwrap();
    let mut delivery = delivery(place.path(), Disk::default());
    let results = delivery.deliver(&[to("me", b"")], pieces(&[b"1\n"])).await;
    assert!(results[0].is_ok());
    assert_eq!(files(&tmp).len(), 5);
    fs::remove_file(tmp.join("dated")).unwrap();
    delivery.clock = Clock::by_hand(delivery.clock.now() + ABANDONED_AFTER);
    delivery.clock.advance(Duration::from_secs(60));
    let results = delivery.deliver(&[to("me", b"")], pieces(&[b"1\n"])).await;
    assert!(results[0].is_ok());
    let mut left: Vec<String> = files(&tmp)
        .iter()
        .map(|path| name(path).to_owned())
        .collect();
    left.sort();
    assert_eq!(left, [".hidden", "directory", "young"]);
}

#[tokio::test]
async fn mdir_store_6_a_delivery_is_entered_in_maildirsize() {
    let place = tempfile::tempdir().unwrap();
    let account = made(place.path(), "me").join("maildirsize");
    let delivery = delivery(place.path(), Disk::default());
    for _ in 0..2 {
        let results = delivery.deliver(&[to("me", b"")], pieces(&[b"12\n"])).await;
        assert!(results[0].is_ok());
        // Where there is none, none is made.
        if !account.exists() {
            fs::write(&account, "1000S,10C\n3 1\n").unwrap();
        }
    }
    assert_eq!(
        fs::read_to_string(&account).unwrap(),
        "1000S,10C\n3 1\n3 1\n"
    );
}

#[test]
fn prj_msg_2_messages_of_one_tick_stand_in_order_of_arrival() {
    let place = tempfile::tempdir().unwrap();
    let mut delivery = delivery(place.path(), Disk::default());
    let at = |seconds| Clock::by_hand(Duration::from_secs(seconds));
    delivery.clock = at(1000);
    assert_eq!(delivery.arrival(), (1000, 0));
    assert_eq!(delivery.arrival(), (1000, 1));
    // Set back a little: the order stays. Set back far: it was wrong before.
    delivery.clock = Clock::by_hand(Duration::from_millis(999_500));
    assert_eq!(delivery.arrival(), (1000, 2));
    delivery.clock = at(900);
    assert_eq!(delivery.arrival(), (900, 0));
    delivery.clock = at(2000);
    assert_eq!(delivery.arrival(), (2000, 0));
}
