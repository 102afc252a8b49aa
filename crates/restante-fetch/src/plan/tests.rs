//! Plans over listings and states of every kind.

use proptest::prelude::*;
use restante_client::Octets;

use super::*;
use crate::{
    fingerprint::{Digest, Fingerprint},
    state::{PlaceId, Record},
};

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 24 * 60 * 60;

fn policy(keep: Keep) -> Policy {
    Policy {
        keep,
        message_octets_max: 1000,
        larger: Larger::Leave,
        nameless: Nameless::Identify,
    }
}

fn listing(messages: &[(Option<&str>, u64)]) -> Listing {
    let listed = |(index, (unique_id, octets)): (usize, &(Option<&str>, u64))| Listed {
        number: MessageNumber::from_index(index).expect("few messages"),
        octets: Some(Octets(*octets)),
        unique_id: unique_id.map(|id| id.as_bytes().to_vec()),
    };
    Listing {
        messages: messages.iter().enumerate().map(listed).collect(),
        has_unique_ids: true,
    }
}

/// Messages that are here since a day, by unique-id and size.
fn here(messages: &[(Option<&str>, u64)]) -> Seen {
    let mut seen = Seen::default();
    for (unique_id, octets) in messages {
        let id = seen.fresh();
        seen.apply(&Record::Mail {
            id,
            named: Named::new(unique_id.map(str::as_bytes), Some(*octets)),
            fingerprint: Fingerprint {
                octets: *octets,
                header: Digest::of(&id.0.to_be_bytes()),
                body: Digest::of(b""),
                steady: Some(Digest::of(b"")),
            },
            seconds: NOW - DAY,
            tickets: Vec::new(),
        });
        seen.apply(&Record::Here(vec![id]));
    }
    seen
}

fn deeds(plan: &Plan) -> Vec<(u32, &Deed)> {
    let deeds = plan
        .steps
        .iter()
        .map(|step| (step.number.get(), &step.deed));
    deeds.collect()
}

const NEW: Deed = Deed::Retrieve {
    suspects: Suspects::Nobody,
    entry: None,
};

#[test]
fn what_is_new_is_fetched_and_what_is_here_stays_until_it_is_due() {
    let seen = here(&[(Some("a"), 10)]);
    let listing = listing(&[(Some("a"), 10), (Some("b"), 20)]);
    let kept = Deed::Leave {
        entry: EntryId(1),
        stays: Stays::Kept,
    };
    for keep in [Keep::Forever, Keep::For(Duration::from_secs(DAY + 1))] {
        let plan = Plan::new(&listing, &seen, &policy(keep), NOW);
        assert_eq!(deeds(&plan), [(1, &kept), (2, &NEW)]);
    }
    let check = Deed::Check { entry: EntryId(1) };
    for keep in [Keep::Delete, Keep::For(Duration::from_secs(DAY))] {
        let plan = Plan::new(&listing, &seen, &policy(keep), NOW);
        assert_eq!(deeds(&plan), [(2, &NEW), (1, &check)]);
    }
    // A clock that went back.
    let plan = Plan::new(
        &listing,
        &seen,
        &policy(Keep::For(Duration::ZERO)),
        NOW - 2 * DAY,
    );
    assert_eq!(deeds(&plan), [(1, &kept), (2, &NEW)]);
}

#[test]
fn a_server_that_has_refused_to_delete_a_message_is_asked_again_a_day_later() {
    let mut seen = here(&[(Some("a"), 10)]);
    let all = listing(&[(Some("a"), 10)]);
    let waits = Deed::Leave {
        entry: EntryId(1),
        stays: Stays::Undeleted,
    };
    let check = Deed::Check { entry: EntryId(1) };
    seen.apply(&Record::Refused(NOW, vec![EntryId(1)]));
    for (now, deed) in [
        (NOW, &waits),
        (NOW + DAY - 1, &waits),
        (NOW + DAY, &check),
        // A clock that went back.
        (NOW - 1, &check),
    ] {
        let plan = Plan::new(&all, &seen, &policy(Keep::Delete), now);
        assert_eq!(deeds(&plan), [(1, deed)], "{now}");
    }
    // It did it, or says so, and has it again: that is looked at as ever.
    seen.apply(&Record::Deletion(Deletion::Sent, vec![EntryId(1)]));
    let plan = Plan::new(&all, &seen, &policy(Keep::Delete), NOW);
    assert_eq!(deeds(&plan), [(1, &check)]);
}

#[test]
fn a_known_unique_id_of_another_size_is_fetched_and_never_deleted_unread() {
    let seen = here(&[(Some("a"), 10)]);
    let plan = Plan::new(
        &listing(&[(Some("a"), 11)]),
        &seen,
        &policy(Keep::Delete),
        NOW,
    );
    let again = Deed::Retrieve {
        suspects: Suspects::These([EntryId(1)].into()),
        entry: None,
    };
    assert_eq!(deeds(&plan), [(1, &again)]);
}

