//! Reading dialogue files.
//!
//! A file holds dialogues, each begun by `== title`. `#` begins a comment line. Before the first
//! line of the client stand directives that describe the world:
//!
//! ```text
//! message UNIQUE-ID OCTETS          one message, oldest first; may be repeated
//! unmeasured                        no size is known at first
//! unmeasurable N                    measuring fails from message N on
//! never measured                    measuring seems to succeed, but no size becomes known
//! read N gone|changed|temporary|broken|short|long
//! account NAME PASSWORD             instead of `frank` and `secret`
//! digest HEX                        what APOP wants of the account
//! sasl MECHANISM LINE ANSWER        LINE `-`: no initial response; `nothing`: an empty line.
//!                                   ANSWER: ok, no, malformed, unavailable, empty, or a challenge
//! open in-use|temporary|permanent   opening the maildrop fails
//! opened expire=N login-delay=N     the user's own values
//! opened read-only                  DELE is refused
//! update fails
//! security [tls] [cleartext] [stls] [apop=TIMESTAMP] [mechanisms=A,B]
//! settings [no-user] [no-utf8] [no-bare-lf] [german] [expire=N[+user]] [login-delay=N[+user]]
//!          [implementation=WORD]
//! limits [bad-commands=N] [failed-logins=N] [rounds=N] [measure-first=N]
//! ```
//!
//! Then the dialogue itself:
//!
//! ```text
//! C: text      the client sends the text and CRLF
//! C- text      the client sends the text alone
//! S: text      the server answers with this line; `…` at the end stands for anything
//! ! event      tls | wait SECONDS | end of input | shut down | lease lost
//! ! closed REASON | waiting
//! ! deleted N… | retrieved N…       what the one update was told
//! ! no update | measured THROUGH… | logins NAME… | cancelled N | mode plain|utf8
//! ! broken OCTETS                   what came after the last whole line, so far
//! ```
//!
//! Octets: `\r \n \0 \t \\`, `\s` for a space at a line's end, `\xHH`.

use std::time::Duration;

use restante_proto::{
    Expire, ExpireCapability, Language, LoginDelayCapability,
    server::{MessageRefusal, OpenRefusal, Security, Settings},
};

use crate::world::{Entry, Reading, World};

/// One dialogue, read but not run.
pub(crate) struct Script {
    pub(crate) title: String,
    directives: Vec<String>,
    pub(crate) steps: Vec<Step>,
}

/// One line of a dialogue.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Octets of the client.
    Client(Vec<u8>),
    /// A line of the server without CRLF; `open_ended`: with anything after it.
    Server { line: Vec<u8>, open_ended: bool },
    /// Something else happens or is demanded.
    Event(String),
}

impl Script {
    /// All dialogues of a file.
    pub(crate) fn read(text: &str) -> Vec<Self> {
        let mut scripts: Vec<Self> = Vec::new();
        for line in text.lines() {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(title) = line.strip_prefix("== ") {
                scripts.push(Self {
                    title: title.into(),
                    directives: Vec::new(),
                    steps: Vec::new(),
                });
                continue;
            }
            let script = scripts.last_mut().expect("a file begins with `== title`");
            match Step::read(line) {
                Some(step) => script.steps.push(step),
                None => {
                    assert!(script.steps.is_empty(), "directive in a dialogue: {line}");
                    script.directives.push(line.into());
                }
            }
        }
        scripts
    }

    /// The world, the connection and the settings that the directives describe.
    pub(crate) fn world(&self) -> (World, Security, Settings) {
        let messages = self.directives.iter().filter_map(|line| {
            let (unique_id, body) = line.strip_prefix("message ")?.split_once(' ')?;
            Some(Entry::new(unique_id, &unescape(body)))
        });
        let mut world = World::new(messages.collect());
        let mut security = Security {
            tls: true,
            cleartext_login: true,
            mechanisms: vec!["PLAIN".into()],
            ..Security::default()
        };
        let mut settings = Settings::default();
        for line in &self.directives {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "message" => {}
                "unmeasured" => world = world.unmeasured(),
                "security" => security = read_security(rest),
                "settings" => read_settings(rest, &mut settings),
                "limits" => read_limits(rest, &mut settings),
                _ => read_world(word, rest, &mut world),
            }
        }
        (world, security, settings)
    }
}

impl Step {
    fn read(line: &str) -> Option<Self> {
        let (mark, text) = line.split_at_checked(2)?;
        let text = text.strip_prefix(' ').unwrap_or(text);
        match mark {
            "C:" => Some(Self::Client([&unescape(text)[..], b"\r\n"].concat())),
            "C-" => Some(Self::Client(unescape(text))),
            "S:" => Some(Self::Server {
                line: unescape(text.trim_end_matches('…')),
                open_ended: text.ends_with('…'),
            }),
            _ => line
                .strip_prefix("! ")
                .map(|event| Self::Event(event.into())),
        }
    }
}

