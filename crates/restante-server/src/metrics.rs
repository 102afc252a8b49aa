//! What the server counts, for whoever watches it.
//!
//! Counting is adding to an atomic number: no lock and no system call on the way of a session.
//! What belongs to one session is added when it ends. The page is made when it is asked for, in
//! the text form of OpenMetrics 1.0; [`FAMILIES`] is its table, and docs/metrics.md shows it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text::encode},
    metrics::MetricType,
    registry::Registry,
};
use restante_maildrop::{Durations, Figures};
use restante_proto::Keyword;

use crate::{accounts::Refusal, limits::OverLimit};

/// A documented name on the page of numbers.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// The name; a counter's lines add `_total`, a histogram's `_bucket`, `_sum` and `_count`.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Its label and the values that it takes; all lines are there from the start.
    pub label: Option<(&'static str, &'static [&'static str])>,
    /// What it says.
    pub help: &'static str,
}

/// How a number behaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It comes and goes.
    Gauge,
    /// Durations, counted in classes.
    Histogram,
}

/// Everything that is counted, in the order of the page.
pub const FAMILIES: &[Family] = &[
    CONNECTIONS_OPEN,
    CONNECTIONS,
    CONNECTIONS_REFUSED,
    HANDSHAKES_FAILED,
    LOGINS,
    SESSIONS,
    RECEIVED,
    SENT,
    RETRIEVED,
    REMOVED,
    COMMAND_SECONDS,
    STEP_SECONDS,
    LOCK_SECONDS,
    CACHE,
    MAILBOX_CACHE,
    ERRORS,
    CERTIFICATE_ENDS,
    ORDERS,
];

const CONNECTIONS_OPEN: Family = Family {
    name: "restante_open_connections",
    kind: Kind::Gauge,
    label: None,
    help: "Connections that are open now",
};
const CONNECTIONS: Family = Family {
    name: "restante_connections",
    kind: Kind::Counter,
    label: None,
    help: "Connections that have ended",
};
const CONNECTIONS_REFUSED: Family = Family {
    name: "restante_connections_refused",
    kind: Kind::Counter,
    label: Some(("limit", &["total", "address", "failures"])),
    help: "Connections that were over a limit",
};
const HANDSHAKES_FAILED: Family = Family {
    name: "restante_tls_handshakes_failed",
    kind: Kind::Counter,
    label: None,
    help: "TLS handshakes that came to nothing",
};
const LOGINS: Family = Family {
    name: "restante_logins",
    kind: Kind::Counter,
    label: Some(("result", &LOGIN_RESULTS)),
    help: "Logins by what they came to: temporary and permanent are failures of ours",
};
const SESSIONS: Family = Family {
    name: "restante_sessions",
    kind: Kind::Counter,
    label: None,
    help: "Connections that have ended and on which somebody had logged in",
};
const RECEIVED: Family = Family {
    name: "restante_received_octets",
    kind: Kind::Counter,
    label: None,
    help: "Octets that came from clients, below TLS, on connections that have ended",
};
const SENT: Family = Family {
    name: "restante_sent_octets",
    kind: Kind::Counter,
    label: None,
    help: "Octets that went to clients, below TLS, on connections that have ended",
};
const RETRIEVED: Family = Family {
    name: "restante_retrieved_messages",
    kind: Kind::Counter,
    label: None,
    help: "Messages that were sent whole",
};
const REMOVED: Family = Family {
    name: "restante_removed_messages",
    kind: Kind::Counter,
    label: None,
    help: "Messages that updates have removed",
};
const COMMAND_SECONDS: Family = Family {
    name: "restante_command_seconds",
    kind: Kind::Histogram,
    label: Some(("command", &COMMANDS)),
    help: "How long commands took, from the line that was taken to the last octet of the answer that was handed over, a client's slow reading with it: AUTH is each line of its exchange, other is what was no command. Of many that were answered at once all but the last four count until their answers were there",
};
const STEP_SECONDS: Family = Family {
    name: "restante_step_seconds",
    kind: Kind::Histogram,
    label: Some(("step", &STEPS)),
    help: "How long steps took: login (PASS, APOP, each line of AUTH; a refused one waits for its time), open (finding the mailbox and waiting for another session of it), measure (LIST and STAT of messages never seen before), retrieve and top (RETR and TOP to the last block that was handed over), update (QUIT). Every other command is answered from memory",
};
const LOCK_SECONDS: Family = Family {
    name: "restante_lock_wait_seconds",
    kind: Kind::Histogram,
    label: Some(("lock", &["session", "mailbox"])),
    help: "How long those waited who found a lock taken, also when in vain: session (another session has the mailbox), mailbox (somebody changes it)",
};
const CACHE: Family = Family {
    name: "restante_credential_cache",
    kind: Kind::Counter,
    label: Some(("result", &["hit", "miss"])),
    help: "Passwords that were known to be right, and those that had to be verified",
};
const MAILBOX_CACHE: Family = Family {
    name: "restante_mailbox_cache",
    kind: Kind::Counter,
    label: Some(("result", &["memory", "file", "miss"])),
    help: "Mailboxes that were opened, by where a listing of theirs was found: in memory, in the cache's files, nowhere",
};
const ERRORS: Family = Family {
    name: "restante_errors",
    kind: Kind::Counter,
    label: Some(("step", &STEPS)),
    help: "Steps that failed through no fault of the client; each has a line in the log",
};

