//! `restante fetch seen`: what is known of an account's messages.

use std::path::Path;

use restante_fetch::{Deletion, Entry, Standing, State};
use serde_json::{Value, json};

use super::unique_id::UniqueId;
use crate::{
    commands::moment::Moment, configuration::fetch::FetchAccount, console, exit_code::ExitCode,
    failure::Failure, quantity::octets,
};

/// Prints a line for each message.
///
/// # Errors
/// The state or stdout cannot be used.
pub(super) fn show(state: &Path, accounts: &[FetchAccount], json: bool) -> Result<(), Failure> {
    for account in accounts {
        let name = account.account().name.as_str();
        let seen = State::look(state, name).map_err(|error| {
            Failure::new(
                ExitCode::Io,
                format!("cannot tell what was seen of `{name}`"),
            )
            .caused_by(error)
        })?;
        for (_, entry) in seen.entries() {
            match json {
                true => console::print(for_programs(name, entry))?,
                false => console::print(for_people(name, entry))?,
            }
        }
    }
    Ok(())
}

fn for_people(account: &str, entry: &Entry) -> String {
    let size = entry.fingerprint.map(|it| it.octets);
    let size = size.or(entry.named.announced).map_or("?".into(), octets);
    let what = match &entry.standing {
        Standing::Here => "here".to_owned(),
        Standing::Underway { .. } => "not everywhere it is wanted".to_owned(),
        Standing::Large { headers: false } => "too large, left on the server".to_owned(),
        Standing::Large { headers: true } => "too large, only its header is here".to_owned(),
        Standing::Aside { tries, why, .. } => {
            let why = why.escape_debug();
            format!("not collected, tried {tries} times: {why}")
        }
    };
    let server = match (entry.deletion, entry.absent_since) {
        (Deletion::Gone, _) => ", deleted from the server",
        (Deletion::Quit, _) => ", the server said that it deletes it",
        (Deletion::Wanted, None) if entry.refused.is_some() => ", the server does not delete it",
        (Deletion::Wanted | Deletion::Sent, _) => ", to be deleted from the server",
        (Deletion::None, Some(_)) => ", not on the server any more",
        (Deletion::None, None) => "",
    };
    let at = Moment::new(entry.seconds);
    let unique_id = UniqueId(entry.named.unique_id.as_deref());
    format!("{account} {at} {size:>8} {unique_id} {what}{server}")
}

fn for_programs(account: &str, entry: &Entry) -> Value {
    let (word, why) = match &entry.standing {
        Standing::Here => ("here", None),
        Standing::Underway { .. } => ("underway", None),
        Standing::Large { headers: false } => ("large", None),
        Standing::Large { headers: true } => ("header", None),
        Standing::Aside { why, .. } => ("aside", Some(why)),
    };
    let deletion = match entry.deletion {
        Deletion::None => None,
        Deletion::Wanted => Some("wanted"),
        Deletion::Sent => Some("sent"),
        Deletion::Quit => Some("quit"),
        Deletion::Gone => Some("gone"),
    };
    let unique_id = entry.named.unique_id.as_deref();
    json!({
        "account": account,
        "unique_id": unique_id.map(|id| id.escape_ascii().to_string()),
        "announced": entry.named.announced,
        "octets": entry.fingerprint.map(|it| it.octets),
        "at": entry.seconds,
        "standing": word,
        "why": why,
        "deletion": deletion,
        "refused": entry.refused,
        "absent_since": entry.absent_since,
    })
}
