//! Random sessions against a model of a maildrop that is a list and a set.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use proptest::prelude::*;
use restante_proto::{
    MessageNumber,
    server::{CloseReason, Security, Session, Settings},
};

use crate::world::{Entry, World, wire_octets};

const LOGIN: &[u8] = b"USER frank\r\nPASS secret\r\n";
const GREETING: &str = "+OK POP3 server ready\r\n+OK send the password\r\n+OK maildrop open\r\n";

/// What sessions are made of; QUIT apart.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"USER frank",
    b"PASS secret",
    b"USER frank\r\nPASS secret\r\n",
    b"AUTH PLAIN",
    b"*",
    b"DELE 1",
    b"LIST",
    b"STAT",
    b"RSET",
    b"CAPA",
    b" ",
    b"RETR 1",
    b"UTF8",
    b"AAAA",
    b"LANG de",
    b"TOP 1 1",
];

/// One command of a client.
#[derive(Clone, Debug)]
enum Request {
    Stat,
    List,
    ListOne(u32),
    Uidl,
    UidlOne(u32),
    Retr(u32),
    Dele(u32),
    Noop,
    Rset,
    Nonsense,
}

impl Request {
    fn line(&self) -> String {
        match self {
            Self::Stat => "STAT\r\n".into(),
            Self::List => "LIST\r\n".into(),
            Self::ListOne(number) => format!("LIST {number}\r\n"),
            Self::Uidl => "UIDL\r\n".into(),
            Self::UidlOne(number) => format!("UIDL {number}\r\n"),
            Self::Retr(number) => format!("RETR {number}\r\n"),
            Self::Dele(number) => format!("DELE {number}\r\n"),
            Self::Noop => "NOOP\r\n".into(),
            Self::Rset => "RSET\r\n".into(),
            Self::Nonsense => "X\r\n".into(),
        }
    }
}

/// What a maildrop is, by RFC 1939: numbers that never move, and marks.
struct Model {
    entries: Vec<Entry>,
    marked: BTreeSet<u32>,
    retrieved: BTreeSet<u32>,
}

impl Model {
    fn new(entries: Vec<Entry>) -> Self {
        Self {
            entries,
            marked: BTreeSet::new(),
            retrieved: BTreeSet::new(),
        }
    }

    fn answer(&mut self, request: &Request) -> String {
        match request {
            Request::Stat => {
                let sizes: Vec<u64> = self.unmarked().map(|(_, entry)| size(entry)).collect();
                let total: u64 = sizes.iter().sum();
                format!("+OK {} {total}\r\n", sizes.len())
            }
            Request::List => {
                let lines = self
                    .unmarked()
                    .map(|(number, entry)| format!("{number} {}\r\n", size(entry)));
                format!(
                    "+OK scan listing follows\r\n{}.\r\n",
                    lines.collect::<String>()
                )
            }
            Request::Uidl => {
                let lines = self
                    .unmarked()
                    .map(|(number, entry)| format!("{number} {}\r\n", unique_id(entry)));
                format!(
                    "+OK unique-id listing follows\r\n{}.\r\n",
                    lines.collect::<String>()
                )
            }
            Request::ListOne(number) => {
                self.one(*number, |entry| format!("+OK {number} {}\r\n", size(entry)))
            }
            Request::UidlOne(number) => self.one(*number, |entry| {
                format!("+OK {number} {}\r\n", unique_id(entry))
            }),
            Request::Retr(number) => {
                let answer = self.one(*number, |entry| {
                    let text = String::from_utf8(entry.body.clone()).expect("letters");
                    let text = text.replace('\n', "\r\n");
                    format!("+OK {} octets\r\n{text}.\r\n", size(entry))
                });
                if answer.starts_with("+OK") {
                    self.retrieved.insert(*number);
                }
                answer
            }
            Request::Dele(number) => {
                let answer = self.one(*number, |_| "+OK message marked as deleted\r\n".into());
                if answer.starts_with("+OK") {
                    self.marked.insert(*number);
                }
                answer
            }
            Request::Noop => "+OK nothing done\r\n".into(),
            Request::Rset => {
                self.marked.clear();
                "+OK no message is marked as deleted\r\n".into()
            }
            Request::Nonsense => "-ERR unknown command\r\n".into(),
        }
    }

    fn one(&self, number: u32, answer: impl Fn(&Entry) -> String) -> String {
        let entry = number
            .checked_sub(1)
            .map(|index| self.entries.get(index as usize));
        match entry {
            None => "-ERR invalid message-number\r\n".into(),
            Some(None) => "-ERR no such message\r\n".into(),
            Some(Some(_)) if self.marked.contains(&number) => {
                "-ERR message is marked as deleted\r\n".into()
            }
            Some(Some(entry)) => answer(entry),
        }
    }

    fn unmarked(&self) -> impl Iterator<Item = (u32, &Entry)> {
        (1..)
            .zip(&self.entries)
            .filter(|(number, _)| !self.marked.contains(number))
    }
}