const CERTIFICATE_ENDS: Family = Family {
    name: "restante_certificate_end_seconds",
    kind: Kind::Gauge,
    label: None,
    help: "When the certificate ends that is shown by default, in seconds since 1970",
};
const ORDERS: Family = Family {
    name: "restante_certificate_orders",
    kind: Kind::Counter,
    label: Some(("result", &["obtained", "failed"])),
    help: "Attempts to obtain a certificate by ACME; one that failed has its reason in the log",
};

/// [`Keyword::ALL`], and what was none.
const COMMANDS: [&str; Keyword::ALL.len() + 1] = [
    "APOP", "AUTH", "CAPA", "DELE", "LANG", "LIST", "NOOP", "PASS", "QUIT", "RETR", "RSET", "STAT",
    "STLS", "TOP", "UIDL", "USER", "UTF8", "other",
];
const STEPS: [&str; 6] = ["login", "open", "measure", "retrieve", "top", "update"];
const LOGIN_RESULTS: [&str; 6] = [
    "accepted",
    "credentials",
    "malformed",
    "unavailable",
    "temporary",
    "permanent",
];

/// What takes time or may fail in a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    Login,
    Open,
    Measure,
    Retrieve,
    Top,
    Update,
}

/// The numbers of one server, since it was started.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    connections: AtomicU64,
    refused: [AtomicU64; 3],
    handshakes_failed: AtomicU64,
    logins: [AtomicU64; LOGIN_RESULTS.len()],
    sessions: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    retrieved: AtomicU64,
    removed: AtomicU64,
    commands: [Durations; COMMANDS.len()],
    durations: [Durations; STEPS.len()],
    errors: [AtomicU64; STEPS.len()],
    orders: [AtomicU64; 2],
}

/// A connection that has ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EndedConnection {
    pub(crate) was_logged_in: bool,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) retrieved: u64,
    pub(crate) removed: u64,
}

/// What is known elsewhere at the time the page is made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Elsewhere {
    /// In seconds since 1970.
    pub(crate) certificate_ends: i64,
    pub(crate) open_connections: u64,
    pub(crate) cache_hits: u64,
    pub(crate) cache_misses: u64,
    /// By the store.
    pub(crate) store: Arc<Figures>,
}

fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}

fn value(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Metrics {
    pub(crate) fn connection_ended(&self, ended: EndedConnection) {
        add(&self.connections, 1);
        add(&self.sessions, u64::from(ended.was_logged_in));
        add(&self.received, ended.received);
        add(&self.sent, ended.sent);
        add(&self.retrieved, ended.retrieved);
        add(&self.removed, ended.removed);
    }

    pub(crate) fn connection_refused(&self, over: OverLimit) {
        let [total, address, failures] = &self.refused;
        match over {
            OverLimit::Total => add(total, 1),
            OverLimit::Address => add(address, 1),
            OverLimit::Failures => add(failures, 1),
        }
    }

    pub(crate) fn handshake_failed(&self) {
        add(&self.handshakes_failed, 1);
    }

    pub(crate) fn order_ended(&self, is_obtained: bool) {
        let [obtained, failed] = &self.orders;
        add(if is_obtained { obtained } else { failed }, 1);
    }

    pub(crate) fn login(&self, refused: Option<Refusal>) {
        let [
            accepted,
            credentials,
            malformed,
            unavailable,
            temporary,
            permanent,
        ] = &self.logins;
        let counter = match refused {
            None => accepted,
            Some(Refusal::Credentials) => credentials,
            Some(Refusal::Malformed) => malformed,
            Some(Refusal::Unavailable) => unavailable,
            Some(Refusal::Temporary) => temporary,
            Some(Refusal::Permanent) => permanent,
        };
        add(counter, 1);
        if matches!(refused, Some(Refusal::Temporary | Refusal::Permanent)) {
            self.failed(Step::Login);
        }
    }

    /// `None` is what was no command.
    pub(crate) fn answered(&self, keyword: Option<Keyword>, time: Duration) {
        let known = Keyword::ALL
            .iter()
            .position(|known| Some(*known) == keyword);
        let index = known.unwrap_or(Keyword::ALL.len());
        if let Some(durations) = self.commands.get(index) {
            durations.count(time);
        }
    }

    pub(crate) fn took(&self, step: Step, time: Duration) {
        if let Some(durations) = self.durations.get(step as usize) {
            durations.count(time);
        }
    }

    pub(crate) fn failed(&self, step: Step) {
        if let Some(counter) = self.errors.get(step as usize) {
            add(counter, 1);
        }
    }
}

/// The numbers of one moment, to be put on a page.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) elsewhere: Elsewhere,
}

