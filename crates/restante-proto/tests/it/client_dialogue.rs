//! Running dialogue files of the client's side: as written, whole, octet by octet, cut at random.
//!
//! A file holds dialogues, each begun by `== title`. `#` begins a comment line. First, perhaps,
//! `settings [tls] [no-passwords] [cleartext]` and `limits NAME=N…`. Then:
//!
//! ```text
//! S: text        the server sends the text and CRLF; S- the text alone
//! > COMMAND      the caller queues it; `> RETR N OCTETS` with the announced size
//! > respond B64 | cancel
//! C: text        this line was sent; after the step before, exactly these lines were
//! = event        this came; exactly these events did
//! ! refused WHY  the last `>` was
//! ! error TEXT | closed | starts tls | waits [SECONDS]
//! ! tls | wait SECONDS | end of input | timestamp TEXT
//! ```

use std::{fs, mem, path::Path, sync::Arc, time::Duration};

use restante_proto::{
    Command, Octets,
    client::{
        Answer, Cleartext, Event, Output, RequestError, Session, SessionError, Settings, Success,
    },
};

use crate::script::{duration, number, unescape};

#[derive(Clone, Copy, Debug)]
enum Delivery {
    Whole,
    Bytes,
    Random(u64),
}

struct Run {
    settings: Arc<Settings>,
    session: Session,
    now: Duration,
    delivery: Delivery,
    place: String,
    /// What the server has sent and the machine has not been given.
    input: Vec<u8>,
    out: Vec<u8>,
    events: Vec<String>,
    message: Vec<u8>,
    refused: Option<RequestError>,
    end: Option<Result<&'static str, SessionError>>,
    deadline: Option<Duration>,
}

#[test]
fn client_login() {
    check("login.txt");
}

#[test]
fn client_authentication() {
    check("authentication.txt");
}

#[test]
fn client_transaction() {
    check("transaction.txt");
}

#[test]
fn client_pipelining() {
    check("pipelining.txt");
}

#[test]
fn client_tls() {
    check("tls.txt");
}

#[test]
fn client_bad_servers() {
    check("bad_servers.txt");
}

fn check(file: &str) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogues/client");
    let text = fs::read_to_string(directory.join(file)).expect("dialogue file");
    let lines = text.lines().map(str::trim_end);
    let mut dialogues: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix("== ") {
            Some(title) => dialogues.push((title, Vec::new())),
            None => dialogues.last_mut().expect("a title first").1.push(line),
        }
    }
    assert!(!dialogues.is_empty());
    for (title, lines) in dialogues {
        let mut deliveries = vec![Delivery::Whole, Delivery::Bytes];
        deliveries.extend((1..=8).map(Delivery::Random));
        for delivery in deliveries {
            let place = format!("{file}: {title} ({delivery:?})");
            Run::new(&lines, delivery, place).run(&lines);
        }
    }
}

impl Run {
    fn new(lines: &[&str], delivery: Delivery, place: String) -> Self {
        let mut settings = Settings::default();
        let mut tls = false;
        for line in lines {
            if let Some(words) = line.strip_prefix("settings ") {
                for word in words.split(' ') {
                    match word {
                        "tls" => tls = true,
                        "cleartext" => settings.cleartext = Cleartext::Everything,
                        "no-passwords" => settings.cleartext = Cleartext::NoPasswords,
                        _ => panic!("{place}: unknown setting {word}"),
                    }
                }
            } else if let Some(words) = line.strip_prefix("limits ") {
                words.split(' ').for_each(|word| limit(&mut settings, word));
            }
        }
        let settings = Arc::new(settings);
        let make = if tls {
            Session::under_tls
        } else {
            Session::new
        };
        Self {
            session: make(settings.clone(), Duration::ZERO),
            settings,
            now: Duration::ZERO,
            delivery: match delivery {
                Delivery::Random(seed) => {
                    Delivery::Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
                }
                other => other,
            },
            place,
            input: Vec::new(),
            out: Vec::new(),
            events: Vec::new(),
            message: Vec::new(),
            refused: None,
            end: None,
            deadline: None,
        }
    }