fn size(entry: &Entry) -> u64 {
    wire_octets(&entry.body).0
}

fn unique_id(entry: &Entry) -> &str {
    std::str::from_utf8(&entry.unique_id).expect("ASCII")
}

fn requests() -> impl Strategy<Value = Request> {
    let number = 0_u32..8;
    prop_oneof![
        1 => Just(Request::Stat),
        1 => Just(Request::List),
        1 => number.clone().prop_map(Request::ListOne),
        1 => Just(Request::Uidl),
        1 => number.clone().prop_map(Request::UidlOne),
        1 => number.clone().prop_map(Request::Retr),
        3 => number.prop_map(Request::Dele),
        1 => Just(Request::Noop),
        1 => Just(Request::Rset),
        1 => Just(Request::Nonsense),
    ]
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    proptest::collection::vec("[a-z]{0,9}\n([a-z]{1,5}\n){0,3}", 0..7).prop_map(|bodies| {
        (1..)
            .zip(bodies)
            .map(|(number, body)| Entry::new(&format!("id{number}"), body.as_bytes()))
            .collect()
    })
}

fn session() -> Session {
    let security = Security {
        cleartext_login: true,
        ..Security::default()
    };
    let mut settings = Settings::default();
    settings.limits.measure_first = 1;
    settings.limits.bad_commands_max = u32::MAX;
    Session::new(Arc::new(settings), security, Duration::ZERO)
}

/// What the session answers to `input`, cut into pieces of `length`.
fn answers(world: &mut World, input: &[u8], length: usize) -> (Vec<u8>, Option<CloseReason>) {
    let mut session = session();
    let mut out = Vec::new();
    let mut closed = world.run(&mut session, Duration::ZERO, &mut out);
    for piece in input.chunks(length) {
        closed = world.feed(&mut session, Duration::ZERO, piece, &mut out);
    }
    (out, closed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    // R1939-MSG-1, R1939-LOCK-3, PRJ-LIST-6, R1939-DELE-1, R1939-DELE-2, R1939-DELE-3,
    // R1939-RSET-1, R1939-STAT-2, PRJ-SIZE-4, PRJ-SIZE-5, R1939-QUIT-4, R1939-TIMER-4,
    // PRJ-UIDL-6, R2449-PIPE-1, R2449-PIPE-2.
    #[test]
    fn any_session_is_what_the_model_says(
        entries in entries(),
        requests in proptest::collection::vec(requests(), 0..40),
        unmeasured in any::<bool>(),
        quits in any::<bool>(),
        length in prop_oneof![Just(1_usize), Just(7), Just(64), Just(1_000_000)],
    ) {
        let mut model = Model::new(entries.clone());
        let mut input = LOGIN.to_vec();
        let mut wanted = GREETING.to_owned();
        for request in &requests {
            input.extend(request.line().bytes());
            wanted += &model.answer(request);
        }
        if quits {
            input.extend(b"QUIT\r\n");
            wanted += "+OK goodbye\r\n";
        }
        let mut world = World::new(entries);
        if unmeasured {
            world = world.unmeasured();
        }
        let (out, closed) = answers(&mut world, &input, length);
        prop_assert_eq!(String::from_utf8_lossy(&out), wanted);
        let numbers = |set: &restante_proto::MessageSet| -> BTreeSet<u32> {
            set.iter().map(MessageNumber::get).collect()
        };
        if quits {
            prop_assert_eq!(closed, Some(CloseReason::Quit));
            prop_assert_eq!(world.updates.len(), 1);
            prop_assert_eq!(numbers(&world.updates[0].0), model.marked);
            prop_assert_eq!(numbers(&world.updates[0].1), model.retrieved);
        } else {
            prop_assert_eq!(closed, None);
            prop_assert!(world.updates.is_empty());
        }
    }

    // PRJ-SEC-1: whatever comes, in whatever pieces, the answers are the same, and nothing is
    // removed without a QUIT.
    #[test]
    fn prj_sec_1_any_octets_in_any_pieces_give_the_same_answers(
        octets in proptest::collection::vec(
            prop_oneof![
                4 => proptest::sample::select(WORDS).prop_map(<[u8]>::to_vec),
                1 => proptest::collection::vec(any::<u8>(), 0..4),
            ],
            0..60,
        ),
        length in 1_usize..40,
    ) {
        let input = octets.concat();
        let world = || {
            let mut world = World::new(vec![Entry::new("a", b"x\n\ny\n")]);
            world.sasl.insert(("PLAIN".into(), b"-".to_vec()), "empty".into());
            world.sasl.insert(("PLAIN".into(), b"AAAA".to_vec()), "ok".into());
            world
        };
        let (mut whole, mut pieces) = (world(), world());
        let wanted = answers(&mut whole, &input, input.len().max(1));
        let got = answers(&mut pieces, &input, length);
        prop_assert_eq!(got, wanted);
        prop_assert_eq!(whole.updates.len(), pieces.updates.len());
        prop_assert!(whole.updates.is_empty());
    }
}
