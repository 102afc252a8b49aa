//! How a mailbox's journal is shown. What strangers may have written is escaped.

use restante_maildrop::{
    Change, ChangeKind, Deed, Journal, JournalEntry, Visit, VisitEnd, VisitedMessage,
};
use serde_json::{Value, json};

use super::show::escaped;
use crate::commands::{
    device_name::{self, DeviceNames},
    moment::Moment,
};
use crate::{console, failure::Failure, quantity::counted};

/// Stands before a message that is named below its line.
const INDENT: &str = "    ";

/// A line for each session and for each change, and an indented one for each of its messages.
///
/// # Errors
/// Those of printing.
pub(super) fn print(journal: &Journal, names: &DeviceNames) -> Result<(), Failure> {
    for entry in &journal.entries {
        match entry {
            JournalEntry::Visit(visit) => print_visit(visit, names)?,
            JournalEntry::Change(change) => print_change(change, names)?,
            _ => {}
        }
    }
    Ok(())
}

/// An array of objects: those of sessions have an `end`, those of changes a `change`.
pub(super) fn as_json(journal: &Journal, names: &DeviceNames) -> Value {
    let object = |entry: &JournalEntry| match entry {
        JournalEntry::Visit(visit) => visit_as_json(visit, names),
        JournalEntry::Change(change) => change_as_json(change, names),
        _ => Value::Null,
    };
    journal.entries.iter().map(object).collect()
}

fn print_visit(visit: &Visit, names: &DeviceNames) -> Result<(), Failure> {
    console::print(head(visit, names))?;
    for message in &visit.messages {
        let id = escaped(&message.unique_id);
        console::print(format_args!("{INDENT}{:<21} {id}", deed(message.deed)))?;
    }
    print_rest(names_all(visit))
}

fn print_change(change: &Change, names: &DeviceNames) -> Result<(), Failure> {
    console::print(format_args!(
        "{} {}",
        Moment::new(change.made),
        told(change, names)
    ))?;
    let (_, deed) = words(change.kind);
    for id in &change.messages {
        console::print(format_args!("{INDENT}{deed:<21} {}", escaped(id)))?;
    }
    print_rest(change.messages.is_empty() || change.messages.len() == change.count)
}

fn print_rest(named_all: bool) -> Result<(), Failure> {
    match named_all {
        true => Ok(()),
        false => console::print(format_args!("{INDENT}… too many to be named all")),
    }
}

fn head(visit: &Visit, names: &DeviceNames) -> String {
    let visitor = &visit.visitor;
    let address = visitor.address.map_or("-".to_owned(), |it| it.to_string());
    format!(
        "{} {address} view {} password {} by {}, session {}: {} retrieved, {} deleted{}",
        Moment::new(visit.ended),
        device_name::shown(names.of_view(&visit.view)),
        escaped_or_dash(&visitor.credential),
        escaped_or_dash(&visitor.mechanism),
        visitor.session,
        visit.retrieved,
        visit.deleted,
        end(visit.end).1,
    )
}

/// What was done, and who did it.
fn told(change: &Change, names: &DeviceNames) -> String {
    let device = change.device.as_ref().map(|view| names.of_view(view));
    let device = device.map(device_name::shown).unwrap_or_default();
    let messages = counted(change.count, "message");
    let done = match change.kind {
        ChangeKind::DeviceAdded => match change.count {
            0 => format!("device {device} added"),
            _ => format!("device {device} added; it does not see {messages} that were there"),
        },
        ChangeKind::DeviceReset => format!("device {device} begins anew and sees {messages}"),
        ChangeKind::DeviceRemoved => format!("device {device} removed"),
        ChangeKind::Restored if device.is_empty() => format!("{messages} put back"),
        ChangeKind::Restored => format!("{messages} put back for device {device} alone"),
        ChangeKind::Purged if change.author.is_none() => {
            format!("{messages} removed for good, whose time in the trash was over")
        }
        ChangeKind::Purged => format!("{messages} removed from the trash for good"),
        ChangeKind::Expired => format!("{messages} moved to the trash for their age"),
        ChangeKind::Left => format!("{messages} moved to the trash, as `keep` has it"),
        ChangeKind::Imported => format!("unique-ids of {messages} imported"),
        _ => format!("{messages} changed"),
    };
    match &change.author {
        Some(author) => format!("{}: {done}", device_name::shown(author)),
        None => format!("by itself: {done}"),
    }
}

fn visit_as_json(visit: &Visit, names: &DeviceNames) -> Value {
    let message = |message: &VisitedMessage| {
        json!({
            "unique_id": escaped(&message.unique_id),
            "retrieved": message.deed.retrieved(),
            "deleted": message.deed.deleted(),
        })
    };
    json!({
        "ended": visit.ended,
        "end": end(visit.end).0,
        "address": visit.visitor.address,
        "view": names.of_view(&visit.view),
        "credential": visit.visitor.credential,
        "mechanism": visit.visitor.mechanism,
        "session": visit.visitor.session,
        "retrieved": visit.retrieved,
        "deleted": visit.deleted,
        "messages": visit.messages.iter().map(message).collect::<Value>(),
        "names_all": names_all(visit),
    })
}

fn change_as_json(change: &Change, names: &DeviceNames) -> Value {
    let message = |id: &Vec<u8>| json!({ "unique_id": escaped(id) });
    json!({
        "made": change.made,
        "change": words(change.kind).0,
        "author": change.author,
        "device": change.device.as_ref().map(|view| names.of_view(view)),
        "count": change.count,
        "messages": change.messages.iter().map(message).collect::<Value>(),
        "names_all": change.messages.len() == change.count,
    })
}

/// A change for programs, and what it did to each message for people.
fn words(kind: ChangeKind) -> (&'static str, &'static str) {
    match kind {
        ChangeKind::DeviceAdded => ("device-added", "not shown"),
        ChangeKind::DeviceReset => ("device-reset", "shown again"),
        ChangeKind::DeviceRemoved => ("device-removed", ""),
        ChangeKind::Restored => ("restored", "put back"),
        ChangeKind::Purged => ("purged", "removed for good"),
        ChangeKind::Expired => ("expired", "moved to the trash"),
        ChangeKind::Left => ("left", "moved to the trash"),
        ChangeKind::Imported => ("imported", "imported"),
        _ => ("other", "changed"),
    }
}

/// How a session ended, for programs and for people.
fn end(end: VisitEnd) -> (&'static str, &'static str) {
    match end {
        VisitEnd::Quit => ("quit", ""),
        VisitEnd::Left => ("left", " (ended without QUIT)"),
        _ => ("incomplete", " (some of them may still be there)"),
    }
}

fn deed(deed: Deed) -> &'static str {
    match deed {
        Deed::Retrieved => "retrieved",
        Deed::Deleted => "deleted",
        Deed::RetrievedAndDeleted => "retrieved and deleted",
    }
}

fn names_all(visit: &Visit) -> bool {
    let named = |was: fn(Deed) -> bool| visit.messages.iter().filter(|one| was(one.deed)).count();
    named(Deed::retrieved) == visit.retrieved && named(Deed::deleted) == visit.deleted
}

fn escaped_or_dash(name: &str) -> String {
    match name.is_empty() {
        true => "-".to_owned(),
        false => device_name::shown(name),
    }
}
