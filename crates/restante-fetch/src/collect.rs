//! One run of one account: sessions, until nothing new comes.

use std::{
    collections::HashMap,
    ops::RangeInclusive,
    path::Path,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use restante_client::{Assurance, Client, Connection, Error, Listing, Login};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use tokio::{sync::mpsc, task::JoinError};
use tracing::info;

use crate::{
    account::Account,
    chain::{Break, Chain, Feeder, Place, SharedState, lock, recover, sync, unix_now},
    claims::Claims,
    destination::AnyDestination,
    event::{Event, Listener},
    plan::{Deed, Plan, Policy},
    report::Report,
    session::{self, Tally, Work},
    state::{Named, Seen, State},
    trouble::{Causes, Trouble},
};

/// What a server that shows only a part of its mail in one session may show: about 250 messages at
/// one large provider. Where the half of it was new, or has gone, there may be more behind it, and
/// the server is asked again. The poll that finds a few new messages takes one login all the same.
const PART_MESSAGES: RangeInclusive<u64> = 50..=1000;
/// So many sessions in a row may bring no mail, though each ends at a message that is to blame and
/// does not come again.
const BARREN_MAX: u64 = 8;
/// So many sessions make a run: a server that always has new mail must not hold us for ever.
const SESSIONS_MAX: u64 = 1000;

/// Collects an account's mail, once.
///
/// Everything that was begun is ended: what arrived is in the state, whatever the report says.
/// Dropping the future is as a crash is: nothing is lost.
pub async fn collect(
    account: &Account,
    state_directory: &Path,
    destinations: Vec<AnyDestination>,
    listener: Arc<dyn Listener>,
    stop: impl Future<Output = ()> + Send,
) -> Report {
    let mut run = Run {
        account,
        listener: listener.clone(),
        places: destinations.into_iter().map(Place::new).collect(),
        report: Report::default(),
        failed: HashMap::new(),
        without_top: false,
    };
    let opened = match run.places.is_empty() {
        true => Err(Trouble::NoDestination),
        false => open_state(state_directory, account).await,
    };
    let trouble = match opened {
        Ok(state) => {
            let trouble = run.sessions(&state, stop).await.err();
            trouble.or(finish(&state).await.err())
        }
        Err(trouble) => Some(trouble),
    };
    let mut report = run.report;
    report.trouble = trouble;
    if report.trouble.is_none() && report.not_collected > 0 {
        let count = usize::try_from(report.not_collected).unwrap_or(usize::MAX);
        report.trouble = Some(Trouble::SetAside { count });
    }
    let report_ended = Event::Ended { report: &report };
    listener.hear(account.name.as_str(), report_ended);
    report
}

/// Shows what a run would do: it logs in and lists, and changes nothing, here or there.
///
/// # Errors
/// [`Trouble`].
pub async fn look(
    account: &Account,
    state_directory: &Path,
) -> Result<(Listing, Seen, Plan), Trouble> {
    let seen = State::look(state_directory, account.name.as_str())?;
    let (client, listing) = begin(account).await?;
    // QUIT deletes nothing: nothing was marked.
    let _ = client.quit().await;
    let plan = Plan::new(&listing, &seen, &account.policy, unix_now());
    Ok((listing, seen, plan))
}

struct Run<'a> {
    account: &'a Account,
    listener: Arc<dyn Listener>,
    places: Vec<Place>,
    report: Report,
    /// Messages that were tried in this run and did not arrive. They were told of, and their next
    /// turn is the next run's: what a server or a destination refuses, it refuses a moment later too.
    failed: HashMap<Named, u64>,
    /// The server breaks down at TOP: messages tell themselves who they are.
    without_top: bool,
}

/// What a session brought.
struct Brought {
    /// Messages that have arrived.
    arrived: u64,
    /// Messages that the server has deleted.
    deleted: u64,
    /// Messages that were tried and did not arrive.
    failed: usize,
    /// Messages that were listed.
    listed: u64,
    /// The server wants some time between logins.
    login_delay: bool,
    trouble: Option<Trouble>,
    /// It came before anything was listed.
    turned_away: bool,
    /// The server broke down at TOP, and nothing came of the session.
    stuck_at_top: bool,
}

impl Brought {
    /// Whether this may be a part of what there is.
    fn may_be_part(&self) -> bool {
        let moved = self.arrived.max(self.deleted);
        PART_MESSAGES.contains(&self.listed) && moved.saturating_mul(2) >= self.listed
    }
}

