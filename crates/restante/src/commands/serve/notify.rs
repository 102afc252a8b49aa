//! Telling systemd how far we are (sd_notify(3)), if it asked to be told.

use std::{
    env, io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

/// What there is to tell.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    /// Every listener accepts connections.
    Ready,
    /// No new connections; running commands finish.
    Stopping,
}

/// Sends `state` to the socket that `NOTIFY_SOCKET` names; does nothing without one.
///
/// # Errors
/// The socket does not take it. The server runs as well without.
pub(crate) fn tell(state: State) -> io::Result<()> {
    let Some(name) = env::var_os("NOTIFY_SOCKET") else {
        return Ok(());
    };
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(&name)?,
    };
    let text: &[u8] = match state {
        State::Ready => b"READY=1",
        State::Stopping => b"STOPPING=1",
    };
    UnixDatagram::unbound()?.send_to_addr(text, &address)?;
    Ok(())
}
