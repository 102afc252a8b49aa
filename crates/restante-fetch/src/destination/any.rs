//! All kinds of destinations behind one type: a new kind gets its variant, and its line in `each`.

use super::{
    Command, Destination, DestinationError, Incoming, MailServer, Maildir, Mbox, Recovered, Ticket,
};

/// A destination of any kind.
#[non_exhaustive]
pub enum AnyDestination {
    /// A Maildir.
    Maildir(Maildir),
    /// An mbox.
    Mbox(Mbox),
    /// A mail server.
    MailServer(Box<MailServer>),
    /// A program.
    Command(Command),
}

/// Calls the same function of whichever it is.
macro_rules! each {
    ($any:expr, $it:ident => $call:expr) => {
        match $any {
            Self::Maildir($it) => $call,
            Self::Mbox($it) => $call,
            Self::MailServer($it) => $call,
            Self::Command($it) => $call,
        }
    };
}

impl Destination for AnyDestination {
    fn label(&self) -> &str {
        each!(self, it => it.label())
    }

    fn group_messages_max(&self) -> usize {
        each!(self, it => it.group_messages_max())
    }

    async fn begin(&mut self, mail: &Incoming) -> Result<(), DestinationError> {
        each!(self, it => it.begin(mail).await)
    }

    async fn write(&mut self, octets: &[u8]) -> Result<(), DestinationError> {
        each!(self, it => it.write(octets).await)
    }

    async fn finish(&mut self) -> Result<Ticket, DestinationError> {
        each!(self, it => it.finish().await)
    }

    async fn abandon(&mut self) {
        each!(self, it => it.abandon().await);
    }

    async fn prepare(&mut self) -> Result<(), DestinationError> {
        each!(self, it => it.prepare().await)
    }

    async fn publish(&mut self) -> Vec<Result<(), DestinationError>> {
        each!(self, it => it.publish().await)
    }

    async fn recover(&mut self, ticket: &Ticket) -> Result<Recovered, DestinationError> {
        each!(self, it => it.recover(ticket).await)
    }
}
