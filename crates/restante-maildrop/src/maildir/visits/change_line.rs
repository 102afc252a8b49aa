//! The line of the journal that tells of a change:
//!
//! ```text
//! change <kind> <when> <author> <device> <count> <unique-id> <unique-id> …
//! ```
//!
//! `-` stands for an author or a device where there is none.

use restante_proto::UniqueId;

use super::{MESSAGES_OCTETS_MAX, NOTHING, escaped, number, text, unescaped};
use crate::{Change, ChangeKind, ViewName};

/// Begins the line; no session ends so.
pub(super) const WORD: &[u8] = b"change ";

const KINDS: [ChangeKind; 8] = [
    ChangeKind::DeviceAdded,
    ChangeKind::DeviceReset,
    ChangeKind::DeviceRemoved,
    ChangeKind::Restored,
    ChangeKind::Purged,
    ChangeKind::Expired,
    ChangeKind::Left,
    ChangeKind::Imported,
];

impl ChangeKind {
    const fn word(self) -> &'static str {
        match self {
            Self::DeviceAdded => "added",
            Self::DeviceReset => "reset",
            Self::DeviceRemoved => "removed",
            Self::Restored => "restored",
            Self::Purged => "purged",
            Self::Expired => "expired",
            Self::Left => "left",
            Self::Imported => "imported",
        }
    }
}

/// The line.
pub(super) fn line(change: &Change) -> Vec<u8> {
    let author = change.author.as_deref().unwrap_or_default();
    let device = change.device.as_ref();
    let fields = [
        change.kind.word().into(),
        change.made.to_string().into(),
        escaped(author),
        device.map_or(NOTHING.into(), |device| device.as_str().into()),
        change.count.to_string().into_bytes(),
    ];
    let mut line = [WORD, &fields.join(&b' ')].concat();
    let octets_max = line.len() + MESSAGES_OCTETS_MAX;
    for id in &change.messages {
        if line.len() + 1 + id.len() > octets_max {
            break;
        }
        line.push(b' ');
        line.extend_from_slice(id);
    }
    line
}

/// What the line tells, whose first word was taken away.
pub(super) fn parse(rest: &[u8]) -> Option<Change> {
    let mut fields = rest.split(|&octet| octet == b' ');
    let kind = fields.next()?;
    let kind = KINDS
        .into_iter()
        .find(|one| one.word().as_bytes() == kind)?;
    let made = number(fields.next()?)?;
    let author = Some(unescaped(fields.next()?)?).filter(|author| !author.is_empty());
    let device = match fields.next()? {
        NOTHING => None,
        device => Some(ViewName::new(text(device)?)?),
    };
    let count = usize::try_from(number(fields.next()?)?).ok()?;
    let legal = |id: &[u8]| Some(UniqueId::new(id).ok()?.as_bytes().to_vec());
    let messages: Vec<_> = fields.map(legal).collect::<Option<_>>()?;
    (messages.len() <= count).then_some(Change {
        made,
        kind,
        author,
        device,
        count,
        messages,
    })
}