    fn run(mut self, lines: &[&str]) {
        let (mut sent, mut events) = (Vec::new(), Vec::new());
        self.poll();
        for line in lines {
            let (mark, text) = line.split_at_checked(2).unwrap_or((line, ""));
            let text = text.strip_prefix(' ').unwrap_or(text);
            match mark {
                "S:" => self.input.extend([&unescape(text)[..], b"\r\n"].concat()),
                "S-" => self.input.extend(unescape(text)),
                "C:" => sent.extend([&unescape(text)[..], b"\r\n"].concat()),
                "= " => events.push(text.to_owned()),
                "> " => {
                    self.settle(&mut sent, &mut events);
                    self.command(text);
                    self.poll();
                }
                "! " => {
                    self.settle(&mut sent, &mut events);
                    self.event(text);
                }
                _ if line.starts_with("settings ") || line.starts_with("limits ") => {}
                _ => panic!("{}: unknown line {line}", self.place),
            }
        }
        self.settle(&mut sent, &mut events);
        assert_eq!(self.refused, None, "{}", self.place);
    }

    /// Delivers what the server sent, then compares what was sent and what came.
    fn settle(&mut self, sent: &mut Vec<u8>, events: &mut Vec<String>) {
        let input = mem::take(&mut self.input);
        let mut rest = &input[..];
        while !rest.is_empty() && matches!(self.end, None | Some(Ok("starts tls"))) {
            self.end = None;
            let (piece, after) = rest.split_at(self.piece(rest.len()));
            let taken = self.session.handle_input(self.now, piece);
            assert_eq!(taken, piece.len(), "{}", self.place);
            rest = after;
            self.poll();
        }
        let (sent, events) = (mem::take(sent), mem::take(events));
        let out = mem::take(&mut self.out);
        let shown = |octets: &[u8]| octets.escape_ascii().to_string();
        assert_eq!(shown(&out), shown(&sent), "{}", self.place);
        assert_eq!(mem::take(&mut self.events), events, "{}", self.place);
    }

    fn piece(&mut self, len: usize) -> usize {
        match &mut self.delivery {
            Delivery::Whole => len,
            Delivery::Bytes => 1,
            Delivery::Random(random) => {
                *random ^= *random << 13;
                *random ^= *random >> 7;
                *random ^= *random << 17;
                usize::try_from(*random % 9 + 1).expect("small").min(len)
            }
        }
    }

    fn poll(&mut self) {
        while self.end.is_none() {
            match self.session.poll_output(self.now, &mut self.out) {
                Ok(Output::Event(event)) => self.note(event),
                Ok(Output::Wait { deadline }) => {
                    self.deadline = deadline;
                    assert!(self.session.input_room() > 0, "{}", self.place);
                    return;
                }
                Ok(Output::StartTls) => self.end = Some(Ok("starts tls")),
                Ok(Output::Close) => self.end = Some(Ok("closed")),
                Err(error) => {
                    // It stays the answer.
                    let again = self.session.poll_output(self.now, &mut self.out);
                    assert_eq!(again.expect_err("failed"), error);
                    self.end = Some(Err(error));
                }
            }
        }
    }

    fn note(&mut self, event: Event) {
        let escaped = |octets: &[u8]| octets.escape_ascii().to_string();
        let text = match event {
            Event::Greeting(line) => format!("greeting {}", line.text),
            Event::Challenge(base64) => format!("challenge {}", escaped(&base64)),
            Event::MessageBegins(number) => format!("message {number}"),
            Event::MessageData(data) => {
                assert!(!data.is_empty());
                return self.message.extend(data);
            }
            Event::ScanListing { number, octets } => format!("size {number} {octets}"),
            Event::UniqueIdListing { number, unique_id } => match unique_id {
                Some(unique_id) => format!("unique-id {number} {}", escaped(&unique_id)),
                None => format!("unique-id {number} missing"),
            },
            Event::Line(line) => format!("line {line}"),
            Event::Answered(answer) => {
                if let Ok(Success::Message { octets }) = answer.outcome {
                    assert_eq!(Octets(self.message.len() as u64), octets, "{}", self.place);
                    let data = mem::take(&mut self.message);
                    let text = format!("data {}", escaped(&data));
                    self.events.push(text.trim_end().to_owned());
                }
                answered(&answer)
            }
            other => format!("{other:?}"),
        };
        self.events.push(text.trim_end().to_owned());
    }

