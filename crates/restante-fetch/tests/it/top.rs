//! Servers that break down at TOP: mail comes all the same.

use restante_fetch::{Keep, Larger, Report};

use crate::{
    collecting::Person,
    office::{Habits, Office, letter, letters},
};

/// Collects five letters and keeps them there; then the office closes the connection at TOP, has
/// one letter more, and is asked again with this policy.
async fn after_a_breakdown(keep: Keep, mut habits: Habits) -> (Office, Person, Report) {
    let mut all = letters(5, 300);
    let office = Office::open(all.clone(), habits.clone()).await;
    let mut person = Person::new(&office, Keep::Forever);
    person.collect().await;
    habits.answers = vec![("TOP".into(), None)];
    office.habits(|it| *it = habits);
    office.change(|it| it.push(letter(6, 300)));
    all.push(letter(6, 300));
    person.account.policy.keep = keep;
    let report = person.collect().await;
    person.assert_has(&all);
    assert!(office.removed_unread().is_empty());
    (office, person, report)
}

#[tokio::test(flavor = "multi_thread")]
async fn new_mail_comes_first_and_what_is_due_goes_though_the_server_breaks_down_at_top() {
    let (office, _, report) = after_a_breakdown(Keep::Delete, Habits::default()).await;
    assert!(report.trouble.is_none(), "{report:?}");
    // One brings what is new, one nothing, and one asks for no header; then all are known.
    assert_eq!((report.sessions, report.arrived, report.known), (3, 1, 6));
    assert!(office.letters().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_unique_ids_new_mail_comes_though_the_server_breaks_down_at_top() {
    let habits = Habits {
        no_uidl: true,
        ..Habits::default()
    };
    let (office, person, report) = after_a_breakdown(Keep::Forever, habits).await;
    assert!(report.trouble.is_none(), "{report:?}");
    assert_eq!((report.sessions, report.arrived, report.known), (2, 1, 5));
    assert_eq!(office.letters().len(), 6);
    // The next run tries TOP again; the server may have been mended.
    office.habits(|it| it.answers.clear());
    let retrieved = office.count("RETR");
    let report = person.collect().await;
    assert_eq!((report.sessions, report.known), (1, 6), "{report:?}");
    assert_eq!(office.count("RETR"), retrieved);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_at_which_the_server_breaks_down_is_done_without() {
    let mut all = letters(5, 300);
    all.insert(0, letter(6, 5000));
    let habits = Habits {
        answers: vec![("TOP".into(), None)],
        ..Habits::default()
    };
    let office = Office::open(all.clone(), habits).await;
    let mut person = Person::new(&office, Keep::Forever);
    person.account.policy.message_octets_max = 4000;
    person.account.policy.larger = Larger::Headers;
    let report = person.collect().await;
    assert!(report.trouble.is_none(), "{report:?}");
    person.assert_has(&all[1..]);
    assert_eq!(person.told.count("TooLarge"), 1);
    let report = person.collect().await;
    assert!(report.trouble.is_none(), "{report:?}");
    assert_eq!(person.told.count("TooLarge"), 1);
}
