//! `restante fetch status`: what came of each account's last run.
//!
//! One small file for each account beside its state, replaced after each run. It tells people, and
//! nothing depends on it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use restante_client::Assurance;
use restante_fetch::{Causes, Consequence, Report, Trouble};
use serde_json::{Value, json};

use crate::{
    configuration::{fetch::FetchAccount, format_duration},
    console,
    failure::Failure,
    quantity::{counted, octets},
};

/// A larger file is not ours.
const OCTETS_MAX: u64 = 64 * 1024;

/// What a run did, in one line.
pub(super) fn words(report: &Report) -> String {
    let mut parts = Vec::new();
    if report.arrived > 0 {
        let size = octets(report.octets);
        parts.push(format!(
            "collected {} ({size})",
            counted(report.arrived, "message")
        ));
    } else if report.trouble.is_none() {
        parts.push("nothing new".to_owned());
    }
    if report.known > 0 && report.deleted == 0 {
        parts.push(format!("{} here already", counted(report.known, "message")));
    }
    if report.deleted > 0 {
        let count = counted(report.deleted, "message");
        parts.push(format!("{count} deleted from the server"));
    }
    if report.too_large > 0 {
        parts.push(format!(
            "{} too large",
            counted(report.too_large, "message")
        ));
    }
    if report.not_collected > 0 {
        let count = counted(report.not_collected, "message");
        parts.push(format!("{count} could not be collected"));
    }
    match parts.is_empty() {
        true => "nothing was collected".to_owned(),
        false => parts.join(", "),
    }
}

/// What a run did, for programs.
pub(super) fn facts(report: &Report) -> Value {
    json!({
        "listed": report.listed,
        "arrived": report.arrived,
        "octets": report.octets,
        "known": report.known,
        "deleted": report.deleted,
        "too_large": report.too_large,
        "not_collected": report.not_collected,
        "sessions": report.sessions,
        "assurance": report.assurance.and_then(assurance),
        "outcome": outcome(report),
        "needs_a_person": report.trouble.as_ref().map(Trouble::needs_a_person),
        "error": report.trouble.as_ref().map(|it| Causes(it).to_string()),
    })
}

fn outcome(report: &Report) -> &'static str {
    match report.trouble.as_ref().map(|it| it.consequence()) {
        None => "done",
        Some(Consequence::Later) => "later",
        Some(Consequence::Refused) => "refused",
        Some(Consequence::Protocol) => "protocol",
        Some(Consequence::Disk) => "disk",
        Some(Consequence::Configuration) => "configuration",
    }
}

/// What the connection assured, in one word.
fn assurance(assurance: Assurance) -> Option<&'static str> {
    match assurance {
        Assurance::Verified => Some("verified"),
        Assurance::Pinned => Some("pinned"),
        Assurance::Cleartext => Some("cleartext"),
        _ => None,
    }
}

/// Notes a run's result for `restante fetch status`.
///
/// # Errors
/// Those of writing; what was noted before may stand there still.
pub(super) fn note(state: &Path, account: &str, report: &Report) -> io::Result<()> {
    let mut noted = facts(report);
    if let Some(noted) = noted.as_object_mut() {
        noted.insert("at".into(), now().as_secs().into());
        noted.insert("words".into(), words(report).into());
    }
    let path = path(state, account);
    let draft = path.with_extension("status.new");
    fs::write(&draft, noted.to_string())?;
    fs::rename(&draft, path)
}

fn path(state: &Path, account: &str) -> PathBuf {
    state.join(format!("{account}.status"))
}

fn now() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default()
}

/// Shows each account's last result in plain words.
///
/// # Errors
/// Stdout cannot be written.
pub(super) fn show(state: &Path, accounts: &[FetchAccount], json: bool) -> Result<(), Failure> {
    for account in accounts {
        let name = account.account().name.as_str();
        let noted = read(&path(state, name));
        if json {
            console::print(json!({ "account": name, "last": noted }))?;
            continue;
        }
        let Some(noted) = noted else {
            console::print(format_args!("{name}: never collected"))?;
            continue;
        };
        console::print(format_args!("{name}: {}", plain(&noted, now())))?;
    }
    Ok(())
}

