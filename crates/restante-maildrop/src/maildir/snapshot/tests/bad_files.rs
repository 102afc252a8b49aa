//! Files that cannot be looked at: one bad file costs itself, and nothing is forgotten of it.

use rustix::io::Errno;

use super::*;

fn filled() -> Place {
    let place = place();
    for name in ["cur/1.a:2,", "new/2.b", "cur/3.c:2,S"] {
        place.put(name, "a: b\n");
    }
    place
}

/// Dovecot refused the whole mailbox when one entry of it could not be looked at.
#[test]
fn dovecot_whole_mailbox_refused_for_one_bad_file_of_a_failing_disk() {
    for errno in [Errno::IO, Errno::STALE, Errno::ACCESS] {
        let place = filled();
        place.faults.spoil(Call::Facts, "2.b", errno);
        let (found, lines) = said(|| place.load_first(LATER));
        assert_eq!(listed(&found), ["cur/1.a:2,", "cur/3.c:2,S"]);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("2.b") && lines[0].contains("looked at"));
        // It is said once, and tried again each time: nothing in the folder's times tells.
        let (again, lines) = said(|| place.load_again(&found, LATER));
        assert_eq!((again.columns().len(), lines.len()), (2, 0));
        place.faults.heal();
        assert_eq!(ids(&place.load_again(&again, LATER)), ["1.a", "2.b", "3.c"]);
        assert_eq!(ids(&place.load_first(LATER)), ["1.a", "2.b", "3.c"]);
    }
}

#[test]
fn a_known_file_that_cannot_be_looked_at_again_stays_listed() {
    let place = filled();
    let found = place.load_first(LATER);
    assert!(found.measured(1, measured(6)));
    found.look_again(1);
    place.faults.spoil(Call::Facts, "2.b", Errno::IO);
    let (again, lines) = said(|| place.load_again(&found, LATER));
    assert_eq!(ids(&again), ["1.a", "2.b", "3.c"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    // The cache says nothing of it, and must not say that there is nothing more.
    assert_eq!(place.load_first(LATER).columns().len(), 2);
    place.put("new/2.b", "a: b\nc: d\n");
    place.faults.heal();
    for healed in [place.load_again(&again, LATER), place.load_first(LATER)] {
        assert_eq!(ids(&healed), ["1.a", "2.b", "3.c"]);
        assert_eq!(healed.columns().stored(1).octets, 10);
    }
}

/// A listing may miss a file that is being renamed; whether it is there, its name tells.
#[test]
fn a_known_file_that_a_listing_missed_and_nobody_can_look_for_is_not_gone() {
    let place = filled();
    let found = place.load_first(Duration::ZERO);
    place.faults.spoil(Call::Facts, "2.b", Errno::IO);
    for _ in 0..2 {
        place.faults.overlook_once(b"2.b");
    }
    let again = place.load_again(&found, Duration::ZERO);
    assert_eq!(ids(&again), ["1.a", "2.b", "3.c"]);
    place.faults.heal();
    assert_eq!(ids(&place.load_again(&again, LATER)), ["1.a", "2.b", "3.c"]);
}

/// What nobody could look for is not concluded to be there either.
#[test]
fn a_file_that_was_gone_while_the_disk_failed_is_gone_when_it_does_not() {
    let place = filled();
    let found = place.load_first(LATER);
    // `new/` has stood still, `cur/` has not: a file that is missing has to be looked for.
    fs::remove_file(place.path("new/2.b")).unwrap();
    let moving = SystemTime::now() + LATER * 2;
    let cur = fs::File::open(place.path("cur")).unwrap();
    cur.set_modified(moving).unwrap();
    place.faults.spoil(Call::Facts, "2.b", Errno::IO);
    let again = place.load_again(&found, LATER);
    assert_eq!(ids(&again), ["1.a", "2.b", "3.c"]);
    place.faults.heal();
    assert_eq!(ids(&place.load_again(&again, LATER)), ["1.a", "3.c"]);
    assert_eq!(ids(&place.load_first(LATER)), ["1.a", "3.c"]);
}

/// The listing would look empty, and programs would forget what they have seen.
#[test]
fn a_mailbox_of_which_nothing_can_be_looked_at_is_refused() {
    let place = filled();
    for name in ["1.a:2,", "2.b", "3.c:2,S"] {
        place.faults.spoil(Call::Facts, name, Errno::IO);
    }
    let mut now = || Ok(clock(LATER));
    let refused = load(&place.mailbox, &place.notices, None, &mut now).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(Errno::IO.raw_os_error()));
    place.faults.heal();
    assert_eq!(place.load_first(LATER).columns().len(), 3);
}

#[test]
fn a_lack_of_descriptors_or_memory_says_nothing_of_a_file() {
    for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM] {
        let place = filled();
        place.faults.spoil(Call::Facts, "2.b", errno);
        let mut now = || Ok(clock(LATER));
        let refused = load(&place.mailbox, &place.notices, None, &mut now).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(errno.raw_os_error()));
    }
}

/// The directory tells of a file, the file system does not know it: some network file systems do.
#[test]
fn a_listed_file_that_is_not_found_is_looked_for_again() {
    let place = filled();
    place.faults.spoil(Call::Facts, "2.b", Errno::NOENT);
    let found = place.load_first(LATER);
    assert_eq!(ids(&found), ["1.a", "3.c"]);
    place.faults.heal();
    assert_eq!(ids(&place.load_again(&found, LATER)), ["1.a", "2.b", "3.c"]);
    assert_eq!(ids(&place.load_first(LATER)), ["1.a", "2.b", "3.c"]);
}

/// A message that is left out for a day finds its unique-id again, whoever has come meanwhile
/// (R1939-UIDL-4, R1939-UIDL-5).
#[test]
fn r1939_uidl_5_nobody_gets_the_unique_id_of_a_message_that_is_left_out() {
    let place = place();
    place.put("cur/1.a:2,", "a: b\n");
    assert_eq!(ids(&place.load_first(LATER)), ["1.a"]);
    // Its row is forgotten, the disk fails, and a file of the same base name comes.
    fs::remove_dir_all(place.path("restante/cache")).unwrap();
    let _ = fs::create_dir(place.path("restante/cache"));
    let mailbox = Mailbox::open(place.mailbox.disk(), place.directory.path()).unwrap();
    place.put("new/1.a", "another: message\n");
    place.faults.spoil(Call::Facts, "1.a:2,", Errno::IO);
    let mut now = || Ok(clock(LATER));
    let found = load(&mailbox, &place.notices, None, &mut now).unwrap();
    assert_eq!(listed(&found), ["new/1.a"]);
    assert_ne!(ids(&found), ["1.a"], "it hides unread mail");
    place.faults.heal();
    let again = load(&mailbox, &place.notices, Some(Arc::clone(&found)), &mut now).unwrap();
    assert_eq!(again.columns().len(), 2);
    assert!(ids(&again).contains(&ids(&found)[0]));
}
