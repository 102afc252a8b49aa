//! A POP3 server of the test's own that lies where it is told to, and notes what it hears.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::corpus::Letter;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Lie {
    None,
    /// Takes its time for every command.
    Slow,
    NoUidl,
    /// LIST has a message that UIDL has not.
    Uneven,
    /// UIDL says something else when it is asked again.
    Changes,
    /// The sizes and numbers are right, the messages are others.
    OtherMail,
    /// Closes when it is asked for a message.
    Silence,
    InUse,
    /// The listing has lines that are none.
    Garbage,
    /// Two messages have the same unique-id.
    Repeats,
    OverLong,
    /// Unique-ids that are commands to terminals.
    Escapes,
    RefusesTop,
    RefusesAll,
    /// The first two messages have changed places, numbers and sizes being what they were.
    Swaps,
}

pub(super) struct Liar {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

struct Shared {
    messages: Vec<Vec<u8>>,
    lie: Lie,
    heard: Mutex<Vec<String>>,
    closed: AtomicBool,
    open: AtomicUsize,
    at_once: AtomicUsize,
}

impl Liar {
    pub(super) fn start(letters: &[Letter], lie: Lie) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut messages: Vec<Vec<u8>> = letters.iter().map(|letter| letter.wire.clone()).collect();
        if lie == Lie::Swaps {
            messages.swap(0, 1);
        }
        if lie == Lie::OtherMail {
            for message in &mut messages {
                message.make_ascii_uppercase();
            }
        }
        let shared = Arc::new(Shared {
            messages,
            lie,
            heard: Mutex::default(),
            closed: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
        });
        let listening = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for client in listener.incoming() {
                    if shared.closed.load(Ordering::SeqCst) {
                        return;
                    }
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || {
                        let open = shared.open.fetch_add(1, Ordering::SeqCst) + 1;
                        shared.at_once.fetch_max(open, Ordering::SeqCst);
                        let _ = client.and_then(|client| shared.serve(&client));
                        shared.open.fetch_sub(1, Ordering::SeqCst);
                    });
                }
            }
        });
        Self {
            address,
            shared,
            listening: Some(listening),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every command until now.
    pub(super) fn heard(&self) -> Vec<String> {
        self.shared.heard.lock().unwrap().clone()
    }

    /// How many sessions there were at the same time, at most.
    pub(super) fn at_once(&self) -> usize {
        self.shared.at_once.load(Ordering::SeqCst)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = self.listening.take().map(JoinHandle::join);
    }
}

impl Shared {
    fn serve(&self, mut client: &TcpStream) -> std::io::Result<()> {
        client.write_all(b"+OK\r\n")?;
        let mut listings = 0;
        for line in BufReader::new(client).lines() {
            let line = line?;
            self.heard.lock().unwrap().push(line.clone());
            if self.lie == Lie::Slow {
                thread::sleep(Duration::from_millis(5));
            }
            let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let number: usize = rest.split(' ').next().unwrap().parse().unwrap_or_default();
            match (word, self.lie) {
                ("PASS", Lie::InUse) => client.write_all(b"-ERR [IN-USE] later\r\n")?,
                ("UIDL", Lie::NoUidl) | ("TOP", Lie::RefusesTop | Lie::RefusesAll) => {
                    client.write_all(b"-ERR\r\n")?;
                }
                ("RETR", Lie::RefusesAll) => client.write_all(b"-ERR\r\n")?,
                ("TOP", Lie::Silence) => return Ok(()),
                ("UIDL", _) => {
                    listings += 1;
                    client.write_all(self.unique_ids(listings).as_bytes())?;
                }
                ("LIST", _) => client.write_all(self.sizes().as_bytes())?,
                ("TOP" | "RETR", _) => client.write_all(&self.message(number, word == "TOP"))?,
                ("CAPA", _) => client.write_all(b"-ERR\r\n")?,
                ("QUIT", _) => return client.write_all(b"+OK\r\n"),
                _ => client.write_all(b"+OK\r\n")?,
            }
        }
        Ok(())
    }

    fn unique_ids(&self, listings: usize) -> String {
        let mut text = String::from("+OK\r\n");
        for number in 1..=self.messages.len() {
            let id = match self.lie {
                Lie::Repeats if number <= 2 => "same".to_owned(),
                Lie::OverLong => format!("{number}{}", "x".repeat(99)),
                Lie::Escapes => format!("\u{1b}]0;{number}\u{7}"),
                Lie::Changes if listings > 1 => format!("later-{number}"),
                _ => format!("id-{number}"),
            };
            if !(self.lie == Lie::Uneven && number == 3) {
                text += &format!("{number} {id}\r\n");
            }
        }
        if self.lie == Lie::Garbage {
            text += "many\u{1b} more\r\n";
        }
        text + ".\r\n"
    }

    fn sizes(&self) -> String {
        let mut text = String::from("+OK\r\n");
        for (number, message) in (1..).zip(&self.messages) {
            text += &format!("{number} {}\r\n", message.len());
        }
        text + ".\r\n"
    }

    fn message(&self, number: usize, is_top: bool) -> Vec<u8> {
        let mut text = b"+OK\r\n".to_vec();
        let message = &self.messages[number - 1];
        for line in message.split_inclusive(|&octet| octet == b'\n') {
            if is_top && line == b"\r\n" {
                break;
            }
            if line.starts_with(b".") {
                text.push(b'.');
            }
            text.extend_from_slice(line);
        }
        text.extend_from_slice(if is_top { b"\r\n.\r\n" } else { b".\r\n" });
        text
    }
}
