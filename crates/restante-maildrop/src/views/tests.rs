//! Events and the lines that tell of them; which time is trusted; when messages leave.

use proptest::prelude::*;

use super::*;
use crate::Keep;

const DAY: u64 = 24 * 60 * 60;
/// Some time in 2026.
const BEGIN: u64 = 1_769_860_000;

fn name(name: &str) -> ViewName {
    ViewName::new(name).unwrap()
}

fn read(lines: &[Vec<u8>]) -> Views {
    let mut parsing = Parsing::default();
    for line in lines {
        assert!(parsing.take_line(line), "{}", line.escape_ascii());
    }
    assert!(!parsing.newer);
    parsing.views
}

fn per_device(keep: Keep) -> Policy {
    Policy {
        delete: DeleteMode::PerDevice,
        keep,
        ..Policy::default()
    }
}

fn ids() -> Vec<Vec<u8>> {
    (0..40_u32)
        .map(|at| format!("id-{at}").into_bytes())
        .collect()
}

/// All that can be asked of the views, for each id.
fn answers(views: &Views) -> Vec<String> {
    // Which bit stands for whom is nobody's business.
    let devices = views
        .devices
        .iter()
        .map(|one| (&one.name, one.added, one.used, one.access));
    let mut answers = vec![format!(
        "{:?} {:?} {:?} {:?}",
        devices.collect::<Vec<_>>(),
        views.times,
        views.mode,
        views.damaged
    )];
    let policies = [
        per_device(Keep::UntilDeleted),
        per_device(Keep::UntilFetched),
        Policy {
            expire_unfetched: Some(Duration::from_secs(5 * DAY)),
            ..per_device(Keep::For(Duration::from_secs(3 * DAY)))
        },
        Policy::default(),
    ];
    for id in ids() {
        let devices = views.devices.iter().map(|device| Eye(device.bit));
        let eyes = [Eye(SHARED), Eye(SOMEBODY)].into_iter().chain(devices);
        let marks = eyes.map(|eye| (views.hide(eye, &id), views.fetched(eye, &id)));
        let bits: Vec<_> = marks.collect();
        let go =
            policies.map(|policy| Rules::new(views, policy, None, u64::MAX).let_go(&id, BEGIN));
        let by = views.deleted_by(&id);
        answers.push(format!("{bits:?} {go:?} {by:?}"));
    }
    answers
}

