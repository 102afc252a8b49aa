//! What was durable must be read again, whatever became of the file.

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{
    destination::Ticket,
    fingerprint::{Digest, Fingerprint},
};

fn fingerprint(of: &str) -> Fingerprint {
    Fingerprint {
        octets: of.len() as u64,
        header: Digest::of(of.as_bytes()),
        body: Digest::of(b"body"),
        steady: Some(Digest::of(b"steady")),
    }
}

fn mail(id: u64, name: &str) -> Record {
    Record::Mail {
        id: EntryId(id),
        named: Named::new(Some(name.as_bytes()), Some(7)),
        fingerprint: fingerprint(name),
        seconds: 1_800_000_000,
        tickets: vec![(
            PlaceId::of("maildir:/a"),
            Ticket::new(&b"a b:c%"[..]).expect("it is short"),
        )],
    }
}

fn file(home: &TempDir) -> PathBuf {
    home.path().join("work.seen")
}

#[test]
fn prj_fetch_2_what_was_synced_is_read_again() {
    let home = TempDir::new().unwrap();
    let mut state = State::open(home.path(), "work").unwrap();
    let id = state.fresh();
    state.add(&mail(id.0, "one"));
    state.add(&Record::Here(vec![id]));
    state.add(&Record::Deletion(Deletion::Sent, vec![id]));
    state.sync().unwrap();
    let seen = state.seen().clone();
    drop(state);
    let state = State::open(home.path(), "work").unwrap();
    assert_eq!(*state.seen(), seen);
    let entry = state.seen().entry(id).unwrap();
    assert!(entry.is_here() && entry.deletion == Deletion::Sent);
    assert_eq!(State::look(home.path(), "work").unwrap(), seen);
}

#[test]
fn two_runs_of_one_account_exclude_each_other() {
    let home = TempDir::new().unwrap();
    let state = State::open(home.path(), "work").unwrap();
    let second = State::open(home.path(), "work");
    assert!(matches!(second, Err(StateError::InUse { .. })));
    State::open(home.path(), "home").unwrap();
    drop(state);
    State::open(home.path(), "work").unwrap();
}

#[test]
fn a_torn_last_line_counts_for_nothing_and_the_next_one_is_whole() {
    let home = TempDir::new().unwrap();
    let whole = {
        let mut state = State::open(home.path(), "work").unwrap();
        state.add(&mail(1, "one"));
        state.add(&mail(2, "two"));
        state.sync().unwrap();
        fs::read(file(&home)).unwrap()
    };
    let first = whole.len() - journal::line(mail(2, "two").lines()[0].as_bytes()).len();
    for cut in first..whole.len() {
        fs::write(file(&home), &whole[..cut]).unwrap();
        let mut state = State::open(home.path(), "work").unwrap();
        assert_eq!(state.seen().len(), 1, "cut at {cut}");
        state.add(&mail(3, "three"));
        state.sync().unwrap();
        drop(state);
        let state = State::open(home.path(), "work").unwrap();
        assert_eq!(state.seen().len(), 2, "cut at {cut}");
        assert!(
            !home.path().join("work.seen.damaged").exists(),
            "cut at {cut}"
        );
    }
}

#[test]
fn damage_costs_the_lines_it_touches_and_is_set_aside() {
    let home = TempDir::new().unwrap();
    {
        let mut state = State::open(home.path(), "work").unwrap();
        for id in 1..=3 {
            state.add(&mail(id, "one"));
        }
        state.sync().unwrap();
    }
    let mut octets = fs::read(file(&home)).unwrap();
    let middle = octets.len() / 2;
    octets[middle] ^= 1;
    fs::write(file(&home), &octets).unwrap();
    let state = State::open(home.path(), "work").unwrap();
    let ids: Vec<u64> = state.seen().entries().map(|(id, _)| id.0).collect();
    assert_eq!(ids, [1, 3]);
    assert_eq!(
        fs::read(home.path().join("work.seen.damaged")).unwrap(),
        octets
    );
    drop(state);
    fs::remove_file(home.path().join("work.seen.damaged")).unwrap();
    State::open(home.path(), "work").unwrap();
    assert!(!home.path().join("work.seen.damaged").exists());
}

