//! ACME (RFC 8555): the server obtains its certificate and renews it, by itself.
//!
//! ```text
//!             ┌──────────── sleeps until the schedule says so ◄──────────┐
//!             ▼                                                          │
//!  Acme::run ─┴─► Attempt: account ─ order ─ challenges ─ chain ─► checks ─► shelf ─► Tls
//!                                        │
//!               certificate authority ───┴──► answer(): TLS or HTTP, at ports of its own;
//!                                             TLS also where POP3 over TLS is
//! ```
//!
//! The server serves meanwhile with the certificate that it has. An authority is a stranger too:
//! what it can make the server do has a bound in time and in memory, it is left alone after
//! failures for ever longer times, and what it sends replaces a certificate only if clients can be
//! shown it.

mod answer;
mod http;
mod issued;
mod order;
mod records;
mod schedule;

use std::{convert::Infallible, fmt, io, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::body::Bytes;
use instant_acme::Problem;
use rustls_pki_types::CertificateDer;
use secrecy::SecretSlice;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{
    select,
    sync::watch,
    task::spawn_blocking,
    time::{sleep, timeout},
};

pub use self::{answer::answer, records::Shelf};
use self::{
    http::Http,
    issued::{Issued, UnusableError},
    order::Attempt,
    records::{FailureRecord, RecordError, Records},
    schedule::{Spread, Window},
};
use crate::{
    Identity, Observation, Tls, TlsError, https, log, metrics::Metrics,
    tls::challenges::AnswerError,
};

/// How long an attempt may take in all, whatever the authority does.
const ATTEMPT_MAX: Duration = Duration::from_secs(10 * 60);

/// The clock is looked at this often: it may be set, and machines sleep.
const NAP_MAX: Duration = Duration::from_secs(60 * 60);

/// How often an authority is asked when it would like a renewal, whatever it says about that.
const SUGGESTION_AGE_MIN: time::Duration = time::Duration::hours(1);
const SUGGESTION_AGE_MAX: time::Duration = time::Duration::days(1);

/// What is kept and shown of a reason: some of it comes from a stranger.
const REASON_CHARS_MAX: usize = 500;

/// Whose certificate is obtained for what, and how.
#[derive(Clone, Debug)]
pub struct AcmeSettings {
    /// The URL of the authority's directory, `https://…`.
    pub directory: String,
    /// The names that the certificate is to be for, in lower case. At least one.
    pub domains: Vec<String>,
    /// Whom the authority may write to: `mailto:…`.
    pub contact: Vec<String>,
    /// How it is shown that the names are ours.
    pub challenge: ChallengeKind,
    /// Certificates that the authority's own server may be signed by, beside the system's.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// What ties the account to one that the authority knows otherwise, if it wants that.
    pub external_account: Option<ExternalAccount>,
}

/// An account that the authority has given out beside ACME (RFC 8555 §7.3.4).
#[derive(Clone, Debug)]
pub struct ExternalAccount {
    /// The key's identifier.
    pub id: String,
    /// The key for HMAC-SHA-256, decoded.
    pub key: SecretSlice<u8>,
}

/// How an authority sees that a name is ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChallengeKind {
    /// By a certificate that port 443 shows to whoever asks for `acme-tls/1` (RFC 8737).
    TlsAlpn01,
    /// By a page at port 80 (RFC 8555 §8.3).
    Http01,
}

/// Obtains and renews the certificate of a [`Tls`].
pub struct Acme {
    settings: Arc<AcmeSettings>,
    /// As they are now, which an attempt under way does not know.
    current: watch::Receiver<AcmeSettings>,
    fingerprint: String,
    tls: Arc<Tls>,
    records: Records,
    metrics: Arc<Metrics>,
    held: Option<Issued>,
    failure: Option<FailureRecord>,
    /// Whether the failure was there at the start.
    is_before_start: bool,
    suggestion: Option<Suggestion>,
    /// For waits: the machine's own.
    spread: Spread,
}

/// When the authority would like the certificate to be renewed.
#[derive(Clone, Copy, Debug)]
struct Suggestion {
    window: Option<Window>,
    /// When to ask again.
    again: OffsetDateTime,
}

/// The last failure of an order.
#[derive(Clone, Debug)]
pub struct LastFailure {
    /// When it was.
    pub at: OffsetDateTime,
    /// How many there were, one after the other.
    pub count: u32,
    /// Why.
    pub reason: String,
}