// PRJ-FETCH-7
#[test]
fn prj_fetch_7_what_is_too_large_by_its_listing_is_not_fetched_and_said_once() {
    let large = listing(&[(Some("a"), 1001)]);
    let mut seen = Seen::default();
    let plan = Plan::new(&large, &seen, &policy(Keep::Delete), NOW);
    assert_eq!(deeds(&plan), [(1, &Deed::TooLarge)]);
    let id = seen.fresh();
    seen.apply(&Record::Large {
        id,
        named: plan.steps[0].named.clone(),
        seconds: NOW,
        headers: false,
    });
    let left = Deed::Leave {
        entry: id,
        stays: Stays::Large,
    };
    let plan = Plan::new(&large, &seen, &policy(Keep::Delete), NOW);
    assert_eq!(deeds(&plan), [(1, &left)]);
    // Whoever allows more gets it; whoever wants headers gets those.
    let mut wants = policy(Keep::Delete);
    wants.larger = Larger::Headers;
    let plan = Plan::new(&large, &seen, &wants, NOW);
    assert_eq!(deeds(&plan), [(1, &Deed::Header { entry: Some(id) })]);
    wants.message_octets_max = 1001;
    let plan = Plan::new(&large, &seen, &wants, NOW);
    assert_eq!(deeds(&plan), [(1, &NEW)]);
}

// PRJ-FETCH-5
#[test]
fn prj_fetch_5_without_unique_ids_nothing_is_guessed_by_number() {
    let seen = here(&[(None, 10), (None, 20)]);
    let plan = Plan::new(&listing(&[(None, 10)]), &seen, &policy(Keep::Delete), NOW);
    let identify = Deed::Identify {
        suspects: Suspects::These([EntryId(1), EntryId(2)].into()),
    };
    assert_eq!(deeds(&plan), [(1, &identify)]);
    assert!(plan.absent.is_empty() && plan.gone.is_empty());
    // Nothing is known: everything is new.
    let plan = Plan::new(
        &listing(&[(None, 10)]),
        &Seen::default(),
        &policy(Keep::Delete),
        NOW,
    );
    assert_eq!(deeds(&plan), [(1, &NEW)]);
}

// PRJ-FETCH-5
#[test]
fn prj_fetch_5_the_mode_that_fetches_all_asks_for_no_header_and_concerns_nobody_else() {
    let mut policy = policy(Keep::Forever);
    policy.nameless = Nameless::Delete;
    let seen = here(&[(None, 10)]);
    let mut nameless = listing(&[(None, 10), (None, 2000)]);
    nameless.has_unique_ids = false;
    // What an interrupted session has left is not delivered twice.
    let again = Deed::Retrieve {
        suspects: Suspects::These([EntryId(1)].into()),
        entry: None,
    };
    let plan = Plan::new(&nameless, &seen, &policy, NOW);
    assert_eq!(deeds(&plan), [(2, &Deed::TooLarge), (1, &again)]);
    assert_eq!(policy.for_listing(&nameless, &seen).keep, Keep::Delete);
    // One message without a unique-id does not make a server that knows none.
    nameless.has_unique_ids = true;
    let plan = Plan::new(&nameless, &seen, &policy, NOW);
    assert!(matches!(plan.steps[1].deed, Deed::Identify { .. }));
    assert_eq!(policy.for_listing(&nameless, &seen).keep, Keep::Forever);
    // A server that has told them before knows them.
    nameless.has_unique_ids = false;
    let seen = here(&[(None, 10), (Some("a"), 10)]);
    assert_eq!(policy.for_listing(&nameless, &seen).keep, Keep::Forever);
}

#[test]
fn of_messages_without_a_unique_id_what_was_deleted_is_forgotten_in_time() {
    let mut seen = here(&[(None, 10), (None, 20)]);
    seen.apply(&Record::Deletion(Deletion::Quit, vec![EntryId(1)]));
    let listing = listing(&[(None, 30)]);
    let plan = Plan::new(&listing, &seen, &policy(Keep::Delete), NOW);
    assert_eq!((&plan.gone, &plan.absent), (&vec![EntryId(1)], &plan.gone));
    seen.apply(&Record::Deletion(Deletion::Gone, plan.gone));
    seen.apply(&Record::Absent(NOW, plan.absent));
    let later = NOW + FORGET_AFTER.as_secs();
    let plan = Plan::new(&listing, &seen, &policy(Keep::Delete), later);
    assert_eq!(plan.forget, [EntryId(1)]);
}