fn read_world(word: &str, rest: &str, world: &mut World) {
    let words: Vec<&str> = rest.split(' ').collect();
    match (word, words.as_slice()) {
        ("unmeasurable", [from]) => world.unmeasurable_from = Some(number(from)),
        ("read", [message, what]) => {
            world.readings.insert(number(message), reading(what));
        }
        ("account", [name, password]) => {
            world.name = String::from_utf8(unescape(name)).expect("names are UTF-8");
            world.password = unescape(password);
        }
        ("digest", [digest]) => world.digest = digest.as_bytes().into(),
        ("sasl", [mechanism, line, answer]) => {
            let line = if *line == "nothing" { "" } else { line };
            let key = ((*mechanism).into(), unescape(line));
            world.sasl.insert(key, (*answer).into());
        }
        ("open", ["in-use"]) => world.open = Err(OpenRefusal::InUse),
        ("open", ["temporary"]) => world.open = Err(OpenRefusal::Temporary),
        ("open", ["permanent"]) => world.open = Err(OpenRefusal::Permanent),
        ("opened", ["read-only"]) => world.opened.read_only = true,
        ("opened", values) => {
            for value in values {
                match value.split_once('=') {
                    Some(("expire", days)) => world.opened.expire = Some(expire(days)),
                    Some(("login-delay", seconds)) => {
                        world.opened.login_delay = Some(duration(seconds));
                    }
                    _ => panic!("unknown value {value}"),
                }
            }
        }
        ("never", ["measured"]) => world.never_measured = true,
        ("update", ["fails"]) => world.update_fails = true,
        _ => panic!("unknown directive {word} {rest}"),
    }
}

fn reading(what: &str) -> Reading {
    match what {
        "gone" => Reading::Refused(MessageRefusal::Gone),
        "changed" => Reading::Refused(MessageRefusal::Changed),
        "temporary" => Reading::Refused(MessageRefusal::Temporary),
        "broken" => Reading::Broken,
        "short" => Reading::Short,
        "long" => Reading::Long,
        _ => panic!("unknown reading {what}"),
    }
}

fn read_security(rest: &str) -> Security {
    let mut security = Security::default();
    for word in rest.split(' ') {
        match word.split_once('=').unwrap_or((word, "")) {
            ("none", _) => {}
            ("tls", _) => security.tls = true,
            ("cleartext", _) => security.cleartext_login = true,
            ("stls", _) => security.stls = true,
            ("apop", timestamp) => security.apop_timestamp = Some(timestamp.into()),
            ("mechanisms", names) => {
                let names = names.split(',').filter(|name| !name.is_empty());
                security.mechanisms = names.map(String::from).collect();
            }
            _ => panic!("unknown security {word}"),
        }
    }
    security
}

fn read_settings(rest: &str, settings: &mut Settings) {
    for word in rest.split(' ') {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let (value, varies) = match value.strip_suffix("+user") {
            Some(value) => (value, true),
            None => (value, false),
        };
        match key {
            "no-user" => settings.user = false,
            "no-utf8" => settings.utf8 = false,
            "no-bare-lf" => settings.bare_lf = false,
            "german" => settings.language = Language::German,
            "implementation" => settings.implementation = Some(value.replace('_', " ")),
            "expire" => {
                let smallest = expire(value);
                settings.expire = Some(ExpireCapability { smallest, varies });
            }
            "login-delay" => {
                let largest = duration(value);
                settings.login_delay = Some(LoginDelayCapability { largest, varies });
            }
            _ => panic!("unknown setting {word}"),
        }
    }
}

fn read_limits(rest: &str, settings: &mut Settings) {
    for word in rest.split(' ') {
        let (key, value) = word.split_once('=').expect("limits have values");
        match key {
            "bad-commands" => settings.limits.bad_commands_max = number(value),
            "failed-logins" => settings.limits.failed_logins_max = number(value),
            "rounds" => settings.limits.sasl_rounds_max = number(value),
            "measure-first" => settings.limits.measure_first = number(value),
            _ => panic!("unknown limit {word}"),
        }
    }
}

fn expire(value: &str) -> Expire {
    if value == "never" {
        Expire::Never
    } else {
        Expire::Days(number(value))
    }
}

pub(crate) fn duration(seconds: &str) -> Duration {
    Duration::from_secs(number(seconds).into())
}

pub(crate) fn number(digits: &str) -> u32 {
    digits.parse().expect("a number")
}

/// Turns escapes into octets.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        if octet != b'\\' {
            octets.push(octet);
            continue;
        }
        octets.push(match rest.next().expect("something is escaped") {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'0' => 0,
            b's' => b' ',
            b'\\' => b'\\',
            b'x' => {
                let mut digit = || char::from(rest.next().expect("a digit")).to_digit(16);
                let (high, low) = (digit().expect("hex"), digit().expect("hex"));
                u8::try_from(high * 16 + low).expect("two digits")
            }
            other => panic!("unknown escape {:?}", char::from(other)),
        });
    }
    octets
}
