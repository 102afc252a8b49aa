//! Deliveries, sessions and edits in any order, held against a simple model.
//!
//! The model knows what the contract promises and nothing of how it is kept: which messages are
//! there, in which order; which rest in the trash; what each session listed; and to whom each
//! unique-id that was ever seen belongs.

use std::{collections::HashMap, time::Duration};

use proptest::prelude::*;
use restante_maildrop::{
    Clock, Edit, Maildrop, MessageTable, ReadError, Store, TrashSelection, View, ViewName,
};
use restante_proto::{Messages, Mode, Part};

use crate::{
    fixture::{Fixture, MaildirFixture, MemoryFixture, UNDELETE_FOR, mailbox},
    session::{deliver, number, numbers, open_view, quit, retrieve, unique_ids},
};

/// One step. Indices are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Deliver,
    Open(Window),
    Read(Window, usize),
    Delete(Window, usize),
    Reset(Window),
    Quit(Window),
    Drop(Window),
    Vanish(usize),
    Restore { seconds_ago: u64 },
    Purge { seconds_ago: u64 },
    Expire { seconds_ago: u64 },
    Import(usize),
    Advance { seconds: u64 },
}

/// Two views of one mailbox, which may be in session at once.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Window {
    Shared,
    Phone,
}

/// A message, and how often it was restored: then it is another, as for those who deleted it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Incarnation {
    serial: u64,
    restored: u64,
}

#[derive(Clone, Debug)]
struct Message {
    now: Incarnation,
    arrived: u64,
    /// Known once it was listed.
    unique_id: Option<Vec<u8>>,
}

#[derive(Debug, Default)]
struct Model {
    present: Vec<Message>,
    trash: Vec<(Message, u64)>,
    /// Whose each unique-id is that was ever seen, for ever.
    owners: HashMap<Vec<u8>, Incarnation>,
    delivered: u64,
    restored: u64,
    imported: u64,
}

struct Session<M> {
    maildrop: M,
    listed: Vec<Incarnation>,
    unique_ids: Vec<Vec<u8>>,
    marked: Vec<u32>,
}

struct Run<F: Fixture> {
    fixture: F,
    model: Model,
    sessions: HashMap<Window, Session<<F::Store as Store>::Maildrop>>,
}

fn window() -> impl Strategy<Value = Window> {
    prop_oneof![3 => Just(Window::Shared), 1 => Just(Window::Phone)]
}

fn step() -> impl Strategy<Value = Step> {
    let ago = prop_oneof![Just(0_u64), 0..400_u64, Just(1_000_000)];
    prop_oneof![
        6 => Just(Step::Deliver),
        6 => window().prop_map(Step::Open),
        4 => (window(), any::<usize>()).prop_map(|(window, at)| Step::Read(window, at)),
        8 => (window(), any::<usize>()).prop_map(|(window, at)| Step::Delete(window, at)),
        1 => window().prop_map(Step::Reset),
        5 => window().prop_map(Step::Quit),
        3 => window().prop_map(Step::Drop),
        1 => any::<usize>().prop_map(Step::Vanish),
        2 => ago.clone().prop_map(|seconds_ago| Step::Restore { seconds_ago }),
        1 => ago.clone().prop_map(|seconds_ago| Step::Purge { seconds_ago }),
        1 => ago.prop_map(|seconds_ago| Step::Expire { seconds_ago }),
        1 => any::<usize>().prop_map(Step::Import),
        2 => prop_oneof![Just(100_u64), Just(300_000)]
            .prop_map(|seconds| Step::Advance { seconds }),
    ]
}

impl Window {
    fn view(self) -> View {
        let name = match self {
            Self::Shared => ViewName::shared(),
            Self::Phone => ViewName::new("phone").unwrap(),
        };
        View {
            name,
            ..View::shared(mailbox("me"))
        }
    }
}

impl Model {
    fn body(of: Incarnation) -> Vec<u8> {
        format!("Subject: {}\r\n\r\nbody\r\n", of.serial).into_bytes()
    }

