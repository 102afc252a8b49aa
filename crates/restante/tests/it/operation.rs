//! A server in service: reloaded, drained and restarted while real programs fetch mail.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    corpus::{Letter, large},
    server::{PASSWORD, Server, Site, USER},
    wire::{Wire, status},
};

const LIMIT: Duration = Duration::from_secs(60);

/// Whoever reads without deleting needs a mailbox of their own.
const READER: &str = "second@example.com";

/// What systemd does for a service: holds its socket, starts it, stops it.
struct Supervisor {
    site: Arc<Site>,
    socket: TcpListener,
    service: Child,
}

impl Supervisor {
    fn start(site: Arc<Site>) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let service = launch(&site, &socket);
        Self {
            site,
            socket,
            service,
        }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.service), signal).unwrap();
    }

    /// Stops the service, waits for its end, and starts the next.
    fn restart(&mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.service.wait().unwrap().code(), Some(0));
        self.service = launch(&self.site, &self.socket);
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // An error says that it has ended already.
        let _ = self.service.kill();
        let _ = self.service.wait();
    }
}

/// Starts the program with the socket as systemd passes it: descriptor 3, and whose it is.
fn launch(site: &Site, socket: &TcpListener) -> Child {
    const PASS: &str = "exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; \
                        export LISTEN_FDNAMES=pop3; exec \"$@\"";
    let program = site.program(&["serve", "--quiet"]);
    Command::new("sh")
        .args(["-c", PASS, "sh"])
        .arg(program.get_program())
        .args(program.get_args())
        .stdin(Stdio::from(OwnedFd::from(socket.try_clone().unwrap())))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// A program that runs again and again, each time to its end and well.
struct Load {
    runs: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Load {
    fn of(run: impl Fn() + Send + 'static) -> Self {
        let (runs, stop) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (counted, stopped) = (Arc::clone(&runs), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                run();
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { runs, stop, thread }
    }

    /// Waits until the program has begun and ended so many times from now on.
    fn wait_for_runs(&self, count: usize) {
        // The one that is running now began before.
        let wanted = self.runs.load(Ordering::SeqCst) + count + 1;
        let deadline = Instant::now() + LIMIT;
        while self.runs.load(Ordering::SeqCst) < wanted && !self.thread.is_finished() {
            assert!(Instant::now() < deadline, "the program hangs");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it; a run that failed fails the test.
    fn ended(self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
        self.runs.load(Ordering::SeqCst)
    }
}

/// mpop, fetching and deleting what is there, with STLS.
fn mpop(site: &Arc<Site>, address: SocketAddr) -> Load {
    let fetched = site.path().join("fetched");
    for folder in ["cur", "new", "tmp"] {
        fs::create_dir_all(fetched.join(folder)).unwrap();
    }
    let settings = format!(
        "account default\nhost 127.0.0.1\nport {}\nuser {USER}\npassword \"{PASSWORD}\"\n\
         auth on\ntls on\ntls_starttls on\ntls_trust_file {}\ndelivery maildir {}\n\
         uidls_file {}\nreceived_header off\nkeep off\n",
        address.port(),
        site.authority().display(),
        fetched.display(),
        site.path().join("mpop.uidls").display(),
    );
    let file = site.path().join("mpoprc");
    fs::write(&file, settings).unwrap();
    let mode = Command::new("chmod").arg("600").arg(&file).status();
    assert!(mode.unwrap().success());
    Load::of(move || {
        let ran = Command::new("mpop")
            .arg("--quiet")
            .arg("--file")
            .arg(&file)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{ran:?}");
    })
}

/// curl, retrieving the one message of another mailbox over and over.
fn curl(address: SocketAddr, expected: Vec<u8>) -> Load {
    let url = format!("pop3://{address}/1");
    let user = format!("{READER}:{PASSWORD}");
    Load::of(move || {
        let ran = Command::new("curl")
            .args(["-q", "--silent", "--show-error", "--user", &user, &url])
            .output()
            .unwrap();
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
        assert!(ran.stdout == expected, "not the message");
    })
}

/// Puts a letter into the mailbox as a mail server does.
fn deliver(site: &Site, number: usize) {
    let name = format!("1800000000.M{number}P9.post.example");
    let written = site.maildir().join("tmp").join(&name);
    fs::write(
        &written,
        format!("Subject: {number}\n\nThe letter number {number}.\n"),
    )
    .unwrap();
    fs::rename(written, site.maildir().join("new").join(name)).unwrap();
}

/// How often each letter was fetched.
fn fetched(site: &Site) -> BTreeMap<usize, usize> {
    let mut letters = BTreeMap::new();
    for entry in fs::read_dir(site.path().join("fetched/new")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let subject = text.lines().find_map(|line| line.strip_prefix("Subject: "));
        *letters
            .entry(subject.unwrap().parse().unwrap())
            .or_default() += 1;
    }
    letters
}

#[test]
fn e2e_reload_drain_and_restart_under_load_fail_nothing_and_repeat_nothing() {
    let site = Arc::new(Site::new(&[]));
    let stored = format!("{{PLAIN}}{PASSWORD}");
    site.write_accounts(&[(USER, &stored), (READER, &stored)]);
    let letter = Letter::new("large", large(1 << 20));
    crate::corpus::write_maildir(&site.maildir_of(READER), std::slice::from_ref(&letter));
    let configuration = fs::read_to_string(site.configuration()).unwrap();

    let mut supervisor = Supervisor::start(Arc::clone(&site));
    let mpop = mpop(&site, supervisor.address());
    let curl = curl(supervisor.address(), letter.wire);
    // A signal before the program catches signals would end it.
    mpop.wait_for_runs(1);
    let mut delivered = 0;
    for round in 0..8 {
        for _ in 0..10 {
            deliver(&site, delivered);
            delivered += 1;
        }
        match round % 2 {
            0 => {
                let limits = format!("[limits]\nconnections = {}\n", 100 + round);
                fs::write(site.configuration(), format!("{configuration}{limits}")).unwrap();
                supervisor.signal(Signal::HUP);
            }
            _ => supervisor.restart(),
        }
        // Whatever goes wrong must have its chance.
        mpop.wait_for_runs(2);
        curl.wait_for_runs(2);
    }
    let runs = mpop.ended() + curl.ended();
    assert!(runs > 40, "{runs}");
    let expected: BTreeMap<usize, usize> = (0..delivered).map(|number| (number, 1)).collect();
    assert_eq!(fetched(&site), expected);
    assert!(site.message_files().is_empty(), "deleted");
}

#[test]
fn e2e_the_pages_are_read_by_curl_while_the_sandbox_stands() {
    let address = free_port();
    let tables = format!("[http]\nlisten = [\"{address}\"]\n");
    let site = Site::new(&[]);
    let configuration = fs::read_to_string(site.configuration()).unwrap();
    fs::write(site.configuration(), configuration + &tables).unwrap();
    let server = Server::at(site);
    assert!(server.log().contains("sandbox entered"), "{}", server.log());
    let mut wire = Wire::plain(&server).logged_in();
    for (page, expected) in [
        ("readyz", "ready\n"),
        ("healthz", "alive\n"),
        ("metrics", "restante_logins_total{result=\"accepted\"} 1\n"),
    ] {
        let ran = Command::new("curl")
            .args([
                "-q",
                "--silent",
                "--fail",
                &format!("http://{address}/{page}"),
            ])
            .output()
            .unwrap();
        let shown = String::from_utf8(ran.stdout).unwrap();
        assert!(shown.contains(expected), "{page}: {shown}");
    }
    assert_eq!(status(&wire.command("QUIT")), "+OK");
    assert_eq!(server.stop().1.code(), Some(0));
}

/// A port that is free, for those who have to be told one.
fn free_port() -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

#[test]
fn e2e_systemd_passes_a_socket_of_each_kind() {
    let site = Site::new(&[]);
    let (plain, tls) = (free_port(), free_port());
    let program = site.program(&["serve"]);
    // It waits for the first connection and then becomes the program.
    let mut child = Command::new("systemd-socket-activate")
        .args(["-l", &plain.to_string(), "-l", &tls.to_string()])
        .arg("--fdname=pop3:pop3s")
        .arg(program.get_program())
        .args(program.get_args())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("systemd-socket-activate: {error}"));
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    while !said.next().unwrap().unwrap().contains(&tls.to_string()) {}
    let mut wire = Wire::unread(plain);
    assert_eq!(status(&wire.line()), "+OK");
    let mut over_tls = Wire::unread(tls).shake_hands(&site);
    assert_eq!(status(&over_tls.line()), "+OK");
    let mut wire = wire.logged_in();
    assert_eq!(status(&wire.command("QUIT")), "+OK");
    drop(over_tls);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let log: Vec<String> = said.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{log:?}");
    assert!(log.iter().any(|line| line == "ready"), "{log:?}");
}
