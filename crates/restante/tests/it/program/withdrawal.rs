//! What a change of an account does to a server that runs, and to one that does not.

use std::{fs, os::unix::fs::PermissionsExt};

use rustix::process::Signal;

use super::user::{Client, User};

/// A server with the account `me` and one message in its mailbox.
fn user_with_mail() -> User {
    let user = User::new();
    user.run_with(&["account", "add", "me", "--password-stdin"], b"first\n");
    user.run_with(&["deliver", "me"], b"Subject: kept\n\n")
        .well();
    user
}

#[test]
fn a_changed_password_ends_the_sessions_of_the_old_one_at_once() {
    let user = user_with_mail();
    let mut server = user.serve();
    let address = server.plain_address();
    let (mut client, accepted) = Client::login(address, "me", "first");
    assert!(accepted);
    assert!(client.say("DELE 1").starts_with("+OK"));
    let ran = user.run_with(
        &["account", "passwd", "me", "--password-stdin"],
        b"second\n",
    );
    assert_eq!(
        ran.stderr, "password of `me` changed\n1 session ended\n",
        "{ran:?}"
    );
    let farewell = client.line();
    assert!(
        farewell.starts_with("-ERR the account or its password"),
        "{farewell}"
    );
    assert_eq!(client.line(), "");
    server.wait_for("credential-lost");
    assert!(!Client::login(address, "me", "first").1);
    let (mut client, accepted) = Client::login(address, "me", "second");
    assert!(accepted);
    assert!(client.say("STAT").starts_with("+OK 1 "));
    // Nobody is disturbed by what happens to others, nor by what changes nothing.
    user.run_with(&["account", "add", "you", "--password-stdin"], b"x\n");
    let ran = user.run(&["account", "remove", "you"]);
    assert!(!ran.stderr.contains("ended"), "{ran:?}");
    assert!(client.say("NOOP").starts_with("+OK"));
    let ran = user.run(&["account", "remove", "me"]);
    assert!(ran.stderr.ends_with("1 session ended\n"), "{ran:?}");
    assert!(client.line().starts_with("-ERR "));
}

#[test]
fn a_change_behind_the_servers_back_is_found_out_before_anything_is_removed() {
    let user = user_with_mail();
    let mut server = user.serve();
    let (mut client, accepted) = Client::login(server.plain_address(), "me", "first");
    assert!(accepted);
    assert!(client.say("DELE 1").starts_with("+OK"));
    // Nobody can tell the server.
    fs::remove_file(user.data().join("control.sock")).unwrap();
    user.run_with(
        &["account", "passwd", "me", "--password-stdin"],
        b"second\n",
    );
    assert!(client.say("NOOP").starts_with("+OK"));
    let farewell = client.say("QUIT");
    assert!(
        farewell.starts_with("-ERR the account or its password"),
        "{farewell}"
    );
    server.wait_for("update refused");
    assert_eq!(
        fs::read_dir(user.data().join("mail/me/new"))
            .unwrap()
            .count(),
        1
    );
}

#[test]
fn one_data_directory_has_one_server() {
    let user = user_with_mail();
    let first = user.serve();
    let socket = user.data().join("control.sock");
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let refused = user.run(&["serve"]);
    let pid = first.child.id();
    refused.refused(
        69,
        &format!(
            "another server runs on `{}`, process {pid}",
            user.data().display()
        ),
    );
    assert!(refused.stderr.contains("hint: "), "{refused:?}");
    assert!(Client::login(first.plain_address(), "me", "first").1);
    assert_eq!(first.stop(), Some(0));
    assert!(!socket.exists());
    assert_eq!(user.serve().stop(), Some(0));
}

#[test]
fn a_server_that_was_killed_is_in_nobodys_way() {
    let user = user_with_mail();
    let mut killed = user.serve();
    killed.signal(Signal::KILL);
    killed.child.wait().unwrap();
    assert!(user.data().join("control.sock").exists());
    let ran = user.run_with(
        &["account", "passwd", "me", "--password-stdin"],
        b"second\n",
    );
    assert_eq!((ran.code, &*ran.stderr), (0, "password of `me` changed\n"));
    let server = user.serve();
    let (mut client, accepted) = Client::login(server.plain_address(), "me", "second");
    assert!(accepted);
    let ran = user.run(&["account", "remove", "me"]);
    assert!(ran.stderr.ends_with("1 session ended\n"), "{ran:?}");
    assert!(client.line().starts_with("-ERR "));
}

#[test]
fn a_server_that_does_not_answer_is_said_to_be_so_and_the_change_is_made() {
    let user = user_with_mail();
    let socket = user.data().join("control.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let hangs_up = std::thread::spawn(move || drop(listener.accept().unwrap()));
    let ran = user.run_with(
        &["account", "passwd", "me", "--password-stdin"],
        b"second\n",
    );
    hangs_up.join().unwrap();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stderr.contains("warning: the change is made"),
        "{ran:?}"
    );
    let server = user.serve();
    assert!(Client::login(server.plain_address(), "me", "second").1);
}
