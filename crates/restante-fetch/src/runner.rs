//! Many accounts: some at once, once or again and again.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::sleep,
};

use crate::{
    account::Account,
    collect::collect,
    destination::AnyDestination,
    event::Listener,
    report::Report,
    trouble::{Consequence, Trouble},
};

/// The longest pause after failures.
const PAUSE_MAX: Duration = Duration::from_secs(60 * 60);
/// A pause is longer or shorter by at most this part, so that many machines do not come at once.
const JITTER_PARTS: u32 = 10;

/// Makes an account's destinations, which note what they must in this directory.
pub type Opener = dyn Fn(&Path) -> Vec<AnyDestination> + Send + Sync;

/// An account, and where its mail goes.
#[derive(Clone)]
pub struct Assignment {
    /// The account.
    pub account: Account,
    /// Makes its destinations, anew for each run, for the state in this directory.
    pub destinations: Arc<Opener>,
}

/// Collects many accounts.
#[derive(Clone)]
pub struct Runner {
    /// Where the accounts' states are.
    pub state_directory: PathBuf,
    /// So many accounts are collected at the same time.
    pub at_once: usize,
    /// Who is told.
    pub listener: Arc<dyn Listener>,
}

/// What becomes of the other runs when one has panicked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Others {
    /// They come to their end.
    Finish,
    /// They have none: they are cut off, which costs them no more than a broken line.
    CutOff,
}

/// The reports of runs that have ended, each at the place of its account. A run that panicked
/// must not look like one that found nothing: the panic goes on when all others have ended.
async fn in_order(mut runs: JoinSet<(usize, Report)>, count: usize, others: Others) -> Vec<Report> {
    let mut reports: Vec<Report> = (0..count).map(|_| Report::default()).collect();
    let mut panicked = None;
    while let Some(ended) = runs.join_next().await {
        match ended {
            Ok((index, report)) => {
                if let Some(place) = reports.get_mut(index) {
                    *place = report;
                }
            }
            Err(error) => {
                panicked = error.try_into_panic().ok().or(panicked);
                if others == Others::CutOff {
                    runs.abort_all();
                }
            }
        }
    }
    match panicked {
        Some(panic) => std::panic::resume_unwind(panic),
        None => reports,
    }
}

impl Runner {
    /// Collects each account once. `stop`: becomes true when it shall stop.
    ///
    /// The reports come in the order of the accounts.
    pub async fn once(
        &self,
        assignments: Vec<Assignment>,
        stop: &watch::Receiver<bool>,
    ) -> Vec<Report> {
        let room = Arc::new(Semaphore::new(self.at_once.max(1)));
        let mut runs = JoinSet::new();
        let count = assignments.len();
        for (index, assignment) in assignments.into_iter().enumerate() {
            let (runner, room, stop) = (self.clone(), room.clone(), stop.clone());
            runs.spawn(async move {
                let _turn = room.acquire().await;
                (index, runner.run(&assignment, &stop).await)
            });
        }
        in_order(runs, count, Others::Finish).await
    }

    /// Collects each account again and again, until `stop` becomes true or nothing is left to do:
    /// an account whose password is refused is not tried again. What its last run said of each
    /// account comes in the order of the accounts.
    ///
    /// # Panics
    /// If the run of one account does, so that it is not left behind unnoticed.
    pub async fn watch(
        &self,
        assignments: Vec<Assignment>,
        stop: &watch::Receiver<bool>,
    ) -> Vec<Report> {
        let room = Arc::new(Semaphore::new(self.at_once.max(1)));
        let mut runs = JoinSet::new();
        let count = assignments.len();
        for (index, assignment) in assignments.into_iter().enumerate() {
            let (runner, room, stop) = (self.clone(), room.clone(), stop.clone());
            runs.spawn(async move { (index, runner.again(assignment, &room, &stop).await) });
        }
        in_order(runs, count, Others::CutOff).await
    }

    async fn again(
        &self,
        assignment: Assignment,
        room: &Semaphore,
        stop: &watch::Receiver<bool>,
    ) -> Report {
        let mut failures = 0;
        loop {
            let report = {
                let _turn = room.acquire().await;
                self.run(&assignment, stop).await
            };
            match failures_with(failures, &report) {
                Some(count) => failures = count,
                None => return report,
            }
            let pause = pause(assignment.account.interval, failures, random());
            tokio::select! {
                () = sleep(pause) => {}
                () = stopped(stop.clone()) => return report,
            }
        }
    }

    async fn run(&self, assignment: &Assignment, stop: &watch::Receiver<bool>) -> Report {
        let destinations = (assignment.destinations)(&self.state_directory);
        let listener = self.listener.clone();
        let stop = stopped(stop.clone());
        let account = &assignment.account;
        collect(account, &self.state_directory, destinations, listener, stop).await
    }
}

