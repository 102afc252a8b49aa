//! What stands behind a session: who is logged in, and the open maildrop. It does what the
//! protocol machine asks for and answers it.

use std::{future::pending, sync::Arc};

use restante_maildrop::{
    Access, DeleteMode, Lost, Maildrop, Marks, OpenError, Shows, Store, UpdateError, Updated, View,
    ViewName, Visitor,
};
use restante_proto::{
    MessageNumber, MessageSet, Mode, Part,
    server::{Action, LoginRefusal, MessageRefusal, OpenRefusal, Opened, Session},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    select,
};

use crate::{
    accounts::{Authenticated, Device, DirectoryError},
    clock::Clock,
    last_logins::{LastLogin, unix_seconds},
    limits::AccountSlot,
    link::{Link, SendError},
    log,
    login::{Answer, Conversation},
    metrics::Step,
    retention::expire,
    retrieve::{Retrieved, Wanted, send_message},
    server::{Current, Shared},
    session_log::SessionLog,
    sessions::{Login, Moment, Place},
};

/// What stands behind one session. Dropping it releases the maildrop and removes nothing.
pub(crate) struct Host<S: Store> {
    shared: Arc<Shared<S>>,
    current: Arc<Current>,
    clock: Clock,
    conversation: Conversation,
    /// In a box: most who are connected have not logged in.
    login: Option<Box<LoggedIn>>,
    maildrop: Option<S::Maildrop>,
    /// Sent whole by RETR, for the journal of a session that ends without QUIT.
    retrieved: MessageSet,
    log: Box<SessionLog>,
}

/// Whose session it is.
struct LoggedIn {
    place: Place,
    view: View,
    /// What the mailbox's journal will say of who it was.
    visitor: Visitor,
    /// Counts the session against the account's limit.
    slot: Option<AccountSlot>,
}

impl LoggedIn {
    fn is_read_only(&self) -> bool {
        access(&self.place.login().authenticated) == Access::ReadOnly
    }
}

/// What a login may do with mail.
fn access(authenticated: &Authenticated) -> Access {
    match authenticated.device.as_deref() {
        Some(device) => device.access(),
        None => Access::Full,
    }
}

impl<S: Store> Host<S> {
    pub(crate) fn new(
        shared: Arc<Shared<S>>,
        current: Arc<Current>,
        clock: Clock,
        conversation: Conversation,
        log: Box<SessionLog>,
    ) -> Self {
        Self {
            shared,
            current,
            clock,
            conversation,
            login: None,
            maildrop: None,
            retrieved: MessageSet::new(),
            log,
        }
    }

    /// Ends it all, but for what the log will say. What was retrieved without a QUIT is entered
    /// into the mailbox's journal first.
    pub(crate) async fn into_log(mut self) -> Box<SessionLog> {
        if let (Some(maildrop), Some(login)) = (self.maildrop.take(), &self.login) {
            let marks = Marks {
                deleted: MessageSet::new(),
                retrieved: std::mem::take(&mut self.retrieved),
                visitor: login.visitor.clone(),
            };
            maildrop.leave(marks).await;
        }
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
        let step = step_of(&action);
        let begun = self.clock.now();
        let performed = self.perform_untimed(action, session, link, out).await;
        if let Some(step) = step {
            let took = self.clock.now().saturating_sub(begun);
            self.shared.metrics.took(step, took);
        }
        performed
    }

