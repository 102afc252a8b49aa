//! What a mailbox is found to hold, and what finding it costs.

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, symlink},
        net::UnixListener,
    },
    path::PathBuf,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use restante_proto::{Form, MessageNumber, Messages, Mode, Octets};

use super::*;
use crate::{
    disk::{Call, Disk, Fault, Faults},
    maildir::{
        columns::{ColumnsBuilder, Measurement, Packing, Row, Stored},
        name::FileName,
    },
    said::said,
};

/// Long enough for every listing to be trusted.
const LATER: Duration = Duration::from_secs(10);

/// A Maildir, and a process that opens it.
struct Place {
    directory: tempfile::TempDir,
    faults: Arc<Faults>,
    mailbox: Mailbox,
    notices: Notices,
}

fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::input_output(Fault::Never));
    let disk = Disk::with_faults(Arc::clone(&faults));
    let mailbox = Mailbox::open(&disk, directory.path()).unwrap();
    mailbox.tmp().unwrap();
    Place {
        directory,
        faults,
        mailbox,
        notices: Notices::default(),
    }
}

fn clock(ahead: Duration) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + ahead;
    i64::try_from(now.as_nanos()).unwrap()
}

impl Place {
    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    fn put(&self, file: &str, content: &str) {
        fs::write(self.path(file), content).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// As a server does that has just started; so much time has passed since the last change.
    fn load_first(&self, ahead: Duration) -> Arc<Snapshot> {
        load(&self.mailbox, &self.notices, None, &mut || Ok(clock(ahead))).unwrap()
    }

    /// As a server does that has had the mailbox open before.
    fn load_again(&self, earlier: &Arc<Snapshot>, ahead: Duration) -> Arc<Snapshot> {
        let earlier = Some(Arc::clone(earlier));
        load(&self.mailbox, &self.notices, earlier, &mut || {
            Ok(clock(ahead))
        })
        .unwrap()
    }

    /// How many calls the work makes: directories read, messages looked at, messages opened.
    fn cost<T>(&self, work: impl FnOnce() -> T) -> (T, [usize; 3]) {
        self.faults.restart();
        let done = work();
        let trace = self.faults.trace();
        let count = |wanted: Call| {
            let of_message = |path: &std::path::Path| {
                let folder = path.parent().and_then(|folder| folder.file_name());
                folder.is_some_and(|folder| folder == "new" || folder == "cur")
            };
            let counts = trace.iter().filter(|passed| {
                passed.call == wanted && (wanted == Call::ReadDirectory || of_message(&passed.path))
            });
            counts.count()
        };
        let costs = [Call::ReadDirectory, Call::Facts, Call::OpenRead].map(count);
        (done, costs)
    }
}

fn listed(snapshot: &Snapshot) -> Vec<String> {
    let rows = snapshot.columns().rows();
    rows.map(|row| {
        let name = String::from_utf8(row.name.as_bytes().to_vec()).unwrap();
        format!("{}/{name}", row.folder.as_str())
    })
    .collect()
}

fn ids(snapshot: &Snapshot) -> Vec<String> {
    let table = snapshot.table();
    let numbers = (1..=table.count()).filter_map(MessageNumber::new);
    numbers
        .map(|number| table.unique_id(number).to_string())
        .collect()
}

fn sizes(snapshot: &Snapshot) -> Vec<Option<u64>> {
    let table = snapshot.table();
    let numbers = (1..=table.count()).filter_map(MessageNumber::new);
    let octets = numbers.map(|number| table.octets(number, Mode::Plain));
    octets
        .map(|octets| octets.map(|Octets(octets)| octets))
        .collect()
}

#[test]
fn mdir_store_2_messages_are_the_files_of_new_and_cur_oldest_first() {
    let place = place();
    for file in [
        "new/10.c",
        "new/9.b:2,S",
        "cur/8.a:2,",
        "cur/11.d",
        "cur/.hidden",
        "tmp/1.x",
    ] {
        place.put(file, "a: b\n");
    }
    // MDIR-STORE-6: a folder of a Maildir++ is no part of it.
    fs::create_dir_all(place.path(".Junk/new")).unwrap();
    place.put(".Junk/new/7.junk", "a: b\n");
    let found = place.load_first(LATER);
    assert_eq!(
        listed(&found),
        ["cur/8.a:2,", "new/9.b:2,S", "new/10.c", "cur/11.d"]
    );
    assert_eq!(ids(&found), ["8.a", "9.b", "10.c", "11.d"]);
    // POP moves no message from new/ to cur/.
    assert!(place.path("new/10.c").exists());
}

/// Dovecot refused the whole mailbox when one entry of it could not be opened.
#[test]
fn dovecot_whole_mailbox_refused_for_one_bad_file() {
    let place = place();
    place.put("new/1.good", "a: b\n");
    place.put("cur/2.good:2,S", "a: b\n");
    fs::create_dir(place.path("cur/3.directory")).unwrap();
    symlink(place.path("new/1.good"), place.path("cur/4.link")).unwrap();
    symlink("nowhere", place.path("new/5.dangling\n\u{1b}[31m")).unwrap();
    let _socket = UnixListener::bind(place.path("new/6.socket")).unwrap();
    let mut odd = vec![
        "3.directory",
        "4.link",
        "5.dangling\\n\\x1b[31m",
        "6.socket",
        "7.pipe",
    ];
    let pipe = Command::new("mkfifo")
        .arg(place.path("new/7.pipe"))
        .status();
    assert!(pipe.unwrap().success());
    let root = fs::metadata(place.directory.path()).unwrap().uid() == 0;
    if root {
        let (device, kind) = (place.path("cur/8.device"), ["c", "1", "3"]);
        // Containers forbid it.
        let made = Command::new("mknod").arg(device).args(kind).status();
        if made.is_ok_and(|made| made.success()) {
            odd.push("8.device");
        }
    }
    let (found, lines) = said(|| place.load_first(LATER));
    assert_eq!(listed(&found), ["new/1.good", "cur/2.good:2,S"]);
    assert_eq!(lines.len(), odd.len(), "{lines:?}");
    for name in odd {
        let about = lines.iter().filter(|line| line.contains(name)).count();
        assert_eq!(about, 1, "{name}: {lines:?}");
    }
    let place_name = place.directory.path().display().to_string();
    assert!(lines.iter().all(|line| line.contains(&place_name)));
    // A delivery makes the directory be listed again: nothing is said twice.
    place.put("cur/9.good", "a: b\n");
    let (found, lines) = said(|| place.load_again(&found, LATER));
    assert_eq!((found.columns().len(), lines.len()), (3, 0));
}

#[test]
fn a_file_that_cannot_be_read_is_left_out_until_it_can() {
    let place = place();
    place.put("cur/1.a", "a: b\n");
    place.put("cur/2.secret", "a: b\n");
    let secret = place.path("cur/2.secret");
    fs::set_permissions(&secret, Permissions::from_mode(0o000)).unwrap();
    place.faults.obey_modes();
    let (found, lines) = said(|| place.load_first(LATER));
    assert_eq!((found.columns().len(), lines.len()), (1, 1));
    assert!(lines[0].contains("2.secret"), "{lines:?}");
    // To be allowed leaves no trace in the directory's times.
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(place.load_again(&found, LATER).columns().len(), 2);
    assert_eq!(place.load_first(LATER).columns().len(), 2);
}

#[test]
fn a_poll_of_an_unchanged_mailbox_lists_nothing_and_opens_no_message() {
    let place = place();
    for number in 0..50 {
        place.put(&format!("cur/{number}.a,S=5,W=6:2,S"), "a: b\n");
    }
    let (first, cost) = place.cost(|| place.load_first(LATER));
    assert_eq!(cost, [2, 50, 0]);
    let (again, cost) = place.cost(|| place.load_again(&first, LATER));
    assert_eq!(cost, [0, 0, 0]);
    assert!(Arc::ptr_eq(&first, &again));
    // Another process, or the same after a restart, has the cache.
    let (second, cost) = place.cost(|| place.load_first(LATER));
    assert_eq!(cost, [0, 0, 0]);
    assert_eq!(
        (listed(&second), ids(&second)),
        (listed(&first), ids(&first))
    );
    assert_eq!(sizes(&second), vec![Some(6); 50]);
}

#[test]
fn a_delivery_lists_its_directory_and_looks_at_the_new_file_alone() {
    let place = place();
    for number in 0..50 {
        place.put(&format!("cur/{number}.a:2,S"), "a: b\n");
    }
    let before = place.load_first(LATER);
    place.put("new/99.new", "a: b\n");
    // new/ and cur/ are remembered apart.
    let (after, cost) = place.cost(|| place.load_again(&before, LATER));
    assert_eq!(cost, [1, 1, 0]);
    assert_eq!(after.columns().len(), 51);
    let (after, cost) = place.cost(|| place.load_first(LATER));
    assert_eq!((after.columns().len(), cost), (51, [0, 0, 0]));
}

/// Times have a grain. A listing that is trusted although the directory has changed in the same
/// tick hides what comes in that tick, for ever.
#[test]
fn a_delivery_in_the_same_clock_tick_as_a_poll_is_seen_by_the_next_poll() {
    let place = place();
    let tick = Duration::from_secs(2);
    place.faults.set_grain(tick);
    let mut found = place.load_first(Duration::ZERO);
    for number in 1..=100_usize {
        place.put(&format!("new/{number}.a"), "a: b\n");
        found = place.load_again(&found, Duration::ZERO);
        assert_eq!(found.columns().len(), number);
        let fresh = place.load_first(Duration::ZERO);
        assert_eq!(fresh.columns().len(), number, "from the cache");
    }
    // Two grains later the listing is trusted.
    let trusted = place.load_again(&found, 2 * tick);
    let (_, cost) = place.cost(|| place.load_again(&trusted, 2 * tick));
    assert_eq!(cost, [0, 0, 0]);
}

/// The same race on the real clock of whatever file system the tests run on.
#[test]
fn a_delivery_right_after_a_poll_is_seen_by_the_next_poll() {
    let place = place();
    let lock = place
        .mailbox
        .open_append(place.mailbox.state().unwrap(), b"clock")
        .unwrap();
    let disk = place.mailbox.disk();
    let mut now = || {
        disk.touch(&lock)?;
        Ok(disk.facts(&lock)?.modified)
    };
    let mut found = None;
    for number in 1..=300_usize {
        place.put(&format!("new/{number}.a"), "");
        let next = load(&place.mailbox, &place.notices, found.take(), &mut now).unwrap();
        assert_eq!(next.columns().len(), number);
        found = Some(next);
    }
}

#[test]
fn a_message_that_one_listing_misses_is_not_taken_for_gone() {
    let place = place();
    for number in 1..=3 {
        place.put(&format!("cur/{number}.a:2,"), "a: b\n");
    }
    let found = place.load_first(LATER);
    // Another program sets a flag while we are reading the directory.
    place.rename("cur/2.a:2,", "cur/2.a:2,S");
    place.faults.overlook_once(b"2.a:2,S");
    let again = place.load_again(&found, Duration::ZERO);
    assert_eq!(listed(&again), ["cur/1.a:2,", "cur/2.a:2,S", "cur/3.a:2,"]);
    // One that nobody knew yet neither.
    place.put("cur/4.a:2,", "a: b\n");
    place.faults.overlook_once(b"4.a:2,");
    let again = place.load_again(&again, Duration::ZERO);
    assert_eq!(again.columns().len(), 4);
    // And a known one that two listings miss is looked for by its name.
    for _ in 0..2 {
        place.faults.overlook_once(b"3.a:2,");
    }
    let again = place.load_again(&again, Duration::ZERO);
    assert_eq!(again.columns().len(), 4);
}

#[test]
fn a_message_that_moves_while_the_directories_are_read_is_found() {
    let place = place();
    place.put("new/1.a", "a: b\n");
    place.put("cur/2.b:2,S", "a: b\n");
    let found = place.load_first(LATER);
    place.put("new/3.c", "a: b\n");
    // cur/ is known and trusted when another program moves messages there, after we have looked
    // at the directories' times.
    let mut moved = false;
    let earlier = Some(Arc::clone(&found));
    let again = load(&place.mailbox, &place.notices, earlier, &mut || {
        if !moved {
            place.rename("new/3.c", "cur/3.c:2,");
            place.rename("new/1.a", "cur/1.a:2,S");
            moved = true;
        }
        Ok(clock(LATER))
    });
    let again = again.unwrap();
    assert_eq!(listed(&again), ["cur/1.a:2,S", "cur/2.b:2,S", "cur/3.c:2,"]);
    assert_eq!(ids(&again), ["1.a", "2.b", "3.c"]);
}

#[test]
fn messages_that_are_gone_are_not_listed() {
    let place = place();
    for number in 1..=3 {
        place.put(&format!("cur/{number}.a:2,"), "a: b\n");
    }
    let found = place.load_first(LATER);
    fs::remove_file(place.path("cur/2.a:2,")).unwrap();
    for ahead in [Duration::ZERO, LATER] {
        let again = place.load_again(&found, ahead);
        assert_eq!(listed(&again), ["cur/1.a:2,", "cur/3.a:2,"]);
    }
    assert_eq!(place.load_first(LATER).columns().len(), 2);
}

#[test]
fn mdir_store_3_a_moved_or_flagged_message_keeps_what_is_known_of_it() {
    let place = place();
    place.put("new/1.a", "a: b\n");
    place.put("cur/2.b:2,", "a: b\n");
    let found = place.load_first(LATER);
    for index in 0..2 {
        let measured = Size::Measured(Measurement {
            octets: Octets(6),
            form: Form::Stored,
            packing: Packing::Plain,
        });
        assert!(found.measured(index, measured));
    }
    place.rename("new/1.a", "cur/1.a:2,S");
    place.rename("cur/2.b:2,", "cur/2.b:2,RS");
    let (again, cost) = place.cost(|| place.load_again(&found, LATER));
    assert_eq!(cost, [2, 0, 0]);
    assert_eq!(listed(&again), ["cur/1.a:2,S", "cur/2.b:2,RS"]);
    assert_eq!(sizes(&again), [Some(6), Some(6)]);
    assert_eq!(ids(&again), ids(&found));
    let (fresh, cost) = place.cost(|| place.load_first(LATER));
    assert_eq!((sizes(&fresh), cost), (sizes(&again), [0, 0, 0]));
}

#[test]
fn another_file_under_a_known_name_is_looked_at() {
    let place = place();
    place.put("cur/1.a,S=5,W=6:2,", "a: b\n");
    let found = place.load_first(LATER);
    place.put("tmp/x", "a: b\nc: d\n");
    place.rename("tmp/x", "cur/1.a,S=5,W=6:2,");
    let again = place.load_again(&found, LATER);
    assert_eq!((sizes(&found), sizes(&again)), (vec![Some(6)], vec![None]));
}

#[test]
fn one_file_under_two_names_is_one_message_and_two_files_of_one_name_are_two() {
    let place = place();
    place.put("new/1.a", "a: b\n");
    fs::hard_link(place.path("new/1.a"), place.path("cur/1.a:2,S")).unwrap();
    place.put("cur/2.b:2,", "a: b\n");
    place.put("new/2.b", "c: d\ne: f\n");
    let found = place.load_first(LATER);
    assert_eq!(found.columns().len(), 3);
    assert_eq!(listed(&found)[0], "cur/1.a:2,S");
    let all = ids(&found);
    assert_eq!(all[0], "1.a");
    assert_ne!(all[1], all[2]);
    // Who has which id does not change with the flags or the time of day.
    place.rename("new/2.b", "cur/2.b:2,S");
    fs::remove_file(place.path("new/1.a")).unwrap();
    let again = place.load_again(&found, LATER);
    assert_eq!(ids(&again), all);
    assert_eq!(ids(&place.load_first(LATER)), all);
}

#[test]
fn files_of_one_name_keep_their_order_when_one_of_them_was_known() {
    for known_first in [true, false] {
        let place = place();
        let (known, other) = match known_first {
            true => ("tmp/first", "tmp/second"),
            false => ("tmp/second", "tmp/first"),
        };
        place.put("tmp/first", "a: b\n");
        place.put("tmp/second", "c: d\n");
        place.rename(known, "cur/1.a:2,");
        let found = place.load_first(LATER);
        place.rename(other, "new/1.a");
        let again = place.load_again(&found, LATER);
        let inodes = again.columns().rows().map(|row| row.stored.inode);
        assert!(inodes.is_sorted());
        let (fresh, lines) = said(|| place.load_first(LATER));
        assert_eq!((fresh.columns().len(), lines.len()), (2, 0), "{lines:?}");
        assert_eq!(ids(&fresh), ids(&again));
        assert_eq!(ids(&fresh).iter().filter(|id| *id == "1.a").count(), 1);
    }
}

#[test]
fn a_file_system_whose_directories_tell_other_inodes_is_served_all_the_same() {
    let place = place();
    place.faults.set_strange_inodes(true);
    place.put("cur/1.a:2,", "a: b\n");
    place.put("new/2.b", "a: b\n");
    let mut found = place.load_first(Duration::ZERO);
    for _ in 0..3 {
        found = place.load_again(&found, Duration::ZERO);
        assert_eq!(ids(&found), ["1.a", "2.b"]);
    }
    place.rename("new/2.b", "cur/2.b:2,S");
    place.put("new/3.c", "a: b\n");
    let (found, lines) = said(|| place.load_again(&found, Duration::ZERO));
    assert_eq!(
        (ids(&found), lines.len()),
        (ids(&place.load_first(LATER)), 0)
    );
    assert_eq!(ids(&found), ["1.a", "2.b", "3.c"]);
}

#[test]
fn mdir_store_5_a_size_in_a_name_is_believed_if_the_other_is_right() {
    let place = place();
    for (name, content) in [
        ("1.a,S=5,W=6", "a: b\n"),
        ("2.b,S=5", "a: b\n"),
        ("3.c,W=6", "a: b\n"),
        // PRJ-SIZE-6: the stored size is not the size on the wire.
        ("4.d,S=6,W=6", "a: b\n"),
        ("5.e,S=5,W=4", "a: b\n"),
        ("6.f,S=5,W=99999", "a: b\n"),
        ("7.g,S=5,W=18446744073709551615", "a: b\n"),
        ("8.h,S=0,W=0", ""),
    ] {
        place.put(&format!("new/{name}"), content);
    }
    let found = place.load_first(LATER);
    let believed = [Some(6), None, None, None, None, None, None, Some(0)];
    assert_eq!(sizes(&found), believed);
}

#[test]
fn prj_size_5_what_was_wrong_is_right_in_the_next_session() {
    let place = place();
    place.put("cur/1.a,S=5,W=7:2,", "a: b\n");
    place.put("cur/2.b,S=5,W=6:2,", "a: b\n");
    let found = place.load_first(LATER);
    assert_eq!(sizes(&found), [Some(7), Some(6)]);
    let right = Size::Measured(Measurement {
        octets: Octets(6),
        form: Form::Stored,
        packing: Packing::Plain,
    });
    assert!(!found.measured(0, right));
    // This session has told the other size.
    assert_eq!(sizes(&found), [Some(7), Some(6)]);
    let (again, cost) = place.cost(|| place.load_again(&found, LATER));
    assert_eq!((sizes(&again), cost), (vec![Some(6), Some(6)], [0, 0, 0]));
    assert_eq!(again.columns().size(0), right);
    assert_eq!(sizes(&place.load_first(LATER)), [Some(6), Some(6)]);
}

#[test]
fn a_file_that_turned_out_to_be_another_is_looked_at_again() {
    let place = place();
    place.put("cur/1.a,S=5,W=6:2,", "a: b\n");
    place.put("cur/2.b:2,", "a: b\n");
    let found = place.load_first(LATER);
    // In place: the directory does not show it.
    place.put("cur/1.a,S=5,W=6:2,", "a: b\nc: d\n");
    assert!(Arc::ptr_eq(&found, &place.load_again(&found, LATER)));
    found.look_again(0);
    let (again, cost) = place.cost(|| place.load_again(&found, LATER));
    assert_eq!(cost, [0, 1, 0]);
    assert_eq!(sizes(&again), [None, None]);
    // A process that was killed before the next session has left it in the cache.
    found.save(&place.mailbox);
    assert_eq!(sizes(&place.load_first(LATER)), [None, None]);
    assert_eq!(place.load_first(LATER).columns().stored(0).octets, 10);
}

#[test]
fn sizes_that_were_measured_are_remembered() {
    let place = place();
    for number in 1..=3 {
        place.put(&format!("cur/{number}.a:2,"), "a: b\n");
    }
    let found = place.load_first(LATER);
    assert_eq!(found.first_unmeasured(usize::MAX), Some(0));
    let measured = Size::Measured(Measurement {
        octets: Octets(6),
        form: Form::Stored,
        packing: Packing::Plain,
    });
    for index in [0, 1] {
        found.measured(index, measured);
    }
    found.measured(2, Size::Unmeasurable);
    assert_eq!(found.first_unmeasured(usize::MAX), None);
    assert_eq!(sizes(&found), [Some(6), Some(6), Some(0)]);
    found.save(&place.mailbox);
    // What could not be measured is tried again.
    assert_eq!(sizes(&place.load_first(LATER)), [Some(6), Some(6), None]);
    assert_eq!(
        sizes(&place.load_again(&found, LATER)),
        [Some(6), Some(6), None]
    );
}

#[test]
fn stored_unique_ids_that_change_are_listed_at_once() {
    let place = place();
    place.put("cur/1.a:2,", "a: b\n");
    let found = place.load_first(LATER);
    assert_eq!(ids(&found), ["1.a"]);
    let pairs = [(b"1.a".to_vec(), b"0001".to_vec())];
    let mut stored = UniqueIds::read(&place.mailbox).unwrap();
    let listing = found.columns().rows().map(|row| Listed {
        name: row.name,
        inode: row.stored.inode,
        known: false,
    });
    let imported = stored.import(&place.mailbox, listing, &pairs).unwrap();
    assert_eq!(imported, Ok(1));
    let (again, cost) = place.cost(|| place.load_again(&found, LATER));
    assert_eq!((ids(&again), cost), (vec!["0001".to_owned()], [0, 0, 0]));
    assert_eq!(ids(&place.load_first(LATER)), ["0001"]);
}

#[test]
fn a_mailbox_of_100_000_messages_takes_at_most_16_mb() {
    let mut columns = ColumnsBuilder::default();
    for number in 0..100_000_u64 {
        let name = format!(
            "{}.M{:06}P12345.mail.example.com,S=123456,W=125678:2,RS",
            1_700_000_000 + number,
            number % 1_000_000
        );
        let stored = Stored {
            inode: number,
            octets: 123_456,
            modified: 5,
        };
        let name = FileName::new(name.as_bytes()).unwrap();
        let row = Row {
            folder: Folder::Cur,
            name,
            stored,
            size: Size::claimed(name, stored.octets),
            saved: None,
        };
        columns.push(row).unwrap();
    }
    let place = place();
    let found = Scanned::unchanged(columns.build(), Stamps::default());
    let ids = ids_stamp(&place.mailbox).unwrap();
    let snapshot = Snapshot::new(&place.mailbox, found, ids, InCache::default(), 0).unwrap();
    assert_eq!(snapshot.table().count(), 100_000);
    let octets = snapshot.memory_octets();
    assert!(octets <= 16_000_000, "{octets}");
}
