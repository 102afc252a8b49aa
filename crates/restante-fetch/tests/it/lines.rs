//! Lines that break: before, within and behind each answer.

use std::{fs, time::Duration};

use restante_fetch::{AnyDestination, Keep, Maildir};

use crate::{
    collecting::{Person, mail},
    office::{Habits, Office, letter, letters},
};

/// Breaks the line everywhere, then heals it: nothing is lost, twice, or deleted unread.
async fn break_everywhere(keep: Keep, habits: Habits, places: &[&str]) {
    let all = letters(4, 150);
    let office = Office::open(all.clone(), habits.clone()).await;
    let healthy = Person::new(&office, keep);
    healthy.collect().await;
    let tears = office.tears();
    assert!(tears.len() > 40, "{} places to tear at", tears.len());
    for tear in tears {
        let office = Office::open(all.clone(), habits.clone()).await;
        office.habits(|it| it.cut_after = Some(tear));
        let person = Person::new(&office, keep);
        let open = || {
            let open = |name: &&str| AnyDestination::Maildir(Maildir::new(&person.path(name)));
            places.iter().map(open).collect()
        };
        person.collect_into(open()).await;
        office.habits(|it| it.cut_after = None);
        let report = person.collect_into(open()).await;
        assert!(report.trouble.is_none(), "torn at {tear}: {report:?}");
        let mut expected: Vec<Vec<u8>> = all.iter().map(|it| it.octets.clone()).collect();
        expected.sort();
        for place in places {
            let mail = mail(&person.path(place));
            assert!(
                mail == expected,
                "torn at {tear}, {place}: {} of {}",
                mail.len(),
                expected.len()
            );
        }
        assert!(office.removed_unread().is_empty(), "torn at {tear}");
        let left = if keep == Keep::Delete { 0 } else { all.len() };
        assert_eq!(office.letters().len(), left, "torn at {tear}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prj_fetch_3_a_line_that_breaks_anywhere_loses_nothing_and_repeats_nothing() {
    break_everywhere(Keep::Delete, Habits::default(), &["Mail"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prj_fetch_9_without_pipelining_a_broken_line_loses_nothing_either() {
    let habits = Habits {
        no_pipelining: true,
        ..Habits::default()
    };
    break_everywhere(Keep::Delete, habits, &["Mail"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_breaks_delivers_once_to_each_of_two_places() {
    break_everywhere(Keep::Forever, Habits::default(), &["Mail", "Copy"]).await;
}

/// How much of a processor this thread has used, in hundredths of a second.
fn used() -> u64 {
    let facts = fs::read_to_string("/proc/thread-self/stat").expect("Linux tells");
    let (_, behind_name) = facts.rsplit_once(") ").expect("a name in brackets");
    let fields: Vec<&str> = behind_name.split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<u64>().expect("a number");
    // utime and stime, the 14th and 15th of all.
    ticks(11) + ticks(12)
}

/// Everything but disk calls is on the thread of the test.
#[tokio::test]
async fn waiting_for_a_slow_line_costs_no_work() {
    let all = vec![letter(1, 300), letter(2, 8000)];
    let habits = Habits {
        drip: Some((100, Duration::from_millis(40))),
        ..Habits::default()
    };
    let office = Office::open(all.clone(), habits).await;
    let person = Person::new(&office, Keep::Delete);
    let before = used();
    let report = person.collect().await;
    assert!(report.trouble.is_none(), "{report:?}");
    person.assert_has(&all);
    let used = used() - before;
    assert!(used < 60, "{used} hundredths of a second were used");
}
