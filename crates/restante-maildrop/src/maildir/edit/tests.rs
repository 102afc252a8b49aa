//! Edits of Maildirs; what all stores promise is in `tests/it/contract/edits.rs`.

use std::{fs, path::Path, sync::Arc, time::Duration};

use super::*;
use crate::{
    Clock,
    disk::{Disk, Fault, Faults},
    maildir::trial::names,
};

/// 2026-01-31 12:00:05 UTC.
const NOON: u64 = 1_769_860_805;

fn retention() -> Retention {
    let clock = Clock::by_hand(Duration::from_secs(NOON));
    Retention::new(clock, Duration::from_secs(1000))
}

fn place() -> (tempfile::TempDir, Mailbox) {
    let place = tempfile::tempdir().unwrap();
    let mailbox = Mailbox::open(&Disk::default(), place.path()).unwrap();
    mailbox.trash().unwrap();
    (place, mailbox)
}

fn trash(place: &Path, names: &[&str]) {
    let day = place.join("restante/trash/2026-01-31");
    fs::create_dir_all(&day).unwrap();
    for name in names {
        fs::write(day.join(format!("120005.{name}")), name).unwrap();
    }
}

fn run(mailbox: &Mailbox, change: &Edit) -> Result<usize, EditError> {
    let edits = Edits {
        author: "operator",
        mailbox,
        retention: &retention(),
        notices: &Notices::default(),
        host: "mx",
    };
    edits.make(change).map(|edited| edited.count)
}

#[test]
fn a_restored_file_keeps_its_place_sizes_and_flags_but_not_its_name() {
    let (place, mailbox) = place();
    fs::write(place.path().join("maildirsize"), "9S\n").unwrap();
    trash(
        place.path(),
        &[
            "1700000000.M5P6.h,S=30,W=40:2,RS",
            "1700000001.x",
            "alien:2,S",
        ],
    );
    let restored = run(&mailbox, &Edit::Restore(TrashSelection::All)).unwrap();
    assert_eq!(restored, 3);
    let cur = names(&place.path().join("cur"));
    assert!(cur[0].starts_with("0.M0P"), "{cur:?}");
    assert!(cur[1].starts_with("1700000000.M5P"), "{cur:?}");
    assert!(cur[1].ends_with(".mx,S=30,W=40:2,RS"), "{cur:?}");
    let new = names(&place.path().join("new"));
    assert!(
        new[0].starts_with("1700000001.M0P") && new[0].ends_with(".mx"),
        "{new:?}"
    );
    // The day's directory goes with its last message.
    assert_eq!(names(&place.path().join("restante/trash")), [""; 0]);
    let account = fs::read_to_string(place.path().join("maildirsize")).unwrap();
    assert_eq!(account, "9S\n51 3\n");
}

#[test]
fn flags_that_do_not_fit_are_left_out() {
    let (place, mailbox) = place();
    let long = format!("1.a:2,{}", "x".repeat(240));
    trash(place.path(), &[&long]);
    assert_eq!(
        run(&mailbox, &Edit::Restore(TrashSelection::All)).unwrap(),
        1
    );
    let cur = names(&place.path().join("cur"));
    assert!(cur[0].ends_with(".mx:2,"), "{cur:?}");
}

#[test]
fn old_mail_that_was_filed_today_does_not_expire() {
    let (place, mailbox) = place();
    let old = std::time::UNIX_EPOCH + Duration::from_secs(NOON - 500);
    for (name, modified) in [
        (format!("cur/{}.a:2,", NOON - 500), Some(old)),
        (format!("cur/{NOON}.b:2,"), Some(old)),
        (format!("new/{}.c", NOON - 500), None),
        ("new/unknown".to_owned(), Some(old)),
    ] {
        let file = fs::File::create(place.path().join(name)).unwrap();
        if let Some(modified) = modified {
            file.set_modified(modified).unwrap();
        }
    }
    let arrived_before = NOON - 400;
    assert_eq!(run(&mailbox, &Edit::Expire { arrived_before }).unwrap(), 2);
    assert_eq!(names(&place.path().join("cur")), [format!("{NOON}.b:2,")]);
    assert_eq!(
        names(&place.path().join("new")),
        [format!("{}.c", NOON - 500)]
    );
}

#[test]
fn whichever_call_fails_a_restored_message_is_in_one_place() {
    for at in 0.. {
        let faults = Arc::new(Faults::no_space(Fault::Once(at)));
        let (place, _) = place();
        trash(place.path(), &["1.a", "2.b:2,S"]);
        let disk = Disk::with_faults(Arc::clone(&faults));
        let Ok(mailbox) = Mailbox::open(&disk, place.path()) else {
            continue;
        };
        let restored = run(&mailbox, &Edit::Restore(TrashSelection::All));
        let back = names(&place.path().join("new")).len() + names(&place.path().join("cur")).len();
        let left = names(&place.path().join("restante/trash/2026-01-31")).len();
        assert_eq!(back + left, 2, "call {at}");
        if let Ok(count) = restored {
            assert_eq!((count, back), (2, 2), "call {at}");
        }
        if faults.count() <= at {
            break;
        }
    }
}
