//! A slow line: octets take their time, and only so many fit through it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How much is on the line at most, in one direction: what 50 Mbit/s and 100 ms hold.
const UNDER_WAY_MAX: u64 = 640_000;
const PIECE_OCTETS: usize = 8192;

/// A line to a server; each connection has one of its own.
pub(super) struct Line {
    pub(super) address: SocketAddr,
    meter: Arc<Meter>,
}

/// What went over a line.
pub(super) struct Traffic {
    /// How often the client spoke when nothing of the server was under way to it, and the server had
    /// spoken since: each costs a round trip.
    pub(super) turns: u64,
    pub(super) octets_up: u64,
}

#[derive(Default)]
struct Meter {
    turns: AtomicU64,
    up: AtomicU64,
    under_way_up: AtomicU64,
    under_way_down: AtomicU64,
    server_spoke: AtomicBool,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Direction {
    Up,
    Down,
}

struct Piece {
    arrives: Instant,
    octets: Vec<u8>,
}

impl Line {
    pub(super) fn to(server: SocketAddr, round_trip: Duration, bits_per_second: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let meter = Arc::new(Meter::default());
        let kept = meter.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, meter) = (client.unwrap(), kept.clone());
                thread::spawn(move || connect(client, server, round_trip, bits_per_second, &meter));
            }
        });
        Self { address, meter }
    }

    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            turns: self.meter.turns.load(SeqCst),
            octets_up: self.meter.up.load(SeqCst),
        }
    }
}

fn connect(
    client: TcpStream,
    server: SocketAddr,
    round_trip: Duration,
    bits_per_second: u64,
    meter: &Arc<Meter>,
) {
    // What the handshake of TCP would take: a round trip, and half of one until the server knows.
    thread::sleep(round_trip + round_trip / 2);
    let server = TcpStream::connect(server).unwrap();
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
    }
    let ways = [
        (
            Direction::Up,
            client.try_clone().unwrap(),
            server.try_clone().unwrap(),
        ),
        (Direction::Down, server, client),
    ];
    for (direction, from, to) in ways {
        let (sender, receiver) = channel();
        let (reading, writing) = (meter.clone(), meter.clone());
        let delay = round_trip / 2;
        thread::spawn(move || read(direction, from, &sender, delay, bits_per_second, &reading));
        thread::spawn(move || write(direction, to, &receiver, &writing));
    }
}

fn read(
    direction: Direction,
    mut from: TcpStream,
    to: &Sender<Piece>,
    delay: Duration,
    bits_per_second: u64,
    meter: &Meter,
) {
    let mut departed = Instant::now();
    let mut room = [0; PIECE_OCTETS];
    loop {
        while meter.under_way(direction).load(SeqCst) >= UNDER_WAY_MAX {
            thread::sleep(Duration::from_millis(1));
        }
        let octets = match from.read(&mut room) {
            Ok(0) | Err(_) => return,
            Ok(read) => room[..read].to_vec(),
        };
        let count = octets.len() as u64;
        if direction == Direction::Up {
            meter.up.fetch_add(count, SeqCst);
            let quiet = meter.under_way_down.load(SeqCst) == 0;
            if quiet && meter.server_spoke.swap(false, SeqCst) {
                meter.turns.fetch_add(1, SeqCst);
            }
        }
        meter.under_way(direction).fetch_add(count, SeqCst);
        let takes = Duration::from_nanos(count * 8 * 1_000_000_000 / bits_per_second);
        departed = departed.max(Instant::now()) + takes;
        let piece = Piece {
            arrives: departed + delay,
            octets,
        };
        if to.send(piece).is_err() {
            return;
        }
    }
}

fn write(direction: Direction, mut to: TcpStream, from: &Receiver<Piece>, meter: &Meter) {
    for piece in from {
        thread::sleep(piece.arrives.saturating_duration_since(Instant::now()));
        // Before it is there: the client may answer at once.
        meter
            .under_way(direction)
            .fetch_sub(piece.octets.len() as u64, SeqCst);
        if direction == Direction::Down {
            meter.server_spoke.store(true, SeqCst);
        }
        if to.write_all(&piece.octets).is_err() {
            return;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

impl Meter {
    fn under_way(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::Up => &self.under_way_up,
            Direction::Down => &self.under_way_down,
        }
    }
}
