//! A server that changes hands, and one that hands over something else than it says.

use std::{net::SocketAddr, os::unix::net::UnixListener as StdListener};

use tokio::task::{JoinHandle, spawn_blocking};

use super::*;
use crate::control::{
    Answer, ControlError, ControlSocket, Purpose, SOCKET_NAME, ask as ask_server,
};

const TICKET: u64 = 7;

fn listener() -> (Handed, TcpListener) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let asked = SocketAddr::from(([127, 0, 0, 1], 0));
    let purpose = Purpose::Pop3;
    (Handed { purpose, asked }, socket)
}

/// A server with one socket, which hands over to whoever has the ticket.
fn serve(data: &Path) -> JoinHandle<io::Result<()>> {
    let socket = ControlSocket::bind(data).unwrap();
    let (handed, lent) = listener();
    let lent = std::sync::Arc::new(lent);
    tokio::spawn(socket.serve(move |request| {
        let lent = std::sync::Arc::clone(&lent);
        async move {
            match request {
                Request::HandOver => Answer {
                    reply: Reply::HandingOver {
                        ticket: TICKET,
                        sockets: vec![handed],
                        predecessors: 0,
                    },
                    descriptors: vec![lent.as_fd().try_clone_to_owned().unwrap()],
                },
                Request::StepAside { ticket: TICKET, .. } => Reply::SteppedAside.into(),
                Request::AccountChanged { .. } => Reply::SessionsEnded { sessions: 3 }.into(),
                _ => Reply::refused("not here").into(),
            }
        }
    }))
}

async fn take_over_there(data: &Path) -> Result<Option<Inheritance>, TakeOverError> {
    let data = data.to_owned();
    spawn_blocking(move || take_over(&data)).await.unwrap()
}

async fn bans(data: &Path) -> Option<Reply> {
    let data = data.to_owned();
    let asked = spawn_blocking(move || ask_server(&data, &Request::Bans));
    asked.await.unwrap().unwrap()
}

fn is_locked(data: &Path) -> bool {
    matches!(ControlSocket::bind(data), Err(ControlError::InUse { .. }))
}

#[tokio::test]
async fn the_lock_and_the_name_change_hands_without_a_gap() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let old = serve(data);
    let inheritance = take_over_there(data).await.unwrap().unwrap();
    assert_eq!(inheritance.sockets.len(), 1);
    let mut new = ControlSocket::inherit(data, &inheritance).unwrap();
    // Until the new one is ready everybody reaches the old one.
    assert_eq!(bans(data).await, Some(Reply::refused("not here")));
    inheritance.step_in().await.unwrap();
    assert_eq!(bans(data).await, Some(Reply::refused("not here")));
    new.publish().unwrap();
    let new = tokio::spawn(new.serve(|_| async { Reply::refused("the new one") }));
    assert_eq!(bans(data).await, Some(Reply::refused("the new one")));
    // What the old one is asked by its successor, it answers until its end.
    let account = "me".to_owned();
    let changed = Request::AccountChanged { account };
    let replies = inheritance.predecessors.ask(&changed).await.unwrap();
    assert_eq!(replies, [Reply::SessionsEnded { sessions: 3 }]);
    assert_eq!(inheritance.predecessors.lend().await.unwrap().len(), 1);
    old.abort();
    let _ = old.await;
    assert_eq!(inheritance.predecessors.ask(&changed).await.unwrap(), []);
    assert!(is_locked(data), "the lock went with the old one");
    assert_eq!(bans(data).await, Some(Reply::refused("the new one")));
    drop(inheritance);
    new.abort();
    let _ = new.await;
    assert!(!data.join(SOCKET_NAME).exists());
    assert!(!is_locked(data));
}

#[tokio::test]
async fn one_that_dies_before_it_steps_aside_leaves_everything() {
    let data = tempfile::tempdir().unwrap();
    let old = serve(data.path());
    let inheritance = take_over_there(data.path()).await.unwrap().unwrap();
    let mut new = ControlSocket::inherit(data.path(), &inheritance).unwrap();
    old.abort();
    let _ = old.await;
    inheritance.step_in().await.unwrap();
    assert!(is_locked(data.path()));
    new.publish().unwrap();
    assert!(data.path().join(SOCKET_NAME).exists());
}

#[tokio::test]
async fn one_that_gives_up_leaves_the_running_server_as_it_was() {
    let data = tempfile::tempdir().unwrap();
    let old = serve(data.path());
    let inheritance = take_over_there(data.path()).await.unwrap().unwrap();
    drop(ControlSocket::inherit(data.path(), &inheritance).unwrap());
    drop(inheritance);
    assert!(is_locked(data.path()));
    assert_eq!(bans(data.path()).await, Some(Reply::refused("not here")));
    // The socket and the lock, nothing else.
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 2);
    let mut inheritance = take_over_there(data.path()).await.unwrap().unwrap();
    inheritance.ticket += 1;
    let refused = inheritance.step_in().await.unwrap_err();
    assert!(matches!(refused, TakeOverError::Refused(_)), "{refused:?}");
    old.abort();
}

