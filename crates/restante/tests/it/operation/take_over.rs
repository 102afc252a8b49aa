//! A server takes the place of another, without anybody in between who opens the sockets.

use std::{fs, net::TcpStream, process::Output, thread};

use super::{
    free_port,
    load::{self, Programs},
};
use crate::{
    corpus::Letter,
    server::{PASSWORD, Site, Started, USER},
    wire::{Wire, status},
};

/// Puts a server in the place of another.
fn take_over(site: &Site) -> Started {
    Started::at(site, &["--take-over"])
}

/// A start that does not come to serve.
fn refused(site: &Site, flags: &[&str]) -> String {
    let Output { status, stderr, .. } = site.program(&["serve"]).args(flags).output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert!(!status.success(), "{said}");
    said
}

fn greeted(server: &Started) -> Wire {
    let mut wire = Wire::unread(server.plain);
    assert_eq!(status(&wire.line()), "+OK");
    wire
}

/// Which process has the data directory.
fn owner(site: &Site) -> String {
    fs::read_to_string(site.path().join("data/control.lock")).unwrap()
}

#[test]
fn e2e_five_servers_take_over_under_load_and_nothing_fails_or_is_repeated() {
    let (site, letter) = load::site();
    let first = Started::at(&site, &[]);
    let address = first.plain;
    let mut programs = Programs::start(&site, address, letter);
    let mut servers = vec![first];
    for _ in 0..5 {
        programs.deliver(10);
        let next = take_over(&site);
        assert_eq!(next.plain, address);
        servers.push(next);
        programs.have_run_twice();
    }
    programs.nothing_failed_or_was_repeated();
    let last = servers.pop().unwrap();
    assert_eq!(owner(&site), format!("{}\n", last.process_id()));
    for server in servers {
        let (code, log) = server.ended();
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("a successor accepts connections"), "{log}");
        assert!(!log.contains("cut off"), "{log}");
    }
    assert_eq!(last.stop().0, Some(0));
}

#[test]
fn a_session_of_the_old_server_comes_to_its_end_and_keeps_its_maildrop() {
    let site = Site::new(&[Letter::new("one", b"Subject: 1\r\n\r\n1\r\n".to_vec())]);
    let old = Started::at(&site, &[]);
    let mut session = greeted(&old).logged_in();
    assert_eq!(status(&session.command("DELE 1")), "+OK");
    let new = take_over(&site);
    // The old one's session has the maildrop, whoever asks.
    let mut other = greeted(&new);
    other.command(&format!("USER {USER}"));
    let answer = thread::spawn(move || {
        let answer = other.command(&format!("PASS {PASSWORD}"));
        (other, answer)
    });
    assert_eq!(status(&session.command("NOOP")), "+OK");
    assert_eq!(status(&session.command("QUIT")), "+OK");
    assert!(site.message_files().is_empty(), "the update is done");
    let (mut other, answer) = answer.join().unwrap();
    assert_eq!(status(&answer), "+OK", "it was waited for: {answer}");
    assert_eq!(other.command("STAT"), "+OK 0 0");
    assert_eq!(status(&other.command("QUIT")), "+OK");
    assert_eq!(old.ended().0, Some(0));
    assert_eq!(new.stop().0, Some(0));
}

#[test]
fn a_maildrop_that_stays_in_use_at_the_old_server_is_in_use_at_the_new_one() {
    let site = Site::configured(
        &[],
        &crate::server::Keys {
            pop3: "in_use_wait = \"0s\"\n",
            ..Default::default()
        },
    );
    let old = Started::at(&site, &[]);
    let mut session = greeted(&old).logged_in();
    let new = take_over(&site);
    let mut other = greeted(&new);
    other.command(&format!("USER {USER}"));
    let answer = other.command(&format!("PASS {PASSWORD}"));
    assert!(answer.starts_with("-ERR [IN-USE]"), "{answer}");
    assert_eq!(status(&session.command("QUIT")), "+OK");
    assert_eq!(old.ended().0, Some(0));
}

