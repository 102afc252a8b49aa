//! A server in service: reloaded, drained and restarted while real programs fetch mail.

mod load;
mod take_over;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use rustix::process::{Pid, Signal, kill_process};

use self::load::Programs;
use crate::{
    server::{Server, Site},
    wire::{Wire, status},
};

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

#[test]
fn e2e_reload_drain_and_restart_under_load_fail_nothing_and_repeat_nothing() {
    let (site, letter) = load::site();
    let configuration = fs::read_to_string(site.configuration()).unwrap();
    let mut supervisor = Supervisor::start(Arc::clone(&site));
    let mut programs = Programs::start(&site, supervisor.address(), letter);
    for round in 0..8 {
        programs.deliver(10);
        match round % 2 {
            0 => {
                let limits = format!("[limits]\nconnections = {}\n", 100 + round);
                fs::write(site.configuration(), format!("{configuration}{limits}")).unwrap();
                supervisor.signal(Signal::HUP);
            }
            _ => supervisor.restart(),
        }
        programs.have_run_twice();
    }
    programs.nothing_failed_or_was_repeated();
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
        // The store's own numbers.
        (
            "metrics",
            "restante_mailbox_cache_total{result=\"miss\"} 1\n",
        ),
    ] {
        let shown = self::page(address, page);
        assert!(shown.contains(expected), "{page}: {shown}");
    }
    assert_eq!(status(&wire.command("QUIT")), "+OK");
    assert_eq!(server.stop().1.code(), Some(0));
}

/// What curl gets to see of a page.
fn page(address: SocketAddr, name: &str) -> String {
    let url = format!("http://{address}/{name}");
    let mut program = Command::new("curl");
    program.args(["-q", "--silent", "--fail", &url]);
    String::from_utf8(program.output().unwrap().stdout).unwrap()
}

/// A port that is free, for those who have to be told one.
pub(crate) fn free_port() -> SocketAddr {
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
