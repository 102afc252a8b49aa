//! Connections that are not served: what they are told, and what the log says of them.

use std::{
    io::Write as _,
    net::{IpAddr, Shutdown},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use restante_proto::server::{Refusal, refusal};
use tokio::{net::TcpStream, time::Instant};

use crate::{Transport, limits::OverLimit};

/// Refused connections are reported together, this often at most.
const REPORTED_EVERY: Duration = Duration::from_secs(10);

/// Says why in one line, where a line can be said without a handshake, and closes (PRJ-STATE-3).
///
/// A fresh connection has room for the line; whoever made it so that it has not gets none.
pub(crate) fn refuse(stream: TcpStream, transport: Transport, why: Refusal) {
    if transport == Transport::Tls {
        return;
    }
    // Failure means that the peer is gone already.
    let _ = stream.into_std().and_then(|mut stream| {
        stream.write_all(&refusal(why))?;
        stream.shutdown(Shutdown::Write)
    });
}

/// Connections over a limit, reported so that a flood of them does not become one of log lines.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<Unreported>);

#[derive(Debug, Default)]
struct Unreported {
    count: u64,
    reported: Option<Instant>,
}

impl Refusals {
    pub(crate) fn count(&self, over: OverLimit, peer: IpAddr) {
        // Nothing under the lock panics; a poisoned count would still be one.
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refused.count += 1;
        let now = Instant::now();
        let due = |reported: Instant| now >= reported + REPORTED_EVERY;
        if refused.reported.is_none_or(due) {
            let limit = match over {
                OverLimit::Total => "connections",
                OverLimit::Address => "connections_per_address",
                OverLimit::Failures => "bans.failures",
            };
            let count = refused.count;
            tracing::warn!(limit, %peer, count, "connections refused, the last from");
            *refused = Unreported {
                count: 0,
                reported: Some(now),
            };
        }
    }
}