fn event() -> impl Strategy<Value = Event> {
    let view = prop::sample::select(vec!["shared", "phone", "tablet", "x-0a", "default"]);
    let view = view.prop_map(name);
    let time = (BEGIN..BEGIN + 20 * DAY).boxed();
    let some = prop::collection::vec(prop::sample::select(ids()), 1..30);
    let device = prop::sample::select(vec!["phone", "tablet", "x-0a", "default"]).prop_map(name);
    prop_oneof![
        (device.clone(), time.clone()).prop_map(|(view, at)| Event::Added(view, at)),
        (device.clone(), time.clone()).prop_map(|(view, at)| Event::Met(view, at)),
        (device.clone(), time.clone()).prop_map(|(view, at)| Event::Used(view, at)),
        (device.clone(), any::<bool>()).prop_map(|(view, reads)| Event::Access(
            view,
            if reads {
                Access::ReadOnly
            } else {
                Access::Full
            }
        )),
        (device.clone(), time.clone()).prop_map(|(view, at)| Event::Reset(view, at)),
        (device, time.clone()).prop_map(|(view, at)| Event::Removed(view, at)),
        (view.clone(), some.clone()).prop_map(|(view, ids)| Event::Hidden(view, ids)),
        (view.clone(), some.clone()).prop_map(|(view, ids)| Event::Skipped(view, ids)),
        (view, some).prop_map(|(view, ids)| Event::Fetched(view, ids)),
        time.clone()
            .prop_map(|at| Event::Mode(DeleteMode::PerDevice, at)),
        time.clone()
            .prop_map(|at| Event::Mode(DeleteMode::Shared, at)),
        time.clone().prop_map(Event::Clock),
        time.prop_map(Event::Damaged),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_what_is_read(events in prop::collection::vec(event(), 0..60)) {
        let mut views = Views::default();
        let mut lines = vec![title(b"0123")];
        for event in &events {
            // What makes no sense is not written.
            let mut next = views.clone();
            if next.apply(event) {
                views = next;
                lines.extend(event.lines());
            }
        }
        for line in &lines {
            prop_assert!(line.len() < 1000, "a line of {} octets", line.len());
        }
        let again = read(&lines);
        prop_assert_eq!(answers(&again), answers(&views));
        // Written anew it says the same, and as shortly as can be.
        let all = ids();
        let mut anew = vec![title(b"4567")];
        anew.extend(compacted(&views, all.iter().map(Vec::as_slice)));
        let anew_read = read(&anew);
        prop_assert_eq!(answers(&anew_read), answers(&views));
        let more = Event::Hidden(ViewName::shared(), vec![b"id-0".to_vec()]);
        let (mut one, mut other) = (views, anew_read);
        prop_assert_eq!(one.apply(&more), other.apply(&more));
        prop_assert_eq!(answers(&one), answers(&other));
    }
}

#[test]
fn what_makes_no_sense_is_told() {
    for line in [
        "",
        "hidden",
        "hidden phone",
        "hidden shared",
        "hidden shared a b\u{7f}",
        "used phone 1",
        "added shared",
        "added phone x",
        "added PHONE 1",
        "added phone 1 2",
        "mode both 1",
        "clock",
        "clock -1",
        "clock 1 2",
        "state . . 0",
        "known phone 1",
        "known phone 1 . write-only",
        "known phone 1 . read-only 1",
        "access phone read-only",
        "access phone",
        "marks * . . ",
        "marks nobody . . a",
        "marks . . .",
        "unknown 1",
        "removed phone 1",
        "reset phone 1",
    ] {
        let mut parsing = Parsing::default();
        assert!(!parsing.take_line(line.as_bytes()), "{line}");
    }
    let mut parsing = Parsing::default();
    assert!(parsing.take_line(b"restante views 2 0123"));
    assert!(parsing.newer);
}

#[test]
fn a_poll_has_nothing_to_note_but_once_a_day() {
    let policy = per_device(Keep::UntilDeleted);
    let mut views = Views::default();
    let (phone, tablet) = (name("phone"), name("tablet"));
    let mut noted = 0;
    for hour in 0..10 * 24 {
        for view in [&phone, &tablet] {
            let notes = views.notes((view, Access::Full), policy, BEGIN + hour * 3600);
            noted += usize::from(!notes.is_empty());
            assert!(notes.iter().all(|note| views.apply(note)));
        }
    }
    assert!((20..=22).contains(&noted), "{noted} notes in ten days");
    // A mailbox that is shared and kept until deleted notes nothing at all.
    assert!(
        Views::default()
            .notes(
                (&ViewName::shared(), Access::Full),
                Policy::default(),
                BEGIN
            )
            .is_empty()
    );
}

#[test]
fn a_moment_is_past_when_two_looks_a_day_apart_have_shown_it() {
    let mut times = Times::default();
    let past = |times: &Times| times.is_past(BEGIN, Duration::from_secs(30 * DAY));
    times.observe(BEGIN);
    // A year ahead, for less than a day.
    times.observe(BEGIN + 365 * DAY);
    times.observe(BEGIN + 366 * DAY - 1);
    assert!(!past(&times));
    times.observe(BEGIN + DAY);
    for day in 2..=30 {
        times.observe(BEGIN + day * DAY);
        assert!(!past(&times), "day {day}");
    }
    times.observe(BEGIN + 31 * DAY);
    assert!(past(&times));
    // After a standstill the first look proves nothing, the second the first.
    let mut times = Times::default();
    times.observe(BEGIN);
    times.observe(BEGIN + 50 * DAY);
    assert!(!past(&times));
    times.observe(BEGIN + 51 * DAY);
    assert!(past(&times));
}

#[test]
fn what_a_clock_that_was_behind_has_dated_is_not_old_when_it_is_right_again() {
    let mut times = Times::default();
    for day in 0..10 {
        times.observe(BEGIN + day * DAY);
    }
    let year = 365 * DAY;
    // Back by a year, for a few days in which mail comes.
    let wrong = BEGIN + 10 * DAY - year;
    for day in 0..3 {
        times.observe(wrong + day * DAY);
        assert!(!times.is_past(wrong - 40 * DAY, Duration::from_secs(50 * DAY)));
    }
    for day in 13..40 {
        times.observe(BEGIN + day * DAY);
        let arrived = times.at_latest(wrong + DAY);
        assert!(arrived >= BEGIN + 13 * DAY);
        assert!(
            !times.is_past(arrived, Duration::from_secs(30 * DAY)),
            "day {day}"
        );
    }
    // What comes later is as old as it says.
    assert_eq!(times.at_latest(BEGIN + 20 * DAY), BEGIN + 20 * DAY);
    // A clock that was ahead for less than a day was not behind before or after.
    let mut times = Times::default();
    for time in [
        BEGIN,
        BEGIN + DAY,
        BEGIN + year,
        BEGIN + DAY + 60,
        BEGIN + 2 * DAY,
    ] {
        times.observe(time);
    }
    assert_eq!(times.righted, 0);
}

#[test]
fn when_a_device_may_have_been_lost_nobodys_deletions_are_everyones() {
    let policy = per_device(Keep::UntilDeleted);
    let mut views = Views::default();
    let phone = name("phone");
    assert!(views.apply(&Event::Met(phone.clone(), BEGIN)));
    assert!(views.apply(&Event::Hidden(phone.clone(), vec![b"a".to_vec()])));
    let goes =
        |views: &Views| Rules::new(views, policy, Some(&phone), u64::MAX).let_go(b"a", BEGIN);
    assert!(goes(&views));
    views.damage(BEGIN);
    for day in 1..=60 {
        views.apply(&Event::Used(phone.clone(), BEGIN + day * DAY));
        assert!(!goes(&views), "day {day}");
    }
    views.apply(&Event::Used(phone.clone(), BEGIN + 61 * DAY));
    assert!(goes(&views));
}

#[test]
fn a_removed_device_has_had_the_mail_that_it_had() {
    let policy = per_device(Keep::For(Duration::ZERO));
    let mut views = Views::default();
    let phone = name("phone");
    assert!(views.apply(&Event::Met(phone.clone(), BEGIN)));
    assert!(views.apply(&Event::Fetched(phone.clone(), vec![b"a".to_vec()])));
    assert!(views.apply(&Event::Removed(phone, BEGIN)));
    views.apply(&Event::Clock(BEGIN + DAY));
    let rules = Rules::new(&views, policy, None, u64::MAX);
    assert!(rules.let_go(b"a", BEGIN));
    assert!(!rules.let_go(b"b", BEGIN));
}

#[test]
fn a_registry_that_says_nothing_of_it_lets_devices_delete() {
    let lines = ["added phone 1769860001", "known tablet 1769860001 ."];
    let views = read(&lines.map(|line| line.as_bytes().to_vec()));
    assert!(views.devices.iter().all(|one| one.access == Access::Full));
}

#[test]
fn who_cannot_delete_has_to_have_it_and_need_not_delete_it() {
    let (phone, archive) = (name("phone"), name("archive"));
    let policy = per_device(Keep::UntilDeleted);
    let mut views = Views::default();
    for view in [&phone, &archive] {
        assert!(views.apply(&Event::Added(view.clone(), BEGIN)));
    }
    let goes = |views: &Views, id: &[u8]| {
        Rules::new(views, policy, Some(&phone), u64::MAX).let_go(id, BEGIN)
    };
    let ids = || vec![b"both".to_vec()];
    assert!(views.apply(&Event::Access(archive.clone(), Access::ReadOnly)));
    assert!(views.apply(&Event::Hidden(phone.clone(), ids())));
    assert!(!goes(&views, b"both"));
    assert!(views.apply(&Event::Fetched(archive.clone(), ids())));
    assert!(goes(&views, b"both"));
    // To have it is not to want it deleted.
    assert!(views.apply(&Event::Fetched(archive.clone(), vec![b"kept".to_vec()])));
    assert!(!goes(&views, b"kept"));
    assert!(views.apply(&Event::Access(archive.clone(), Access::Full)));
    assert!(!goes(&views, b"both"));
    // Whoever is added anew may do what he is told then.
    assert!(views.apply(&Event::Access(archive.clone(), Access::ReadOnly)));
    assert!(views.apply(&Event::Added(archive.clone(), BEGIN)));
    assert_eq!(views.access(&archive), Access::Full);
}

#[test]
fn what_no_device_was_meant_to_see_is_nobodys_to_delete() {
    let (phone, tablet) = (name("phone"), name("tablet"));
    let mut views = Views::default();
    let one = |id: &str| vec![id.as_bytes().to_vec()];
    for view in [&phone, &tablet] {
        assert!(views.apply(&Event::Added(view.clone(), BEGIN)));
        assert!(views.apply(&Event::Skipped(view.clone(), one("old"))));
    }
    assert!(views.apply(&Event::Skipped(phone.clone(), one("for-the-tablet"))));
    let deleted = Event::Hidden(tablet.clone(), one("for-the-tablet"));
    for keep in [Keep::UntilDeleted, Keep::UntilFetched] {
        let mut views = views.clone();
        let goes = |views: &Views, id: &[u8]| {
            Rules::new(views, per_device(keep), Some(&phone), u64::MAX).let_go(id, BEGIN)
        };
        assert!(!goes(&views, b"old") && !goes(&views, b"for-the-tablet"));
        assert!(views.apply(&deleted));
        assert!(!goes(&views, b"old") && goes(&views, b"for-the-tablet"));
        assert_eq!(
            views.deleted_by(b"for-the-tablet"),
            *std::slice::from_ref(&tablet)
        );
        // Who is removed has not deleted what it never saw.
        assert!(views.apply(&Event::Removed(phone.clone(), BEGIN)));
        assert!(!goes(&views, b"old") && goes(&views, b"for-the-tablet"));
    }
}

#[test]
fn what_a_device_has_listed_and_then_was_to_skip_it_can_still_delete() {
    let phone = name("phone");
    let policy = per_device(Keep::UntilDeleted);
    let mut views = Views::default();
    assert!(views.apply(&Event::Added(phone.clone(), BEGIN)));
    assert!(views.apply(&Event::Skipped(phone.clone(), vec![b"a".to_vec()])));
    for expected in [1, 0] {
        let deleted = [&b"a"[..]].into_iter();
        let events = views.ending((&phone, Access::Full), policy, deleted, std::iter::empty());
        assert_eq!(events.len(), expected);
        assert!(events.iter().all(|event| views.apply(event)));
    }
    assert_eq!(views.deleted_by(b"a"), [phone]);
}
