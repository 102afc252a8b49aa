//! Both machines against each other in one thread, with a clock moved by hand.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use proptest::prelude::*;
use restante_proto::{
    Command, MessageNumber, Octets,
    client::{self, Event, Success},
    server::{self, Security},
};

use crate::world::{Entry, World};

/// The line between them: pieces of at most `piece` octets, each under way for `delay`.
struct Line {
    piece: usize,
    delay: Duration,
    pieces: VecDeque<(Duration, Vec<u8>)>,
}

impl Line {
    fn new(piece: usize, delay: Duration) -> Self {
        let pieces = VecDeque::new();
        Self {
            piece,
            delay,
            pieces,
        }
    }

    fn send(&mut self, now: Duration, octets: &mut Vec<u8>) {
        let at = now + self.delay;
        for piece in octets.chunks(self.piece) {
            self.pieces.push_back((at, piece.to_vec()));
        }
        octets.clear();
    }

    fn receive(&mut self, now: Duration) -> Option<Vec<u8>> {
        self.pieces.pop_front_if(|(at, _)| *at <= now)?.1.into()
    }
}

/// A client and a server, and what has come out of them.
struct Pair {
    now: Duration,
    client: client::Session,
    server: server::Session,
    world: World,
    up: Line,
    down: Line,
    events: Vec<Event>,
    /// How often the client sent something, after it had waited.
    turns: u32,
    closed: bool,
}

impl Pair {
    fn new(entries: Vec<Entry>, piece: usize, window_octets: u64) -> Self {
        let delay = Duration::from_millis(50);
        let security = Security {
            tls: true,
            cleartext_login: true,
            ..Security::default()
        };
        let mut settings = client::Settings::default();
        settings.limits.window_octets = window_octets;
        let now = Duration::ZERO;
        Self {
            now,
            client: client::Session::under_tls(Arc::new(settings), now),
            server: server::Session::new(Arc::default(), security, now),
            world: World::new(entries),
            up: Line::new(piece, delay),
            down: Line::new(piece, delay),
            events: Vec::new(),
            turns: 0,
            closed: false,
        }
    }

    fn request(&mut self, command: &Command) {
        self.client.request(command).expect("has its place");
    }

    /// Lets both go on until neither has anything to do, moving the clock as far as needed.
    fn run(&mut self) {
        loop {
            let moved = self.client_step() | self.server_step();
            if moved {
                continue;
            }
            let next = [&self.up, &self.down]
                .into_iter()
                .filter_map(|line| line.pieces.front().map(|(at, _)| *at))
                .min();
            match next {
                Some(at) => self.now = at,
                None => return,
            }
        }
    }

    fn client_step(&mut self) -> bool {
        let mut moved = false;
        let mut out = Vec::new();
        if let Some(piece) = self.down.receive(self.now) {
            assert_eq!(self.client.handle_input(self.now, &piece), piece.len());
            moved = true;
        }
        while !self.closed {
            match self.client.poll_output(self.now, &mut out) {
                Ok(client::Output::Event(event)) => self.events.push(event),
                Ok(client::Output::Wait { .. }) => break,
                Ok(client::Output::Close) => self.closed = true,
                other => panic!("{other:?}"),
            }
        }
        if !out.is_empty() {
            self.turns += 1;
            moved = true;
        }
        self.up.send(self.now, &mut out);
        moved
    }

    fn server_step(&mut self) -> bool {
        let mut out = Vec::new();
        let received = self.up.receive(self.now);
        match &received {
            Some(piece) => {
                self.world.feed(&mut self.server, self.now, piece, &mut out);
            }
            None => _ = self.world.run(&mut self.server, self.now, &mut out),
        }
        let moved = received.is_some() || !out.is_empty();
        self.down.send(self.now, &mut out);
        moved
    }

    fn log_in(&mut self) {
        self.run();
        self.request(&Command::Capa);
        self.run();
        self.request(&Command::User("frank".into()));
        self.run();
        self.request(&Command::Pass(b"secret".to_vec().into()));
        self.run();
        self.events.clear();
    }
}

/// What arrived of one message.
#[derive(Debug, Default, Eq, PartialEq)]
struct Arrived {
    octets: Vec<u8>,
    unique_id: Vec<u8>,
    listed: u64,
}

/// Puts the events of a session together by message.
fn arrived(events: &[Event], count: usize) -> Vec<Arrived> {
    let mut arrived: Vec<Arrived> = Vec::new();
    arrived.resize_with(count, Arrived::default);
    let mut current = None;
    for event in events {
        match event {
            Event::ScanListing { number, octets } => arrived[number.index()].listed = octets.0,
            Event::UniqueIdListing { number, unique_id } => {
                arrived[number.index()].unique_id = unique_id.clone().expect("there is one");
            }
            Event::MessageBegins(number) => current = Some(*number),
            Event::MessageData(data) => {
                let number = current.expect("a message has begun");
                arrived[number.index()].octets.extend(data);
            }
            Event::Answered(answer) => assert!(answer.outcome.is_ok(), "{answer:?}"),
            other => panic!("{other:?}"),
        }
    }
    arrived
}