#[test]
fn a_newer_version_is_not_guessed_at() {
    let home = TempDir::new().unwrap();
    fs::write(file(&home), journal::line(b"restante fetch 2")).unwrap();
    let opened = State::open(home.path(), "work");
    assert!(matches!(opened, Err(StateError::Newer { .. })));
}

#[test]
fn a_file_that_has_grown_is_written_anew_with_what_it_says() {
    let home = TempDir::new().unwrap();
    let mut state = State::open(home.path(), "work").unwrap();
    for id in 1..=500 {
        state.add(&mail(id, "one"));
    }
    for round in 0..4000 {
        state.add(&Record::Absent(round, (1..=20).map(EntryId).collect()));
        state.add(&Record::Present((1..=20).map(EntryId).collect()));
    }
    state.compact().unwrap();
    let octets = fs::metadata(file(&home)).unwrap().len();
    assert!(octets < 250_000, "{octets}");
    let seen = state.seen().clone();
    state.add(&mail(501, "after"));
    state.sync().unwrap();
    drop(state);
    let state = State::open(home.path(), "work").unwrap();
    assert_eq!(state.seen().len(), seen.len() + 1);
}

#[test]
fn what_many_runs_have_written_does_not_add_up() {
    let home = TempDir::new().unwrap();
    for _ in 0..30 {
        let mut state = State::open(home.path(), "work").unwrap();
        let ids: Vec<EntryId> = (0..100).map(|_| state.fresh()).collect();
        ids.iter().for_each(|id| state.add(&mail(id.0, "one")));
        state.add(&Record::Forget(ids));
        state.compact().unwrap();
    }
    let octets = fs::metadata(file(&home)).unwrap().len();
    assert!(octets <= COMPACT_OCTETS_MIN, "{octets}");
}

#[test]
fn a_state_that_was_given_up_says_nothing_is_durable_and_writes_nothing() {
    let home = TempDir::new().unwrap();
    let mut state = State::open(home.path(), "work").unwrap();
    let before = fs::read(file(&home)).unwrap();
    state.add(&mail(1, "one"));
    assert!(matches!(state.give_up(), StateError::Broken { .. }));
    assert!(matches!(state.sync(), Err(StateError::Broken { .. })));
    drop(state);
    assert_eq!(fs::read(file(&home)).unwrap(), before);
}

/// Found by fuzzing: what was written anew said less.
#[test]
fn of_a_message_that_is_told_again_no_ticket_is_open_where_it_has_arrived() {
    let mut seen = Seen::default();
    let place = PlaceId::of("maildir:/a");
    for record in [
        mail(1, "one"),
        Record::At(EntryId(1), place),
        mail(1, "one"),
    ] {
        assert!(seen.apply(&record));
    }
    let Standing::Underway { tickets, arrived } = &seen.entry(EntryId(1)).unwrap().standing else {
        panic!("{seen:?}");
    };
    assert_eq!((tickets.len(), arrived.as_slice()), (0, &[place][..]));
    let mut again = Seen::default();
    for record in seen.records() {
        assert!(again.apply(&record), "{record:?}");
    }
    assert!(again.entries().eq(seen.entries()));
}

#[test]
fn names_of_entries_are_never_given_twice() {
    let home = TempDir::new().unwrap();
    let mut state = State::open(home.path(), "work").unwrap();
    state.add(&mail(41, "one"));
    assert_eq!(state.fresh(), EntryId(42));
}

fn any_named() -> impl Strategy<Value = Named> {
    let unique_id = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..12));
    (unique_id, proptest::option::of(any::<u64>())).prop_map(|(unique_id, announced)| Named {
        unique_id,
        announced,
    })
}

