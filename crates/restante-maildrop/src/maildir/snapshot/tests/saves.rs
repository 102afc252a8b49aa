//! What is written to the cache while other threads measure, read and save.

use super::*;

/// Two sessions share a snapshot: one has measured the message, the other could not.
#[test]
fn a_message_that_one_of_two_sessions_could_not_measure_stays_in_sight() {
    let place = place();
    place.put("cur/1.a:2,", "a: b\n");
    place.put("cur/2.b:2,", "a: b\n");
    let found = place.load_first(LATER);
    assert!(found.measured(0, measured(6)));
    // It was told already: this changes nothing of what the sessions see.
    assert!(!found.measured(0, Size::Unmeasurable));
    assert_eq!(sizes(&found), [Some(6), None]);
    found.save(&place.mailbox);
    let fresh = place.load_first(LATER);
    assert_eq!(listed(&fresh), ["cur/1.a:2,", "cur/2.b:2,"]);
    assert_eq!(sizes(&fresh), [None, None]);
    let again = place.load_again(&found, LATER);
    assert_eq!(sizes(&again), [None, None], "it is measured again");
}

/// A session that has ended writes all rows anew while the next one takes them over: numbers of
/// rows in the old file must not be taken for numbers in the new one.
#[test]
fn a_save_while_the_next_session_opens_hides_no_message() {
    let place = place();
    for number in 1..=5 {
        place.put(&format!("cur/{number}.a:2,"), "a: b\n");
    }
    let first = place.load_first(LATER);
    fs::remove_file(place.path("cur/2.a:2,")).unwrap();
    let earlier = place.load_again(&first, LATER);
    fs::remove_file(place.path("cur/5.a:2,")).unwrap();
    place.put("new/9.z", "a: b\n");
    let (ended, disk, path) = (
        Arc::clone(&earlier),
        place.mailbox.disk().clone(),
        place.directory.path().to_owned(),
    );
    // All other rows have been taken over when the new file is looked at.
    place.faults.before(Call::Facts, "9.z", move || {
        fs::remove_dir_all(path.join("restante/cache")).unwrap();
        ended.measured(0, measured(6));
        ended.save(&Mailbox::open(&disk, &path).unwrap());
    });
    let mailbox = Mailbox::open(place.mailbox.disk(), place.directory.path()).unwrap();
    let mut now = || Ok(clock(LATER));
    let next = load(&mailbox, &place.notices, Some(earlier), &mut now).unwrap();
    let all = ["cur/1.a:2,", "cur/3.a:2,", "cur/4.a:2,", "new/9.z"];
    assert_eq!(listed(&next), all);
    let mailbox = Mailbox::open(place.mailbox.disk(), place.directory.path()).unwrap();
    let (fresh, lines) = said(|| load(&mailbox, &place.notices, None, &mut now).unwrap());
    assert_eq!(
        (listed(&fresh), lines.len()),
        (all.map(str::to_owned).to_vec(), 0),
        "{lines:?}"
    );
}
