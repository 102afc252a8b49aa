//! A post office: a POP3 server with a mailbox in memory, that can do everything wrong.
//!
//! It is not ours: it shares no code with what it tests, and keeps book of what was fetched, so
//! that a test can tell a message that was deleted unread.

use std::{
    collections::{HashSet, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// One message of the mailbox.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Letter {
    pub(crate) unique_id: String,
    pub(crate) octets: Vec<u8>,
}

/// What the office does otherwise than it should.
#[derive(Clone, Debug, Default)]
pub(crate) struct Habits {
    /// It does not announce PIPELINING.
    pub(crate) no_pipelining: bool,
    /// Every connection breaks after so many octets of answers, politely or not.
    pub(crate) cut_after: Option<usize>,
    /// The listings say another size.
    pub(crate) listed_octets: Option<fn(usize) -> String>,
    /// Commands that are answered otherwise: the line's beginning, and the answer. `None`: the
    /// connection closes.
    pub(crate) answers: Vec<(String, Option<Vec<u8>>)>,
    /// TOP is unknown.
    pub(crate) no_top: bool,
    /// UIDL is unknown.
    pub(crate) no_uidl: bool,
    /// TOP sends another line in the header.
    pub(crate) other_top: bool,
    /// So many messages are listed in one session.
    pub(crate) part: Option<usize>,
    /// What was deleted is kept all the same.
    pub(crate) forgetful: bool,
    /// It announces more than else.
    pub(crate) more_capabilities: &'static str,
    /// QUIT is answered only so.
    pub(crate) quit: Option<String>,
    /// A message is sent when so many later ones were asked for, or all.
    pub(crate) lag: usize,
    /// DELE is answered when QUIT was asked for, and the last message is sent when DELE was.
    pub(crate) withholds_deletions: bool,
    /// Only so many sessions may log in.
    pub(crate) logins: Option<usize>,
    /// Answers come in pieces of so many octets, with such a pause before each.
    pub(crate) drip: Option<(usize, Duration)>,
}

#[derive(Debug, Default)]
struct Inside {
    letters: Vec<Letter>,
    habits: Habits,
    /// Octets of letters that were sent whole.
    fetched: HashSet<Vec<u8>>,
    /// Letters that were removed though nobody has ever fetched them.
    removed_unread: Vec<Letter>,
    /// Commands in their order.
    heard: Vec<String>,
    sessions: usize,
    /// How many octets each answer of each session had.
    answers: Vec<Vec<usize>>,
}

/// The office.
#[derive(Clone, Debug)]
pub(crate) struct Office {
    pub(crate) address: SocketAddr,
    inside: Arc<Mutex<Inside>>,
}

impl Office {
    /// Opens it with these letters.
    pub(crate) async fn open(letters: Vec<Letter>, habits: Habits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let inside = Inside {
            letters,
            habits,
            ..Inside::default()
        };
        let office = Self {
            address: listener.local_addr().expect("an address"),
            inside: Arc::new(Mutex::new(inside)),
        };
        let counter = office.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let office = counter.clone();
                tokio::spawn(async move { office.serve(stream).await });
            }
        });
        office
    }

    fn with<T>(&self, look: impl FnOnce(&mut Inside) -> T) -> T {
        look(&mut self.inside.lock().expect("no test panics inside"))
    }

    pub(crate) fn habits(&self, change: impl FnOnce(&mut Habits)) {
        self.with(|it| change(&mut it.habits));
    }

    pub(crate) fn letters(&self) -> Vec<Letter> {
        self.with(|it| it.letters.clone())
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Vec<Letter>)) {
        self.with(|it| change(&mut it.letters));
    }

    pub(crate) fn removed_unread(&self) -> Vec<Letter> {
        self.with(|it| it.removed_unread.clone())
    }

    /// What it has heard since it was asked last, but the login.
    pub(crate) fn heard(&self) -> Vec<String> {
        let heard = self.with(|it| std::mem::take(&mut it.heard));
        let login = ["CAPA", "USER", "PASS", "UTF8"];
        let other = |line: &String| !login.iter().any(|word| line.starts_with(word));
        heard.into_iter().filter(other).collect()
    }

    pub(crate) fn count(&self, word: &str) -> usize {
        let starts = |line: &&String| line.starts_with(word);
        self.with(|it| it.heard.iter().filter(starts).count())
    }

    pub(crate) fn sessions(&self) -> usize {
        self.with(|it| it.sessions)
    }

    /// Where the answers of the longest session could be torn: before, within and behind each.
    pub(crate) fn tears(&self) -> Vec<usize> {
        let mut tears = vec![0];
        let mut start = 0;
        let longest = self.with(|it| it.answers.iter().max_by_key(|it| it.len()).cloned());
        for octets in longest.unwrap_or_default() {
            let end = start + octets;
            tears.extend([start + 1, start + octets / 2, end - 1, end]);
            start = end;
        }
        tears.sort_unstable();
        tears.dedup();
        tears
    }

    fn answered(&self, octets: usize) {
        self.with(|it| it.answers.last_mut().expect("a session").push(octets));
    }

    async fn serve(self, stream: TcpStream) {
        self.with(|it| {
            it.sessions += 1;
            it.answers.push(Vec::new());
        });
        let habits = self.with(|it| it.habits.clone());
        let (read, write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        let mut mouth = Mouth {
            write,
            left: habits.cut_after,
            drip: habits.drip,
        };
        let mut session = Session {
            letters: Vec::new(),
            marked: HashSet::new(),
        };
        let greeting = b"+OK ready\r\n";
        self.answered(greeting.len());
        if !mouth.say(greeting).await {
            return;
        }
        let mut waiting = VecDeque::new();
        while let Ok(Some(line)) = lines.next_line().await {
            self.with(|it| it.heard.push(line.clone()));
            waiting.push_back(line);
            while let Some(line) = waiting.pop_front_if(|line| !self.lags(&habits, line)) {
                if !self.reply(&line, &mut session, &habits, &mut mouth).await {
                    return;
                }
            }
        }
    }

    /// Whether it waits for more.
    fn lags(&self, habits: &Habits, line: &str) -> bool {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let number = || rest.parse::<usize>().expect("a number");
        self.with(|it| {
            let heard = |beginning: &str| it.heard.iter().any(|it| it.starts_with(beginning));
            let last = it.letters.len();
            match word {
                "DELE" if habits.withholds_deletions => !heard("QUIT"),
                "RETR" if habits.withholds_deletions => number() == last && !heard("DELE"),
                "RETR" if habits.lag > 0 => {
                    let later = last.min(number() + habits.lag);
                    !it.heard.contains(&format!("RETR {later}"))
                }
                _ => false,
            }
        })
    }

    /// Whether the session goes on.
    async fn reply(
        &self,
        line: &str,
        session: &mut Session,
        habits: &Habits,
        mouth: &mut Mouth,
    ) -> bool {
        if line == "UIDL" {
            let part = habits.part.unwrap_or(usize::MAX);
            session.letters = self.with(|it| it.letters.iter().take(part).cloned().collect());
        }
        let too_many = habits.logins.is_some_and(|most| self.sessions() > most);
        if too_many && line.starts_with("PASS") {
            return mouth.say(b"-ERR too often\r\n").await;
        }
        let other = habits
            .answers
            .iter()
            .find(|(word, _)| line.starts_with(word));
        if let Some((_, answer)) = other {
            return match answer {
                Some(answer) => mouth.say(answer).await,
                None => false,
            };
        }
        let answer = session.answer(line, habits);
        self.answered(answer.len());
        if line == "QUIT" {
            // What is marked goes before the answer, as with many servers.
            self.remove(session, habits);
            mouth.say(&answer).await;
            return false;
        }
        if !mouth.say(&answer).await {
            return false;
        }
        let retrieved = line.strip_prefix("RETR ");
        if let Some(letter) = retrieved.and_then(|number| session.letter(number)) {
            self.with(|it| it.fetched.insert(letter.octets.clone()));
        }
        true
    }

    fn remove(&self, session: &Session, habits: &Habits) {
        self.with(|it| {
            for index in &session.marked {
                let Some(letter) = session.letters.get(*index) else {
                    continue;
                };
                if !it.fetched.contains(&letter.octets) {
                    it.removed_unread.push(letter.clone());
                }
                if !habits.forgetful
                    && let Some(at) = it.letters.iter().position(|other| other == letter)
                {
                    it.letters.remove(at);
                }
            }
        });
    }
}