impl Page {
    /// In the text form of OpenMetrics 1.0.
    pub(crate) fn text(self) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (metrics, elsewhere) = (&*self.metrics, &self.elsewhere);
        let all = |counters: &[AtomicU64]| counters.iter().map(value).collect::<Vec<_>>();
        let mut put = |family, numbers: &[u64]| put_numbers(&mut encoder, family, numbers);
        put(&CONNECTIONS_OPEN, &[elsewhere.open_connections])?;
        put(&CONNECTIONS, &[value(&metrics.connections)])?;
        put(&CONNECTIONS_REFUSED, &all(&metrics.refused))?;
        put(&HANDSHAKES_FAILED, &[value(&metrics.handshakes_failed)])?;
        put(&LOGINS, &all(&metrics.logins))?;
        put(&SESSIONS, &[value(&metrics.sessions)])?;
        put(&RECEIVED, &[value(&metrics.received)])?;
        put(&SENT, &[value(&metrics.sent)])?;
        put(&RETRIEVED, &[value(&metrics.retrieved)])?;
        put(&REMOVED, &[value(&metrics.removed)])?;
        put(&CACHE, &[elsewhere.cache_hits, elsewhere.cache_misses])?;
        let store = &elsewhere.store;
        let opened = [
            &store.opened_from_memory,
            &store.opened_from_file,
            &store.opened_unknown,
        ];
        put(&MAILBOX_CACHE, &opened.map(value))?;
        put(&ERRORS, &all(&metrics.errors))?;
        let ends = u64::try_from(elsewhere.certificate_ends).unwrap_or_default();
        put(&CERTIFICATE_ENDS, &[ends])?;
        put(&ORDERS, &all(&metrics.orders))?;
        let locks = [&store.session_lock_waits, &store.mailbox_lock_waits];
        put_durations(&mut encoder, &LOCK_SECONDS, locks)?;
        put_durations(&mut encoder, &COMMAND_SECONDS, &metrics.commands)?;
        put_durations(&mut encoder, &STEP_SECONDS, &metrics.durations)
    }
}

fn descriptor<'e>(
    encoder: &'e mut DescriptorEncoder<'_>,
    family: &'e Family,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    let kind = match family.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    };
    encoder.encode_descriptor(family.name, family.help, None, kind)
}

/// One line for each value of the label, or the one line without.
fn put_numbers(
    encoder: &mut DescriptorEncoder<'_>,
    family: &Family,
    numbers: &[u64],
) -> fmt::Result {
    let mut lines = descriptor(encoder, family)?;
    let put = |mut line: MetricEncoder<'_>, number: u64| match family.kind {
        Kind::Gauge => line.encode_gauge(&i64::try_from(number).unwrap_or(i64::MAX)),
        _ => line.encode_counter::<NoLabelSet, u64, f64>(&number, None),
    };
    match family.label {
        Some((label, values)) => {
            for (value, number) in values.iter().zip(numbers) {
                put(lines.encode_family(&[(label, *value)])?, *number)?;
            }
            Ok(())
        }
        None => put(lines, numbers.first().copied().unwrap_or_default()),
    }
}

