//! A full disk, or a user over quota: deleting must still be possible.

use super::*;
use crate::{
    disk::{Call, Room},
    maildir::{
        layout::Folder,
        trial::{self, names},
    },
};

#[test]
fn prj_quit_6_without_room_for_a_day_a_message_lies_beside_the_days() {
    for room in [Room::Full, Room::OverQuota] {
        let (place, faults, mailbox) = trial::mailbox();
        mailbox.trash().unwrap();
        faults.set_room(room);
        let last = NOON / DAY_SECONDS * DAY_SECONDS + DAY_SECONDS - 1;
        for _ in 0..2 {
            put(&mailbox, place.path(), &[b"1.a.h,S=9:2,S"], last);
        }
        assert_eq!(
            names(&place.path().join("restante/trash")),
            [
                "2026-01-31.235959.1.a.h,S=9:2,S",
                "2026-02-01.000000.1.a.h,S=9:2,S"
            ]
        );
        // It is what it would be in its day.
        let name = b"1.a.h,S=9:2,S".to_vec();
        assert_eq!(all(&mailbox), [(name.clone(), last), (name, last + 1)]);
        assert_eq!(purge(&mailbox, last, 10).unwrap().count, 1);
        assert_eq!(all(&mailbox).len(), 1);
        // With room again, days are used again.
        faults.set_room(Room::Plenty);
        put(&mailbox, place.path(), &[b"2.b.h"], NOON);
        assert!(place.path().join("restante/trash/2026-01-31").exists());
        assert_eq!(all(&mailbox).len(), 2);
    }
}

#[test]
fn what_lies_beside_the_days_is_synced() {
    let (place, faults, mailbox) = trial::mailbox();
    mailbox.trash().unwrap();
    faults.set_room(Room::OverQuota);
    faults.restart();
    put(&mailbox, place.path(), &[b"1.a"], NOON);
    let trace = faults.trace();
    let renamed = trace
        .iter()
        .rposition(|one| one.call == Call::RenameNoReplace);
    let path = place.path().join("restante/trash");
    let synced = trace
        .iter()
        .rposition(|one| one.call == Call::SyncDirectory && one.path == path);
    assert!(renamed.is_some() && synced > renamed);
    faults.restart();
    sync_days(&mailbox, |_| true).unwrap();
    assert!(
        faults
            .trace()
            .iter()
            .any(|one| one.call == Call::SyncDirectory && one.path == path)
    );
}

#[test]
fn the_longest_names_fit_beside_the_days_and_are_found() {
    let (place, faults, mailbox) = trial::mailbox();
    mailbox.trash().unwrap();
    faults.set_room(Room::Full);
    for octets in [236, 237, 238, 255] {
        let long = [&b"1."[..], &b"x".repeat(octets - 6), b":2,S"].concat();
        put(&mailbox, place.path(), &[&long], NOON);
        let entry = &names(&place.path().join("restante/trash"))[0];
        let path = place.path().join("restante/trash").join(entry);
        let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
        let listed = long.strip_suffix(b"S").unwrap();
        assert!(open(&mailbox, name(listed), inode).unwrap().is_some());
        assert_eq!(purge(&mailbox, NOON, 10).unwrap().count, 1);
    }
}

#[test]
fn what_may_go_for_good_makes_room_for_what_comes() {
    let (place, faults, mailbox) = trial::mailbox();
    put(&mailbox, place.path(), &[b"1.old"], NOON - 9 * DAY_SECONDS);
    put(&mailbox, place.path(), &[b"2.young"], NOON - DAY_SECONDS);
    faults.set_room(Room::OverQuotaTillUnlink);
    let path = place.path().join("cur/3.c");
    fs::write(path, "").unwrap();
    let mut trash = Trash::new(&mailbox, Some(NOON - 7 * DAY_SECONDS));
    let cur = mailbox.folder(Folder::CUR);
    trash.put((cur, None), name(b"3.c"), NOON).unwrap();
    trash.sync().unwrap();
    assert_eq!(
        names(&place.path().join("restante/trash")),
        ["2026-01-30", "2026-01-31"]
    );
    assert_eq!(all(&mailbox).len(), 2);
}

#[test]
fn where_nothing_works_the_message_stays() {
    for room in [Room::Full, Room::OverQuota, Room::ReadOnly] {
        let (place, faults, mailbox) = trial::mailbox();
        if room == Room::ReadOnly {
            mailbox.trash().unwrap();
        }
        faults.set_room(room);
        fs::write(place.path().join("cur/1.a"), "").unwrap();
        let mut trash = Trash::new(&mailbox, Some(NOON - 1));
        let cur = mailbox.folder(Folder::CUR);
        let error = trash.put((cur, None), name(b"1.a"), NOON).unwrap_err();
        assert!(takes_nothing_new(&error), "{error}");
        assert_eq!(names(&place.path().join("cur")), ["1.a"]);
        // To look costs no room.
        assert_eq!(all(&mailbox), []);
        assert!(open(&mailbox, name(b"1.a"), 1).unwrap().is_none());
        assert_eq!(purge(&mailbox, NOON, 10).unwrap().count, 0);
    }
}