impl Run<'_> {
    async fn sessions(
        &mut self,
        state: &SharedState,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<(), Trouble> {
        recover(state, &mut self.places).await?;
        let mut stop = std::pin::pin!(stop);
        let (mut looks_again, mut shows_parts, mut barren) = (false, false, 0);
        let mut broke = None;
        loop {
            self.report.sessions += 1;
            let brought = self.session(state, stop.as_mut()).await?;
            // There was more: the next part may be a small one, and not the last.
            shows_parts |= looks_again && brought.arrived > 0;
            barren = match brought.arrived {
                0 => barren + 1,
                _ => 0,
            };
            let part = shows_parts || brought.may_be_part();
            let goes_on = self.report.sessions < SESSIONS_MAX;
            // A server may say that it deletes, and not do it: that is believed once in a row.
            let more = goes_on && (barren == 0 || barren == 1 && brought.deleted > 0);
            let others = goes_on && (barren == 0 || barren <= BARREN_MAX && brought.failed > 0);
            let Some(trouble) = brought.trouble else {
                if !more || !part || brought.login_delay {
                    return Ok(());
                }
                (looks_again, broke) = (true, None);
                continue;
            };
            // The line broke, but it brought something, or a message was to blame that is not asked
            // for again: the next may bring the rest. A server that breaks down at TOP would do so
            // in every run, and what waits for that would wait for ever.
            let of_the_line = others && trouble.is_of_the_line();
            let at_top = brought.stuck_at_top && !self.without_top;
            if of_the_line || at_top {
                self.without_top |= !of_the_line;
                let why = Causes(&trouble).to_string();
                self.say(Event::Again { why: &why });
                (looks_again, broke) = (false, Some(trouble));
                continue;
            }
            return match (brought.turned_away, looks_again, broke) {
                // All that was listed first is here; looking again was only to see if there is more.
                (true, true, _) => Ok(()),
                // The password was right a moment ago: it is not what is refused.
                (true, false, Some(before)) => Err(before),
                _ => Err(trouble),
            };
        }
    }

    /// Notes what the connection assures. That it is a pin is told as what it is (R8314-PIN-1).
    fn assured(&mut self) {
        let assurance = self.account.server.security.assurance();
        if assurance == Assurance::Pinned && self.report.assurance.is_none() {
            let host = self.account.server.host.escape_debug();
            info!(account = %self.account.name, %host, "connection pinned, not verified");
        }
        self.report.assurance = Some(assurance);
    }

    fn say(&self, event: Event<'_>) {
        self.listener.hear(self.account.name.as_str(), event);
    }

    /// One session. `Err`: there is no use in another.
    async fn session(
        &mut self,
        state: &SharedState,
        mut stop: std::pin::Pin<&mut (impl Future<Output = ()> + Send)>,
    ) -> Result<Brought, Trouble> {
        let mut brought = Brought {
            arrived: 0,
            deleted: 0,
            failed: 0,
            listed: 0,
            login_delay: false,
            trouble: None,
            turned_away: false,
            stuck_at_top: false,
        };
        let begun = tokio::select! {
            begun = begin(self.account) => begun,
            () = stop.as_mut() => return Err(Trouble::Interrupted),
        };
        let (client, listing) = match begun {
            Ok(begun) => begun,
            Err(trouble) => {
                brought.turned_away = is_too_soon(&trouble);
                brought.trouble = Some(trouble);
                return Ok(brought);
            }
        };
        self.assured();
        let delay = client.capabilities().login_delay;
        brought.login_delay = delay.is_some_and(|delay| !delay.value.is_zero());
        brought.listed = listing.messages.len() as u64;
        self.report.listed = brought.listed;
        let policy = self
            .account
            .policy
            .for_listing(&listing, lock(state).seen());
        let mut plan = Plan::new(&listing, lock(state).seen(), &policy, unix_now());
        drop(listing);
        plan.steps
            .retain(|step| !self.failed.contains_key(&step.named));
        self.say_plan(&plan);
        let tally = self.carry_out((client, &plan, policy), state, stop).await?;
        brought.arrived = tally.0.report.arrived;
        brought.deleted = tally.0.report.deleted;
        brought.failed = tally.0.failed.len();
        let nothing = brought.arrived == 0 && tally.0.report.known == 0;
        brought.stuck_at_top = tally.0.broke_at_top && nothing;
        self.take(&tally.0);
        if let Some(stopped) = tally.0.stopped {
            return Err(stopped);
        }
        brought.trouble = tally.1;
        Ok(brought)
    }

    fn take(&mut self, tally: &Tally) {
        let part = &tally.report;
        self.report.arrived += part.arrived;
        self.report.octets += part.octets;
        self.report.known += part.known;
        self.report.deleted += part.deleted;
        self.report.too_large += part.too_large;
        for named in &tally.failed {
            *self.failed.entry(named.clone()).or_default() += 1;
        }
        self.report.not_collected += tally.failed.len() as u64;
    }

    fn say_plan(&self, plan: &Plan) {
        let (mut messages, mut octets) = (0_u64, 0_u64);
        for step in &plan.steps {
            if matches!(step.deed, Deed::Retrieve { .. }) {
                messages += 1;
                octets = octets.saturating_add(step.named.announced.unwrap_or_default());
            }
        }
        self.say(Event::Planned {
            plan,
            messages,
            octets,
        });
    }

    /// The session and its chain, side by side.
    async fn carry_out(
        &mut self,
        (client, plan, policy): (Client, &Plan, Policy),
        state: &SharedState,
        stop: std::pin::Pin<&mut (impl Future<Output = ()> + Send)>,
    ) -> Result<(Tally, Option<Trouble>), Trouble> {
        let claims = Claims::new(lock(state).seen(), &plan.missing);
        let claims = Arc::new(Mutex::new(claims));
        let (outcomes_in, outcomes) = mpsc::unbounded_channel();
        let (feeder, feed) = Feeder::new();
        let name = self.account.name.as_str();
        let places = std::mem::take(&mut self.places);
        let chain = Chain::new(
            (name, policy),
            state.clone(),
            places,
            claims.clone(),
            outcomes_in,
        );
        let chain = tokio::spawn(chain.run(feed));
        let mut work = Work::new(
            (name, policy, received(self.account)),
            (state.clone(), claims),
            (feeder, outcomes),
            self.listener.clone(),
        );
        if self.without_top {
            work.avoid_top();
        }
        let ended = {
            let session = async {
                work.begin(plan).await?;
                session::run(client, &mut work).await
            };
            tokio::select! {
                ended = session => ended,
                () = stop => Err(Trouble::Interrupted),
            }
        };
        let trouble = match ended {
            Ok(()) => None,
            Err(trouble) => {
                if !trouble.is_of_the_line() {
                    work.broken(Break::Stopped).await;
                }
                Some(trouble)
            }
        };
        let of_the_line = trouble.as_ref().is_some_and(Trouble::is_of_the_line);
        work.tally.broke_at_top = of_the_line && work.is_at_top();
        let tally = work.end().await;
        self.places = chain.await.map_err(chain_ended)?;
        match trouble {
            Some(trouble) if !trouble.is_of_the_line() => {
                self.take(&tally);
                Err(trouble)
            }
            trouble => Ok((tally, trouble)),
        }
    }
}