/// `None`: nothing was noted, or it makes no sense.
fn read(path: &Path) -> Option<Value> {
    if fs::metadata(path).ok()?.len() > OCTETS_MAX {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn plain(noted: &Value, now: Duration) -> String {
    let text = |key: &str| noted.get(key).and_then(Value::as_str).map(escaped);
    let at = noted.get("at").and_then(Value::as_u64).unwrap_or_default();
    let ago = now.as_secs().saturating_sub(at);
    let mut line = format!("{} ago: {}", age(ago), text("words").unwrap_or_default());
    if let Some(error) = text("error") {
        line.push_str("; ");
        line.push_str(&error);
    }
    // What is less than it may seem is told (R8314-PIN-1).
    line.push_str(match text("assurance").as_deref() {
        Some("pinned") => "; the server is known by a pin alone, nobody has verified it",
        Some("cleartext") => "; without TLS",
        _ => "",
    });
    let truth = |key: &str| noted.get(key).and_then(Value::as_bool);
    let next = match text("outcome").as_deref() {
        Some("refused") if truth("needs_a_person") == Some(false) => {
            "; no password was sent, and it is tried again"
        }
        Some("refused") => "; with --watch it is not tried again before it is begun anew",
        Some("later") => "; it is tried again",
        Some("disk") => "; nothing was deleted from the server",
        _ => "",
    };
    line.push_str(next);
    line
}

/// It comes from a file.
fn escaped(text: &str) -> String {
    let escape = |character: char| match character.is_control() {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    };
    text.chars().map(escape).collect()
}

/// A time in its largest unit, as people say it.
fn age(seconds: u64) -> String {
    let unit = [24 * 60 * 60, 60 * 60, 60]
        .into_iter()
        .find(|unit| seconds >= 2 * unit)
        .unwrap_or(1);
    format_duration(Duration::from_secs(seconds / unit * unit))
}

#[cfg(test)]
mod tests {
    use restante_client::Error;

    use super::*;

    #[test]
    fn a_result_is_told_in_plain_words() {
        let state = tempfile::tempdir().unwrap();
        let report = Report {
            arrived: 3,
            octets: 45_678,
            deleted: 3,
            trouble: Some(Trouble::Interrupted),
            ..Report::default()
        };
        note(state.path(), "work", &report).unwrap();
        let noted = read(&path(state.path(), "work")).unwrap();
        let at = noted.get("at").and_then(Value::as_u64).unwrap();
        let later = Duration::from_secs(at + 7300);
        assert_eq!(
            plain(&noted, later),
            "2h ago: collected 3 messages (45 kB), 3 messages deleted from the server; stopped; \
             it is tried again"
        );
        assert_eq!(words(&Report::default()), "nothing new");
    }

    #[test]
    fn whether_it_is_tried_again_is_told() {
        let told = |error| {
            let trouble = Some(Trouble::Server(error));
            let report = Report {
                trouble,
                ..Report::default()
            };
            plain(&facts(&report), now())
        };
        let doubted = told(Error::NoStls);
        assert!(
            doubted.ends_with("no password was sent, and it is tried again"),
            "{doubted}"
        );
        let refused = told(Error::NoMechanism);
        assert!(refused.contains("not tried again"), "{refused}");
    }

    #[test]
    fn what_somebody_else_has_written_is_nothing() {
        let state = tempfile::tempdir().unwrap();
        let path = path(state.path(), "work");
        assert_eq!(read(&path), None);
        fs::write(&path, "{ no json").unwrap();
        assert_eq!(read(&path), None);
        fs::write(&path, "[1]").unwrap();
        assert!(plain(&read(&path).unwrap(), now()).contains("ago"));
    }
}