/// Why nothing can be obtained at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcmeStartError {
    /// TLS cannot be used as a client.
    #[error("TLS is not available")]
    Tls(#[source] rustls::Error),
    /// An extra root is not a certificate that can sign.
    #[error("a certificate of `ca_file` cannot be used")]
    Root(#[source] rustls::Error),
    /// What was obtained before cannot be read.
    #[error("what was obtained before cannot be read")]
    Shelf(#[from] io::Error),
}

/// Why an attempt came to nothing.
#[derive(Debug, thiserror::Error)]
enum AcmeError {
    #[error("the certificate authority cannot be spoken with")]
    Client(#[from] https::HttpsError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("{step}: {cause}")]
    Authority {
        step: &'static str,
        cause: instant_acme::Error,
    },
    #[error("the authority has no {0} challenge for `{1}`")]
    NoChallenge(ChallengeKind, String),
    #[error("`{name}` is not proven to be ours by {kind}: {problem}")]
    Unproven {
        name: String,
        kind: ChallengeKind,
        problem: Problem,
    },
    #[error("the authority makes no sense: {0}")]
    Strange(&'static str),
    #[error("a challenge cannot be answered")]
    Answer(#[from] AnswerError),
    #[error("no key, or no request for it")]
    Key(#[source] rcgen::Error),
    #[error("the new certificate is not used")]
    Unusable(#[from] UnusableError),
    #[error("the new certificate cannot be shown")]
    Show(#[from] TlsError),
    #[error("the authority took longer than {} minutes in all", ATTEMPT_MAX.as_secs() / 60)]
    TooSlow,
    #[error("the authority's answer makes no sense to the library")]
    Panicked,
}

/// The certificate that was obtained before, if there is one that can be used. Blocks.
///
/// # Errors
/// The operating system's.
pub fn stored(shelf: &dyn Shelf) -> io::Result<Option<Identity>> {
    let text = records::certificate(shelf)?;
    let issued = text.and_then(|text| Issued::from_text(&text));
    Ok(issued.map(|issued| issued.identity))
}

/// What the last attempt failed of, if it did and the settings are the same. Blocks.
#[must_use]
pub fn last_failure(shelf: &dyn Shelf, settings: &AcmeSettings) -> Option<LastFailure> {
    records::failure(shelf, settings).map(|record| LastFailure {
        at: record.at(),
        count: record.count,
        reason: record.reason,
    })
}

impl AcmeSettings {
    /// Whether the authority can be asked with them at all.
    ///
    /// # Errors
    /// [`AcmeStartError::Tls`], [`AcmeStartError::Root`].
    pub fn check(&self) -> Result<(), AcmeStartError> {
        https::client::<Full<Bytes>>(self.extra_roots.clone())?;
        Ok(())
    }
}

impl Acme {
    /// Obtains by `settings`, as they change, what `tls` shows by default; `observation` counts it.
    /// Another kind of challenge makes a difference only to who has been told of it. Blocks.
    ///
    /// # Errors
    /// [`AcmeStartError`].
    pub fn new(
        settings: watch::Receiver<AcmeSettings>,
        tls: Arc<Tls>,
        shelf: Arc<dyn Shelf>,
        observation: &Observation,
    ) -> Result<Self, AcmeStartError> {
        Self::counted(settings, tls, shelf, observation.counts_of_orders())
    }

    fn counted(
        current: watch::Receiver<AcmeSettings>,
        tls: Arc<Tls>,
        shelf: Arc<dyn Shelf>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, AcmeStartError> {
        let settings = current.borrow().clone();
        // Better to hear now of roots that cannot be used than at the first attempt.
        settings.check()?;
        let text = records::certificate(&*shelf)?;
        let held = text.as_deref().and_then(Issued::from_text);
        if text.is_some() && held.is_none() {
            tracing::error!("the certificate that was obtained before is damaged");
        }
        let failure = records::failure(&*shelf, &settings);
        let mut chance = [0; 2];
        // Without randomness all machines wait equally long, which is no reason not to serve.
        let _ = getrandom::fill(&mut chance);
        Ok(Self {
            fingerprint: records::fingerprint(&settings),
            settings: Arc::new(settings),
            current,
            tls,
            records: Records::new(shelf),
            metrics,
            held,
            is_before_start: failure.is_some(),
            failure,
            suggestion: None,
            spread: Spread(u16::from_be_bytes(chance)),
        })
    }

    /// Obtains and renews for ever. Needs a Tokio runtime with I/O and time.
    pub async fn run(mut self) -> Infallible {
        self.look_again().await;
        let mut announced = None;
        loop {
            if self.current.has_changed().unwrap_or(false) {
                self.take_settings().await;
                announced = None;
            }
            self.ask_for_suggestion().await;
            let now = OffsetDateTime::now_utc();
            let next = self.next(now);
            if next <= now {
                self.attempt().await;
                continue;
            }
            if announced != Some(next) {
                self.announce(next);
                announced = Some(next);
            }
            select! {
                () = sleep(nap(next - now)) => {}
                // `Err`: nobody can change them any more.
                Ok(()) = self.current.changed() => self.current.mark_changed(),
            }
        }
    }

    /// Goes on by other settings. What was obtained by the old ones is shown until there is better.
    async fn take_settings(&mut self) {
        let settings = self.current.borrow_and_update().clone();
        self.fingerprint = records::fingerprint(&settings);
        self.failure = self.records.failure(&settings).await;
        self.is_before_start = self.failure.is_some();
        self.suggestion = None;
        self.settings = Arc::new(settings);
    }

    /// A server whose place this one has taken has perhaps obtained one at the last moment.
    async fn look_again(&mut self) {
        let Ok(Some(text)) = self.records.certificate().await else {
            return;
        };
        let obtained = |issued: &Issued| issued.life.obtained;
        let is_newer = |issued: &Issued| self.held.as_ref().map(obtained) != Some(obtained(issued));
        if let Some(issued) = Issued::from_text(&text).filter(is_newer)
            && let Err(error) = self.show(issued)
        {
            let error = log::causes(&error);
            tracing::error!(error, "the certificate that was obtained is not shown");
        }
    }

    /// When the next attempt is to be made.
    fn next(&self, now: OffsetDateTime) -> OffsetDateTime {
        let due = match self.held.as_ref().filter(|held| self.suits(held)) {
            Some(held) => {
                let window = self.suggestion.and_then(|suggestion| suggestion.window);
                schedule::renewal(held.life, window, held.spread())
            }
            None => now,
        };
        let Some(failure) = &self.failure else {
            return due;
        };
        let failures = failure.failures(self.is_before_start);
        due.max(schedule::retry(failures, now, self.spread))
    }

    fn suits(&self, held: &Issued) -> bool {
        held.suits(&self.settings.directory, &self.settings.domains)
    }

    /// When the certificate ends that was obtained, if one was.
    fn valid_until(&self) -> Option<String> {
        self.held.as_ref().map(|held| shown(held.life.not_after))
    }

    fn announce(&self, next: OffsetDateTime) {
        let (at, valid_until) = (shown(next), self.valid_until());
        match &self.failure {
            Some(failure) => tracing::warn!(
                at,
                valid_until,
                failures = failure.count,
                "the next certificate is asked for later, because it failed"
            ),
            None => tracing::info!(at, valid_until, "the certificate will be renewed"),
        }
    }

    async fn attempt(&mut self) {
        tracing::info!(
            names = self.settings.domains.join(" "),
            directory = self.settings.directory,
            "asking for a certificate"
        );
        let (obtained, patience) = self.obtain().await;
        let shown = obtained.and_then(|issued| self.show(issued));
        self.metrics.order_ended(shown.is_ok());
        self.suggestion = None;
        let kept = match shown {
            Ok(()) => {
                self.failure = None;
                self.records.forget_failure().await
            }
            Err(error) => self.fail(&error, patience).await,
        };
        if let Err(error) = kept {
            let error = log::causes(&error);
            tracing::error!(error, "what came of the order cannot be kept");
        }
    }

    /// A certificate in hand, or why not and how long the authority asks to be left alone.
    async fn obtain(&self) -> (Result<Issued, AcmeError>, Option<Duration>) {
        let http = match self.http().await {
            Ok(http) => http,
            Err(error) => return (Err(error), None),
        };
        let patience = http.patience();
        let attempt = self.plan(http);
        // A task of its own: the library's trust in its authority must not end the server's.
        let obtained = match tokio::spawn(timeout(ATTEMPT_MAX, attempt.obtain())).await {
            Ok(Ok(obtained)) => obtained,
            Ok(Err(_)) => Err(AcmeError::TooSlow),
            Err(_) => Err(AcmeError::Panicked),
        };
        self.tls.challenges().clear();
        (obtained, patience.get())
    }

    fn plan(&self, http: Http) -> Attempt {
        let is_suggested = self
            .suggestion
            .is_some_and(|suggestion| suggestion.window.is_some());
        let same = |held: &&Issued| held.directory == self.settings.directory;
        let replaced = self.held.as_ref().filter(|_| is_suggested).filter(same);
        Attempt {
            settings: Arc::clone(&self.settings),
            records: self.records.clone(),
            challenges: Arc::clone(self.tls.challenges()),
            provider: Arc::clone(self.tls.provider()),
            http,
            replaces: replaced.and_then(Issued::identifier),
        }
    }

    /// A client that knows the system's authorities as they are now: a server runs for months.
    async fn http(&self) -> Result<Http, AcmeError> {
        let roots = self.settings.extra_roots.clone();
        let client = spawn_blocking(|| https::client(roots)).await;
        Ok(Http::new(client.map_err(|_| AcmeError::Panicked)??))
    }

    /// From now on handshakes show it; sessions go on undisturbed.
    fn show(&mut self, issued: Issued) -> Result<(), AcmeError> {
        let identity = issued.identity.clone();
        self.tls
            .change(|identities| identities.default = identity)?;
        self.held = Some(issued);
        tracing::info!(
            names = self.settings.domains.join(" "),
            valid_until = self.valid_until(),
            "certificate obtained, and shown from now on"
        );
        Ok(())
    }

    async fn fail(
        &mut self,
        error: &AcmeError,
        patience: Option<Duration>,
    ) -> Result<(), RecordError> {
        let reason: String = log::causes(error).chars().take(REASON_CHARS_MAX).collect();
        let before = self.failure.as_ref().map_or(0, |failure| failure.count);
        let failure = FailureRecord {
            settings: self.fingerprint.clone(),
            count: before.saturating_add(1),
            last: OffsetDateTime::now_utc().unix_timestamp(),
            patience: patience.map(|patience| patience.as_secs()),
            reason,
        };
        tracing::error!(
            reason = failure.reason.as_str(),
            failures = failure.count,
            valid_until = self.valid_until(),
            "no certificate obtained; the server goes on with the one it has"
        );
        self.is_before_start = false;
        let kept = self.records.keep_failure(&failure).await;
        self.failure = Some(failure);
        kept
    }

    /// Asks the authority when it would like a renewal, if it is time to (RFC 9773 §4.3).
    async fn ask_for_suggestion(&mut self) {
        let now = OffsetDateTime::now_utc();
        if self.failure.is_some() || self.suggestion.is_some_and(|known| now < known.again) {
            return;
        }
        let Some(held) = self.held.as_ref().filter(|held| self.suits(held)) else {
            return;
        };
        let (Some(identifier), Ok(http)) = (held.identifier(), self.http().await) else {
            return;
        };
        let attempt = self.plan(http);
        let asked = async move {
            let account = attempt.account().await?;
            let info = account.renewal_info(&identifier).await;
            info.map_err(|cause| AcmeError::Authority {
                step: "no suggestion",
                cause,
            })
        };
        let answer = tokio::spawn(timeout(ATTEMPT_MAX, asked)).await;
        let (window, age) = match answer {
            Ok(Ok(Ok((info, age)))) => {
                let window = info.suggested_window;
                let (start, end) = (window.start, window.end);
                let age = time::Duration::try_from(age).unwrap_or(SUGGESTION_AGE_MAX);
                (Some(Window { start, end }), age)
            }
            // Many authorities suggest nothing.
            Ok(Ok(Err(error))) => {
                let error = log::causes(&error);
                tracing::debug!(error, "no time of renewal suggested");
                (None, SUGGESTION_AGE_MAX)
            }
            Ok(Err(_)) | Err(_) => (None, SUGGESTION_AGE_MAX),
        };
        let age = age.clamp(SUGGESTION_AGE_MIN, SUGGESTION_AGE_MAX);
        let again = now + age;
        self.suggestion = Some(Suggestion { window, again });
    }
}

/// For the log, to the second.
fn shown(moment: OffsetDateTime) -> String {
    let moment = moment.replace_nanosecond(0).unwrap_or(moment);
    moment.format(&Rfc3339).unwrap_or_default()
}

/// How long to sleep at a time until `left` is over.
fn nap(left: time::Duration) -> Duration {
    Duration::try_from(left).unwrap_or_default().min(NAP_MAX)
}

impl From<https::HttpsError> for AcmeStartError {
    fn from(error: https::HttpsError) -> Self {
        match error {
            https::HttpsError::Tls(error) => Self::Tls(error),
            https::HttpsError::Root(error) => Self::Root(error),
        }
    }
}

impl fmt::Display for ChallengeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Http01 => "http-01",
        })
    }
}

impl fmt::Debug for Acme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.settings;
        f.debug_struct("Acme")
            .field("settings", settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
