//! What is in a maildrop.

use std::collections::BTreeMap;

use restante_proto::{MessageNumber, Octets, client::Event};

/// A message's size, as the server believes it to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ScanListing {
    /// Which message.
    pub number: MessageNumber,
    /// Its size.
    pub octets: Octets,
}

/// A message's unique-id.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UniqueIdListing {
    /// Which message.
    pub number: MessageNumber,
    /// Opaque octets, to be compared as they are, and not to be trusted in a path. Two messages
    /// may have the same. `None`: the server lists none for this message.
    pub unique_id: Option<Vec<u8>>,
}

/// All messages, by number, as far as the server lists them. It came whole: a listing that breaks
/// off is an error.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Listing {
    /// The messages.
    pub messages: Vec<Listed>,
    /// Whether the server knows unique-ids at all: it has not refused UIDL.
    pub has_unique_ids: bool,
}

/// One message of a [`Listing`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listed {
    /// Its number, for this session.
    pub number: MessageNumber,
    /// Its size, as the server believes it to be; `None` where LIST leaves it out.
    pub octets: Option<Octets>,
    /// Its unique-id; `None` where UIDL leaves it out. See [`UniqueIdListing::unique_id`].
    pub unique_id: Option<Vec<u8>>,
}

/// Puts the answers to UIDL and LIST together. They need not list the same messages.
#[derive(Default)]
pub(crate) struct Collector(BTreeMap<MessageNumber, (Option<Octets>, Option<Vec<u8>>)>);

impl Collector {
    pub(crate) fn take(&mut self, event: Event) {
        match event {
            Event::ScanListing { number, octets } => {
                self.0.entry(number).or_default().0 = Some(octets);
            }
            Event::UniqueIdListing { number, unique_id } => {
                self.0.entry(number).or_default().1 = unique_id;
            }
            _ => {}
        }
    }

    pub(crate) fn messages(self) -> Vec<Listed> {
        let messages = self.0.into_iter();
        let listed = messages.map(|(number, (octets, unique_id))| Listed {
            number,
            octets,
            unique_id,
        });
        listed.collect()
    }
}
