//! Many accounts: some at once.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use restante_fetch::{
    AccountName, AnyDestination, Assignment, Event, Keep, Listener, Maildir, Report, Runner,
};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::{
    collecting::Person,
    office::{Habits, Office, letters},
};

/// How many runs are between their plan and their end, and the most that were.
#[derive(Default)]
struct Runs(Mutex<(usize, usize)>);

impl Listener for Runs {
    fn hear(&self, _account: &str, event: Event<'_>) {
        let (now, most) = &mut *self.0.lock().expect("nobody panics here");
        match event {
            Event::Planned { .. } => *now += 1,
            Event::Ended { .. } => *now -= 1,
            _ => {}
        }
        *most = (*most).max(*now);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_accounts_are_collected_at_once_within_a_bound() {
    let all = letters(3, 2000);
    let habits = Habits {
        drip: Some((400, Duration::from_millis(10))),
        ..Habits::default()
    };
    let office = Office::open(all.clone(), habits).await;
    let home = TempDir::new().expect("a directory");
    let names: Vec<String> = (1..=6).map(|number| format!("account-{number}")).collect();
    let person = |name: &String| {
        let port = office.address.port();
        let mut person = Person::at(home.path().join(name), port, Keep::Forever);
        person.account.name = AccountName::new(name).expect("a name");
        person
    };
    let assignment = |name: &String| {
        let person = person(name);
        let maildir = person.maildir();
        let open = move |_: &_| vec![AnyDestination::Maildir(Maildir::new(&maildir))];
        Assignment {
            account: person.account.clone(),
            destinations: Arc::new(open),
        }
    };
    let runs = Arc::new(Runs::default());
    let runner = Runner {
        state_directory: home.path().join("state"),
        at_once: 2,
        listener: runs.clone(),
    };
    let (_nobody, stopped) = watch::channel(false);
    let assignments = names.iter().map(assignment).collect();
    let reports = runner.once(assignments, &stopped).await;
    let came = |report: &Report| report.trouble.is_none() && report.arrived == 3;
    assert!(
        reports.len() == 6 && reports.iter().all(came),
        "{reports:?}"
    );
    names.iter().for_each(|name| person(name).assert_has(&all));
    assert_eq!(*runs.0.lock().expect("nobody panics here"), (0, 2));
}