#[test]
fn messages_without_a_unique_id_that_are_not_too_large_any_more_come_once() {
    let mut seen = Seen::default();
    let mut large = || {
        let id = seen.fresh();
        seen.apply(&Record::Large {
            id,
            named: Named::new(None, Some(2000)),
            seconds: NOW,
            headers: false,
        });
        id
    };
    let (one, other) = (large(), large());
    let stays = |entry| Deed::Leave {
        entry,
        stays: Stays::Large,
    };
    // Each of them is known, and a third one is not.
    let listing = listing(&[(None, 2000), (None, 2000), (None, 2000)]);
    let plan = Plan::new(&listing, &seen, &policy(Keep::Forever), NOW);
    let known = (stays(one), stays(other));
    assert_eq!(
        deeds(&plan),
        [(1, &known.0), (2, &known.1), (3, &Deed::TooLarge)]
    );
    let mut wants = policy(Keep::Forever);
    wants.message_octets_max = 2000;
    let plan = Plan::new(&listing, &seen, &wants, NOW);
    assert_eq!(deeds(&plan), [(1, &NEW), (2, &NEW), (3, &NEW)]);
    // They are here: the header tells which they are.
    seen.apply(&Record::Mail {
        id: EntryId(9),
        named: Named::new(None, Some(2000)),
        fingerprint: Fingerprint {
            octets: 2000,
            header: Digest::of(b""),
            body: Digest::of(b""),
            steady: None,
        },
        seconds: NOW,
        tickets: Vec::new(),
    });
    seen.apply(&Record::Here(vec![EntryId(9)]));
    let plan = Plan::new(&listing, &seen, &wants, NOW);
    let identify = |step: &Step| matches!(step.deed, Deed::Identify { .. });
    assert!(plan.steps.iter().all(identify), "{plan:?}");
}

#[test]
fn two_messages_of_one_unique_id_are_told_apart_by_what_they_are() {
    let seen = here(&[(Some("a"), 10), (Some("b"), 10)]);
    let twice = listing(&[(Some("a"), 10), (Some("a"), 10), (Some("b"), 10)]);
    let plan = Plan::new(&twice, &seen, &policy(Keep::Delete), NOW);
    let identify = Deed::Identify {
        suspects: Suspects::These([EntryId(1)].into()),
    };
    let check = Deed::Check { entry: EntryId(2) };
    assert_eq!(deeds(&plan), [(1, &identify), (2, &identify), (3, &check)]);
}

// PRJ-FETCH-2, PRJ-FETCH-4
#[test]
fn prj_fetch_2_an_empty_listing_forgets_nothing_and_a_month_of_them_does() {
    let mut seen = here(&[(Some("a"), 10)]);
    let empty = listing(&[]);
    let plan = Plan::new(&empty, &seen, &policy(Keep::Delete), NOW);
    assert_eq!(
        (plan.absent.as_slice(), plan.forget.len()),
        (&[EntryId(1)][..], 0)
    );
    seen.apply(&Record::Absent(NOW, plan.absent));
    let month = FORGET_AFTER.as_secs();
    let plan = Plan::new(&empty, &seen, &policy(Keep::Delete), NOW + month - 1);
    assert!(plan.forget.is_empty() && plan.absent.is_empty());
    let plan = Plan::new(&empty, &seen, &policy(Keep::Delete), NOW + month);
    assert_eq!(plan.forget, [EntryId(1)]);
    // Once listed, it is known as if it had never been away.
    let back = listing(&[(Some("a"), 10)]);
    let plan = Plan::new(&back, &seen, &policy(Keep::Forever), NOW + month);
    assert_eq!(plan.present, [EntryId(1)]);
    assert!(plan.forget.is_empty());
    assert!(matches!(plan.steps[0].deed, Deed::Leave { .. }));
}

#[test]
fn a_listing_without_what_was_deleted_confirms_it() {
    let mut seen = here(&[(Some("a"), 10), (Some("b"), 10)]);
    seen.apply(&Record::Deletion(
        Deletion::Quit,
        vec![EntryId(1), EntryId(2)],
    ));
    let listing = listing(&[(Some("b"), 10)]);
    let plan = Plan::new(&listing, &seen, &policy(Keep::Delete), NOW);
    assert_eq!(plan.gone, [EntryId(1)]);
    // It is still there: it is looked at again before it is deleted again.
    assert_eq!(deeds(&plan), [(1, &Deed::Check { entry: EntryId(2) })]);
}

