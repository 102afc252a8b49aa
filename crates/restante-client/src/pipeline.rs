//! Many commands at once.

use restante_proto::{
    Command, MessageNumber, Octets,
    client::{Answer, Event},
};

use crate::{Error, Message, driver::Driver};

/// Commands whose answers are taken one after the other, in the order in which they were given.
///
/// Where the server announces PIPELINING, they are sent without waiting, as far as
/// [`Limits::window_octets`](crate::Limits::window_octets) allows; everywhere else each waits for
/// the answer to the one before. It makes no difference to what comes out.
///
/// More commands may be given at any time: delete the first messages while later ones are coming.
#[must_use]
pub struct Pipeline<'c> {
    driver: &'c mut Driver,
}

/// What came of the oldest command without an answer.
#[must_use]
pub enum Reply<'p> {
    /// A message begins. Read it to its end; what is left when it is dropped is skipped.
    Message(Message<'p>),
    /// The answer to anything else, or a refusal.
    Answer(Answer),
}

impl<'c> Pipeline<'c> {
    pub(crate) const fn new(driver: &'c mut Driver) -> Self {
        Self { driver }
    }

    /// How many more commands can be given before an answer must be taken.
    #[must_use]
    pub fn room(&self) -> usize {
        self.driver.session.request_room()
    }

    /// RETR. `octets`: the size that was listed, by which is reckoned how much may be under way.
    ///
    /// # Errors
    /// [`Error::Request`]: no room, or not in this state; nothing was queued.
    pub fn retrieve(&mut self, number: MessageNumber, octets: Option<Octets>) -> Result<(), Error> {
        match octets {
            Some(octets) => self.driver.retrieve(number, octets),
            None => self.driver.request(&Command::Retr(number)),
        }
    }

    /// TOP: the header and so many lines of the body.
    ///
    /// # Errors
    /// As [`Pipeline::retrieve`].
    pub fn top(&mut self, number: MessageNumber, lines: u64) -> Result<(), Error> {
        self.driver.request(&Command::Top { number, lines })
    }

    /// DELE. The message is marked; it goes when QUIT is answered.
    ///
    /// # Errors
    /// As [`Pipeline::retrieve`].
    pub fn delete(&mut self, number: MessageNumber) -> Result<(), Error> {
        self.driver.request(&Command::Dele(number))
    }

    /// QUIT, behind all that was given: it needs no turn of its own. What is marked by then goes
    /// when this is answered; nothing more can be given. Take every answer, and then call
    /// [`Client::close`](crate::Client::close).
    ///
    /// # Errors
    /// As [`Pipeline::retrieve`].
    pub fn quit(&mut self) -> Result<(), Error> {
        self.driver.request(&Command::Quit)
    }

    /// What came of the oldest command; `None` when none is without an answer.
    ///
    /// The future may be dropped; nothing is lost.
    ///
    /// # Errors
    /// [`Error`]: the connection is lost, and with it every answer that is due.
    pub async fn next(&mut self) -> Result<Option<Reply<'_>>, Error> {
        while self.driver.is_due() {
            // One that was not read to its end is skipped.
            let skipped = self.driver.in_message();
            match self.driver.event().await? {
                Event::MessageBegins(number) => {
                    return Ok(Some(Reply::Message(Message::new(self.driver, number))));
                }
                Event::Answered(answer) if !(skipped && answer.outcome.is_ok()) => {
                    return Ok(Some(Reply::Answer(answer)));
                }
                _ => {}
            }
        }
        Ok(None)
    }
}