/// How many runs in a row have failed; `None`: a person has to change something first. One message
/// that does not come is no reason to come late for the others, as long as those come; and a line
/// that breaks, and yet has brought mail, is not waited for longer each time.
fn failures_with(failures: u32, report: &Report) -> Option<u32> {
    match &report.trouble {
        None => Some(0),
        Some(Trouble::SetAside { .. }) if report.arrived > 0 => Some(0),
        Some(trouble) if trouble.needs_a_person() => None,
        Some(trouble) if report.arrived > 0 && trouble.consequence() == Consequence::Later => {
            Some(1)
        }
        Some(_) => Some(failures.saturating_add(1)),
    }
}

/// How long until the next run: the interval, doubled with each failure in a row, up to an hour.
fn pause(interval: Duration, failures: u32, random: u32) -> Duration {
    let longest = PAUSE_MAX.max(interval);
    let doubled = interval.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX));
    let pause = doubled.min(longest);
    // From nine to eleven tenths.
    let part = pause / JITTER_PARTS;
    let share = part.mul_f64(2.0 * f64::from(random) / f64::from(u32::MAX));
    pause.saturating_sub(part).saturating_add(share)
}

fn random() -> u32 {
    let mut octets = [0; 4];
    // Without random numbers all come at the same time; that is no reason not to come.
    let _ = getrandom::fill(&mut octets);
    u32::from_ne_bytes(octets)
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    let waited = stop.wait_for(|stop| *stop).await.is_ok();
    // Nobody is left who could want it to stop.
    if !waited {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use restante_client::{Error, StatusLine};

    use super::*;

    #[tokio::test]
    async fn a_run_that_panicked_does_not_look_like_one_that_found_nothing() {
        let mut runs = JoinSet::new();
        runs.spawn(async { panic!("a bug of ours") });
        runs.spawn(async { (1, Report::default()) });
        let error = tokio::spawn(in_order(runs, 2, Others::Finish))
            .await
            .unwrap_err();
        assert!(error.is_panic());
    }

    /// Whoever keeps programs alive can only begin one anew that has ended.
    #[tokio::test]
    async fn an_account_whose_run_panicked_is_not_left_behind_by_those_that_never_end() {
        let mut runs = JoinSet::new();
        runs.spawn(async { panic!("a bug of ours") });
        runs.spawn(std::future::pending());
        let error = tokio::spawn(in_order(runs, 2, Others::CutOff)).await;
        assert!(error.unwrap_err().is_panic());
    }

    #[test]
    fn prj_fetch_8_a_message_that_does_not_come_delays_no_others_while_they_come() {
        let after = |arrived, trouble: Option<Trouble>| {
            let report = Report {
                arrived,
                trouble,
                ..Report::default()
            };
            failures_with(3, &report)
        };
        let aside = || Some(Trouble::SetAside { count: 1 });
        assert_eq!(after(0, None), Some(0));
        assert_eq!(after(1, aside()), Some(0));
        // Nothing is taken any more: as often as that was tried, it need not be.
        assert_eq!(after(0, aside()), Some(4));
        assert_eq!(after(0, Some(Trouble::Interrupted)), Some(4));
        // It goes on, in pieces.
        assert_eq!(after(5, Some(Trouble::Interrupted)), Some(1));
        assert_eq!(after(5, Some(Trouble::NotPublished)), Some(4));
        assert_eq!(after(5, Some(Trouble::NoDestination)), None);
        // Another network may lead to the right server; nothing was sent to this one.
        assert_eq!(after(0, Some(Trouble::Server(Error::NoStls))), Some(4));
        assert_eq!(after(0, Some(Trouble::Server(Error::NoMechanism))), None);
        // The next run has a token of its own.
        let line = StatusLine::parse(b"-ERR [AUTH] expired").expect("a status line");
        let status = "invalid_token".to_owned();
        let token = Error::Token { status, line };
        assert_eq!(after(0, Some(Trouble::Server(token))), Some(4));
    }

    #[test]
    fn prj_fetch_8_pauses_double_with_failures_and_are_not_all_the_same() {
        let minute = Duration::from_secs(60);
        let middle = |failures| pause(minute, failures, u32::MAX / 2).as_secs_f64().round();
        assert_eq!([0, 1, 2, 3].map(middle), [60.0, 120.0, 240.0, 480.0]);
        for failures in [6, 7, 31, 32, 1000] {
            assert_eq!(middle(failures), 3600.0);
        }
        assert_eq!(pause(minute, 0, 0), Duration::from_secs(54));
        assert_eq!(pause(minute, 0, u32::MAX), Duration::from_secs(66));
        // Whoever wants it rarely gets it rarely.
        let day = Duration::from_secs(24 * 60 * 60);
        assert_eq!(pause(day, 9, u32::MAX / 2).as_secs().div_ceil(60), 24 * 60);
    }
}
