//! A process that delivers is killed again and again.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::*;

/// Set in the process that is to be killed: the directory of its mbox, and whether it goes on.
const DIRECTORY: &str = "RESTANTE_TEST_MBOX";
/// So often at least,
const KILLS: u64 = 100;
/// and until so many messages were delivered.
const DELIVERED: usize = 100;
const KILLS_MAX: u64 = 20 * KILLS;

/// What a collector's state is to the destination: the tickets, and what was settled.
struct State {
    log: File,
    tickets: BTreeMap<usize, Ticket>,
    next: usize,
}

impl State {
    fn read(directory: &Path) -> Self {
        let path = directory.join("state");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let (mut tickets, mut next) = (BTreeMap::new(), 1);
        for line in text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
        {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number: usize = words[1].parse().unwrap();
            match words[0] {
                "ticket" => tickets.insert(number, Ticket::new(octets(words[2])).unwrap()),
                _ => tickets.remove(&number),
            };
            next = next.max(number + 1);
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        Self { log, tickets, next }
    }

    fn note(&mut self, text: &str) {
        self.log.write_all(text.as_bytes()).unwrap();
    }
}

fn octets(hex: &str) -> Vec<u8> {
    let octet = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(octet).collect()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

async fn group(mbox: &mut Mbox, state: &mut State, numbers: &[usize]) {
    let mut tickets = String::new();
    for number in numbers {
        let ticket = add(mbox, &letter(*number)).await.unwrap();
        tickets += &format!("ticket {number} {}\n", hex(ticket.octets()));
    }
    mbox.prepare().await.unwrap();
    state.note(&tickets);
    for published in mbox.publish().await {
        published.unwrap();
    }
    let settled = numbers.iter().map(|number| format!("settled {number}\n"));
    state.note(&settled.collect::<String>());
}

/// Resolves what the last process has left, then delivers groups of three.
async fn deliver_until_killed(directory: &Path, groups: usize) {
    let wait = Duration::from_secs(20);
    let mut mbox = Mbox::new(&directory.join("mail"), "work", wait).unwrap();
    let mut state = State::read(directory);
    let mut lost = Vec::new();
    for (number, ticket) in state.tickets.clone() {
        match mbox.recover(&ticket).await.unwrap() {
            Recovered::Arrived => state.note(&format!("settled {number}\n")),
            Recovered::Lost => lost.push(number),
        }
    }
    if !lost.is_empty() {
        group(&mut mbox, &mut state, &lost).await;
    }
    for _ in 0..groups {
        let first = state.next;
        group(&mut mbox, &mut state, &[first, first + 1, first + 2]).await;
        state.next += 3;
    }
}

#[test]
fn killed_at_any_point_nothing_is_lost_and_nothing_comes_twice() {
    if let Some(directory) = env::var_os(DIRECTORY) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let groups = env::var("RESTANTE_TEST_GROUPS").unwrap().parse().unwrap();
        return runtime.block_on(deliver_until_killed(Path::new(&directory), groups));
    }
    let place = Place::new();
    let child = |groups: usize| {
        let name = "destination::mbox::tests::killed::\
            killed_at_any_point_nothing_is_lost_and_nothing_comes_twice";
        Command::new(env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(DIRECTORY, place.directory.path())
            .env("RESTANTE_TEST_GROUPS", groups.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    // A machine that is busy takes longer for everything.
    let begun = Instant::now();
    assert!(child(1).wait().unwrap().success());
    let spread = (2 * begun.elapsed()).max(Duration::from_millis(40));
    let delivered = || State::read(place.directory.path()).next - 1;
    let mut rounds = 0..KILLS_MAX;
    // A machine that is busy kills more of them before they have done anything.
    while rounds.start < KILLS || delivered() < DELIVERED {
        let round = rounds.next().expect("something is delivered in time");
        let mut process = child(100_000);
        // Spread over the start, the recovery and some groups.
        let part = ((round * 7_919) % 1_000) as f64 / 1_000.0;
        thread::sleep(Duration::from_millis(3) + spread.mul_f64(part));
        process.kill().unwrap();
        process.wait().unwrap();
    }
    assert!(child(1).wait().unwrap().success());
    let state = State::read(place.directory.path());
    assert!(state.tickets.is_empty());
    let mut found = split(&place.content());
    found.sort();
    let mut expected: Vec<String> = (1..state.next).map(stored).collect();
    expected.sort();
    assert!(found == expected, "{} for {}", found.len(), expected.len());
    assert_eq!(place.litter(), ["state"]);
}
