//! Defence as attackers and operators meet it: bans, their list and release, what fail2ban reads,
//! limits before a handshake, and LOGIN-DELAY.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use crate::corpus::Letter;
use crate::server::{Keys, PASSWORD, Server, Site, Started, USER};
use crate::wire::{Wire, status};

fn letters() -> Vec<Letter> {
    vec![Letter::new("one", "Subject: one\n\nfirst\n")]
}

/// A server that bans this machine too, and soon.
fn strict() -> Server {
    Server::at(strict_site())
}

fn strict_site() -> Site {
    let keys = Keys {
        failure_time: "10ms",
        tables: "[bans]\nfailures = 5\nnever = []\n",
        ..Keys::default()
    };
    Site::configured(&letters(), &keys)
}

/// A connection from another address of this machine.
fn from(last: u8, to: SocketAddr) -> TcpStream {
    let stream = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(
        &stream,
        &SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)),
    )
    .unwrap();
    connect(&stream, &to).unwrap();
    let stream = TcpStream::from(stream);
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    stream
}

/// What a whole session is told that logs in and quits; the server may close before.
fn login(server: &Server, last: u8, name: &str, password: &str) -> String {
    say(
        server,
        last,
        &format!("USER {name}\r\nPASS {password}\r\nQUIT\r\n"),
    )
}

/// What is told to whoever says this.
fn say(server: &Server, last: u8, said: &str) -> String {
    say_at(server.plain, last, said)
}

fn say_at(address: SocketAddr, last: u8, said: &str) -> String {
    let mut stream = from(last, address);
    // Whoever is turned away may find the connection closed.
    let _ = stream.write_all(said.as_bytes());
    let mut told = Vec::new();
    let _ = stream.read_to_end(&mut told);
    String::from_utf8(told).unwrap()
}