fn with_crlf(body: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    for &octet in body {
        if octet == b'\n' && message.last() != Some(&b'\r') {
            message.push(b'\r');
        }
        message.push(octet);
    }
    if !matches!(body.last(), None | Some(b'\n')) {
        message.extend(b"\r\n");
    }
    message
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let octets = proptest::sample::select(&b".\r\n\0a\xff"[..]);
    let body = proptest::collection::vec(octets, 0..60);
    proptest::collection::vec(body, 0..12).prop_map(|bodies| {
        (1..)
            .zip(bodies)
            .map(|(number, body)| Entry::new(&format!("id{number}"), &body))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    // R1939-ML-3, PRJ-ML-5, R2449-PIPE-3: whatever the server holds arrives octet for octet, and
    // what is told to be deleted is, and nothing else.
    #[test]
    fn whatever_the_server_holds_arrives_and_deletes_are_as_told(
        entries in entries(),
        marks in proptest::collection::vec(any::<bool>(), 12),
        piece in prop_oneof![Just(1_usize), Just(7), Just(1460)],
        window_octets in prop_oneof![Just(0_u64), Just(200), Just(1 << 20)],
        quits in any::<bool>(),
    ) {
        let mut pair = Pair::new(entries.clone(), piece, window_octets);
        pair.log_in();
        pair.request(&Command::Uidl(None));
        pair.request(&Command::List(None));
        pair.run();
        let listed = arrived(&pair.events, entries.len());
        for (index, listed) in listed.iter().enumerate() {
            let number = MessageNumber::from_index(index).expect("few");
            pair.client.retrieve(number, Octets(listed.listed)).expect("has its place");
            if marks[index] {
                pair.request(&Command::Dele(number));
            }
        }
        pair.run();
        if quits {
            pair.request(&Command::Quit);
            pair.run();
            prop_assert!(pair.closed);
        }
        let arrived = arrived(&pair.events, entries.len());
        for (entry, arrived) in entries.iter().zip(&arrived) {
            prop_assert_eq!(&arrived.octets, &with_crlf(&entry.body));
            prop_assert_eq!(arrived.listed, arrived.octets.len() as u64);
            prop_assert_eq!(&arrived.unique_id, &entry.unique_id);
        }
        if quits {
            let deleted: Vec<usize> = pair.world.updates[0].0.iter().map(|it| it.index()).collect();
            let told: Vec<usize> = (0..entries.len()).filter(|&index| marks[index]).collect();
            prop_assert_eq!(deleted, told);
        } else {
            // Dropping the client says nothing.
            pair.server.handle_end_of_input(pair.now);
            let mut out = Vec::new();
            pair.world.run(&mut pair.server, pair.now, &mut out);
            prop_assert!(pair.world.updates.is_empty());
        }
    }
}

#[test]
fn two_thousand_messages_take_few_turns_on_a_slow_line() {
    let entries: Vec<Entry> = (0..2000)
        .map(|number| {
            Entry::new(
                &format!("id{number}"),
                &[b"x".repeat(98), b"\n".to_vec()].concat(),
            )
        })
        .collect();
    let mut pair = Pair::new(entries, 1460, 4 << 20);
    pair.log_in();
    pair.request(&Command::Uidl(None));
    pair.request(&Command::List(None));
    pair.run();
    for index in 0..2000 {
        let number = MessageNumber::from_index(index).expect("few");
        pair.client
            .retrieve(number, Octets(100))
            .expect("has its place");
    }
    pair.run();
    for index in 0..2000 {
        pair.request(&Command::Dele(
            MessageNumber::from_index(index).expect("few"),
        ));
    }
    pair.request(&Command::Quit);
    pair.run();
    assert!(pair.closed);
    assert_eq!(pair.world.updates[0].0.len(), 2000);
    // CAPA, USER, PASS, the listings, the messages, the marks.
    assert_eq!((pair.turns, pair.now), (6, Duration::from_millis(650)));
}

#[test]
fn a_message_of_which_half_came_is_not_whole() {
    let mut pair = Pair::new(vec![Entry::new("a", b"one\ntwo")], 1460, 1 << 20);
    pair.world.readings.insert(1, crate::world::Reading::Short);
    pair.log_in();
    pair.request(&Command::Retr(MessageNumber::FIRST));
    pair.run();
    pair.client.handle_end_of_input();
    let polled = pair.client.poll_output(pair.now, &mut Vec::new());
    let error = polled.expect_err("truncated");
    assert!(
        matches!(error, client::SessionError::MessageTruncated { .. }),
        "{error}"
    );
    let whole = |event: &Event| matches!(event, Event::Answered(answer) if matches!(answer.outcome, Ok(Success::Message { .. })));
    assert!(!pair.events.iter().any(whole));
}