#[tokio::test]
async fn a_draft_that_somebody_else_has_removed_is_made_again() {
    let data = tempfile::tempdir().unwrap();
    let _old = serve(data.path());
    let inheritance = take_over_there(data.path()).await.unwrap().unwrap();
    let mut new = ControlSocket::inherit(data.path(), &inheritance).unwrap();
    drop(ControlSocket::inherit(data.path(), &inheritance).unwrap());
    inheritance.step_in().await.unwrap();
    new.publish().unwrap();
    let _new = tokio::spawn(new.serve(|_| async { Reply::refused("the new one") }));
    let reply = bans(data.path()).await;
    assert_eq!(reply, Some(Reply::refused("the new one")));
}

#[tokio::test]
async fn without_a_server_there_is_nothing_to_take_over() {
    let data = tempfile::tempdir().unwrap();
    assert!(take_over_there(data.path()).await.unwrap().is_none());
    drop(StdListener::bind(data.path().join(SOCKET_NAME)).unwrap());
    assert!(take_over_there(data.path()).await.unwrap().is_none());
}

/// What a server is told that hears `reply` and gets these descriptors.
async fn deceived(reply: Reply, descriptors: Vec<OwnedFd>) -> TakeOverError {
    let data = tempfile::tempdir().unwrap();
    fs::write(data.path().join(LOCK_NAME), "").unwrap();
    let mut passed = Vec::new();
    if !descriptors.is_empty() {
        let lock = File::open(data.path().join(LOCK_NAME)).unwrap();
        passed.push(OwnedFd::from(lock));
    }
    passed.extend(descriptors);
    deceived_with(data.path(), reply, passed).await
}

async fn deceived_with(data: &Path, reply: Reply, descriptors: Vec<OwnedFd>) -> TakeOverError {
    let listener = StdListener::bind(data.join(SOCKET_NAME)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::UnixListener::from_std(listener).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let line = encode(reply);
        descriptors::send(&mut stream, &line, &descriptors)
            .await
            .unwrap();
        // It is closed when the other has heard enough.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let told = take_over_there(data).await.unwrap_err();
    server.await.unwrap();
    told
}

fn handing(sockets: Vec<Handed>) -> Reply {
    Reply::HandingOver {
        ticket: 1,
        sockets,
        predecessors: 0,
    }
}

#[tokio::test]
async fn what_was_not_announced_is_not_taken() {
    let (handed, socket) = listener();
    let duplicate = || OwnedFd::from(socket.try_clone().unwrap());
    let file = || OwnedFd::from(File::open("/dev/null").unwrap());
    let mut elsewhere = handed;
    elsewhere.asked.set_port(1);
    let connection = std::net::TcpStream::connect(socket.local_addr().unwrap()).unwrap();
    for (reply, descriptors) in [
        (handing(vec![handed]), vec![]),
        (handing(vec![handed]), vec![duplicate(), duplicate()]),
        (handing(vec![handed, handed]), vec![duplicate()]),
        (handing(vec![handed]), vec![file()]),
        (handing(vec![handed]), vec![connection.into()]),
        (handing(vec![elsewhere]), vec![duplicate()]),
        (Reply::SteppedAside, vec![]),
    ] {
        let shown = format!("{reply:?}");
        let told = deceived(reply, descriptors).await;
        assert!(
            matches!(told, TakeOverError::Unexpected(_)),
            "{shown}: {told:?}"
        );
    }
    let told = deceived(Reply::refused("no"), vec![]).await;
    assert!(matches!(told, TakeOverError::Refused(_)), "{told:?}");
}

#[tokio::test]
async fn a_lock_that_is_not_this_directorys_or_not_held_is_not_taken() {
    let data = tempfile::tempdir().unwrap();
    let other = tempfile::tempfile().unwrap();
    fs::write(data.path().join(LOCK_NAME), "").unwrap();
    let told = deceived_with(data.path(), handing(vec![]), vec![other.into()]).await;
    assert!(matches!(told, TakeOverError::Unexpected(_)), "{told:?}");
    fs::remove_file(data.path().join(SOCKET_NAME)).unwrap();
    // Held, but by somebody else than the one who speaks.
    let held = File::open(data.path().join(LOCK_NAME)).unwrap();
    held.lock().unwrap();
    let passed = File::open(data.path().join(LOCK_NAME)).unwrap();
    let told = deceived_with(data.path(), handing(vec![]), vec![passed.into()]).await;
    assert!(matches!(told, TakeOverError::Unexpected(_)), "{told:?}");
}
