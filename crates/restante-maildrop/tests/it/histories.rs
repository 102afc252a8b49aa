//! Random histories of a mailbox with up to five devices, held against a simple model.
//!
//! The model knows what was promised and nothing of how it is kept: which devices have deleted
//! which message with a QUIT that was answered, and how much time has truly passed. After each
//! step the mailbox is looked at from the operator's side, and then:
//!
//! - a device is listed exactly what is in the mailbox and what it has not deleted;
//! - nothing has left before the account's policy lets it, whatever the clock shows;
//! - what all have deleted is gone, and in the end everything is that should be.
//!
//! In some histories the account shows a folder besides INBOX, between which messages are moved, and
//! devices open one of the two by its name, or a third folder, which the account does not show.
//!
//! A step may be cut short at any call to the disk, as if the process had died there. What was not
//! answered then may have happened or not, message by message; what was answered has.
//!
//! The short run is part of every test run. `RESTANTE_HISTORY_STEPS=1000000` makes it a long one,
//! and `RESTANTE_HISTORY_SEED` begins it somewhere else.

mod edits;
mod model;
mod world;

use std::{env, time::Duration};

use self::{
    model::{Model, Session},
    world::{MaildirWorld, MemoryWorld, World},
};
use crate::{
    dice::Dice,
    fixture::mailbox,
    session::{try_deliver, unique_ids},
};
use restante_maildrop::{
    Access, DeleteMode, FolderName, Keep, Maildrop, OpenError, Policy, ShownFolders, Shows, Store,
    View, ViewName,
};

const STEPS_SHORT_ON_DISK: u64 = 6_000;
/// Seconds, where no disk is waited for.
const STEPS_SHORT_IN_MEMORY: u64 = 60_000;
const STEPS_OF_A_HISTORY: u64 = 120;
const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;
const DEVICES: [&str; 5] = ["phone", "tablet", "Büro", "laptop", "default"];
/// Stands for the view that all share, where a device is meant.
const SHARED: usize = DEVICES.len();
/// The folder that is shown besides INBOX, and the one that is not.
const SHOWN: &str = "Spam";
const AWAY: &str = "Junk";
/// A clock that was wrong is put right before so much time has passed.
const WRONG_MAX: u64 = 20 * HOUR;

/// A history under way.
struct History<W: World> {
    world: W,
    model: Model,
    dice: Dice,
    policy: Policy,
    /// So many devices there are: what few have in common happens more often.
    crowd: usize,
    sessions: Vec<Option<Open<W>>>,
    /// Whether this history's clock is ever wrong; then mail may leave late.
    jumps: bool,
    /// Whether the account shows [`SHOWN`] besides INBOX.
    shows: bool,
    /// Nobody dies any more.
    calm: bool,
    /// What the clock shows too much or too little, and since when, by true time.
    wrong: Option<(i64, u64)>,
    /// It was put right, and nobody has looked at it since.
    look_due: bool,
    /// The true time, in Unix seconds.
    now: u64,
    /// What was done, for whoever has to understand a finding.
    told: Vec<String>,
}

struct Open<W: World> {
    maildrop: <W::Store as Store>::Maildrop,
    session: Session,
}

fn name_of(device: usize) -> ViewName {
    DEVICES
        .get(device)
        .map_or_else(ViewName::shared, |name| ViewName::of_device(name))
}

