//! `restante fetch --dry-run`: what a run would do. Nothing is changed, here or there.

use std::path::Path;

use restante_fetch::{Assignment, Causes, Deed, Plan, Stays, Step, look};
use serde_json::json;
use tokio::runtime::Runtime;

use super::{exit_code, hint, unique_id::UniqueId};
use crate::{
    console,
    failure::Failure,
    quantity::{counted, octets},
};

/// Prints what would be done with each message.
///
/// # Errors
/// The first account that cannot be looked at; the others are not looked at then.
pub(super) fn show(
    runtime: &Runtime,
    state: &Path,
    assignments: &[Assignment],
    json: bool,
) -> Result<(), Failure> {
    for assignment in assignments {
        let account = &assignment.account;
        let looked = runtime.block_on(look(account, state));
        let (_, _, plan) = looked.map_err(|trouble| {
            let consequence = trouble.consequence();
            let what = format!("{}: {}", account.name, Causes(&trouble));
            let failure = Failure::new(exit_code(consequence), what);
            match hint(&trouble, consequence) {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        })?;
        print(account.name.as_str(), &plan, json)?;
    }
    Ok(())
}

fn print(account: &str, plan: &Plan, json: bool) -> Result<(), Failure> {
    for step in &plan.steps {
        if json {
            let unique_id = step.named.unique_id.as_deref();
            console::print(json!({
                "account": account,
                "number": step.number.get(),
                "unique_id": unique_id.map(|id| id.escape_ascii().to_string()),
                "octets": step.named.announced,
                "deed": word(&step.deed),
            }))?;
        } else {
            console::print(format_args!("{account} {}", line(step)))?;
        }
    }
    if !json {
        let count = |wanted: &[&str]| {
            let deeds = plan.steps.iter().map(|step| word(&step.deed));
            let count = deeds.filter(|word| wanted.contains(word)).count();
            counted(count, "message")
        };
        console::tell(format_args!(
            "{account}: {} listed; would fetch {}, look at {} that may be here, and check {} that \
             may go; nothing was changed",
            counted(plan.steps.len(), "message"),
            count(&["fetch"]),
            count(&["identify"]),
            count(&["delete"]),
        ));
    }
    Ok(())
}

fn line(step: &Step) -> String {
    let size = step.named.announced.map_or("?".into(), octets);
    let unique_id = UniqueId(step.named.unique_id.as_deref());
    let what = match &step.deed {
        Deed::Retrieve { .. } => "would be fetched",
        Deed::Identify { .. } => "may be here already: would be looked at",
        Deed::Check { .. } => "is here: would be looked at and deleted from the server",
        Deed::Header { .. } => "is too large: its header would be fetched",
        Deed::TooLarge => "is too large: stays on the server",
        Deed::Leave { stays, .. } => match stays {
            Stays::Kept => "is here: stays on the server",
            Stays::Large => "is too large: stays on the server",
            Stays::Aside => "could not be fetched: waits until tomorrow",
            Stays::Undeleted => "is here, and the server does not delete it: waits until tomorrow",
        },
    };
    format!("{} {size:>8} {unique_id} {what}", step.number)
}

fn word(deed: &Deed) -> &'static str {
    match deed {
        Deed::Retrieve { .. } => "fetch",
        Deed::Identify { .. } => "identify",
        Deed::Check { .. } => "delete",
        Deed::Header { .. } => "header",
        Deed::TooLarge => "too_large",
        Deed::Leave { .. } => "leave",
    }
}