    /// Enters a listing; panics if an id changed, came back, or stands twice.
    fn learn(&mut self, ids: &[Vec<u8>]) {
        assert_eq!(ids.len(), self.present.len());
        for (message, id) in self.present.iter_mut().zip(ids) {
            match &message.unique_id {
                // R1939-UIDL-4
                Some(before) => assert_eq!(before, id, "the id of {message:?} changed"),
                None => {
                    // R1939-UIDL-5, PRJ-UIDL-6
                    let before = self.owners.insert(id.clone(), message.now);
                    assert_eq!(before, None, "{message:?} got another's id");
                    message.unique_id = Some(id.clone());
                }
            }
        }
    }

    fn remove(&mut self, gone: &[Incarnation], now: u64) {
        for one in gone {
            if let Some(at) = self.present.iter().position(|message| message.now == *one) {
                let message = self.present.remove(at);
                self.trash.push((message, now));
            }
        }
        self.forget_old(now);
    }

    /// What has lain in the trash long enough is gone.
    fn forget_old(&mut self, now: u64) {
        let keep = UNDELETE_FOR.as_secs();
        self.trash.retain(|(_, deleted)| deleted + keep > now);
    }

    fn restore(&mut self, since: u64) -> usize {
        let trash = std::mem::take(&mut self.trash);
        let (back, left) = trash
            .into_iter()
            .partition(|(_, deleted)| *deleted >= since);
        self.trash = left;
        let count = Vec::len(&back);
        for (mut message, _) in back {
            self.restored += 1;
            message.now.restored = self.restored;
            message.unique_id = None;
            self.present.push(message);
        }
        self.present.sort_by_key(|message| message.now.serial);
        count
    }

    fn readable(&self, one: Incarnation) -> bool {
        let trashed = self.trash.iter().map(|(message, _)| message);
        self.present
            .iter()
            .chain(trashed)
            .any(|message| message.now == one)
    }
}

impl<F: Fixture> Run<F> {
    fn new() -> Self {
        Self {
            fixture: F::begin(),
            model: Model::default(),
            sessions: HashMap::new(),
        }
    }

    fn clock(&self) -> &Clock {
        self.fixture.clock()
    }

