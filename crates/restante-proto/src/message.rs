//! What of a message is asked for, in which mode, and in which form it is stored.

use crate::{MessageNumber, Octets, UniqueId};

/// Whether the client has issued UTF8 (RFC 6856 §2).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Mode {
    /// It has not.
    #[default]
    Plain,
    /// It has: messages go out unmodified, internationalized headers included.
    Utf8,
}

/// How much of a message is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// All of it (RETR).
    Whole,
    /// The header, the empty line, and this many lines of the body (TOP).
    Top {
        /// 0 means none of the body.
        lines: u64,
    },
}

/// What stored octets still need before they may go over the wire.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Form {
    /// Line ends are LF, CRLF or mixed: lone LFs become CRLF, and dots are stuffed.
    Stored,
    /// Line ends are CRLF throughout, the last line has one, and only dots are to be stuffed.
    Crlf,
    /// As [`Form::Crlf`], and no line begins with a dot: the octets go as they are.
    Wire,
}

/// What the server machine needs to know of an open maildrop.
///
/// The answers of one value never change, but for sizes that become known.
pub trait Messages: Send + Sync {
    /// How many messages there are; their numbers are `1..=count`.
    fn count(&self) -> u32;

    /// The size that RETR sends in `mode`, or `None` while the message has not been measured.
    /// `number` must be at most [`Messages::count`]; beyond it the answer is `None`.
    fn octets(&self, number: MessageNumber, mode: Mode) -> Option<Octets>;

    /// The unique-id; pairwise different within a maildrop.
    ///
    /// # Panics
    /// May panic when `number` is beyond [`Messages::count`].
    fn unique_id(&self, number: MessageNumber) -> UniqueId<'_>;
}
