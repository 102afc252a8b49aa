//! What the command line asks of the server that runs.

use std::sync::Arc;

use restante_server::{
    Sessions,
    accounts::{Authenticator, Culprit},
    control::{ControlError, ControlSocket, Reply, Request},
};
use tokio::task::JoinHandle;

use crate::{configuration::Configuration, exit_code::ExitCode, failure::Failure};

/// Takes the data directory for this server, and makes its control socket.
///
/// # Errors
/// Another server has it, or the socket cannot be made.
pub(super) fn bind(configuration: &Configuration) -> Result<ControlSocket, Failure> {
    ControlSocket::bind(&configuration.data).map_err(|error| match error {
        ControlError::InUse { .. } => Failure::new(ExitCode::Unavailable, error.to_string())
            .hint("stop it first, or give this one a directory of its own with `data`"),
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
    pub(super) authenticator: Arc<Authenticator>,
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

    async fn answer(self, request: Request) -> Reply {
        match request {
            Request::AccountChanged { account } => self.account_changed(&account).await,
            Request::Bans => Reply::bans(self.authenticator.bans()),
            Request::Release { who } => self.release(&who),
            _ => Reply::refused("not known to this server"),
        }
    }

    fn release(&self, who: &str) -> Reply {
        let was_banned = self.authenticator.release(&Culprit::named(who));
        tracing::info!(who, was_banned, "released");
        Reply::Released { was_banned }
    }

    async fn account_changed(&self, account: &str) -> Reply {
        match self.sessions.account_changed(account).await {
            Ok(sessions) => {
                tracing::info!(account, sessions, "account changed, sessions ended");
                Reply::SessionsEnded { sessions }
            }
            Err(error) => {
                tracing::error!(account, %error, "account changed, but it cannot be looked at");
                Reply::unavailable(error)
            }
        }
    }
}
