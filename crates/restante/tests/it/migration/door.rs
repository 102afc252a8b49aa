//! One port behind which servers change places while mail programs go on polling it: some remember
//! what they have fetched by host and port.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::foreign::Foreign;
use crate::server::{PASSWORD, USER};

const LINE_OCTETS_MAX: usize = 512;
const READ_LIMIT: Duration = Duration::from_secs(30);

/// Who answers.
#[derive(Clone)]
pub(crate) enum Behind {
    Nobody,
    Restante(SocketAddr),
    Foreign(Foreign),
}

pub(crate) struct Door {
    address: SocketAddr,
    behind: Arc<Mutex<Option<Behind>>>,
    listening: Option<JoinHandle<()>>,
}

impl Door {
    pub(crate) fn open(behind: Behind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let behind = Arc::new(Mutex::new(Some(behind)));
        let listening = thread::spawn({
            let behind = Arc::clone(&behind);
            move || {
                for client in listener.incoming() {
                    let Some(behind) = behind.lock().unwrap().clone() else {
                        return;
                    };
                    // A client that goes away is no failure of ours.
                    thread::spawn(move || client.and_then(|client| serve(client, &behind)));
                }
            }
        });
        Self {
            address,
            behind,
            listening: Some(listening),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn put_behind(&mut self, behind: Behind) {
        *self.behind.lock().unwrap() = Some(behind);
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        *self.behind.lock().unwrap() = None;
        // It sees that when the next one knocks.
        let _ = TcpStream::connect(self.address);
        let _ = self.listening.take().map(JoinHandle::join);
    }
}

fn serve(client: TcpStream, behind: &Behind) -> io::Result<()> {
    client.set_read_timeout(Some(READ_LIMIT))?;
    client.set_nodelay(true)?;
    match behind {
        Behind::Nobody => Ok(()),
        Behind::Restante(address) => relay(&client, *address),
        Behind::Foreign(foreign) => match log_in(&client)? {
            true => foreign.serve(client),
            false => Ok(()),
        },
    }
}

fn relay(client: &TcpStream, address: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect(address)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let up = thread::spawn(move || {
        let copied = io::copy(&mut from_client, &mut to_server);
        to_server.shutdown(Shutdown::Write).and(copied)
    });
    let (mut from_server, mut to_client) = (server, client.try_clone()?);
    io::copy(&mut from_server, &mut to_client)?;
    client.shutdown(Shutdown::Both)?;
    let _ = up.join();
    Ok(())
}

/// What the login processes of the other servers do before they start the one that knows mail:
/// USER and PASS, up to the answer to PASS, which is that one's affair.
fn log_in(mut client: &TcpStream) -> io::Result<bool> {
    client.write_all(b"+OK ready\r\n")?;
    let mut named = false;
    loop {
        let line = line(client)?;
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let answer = match (word.to_ascii_uppercase().as_str(), rest) {
            ("USER", name) => {
                named = name == USER;
                "+OK\r\n"
            }
            ("PASS", PASSWORD) if named => return Ok(true),
            ("CAPA", _) => "+OK\r\nUSER\r\nTOP\r\nUIDL\r\n.\r\n",
            ("QUIT", _) => {
                client.write_all(b"+OK\r\n")?;
                return Ok(false);
            }
            _ => "-ERR\r\n",
        };
        client.write_all(answer.as_bytes())?;
    }
}

/// One line, and no octet more: the rest is for somebody else.
fn line(mut client: &TcpStream) -> io::Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") && line.len() < LINE_OCTETS_MAX {
        let mut octet = [0];
        client.read_exact(&mut octet)?;
        line.extend_from_slice(&octet);
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}