struct Session {
    letters: Vec<Letter>,
    marked: HashSet<usize>,
}

impl Session {
    fn letter(&self, number: &str) -> Option<&Letter> {
        let number: usize = number.parse().ok()?;
        self.letters.get(number.checked_sub(1)?)
    }

    fn answer(&mut self, line: &str, habits: &Habits) -> Vec<u8> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let ok = b"+OK\r\n".to_vec();
        match word {
            "CAPA" => {
                let pipelining = if habits.no_pipelining {
                    ""
                } else {
                    "PIPELINING\r\n"
                };
                let top = if habits.no_top { "" } else { "TOP\r\n" };
                let uidl = if habits.no_uidl { "" } else { "UIDL\r\n" };
                let more = habits.more_capabilities;
                format!("+OK\r\nUSER\r\n{uidl}{top}{pipelining}{more}.\r\n").into_bytes()
            }
            "UIDL" if habits.no_uidl => b"-ERR unknown\r\n".to_vec(),
            "TOP" if habits.no_top => b"-ERR unknown\r\n".to_vec(),
            "UIDL" => self.listing(|letter| letter.unique_id.clone()),
            "LIST" => {
                let octets = habits.listed_octets.unwrap_or(|octets| octets.to_string());
                self.listing(|letter| octets(letter.octets.len()))
            }
            "RETR" => match self.letter(rest) {
                Some(letter) => multi_line(&letter.octets),
                None => b"-ERR no such message\r\n".to_vec(),
            },
            "TOP" => match rest
                .split(' ')
                .next()
                .and_then(|number| self.letter(number))
            {
                Some(letter) => {
                    let mut header = header(&letter.octets).to_vec();
                    if habits.other_top {
                        header.splice(..0, b"X-Top: 1\r\n".to_vec());
                    }
                    header.extend_from_slice(b"\r\n");
                    multi_line(&header)
                }
                None => b"-ERR no such message\r\n".to_vec(),
            },
            "DELE" => {
                let number: usize = rest.parse().unwrap_or_default();
                self.marked.insert(number.wrapping_sub(1));
                ok
            }
            "QUIT" => match &habits.quit {
                Some(answer) => format!("{answer}\r\n").into_bytes(),
                None => ok,
            },
            "UTF8" => b"-ERR unknown\r\n".to_vec(),
            _ => ok,
        }
    }

    fn listing(&self, each: impl Fn(&Letter) -> String) -> Vec<u8> {
        let mut text = "+OK\r\n".to_owned();
        for (index, letter) in self.letters.iter().enumerate() {
            if !self.marked.contains(&index) {
                text.push_str(&format!("{} {}\r\n", index + 1, each(letter)));
            }
        }
        text.push_str(".\r\n");
        text.into_bytes()
    }
}