    async fn perform_untimed<T>(
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
            let before = session.statistics().retrieved;
            let sent = self.retrieve(&wanted, session, link, out).await;
            if part == Part::Whole && session.statistics().retrieved > before {
                self.retrieved.insert(number);
            }
            return sent;
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
            self.update(deleted, retrieved, session).await;
            return Ok(());
        }
        sent?;
        let authenticator = &self.current.authenticator;
        let as_of = self.shared.sessions.now();
        match action {
            Action::Login(login) => {
                let answer = self.conversation.begin(authenticator, login).await;
                self.answer_login(answer, as_of, session);
            }
            Action::SaslResponse(response) => {
                let answer = self.conversation.respond(response).await;
                self.answer_login(answer, as_of, session);
            }
            Action::SaslCancelled => self.conversation.cancel(),
            Action::Open => self.open(session).await,
            Action::Measure { through, mode } => self.measure(through, mode, session).await,
            action => tracing::error!(?action, "an action nobody does"),
        }
        Ok(())
    }

    /// Completes when the maildrop's lease is lost, or what the session was logged in with.
    pub(crate) async fn lost(&self) -> Lost {
        let lease = async {
            match &self.maildrop {
                Some(maildrop) => maildrop.lost().await,
                None => pending().await,
            }
        };
        let why = select! {
            () = withdrawn(self.login.as_deref()) => Lost::Credential,
            why = lease => why,
        };
        tracing::warn!(session = self.log.number, ?why, "session lost its maildrop");
        why
    }

    /// Whether what the session was logged in with is known not to hold any more: a pipeline may
    /// never get to waiting.
    pub(crate) fn is_withdrawn(&self) -> bool {
        let login = self.login.as_deref();
        login.is_some_and(|login| login.place.is_withdrawn())
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
        let utf8_headers = self.current.settings.utf8_headers;
        let clock = self.clock;
        let retrieved = select! {
            biased;
            // A thief who reads slowly would have hours. Nothing is deleted by a cut.
            () = withdrawn(self.login.as_deref()) => Err(SendError::Withdrawn),
            sent = send_message(maildrop, wanted, utf8_headers, session, link, clock, out) => sent,
        };
        if retrieved? == Retrieved::Failed {
            self.shared.metrics.failed(retrieval(wanted.part));
        }
        Ok(())
    }

    /// What a login sees, and by which rules its mail leaves.
    fn view(&self, authenticated: &Authenticated) -> View {
        let policy = authenticated.choices.over(self.current.settings.policy);
        let name = match (policy.delete, &authenticated.device) {
            (DeleteMode::Shared, _) => ViewName::shared(),
            (DeleteMode::PerDevice, Some(device)) => device.view(),
            (DeleteMode::PerDevice, None) => Device::default_view(),
        };
        let shows = authenticated
            .choices
            .shows_over(&self.current.settings.shows);
        View {
            name,
            policy,
            shows: Shows {
                only: authenticated.folder.clone(),
                ..shows
            },
            access: access(authenticated),
            ..View::shared(authenticated.mailbox.clone())
        }
    }

    fn is_too_soon(&self, authenticated: &Authenticated) -> bool {
        let place = place(&self.view(authenticated));
        let delay = authenticated.choices.login_delay;
        let delay = delay.unwrap_or(self.current.settings.login_delay);
        self.shared.login_delay.is_too_soon(&place, delay)
    }

    fn answer_login(&mut self, answer: Answer, as_of: Moment, session: &mut Session) {
        let now = self.clock.now();
        match answer {
            Answer::Challenge(base64) => session.sasl_challenge(now, &base64),
            Answer::Authenticated(authenticated) if self.is_too_soon(&authenticated) => {
                self.log
                    .login_too_soon(&authenticated.account, self.conversation.mechanism());
                session.login_refused(now, LoginRefusal::LoginDelay);
            }
            Answer::Authenticated(authenticated) => {
                self.log
                    .logged_in(&authenticated.account, self.conversation.mechanism());
                let login = LastLogin {
                    when: unix_seconds(),
                    address: self.conversation.address(),
                    mechanism: self.conversation.mechanism().to_owned(),
                    credential: authenticated.credential.clone(),
                };
                let last_logins = &self.shared.last_logins;
                last_logins.note(&authenticated.account, login);
                let view = self.view(&authenticated);
                let visitor = Visitor {
                    session: self.log.number,
                    address: Some(self.conversation.address()),
                    mechanism: self.conversation.mechanism().to_owned(),
                    credential: authenticated.credential.clone(),
                };
                let login = Login {
                    authenticator: Arc::clone(&self.current.authenticator),
                    authenticated,
                    address: self.conversation.address(),
                };
                let place = self.shared.sessions.enter(login, as_of);
                self.login = Some(Box::new(LoggedIn {
                    place,
                    view,
                    visitor,
                    slot: None,
                }));
                session.authenticated(now);
            }
            Answer::Refused(refused) => {
                self.log
                    .login_refused(&refused, self.conversation.mechanism());
                session.login_refused(now, refused.why.into());
            }
            Answer::Doomed(base64, refused) => {
                self.log
                    .login_refused(&refused, self.conversation.mechanism());
                session.sasl_challenge(now, &base64);
            }
            Answer::Dismissed(why) => session.login_refused(now, why.into()),
        }
    }

    /// Opens the maildrop of whoever has logged in, if the account has room for one more session.
    async fn open(&mut self, session: &mut Session) {
        let Some(login) = &mut self.login else {
            return session.open_refused(self.clock.now(), OpenRefusal::Permanent);
        };
        let account = &login.place.login().authenticated.account;
        // Whoever changed the account meanwhile did not find this session yet.
        if login.place.may_be_late() {
            match login.place.login().still_holds().await {
                Ok(true) => {}
                Ok(false) => return session.open_refused(self.clock.now(), OpenRefusal::Temporary),
                Err(error) => {
                    tracing::error!(account, error = log::causes(&error), "login not confirmed");
                    return session.open_refused(self.clock.now(), OpenRefusal::Temporary);
                }
            }
        }
        let Some(slot) = self.shared.counts.admit_account(account) else {
            tracing::warn!(
                session = self.log.number,
                account,
                "too many sessions of the account"
            );
            return session.open_refused(self.clock.now(), OpenRefusal::InUse);
        };
        match self
            .shared
            .store
            .open(&login.view, self.current.settings.in_use_wait)
            .await
        {
            Ok(maildrop) => {
                let messages = Arc::clone(maildrop.messages());
                let own = login.place.login().authenticated.choices.login_delay;
                let delay = own.unwrap_or(self.current.settings.login_delay);
                let delays = &self.shared.login_delay;
                delays.opened(&place(&login.view), delay);
                login.slot = Some(slot);
                self.maildrop = Some(maildrop);
                let announced = self.current.session.expire;
                let opened = Opened {
                    messages,
                    expire: announced.map(|_| expire(login.view.policy)),
                    // R2449-DELAY-2: its own.
                    login_delay: (own.is_some() || self.current.session.login_delay.is_some())
                        .then_some(delay),
                    read_only: login.is_read_only(),
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
                if !matches!(error, OpenError::InUse) {
                    self.shared.metrics.failed(Step::Open);
                }
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
                self.shared.metrics.failed(Step::Measure);
                tracing::error!(error = log::causes(&error), "messages not measured");
                session.measure_failed(self.clock.now());
            }
        }
    }

    /// Removes what is marked. Once begun it goes to its end, whatever becomes of the connection
    /// (PRJ-QUIT-7).
    async fn update(&mut self, deleted: MessageSet, retrieved: MessageSet, session: &mut Session) {
        let (Some(maildrop), Some(login)) = (self.maildrop.take(), self.login.as_ref()) else {
            return session.update_failed(self.clock.now());
        };
        let marks = Marks {
            deleted,
            retrieved,
            visitor: login.visitor.clone(),
        };
        let begun = self.shared.updates.enter();
        let login = Arc::clone(login.place.login());
        let update = tokio::spawn(async move {
            let updated = update_if_login_holds(maildrop, marks, &login).await;
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
            Ok(Err(error @ NotUpdated::Withdrawn)) => {
                tracing::warn!(error = log::causes(&error), "update refused");
                session.credential_lost(self.clock.now());
            }
            Ok(Err(error)) => {
                self.shared.metrics.failed(Step::Update);
                tracing::error!(error = log::causes(&error), "update failed");
                session.update_failed(self.clock.now());
            }
            Err(error) => {
                self.shared.metrics.failed(Step::Update);
                tracing::error!(error = error.to_string(), "update panicked");
                session.update_failed(self.clock.now());
            }
        }
    }
}

/// What has a login delay of its own: two devices may come at once, one may not come twice.
fn place(view: &View) -> String {
    format!("{}\n{}", view.mailbox.account, view.name.as_str())
}

/// What an action counts as, for those who watch how long it takes.
fn step_of(action: &Action) -> Option<Step> {
    match action {
        Action::Login(_) | Action::SaslResponse(_) => Some(Step::Login),
        Action::Open => Some(Step::Open),
        Action::Measure { .. } => Some(Step::Measure),
        Action::Retrieve { part, .. } => Some(retrieval(*part)),
        Action::Update { .. } => Some(Step::Update),
        _ => None,
    }
}

fn retrieval(part: Part) -> Step {
    match part {
        Part::Whole => Step::Retrieve,
        Part::Top { .. } => Step::Top,
    }
}

/// Why an update was not made, or not wholly.
#[derive(Debug, thiserror::Error)]
enum NotUpdated {
    /// The account or its password is not what it was at the login: nothing was removed.
    #[error("the login does not hold any more, nothing was removed")]
    Withdrawn,
    /// Nobody can tell whether it is: nothing was removed.
    #[error("the login could not be confirmed, nothing was removed")]
    Unconfirmed(#[source] DirectoryError),
    #[error(transparent)]
    Store(#[from] UpdateError),
}

/// Removes what is marked, unless the session has outlived its login: somebody who has lost the
/// account must not take its mail along.
async fn update_if_login_holds<M: Maildrop>(
    maildrop: M,
    mut marks: Marks,
    login: &Login,
) -> Result<Updated, NotUpdated> {
    // A poll that changes nothing needs nobody's leave.
    if !(marks.deleted.is_empty() && marks.retrieved.is_empty()) {
        match login.still_holds().await {
            Ok(true) => {}
            Ok(false) => {
                // Above all of a thief it shall be known what he has read.
                maildrop.leave(marks).await;
                return Err(NotUpdated::Withdrawn);
            }
            // What is not known to have been retrieved stays: nothing is lost.
            Err(error) if marks.deleted.is_empty() => {
                tracing::warn!(error = log::causes(&error), "login not confirmed");
                marks.retrieved.clear();
            }
            Err(error) => {
                maildrop.leave(marks).await;
                return Err(NotUpdated::Unconfirmed(error));
            }
        }
    }
    Ok(maildrop.update(marks).await?)
}

/// Completes when what a session was logged in with is known not to hold any more.
async fn withdrawn(login: Option<&LoggedIn>) {
    match login {
        Some(login) => login.place.withdrawn().await,
        None => pending().await,
    }
}

fn refusal(error: &OpenError) -> OpenRefusal {
    match error {
        OpenError::InUse => OpenRefusal::InUse,
        OpenError::Permanent(_) => OpenRefusal::Permanent,
        _ => OpenRefusal::Temporary,
    }
}
