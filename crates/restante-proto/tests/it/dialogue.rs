//! Running dialogue files: line by line, whole, byte by byte, and cut at random.

use std::{fs, path::Path, sync::Arc, time::Duration};

use restante_proto::{
    MessageNumber, Mode,
    server::{CloseReason, Security, Session, Settings},
};

use crate::{
    script::{Script, Step, duration, number},
    world::World,
};

/// How the client's octets arrive. Between two events of a dialogue everything may be pipelined.
#[derive(Clone, Copy, Debug)]
enum Delivery {
    /// As written: the client waits for the lines of the server before it goes on.
    InTurn,
    /// As one piece.
    Whole,
    /// One octet at a time.
    Bytes,
    /// In pieces of random lengths.
    Random(u64),
}

struct Run<'s> {
    world: World,
    settings: Arc<Settings>,
    session: Session,
    now: Duration,
    /// What the client has sent and the machine has not been given yet.
    input: Vec<u8>,
    /// What the server has sent and no line of the dialogue has claimed yet.
    out: Vec<u8>,
    expected: Vec<&'s Step>,
    /// Octets that the server sent after its last whole line.
    remainder: Vec<u8>,
    closed: Option<CloseReason>,
    delivery: Delivery,
    random: u64,
    place: String,
}

#[test]
fn states() {
    check("states.txt");
}

#[test]
fn login() {
    check("login.txt");
}

#[test]
fn authentication() {
    check("authentication.txt");
}

#[test]
fn transaction() {
    check("transaction.txt");
}

#[test]
fn update() {
    check("update.txt");
}

#[test]
fn capabilities() {
    check("capabilities.txt");
}

/// Runs every dialogue of a file in every delivery.
fn check(file: &str) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogues");
    let text = fs::read_to_string(directory.join(file)).expect("dialogue file");
    let scripts = Script::read(&text);
    assert!(!scripts.is_empty(), "{file} holds no dialogue");
    for script in &scripts {
        let mut deliveries = vec![Delivery::InTurn, Delivery::Whole, Delivery::Bytes];
        deliveries.extend((1..=8).map(Delivery::Random));
        for delivery in deliveries {
            Run::new(script, delivery, file).run(script);
        }
    }
}

impl<'s> Run<'s> {
    fn new(script: &Script, delivery: Delivery, file: &str) -> Self {
        let (world, security, settings) = script.world();
        let settings = Arc::new(settings);
        Self {
            world,
            session: Session::new(settings.clone(), security, Duration::ZERO),
            settings,
            now: Duration::ZERO,
            input: Vec::new(),
            out: Vec::new(),
            expected: Vec::new(),
            remainder: Vec::new(),
            closed: None,
            delivery,
            random: match delivery {
                Delivery::Random(seed) => seed.wrapping_mul(0x9E37_79B9_7F4A_7C15),
                _ => 0,
            },
            place: format!("{file}: {} ({delivery:?})", script.title),
        }
    }

    fn run(mut self, script: &'s Script) {
        self.closed = self.world.run(&mut self.session, self.now, &mut self.out);
        for step in &script.steps {
            match step {
                Step::Client(octets) => {
                    // Lines of the client with nothing in between are a pipeline in any case.
                    if matches!(self.delivery, Delivery::InTurn) && !self.expected.is_empty() {
                        self.settle();
                    }
                    self.input.extend(octets);
                }
                Step::Server { .. } => self.expected.push(step),
                Step::Event(event) => {
                    self.settle();
                    if !event.starts_with("broken ") {
                        assert_eq!(self.remainder, b"", "{}", self.place);
                    }
                    self.event(event);
                }
            }
        }
        self.settle();
    }

