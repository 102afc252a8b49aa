//! When directories are listed again, and what a poll costs.

use super::*;

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
