//! Lines, sockets that live and sockets that were left behind.

use std::{
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::Path,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    task::{JoinHandle, spawn_blocking},
};

use super::*;

fn changed(account: &str) -> Request {
    Request::AccountChanged {
        account: account.to_owned(),
    }
}

/// A server that counts the octets of names.
fn serve(data: &Path) -> JoinHandle<std::io::Result<()>> {
    let socket = ControlSocket::bind(data).unwrap();
    tokio::spawn(socket.serve(|request| async move {
        match request {
            Request::AccountChanged { account } if account == "trouble" => {
                Reply::unavailable("no answer from the accounts")
            }
            Request::AccountChanged { account } => Reply::SessionsEnded {
                sessions: account.len(),
            },
            _ => Reply::refused("not here"),
        }
    }))
}

async fn ask_there(data: &Path, request: Request) -> Result<Option<Reply>, AskError> {
    let data = data.to_owned();
    spawn_blocking(move || ask(&data, &request)).await.unwrap()
}

/// Sends octets as they are and closes that direction; gives all that comes back.
async fn say(data: &Path, octets: &[u8]) -> String {
    let mut stream = UnixStream::connect(data.join(SOCKET_NAME)).await.unwrap();
    // A server that has heard enough may close before it has read everything.
    let _ = stream.write_all(octets).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[test]
fn lines_are_what_the_page_of_formats_shows() {
    let line = encode(changed("me@example.com"));
    let shown = "{\"version\":1,\"verb\":\"account-changed\",\"account\":\"me@example.com\"}\n";
    assert_eq!(line, shown.as_bytes());
    assert_eq!(decode(&line), Ok(changed("me@example.com")));
    let reply = Reply::SessionsEnded { sessions: 2 };
    let shown = "{\"version\":1,\"answer\":\"sessions-ended\",\"sessions\":2}\n";
    assert_eq!(encode(&reply), shown.as_bytes());
    assert_eq!(decode(shown.as_bytes()), Ok(reply));
}

#[test]
fn lines_are_written_as_they_are_read() {
    for line in [
        r#"{"version":1,"verb":"account-changed","account":"\u0000\ud83d\ude00"}"#,
        r#"{"version":1,"verb":"hand-over"}"#,
        r#"{"version":1,"verb":"step-aside","ticket":18446744073709551615,"process":4294967295}"#,
        r#"{"version":1,"answer":"handing-over","ticket":1,"sockets":[{"purpose":"pop3s","asked":"[::1]:995"}],"predecessors":2}"#,
        r#"{"version":1,"verb":"last-login","account":"a"}"#,
        r#"{"version":1,"answer":"last-login","login":{"when":1,"address":"::1","mechanism":"USER","credential":"default"}}"#,
        r#"{"version":1,"answer":"last-login","login":null}"#,
        r#"{"version":1,"answer":"bans","bans":[{"kind":"name","who":"x","seconds":1}],"more":0}"#,
    ] {
        let is_request = decode::<Request>(line.as_bytes()).is_ok();
        assert!(
            is_request || decode::<Reply>(line.as_bytes()).is_ok(),
            "{line}"
        );
        fuzz_line(line.as_bytes());
    }
}

#[test]
fn what_a_later_version_may_add_to_a_line_is_left_aside() {
    let line = br#"{"version":1,"verb":"account-changed","account":"a","more":[1]}"#;
    assert_eq!(decode(line), Ok(changed("a")));
}

#[tokio::test]
async fn a_server_answers_and_without_one_there_is_nobody_to_ask() {
    let data = tempfile::tempdir().unwrap();
    let nowhere = data.path().join("not-made-yet");
    for place in [data.path(), &nowhere] {
        assert!(ask_there(place, changed("a")).await.unwrap().is_none());
    }
    let server = serve(data.path());
    let reply = ask_there(data.path(), changed("four")).await.unwrap();
    assert_eq!(reply, Some(Reply::SessionsEnded { sessions: 4 }));
    let reply = ask_there(data.path(), changed("trouble")).await.unwrap();
    let refused = Reply::unavailable("no answer from the accounts");
    assert_eq!(reply, Some(refused));
    server.abort();
    assert!(server.await.is_err());
    assert!(!data.path().join(SOCKET_NAME).exists());
    assert!(
        ask_there(data.path(), changed("a"))
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn the_socket_is_its_owners_alone() {
    let data = tempfile::tempdir().unwrap();
    let _socket = ControlSocket::bind(data.path()).unwrap();
    let metadata = std::fs::metadata(data.path().join(SOCKET_NAME)).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let lock = std::fs::metadata(data.path().join(LOCK_NAME)).unwrap();
    assert_eq!(lock.permissions().mode() & 0o777, 0o600);
    // Nothing else stays in the directory.
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 2);
}

#[tokio::test]
async fn a_second_server_on_the_same_directory_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path());
    let second = ControlSocket::bind(data.path()).unwrap_err();
    let (path, process) = (data.path().display(), std::process::id());
    assert_eq!(
        second.to_string(),
        format!("another server runs on `{path}`, process {process}")
    );
    // The first one goes on.
    let reply = ask_there(data.path(), changed("a")).await.unwrap();
    assert_eq!(reply, Some(Reply::SessionsEnded { sessions: 1 }));
    server.abort();
    let _ = server.await;
    drop(ControlSocket::bind(data.path()).unwrap());
}