fn bans(server: &Server, words: &[&str]) -> (Option<i32>, String, String) {
    let output = server.site.program(words).output().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn prj_sec_3_an_address_that_guesses_is_banned_listed_and_released() {
    let server = strict();
    for number in 0..=5 {
        let told = login(&server, 2, &format!("somebody{number}"), "wrong");
        assert!(told.contains("-ERR [AUTH]"), "{told}");
    }
    server.wait_for_log("WARN address banned address=127.0.0.2 failures=5 seconds=600");
    // Not even a greeting: one line, and on the TLS port nothing at all.
    let told = login(&server, 2, USER, PASSWORD);
    assert!(
        told.starts_with("-ERR [SYS/TEMP]") && told.lines().count() == 1,
        "{told}"
    );
    let mut silent = from(2, server.tls);
    let mut octets = Vec::new();
    let _ = silent.write_all(b"\x16\x03\x01");
    let _ = silent.read_to_end(&mut octets);
    assert_eq!(octets, b"");
    // Others are served.
    assert!(login(&server, 3, USER, PASSWORD).contains("+OK"));
    let (code, shown, _) = bans(&server, &["bans", "list"]);
    assert_eq!(code, Some(0));
    assert!(shown.starts_with("address\t127.0.0.2\t"), "{shown}");
    let (_, json, _) = bans(&server, &["bans", "list", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["who"], "127.0.0.2");
    let (code, _, said) = bans(&server, &["bans", "release", "127.0.0.2"]);
    assert_eq!((code, said.as_str()), (Some(0), "`127.0.0.2` released\n"));
    assert!(!login(&server, 2, USER, PASSWORD).contains("-ERR"));
    assert_eq!(bans(&server, &["bans", "list"]).1, "");
    let (_, _, said) = bans(&server, &["bans", "release", "127.0.0.2"]);
    assert!(said.contains("was not banned"), "{said}");
}

#[test]
fn prj_sec_3_a_user_is_not_locked_out_by_strangers() {
    let server = strict();
    assert!(!login(&server, 4, USER, PASSWORD).contains("-ERR"));
    // A stranger behind the same address, and others who guess at the name.
    for number in 0..=5 {
        login(&server, 4, &format!("somebody{number}"), "wrong");
        login(&server, 10 + number, USER, &format!("wrong{number}"));
    }
    server.wait_for_log("WARN address banned address=127.0.0.4");
    server.wait_for_log("WARN name banned name=\"reader@example.com\"");
    assert!(!login(&server, 4, USER, PASSWORD).contains("-ERR"));
    let told = login(&server, 20, USER, PASSWORD);
    assert!(told.contains("-ERR [SYS/TEMP]"), "{told}");
    assert_eq!(bans(&server, &["bans", "release", USER]).0, Some(0));
    assert!(!login(&server, 20, USER, PASSWORD).contains("-ERR"));
}

/// Who is banned, as the command line shows it, without the time that is left.
fn banned(site: &Site) -> Vec<String> {
    let output = site.program(&["bans", "list"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let shown = String::from_utf8(output.stdout).unwrap();
    let who = |line: &str| line.split('\t').take(2).collect::<Vec<_>>().join(" ");
    let mut who: Vec<_> = shown.lines().map(who).collect();
    who.sort();
    who
}

/// They outlive the process: stopped and started, replaced while it runs, with a file that is
/// damaged, and not once they were released.
#[test]
fn prj_sec_3_bans_outlive_a_restart_and_a_take_over() {
    let site = strict_site();
    let first = Started::at(&site, &[]);
    let log_in = |at: SocketAddr, last, password: &str| {
        say_at(
            at,
            last,
            &format!("USER {USER}\r\nPASS {password}\r\nQUIT\r\n"),
        )
    };
    // Somebody who is known at .4, and strangers who guess at the name, one of them again and
    // again.
    assert!(!log_in(first.plain, 4, PASSWORD).contains("-ERR"));
    for number in 0..=5 {
        log_in(first.plain, 10 + number, &format!("wrong{number}"));
        let name = format!("USER somebody{number}\r\nPASS wrong\r\nQUIT\r\n");
        say_at(first.plain, 2, &name);
    }
    let both = ["address 127.0.0.2", "name reader@example.com"];
    assert_eq!(banned(&site), both);
    let (code, log) = first.stop();
    assert_eq!(code, Some(0), "{log}");

    let second = Started::at(&site, &[]);
    assert_eq!(banned(&site), both);
    assert!(
        second
            .log()
            .contains("bans of the time before go on bans=2")
    );
    assert!(log_in(second.plain, 2, PASSWORD).starts_with("-ERR [SYS/TEMP]"));
    assert!(log_in(second.plain, 20, PASSWORD).contains("-ERR [SYS/TEMP]"));
    // The restart has not locked out whom they spared.
    assert!(!log_in(second.plain, 4, PASSWORD).contains("-ERR"));

    for number in 0..=5 {
        let name = format!("USER somebody{number}\r\nPASS wrong\r\nQUIT\r\n");
        say_at(second.plain, 3, &name);
    }
    let third = Started::at(&site, &["--take-over"]);
    let three = [both[0], "address 127.0.0.3", both[1]];
    assert_eq!(banned(&site), three);
    // The old one leaves what the new one keeps.
    site.program(&["bans", "release", "127.0.0.3"])
        .output()
        .unwrap();
    assert_eq!(second.ended().0, Some(0));
    assert_eq!(third.stop().0, Some(0));

    let fourth = Started::at(&site, &[]);
    assert_eq!(banned(&site), both);
    for who in ["127.0.0.2", USER] {
        site.program(&["bans", "release", who]).output().unwrap();
    }
    assert_eq!(fourth.stop().0, Some(0));
    let file = site.path().join("data/bans");
    assert!(!file.exists(), "nobody is banned");

    for damaged in ["{\"version\":1,\"written\":1,\"bans\":[{\"name\":\"r", ""] {
        fs::write(&file, damaged).unwrap();
        let server = Started::at(&site, &[]);
        assert_eq!(banned(&site), [""; 0]);
        let log = server.log();
        assert!(
            log.contains("ERROR what was kept of the time before is not known"),
            "{log}"
        );
        assert!(!log_in(server.plain, 2, PASSWORD).contains("-ERR"));
        assert_eq!(server.stop().0, Some(0));
    }
}

#[test]
fn bans_without_a_server_say_so() {
    let site = Site::new(&[]);
    let output = site.program(&["bans", "list"]).output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no server is running"), "{said}");
}

/// A name that looks like the rest of a line.
const HOSTILE: &str =
    "x\" mechanism=\"USER\" tls=\"none\" peer=192.0.2.66:1 reason=\"wrong password\"";

/// The filter that is shipped, run by fail2ban's own program over a log that was written just now.
#[test]
fn fail2ban_finds_who_failed_and_nobody_else() {
    for format in ["text", "json"] {
        let tables = match format {
            "text" => "[bans]\ntime = \"0s\"\n",
            _ => "[bans]\ntime = \"0s\"\n[log]\nformat = \"json\"\n",
        };
        let keys = Keys {
            failure_time: "10ms",
            tables,
            ..Keys::default()
        };
        let server = Server::at(Site::configured(&letters(), &keys));
        login(&server, 5, USER, "wrong");
        login(&server, 6, "nobody", "wrong");
        // USER takes no spaces, PLAIN takes everything.
        let plain = STANDARD.encode(format!("\0{HOSTILE}\0wrong"));
        say(&server, 7, &format!("AUTH PLAIN {plain}\r\nQUIT\r\n"));
        login(&server, 8, USER, PASSWORD);
        let (site, _, log) = server.stop();
        let path = site.path().join("log");
        fs::write(&path, &log).unwrap();
        let filter = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../packaging/fail2ban/restante.conf"
        );
        let output = Command::new("fail2ban-regex")
            .args(["--out", "ip"])
            .arg(&path)
            .arg(filter)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let found = String::from_utf8(output.stdout).unwrap();
        let found: Vec<_> = found.lines().collect();
        assert_eq!(
            found,
            ["127.0.0.5", "127.0.0.6", "127.0.0.7"],
            "{format}\n{log}"
        );
    }
}

/// PRJ-SEC-5: whoever is over a limit costs no handshake.
#[test]
fn prj_sec_5_connections_over_the_limit_are_closed_before_a_handshake() {
    let keys = Keys {
        tables: "[limits]\nconnections_per_address = 1\n",
        ..Keys::default()
    };
    let server = Server::at(Site::configured(&letters(), &keys));
    let mut first = from(9, server.plain);
    // Its greeting says that it counts.
    first.read_exact(&mut [0; 3]).unwrap();
    let mut second = from(9, server.tls);
    let settings = crate::wire::client_settings(&server.site);
    let name = "localhost".try_into().unwrap();
    let mut client = rustls::ClientConnection::new(std::sync::Arc::new(settings), name).unwrap();
    // A whole hello, which a server that wants to answer could.
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    let _ = second.write_all(&hello);
    let _ = second.shutdown(Shutdown::Write);
    let mut octets = Vec::new();
    let _ = second.read_to_end(&mut octets);
    assert_eq!(octets, b"", "the server began a handshake");
    server.wait_for_log("connections refused, the last from limit=\"connections_per_address\"");
    // It is closed at once; the kernel has nothing of it.
    assert!(!server.log().contains("TLS handshake"), "{}", server.log());
}

/// R2449-DELAY-1, R2449-DELAY-4, R2449-LDELAY-1.
#[test]
fn r2449_delay_4_a_login_that_comes_too_soon_is_refused_in_every_way_and_later_accepted() {
    let keys = Keys {
        pop3: "login_delay = \"2s\"",
        ..Keys::default()
    };
    let server = Server::at(Site::configured(&letters(), &keys));
    let mut wire = Wire::plain(&server);
    let capabilities = String::from_utf8(wire.lines("CAPA")).unwrap();
    assert!(capabilities.contains("LOGIN-DELAY 2\r\n"), "{capabilities}");
    wire.log_in(USER);
    assert_eq!(status(&wire.command("QUIT")), "+OK");
    let told = login(&server, 1, USER, PASSWORD);
    assert!(told.contains("-ERR [LOGIN-DELAY]"), "{told}");
    let plain = STANDARD.encode(format!("\0{USER}\0{PASSWORD}"));
    let told = say(&server, 1, &format!("AUTH PLAIN {plain}\r\nQUIT\r\n"));
    assert!(told.contains("-ERR [LOGIN-DELAY]"), "{told}");
    // A wrong password is told nothing of delays.
    let told = login(&server, 1, USER, "wrong");
    assert!(told.contains("-ERR [AUTH]"), "{told}");
    server.wait_for_log("reason=\"login delay has not passed\"");
    thread::sleep(Duration::from_secs(2));
    Wire::plain(&server).logged_in();
}