impl<W: World> History<W> {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let keep = match dice.below(6) {
            0 => Keep::UntilFetched,
            1..=3 => Keep::UntilDeleted,
            4 => Keep::For(Duration::from_secs(30 * DAY)),
            _ => Keep::Forever,
        };
        let policy = Policy {
            delete: DeleteMode::PerDevice,
            keep,
            expire_unfetched: (dice.below(3) == 0).then(|| Duration::from_secs(90 * DAY)),
            ..Policy::default()
        };
        let crowd = 1 + usize::try_from(dice.below(DEVICES.len() as u64)).unwrap();
        let world = W::begin();
        let now = world.clock().now().as_secs();
        Self {
            world,
            model: Model::default(),
            policy,
            crowd,
            sessions: (0..=SHARED).map(|_| None).collect(),
            jumps: dice.below(4) == 0,
            shows: dice.below(2) == 0,
            dice,
            calm: false,
            wrong: None,
            look_due: false,
            now,
            told: Vec::new(),
        }
    }

    fn tell(&mut self, what: String) {
        self.told.push(format!("{}: {what}", self.now));
    }

    fn view(&self, device: usize) -> View {
        View {
            name: name_of(device),
            policy: self.policy,
            access: self.model.access(device),
            shows: Shows {
                folders: self.shown(),
                ..Shows::default()
            },
            ..View::shared(mailbox("me"))
        }
    }

    /// What the account shows besides INBOX.
    fn shown(&self) -> ShownFolders {
        let shown = if self.shows { SHOWN } else { "none" };
        shown.parse().unwrap()
    }

    /// The folder that whoever logs in names, if they do.
    fn any_folder(&mut self) -> Option<&'static str> {
        match self.dice.below(8) {
            0 if self.shows => Some(SHOWN),
            1 if self.shows => Some("INBOX"),
            2 if !self.calm => Some(AWAY),
            _ => None,
        }
    }

    /// A device that may be in session now.
    fn any_device(&mut self) -> usize {
        match self.policy.delete {
            DeleteMode::Shared => SHARED,
            DeleteMode::PerDevice => self.pick(self.crowd),
        }
    }

    fn pick(&mut self, count: usize) -> usize {
        usize::try_from(self.dice.below(count as u64)).unwrap()
    }

    async fn step(&mut self) {
        match self.dice.below(100) {
            0..=13 => self.deliver().await,
            14..=33 => {
                let device = self.any_device();
                self.open(device).await;
            }
            34..=58 => self.mark(),
            59..=60 => self.unmark(),
            61..=74 => {
                let device = self.pick(SHARED + 1);
                self.quit(device).await;
            }
            75..=77 => {
                let device = self.pick(SHARED + 1);
                self.leave(device).await;
            }
            78..=79 => self.add().await,
            80 => self.remove().await,
            81 => self.reset().await,
            82..=83 => self.restore().await,
            84..=85 => self.sweep().await,
            86..=87 => self.disturb(),
            88 => self.switch(),
            89 => self.jump().await,
            90 => self.pass(DAY * (1 + self.dice.0 % 45)),
            91..=92 => self.pass(DAY),
            _ => {
                let seconds = 60 * (1 + self.dice.below(300));
                self.pass(seconds);
            }
        }
        if std::mem::take(&mut self.look_due) {
            // Two looks that find it equally wrong, a day apart, would prove it right.
            self.sweep().await;
        }
        self.look().await;
    }

    /// Sometimes the process is going to die at one of the next calls to the disk.
    fn plan_crash(&mut self) -> bool {
        let crash = self.dice.below(6) == 0 && !self.calm;
        let at = crash.then(|| self.dice.below(70));
        self.world.plan_crash(at)
    }

    /// If the process has died, everybody is thrown out, and it begins anew.
    fn after_crash(&mut self, planned: bool) -> bool {
        let died = planned && self.world.has_crashed();
        if died {
            self.tell("  the process dies".to_owned());
            self.sessions.iter_mut().for_each(|session| *session = None);
            self.world.restart();
        }
        self.world.plan_crash(None);
        died
    }

    async fn deliver(&mut self) {
        let serial = self.model.next_serial();
        let body = vec![b'x'; serial];
        let _ = try_deliver(self.world.store(), "me", &body).await.unwrap();
        let shown = self.world.clock().now();
        self.world.date(shown);
        self.tell(format!("message {serial}"));
        self.learn_new(None).await;
        self.world.clock().advance(Duration::from_millis(1));
    }

    /// Finds messages that nobody has seen before: what was delivered or restored.
    async fn learn_new(&mut self, only: Option<usize>) -> usize {
        let kept = self.world.store().messages(&mailbox("me")).await.unwrap();
        let mut count = 0;
        for one in kept {
            let serial = usize::try_from(one.octets).unwrap() - 1;
            count += usize::from(self.model.learn(one.unique_id, serial, self.now, only));
        }
        count
    }

    async fn open(&mut self, device: usize) {
        let folder = self.any_folder();
        self.open_folder(device, folder).await;
    }

    async fn open_folder(&mut self, device: usize, folder: Option<&'static str>) {
        let mut view = self.view(device);
        view.shows.only = folder.map(|folder| FolderName::new(folder).unwrap());
        if self.sessions[device].is_some() {
            // R1939-LOCK-1
            let again = self.world.store().open(&view, Duration::ZERO).await;
            assert!(matches!(again, Err(OpenError::InUse)), "two sessions");
            return;
        }
        let planned = self.plan_crash();
        let opened = self.world.store().open(&view, Duration::ZERO).await;
        let died = self.after_crash(planned);
        self.tell(format!("open {device} {folder:?} died {died}"));
        let policy = self.policy;
        if died || opened.is_err() {
            assert!(died, "{:?}", opened.err());
            drop(opened);
            let known = self.known_devices().await;
            self.model.perhaps_open(device, policy, self.now, &known);
            return;
        }
        let maildrop = opened.unwrap();
        match folder {
            Some(AWAY) => self.model.open_away(device, policy, self.now),
            _ => self.model.open(device, policy, self.now),
        }
        self.look().await;
        let ids = unique_ids(&maildrop);
        let (shown, away) = (self.world.in_folder(SHOWN), self.world.in_folder(AWAY));
        let expected = self
            .model
            .listing(device, &ids, |id: &Vec<u8>| match folder {
                None => !away.contains(id),
                Some(SHOWN) => shown.contains(id),
                Some(AWAY) => away.contains(id),
                Some(_) => !shown.contains(id) && !away.contains(id),
            });
        // A clock that is wrong puts mail out of order.
        assert!(
            self.jumps || self.model.is_in_order(&ids),
            "{:?}",
            texts(&ids)
        );
        let late = self.model.all_have_done(self.policy);
        assert!(late.is_empty(), "still there: {late:?}");
        assert_eq!(texts(&ids), texts(&expected), "device {device}");
        self.sessions[device] = Some(Open {
            maildrop,
            session: Session::new(ids, policy, self.model.access(device)),
        });
    }

    async fn known_devices(&self) -> Vec<usize> {
        let known = self.world.store().devices(&mailbox("me")).await.unwrap();
        let index = |name: &ViewName| (0..DEVICES.len()).find(|&one| name_of(one) == *name);
        known.iter().map(|one| index(&one.name).unwrap()).collect()
    }

    fn any_session(&mut self) -> Option<usize> {
        let on: Vec<usize> = (0..=SHARED)
            .filter(|&device| self.sessions[device].is_some())
            .collect();
        (!on.is_empty()).then(|| on[self.pick(on.len())])
    }

    fn mark(&mut self) {
        let Some(device) = self.any_session() else {
            return;
        };
        let (which, what) = (self.dice.0 / 7, self.dice.below(5));
        let Some(open) = &mut self.sessions[device] else {
            return;
        };
        let Some(at) = open.session.pick(which) else {
            return;
        };
        if what != 0 {
            open.session.retrieved.insert(at);
        }
        if what < 4 && open.session.access == Access::Full {
            open.session.deleted.insert(at);
        }
    }

    fn unmark(&mut self) {
        if let Some(device) = self.any_session()
            && let Some(open) = &mut self.sessions[device]
        {
            open.session.deleted.clear();
        }
    }

    async fn quit(&mut self, device: usize) {
        let Some(Open { maildrop, session }) = self.sessions[device].take() else {
            return;
        };
        let planned = self.plan_crash();
        let updated = maildrop.update(session.marks()).await;
        let died = self.after_crash(planned);
        self.tell(format!(
            "quit {device} {:?} {:?} ok {} died {died}",
            session.texts(&session.deleted),
            session.texts(&session.retrieved),
            updated.is_ok()
        ));
        match updated {
            // Also when the process has died while it cleaned up.
            Ok(_) => {
                self.model.quit(device, &session, !planned);
                if !planned {
                    self.look().await;
                    // What others were done with leaves when the mailbox is opened next.
                    let mut late = self.model.all_have_done(session.policy);
                    late.retain(|id| session.texts(&session.deleted).contains(id));
                    assert!(late.is_empty(), "still there: {late:?}");
                }
            }
            Err(error) => {
                let lost = self.model.is_removed(device, session.policy);
                assert!(died || planned || lost, "{error}");
                if !lost {
                    self.model.perhaps_quit(device, &session);
                }
            }
        }
    }

    async fn leave(&mut self, device: usize) {
        let Some(Open { maildrop, session }) = self.sessions[device].take() else {
            return;
        };
        self.tell(format!("leave {device}"));
        match self.dice.below(2) {
            0 => drop(maildrop),
            _ => maildrop.leave(session.marks()).await,
        }
    }

    /// What other programs do: they read, file and remove mail.
    fn disturb(&mut self) {
        let which = self.dice.0;
        match self.dice.below(6) {
            // Where it is not shown, it would seem to have left.
            4.. if self.shows => {
                self.tell("another program sorts".to_owned());
                self.world.sort(which);
            }
            0 => {
                if let Some(id) = self.world.vanish(which) {
                    self.tell(format!("vanishes {}", text(&id)));
                    self.model.vanish(&id);
                }
            }
            1 => {
                self.tell("another program files away".to_owned());
                self.world.file_away(which);
            }
            2 => {
                self.tell("another program files back".to_owned());
                self.world.file_back();
            }
            _ => self.world.flag(which),
        }
    }

    fn switch(&mut self) {
        self.policy.delete = match self.policy.delete {
            DeleteMode::Shared => DeleteMode::PerDevice,
            DeleteMode::PerDevice => DeleteMode::Shared,
        };
        self.tell(format!("{:?}", self.policy.delete));
    }

    /// The clock jumps by a year, or is put right. Somebody looks at it then: of one that was
    /// wrong and right again before anybody looked nobody can know.
    async fn jump(&mut self) {
        // A mailbox that nobody has looked at has nothing to go by.
        if !self.jumps || self.told.len() < 20 {
            return;
        }
        self.wrong = match self.wrong {
            Some(_) => None,
            None if self.dice.below(2) == 0 => Some((YEAR.cast_signed(), self.now)),
            None => Some((-YEAR.cast_signed(), self.now)),
        };
        self.tell(format!("the clock is wrong by {:?}", self.wrong));
        self.show_time();
        self.sweep().await;
    }

    fn pass(&mut self, seconds: u64) {
        if let Some((by, since)) = self.wrong
            && by > 0
            && self.now + seconds >= since + WRONG_MAX
        {
            self.wrong = None;
            self.look_due = true;
            self.tell("the clock is right again".to_owned());
        }
        self.now += seconds;
        self.tell(format!("{seconds} s pass"));
        self.show_time();
    }

    fn show_time(&self) {
        let by = self.wrong.map_or(0, |(by, _)| by);
        let shown = self.now.saturating_add_signed(by);
        self.world.clock().set(Duration::from_secs(shown));
    }

    /// Looks at the mailbox from the operator's side: has anything left too early?
    async fn look(&mut self) {
        let kept = self.world.store().messages(&mailbox("me")).await.unwrap();
        let there: Vec<Vec<u8>> = kept.into_iter().map(|one| one.unique_id).collect();
        let away = self.world.in_folder(AWAY);
        let early = self.model.departures(&there, &away, self.policy, self.now);
        assert!(early.is_empty(), "too early: {early:?}");
    }

    /// Long enough that all is over that should be: then nothing is left of it.
    async fn finish(&mut self) {
        for device in 0..=SHARED {
            self.leave(device).await;
        }
        self.world.file_back();
        self.look().await;
        if self.jumps {
            return;
        }
        // One comes each day and deletes nothing more; the others have gone for good.
        let last = self.any_device();
        for day in 0..95 {
            self.calm = day > 90;
            self.pass(DAY);
            self.open_folder(last, None).await;
            self.leave(last).await;
            self.sweep().await;
            self.look().await;
        }
        let late = self.model.overdue(last, self.policy, self.now);
        assert!(late.is_empty(), "still there: {late:?}");
        // What it deletes now it deletes for all.
        self.open_folder(last, None).await;
        if let Some(open) = &mut self.sessions[last] {
            open.session.finish();
        }
        self.quit(last).await;
        self.open_folder(last, None).await;
        let late = self.model.overdue(last, self.policy, self.now);
        assert!(late.is_empty(), "still there: {late:?}");
    }

    async fn run(&mut self, steps: u64) {
        if self.shows {
            // What nobody has shown is nobody's to look at.
            let (device, calm) = (self.any_device(), std::mem::replace(&mut self.calm, true));
            self.open_folder(device, None).await;
            self.calm = calm;
        }
        for _ in 0..steps {
            self.step().await;
        }
        self.finish().await;
    }
}