    fn command(&mut self, text: &str) {
        assert_eq!(self.refused, None, "{}", self.place);
        let done = match text.split_once(' ').unwrap_or((text, "")) {
            ("respond", base64) => self.session.sasl_response(&unescape(base64)),
            ("cancel", _) => self.session.sasl_cancel(),
            ("RETR", rest) if rest.contains(' ') => {
                let (message, octets) = rest.split_once(' ').expect("two numbers");
                let message = restante_proto::MessageNumber::new(number(message));
                let octets = Octets(octets.parse().expect("octets"));
                self.session.retrieve(message.expect("not 0"), octets)
            }
            ("PASS", password) => {
                let password = Command::Pass(unescape(password).into());
                self.session.request(&password)
            }
            ("USER", name) => {
                let name = String::from_utf8(unescape(name)).expect("UTF-8");
                self.session.request(&Command::User(name))
            }
            _ => {
                let command = Command::parse(text.as_bytes()).expect("a command");
                self.session.request(&command)
            }
        };
        self.refused = done.err();
    }

    fn event(&mut self, text: &str) {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let place = &self.place;
        match (word, rest) {
            ("refused", why) => {
                let refused = self.refused.take().map(|error| error.to_string());
                assert_eq!(refused.as_deref(), Some(why), "{place}");
            }
            ("error", wanted) => match self.end.take() {
                Some(Err(error)) => assert_eq!(error.to_string().trim_end(), wanted, "{place}"),
                other => panic!("{place}: no error, but {other:?}"),
            },
            ("closed", _) | ("starts", "tls") => {
                assert_eq!(self.end.take(), Some(Ok(text)), "{place}");
            }
            ("waits", "") => {
                assert_eq!((&self.end, self.deadline), (&None, None), "{place}");
            }
            ("waits", seconds) => {
                let deadline = self.deadline.map(|deadline| deadline - self.now);
                assert_eq!(deadline, Some(duration(seconds)), "{place}");
            }
            ("timestamp", wanted) => {
                let timestamp = self.session.apop_timestamp().unwrap_or("none");
                assert_eq!(timestamp, wanted, "{place}");
            }
            ("tls", _) => {
                self.session = Session::after_tls(self.settings.clone(), self.now);
                self.poll();
            }
            ("wait", seconds) => {
                self.now += duration(seconds);
                self.session.handle_timeout(self.now);
                self.poll();
            }
            ("end", _) => {
                self.session.handle_end_of_input();
                self.poll();
            }
            _ => panic!("{place}: unknown event {text}"),
        }
    }
}

fn answered(answer: &Answer) -> String {
    let of = match answer.number {
        Some(number) => format!("{} {number}", answer.keyword),
        None => answer.keyword.to_string(),
    };
    match &answer.outcome {
        Ok(Success::Done) => format!("{of} ok"),
        Ok(Success::DropListing { messages, octets }) => format!("{of} ok {messages} {octets}"),
        Ok(Success::Message { octets } | Success::ScanListing { octets }) => {
            format!("{of} ok {octets}")
        }
        Ok(Success::UniqueId(unique_id)) => {
            let unique_id = unique_id.as_deref().unwrap_or(b"missing");
            format!("{of} ok {}", unique_id.escape_ascii())
        }
        Ok(Success::Language(tag)) => format!("{of} ok {}", tag.as_deref().unwrap_or("none")),
        Ok(other) => format!("{of} {other:?}"),
        Err(line) => match line.code {
            Some(code) => format!("{of} no {} {}", code.as_str(), line.text),
            None => format!("{of} no {}", line.text),
        },
    }
}

fn limit(settings: &mut Settings, word: &str) {
    let (name, value) = word.split_once('=').expect("limits have values");
    let limits = &mut settings.limits;
    let octets = number(value) as usize;
    match name {
        "status" => limits.status_octets_max = octets,
        "challenge" => limits.challenge_octets_max = octets,
        "listing-line" => limits.listing_line_octets_max = octets,
        "lines" => limits.lines_max = number(value),
        "messages" => limits.messages_max = number(value),
        "message" => limits.message_octets_max = Octets(number(value).into()),
        "rounds" => limits.sasl_rounds_max = number(value),
        "requests" => limits.requests_max = octets,
        "window" => limits.window_octets = number(value).into(),
        "commands" => limits.command_octets_in_flight_max = octets,
        _ => panic!("unknown limit {name}"),
    }
}
