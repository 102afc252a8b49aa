//! A session after login.

use restante_proto::{
    Command, Keyword, MessageNumber, Octets,
    client::{Capabilities, Event, SessionError, StatusLine, Success},
};

use crate::{
    Error, Listing, Message, Pipeline, ScanListing, Timeouts, UniqueIdListing, driver::Driver,
    listing::Collector,
};

/// A session that is logged in. Dropping it says nothing to the server: nothing is deleted.
///
/// An [`Error`] says by [`connection_lost`](Error::connection_lost) whether the session goes on.
pub struct Client {
    driver: Driver,
    timeouts: Timeouts,
}

/// How much is in a maildrop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DropListing {
    /// How many messages.
    pub messages: u64,
    /// Their size together, as the server believes it to be.
    pub octets: Octets,
}

impl Client {
    pub(crate) const fn new(driver: Driver, timeouts: Timeouts) -> Self {
        Self { driver, timeouts }
    }

    /// What the server says it can do. Nothing, where it does not know CAPA.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.driver
            .session
            .capabilities()
            .cloned()
            .unwrap_or_default()
    }

    /// CAPA once more: some servers say more to those who have logged in. A refusal changes
    /// nothing.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn refresh_capabilities(&mut self) -> Result<Capabilities, Error> {
        match self.driver.command(&Command::Capa).await {
            Ok(_) | Err(Error::Refused { .. }) => Ok(self.capabilities()),
            Err(error) => Err(error),
        }
    }

    /// STAT: how much is there.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn stat(&mut self) -> Result<DropListing, Error> {
        match self.driver.command(&Command::Stat).await? {
            Success::DropListing { messages, octets } => Ok(DropListing { messages, octets }),
            _ => Err(out_of_step()),
        }
    }

    /// LIST: the sizes. Messages that are marked as deleted are not listed.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn list(&mut self) -> Result<Vec<ScanListing>, Error> {
        self.driver.settle().await?;
        self.driver.request(&Command::List(None))?;
        let mut listed = Vec::new();
        let outcome = self.driver.answer(|event| {
            if let Event::ScanListing { number, octets } = event {
                listed.push(ScanListing { number, octets });
            }
        });
        outcome
            .await?
            .map_err(|line| refused(Keyword::List, line))?;
        Ok(listed)
    }

    /// UIDL: the unique-ids. Some servers refuse: they know none.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn unique_ids(&mut self) -> Result<Vec<UniqueIdListing>, Error> {
        self.driver.settle().await?;
        self.driver.request(&Command::Uidl(None))?;
        let mut listed = Vec::new();
        let outcome = self.driver.answer(|event| {
            if let Event::UniqueIdListing { number, unique_id } = event {
                listed.push(UniqueIdListing { number, unique_id });
            }
        });
        outcome
            .await?
            .map_err(|line| refused(Keyword::Uidl, line))?;
        Ok(listed)
    }

    /// UIDL and LIST together, in one turn where the server allows it. A server without
    /// unique-ids is no error (R1939-UIDL-8).
    ///
    /// # Errors
    /// [`Error`]; a listing that breaks off is none.
    pub async fn listing(&mut self) -> Result<Listing, Error> {
        self.driver.settle().await?;
        self.request_listing()?;
        self.take_listing().await
    }

    /// CAPA and the listing in one turn.
    pub(crate) async fn capabilities_and_listing(&mut self) -> Result<Listing, Error> {
        self.driver.settle().await?;
        self.driver.request(&Command::Capa)?;
        self.request_listing()?;
        // A refusal changes nothing.
        let _ = self.driver.answer(|_| {}).await?;
        self.take_listing().await
    }

    fn request_listing(&mut self) -> Result<(), Error> {
        self.driver.request(&Command::Uidl(None))?;
        self.driver.request(&Command::List(None))
    }

    async fn take_listing(&mut self) -> Result<Listing, Error> {
        let mut collector = Collector::default();
        let unique_ids = self.driver.answer(|event| collector.take(event)).await?;
        let sizes = self.driver.answer(|event| collector.take(event)).await?;
        sizes.map_err(|line| refused(Keyword::List, line))?;
        Ok(Listing {
            messages: collector.messages(),
            has_unique_ids: unique_ids.is_ok(),
        })
    }

    /// RETR: a message. `octets`: the size that was listed, if it is known.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn retrieve(
        &mut self,
        number: MessageNumber,
        octets: Option<Octets>,
    ) -> Result<Message<'_>, Error> {
        self.driver.settle().await?;
        match octets {
            Some(octets) => self.driver.retrieve(number, octets)?,
            None => self.driver.request(&Command::Retr(number))?,
        }
        self.message(Keyword::Retr).await
    }

    /// TOP: a message's header and so many lines of its body.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn top(&mut self, number: MessageNumber, lines: u64) -> Result<Message<'_>, Error> {
        self.driver.settle().await?;
        self.driver.request(&Command::Top { number, lines })?;
        self.message(Keyword::Top).await
    }

    async fn message(&mut self, keyword: Keyword) -> Result<Message<'_>, Error> {
        match self.driver.event().await? {
            Event::MessageBegins(number) => Ok(Message::new(&mut self.driver, number)),
            Event::Answered(answer) => match answer.outcome {
                Err(line) => Err(refused(keyword, line)),
                Ok(_) => Err(out_of_step()),
            },
            _ => Err(out_of_step()),
        }
    }

    /// DELE: marks a message. It goes when [`Client::quit`] succeeds.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn delete(&mut self, number: MessageNumber) -> Result<(), Error> {
        self.driver.command(&Command::Dele(number)).await?;
        Ok(())
    }

    /// RSET: takes every mark away.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn reset(&mut self) -> Result<(), Error> {
        self.driver.command(&Command::Rset).await?;
        Ok(())
    }

    /// NOOP: keeps the session alive.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn noop(&mut self) -> Result<(), Error> {
        self.driver.command(&Command::Noop).await?;
        Ok(())
    }

    /// Many commands at once. What was asked for before and not awaited is skipped.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn pipeline(&mut self) -> Result<Pipeline<'_>, Error> {
        self.driver.settle().await?;
        Ok(Pipeline::new(&mut self.driver))
    }

    /// QUIT: the server removes what is marked, and the session ends.
    ///
    /// # Errors
    /// [`Error`]: any of the marked messages may still be there, or none. Look again in the next
    /// session, by unique-id (PRJ-QUIT-10).
    pub async fn quit(mut self) -> Result<(), Error> {
        let answered = self.driver.command(&Command::Quit).await;
        self.close().await;
        answered.map(|_| ())
    }

    /// Says goodbye in TLS, and nothing in POP3: after [`Pipeline::quit`] was answered.
    pub async fn close(self) {
        self.driver.close(self.timeouts.close).await;
    }
}

fn refused(keyword: Keyword, line: StatusLine) -> Error {
    Error::Refused { keyword, line }
}

/// The machine gives no such events in this order.
const fn out_of_step() -> Error {
    Error::Session(SessionError::EndOfInput)
}