#[test]
fn after_a_migration_new_mail_is_compared_with_what_is_missing() {
    let seen = here(&[(Some("a"), 10), (Some("b"), 20), (Some("c"), 30)]);
    let moved = listing(&[(Some("x"), 10), (Some("y"), 20), (Some("z"), 99)]);
    let plan = Plan::new(&moved, &seen, &policy(Keep::Forever), NOW);
    let identify = Deed::Identify {
        suspects: Suspects::Missing,
    };
    let compare = Deed::Retrieve {
        suspects: Suspects::Missing,
        entry: None,
    };
    assert_eq!(
        deeds(&plan),
        [(1, &identify), (2, &identify), (3, &compare)]
    );
    assert_eq!(plan.missing, [EntryId(1), EntryId(2), EntryId(3)]);
    // One of three is gone, and something new has come: that is everyday life.
    let everyday = listing(&[(Some("a"), 10), (Some("b"), 20), (Some("z"), 30)]);
    let plan = Plan::new(&everyday, &seen, &policy(Keep::Forever), NOW);
    assert!(plan.missing.is_empty());
    assert!(deeds(&plan).contains(&(3, &NEW)));
}

#[test]
fn what_failed_comes_last_and_waits_a_day_after_the_third_time() {
    let mut seen = Seen::default();
    let mut aside = |name: &str, tries| {
        let id = seen.fresh();
        seen.apply(&Record::Aside {
            id,
            named: Named::new(Some(name.as_bytes()), Some(10)),
            seconds: NOW,
            tries,
            why: String::new(),
        });
        seen.apply(&Record::At(id, PlaceId::of("a")));
        id
    };
    let (often, once) = (aside("often", 3), aside("once", 1));
    let listing = listing(&[(Some("often"), 10), (Some("once"), 10), (Some("new"), 10)]);
    let plan = Plan::new(&listing, &seen, &policy(Keep::Delete), NOW);
    let left = Deed::Leave {
        entry: often,
        stays: Stays::Aside,
    };
    let again = |id| Deed::Retrieve {
        suspects: Suspects::Nobody,
        entry: Some(id),
    };
    assert_eq!(deeds(&plan), [(1, &left), (3, &NEW), (2, &again(once))]);
    let plan = Plan::new(&listing, &seen, &policy(Keep::Delete), NOW + DAY);
    assert_eq!(
        deeds(&plan),
        [(3, &NEW), (1, &again(often)), (2, &again(once))]
    );
}

fn any_messages() -> impl Strategy<Value = Vec<(Option<String>, u64)>> {
    let message = (proptest::option::of("[a-d]"), 9_u64..12);
    proptest::collection::vec(message, 0..8)
}

proptest! {
    /// Whatever is listed and known: each message gets one deed, nothing is deleted without a look,
    /// and nothing is deleted, fetched or left that policy forbids.
    #[test]
    fn every_message_gets_one_deed_that_is_safe(
        known in any_messages(),
        listed in any_messages(),
        nameless in prop_oneof![Just(Nameless::Identify), Just(Nameless::Delete)],
        keep in prop_oneof![Just(Keep::Delete), Just(Keep::Forever), Just(Keep::For(Duration::from_secs(DAY)))],
    ) {
        fn short(of: &[(Option<String>, u64)]) -> Vec<(Option<&str>, u64)> {
            of.iter().map(|(name, octets)| (name.as_deref(), *octets)).collect()
        }
        let seen = here(&short(&known));
        let listing = listing(&short(&listed));
        let mut policy = policy(keep);
        policy.message_octets_max = 10;
        policy.nameless = nameless;
        let plan = Plan::new(&listing, &seen, &policy, NOW);
        let mut numbers: Vec<u32> = deeds(&plan).iter().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        prop_assert_eq!(numbers, (1..=listing.messages.len() as u32).collect::<Vec<_>>());
        for step in &plan.steps {
            let fits = |entry: &EntryId| {
                let entry = seen.entry(*entry).expect("it is known");
                entry.named == step.named
            };
            match &step.deed {
                Deed::Check { entry } => prop_assert!(keep != Keep::Forever && fits(entry)),
                Deed::Leave { entry, .. } => prop_assert!(keep == Keep::Forever && fits(entry)),
                Deed::Retrieve { .. } => prop_assert!(step.named.announced <= Some(10)),
                Deed::TooLarge => prop_assert!(step.named.announced > Some(10)),
                Deed::Identify { suspects } => prop_assert_ne!(suspects, &Suspects::Nobody),
                Deed::Header { .. } => prop_assert!(false, "headers are not wanted"),
            }
        }
        // Nothing is said to be gone whose unique-id is listed.
        for id in plan.absent.iter().chain(&plan.gone) {
            let entry = seen.entry(*id).expect("it is known");
            let alone = |it: &&Listed| it.unique_id == entry.named.unique_id
                && it.octets.map(|octets| octets.0) == entry.named.announced;
            prop_assert!(listing.messages.iter().find(alone).is_none()
                || seen.named(entry.named.unique_id.as_deref()).count() > 1);
        }
        prop_assert!(plan.forget.is_empty());
    }
}
