//! What a person, or a program, is told while mail comes.

use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};

use indicatif::ProgressDrawTarget;
use restante_fetch::{Causes, Event, Listener, Report};
use serde_json::{Value, json};

use super::{progress::Progress, status, unique_id::UniqueId};
use crate::{
    console,
    flags::Talk,
    quantity::{counted, octets},
};

/// Tells of what happens: on a terminal with a bar, otherwise in lines; with `--json` in lines for
/// programs, on stdout.
pub(super) struct Teller {
    state: PathBuf,
    json: bool,
    quiet: bool,
    verbose: bool,
    /// Runs that bring nothing are not worth a line.
    watches: bool,
    progress: Progress,
}

impl Teller {
    pub(super) fn new(state: &Path, json: bool, talk: Talk, watches: bool) -> Self {
        let hidden = json || talk.quiet || watches || !io::stderr().is_terminal();
        let target = match hidden {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr(),
        };
        Self {
            state: state.to_owned(),
            json,
            quiet: talk.quiet,
            verbose: talk.verbose > 0,
            watches,
            progress: Progress::new(target),
        }
    }

    pub(super) fn end(&self) {
        self.progress.end();
    }

    fn say(&self, account: &str, text: &str) {
        if !self.quiet && !self.json {
            self.progress
                .suspend(|| console::tell(format_args!("{account}: {text}")));
        }
    }

    fn line(&self, account: &str, event: &str, facts: &Value) {
        if self.json {
            let line = json!({ "account": account, "event": event, "facts": facts });
            // A reader that has gone does not stop the mail.
            let _ = console::print(line);
        }
    }

    fn ended(&self, account: &str, report: &Report) {
        let told = status::note(&self.state, account, report);
        if let Err(error) = told {
            self.say(account, &format!("cannot note the result: {error}"));
        }
        self.line(account, "ended", &status::facts(report));
        let nothing = report.arrived == 0 && report.trouble.is_none();
        if !(self.watches && nothing) || self.verbose {
            self.say(account, &status::words(report));
        }
        // Without a verdict at the end, each trouble is told when it comes.
        if let Some(trouble) = report
            .trouble
            .as_ref()
            .filter(|_| self.watches && !self.json)
        {
            console::tell(format_args!("{account}: error: {}", Causes(trouble)));
        }
    }
}

impl Listener for Teller {
    fn hear(&self, account: &str, event: Event<'_>) {
        match event {
            Event::Planned {
                plan,
                messages: count,
                octets: size,
            } => {
                self.progress.planned(account, count, size);
                let facts = json!({
                    "listed": plan.steps.len(), "messages": count, "octets": size,
                });
                self.line(account, "planned", &facts);
                if self.verbose {
                    let listed = counted(plan.steps.len(), "message");
                    let text =
                        format!("{listed} on the server, {count} to fetch, {}", octets(size));
                    self.say(account, &text);
                }
            }
            Event::Received { octets } => self.progress.received(account, octets),
            Event::Arrived { unique_id, octets } => {
                self.progress.arrived(account);
                let facts = json!({ "unique_id": printable(unique_id), "octets": octets });
                self.line(account, "arrived", &facts);
            }
            Event::Ended { report } => self.ended(account, report),
            Event::Again { why } => {
                self.line(account, "again", &json!({ "why": why }));
                self.say(account, &format!("{why}; trying again"));
            }
            other => self.notice(account, &other),
        }
    }
}

impl Teller {
    /// What concerns one message.
    fn notice(&self, account: &str, event: &Event<'_>) {
        let (word, unique_id, facts, text) = match event {
            Event::TooLarge {
                unique_id,
                octets: size,
                headers,
            } => (
                "too_large",
                *unique_id,
                json!({ "octets": size, "headers": headers }),
                format!("is too large ({}) and stays on the server", octets(*size)),
            ),
            Event::NotCollected { unique_id, why } => (
                "not_collected",
                *unique_id,
                json!({ "why": why }),
                format!("was not collected and stays on the server: {why}"),
            ),
            Event::OtherSize {
                unique_id,
                announced,
                octets: size,
            } => {
                let facts = json!({ "announced": announced, "octets": size });
                let shown = UniqueId(*unique_id).to_string();
                self.line(account, "other_size", &with_name(&facts, *unique_id));
                if self.verbose {
                    let text = format!("{shown} has {size} octets, not {announced} as announced");
                    self.say(account, &text);
                }
                return;
            }
            Event::NotDeleted { unique_id, why } => (
                "not_deleted",
                *unique_id,
                json!({ "why": why }),
                format!("is not deleted by the server: {why}"),
            ),
            _ => return,
        };
        self.line(account, word, &with_name(&facts, unique_id));
        self.say(account, &format!("message {} {text}", UniqueId(unique_id)));
    }
}

fn with_name(facts: &Value, unique_id: Option<&[u8]>) -> Value {
    let mut facts = facts.clone();
    if let Some(facts) = facts.as_object_mut() {
        facts.insert("unique_id".into(), printable(unique_id));
    }
    facts
}

/// Octets that are no text are escaped.
fn printable(unique_id: Option<&[u8]>) -> Value {
    match unique_id {
        None => Value::Null,
        Some(octets) => octets.escape_ascii().to_string().into(),
    }
}
