//! How mailboxes are shown. What strangers may have written is escaped.

use restante_maildrop::KeptMessage;
use serde_json::{Value, json};

use crate::commands::{
    device_name::{self, DeviceNames},
    moment::Moment,
};
use crate::{console, failure::Failure};

/// A line for each message of a mailbox, which says where it is if that is not INBOX.
///
/// # Errors
/// Those of printing.
pub(super) fn messages(messages: &[KeptMessage]) -> Result<(), Failure> {
    for (number, message) in (1_u64..).zip(messages) {
        console::print(format_args!(
            "{number:>5} {:>10} {:<20} {}{}",
            message.octets,
            Moment::new(message.arrived),
            escaped(&message.unique_id),
            in_folder(message),
        ))?;
    }
    Ok(())
}

/// A line for each message of a trash, which says where it was if that is not INBOX.
///
/// # Errors
/// Those of printing.
pub(super) fn trash(messages: &[KeptMessage], names: &DeviceNames) -> Result<(), Failure> {
    for message in messages {
        console::print(format_args!(
            "{:>10} {:<20} {:<20} {}{}",
            message.octets,
            Moment::new(message.arrived),
            Moment::new(message.deleted.unwrap_or_default()),
            escaped(&message.unique_id),
            in_folder(message),
        ))?;
        if !message.deleted_by.is_empty() {
            let by = message.deleted_by.iter().map(|view| names.of_view(view));
            let by: Vec<_> = by.map(device_name::shown).collect();
            console::print(format_args!("{:>10} deleted by {}", "", by.join(", ")))?;
        }
    }
    Ok(())
}

/// An array of objects; those of a mailbox are numbered, those of a trash have a time of deletion.
pub(super) fn messages_as_json(messages: &[KeptMessage], names: &DeviceNames) -> Value {
    let objects = (1_u64..).zip(messages).map(|(number, message)| {
        let mut object = json!({
            "unique_id": escaped(&message.unique_id),
            "folder": message.folder.to_string(),
            "octets": message.octets,
            "arrived": message.arrived,
            "deleted_by": message.deleted_by.iter().map(|view| names.of_view(view)).collect::<Value>(),
        });
        match message.deleted {
            Some(deleted) => object["deleted"] = deleted.into(),
            None => object["number"] = number.into(),
        }
        object
    });
    objects.collect()
}

/// The folder besides INBOX, as the end of a line.
fn in_folder(message: &KeptMessage) -> String {
    match message.folder.is_inbox() {
        true => String::new(),
        false => format!(" in {}", device_name::shown(&message.folder.to_string())),
    }
}

/// A unique-id that a stranger may have made, in one line.
pub(super) fn escaped(unique_id: &[u8]) -> String {
    // Printable ASCII as they are; a backslash, too, is one of them.
    let printable = unique_id.iter().all(|octet| (0x21..=0x7E).contains(octet));
    match printable {
        true => String::from_utf8_lossy(unique_id).into_owned(),
        false => unique_id.escape_ascii().to_string(),
    }
}
