//! What is read of `state/views`: no more than is new, and damage costs what it touches.

use std::{fs, path::PathBuf, time::Duration};

use super::*;
use crate::{
    DeleteMode, Policy, ViewName,
    disk::{Call, Disk, Fault, Faults, Room},
    maildir::trial,
    said::said,
    views::Rules,
};

const BEGIN: u64 = 1_769_860_000;
const DAY: u64 = 24 * 60 * 60;

struct Place {
    directory: tempfile::TempDir,
    faults: Arc<Faults>,
    mailbox: Mailbox,
    clock: Clock,
}

fn place() -> Place {
    let (directory, faults, mailbox) = trial::mailbox();
    Place {
        directory,
        faults,
        mailbox,
        clock: Clock::by_hand(Duration::from_secs(BEGIN)),
    }
}

fn name(name: &str) -> ViewName {
    ViewName::new(name).unwrap()
}

fn hidden(view: &str, ids: impl IntoIterator<Item = u32>) -> Event {
    let ids = ids.into_iter();
    Event::Hidden(
        name(view),
        ids.map(|id| format!("id-{id}").into_bytes()).collect(),
    )
}

impl Place {
    fn file(&self) -> PathBuf {
        self.directory.path().join("restante/state/views")
    }

    fn look(&self, earlier: &Arc<ViewLog>) -> Arc<ViewLog> {
        ViewLog::look(&self.mailbox, &self.clock, earlier).unwrap()
    }

    /// What another process would read.
    fn fresh(&self) -> Arc<ViewLog> {
        self.look(&Arc::default())
    }

    fn append(&self, events: &[Event]) -> Arc<ViewLog> {
        self.fresh().append(&self.mailbox, events).unwrap()
    }

    /// A phone that has deleted so many messages, and a tablet.
    fn with_hidden(count: u32) -> Self {
        let place = place();
        place.append(&[
            Event::Added(name("phone"), BEGIN),
            Event::Added(name("tablet"), BEGIN),
        ]);
        place.append(&[hidden("phone", 0..count)]);
        place
    }

    fn octets_read(&self) -> usize {
        self.faults.count_of(Call::Read)
    }
}

fn hides(log: &ViewLog, view: &str, id: u32) -> bool {
    let eye = log.views().eye(&name(view), DeleteMode::PerDevice);
    log.views().hide(eye, format!("id-{id}").as_bytes())
}

#[test]
fn where_nothing_is_noted_there_is_no_file() {
    let place = place();
    let log = place.fresh();
    assert!(log.views().hide_nothing());
    assert!(!place.file().exists());
    assert_eq!(place.faults.count_of(Call::Lock), 0);
}

#[test]
fn only_what_is_new_is_read() {
    let place = Place::with_hidden(50_000);
    let log = place.fresh();
    place.faults.restart();
    assert!(Arc::ptr_eq(&place.look(&log), &log));
    // Whether there is anything new is one call, and the way to it.
    assert_eq!(place.faults.count(), 1);
    place.append(&[hidden("tablet", [7])]);
    place.faults.restart();
    let next = place.look(&log);
    assert!(hides(&next, "tablet", 7) && hides(&next, "phone", 49_999));
    assert!(!hides(&log, "tablet", 7));
    assert!(place.octets_read() <= 4, "{} reads", place.octets_read());
    assert!(next.memory_octets() < 4 << 20, "{}", next.memory_octets());
}

#[test]
fn a_file_that_was_written_anew_is_read_anew() {
    let place = Place::with_hidden(20_000);
    for message in 0..100 {
        fs::write(
            place.directory.path().join(format!("cur/id-{message}:2,")),
            "x",
        )
        .unwrap();
    }
    let folder = place.directory.path().join(".Junk/cur");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("id-4000:2,S"), "x").unwrap();
    let trash = place.directory.path().join("restante/trash/2026-01-31");
    fs::create_dir_all(&trash).unwrap();
    fs::write(trash.join("120005.id-4500:2,S"), "x").unwrap();
    // On its way from one folder to another while they are read.
    fs::write(folder.join("id-4200:2,S"), "x").unwrap();
    let moved = place.directory.path().join("cur/id-4200:2,S");
    let from = folder.join("id-4200:2,S");
    let act = move || fs::rename(from, moved).unwrap();
    place.faults.before(Call::ReadDirectory, ".Junk/cur", act);
    let log = place.fresh();
    let before = fs::metadata(place.file()).unwrap().len();
    let compacted = Arc::clone(&log).compact_if_large(&place.mailbox, &place.clock);
    assert!(fs::metadata(place.file()).unwrap().len() < before / 10);
    for log in [compacted, place.look(&log), place.fresh()] {
        assert!(hides(&log, "phone", 99), "it is there");
        assert!(hides(&log, "phone", 4000), "it is in another folder");
        assert!(hides(&log, "phone", 4200), "it is in INBOX by now");
        assert!(hides(&log, "phone", 4500), "it is in the trash");
        assert!(!hides(&log, "phone", 4999), "it is gone");
        assert!(!hides(&log, "tablet", 99));
        assert_eq!(log.views().devices().len(), 2);
    }
    // It is not written anew again and again.
    place.faults.restart();
    let log = place.fresh().compact_if_large(&place.mailbox, &place.clock);
    assert_eq!(place.faults.count_of(Call::RenameReplace), 0);
    assert!(hides(&log, "phone", 99));
}

