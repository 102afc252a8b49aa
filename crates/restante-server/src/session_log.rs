//! What the log says of a session: one line when somebody logs in, one when it ends (promise of
//! the log: account, counts, octets, duration, reason; never a secret, PRJ-SEC-2).

use std::{net::SocketAddr, sync::Arc};

use restante_proto::server::Statistics;
use tokio::time::Instant;

use crate::{
    accounts::{Refusal, Refused},
    link::Traffic,
    log,
    metrics::{EndedConnection, Metrics},
};

/// What is known of one session, and writes the session line when it is dropped: also after a
/// panic, and when the task is cut off.
pub(crate) struct SessionLog {
    /// Tells the lines of one connection from those of another.
    pub(crate) number: u64,
    pub(crate) peer: SocketAddr,
    /// The proxy that has made the connection for the peer.
    pub(crate) proxy: Option<SocketAddr>,
    /// The TLS version, or `none`.
    pub(crate) tls: &'static str,
    /// Who is logged in.
    pub(crate) account: Option<String>,
    pub(crate) statistics: Statistics,
    /// How many messages the update has removed.
    pub(crate) removed: usize,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) reason: &'static str,
    metrics: Arc<Metrics>,
    began: Instant,
}

impl SessionLog {
    pub(crate) fn new(number: u64, peer: SocketAddr, metrics: Arc<Metrics>) -> Self {
        Self {
            number,
            peer,
            proxy: None,
            tls: "none",
            account: None,
            statistics: Statistics::default(),
            removed: 0,
            traffic: Arc::default(),
            // What stays if nobody comes to say better.
            reason: "cut off",
            metrics,
            began: Instant::now(),
        }
    }

    /// Somebody has proven to be `account`.
    pub(crate) fn logged_in(&mut self, account: &str, mechanism: &str) {
        self.metrics.login(None);
        self.account = Some(account.to_owned());
        tracing::info!(
            session = self.number,
            account,
            mechanism,
            tls = self.tls,
            peer = %self.peer,
            "login"
        );
    }

    /// `account` was right and came too soon.
    pub(crate) fn login_too_soon(&self, account: &str, mechanism: &str) {
        tracing::info!(
            session = self.number,
            name = account,
            mechanism,
            tls = self.tls,
            peer = %self.peer,
            reason = "login delay has not passed",
            "login refused"
        );
    }

    /// Somebody was refused.
    pub(crate) fn login_refused(&self, refused: &Refused, mechanism: &str) {
        self.metrics.login(Some(refused.why));
        let name = refused.name.as_deref();
        let reason = log::causes(&refused.cause);
        let (session, tls, peer) = (self.number, self.tls, self.peer);
        match refused.why {
            // The server defends itself: nothing has to be put right.
            _ if refused.cause.is_defence() => {
                tracing::info!(session, name, mechanism, tls, %peer, reason, "login refused");
            }
            // Ours to put right, whoever it was that noticed.
            Refusal::Temporary | Refusal::Permanent => {
                tracing::error!(session, name, mechanism, tls, %peer, reason, "login failed");
            }
            _ => tracing::info!(session, name, mechanism, tls, %peer, reason, "login refused"),
        }
    }
}

impl Drop for SessionLog {
    fn drop(&mut self) {
        let statistics = &self.statistics;
        self.metrics.connection_ended(EndedConnection {
            was_logged_in: self.account.is_some(),
            received: self.traffic.received(),
            sent: self.traffic.sent(),
            retrieved: statistics.retrieved,
            removed: u64::try_from(self.removed).unwrap_or(u64::MAX),
        });
        let milliseconds = self.began.elapsed().as_millis();
        tracing::info!(
            session = self.number,
            account = self.account.as_deref(),
            peer = %self.peer,
            proxy = self.proxy.map(tracing::field::display),
            tls = self.tls,
            retr = statistics.retrieved,
            retr_octets = statistics.retrieved_octets,
            top = statistics.top,
            dele = statistics.deleted,
            removed = self.removed,
            received = self.traffic.received(),
            sent = self.traffic.sent(),
            milliseconds = u64::try_from(milliseconds).unwrap_or(u64::MAX),
            reason = self.reason,
            "session ended"
        );
    }
}
