//! What a person is told of a message that does not come: once in a run.

use std::time::Duration;

use restante_fetch::{
    AnyDestination, Keep, Larger, Maildir,
    destination::{Command, CommandSettings},
};

use crate::{
    collecting::Person,
    office::{Habits, Office, letter, letters},
};

/// A program that takes every message but those of which a line begins like this, and ends with
/// this code for them.
fn picky(person: &Person, name: &str, code: u8) -> AnyDestination {
    let script = format!("! grep -q '^Subject: letter 2$' || exit {code}");
    let words = ["/bin/sh", "-c", &script, name];
    let settings = CommandSettings {
        words: words.map(Into::into).to_vec(),
        deadline: Duration::from_secs(60),
    };
    let command = Command::new(settings, &person.path("handed"), "work");
    AnyDestination::Command(command.expect("a program"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_two_destinations_refuse_is_told_once_and_counted_once() {
    // Without unique-ids, too, a message is known that has arrived at a part of the places.
    let cases = [(1, 3, false), (1, 3, true), (75, 5, false), (75, 5, true)];
    for (code, tries, no_uidl) in cases {
        let all = letters(5, 300);
        let habits = Habits {
            no_uidl,
            ..Habits::default()
        };
        let office = Office::open(all.clone(), habits).await;
        let person = Person::new(&office, Keep::Delete);
        for run in 1..=5 {
            let maildir = AnyDestination::Maildir(Maildir::new(&person.maildir()));
            let (one, other) = (picky(&person, "a", code), picky(&person, "b", code));
            let report = person.collect_into(vec![one, maildir, other]).await;
            let tried = u64::from(run <= tries);
            assert_eq!(report.not_collected, tried, "run {run}: {report:?}");
            assert_eq!(person.told.count("NotCollected"), run.min(tries));
            // The others went on, and it arrived where it could, once.
            person.assert_has(&all);
        }
        assert_eq!(office.letters(), [all[1].clone()]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_a_unique_id_that_is_refused_is_told_once_in_a_run() {
    // So many may be a part of what there is: a run looks again.
    let all = letters(250, 300);
    let habits = Habits {
        no_uidl: true,
        answers: vec![("RETR 250".into(), Some(b"-ERR broken\r\n".to_vec()))],
        ..Habits::default()
    };
    let office = Office::open(all.clone(), habits).await;
    let person = Person::new(&office, Keep::Forever);
    let report = person.collect().await;
    assert_eq!((report.sessions, report.not_collected), (2, 1));
    assert_eq!(person.told.count("NotCollected"), 1);
    office.habits(|it| it.answers.clear());
    person.collect().await;
    person.assert_has(&all);
}

// PRJ-FETCH-7
#[tokio::test(flavor = "multi_thread")]
async fn prj_fetch_7_a_header_that_the_server_does_not_give_is_no_second_notice() {
    let mut all = letters(250, 300);
    all.push(letter(251, 5000));
    let habits = Habits {
        no_top: true,
        ..Habits::default()
    };
    let office = Office::open(all.clone(), habits).await;
    let mut person = Person::new(&office, Keep::Forever);
    person.account.policy.message_octets_max = 4000;
    person.account.policy.larger = Larger::Headers;
    for _ in 0..3 {
        let report = person.collect().await;
        assert!(report.trouble.is_none(), "{report:?}");
    }
    assert_eq!(person.told.count("TooLarge"), 1);
    // It is known once, too: the state does not grow with each run.
    let state = std::fs::read_to_string(person.state().join("work.seen")).expect("a state");
    assert_eq!(state.matches(" large ").count(), 1, "{state}");
    // When the server gives it, it comes, once.
    office.habits(|it| it.no_top = false);
    for _ in 0..2 {
        person.collect().await;
        assert_eq!(person.mail().len(), 251);
    }
    assert_eq!(person.told.count("TooLarge"), 2);
}
