//! A message on its way.

use bytes::Bytes;
use restante_proto::{
    MessageNumber,
    client::{Event, SessionError},
};

use crate::{Error, Octets, driver::Driver};

/// A message that comes in pieces. It is whole when [`Message::next`] says `None`, and not before
/// (PRJ-ML-9).
///
/// While nobody asks for the next piece, nothing is read, and the server waits. Dropping it leaves
/// the rest to be skipped by the next command.
#[must_use]
pub struct Message<'c> {
    driver: &'c mut Driver,
    number: MessageNumber,
    octets: u64,
    whole: bool,
}

impl<'c> Message<'c> {
    pub(crate) const fn new(driver: &'c mut Driver, number: MessageNumber) -> Self {
        Self {
            driver,
            number,
            octets: 0,
            whole: false,
        }
    }

    /// Which message it is.
    #[must_use]
    pub const fn number(&self) -> MessageNumber {
        self.number
    }

    /// How many octets have come so far.
    #[must_use]
    pub const fn octets(&self) -> Octets {
        Octets(self.octets)
    }

    /// The next piece, of any size but 0: CRLF line ends, no byte-stuffing. `None`: the message has
    /// come to its end, and is whole.
    ///
    /// The future may be dropped; nothing is lost.
    ///
    /// # Errors
    /// [`Error`]: what came so far is not the message, and the connection is lost.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if self.whole {
            return Ok(None);
        }
        match self.driver.event().await? {
            Event::MessageData(data) => {
                self.octets = self.octets.saturating_add(data.len() as u64);
                Ok(Some(data.into()))
            }
            Event::Answered(_) => {
                self.whole = true;
                Ok(None)
            }
            _ => Err(Error::Session(SessionError::EndOfInput)),
        }
    }
}