async fn open_state(directory: &Path, account: &Account) -> Result<SharedState, Trouble> {
    let (directory, name) = (directory.to_owned(), account.name.clone());
    let opened = tokio::task::spawn_blocking(move || State::open(&directory, name.as_str())).await;
    match opened {
        Ok(state) => Ok(Arc::new(Mutex::new(state?))),
        Err(error) => Err(chain_ended(error)),
    }
}

async fn finish(state: &SharedState) -> Result<(), Trouble> {
    sync(state).await?;
    let state = state.clone();
    let compacted = tokio::task::spawn_blocking(move || lock(&state).compact()).await;
    compacted.unwrap_or(Ok(())).map_err(Trouble::State)
}

async fn begin(account: &Account) -> Result<(Client, Listing), Trouble> {
    let credentials = account.secret.credentials(&account.user).await?;
    let connection = Connection::open(&account.server).await?;
    let mut login = Login::new(credentials);
    login.apop = account.apop;
    let (client, mut listing) = connection.log_in_and_list(&login).await?;
    // One that announces unique-ids and then refuses them does it for the moment.
    listing.has_unique_ids |= client.capabilities().uidl;
    Ok((client, listing))
}

/// If the server has just let us in, it does not do it again so soon. Many say so without a word
/// of why, as if the password were wrong.
fn is_too_soon(trouble: &Trouble) -> bool {
    matches!(
        trouble,
        Trouble::Server(Error::Login { .. } | Error::Session(_))
    )
}

/// It panicked, or the runtime ends: what it had done is in the state.
fn chain_ended(_: JoinError) -> Trouble {
    Trouble::NotPublished
}

/// The line that tells how a message came here.
fn received(account: &Account) -> Option<Bytes> {
    if !account.received {
        return None;
    }
    let now = OffsetDateTime::now_utc().format(&Rfc2822).ok()?;
    let host: String = account
        .server
        .host
        .chars()
        .filter(|it| !it.is_control())
        .collect();
    let line = format!("Received: from {host} by restante with POP3; {now}\r\n");
    Some(line.into())
}