impl<W: World> Drop for History<W> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let told = self.told.join("\n");
            say(&format!("{:?}\n{told}\n{:#?}", self.policy, self.model));
        }
    }
}

fn text(id: &[u8]) -> String {
    String::from_utf8_lossy(id).into_owned()
}

fn texts(ids: &[Vec<u8>]) -> Vec<String> {
    ids.iter().map(|id| text(id)).collect()
}

fn run<W: World>(short: u64) {
    let number = |name: &str| {
        env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let steps = number("RESTANTE_HISTORY_STEPS").unwrap_or(short);
    let first = number("RESTANTE_HISTORY_SEED").unwrap_or(1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let (mut done, mut seed) = (0, first);
    while done < steps {
        let one = || {
            runtime.block_on(async {
                let mut history = History::<W>::new(seed);
                history.run(STEPS_OF_A_HISTORY).await;
                history.told.len() as u64
            })
        };
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(one)) {
            Ok(more) => done += more,
            Err(panicked) => {
                say(&format!("the history of RESTANTE_HISTORY_SEED={seed}"));
                std::panic::resume_unwind(panicked);
            }
        }
        seed += 1;
    }
    if number("RESTANTE_HISTORY_STEPS").is_some() {
        say(&format!("{done} steps in {} histories", seed - first));
    }
}

#[expect(clippy::print_stderr, reason = "a finding has to be told")]
fn say(what: &str) {
    eprintln!("{what}");
}

#[test]
fn each_device_gets_each_message_once_and_nothing_leaves_early_on_disk() {
    run::<MaildirWorld>(STEPS_SHORT_ON_DISK);
}

#[test]
fn each_device_gets_each_message_once_and_nothing_leaves_early_in_memory() {
    run::<MemoryWorld>(STEPS_SHORT_IN_MEMORY);
}

const _: () = assert!(WRONG_MAX < DAY);
