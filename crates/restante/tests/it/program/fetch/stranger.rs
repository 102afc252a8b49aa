//! A POP3 server that is not ours and not to be trusted, for the built program: with TLS or without,
//! it notes what it hears, whether that came in the clear, and what it was told to delete.

use std::{
    collections::HashSet,
    io::{self, BufRead as _, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// How it is reached.
#[derive(Clone)]
pub(super) enum Door {
    Clear,
    Tls(Arc<ServerConfig>),
    /// STLS is offered, and carried out.
    Stls(Arc<ServerConfig>),
    /// STLS is offered; this follows its answer in the clear, in one piece with it.
    StlsThen(&'static str),
    /// STLS is offered and refused.
    StlsRefused,
}

/// Called with each command before it is answered.
pub(super) type Pause = Box<dyn Fn(&str) + Send + Sync>;

#[derive(Clone)]
pub(super) struct Stranger {
    pub(super) port: u16,
    inside: Arc<Inside>,
}

struct Inside {
    door: Door,
    pause: Pause,
    answers: Vec<(&'static str, &'static [u8])>,
    letters: Mutex<Vec<Letter>>,
    /// Commands that came in the clear, and others.
    heard: Mutex<(Vec<String>, Vec<String>)>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Letter {
    pub(super) number: usize,
    pub(super) octets: Vec<u8>,
}

trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

/// Why a conversation ended.
enum Ended {
    Gone,
    StartTls(Arc<ServerConfig>),
}

impl Stranger {
    pub(super) fn open(door: Door, letters: Vec<Letter>) -> Self {
        Self::pausing(door, letters, Box::new(|_| ()))
    }

    /// Answers lines that begin so with these octets.
    pub(super) fn answering(
        letters: Vec<Letter>,
        answers: &[(&'static str, &'static [u8])],
    ) -> Self {
        Self::with((Door::Clear, Box::new(|_| ())), letters, answers.to_vec())
    }

    pub(super) fn pausing(door: Door, letters: Vec<Letter>, pause: Pause) -> Self {
        Self::with((door, pause), letters, Vec::new())
    }

    pub(super) fn with(
        (door, pause): (Door, Pause),
        letters: Vec<Letter>,
        answers: Vec<(&'static str, &'static [u8])>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stranger = Self {
            port: listener.local_addr().unwrap().port(),
            inside: Arc::new(Inside {
                door,
                pause,
                answers,
                letters: Mutex::new(letters),
                heard: Mutex::default(),
            }),
        };
        let inside = stranger.inside.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, inside) = (stream.unwrap(), inside.clone());
                // Whoever hangs up has done so for a reason that the test knows.
                thread::spawn(move || drop(inside.serve(stream)));
            }
        });
        stranger
    }

    /// What is still there.
    pub(super) fn letters(&self) -> Vec<Letter> {
        self.inside.letters.lock().unwrap().clone()
    }

    /// Commands that anybody on the line could read.
    pub(super) fn heard_in_the_clear(&self) -> Vec<String> {
        self.inside.heard.lock().unwrap().0.clone()
    }

    pub(super) fn heard_under_tls(&self) -> Vec<String> {
        self.inside.heard.lock().unwrap().1.clone()
    }
}

