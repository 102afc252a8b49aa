//! What the command line asks of the server that runs.

use std::sync::Arc;

use restante_server::{
    LastLogins, Reconfiguration, Sessions,
    accounts::Culprit,
    control::{Answer, ControlError, ControlSocket, Inheritance, Predecessors, Reply, Request},
};
use tokio::task::JoinHandle;

use super::succession::Legacy;
use crate::{configuration::Configuration, exit_code::ExitCode, failure::Failure};

/// Takes the data directory for this server, and makes its control socket; of a server whose place
/// this one takes, only what is to be made before.
///
/// # Errors
/// Another server has it, or the socket cannot be made.
pub(super) fn bind(
    configuration: &Configuration,
    inheritance: Option<&Inheritance>,
) -> Result<ControlSocket, Failure> {
    let data = &configuration.data;
    let made = match inheritance {
        None => ControlSocket::bind(data),
        Some(inheritance) => ControlSocket::inherit(data, inheritance),
    };
    made.map_err(|error| match error {
        ControlError::InUse { .. } => Failure::new(ExitCode::Unavailable, error.to_string()).hint(
            "stop it first, take its place with `--take-over`, or give this one a directory \
                 of its own with `data`",
        ),
        error => Failure::new(ExitCode::Io, "no control socket")
            .caused_by(error)
            .hint(
                "`data` names the directory; it must be writable to the user that runs the server",
            ),
    })
}

/// What requests are about.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) sessions: Arc<Sessions>,
    pub(super) logins: Arc<LastLogins>,
    pub(super) server: Reconfiguration,
    pub(super) legacy: Arc<Legacy>,
    /// Who served before, while their sessions come to their end.
    pub(super) predecessors: Arc<Predecessors>,
}

impl Desk {
    /// Answers requests until the task is aborted.
    pub(super) fn open(self, socket: ControlSocket) -> JoinHandle<()> {
        tokio::spawn(async move {
            if let Err(error) = socket
                .serve(move |request| self.clone().answer(request))
                .await
            {
                tracing::error!(%error, "no control socket: commands do not reach this server");
            }
        })
    }

    async fn answer(self, request: Request) -> Answer {
        let reply = match request {
            Request::AccountChanged { account } => self.account_changed(account).await,
            Request::Bans => Reply::bans(self.server.authenticator().bans()),
            Request::LastLogin { account } => Reply::LastLogin {
                login: self.logins.of(&account),
            },
            Request::Release { who } => self.release(&who),
            Request::HandOver => return self.legacy.hand_over(&self.predecessors).await,
            Request::StepAside { ticket, process } => self.legacy.step_aside(ticket, process).await,
            _ => Reply::refused("not known to this server"),
        };
        reply.into()
    }

    fn release(&self, who: &str) -> Reply {
        // By the names that count now, after a reload too.
        let authenticator = self.server.authenticator();
        let was_banned = authenticator.release(&Culprit::named(who));
        tracing::info!(who, was_banned, "released");
        Reply::Released { was_banned }
    }

    async fn account_changed(&self, account: String) -> Reply {
        self.server.learn_choices().await;
        let elsewhere = self.changed_at_predecessors(&account).await;
        match (self.sessions.account_changed(&account).await, elsewhere) {
            (Ok(here), Ok(elsewhere)) => {
                let sessions = here + elsewhere;
                tracing::info!(account, sessions, "account changed, sessions ended");
                Reply::SessionsEnded { sessions }
            }
            (Err(error), _) => {
                tracing::error!(account, %error, "account changed, but it cannot be looked at");
                Reply::unavailable(error)
            }
            (_, Err(why)) => {
                tracing::error!(account, why, "account changed, but its sessions may go on");
                Reply::unavailable(why)
            }
        }
    }

    /// Tells the servers before this one too, whose sessions may go on; how many they ended.
    async fn changed_at_predecessors(&self, account: &str) -> Result<usize, String> {
        let account = account.to_owned();
        let request = Request::AccountChanged { account };
        let replies = self.predecessors.ask(&request).await;
        let replies = replies.map_err(|error| error.to_string())?;
        let sessions = replies.into_iter().map(|reply| match reply {
            Reply::SessionsEnded { sessions } => Ok(sessions),
            Reply::Refused { why, .. } => Err(why),
            _ => Err("a server before this one gave another answer".to_owned()),
        });
        sessions.sum()
    }
}