#[test]
fn a_successor_that_cannot_start_leaves_the_old_server_as_it_was() {
    let site = Site::new(&[]);
    let mut old = Started::at(&site, &[]);
    let configuration = fs::read_to_string(site.configuration()).unwrap();
    let taken = free_port();
    let _holder = std::net::TcpListener::bind(taken).unwrap();
    let root = site.path().display();
    for (wrong, said) in [
        (format!("{configuration}\n[nonsense]\n"), "nonsense"),
        // After the sockets were handed over.
        (
            configuration.replace("listen_tls = [", &format!("listen_tls = [\"{taken}\", ")),
            "cannot listen on",
        ),
        (
            configuration.replace(&format!("{root}/key.pem"), &format!("{root}/authority.pem")),
            "tls.key",
        ),
    ] {
        fs::write(site.configuration(), wrong).unwrap();
        let told = refused(&site, &["--take-over"]);
        assert!(told.contains(said), "{told}");
        let mut wire = greeted(&old).logged_in();
        assert_eq!(status(&wire.command("QUIT")), "+OK");
        assert!(!old.has_ended());
        assert_eq!(owner(&site), format!("{}\n", old.process_id()));
    }
    fs::write(site.configuration(), configuration).unwrap();
    // Commands reach it as before.
    let bans = site.program(&["bans", "list"]).output().unwrap();
    assert!(bans.status.success(), "{bans:?}");
    // And the next successor is not hindered.
    let new = take_over(&site);
    assert_eq!(old.ended().0, Some(0));
    assert_eq!(new.stop().0, Some(0));
}

#[test]
fn the_data_directory_is_never_free_for_a_third() {
    let site = Site::new(&[]);
    let old = Started::at(&site, &[]);
    let session = greeted(&old).logged_in();
    let new = take_over(&site);
    let owner = format!("process {}", new.process_id());
    // Ports are no hindrance: they are asked for with number 0.
    let told = refused(&site, &[]);
    assert!(told.contains("another server runs on"), "{told}");
    assert!(told.contains(&owner), "{told}");
    drop(session);
    assert_eq!(old.ended().0, Some(0));
    // The lock is held by whoever took over, and not by the one that took it.
    assert!(refused(&site, &[]).contains(&owner));
    let bans = site.program(&["bans", "list"]).output().unwrap();
    assert!(bans.status.success(), "the socket is there: {bans:?}");
    assert_eq!(new.stop().0, Some(0));
    assert!(!site.path().join("data/control.sock").exists());
}

#[test]
fn without_a_server_there_is_nothing_to_take_over_and_it_starts() {
    let site = Site::new(&[]);
    let server = take_over(&site);
    drop(greeted(&server));
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn pages_are_taken_over_too_and_addresses_that_are_gone_are_closed() {
    let (page, gone) = (free_port(), free_port());
    let site = Site::new(&[]);
    let configuration = fs::read_to_string(site.configuration()).unwrap();
    let with_pages = format!("{configuration}\n[http]\nlisten = [\"{page}\"]\n");
    let with_two = with_pages.replacen("listen = [", &format!("listen = [\"{gone}\", "), 1);
    fs::write(site.configuration(), with_two).unwrap();
    let old = Started::at(&site, &[]);
    drop(TcpStream::connect(gone).unwrap());
    fs::write(site.configuration(), with_pages).unwrap();
    let new = take_over(&site);
    assert_eq!(old.ended().0, Some(0));
    assert!(TcpStream::connect(gone).is_err());
    assert_eq!(super::page(page, "readyz"), "ready\n");
    drop(greeted(&new));
    assert_eq!(new.stop().0, Some(0));
}

#[test]
fn sessions_of_a_removed_account_end_at_the_old_server_too() {
    let site = Site::new(&[]);
    let configuration = fs::read_to_string(site.configuration()).unwrap();
    let passwd = format!(
        "source = \"passwd-file\"\npasswd_file = \"{}/users\"\n",
        site.path().display()
    );
    fs::write(site.configuration(), configuration.replace(&passwd, "")).unwrap();
    let account = |words: &[&str]| {
        let mut program = site.program(&["account"]);
        let ran = program.args(words).output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
        String::from_utf8(ran.stdout).unwrap()
    };
    let password = account(&["add", USER, "--generate"]);
    let first = Started::at(&site, &[]);
    let mut session = greeted(&first);
    session.command(&format!("USER {USER}"));
    let answer = session.command(&format!("PASS {}", password.trim()));
    assert_eq!(status(&answer), "+OK", "{answer}");
    // The second has nobody, and ends before the first.
    let second = take_over(&site);
    assert_eq!(status(&session.command("NOOP")), "+OK");
    let third = take_over(&site);
    assert_eq!(status(&session.command("NOOP")), "+OK");
    assert!(
        second.ended().1.contains("a successor accepts"),
        "it has nobody"
    );
    account(&["remove", USER]);
    let told = session.line();
    assert!(
        told.starts_with("-ERR the account or its password"),
        "{told}"
    );
    let (code, log) = first.ended();
    assert_eq!(code, Some(0));
    assert!(log.contains("account changed, sessions ended"), "{log}");
    assert_eq!(third.stop().0, Some(0));
}
