//! A message's octets on their way out, wherever they rest.

mod reader;

use std::{fs::File, ops::Range, pin::Pin, sync::Arc};

use bytes::Bytes;
use futures_core::Stream;
use restante_proto::{Form, Octets};

use crate::{ReadError, disk::Disk};

pub use reader::BodyReader;

/// A message opened for sending.
pub struct Body {
    /// The exact octets RETR will send: CRLF line ends, before byte-stuffing (RFC 1939 §11).
    pub octets: Octets,
    /// Stands for the first octets of the message (a tagged or rewritten head), in CRLF form.
    pub head: Option<Bytes>,
    /// What follows the head.
    pub rest: Rest,
    /// What `rest` still needs before it may go over the wire.
    pub form: Form,
}

/// Where the rest of a body comes from.
#[non_exhaustive]
pub enum Rest {
    /// Octets of an open file, read without moving its position.
    File {
        /// The very descriptor whose facts were checked.
        file: Arc<File>,
        /// Octets from the start of the file.
        range: Range<u64>,
        /// The way to its octets.
        disk: Disk,
    },
    /// Octets already in memory.
    Bytes(Bytes),
    /// Pieces that arrive.
    Chunks(Chunks),
}

/// Pieces of a body that arrive one by one.
pub type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, ReadError>> + Send>>;

impl Body {
    /// Reads the body from its beginning, head first.
    #[must_use]
    pub fn into_reader(self) -> BodyReader {
        BodyReader::new(self)
    }
}
