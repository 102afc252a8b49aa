//! What stands behind a session: who is logged in, and the open maildrop. It does what the
//! protocol machine asks for and answers it.

use std::{future::pending, sync::Arc};

use restante_maildrop::{Maildrop, Marks, OpenError, Store, View, ViewName};
use restante_proto::{
    MessageNumber, Mode,
    server::{Action, MessageRefusal, OpenRefusal, Opened, Session},
};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    clock::Clock,
    limits::AccountSlot,
    link::{Link, SendError},
    log,
    login::{Answer, Conversation},
    retrieve::{Wanted, send_message},
    server::Shared,
    session_log::SessionLog,
};

/// What stands behind one session. Dropping it releases the maildrop and removes nothing.
pub(crate) struct Host<S: Store> {
    shared: Arc<Shared<S>>,
    clock: Clock,
    conversation: Conversation,
    login: Option<LoggedIn>,
    maildrop: Option<S::Maildrop>,
    log: SessionLog,
}

/// Whose session it is.
struct LoggedIn {
    /// The canonical name.
    account: String,
    view: View,
    /// Counts the session against the account's limit.
    slot: Option<AccountSlot>,
}

impl<S: Store> Host<S> {
    pub(crate) fn new(
        shared: Arc<Shared<S>>,
        clock: Clock,
        conversation: Conversation,
        log: SessionLog,
    ) -> Self {
        Self {
            shared,
            clock,
            conversation,
            login: None,
            maildrop: None,
            log,
        }
    }

    /// Ends it all, but for what the log will say.
    pub(crate) fn into_log(self) -> SessionLog {
        self.log
    }

    /// Does `action` and gives `session` the answer it waits for. What is in `out` goes first.
    pub(crate) async fn perform<T>(
        &mut self,
        action: Action,
        session: &mut Session,
        link: &mut Link<T>,
        out: &mut Vec<u8>,
    ) -> Result<(), SendError>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        if let Action::Retrieve { number, part, mode } = action {
            let wanted = Wanted { number, mode, part };
            return self.retrieve(&wanted, session, link, out).await;
        }
        // The others may take long; what is answered already must not wait for them.
        let sent = link.send(out).await;
        if let Action::Update {
            deleted,
            mut retrieved,
        } = action
        {
            // PRJ-QUIT-7: QUIT was received in full, so what was deleted goes, whether or not the
            // peer is there to hear of it. What may not have reached it is not retrieved.
            if sent.is_err() {
                retrieved.clear();
            }
            self.update(Marks { deleted, retrieved }, session).await;
            return Ok(());
        }
        sent?;
        let authenticator = &self.shared.authenticator;
        match action {
            Action::Login(login) => {
                let answer = self.conversation.begin(authenticator, login).await;
                self.answer_login(answer, session);
            }
            Action::SaslResponse(response) => {
                let answer = self.conversation.respond(response).await;
                self.answer_login(answer, session);
            }
            Action::SaslCancelled => self.conversation.cancel(),
            Action::Open => self.open(session).await,
            Action::Measure { through, mode } => self.measure(through, mode, session).await,
            action => tracing::error!(?action, "an action nobody does"),
        }
        Ok(())
    }

    /// Completes when the maildrop's lease is lost.
    pub(crate) async fn lost(&self) {
        match &self.maildrop {
            Some(maildrop) => {
                let why = maildrop.lost().await;
                tracing::warn!(session = self.log.number, ?why, "session lost its maildrop");
            }
            None => pending().await,
        }
    }

    async fn retrieve<T>(
        &mut self,
        wanted: &Wanted,
        session: &mut Session,
        link: &mut Link<T>,
        out: &mut Vec<u8>,
    ) -> Result<(), SendError>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let Some(maildrop) = &self.maildrop else {
            session.message_refused(self.clock.now(), MessageRefusal::Temporary);
            return Ok(());
        };
        send_message(maildrop, wanted, session, link, self.clock, out).await
    }

    fn answer_login(&mut self, answer: Answer, session: &mut Session) {
        let now = self.clock.now();
        match answer {
            Answer::Challenge(base64) => session.sasl_challenge(now, &base64),
            Answer::Authenticated(authenticated) => {
                self.log
                    .logged_in(&authenticated.account, self.conversation.mechanism());
                let view = View {
                    mailbox: authenticated.mailbox,
                    name: ViewName::shared(),
                };
                self.login = Some(LoggedIn {
                    account: authenticated.account,
                    view,
                    slot: None,
                });
                session.authenticated(now);
            }
            Answer::Refused(refused) => {
                self.log
                    .login_refused(&refused, self.conversation.mechanism());
                session.login_refused(now, refused.why.into());
            }
        }
    }

    /// Opens the maildrop of whoever has logged in, if the account has room for one more session.
    async fn open(&mut self, session: &mut Session) {
        let Some(login) = &mut self.login else {
            return session.open_refused(self.clock.now(), OpenRefusal::Permanent);
        };
        let account = &login.account;
        let Some(slot) = self.shared.counts.admit_account(account) else {
            tracing::warn!(
                session = self.log.number,
                account,
                "too many sessions of the account"
            );
            return session.open_refused(self.clock.now(), OpenRefusal::InUse);
        };
        let wait = self.shared.settings.in_use_wait;
        match self.shared.store.open(&login.view, wait).await {
            Ok(maildrop) => {
                let messages = Arc::clone(maildrop.messages());
                login.slot = Some(slot);
                self.maildrop = Some(maildrop);
                let opened = Opened {
                    messages,
                    expire: None,
                    login_delay: None,
                };
                session.opened(self.clock.now(), opened);
            }
            Err(error) => {
                tracing::warn!(
                    session = self.log.number,
                    account,
                    error = log::causes(&error),
                    "maildrop not opened"
                );
                session.open_refused(self.clock.now(), refusal(&error));
            }
        }
    }

    async fn measure(&mut self, through: MessageNumber, mode: Mode, session: &mut Session) {
        let measured = match &self.maildrop {
            Some(maildrop) => maildrop.measure(mode, through).await,
            None => return session.measure_failed(self.clock.now()),
        };
        match measured {
            Ok(()) => session.measured(self.clock.now()),
            Err(error) => {
                tracing::error!(error = log::causes(&error), "messages not measured");
                session.measure_failed(self.clock.now());
            }
        }
    }

    /// Removes what is marked. Once begun it goes to its end, whatever becomes of the connection
    /// (PRJ-QUIT-7).
    async fn update(&mut self, marks: Marks, session: &mut Session) {
        let Some(maildrop) = self.maildrop.take() else {
            return session.update_failed(self.clock.now());
        };
        let begun = self.shared.updates.enter();
        let update = tokio::spawn(async move {
            let updated = maildrop.update(marks).await;
            drop(begun);
            updated
        });
        // The next login must find the account's place free when it has read the answer.
        let done = update.await;
        self.login = None;
        match done {
            Ok(Ok(updated)) => {
                self.log.removed = updated.removed;
                session.updated(self.clock.now());
            }
            Ok(Err(error)) => {
                tracing::error!(error = log::causes(&error), "update failed");
                session.update_failed(self.clock.now());
            }
            Err(error) => {
                tracing::error!(error = error.to_string(), "update panicked");
                session.update_failed(self.clock.now());
            }
        }
    }
}

fn refusal(error: &OpenError) -> OpenRefusal {
    match error {
        OpenError::InUse => OpenRefusal::InUse,
        OpenError::Permanent(_) => OpenRefusal::Permanent,
        _ => OpenRefusal::Temporary,
    }
}
