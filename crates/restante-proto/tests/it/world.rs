//! Everything around the machine, scripted: accounts, a maildrop, a driver without sockets.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use restante_proto::{
    Form, MessageNumber, MessageSet, Messages, Mode, Octets, UniqueId, WireCounter,
    server::{
        Action, CloseReason, Login, LoginRefusal, MessageRefusal, OpenRefusal, Opened, Output,
        Session,
    },
};
use secrecy::ExposeSecret;

/// One message of the maildrop.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) unique_id: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Entry {
    pub(crate) fn new(unique_id: &str, body: &[u8]) -> Self {
        Self {
            unique_id: unique_id.into(),
            body: body.to_vec(),
        }
    }
}

/// The listing; sizes may become known bit by bit.
pub(crate) struct Listing {
    entries: Vec<(Vec<u8>, Octets)>,
    measured: AtomicU32,
}

impl Listing {
    fn new(entries: &[Entry]) -> Self {
        let measure = |entry: &Entry| (entry.unique_id.clone(), wire_octets(&entry.body));
        Self {
            entries: entries.iter().map(measure).collect(),
            measured: AtomicU32::new(u32::MAX),
        }
    }
}

impl Messages for Listing {
    fn count(&self) -> u32 {
        u32::try_from(self.entries.len()).expect("tests have few messages")
    }

    fn octets(&self, number: MessageNumber, _: Mode) -> Option<Octets> {
        let known = number.get() <= self.measured.load(Ordering::Relaxed);
        self.entries
            .get(number.index())
            .filter(|_| known)
            .map(|&(_, octets)| octets)
    }

    fn unique_id(&self, number: MessageNumber) -> UniqueId<'_> {
        UniqueId::new(&self.entries[number.index()].0).expect("tests have legal unique-ids")
    }
}

/// The size by the letter of RFC 1939 §11, octet by octet; slow and obvious.
pub(crate) fn wire_octets(body: &[u8]) -> Octets {
    let mut octets = 0;
    let mut last = None;
    for &octet in body {
        octets += if octet == b'\n' && last != Some(b'\r') {
            2
        } else {
            1
        };
        last = Some(octet);
    }
    if !matches!(last, None | Some(b'\n')) {
        octets += 2;
    }
    Octets(octets)
}

/// What becomes of reading one message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reading {
    Refused(MessageRefusal),
    /// Fails after half of the octets.
    Broken,
    /// Ends one octet early.
    Short,
    /// Has one octet more than was measured.
    Long,
}

/// What the scripted world does, and what has been done to it.
pub(crate) struct World {
    pub(crate) name: String,
    pub(crate) password: Vec<u8>,
    /// The digest that lets `name` in by APOP.
    pub(crate) digest: Vec<u8>,
    /// By mechanism and line of the client (`-`: none) the answer.
    pub(crate) sasl: HashMap<(String, Vec<u8>), String>,
    pub(crate) open: Result<(), OpenRefusal>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) listing: Arc<Listing>,
    pub(crate) opened: Opened,
    pub(crate) readings: HashMap<u32, Reading>,
    /// Message from which on measuring fails.
    pub(crate) unmeasurable_from: Option<u32>,
    pub(crate) never_measured: bool,
    pub(crate) update_fails: bool,
    /// How many octets of a body are given to the encoder at a time.
    pub(crate) piece: usize,

    pub(crate) started_tls: bool,
    pub(crate) mechanism: String,
    pub(crate) logins: Vec<String>,
    pub(crate) cancelled: u32,
    pub(crate) opens: u32,
    pub(crate) measures: Vec<u32>,
    pub(crate) modes: Vec<Mode>,
    pub(crate) updates: Vec<(MessageSet, MessageSet)>,
}

impl World {
    pub(crate) fn new(entries: Vec<Entry>) -> Self {
        let listing = Arc::new(Listing::new(&entries));
        Self {
            name: "frank".into(),
            password: b"secret".into(),
            digest: Vec::new(),
            sasl: HashMap::new(),
            open: Ok(()),
            entries,
            opened: Opened::new(listing.clone()),
            listing,
            readings: HashMap::new(),
            unmeasurable_from: None,
            never_measured: false,
            update_fails: false,
            piece: 7,
            started_tls: false,
            mechanism: String::new(),
            logins: Vec::new(),
            cancelled: 0,
            opens: 0,
            measures: Vec::new(),
            modes: Vec::new(),
            updates: Vec::new(),
        }
    }

    /// A maildrop none of whose sizes are known yet.
    pub(crate) fn unmeasured(self) -> Self {
        self.listing.measured.store(0, Ordering::Relaxed);
        self
    }

