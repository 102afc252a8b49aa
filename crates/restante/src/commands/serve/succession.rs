//! Changing hands without a gap: taking the place of the server that runs, and leaving it to a
//! successor.

use std::{
    env,
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use restante_server::{
    Reconfiguration, ServerError, Transport,
    control::{
        Answer, Handed, Inheritance, Predecessors, Purpose, Reply, TakeOverError, take_over,
    },
};
use tokio::sync::Notify;

use super::{
    activation::{self, Sockets},
    beside::Beside,
    kept::Kept,
};
use crate::{configuration::Configuration, exit_code::ExitCode, failure::Failure};

/// The sockets of the server that runs, or new ones if none runs.
///
/// # Errors
/// It does not hand over, or an address cannot be had. It goes on as it was.
pub(super) fn sockets(configuration: &Configuration) -> Result<Sockets, Failure> {
    match take_over(&configuration.data).map_err(explain)? {
        None => activation::sockets(configuration),
        inheritance => activation::succeeding(configuration, inheritance),
    }
}

/// Tells the predecessor to accept no more. After that it is ours to accept.
///
/// # Errors
/// It may go on: then we must not begin.
pub(super) async fn begin(inheritance: &Inheritance) -> Result<(), Failure> {
    inheritance.step_in().await.map_err(explain)
}

fn explain(error: TakeOverError) -> Failure {
    let hint = match &error {
        TakeOverError::Refused(_) => "the running server goes on as it was",
        TakeOverError::Silent => "the running server may hang: look at its log, or end it",
        TakeOverError::Answer(_) | TakeOverError::Unexpected(_) => {
            "it may be of another version: stop it, then start this one"
        }
        _ => "start this one as the user that runs the other, or as root",
    };
    Failure::new(ExitCode::Unavailable, "cannot take over")
        .caused_by(error)
        .hint(hint)
}

/// What a successor of this server gets.
pub(super) struct Legacy {
    server: Reconfiguration,
    beside: Beside,
    kept: Arc<Kept>,
    /// Whoever holds the sockets must start the successor too.
    holder: Option<&'static str>,
    /// That of the last who asked; the others' are void. Zero is nobody's.
    ticket: AtomicU64,
    /// Told once a successor accepts.
    pub(super) done: Notify,
}

impl Legacy {
    pub(super) fn new(
        server: Reconfiguration,
        beside: Beside,
        kept: Arc<Kept>,
        are_lent: bool,
    ) -> Self {
        let is_a_service = env::var_os("NOTIFY_SOCKET").is_some();
        Self {
            server,
            beside,
            kept,
            holder: (are_lent || is_a_service)
                .then_some("it is a service: whoever started it restarts it (`systemctl restart`)"),
            ticket: AtomicU64::new(0),
            done: Notify::new(),
        }
    }

    /// Lends everything that listens.
    pub(super) async fn hand_over(&self, predecessors: &Predecessors) -> Answer {
        if let Some(why) = self.holder {
            return Reply::refused(why).into();
        }
        let lent = match self.server.lend().await {
            Ok(lent) => lent,
            Err(error) => return unavailable(&error),
        };
        let pop3 = lent.into_iter().map(|(transport, asked, socket)| {
            let purpose = match transport {
                Transport::Plain => Purpose::Pop3,
                Transport::Tls => Purpose::Pop3s,
            };
            Ok((Handed { purpose, asked }, socket))
        });
        let beside = self
            .beside
            .sockets
            .iter()
            .map(|(handed, socket)| Ok((*handed, socket.as_fd().try_clone_to_owned()?)));
        let all: Result<Vec<_>, std::io::Error> = pop3.chain(beside).collect();
        let (all, before) = match (all, predecessors.lend().await) {
            (Ok(all), Ok(before)) => (all, before),
            (Err(error), _) | (_, Err(error)) => return Reply::unavailable(error).into(),
        };
        let predecessors = before.len();
        let (sockets, mut descriptors): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        descriptors.extend(before);
        let ticket = self.ticket.fetch_add(1, Ordering::SeqCst) + 1;
        tracing::info!("a successor makes itself ready");
        Answer {
            reply: Reply::HandingOver {
                ticket,
                sockets,
                predecessors,
            },
            descriptors,
        }
    }

    /// Accepts no more, and lets this server come to its end.
    pub(super) async fn step_aside(&self, ticket: u64, process: u32) -> Reply {
        if ticket == 0 || ticket != self.ticket.load(Ordering::SeqCst) {
            return Reply::refused("another successor came later");
        }
        for running in &self.beside.running {
            running.abort();
        }
        if let Err(error) = self.server.close().await {
            return unavailable(&error).reply;
        }
        self.kept.hand_over().await;
        tracing::info!(process, "a successor accepts connections from now on");
        self.done.notify_one();
        Reply::SteppedAside
    }
}

fn unavailable(error: &ServerError) -> Answer {
    Reply::unavailable(error).into()
}