#[tokio::test]
async fn what_a_dead_server_has_left_is_replaced() {
    let data = tempfile::tempdir().unwrap();
    // As a killed process leaves it: a socket that nobody listens to, a lock file that nobody has
    // locked, and half of a new socket.
    drop(std::os::unix::net::UnixListener::bind(data.path().join(SOCKET_NAME)).unwrap());
    std::fs::write(data.path().join(LOCK_NAME), "4194304\n").unwrap();
    let draft = data.path().join("control.new");
    std::fs::create_dir(&draft).unwrap();
    drop(std::os::unix::net::UnixListener::bind(draft.join(SOCKET_NAME)).unwrap());
    assert!(
        ask_there(data.path(), changed("a"))
            .await
            .unwrap()
            .is_none()
    );
    let server = serve(data.path());
    let reply = ask_there(data.path(), changed("a")).await.unwrap();
    assert_eq!(reply, Some(Reply::SessionsEnded { sessions: 1 }));
    let pid = std::fs::read_to_string(data.path().join(LOCK_NAME)).unwrap();
    assert_eq!(pid, format!("{}\n", std::process::id()));
    server.abort();
}

#[tokio::test]
async fn a_directory_whose_path_is_too_long_for_a_socket_will_do() {
    let data = tempfile::tempdir().unwrap();
    let deep = data.path().join("x".repeat(120));
    std::fs::create_dir(&deep).unwrap();
    let server = serve(&deep);
    let reply = ask_there(&deep, changed("a")).await.unwrap();
    assert_eq!(reply, Some(Reply::SessionsEnded { sessions: 1 }));
    server.abort();
}

#[tokio::test]
async fn lines_that_are_no_requests_are_refused_and_the_next_is_answered() {
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path());
    let lines = concat!(
        "nonsense\n",
        "{\"version\":2,\"verb\":\"account-changed\",\"account\":\"a\"}\n",
        "{\"version\":1,\"verb\":\"dance\"}\n",
        "{\"version\":1,\"verb\":\"account-changed\"}\n",
        "{\"version\":1,\"verb\":\"account-changed\",\"account\":\"abc\"}\n",
        "{\"version\":1,\"verb\":\"account-changed\",\"account\":\"cut",
    );
    let answer = say(data.path(), lines.as_bytes()).await;
    let replies: Vec<Reply> = answer
        .lines()
        .map(|line| decode(line.as_bytes()).unwrap())
        .collect();
    let expected = [
        Reply::refused("malformed line"),
        Reply::refused("protocol version 2, not 1"),
        Reply::refused("unknown verb"),
        Reply::refused("unknown verb"),
        Reply::SessionsEnded { sessions: 3 },
        Reply::refused("malformed line"),
    ];
    assert_eq!(replies, expected);
    server.abort();
}

#[tokio::test]
async fn a_line_has_a_bound() {
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path());
    let frame = encode(changed("")).len();
    for (octets, answered) in [
        (LINE_OCTETS_MAX - 1, true),
        (LINE_OCTETS_MAX, true),
        (LINE_OCTETS_MAX + 1, false),
    ] {
        let name = "x".repeat(octets - frame);
        let answer = say(data.path(), &encode(changed(&name))).await;
        assert_eq!(answer.contains("sessions-ended"), answered, "{octets}");
        assert_eq!(answer.contains("malformed line"), !answered, "{octets}");
    }
    server.abort();
}

#[tokio::test]
async fn more_commands_than_may_speak_at_once_wait_for_each_other() {
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path());
    let mut silent = Vec::new();
    for _ in 0..CONVERSATIONS_MAX {
        silent.push(
            UnixStream::connect(data.path().join(SOCKET_NAME))
                .await
                .unwrap(),
        );
    }
    let waiting = tokio::spawn({
        let data = data.path().to_owned();
        async move { ask_there(&data, changed("a")).await }
    });
    let mut one_more = silent.pop().unwrap();
    one_more.write_all(&encode(changed("ab"))).await.unwrap();
    let mut answer = vec![0; 16];
    one_more.read_exact(&mut answer).await.unwrap();
    assert!(!waiting.is_finished());
    drop(one_more);
    let reply = waiting.await.unwrap().unwrap();
    assert_eq!(reply, Some(Reply::SessionsEnded { sessions: 1 }));
    server.abort();
}

#[test]
fn a_server_that_hangs_up_or_says_nothing_has_not_answered() {
    let data = tempfile::tempdir().unwrap();
    let listener = std::os::unix::net::UnixListener::bind(data.path().join(SOCKET_NAME)).unwrap();
    let server = std::thread::spawn(move || {
        drop(listener.accept().unwrap());
        listener
    });
    let error = ask(data.path(), &changed("a")).unwrap_err();
    assert!(matches!(error, AskError::Socket(_)), "{error:?}");
    // As a process that was stopped: the system still takes connections for it.
    let _listener = server.join().unwrap();
    let patience = Duration::from_millis(50);
    let error = client::ask_within(data.path(), &changed("a"), patience).unwrap_err();
    assert!(matches!(error, AskError::Silent), "{error:?}");
}

#[test]
fn a_long_list_of_bans_fits_into_a_line() {
    let ban = |number: u64| Ban {
        culprit: Culprit::Name("\u{1}".repeat(255)),
        left: Duration::from_secs(number),
    };
    let reply = Reply::bans((0..10_000).map(ban).collect());
    let Reply::Bans { bans, more } = &reply else {
        panic!("{reply:?}");
    };
    assert!(!bans.is_empty() && bans.len() + more == 10_000);
    let line = encode(reply.clone());
    assert!(line.len() <= LINE_OCTETS_MAX, "{}", line.len());
    assert_eq!(decode::<Reply>(&line).unwrap(), reply);
}
