//! How often a run waits for the line.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use restante_fetch::Keep;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc::unbounded_channel,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    collecting::Person,
    office::{Habits, Office, letters},
};

/// Long beside all that is done here between two turns.
const DELAY: Duration = Duration::from_millis(400);

/// For what takes a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is on a line, and how often the client spoke when nothing of the server was, though it had
/// spoken since.
#[derive(Debug, Default)]
struct Meter {
    turns: usize,
    under_way: usize,
    server_spoke: bool,
}

/// A line to the office, on which octets take their time.
async fn line(office: &Office) -> (SocketAddr, Arc<Mutex<Meter>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let meter = Arc::new(Mutex::new(Meter::default()));
    let (kept, server) = (meter.clone(), office.address);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(server).await.expect("the office");
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::spawn(carry(from_client, to_server, kept.clone(), Meter::up));
            tokio::spawn(carry(from_server, to_client, kept.clone(), Meter::down));
        }
    });
    (address, meter)
}

impl Meter {
    /// Octets set out, or have arrived.
    fn up(&mut self, sets_out: bool) {
        if sets_out && self.under_way == 0 && self.server_spoke {
            self.server_spoke = false;
            self.turns += 1;
        }
    }

    fn down(&mut self, sets_out: bool) {
        match sets_out {
            true => self.under_way += 1,
            false => {
                self.under_way -= 1;
                self.server_spoke = true;
            }
        }
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    meter: Arc<Mutex<Meter>>,
    note: fn(&mut Meter, bool),
) {
    let (sender, mut receiver) = unbounded_channel::<(Instant, Vec<u8>)>();
    let noted = meter.clone();
    let arriving = tokio::spawn(async move {
        while let Some((at, octets)) = receiver.recv().await {
            sleep_until(at).await;
            note(&mut noted.lock().expect("nobody panics here"), false);
            if to.write_all(&octets).await.is_err() {
                return;
            }
        }
    });
    let mut room = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut room).await {
        note(&mut meter.lock().expect("nobody panics here"), true);
        let _ = sender.send((Instant::now() + DELAY / 2, room[..count].to_vec()));
    }
    drop(sender);
    let _ = arriving.await;
}

/// CAPA, USER, PASS, UIDL with LIST, RETR, DELE with QUIT.
const LEAST: usize = 6;

// PRJ-FETCH-11
#[tokio::test(flavor = "multi_thread")]
async fn prj_fetch_11_a_run_waits_for_the_line_as_seldom_as_can_be() {
    // CAPA after login rides with the listing; a session that finds little is the only one.
    for more_capabilities in ["", "EXPIRE 30 USER\r\n"] {
        let habits = Habits {
            more_capabilities,
            ..Habits::default()
        };
        let all = letters(40, 500);
        let office = Office::open(all.clone(), habits).await;
        let (address, meter) = line(&office).await;
        let mut person = Person::new(&office, Keep::Delete);
        person.account.server.port = address.port();
        let report = person.collect().await;
        assert!(report.trouble.is_none(), "{report:?}");
        assert_eq!((report.sessions, report.deleted), (1, 40));
        person.assert_has(&all);
        let turns = meter.lock().expect("nobody panics here").turns;
        assert_eq!(turns, LEAST, "announced: {more_capabilities:?}");
    }
}

// PRJ-FETCH-11
#[tokio::test(flavor = "multi_thread")]
async fn prj_fetch_11_deleting_never_takes_the_place_of_later_mail() {
    // A line that holds 500 messages: if fewer are asked for, it is idle, and this one waits for
    // ever.
    let habits = Habits {
        lag: 500,
        ..Habits::default()
    };
    let all = letters(3000, 100);
    let office = Office::open(all.clone(), habits).await;
    let person = Person::new(&office, Keep::Delete);
    let report = timeout(PATIENCE, person.collect())
        .await
        .expect("it asks for mail as it comes");
    assert!(report.trouble.is_none(), "{report:?}");
    assert_eq!((report.sessions, report.deleted), (1, 3000));
    person.assert_has(&all);
}

// PRJ-FETCH-11
#[tokio::test(flavor = "multi_thread")]
async fn prj_fetch_11_the_last_mail_is_made_safe_while_answers_are_on_their_way() {
    let habits = Habits {
        withholds_deletions: true,
        ..Habits::default()
    };
    // A group that nobody asks to be made safe waits for a second.
    let mut at_once = false;
    for _ in 0..10 {
        let office = Office::open(letters(300, 100), habits.clone()).await;
        let person = Person::new(&office, Keep::Delete);
        let began = Instant::now();
        let report = timeout(PATIENCE, person.collect())
            .await
            .expect("it waits for no answer to DELE");
        assert!(report.trouble.is_none(), "{report:?}");
        assert_eq!(report.deleted, 300);
        at_once = began.elapsed() < Duration::from_secs(1);
        if at_once {
            break;
        }
    }
    assert!(at_once);
}
