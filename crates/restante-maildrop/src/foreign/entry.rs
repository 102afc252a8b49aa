//! How another server is made to list a message under the unique-id that it has here: what its
//! list says then, or why it cannot.

use std::io;

use crate::maildir::FileName;

/// A message as the other server's list is to have it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Entry {
    /// The message, by its file's base name as it is now.
    pub(crate) base: Vec<u8>,
    /// The name that its file has in `cur/` once the other server has seen it. Where its base name
    /// is another one, the file must be renamed first.
    pub(crate) name: Vec<u8>,
    /// What it is listed under here.
    pub(crate) unique_id: Vec<u8>,
}

/// What some servers keep of each message beside its unique-id.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Weight {
    /// As the other server counts them: each LF as two.
    pub(crate) octets: u64,
    /// Whether the header is not ASCII alone.
    pub(crate) eight_bit_header: bool,
}

/// Weighs the message of an entry.
pub(crate) type Weigh<'w> = &'w mut dyn FnMut(&Entry) -> io::Result<Weight>;

/// Why another server goes on to list a message under another unique-id than is listed here.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Misfit {
    /// Its list has no way to say this unique-id of this message.
    #[error("its list cannot say it")]
    Unsayable,
    /// It lists another message under it.
    #[error("it lists another message under it")]
    Taken,
    /// It would give it to another message one day.
    #[error("it would give it to a message that is to come")]
    ToCome,
    /// Two files have the same name, or would have.
    #[error("another file has the same name")]
    SameName,
    /// The file would have to be renamed, and another program knows it by its name.
    #[error("its file would have to be renamed, and is known to IMAP by its name")]
    KnownByName,
    /// It had listed the message before Restante did: programs may know it by that.
    #[error("it has listed the message itself")]
    Listed,
}

impl Entry {
    /// The base name of the file once the other server has seen it.
    pub(crate) fn new_base(&self) -> &[u8] {
        FileName::new(&self.name).map_or(&*self.base, FileName::base)
    }
}
