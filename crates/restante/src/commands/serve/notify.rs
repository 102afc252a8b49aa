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
    process,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// What there is to tell.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    /// Every listener accepts connections; also: the configuration has been read again.
    Ready,
    /// The configuration is being read again.
    Reloading,
    /// The runtime does what it is told; to be said every so often.
    Alive,
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
    let text = match state {
        State::Ready => "READY=1".to_owned(),
        State::Reloading => {
            // `Type=notify-reload` wants to know that this is not the word of an earlier reload.
            let now = clock_gettime(ClockId::Monotonic);
            let microseconds = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
            format!("RELOADING=1\nMONOTONIC_USEC={microseconds}")
        }
        State::Alive => "WATCHDOG=1".to_owned(),
        State::Stopping => "STOPPING=1".to_owned(),
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not listen must not hold up the server it watches.
    socket.set_nonblocking(matches!(state, State::Alive))?;
    socket.send_to_addr(text.as_bytes(), &address)?;
    Ok(())
}

/// How often [`State::Alive`] is to be told: twice in the time after which systemd restarts the
/// service (sd_watchdog_enabled(3)); `None` if it does not watch this process.
pub(crate) fn alive_every() -> Option<Duration> {
    let number = |name| env::var(name).ok()?.parse::<u64>().ok();
    let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(process::id()));
    let limit = number("WATCHDOG_USEC").filter(|limit| *limit > 0 && is_ours)?;
    Some(Duration::from_micros(limit) / 2)
}