    /// Hands `input` over and does everything that follows from it; how the session ended, if it
    /// did. Panics where the machine breaks its contract.
    pub(crate) fn feed(
        &mut self,
        session: &mut Session,
        now: Duration,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<CloseReason> {
        let mut rest = input;
        loop {
            let taken = session.handle_input(now, rest);
            rest = &rest[taken..];
            let closed = self.run(session, now, out);
            if closed.is_some() || self.started_tls || rest.is_empty() {
                return closed;
            }
            assert!(
                taken > 0 || session.input_room() > 0,
                "waits for input without room for any"
            );
        }
    }

    /// Polls until the machine waits or is closed.
    pub(crate) fn run(
        &mut self,
        session: &mut Session,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Option<CloseReason> {
        loop {
            match session.poll_output(now, out) {
                Output::Flush => {}
                Output::Wait { .. } => return None,
                Output::Close(reason) => return Some(reason),
                Output::Action(Action::StartTls) => {
                    self.started_tls = true;
                    return None;
                }
                Output::Action(action) => self.act(session, now, action, out),
            }
        }
    }

    fn act(&mut self, session: &mut Session, now: Duration, action: Action, out: &mut Vec<u8>) {
        match action {
            Action::Login(Login::Password { name, password }) => {
                let right = name == self.name && password.expose_secret() == self.password;
                self.verdict(session, now, &name, right);
            }
            Action::Login(Login::Apop { name, digest }) => {
                let right = name == self.name && digest.expose_secret() == self.digest;
                self.verdict(session, now, &name, right);
            }
            Action::Login(Login::Sasl {
                mechanism,
                initial_response,
            }) => {
                self.mechanism = mechanism;
                let line = match &initial_response {
                    Some(response) => response.expose_secret(),
                    None => b"-".as_slice(),
                };
                self.sasl(session, now, line);
            }
            Action::SaslResponse(line) => self.sasl(session, now, line.expose_secret()),
            Action::SaslCancelled => self.cancelled += 1,
            Action::Open => {
                self.opens += 1;
                match self.open {
                    Ok(()) => session.opened(now, self.opened.clone()),
                    Err(why) => session.open_refused(now, why),
                }
            }
            Action::Measure { through, mode } => self.measure(session, now, through, mode),
            Action::Retrieve { number, mode, .. } => {
                self.modes.push(mode);
                self.retrieve(session, now, number, out);
            }
            Action::Update { deleted, retrieved } => {
                self.updates.push((deleted, retrieved));
                if self.update_fails {
                    session.update_failed(now);
                } else {
                    session.updated(now);
                }
            }
            other => panic!("unexpected action {other:?}"),
        }
    }

    fn verdict(&mut self, session: &mut Session, now: Duration, name: &str, right: bool) {
        self.logins.push(name.into());
        match name {
            "outage" => session.login_refused(now, LoginRefusal::Temporary),
            "misconfigured" => session.login_refused(now, LoginRefusal::Permanent),
            "hasty" => session.login_refused(now, LoginRefusal::LoginDelay),
            _ if right => session.authenticated(now),
            _ => session.login_refused(now, LoginRefusal::Credentials),
        }
    }

    fn sasl(&mut self, session: &mut Session, now: Duration, line: &[u8]) {
        let key = (self.mechanism.clone(), line.to_vec());
        match self.sasl.get(&key).map(String::as_str) {
            None | Some("malformed") => session.login_refused(now, LoginRefusal::Malformed),
            Some("no") => session.login_refused(now, LoginRefusal::Credentials),
            Some("unavailable") => session.login_refused(now, LoginRefusal::Unavailable),
            Some("ok") => session.authenticated(now),
            Some("empty") => session.sasl_challenge(now, b""),
            Some(challenge) => session.sasl_challenge(now, challenge.as_bytes()),
        }
    }

    fn measure(
        &mut self,
        session: &mut Session,
        now: Duration,
        through: MessageNumber,
        mode: Mode,
    ) {
        assert!(
            through.get() <= self.listing.count(),
            "measures what is not there"
        );
        self.measures.push(through.get());
        self.modes.push(mode);
        if self
            .unmeasurable_from
            .is_some_and(|first| through.get() >= first)
        {
            session.measure_failed(now);
            return;
        }
        if !self.never_measured {
            self.listing
                .measured
                .fetch_max(through.get(), Ordering::Relaxed);
        }
        session.measured(now);
    }

    fn retrieve(
        &mut self,
        session: &mut Session,
        now: Duration,
        number: MessageNumber,
        out: &mut Vec<u8>,
    ) {
        let reading = self.readings.get(&number.get()).copied();
        if let Some(Reading::Refused(why)) = reading {
            session.message_refused(now, why);
            return;
        }
        let body = &self.entries[number.index()].body;
        let mut counter = WireCounter::new();
        counter.update(body);
        let measured = counter.finish();
        let mut octets = body.clone();
        let form = match reading {
            Some(Reading::Short) => {
                octets.pop();
                Form::Stored
            }
            Some(Reading::Long) => {
                octets.extend(b"x\n");
                Form::Stored
            }
            _ => measured.form,
        };
        let mut encoder = session.message_opened(now, form, measured.octets, out);
        if reading == Some(Reading::Broken) {
            let half = octets.len() / 2;
            let _ = encoder.encode(&octets[..half], out);
            session.message_broken(now);
            return;
        }
        for piece in octets.chunks(self.piece) {
            if encoder.encode(piece, out) == restante_proto::Progress::Enough {
                break;
            }
            session.progress(now);
        }
        match encoder.finish(out) {
            Ok(_) => session.message_sent(now),
            Err(_) => session.message_broken(now),
        }
    }
}