fn any_record() -> impl Strategy<Value = Record> {
    let id = (0_u64..9).prop_map(EntryId);
    let ids = proptest::collection::vec(id.clone(), 1..5);
    let place = "[ab]".prop_map(|label| PlaceId::of(&label));
    let ticket = proptest::collection::vec(any::<u8>(), 0..20)
        .prop_map(|octets| Ticket::new(octets).expect("it is short"));
    let tickets = proptest::collection::vec((place.clone(), ticket), 0..3);
    prop_oneof![
        (id.clone(), any_named(), ".*", any::<u64>(), tickets).prop_map(
            |(id, named, of, seconds, tickets)| Record::Mail {
                id,
                named,
                fingerprint: fingerprint(&of),
                seconds,
                tickets,
            }
        ),
        (id.clone(), place.clone()).prop_map(|(id, place)| Record::At(id, place)),
        (id.clone(), place).prop_map(|(id, place)| Record::Lost(id, place)),
        ids.clone().prop_map(Record::Here),
        ids.clone().prop_map(Record::Forget),
        ids.clone().prop_map(Record::Present),
        (any::<u64>(), ids.clone()).prop_map(|(since, ids)| Record::Absent(since, ids)),
        (any::<u64>(), ids.clone()).prop_map(|(at, ids)| Record::Refused(at, ids)),
        (0_usize..4, ids).prop_map(|(stage, ids)| {
            let stages = [
                Deletion::Wanted,
                Deletion::Sent,
                Deletion::Quit,
                Deletion::Gone,
            ];
            Record::Deletion(stages[stage], ids)
        }),
        (id.clone(), any_named()).prop_map(|(id, named)| Record::As(id, named)),
        (id.clone(), ".*").prop_map(|(id, of)| Record::Top(id, Digest::of(of.as_bytes()))),
        (
            id.clone(),
            any_named(),
            any::<u64>(),
            any::<u32>(),
            ".{0,60}"
        )
            .prop_map(|(id, named, seconds, tries, why)| Record::Aside {
                id,
                named,
                seconds,
                tries,
                why,
            }),
        (id, any_named(), any::<u64>(), any::<bool>()).prop_map(|(id, named, seconds, headers)| {
            Record::Large {
                id,
                named,
                seconds,
                headers,
            }
        }),
    ]
}

proptest! {
    #[test]
    fn every_record_is_read_as_it_was_written(record in any_record()) {
        let lines = record.lines();
        prop_assert_eq!(lines.len(), 1);
        prop_assert!(lines[0].bytes().all(|octet| (0x20..0x7F).contains(&octet)));
        prop_assert_eq!(Record::parse(lines[0].as_bytes()), Some(record));
    }

    #[test]
    fn what_is_written_anew_says_the_same(records in proptest::collection::vec(any_record(), 0..60)) {
        let mut seen = Seen::default();
        for record in &records {
            seen.apply(record);
        }
        let mut again = Seen::default();
        for record in seen.records() {
            prop_assert!(again.apply(&record), "{:?}", record);
        }
        let entries: Vec<_> = seen.entries().collect();
        prop_assert_eq!(again.entries().collect::<Vec<_>>(), entries);
        for (id, entry) in seen.entries() {
            let unique_id = entry.named.unique_id.as_deref();
            prop_assert!(seen.named(unique_id).any(|(other, _)| other == id));
        }
    }

    #[test]
    fn any_octets_are_read_without_harm(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut seen = Seen::default();
        let _ = read(&mut octets.as_slice(), &mut seen).unwrap();
        prop_assert!(seen.is_empty());
    }
}

/// What the fuzz target looks for, on its seeds.
#[cfg(feature = "testing")]
#[test]
fn the_seeds_of_the_fuzz_target_hold() {
    for seed in ["sound", "torn", "without_checksums", "told_again"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/fetch_state");
        let octets = fs::read(path.join(seed)).unwrap();
        fuzz_state(&octets);
        if seed == "sound" {
            let mut seen = Seen::default();
            let found = read(&mut octets.as_slice(), &mut seen).unwrap();
            assert!(found.titled && found.soundness.damaged == 0 && seen.len() == 2);
        }
    }
}