    fn now(&self) -> u64 {
        self.clock().now().as_secs()
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Deliver => self.deliver().await,
            Step::Open(window) => self.open(window).await,
            Step::Read(window, at) => self.read(window, at).await,
            Step::Delete(window, at) => {
                if let Some(session) = self.sessions.get_mut(&window)
                    && !session.listed.is_empty()
                {
                    let at = u32::try_from(at % session.listed.len()).unwrap() + 1;
                    session.marked.push(at);
                }
            }
            Step::Reset(window) => {
                if let Some(session) = self.sessions.get_mut(&window) {
                    session.marked.clear();
                }
            }
            Step::Quit(window) => self.quit(window).await,
            Step::Drop(window) => drop(self.sessions.remove(&window)),
            Step::Vanish(at) => self.vanish(at),
            Step::Restore { seconds_ago } => {
                let since = self.now().saturating_sub(seconds_ago);
                let expected = self.model.restore(since);
                self.edit(Edit::Restore(TrashSelection::DeletedSince(since)), expected)
                    .await;
            }
            Step::Purge { seconds_ago } => {
                let moment = self.now().saturating_sub(seconds_ago);
                let before = self.model.trash.len();
                self.model.trash.retain(|(_, deleted)| *deleted >= moment);
                let expected = before - self.model.trash.len();
                self.edit(Edit::Purge(TrashSelection::DeletedBefore(moment)), expected)
                    .await;
            }
            Step::Expire { seconds_ago } => self.expire(seconds_ago).await,
            Step::Import(at) => self.import(at).await,
            Step::Advance { seconds } => self.clock().advance(Duration::from_secs(seconds)),
        }
    }

    async fn deliver(&mut self) {
        self.model.delivered += 1;
        self.model.forget_old(self.now());
        let now = Incarnation {
            serial: self.model.delivered,
            restored: 0,
        };
        deliver(self.fixture.store(), "me", &Model::body(now)).await;
        self.model.present.push(Message {
            now,
            arrived: self.now(),
            unique_id: None,
        });
        // No two in one tick: their order would be anybody's.
        self.clock().advance(Duration::from_millis(1));
    }

    async fn open(&mut self, window: Window) {
        if self.sessions.contains_key(&window) {
            // R1939-LOCK-1
            let view = window.view();
            let opened = self.fixture.store().open(&view, Duration::ZERO);
            assert!(opened.await.is_err(), "two sessions of one view");
            return;
        }
        let maildrop = open_view(self.fixture.store(), &window.view()).await;
        let ids = unique_ids(&maildrop);
        self.model.learn(&ids);
        let listed: Vec<_> = self
            .model
            .present
            .iter()
            .map(|message| message.now)
            .collect();
        // PRJ-MSG-2: oldest first, and each number is the message the model says.
        for (number, one) in numbers(&maildrop).zip(&listed) {
            assert_eq!(
                retrieve(&maildrop, number).await.unwrap(),
                Model::body(*one)
            );
        }
        let session = Session {
            maildrop,
            listed,
            unique_ids: ids,
            marked: Vec::new(),
        };
        self.sessions.insert(window, session);
    }

    async fn read(&mut self, window: Window, at: usize) {
        let Some(session) = self.sessions.get(&window) else {
            return;
        };
        // R1939-LOCK-3: what was listed stays listed, whatever has happened since.
        let table: &MessageTable = session.maildrop.messages();
        assert_eq!(table.count() as usize, session.listed.len());
        assert_eq!(unique_ids(&session.maildrop), session.unique_ids);
        let Some(count) = session.listed.len().checked_sub(1) else {
            return;
        };
        let at = at % (count + 1);
        let one = session.listed[at];
        let number = number(u32::try_from(at).unwrap() + 1);
        if self.model.readable(one) {
            let got = retrieve(&session.maildrop, number).await.unwrap();
            assert_eq!(got, Model::body(one));
        } else {
            let got = session
                .maildrop
                .read(number, Mode::Plain, Part::Whole)
                .await;
            assert!(matches!(got, Err(ReadError::Gone)));
        }
    }

    async fn quit(&mut self, window: Window) {
        let Some(session) = self.sessions.remove(&window) else {
            return;
        };
        let gone: Vec<_> = session
            .marked
            .iter()
            .map(|&at| session.listed[at as usize - 1])
            .collect();
        let now = self.now();
        self.model.remove(&gone, now);
        let _ = quit(session.maildrop, &session.marked).await.unwrap();
    }

    fn vanish(&mut self, at: usize) {
        if self.model.present.is_empty() {
            return;
        }
        let at = at % self.model.present.len();
        self.fixture.vanish(&mailbox("me"), at);
        self.model.present.remove(at);
    }

    async fn expire(&mut self, seconds_ago: u64) {
        let (now, arrived_before) = (self.now(), self.now().saturating_sub(seconds_ago));
        let present = std::mem::take(&mut self.model.present);
        let (old, young) = present
            .into_iter()
            .partition(|message| message.arrived < arrived_before);
        self.model.present = young;
        let expected = Vec::len(&old);
        self.model
            .trash
            .extend(old.into_iter().map(|message| (message, now)));
        self.model.forget_old(now);
        self.edit(Edit::Expire { arrived_before }, expected).await;
    }

    async fn import(&mut self, at: usize) {
        if self.model.present.is_empty() {
            return;
        }
        let at = at % self.model.present.len();
        self.model.imported += 1;
        let id = format!("imported-{}", self.model.imported).into_bytes();
        let name = self.fixture.base_names(&mailbox("me"))[at].clone();
        self.edit(Edit::Import(vec![(name, id.clone())]), 1).await;
        let message = &mut self.model.present[at];
        self.model.owners.insert(id.clone(), message.now);
        message.unique_id = Some(id);
    }

    async fn edit(&self, edit: Edit, expected: usize) {
        let edited = self
            .fixture
            .store()
            .edit(&mailbox("me"), edit)
            .await
            .unwrap();
        assert_eq!(edited.count, expected);
    }
}

fn run<F: Fixture>(steps: &[Step]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut run = Run::<F>::new();
        for step in steps {
            run.step(step.clone()).await;
        }
        run.sessions.clear();
        run.open(Window::Shared).await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn r1939_uidl_4_any_interleaving_keeps_mail_numbers_and_unique_ids(
        steps in prop::collection::vec(step(), 1..60)
    ) {
        run::<MemoryFixture>(&steps);
        run::<MaildirFixture>(&steps);
    }
}
