//! A collector that is killed at random points.

use std::{
    env,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use restante_fetch::Keep;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    task::JoinSet,
};

use crate::{
    collecting::{Person, mail},
    office::{Habits, Office, letters},
};

const KILLS: u32 = 300;
const AT_ONCE: usize = 6;
/// More than one group of the chain.
const LETTERS: usize = 150;
const NAME: &str = "killed::prj_fetch_3_killed_at_any_point_nothing_is_lost_or_comes_twice";
/// Set in the process that is to be killed: its home, and the server's port.
const HOME: &str = "RESTANTE_TEST_HOME";
const PORT: &str = "RESTANTE_TEST_PORT";

fn collector(home: &TempDir, office: &Office) -> Child {
    Command::new(env::current_exe().expect("this program"))
        .args(["--exact", NAME, "--nocapture"])
        .env(HOME, home.path())
        .env(PORT, office.address.port().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a process")
}

#[tokio::test(flavor = "multi_thread")]
async fn prj_fetch_3_killed_at_any_point_nothing_is_lost_or_comes_twice() {
    if let (Ok(home), Ok(port)) = (env::var(HOME), env::var(PORT)) {
        let port = port.parse().expect("a port");
        let person = Person::at(PathBuf::from(home), port, Keep::Delete);
        person.collect().await;
        return;
    }
    // How long it takes when nobody kills it, while others are at work too.
    let mut longest = Duration::ZERO;
    let mut whole = JoinSet::new();
    (0..AT_ONCE).for_each(|_| drop(whole.spawn(round(None))));
    while let Some(ended) = whole.join_next().await {
        longest = longest.max(ended.expect("it goes well").took);
    }
    let mut random = 1_u32;
    let mut killed = JoinSet::new();
    let mut in_the_middle = 0;
    for _ in 0..KILLS {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let after = longest.mul_f64(f64::from(random) / f64::from(u32::MAX));
        killed.spawn(round(Some(after)));
        if killed.len() >= AT_ONCE
            && let Some(ended) = killed.join_next().await
        {
            in_the_middle += u32::from(ended.expect("it goes well").in_the_middle);
        }
    }
    while let Some(ended) = killed.join_next().await {
        in_the_middle += u32::from(ended.expect("it goes well").in_the_middle);
    }
    assert!(
        in_the_middle > KILLS / 6,
        "only {in_the_middle} were killed at work"
    );
}

struct Ended {
    took: Duration,
    in_the_middle: bool,
}

/// Collects, is killed after a while, and collects again.
async fn round(killed_after: Option<Duration>) -> Ended {
    let all = letters(LETTERS, 400);
    let mut expected: Vec<Vec<u8>> = all.iter().map(|it| it.octets.clone()).collect();
    expected.sort();
    let office = Office::open(all, Habits::default()).await;
    let home = TempDir::new().expect("a directory");
    let begun = Instant::now();
    let mut process = collector(&home, &office);
    match killed_after {
        None => process.wait().await,
        Some(after) => {
            tokio::time::sleep(after).await;
            process.start_kill().expect("it can be killed");
            process.wait().await
        }
    }
    .expect("it ends");
    let took = begun.elapsed();
    let arrived = mail(&home.path().join("Mail")).len();
    let at_work = home.path().join("state/work.seen").exists();
    let port = office.address.port();
    let left = office.letters().len();
    let person = Person::at(home.path().to_owned(), port, Keep::Delete);
    let report = person.collect().await;
    assert!(report.trouble.is_none(), "{killed_after:?}: {report:?}");
    let found = person.mail();
    assert_eq!(
        found.len(),
        expected.len(),
        "{killed_after:?}, at {arrived}"
    );
    assert!(
        found == expected,
        "{killed_after:?}: something else has arrived"
    );
    assert!(office.letters().is_empty(), "{killed_after:?}");
    assert!(office.removed_unread().is_empty(), "{killed_after:?}");
    Ended {
        took,
        in_the_middle: at_work && (arrived < LETTERS || left > 0),
    }
}