impl Inside {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        if let Door::Tls(config) = &self.door {
            return self.converse_under_tls(config, stream, true);
        }
        let mut clear = stream.try_clone()?;
        match self.converse(&mut clear, true, false)? {
            Ended::Gone => Ok(()),
            Ended::StartTls(config) => self.converse_under_tls(&config, stream, false),
        }
    }

    fn converse_under_tls(
        &self,
        config: &Arc<ServerConfig>,
        stream: TcpStream,
        greets: bool,
    ) -> io::Result<()> {
        let connection = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, stream);
        self.converse(&mut stream, greets, true).map(drop)
    }

    fn converse(&self, stream: &mut dyn Stream, greets: bool, tls: bool) -> io::Result<Ended> {
        let mut stream = BufReader::new(stream);
        let listed = self.letters.lock().unwrap().clone();
        let mut marked = HashSet::new();
        if greets {
            stream.get_mut().write_all(b"+OK\r\n")?;
        }
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(Ended::Gone);
            }
            let line = line.trim_end();
            {
                let mut heard = self.heard.lock().unwrap();
                let (clear, secret) = &mut *heard;
                let heard = if tls { secret } else { clear };
                heard.push(line.to_owned());
            }
            (self.pause)(line);
            let mut answers = self.answers.iter();
            if let Some((_, answer)) = answers.find(|(word, _)| line.starts_with(word)) {
                stream.get_mut().write_all(answer)?;
                continue;
            }
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let named: Option<usize> = rest.split(' ').next().and_then(|it| it.parse().ok());
            let letter = named.and_then(|number| listed.get(number.checked_sub(1)?));
            let answer = match (word, letter) {
                ("STLS", _) => match &self.door {
                    Door::Stls(config) => {
                        stream.get_mut().write_all(b"+OK\r\n")?;
                        return Ok(Ended::StartTls(config.clone()));
                    }
                    Door::StlsThen(more) => format!("+OK\r\n{more}").into_bytes(),
                    _ => b"-ERR not now\r\n".to_vec(),
                },
                ("CAPA", _) => self.capabilities(tls).into_bytes(),
                ("UIDL", _) => listing(&listed, |letter| format!("id-{}", letter.number)),
                ("LIST", _) => listing(&listed, |letter| letter.octets.len().to_string()),
                ("RETR", Some(letter)) => multi_line(&letter.octets),
                ("TOP", Some(letter)) => multi_line(letter.header()),
                ("DELE", Some(letter)) => {
                    marked.insert(letter.number);
                    b"+OK\r\n".to_vec()
                }
                ("QUIT", _) => {
                    let mut letters = self.letters.lock().unwrap();
                    letters.retain(|letter| !marked.contains(&letter.number));
                    b"+OK\r\n".to_vec()
                }
                ("USER" | "PASS" | "STAT" | "NOOP" | "RSET", _) => b"+OK\r\n".to_vec(),
                _ => b"-ERR\r\n".to_vec(),
            };
            stream.get_mut().write_all(&answer)?;
            stream.get_mut().flush()?;
            if word == "QUIT" {
                return Ok(Ended::Gone);
            }
        }
    }

    fn capabilities(&self, tls: bool) -> String {
        let offers = matches!(
            self.door,
            Door::Stls(_) | Door::StlsThen(_) | Door::StlsRefused
        );
        let stls = if offers && !tls { "STLS\r\n" } else { "" };
        format!("+OK\r\nUSER\r\nUIDL\r\nTOP\r\nPIPELINING\r\n{stls}.\r\n")
    }
}

impl Letter {
    fn header(&self) -> &[u8] {
        let end = self.octets.windows(4).position(|it| it == b"\r\n\r\n");
        &self.octets[..end.unwrap() + 4]
    }
}

fn listing(letters: &[Letter], each: impl Fn(&Letter) -> String) -> Vec<u8> {
    let lines = letters.iter().enumerate();
    let lines = lines.map(|(index, letter)| format!("{} {}\r\n", index + 1, each(letter)));
    format!("+OK\r\n{}.\r\n", lines.collect::<String>()).into_bytes()
}

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

/// Letters that differ, of about so many octets each, with lines that every kind of place has to
/// protect.
pub(super) fn letters(count: usize, octets: usize) -> Vec<Letter> {
    let letter = |number: usize| {
        let mut text = format!(
            "Date: Thu, 26 Nov 2026 00:00:00 +0000\r\nMessage-ID: <{number}@example.com>\r\n\
             From: <a@example.com>\r\nSubject: letter {number}\r\n\r\n.\r\n..\r\nFrom me\r\n"
        );
        while text.len() < octets {
            text.push_str(&format!("line {} of letter {number}\r\n", text.len()));
        }
        let octets = text.into_bytes();
        Letter { number, octets }
    };
    (1..=count).map(letter).collect()
}