#[test]
fn a_torn_end_was_never_promised_and_costs_nothing_else() {
    let place = Place::with_hidden(30);
    let log = place.fresh();
    let whole = fs::read(place.file()).unwrap();
    place.append(&[hidden("tablet", [1, 2])]);
    let longer = fs::read(place.file()).unwrap();
    for end in whole.len()..longer.len() {
        fs::write(place.file(), &longer[..end]).unwrap();
        for earlier in [&log, &Arc::default()] {
            let (read, lines) = said(|| place.look(earlier));
            assert_eq!(lines, [""; 0], "cut at {end}");
            assert!(hides(&read, "phone", 29) && !hides(&read, "tablet", 1));
            // The next line does not make it come true.
            let next = read
                .append(&place.mailbox, &[hidden("tablet", [3])])
                .unwrap();
            assert!(hides(&next, "tablet", 3) && !hides(&next, "tablet", 1));
            let fresh = place.fresh();
            assert!(hides(&fresh, "tablet", 3) && !hides(&fresh, "tablet", 1));
            fs::write(place.file(), &longer[..end]).unwrap();
        }
    }
}

#[test]
fn damage_shows_messages_again_and_lets_none_leave() {
    let place = Place::with_hidden(600);
    place.append(&[hidden("tablet", 0..50)]);
    let sound = fs::read(place.file()).unwrap();
    let at = sound.windows(6).position(|six| six == b"id-300").unwrap();
    let mut spoilt = sound.clone();
    spoilt[at] ^= 1;
    fs::write(place.file(), &spoilt).unwrap();
    let (log, lines) = said(|| place.fresh());
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(!hides(&log, "phone", 300) && hides(&log, "phone", 0) && hides(&log, "phone", 599));
    let policy = Policy {
        delete: DeleteMode::PerDevice,
        ..Policy::default()
    };
    let phone = name("phone");
    let rules = Rules::new(log.views(), policy, Some(&phone), u64::MAX);
    assert!(!rules.let_go(b"id-0", BEGIN));
    // It lies beside, and is said once.
    let beside = place.directory.path().join("restante/state/views-damaged");
    assert_eq!(fs::read(beside).unwrap(), spoilt);
    let (again, lines) = said(|| place.fresh());
    assert_eq!(lines, [""; 0]);
    assert!(hides(&again, "phone", 599) && hides(&again, "tablet", 0));
    let rules = Rules::new(again.views(), policy, Some(&phone), u64::MAX);
    assert!(!rules.let_go(b"id-0", BEGIN));
    // Two months on, whoever was lost has come again or is inactive.
    let mut views = again.views().clone();
    for day in 1..=61 {
        views.apply(&Event::Used(name("phone"), BEGIN + day * DAY));
        views.apply(&Event::Used(name("tablet"), BEGIN + day * DAY));
    }
    let rules = Rules::new(&views, policy, Some(&phone), u64::MAX);
    assert!(rules.let_go(b"id-0", BEGIN));
}

#[test]
fn something_else_of_its_name_hides_nothing_and_is_set_aside() {
    type Make = fn(&std::path::Path);
    let others: [Make; 5] = [
        |file| fs::write(file, "").unwrap(),
        |file| fs::write(file, vec![0; 100_000]).unwrap(),
        |file| fs::write(file, "no lines at all").unwrap(),
        |file| fs::create_dir(file).unwrap(),
        |file| std::os::unix::fs::symlink("/etc/passwd", file).unwrap(),
    ];
    for make in others {
        let place = place();
        place.mailbox.state().unwrap();
        make(&place.file());
        let (log, _) = said(|| place.fresh());
        assert!(log.views().hide_nothing());
        let log = log
            .append(&place.mailbox, &[Event::Added(name("phone"), BEGIN)])
            .unwrap();
        let log = log.append(&place.mailbox, &[hidden("phone", [1])]).unwrap();
        assert!(hides(&log, "phone", 1));
        assert!(hides(&place.fresh(), "phone", 1));
    }
}

#[test]
fn a_newer_versions_file_is_not_guessed_at() {
    let place = place();
    place.mailbox.state().unwrap();
    let title = b"restante views 2 00";
    let line = [&journal::checksum(title)[..], b" ", title, b"\n"].concat();
    fs::write(place.file(), &line).unwrap();
    let read = ViewLog::look(&place.mailbox, &place.clock, &Arc::default());
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!(fs::read(place.file()).unwrap(), line);
}

#[test]
fn on_a_disk_that_takes_nothing_damage_is_known_all_the_same() {
    let place = Place::with_hidden(100);
    let mut spoilt = fs::read(place.file()).unwrap();
    spoilt[200] ^= 1;
    fs::write(place.file(), &spoilt).unwrap();
    for room in [Room::Full, Room::ReadOnly] {
        place.faults.set_room(room);
        let (log, _) = said(|| place.fresh());
        assert!(log.views().devices().len() <= 2);
        assert!(
            log.append(&place.mailbox, &[hidden("phone", [200])])
                .is_err()
        );
        assert_eq!(fs::read(place.file()).unwrap(), spoilt);
    }
}

/// Each call of an append fails in turn: either all of it counts or nothing does.
#[test]
fn an_append_counts_whole_or_not_at_all() {
    for at in 0.. {
        let place = Place::with_hidden(40);
        let faults = Arc::new(Faults::no_space(Fault::Once(at)));
        let disk = Disk::with_faults(Arc::clone(&faults));
        let mailbox = Mailbox::open(&disk, place.directory.path());
        let appended = mailbox.and_then(|mailbox| {
            let log = ViewLog::read(&mailbox, &place.clock, &Arc::default())?;
            log.append(&mailbox, &[hidden("tablet", 0..40)])
        });
        let log = place.fresh();
        let count = (0..40).filter(|&id| hides(&log, "tablet", id)).count();
        assert_eq!(count, if appended.is_ok() { 40 } else { 0 }, "call {at}");
        if faults.count() <= at {
            assert!(appended.is_ok() && at > 8);
            break;
        }
    }
}
