//! What inetd does: a process for each connection, which gets it as its standard input and output.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::cell::Recipe;

pub(super) struct Acceptor {
    address: SocketAddr,
    closed: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Acceptor {
    /// Listens at `address`, and runs what is to be run for each client.
    pub(super) fn open(address: SocketAddr, recipe: Recipe) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let closed = Arc::new(AtomicBool::new(false));
        let listening = thread::spawn({
            let closed = Arc::clone(&closed);
            move || {
                for client in listener.incoming() {
                    if closed.load(Ordering::SeqCst) {
                        return;
                    }
                    let Ok(client) = client else { continue };
                    let command = recipe.command();
                    // The process dies with the thread that has started it.
                    thread::spawn(move || serve(client, command));
                }
            }
        });
        Self {
            address,
            closed,
            listening: Some(listening),
        }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        // It sees that when the next one knocks.
        let _ = TcpStream::connect(self.address);
        let _ = self.listening.take().map(JoinHandle::join);
    }
}

fn serve(client: TcpStream, mut command: Command) {
    let _ = client.set_nodelay(true);
    let Ok(output) = client.try_clone() else {
        return;
    };
    command.stdin(Stdio::from(OwnedFd::from(client)));
    command.stdout(Stdio::from(OwnedFd::from(output)));
    if let Ok(mut process) = command.spawn() {
        // The command holds the client too, and the client must see the end.
        drop(command);
        let _ = process.wait();
    }
}
