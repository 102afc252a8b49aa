//! How mailboxes and journals are shown. What strangers may have written is escaped.

use restante_maildrop::{Deed, KeptMessage, ViewName, Visit, VisitEnd, VisitedMessage};
use serde_json::{Value, json};

use crate::commands::moment::Moment;
use crate::{console, failure::Failure};

/// A line for each message of a mailbox.
///
/// # Errors
/// Those of printing.
pub(super) fn messages(messages: &[KeptMessage]) -> Result<(), Failure> {
    for (number, message) in (1_u64..).zip(messages) {
        console::print(format_args!(
            "{number:>5} {:>10} {:<20} {}",
            message.octets,
            Moment::new(message.arrived),
            escaped(&message.unique_id),
        ))?;
    }
    Ok(())
}

/// A line for each message of a trash.
///
/// # Errors
/// Those of printing.
pub(super) fn trash(messages: &[KeptMessage]) -> Result<(), Failure> {
    for message in messages {
        console::print(format_args!(
            "{:>10} {:<20} {:<20} {}",
            message.octets,
            Moment::new(message.arrived),
            Moment::new(message.deleted.unwrap_or_default()),
            escaped(&message.unique_id),
        ))?;
        if !message.deleted_by.is_empty() {
            let by: Vec<_> = message.deleted_by.iter().map(ViewName::as_str).collect();
            console::print(format_args!("{:>10} deleted by {}", "", by.join(", ")))?;
        }
    }
    Ok(())
}

/// An array of objects; those of a mailbox are numbered, those of a trash have a time of deletion.
pub(super) fn messages_as_json(messages: &[KeptMessage]) -> Value {
    let objects = (1_u64..).zip(messages).map(|(number, message)| {
        let mut object = json!({
            "unique_id": escaped(&message.unique_id),
            "octets": message.octets,
            "arrived": message.arrived,
            "deleted_by": message.deleted_by.iter().map(ViewName::as_str).collect::<Value>(),
        });
        match message.deleted {
            Some(deleted) => object["deleted"] = deleted.into(),
            None => object["number"] = number.into(),
        }
        object
    });
    objects.collect()
}

/// A line for each session, and an indented one for each of its messages.
///
/// # Errors
/// Those of printing.
pub(super) fn visits(visits: &[Visit]) -> Result<(), Failure> {
    for visit in visits {
        console::print(head(visit))?;
        for message in &visit.messages {
            let id = escaped(&message.unique_id);
            console::print(format_args!("    {:<21} {id}", deed(message.deed)))?;
        }
        if !names_all(visit) {
            console::print("    … too many to be named all")?;
        }
    }
    Ok(())
}

fn head(visit: &Visit) -> String {
    let visitor = &visit.visitor;
    let address = visitor.address.map_or("-".to_owned(), |it| it.to_string());
    format!(
        "{} {address} view {} password {} by {}, session {}: {} retrieved, {} deleted{}",
        Moment::new(visit.ended),
        visit.view.as_str(),
        escaped_or_dash(&visitor.credential),
        escaped_or_dash(&visitor.mechanism),
        visitor.session,
        visit.retrieved,
        visit.deleted,
        end(visit.end).1,
    )
}

/// An array of objects.
pub(super) fn visits_as_json(visits: &[Visit]) -> Value {
    let message = |message: &VisitedMessage| {
        json!({
            "unique_id": escaped(&message.unique_id),
            "retrieved": message.deed.retrieved(),
            "deleted": message.deed.deleted(),
        })
    };
    let object = |visit: &Visit| {
        json!({
            "ended": visit.ended,
            "end": end(visit.end).0,
            "address": visit.visitor.address,
            "view": visit.view.as_str(),
            "credential": visit.visitor.credential,
            "mechanism": visit.visitor.mechanism,
            "session": visit.visitor.session,
            "retrieved": visit.retrieved,
            "deleted": visit.deleted,
            "messages": visit.messages.iter().map(message).collect::<Value>(),
            "names_all": names_all(visit),
        })
    };
    visits.iter().map(object).collect()
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

fn escaped(unique_id: &[u8]) -> String {
    // Printable ASCII as they are; a backslash, too, is one of them.
    let printable = unique_id.iter().all(|octet| (0x21..=0x7E).contains(octet));
    match printable {
        true => String::from_utf8_lossy(unique_id).into_owned(),
        false => unique_id.escape_ascii().to_string(),
    }
}

fn escaped_or_dash(name: &str) -> String {
    match name.is_empty() {
        true => "-".to_owned(),
        false => name.escape_debug().to_string(),
    }
}