    /// Delivers what was sent, then compares what came back, octet for octet.
    fn settle(&mut self) {
        let input = std::mem::take(&mut self.input);
        let mut rest = &input[..];
        while !rest.is_empty() && self.closed.is_none() && !self.world.started_tls {
            let (piece, after) = rest.split_at(self.piece(rest.len()));
            self.closed = self
                .world
                .feed(&mut self.session, self.now, piece, &mut self.out);
            rest = after;
        }
        let mut out = &self.out[..];
        for step in self.expected.drain(..) {
            let Step::Server { line, open_ended } = step else {
                continue;
            };
            let end = out.windows(2).position(|pair| pair == b"\r\n");
            let end = end.unwrap_or_else(|| {
                panic!(
                    "{}: wanted {:?}, got only {:?}",
                    self.place,
                    String::from_utf8_lossy(line),
                    String::from_utf8_lossy(out)
                )
            });
            let (got, after) = out.split_at(end);
            let right = if *open_ended {
                got.starts_with(line)
            } else {
                got == line
            };
            assert!(
                right,
                "{}: wanted {:?}, got {:?}",
                self.place,
                String::from_utf8_lossy(line),
                String::from_utf8_lossy(got)
            );
            out = &after[2..];
        }
        assert!(
            !out.ends_with(b"\n"),
            "{}: nobody expected {:?}",
            self.place,
            String::from_utf8_lossy(out)
        );
        self.remainder = out.to_vec();
        self.out.clear();
    }

    fn piece(&mut self, len: usize) -> usize {
        match self.delivery {
            Delivery::InTurn | Delivery::Whole => len,
            Delivery::Bytes => 1,
            Delivery::Random(_) => {
                self.random ^= self.random << 13;
                self.random ^= self.random >> 7;
                self.random ^= self.random << 17;
                let piece = usize::try_from(self.random % 9).expect("small");
                (piece + 1).min(len)
            }
        }
    }

    fn event(&mut self, event: &str) {
        let now = self.now;
        match event {
            "end of input" => self.session.handle_end_of_input(now),
            "shut down" => self.session.shut_down(now),
            "lease lost" => self.session.lease_lost(now),
            "tls" => {
                assert!(self.world.started_tls, "{}: no TLS was begun", self.place);
                self.world.started_tls = false;
                let security = Security {
                    tls: true,
                    cleartext_login: true,
                    stls: true,
                    mechanisms: vec!["PLAIN".into()],
                    apop_timestamp: Some("<late@example.com>".into()),
                };
                self.session = Session::after_tls(self.settings.clone(), security, now);
            }
            _ => match event.strip_prefix("wait ") {
                Some(seconds) => {
                    self.now += duration(seconds);
                    self.session.handle_timeout(self.now);
                }
                None => return self.demand(event),
            },
        }
        if self.closed.is_none() {
            self.closed = self.world.run(&mut self.session, self.now, &mut self.out);
        }
    }

    /// What must be true by now.
    fn demand(&self, event: &str) {
        let (word, rest) = event.split_once(' ').unwrap_or((event, ""));
        let words: Vec<&str> = rest.split(' ').filter(|word| !word.is_empty()).collect();
        let numbers = || words.iter().map(|word| number(word)).collect::<Vec<_>>();
        let place = &self.place;
        match word {
            "closed" => assert_eq!(self.closed.map(CloseReason::as_str), Some(rest), "{place}"),
            "waiting" => assert_eq!(self.closed, None, "{place}"),
            "mode" => {
                let utf8 = rest == "utf8";
                assert!(
                    self.world
                        .modes
                        .iter()
                        .all(|mode| (*mode == Mode::Utf8) == utf8),
                    "{place}"
                );
                assert!(!self.world.modes.is_empty());
            }
            "no" => assert!(self.world.updates.is_empty(), "{place}"),
            "deleted" | "retrieved" => {
                let [(deleted, retrieved)] = self.world.updates.as_slice() else {
                    panic!("{place}: not one update: {:?}", self.world.updates);
                };
                let set = if word == "deleted" {
                    deleted
                } else {
                    retrieved
                };
                let set: Vec<u32> = set.iter().map(MessageNumber::get).collect();
                assert_eq!(set, numbers(), "{place}: {word}");
            }
            "measured" => assert_eq!(self.world.measures, numbers(), "{place}"),
            "logins" => assert_eq!(self.world.logins, words, "{place}"),
            "broken" => assert_eq!(self.remainder, rest.as_bytes(), "{place}"),
            "cancelled" => assert_eq!(vec![self.world.cancelled], numbers(), "{place}"),
            _ => panic!("{place}: unknown event {event}"),
        }
    }
}