fn put_durations<'d>(
    encoder: &mut DescriptorEncoder<'_>,
    family: &Family,
    durations: impl IntoIterator<Item = &'d Durations>,
) -> fmt::Result {
    let mut lines = descriptor(encoder, family)?;
    let (label, values) = family.label.unwrap_or_default();
    for (step, durations) in values.iter().zip(durations) {
        let classes: Vec<(f64, u64)> = durations.classes().collect();
        let count = classes.iter().map(|(_, count)| count).sum();
        let seconds = durations.sum().as_secs_f64();
        lines
            .encode_family(&[(label, *step)])?
            .encode_histogram::<NoLabelSet>(seconds, count, &classes, None)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// `docs/metrics.md`, which a test compares with this.
    fn page() -> String {
        let mut page = String::from(PAGE_HEAD);
        for family in FAMILIES {
            let (kind, name) = match family.kind {
                Kind::Counter => ("counter", format!("{}_total", family.name)),
                Kind::Gauge => ("gauge", family.name.to_owned()),
                Kind::Histogram => ("histogram", family.name.to_owned()),
            };
            let label = family.label.map_or_else(String::new, |(label, values)| {
                format!("`{label}`: {}", values.join(", "))
            });
            let _ = writeln!(page, "| `{name}` | {kind} | {label} | {} |", family.help);
        }
        page
    }

    const PAGE_HEAD: &str = "\
# Metrics

`http.listen` in the configuration opens `/metrics`, in the text form of OpenMetrics 1.0, which Prometheus reads.
All numbers count since the server was started, but for gauges, and all lines are there from the start.
Counting costs a session no lock and no system call.

This page is made from the program's own table: `UPDATE_DOCS=1 cargo test -p restante-server page_of_metrics` writes it.

| name | kind | label | what it says |
|---|---|---|---|
";

    #[test]
    fn the_page_of_metrics_is_the_programs_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, page()).unwrap();
        }
        let shown = std::fs::read_to_string(path).unwrap();
        assert!(
            shown == page(),
            "docs/metrics.md is out of date: UPDATE_DOCS=1 cargo test -p restante-server page_of_metrics"
        );
    }

    fn text(metrics: Metrics, elsewhere: Elsewhere) -> String {
        let metrics = Arc::new(metrics);
        Page { metrics, elsewhere }.text().unwrap()
    }

    #[test]
    fn every_family_of_the_table_is_on_the_page_and_no_other() {
        let text = text(Metrics::default(), Elsewhere::default());
        let mut shown: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .collect();
        let mut known: Vec<String> = FAMILIES
            .iter()
            .map(|family| {
                format!(
                    "{} {}",
                    family.name,
                    format!("{:?}", family.kind).to_lowercase()
                )
            })
            .collect();
        shown.sort_unstable();
        known.sort();
        assert_eq!(shown, known);
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn every_command_has_its_label_and_what_is_none_the_last() {
        let metrics = Metrics::default();
        for (keyword, label) in Keyword::ALL.into_iter().zip(COMMANDS) {
            assert_eq!(keyword.as_str(), label);
            metrics.answered(Some(keyword), Duration::from_millis(5));
        }
        metrics.answered(None, Duration::from_millis(5));
        let text = text(metrics, Elsewhere::default());
        for label in COMMANDS {
            let line =
                format!(r#"restante_command_seconds_bucket{{le="0.016",command="{label}"}} 1"#);
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
    }

    #[test]
    fn durations_are_shown_by_class_and_by_what_took_them() {
        let metrics = Metrics::default();
        for milliseconds in [0, 1, 2, 250, 251, 100_000] {
            metrics.took(Step::Open, Duration::from_millis(milliseconds));
        }
        let elsewhere = Elsewhere::default();
        let waits = &elsewhere.store.mailbox_lock_waits;
        waits.count(Duration::from_millis(5));
        let text = text(metrics, elsewhere);
        for line in [
            r#"restante_step_seconds_bucket{le="0.001",step="open"} 2"#,
            r#"restante_step_seconds_bucket{le="0.004",step="open"} 3"#,
            r#"restante_step_seconds_bucket{le="0.25",step="open"} 4"#,
            r#"restante_step_seconds_bucket{le="1.0",step="open"} 5"#,
            r#"restante_step_seconds_bucket{le="64.0",step="open"} 5"#,
            r#"restante_step_seconds_bucket{le="+Inf",step="open"} 6"#,
            r#"restante_step_seconds_count{step="open"} 6"#,
            r#"restante_step_seconds_sum{step="open"} 100.504"#,
            r#"restante_step_seconds_count{step="login"} 0"#,
            r#"restante_lock_wait_seconds_bucket{le="0.016",lock="mailbox"} 1"#,
            r#"restante_lock_wait_seconds_count{lock="session"} 0"#,
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
    }
}