/// Says things, until the connection breaks.
struct Mouth {
    write: tokio::net::tcp::OwnedWriteHalf,
    left: Option<usize>,
    drip: Option<(usize, Duration)>,
}

impl Mouth {
    async fn say(&mut self, octets: &[u8]) -> bool {
        let said = match &mut self.left {
            None => octets,
            Some(left) => {
                let said = octets.get(..*left).unwrap_or(octets);
                *left -= said.len();
                said
            }
        };
        let (piece, pause) = self.drip.unwrap_or((said.len().max(1), Duration::ZERO));
        for piece in said.chunks(piece) {
            if self.drip.is_some() {
                sleep(pause).await;
            }
            if self.write.write_all(piece).await.is_err() {
                return false;
            }
        }
        said.len() == octets.len()
    }
}

fn header(octets: &[u8]) -> &[u8] {
    let end = octets.windows(4).position(|it| it == b"\r\n\r\n");
    end.map_or(octets, |end| &octets[..end + 2])
}

/// With byte-stuffing, by hand.
fn multi_line(octets: &[u8]) -> Vec<u8> {
    let mut out = b"+OK\r\n".to_vec();
    for line in octets.split_inclusive(|&octet| octet == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    out.extend_from_slice(b".\r\n");
    out
}

/// Letters that differ, of about so many octets each.
pub(crate) fn letters(count: usize, octets: usize) -> Vec<Letter> {
    (1..=count).map(|number| letter(number, octets)).collect()
}

pub(crate) fn letter(number: usize, octets: usize) -> Letter {
    let mut text = format!(
        "Date: Thu, 26 Nov 2026 00:00:00 +0000\r\nMessage-ID: <{number}@example.com>\r\n\
         From: <a@example.com>\r\nSubject: letter {number}\r\n\r\n"
    );
    while text.len() < octets {
        text.push_str(&format!(".line {} of letter {number}\r\n", text.len()));
    }
    Letter {
        unique_id: format!("id-{number}"),
        octets: text.into_bytes(),
    }
}

/// As long as a test waits for a server that says nothing.
pub(crate) const PATIENCE: Duration = Duration::from_millis(1500);
